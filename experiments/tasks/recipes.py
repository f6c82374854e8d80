"""Recipes: settings that were chosen on validation sets, to train as well as a laptop can.

    funcnn train --recipe fashion-mlp

What each came to, with three seeds, and what each of its ingredients gave, is in
`docs/accuracy.md`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Recipe(NamedTuple):
    """Settings under a name."""

    about: str
    settings: Mapping[str, Any]
    """As the options of `funcnn train`."""


def _recipe(about: str, **settings: Any) -> Recipe:
    return Recipe(about, MappingProxyType(settings))


RECIPES = {
    "fashion-mlp": _recipe(
        "dense layers alone, less than 2 MB",
        arch="mlp3",
        hidden=(448, 256),
        data="fashion-mnist",
        optimizer="classical-momentum",
        augment="shift=1",
    ),
}
