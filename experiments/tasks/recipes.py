"""Recipes: settings that were chosen on validation sets, to train as well as a laptop can.

    funcnn train --recipe fashion-mlp

What each came to, with three seeds, is in `docs/guides/accuracy.md`, and the record of every run in
`docs/recipes/`.
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
        "Fashion-MNIST by dense layers alone, in less than 2 MB",
        arch="mlp3",
        hidden=(448, 256),
        data="fashion-mnist",
        epochs=300,
        batch_size=256,
        optimizer="classical-momentum",
        lr=0.15,
        weight_decay=1e-4,
        label_smoothing=0.0,
        augment="shift=1+erase=0.5:0.02:0.2",
    ),
    "fashion-mlp-small": _recipe(
        "Fashion-MNIST by dense layers alone, in a quarter of a megabyte",
        arch="mlp3",
        hidden=(72, 48),
        data="fashion-mnist",
        epochs=200,
        batch_size=256,
        optimizer="classical-momentum",
        lr=0.15,
        weight_decay=5e-5,
        augment="shift=1",
    ),
    "fashion-cnn": _recipe(
        "Fashion-MNIST by convolutions, from scratch",
        arch="resnet9",
        data="fashion-mnist",
        epochs=30,
        lr=0.2,
        augment="flip+shift=1+erase=0.5:0.02:0.2",
    ),
    "mnist-cnn": _recipe(
        "MNIST by convolutions, from scratch",
        arch="resnet9",
        data="mnist",
        lr=0.2,
        augment="affine=8:0.1:6:1",
    ),
    "mnist-nn": _recipe(
        "MNIST by dense layers alone",
        arch="mlp3",
        data="mnist",
        epochs=60,
        lr=0.1,
        weight_decay=1e-4,
        label_smoothing=0.0,
        augment="affine=8:0.1:6:1",
    ),
    "emnist-cnn": _recipe(
        "EMNIST's 47 classes by convolutions, from scratch",
        arch="resnet9",
        data="emnist47",
        lr=0.2,
        augment="shift=2",
    ),
    "fast": _recipe(
        "85 % on the validation set of Fashion-MNIST, as soon as can be",
        arch="mlp2",
        hidden=(64,),
        data="fashion-mnist",
        epochs=1,
        batch_size=64,
        optimizer="classical-momentum",
        weight_decay=0.0,
        label_smoothing=0.0,
    ),
}
