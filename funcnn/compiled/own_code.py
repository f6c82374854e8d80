"""Whether a step is made of this library's own parts: what a user wrote may do more than it gives.

A replay calls NumPy alone. A print or a count in a layer of a user's own would not happen in it, so
that such a step runs plain unless it was asked for. Schedules are called in every step anyway.
"""

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from funcnn import spec
from funcnn._arguments import shown
from funcnn._elsewhere import bind
from funcnn._pickling import Made, Recipe, recipe_of
from funcnn._written import name_of
from funcnn.types import Layer, Traits, layer_name, traits

SCHEDULES = "learning_rate", "schedule"
"""The arguments of optimizers that are functions of the step."""


def own_code(apply: Any, loss: Any, optimizer: Any) -> str | None:
    """What of a step is a user's own, in words, or None."""
    parts = [own_of_apply(apply), _own_of_function("the loss", loss), _own_of_optimizer(optimizer)]
    return next(filter(None, parts), None)


def own_of_apply(apply: Any) -> str | None:
    """What of a model is a user's own, in words, or None: it goes by the traits of its layers."""
    return next(_own_layers(Layer(_no_init, apply)), None)


def _no_init(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError


def _own_layers(layer: Layer) -> Iterator[str]:
    known = traits(layer)
    if known == Traits() or not spec.is_layer_of_ours(known.name):
        name = layer_name(layer)
        yield "a layer of your own" if name == "layer" else f"a layer of your own, {name}"
    for inner in known.layers:
        yield from _own_layers(inner)


def _own_of_function(what: str, function: Any) -> str | None:
    if isinstance(function, functools.partial):
        return _own_of_function(what, function.func)
    if isinstance(function, Made):
        return _own_of_recipe(function.recipe)
    return None if _is_ours(function) else f"{what} of your own, {name_of(function)}"


def _own_of_optimizer(optimizer: Any) -> str | None:
    recipe = recipe_of(optimizer) if isinstance(optimizer, tuple) else None
    if recipe is None:
        return f"an optimizer of your own, {shown(optimizer)}"
    return _own_of_recipe(recipe)


def _own_of_recipe(recipe: Recipe) -> str | None:
    make, args, kwargs = recipe
    if not _is_ours(make):
        return f"{name_of(make)} of your own"
    given = bind(make, args, kwargs).arguments.items()
    parts = (_own_of_value(value) for name, value in given if name not in SCHEDULES)
    return next(filter(None, parts), None)


def _own_of_value(value: Any) -> str | None:
    if isinstance(value, tuple) and any(map(callable, value)):
        return _own_of_optimizer(value)
    if isinstance(value, (tuple, list, Mapping)):
        parts = value.values() if isinstance(value, Mapping) else value
        return next(filter(None, map(_own_of_value, parts)), None)
    if value is None or isinstance(value, (bool, int, float, str)):
        return None
    return _own_of_function("a function", value) if callable(value) else f"{shown(value)}"


def _is_ours(function: Callable[..., Any]) -> bool:
    """Whether it stands in a module of this library by its name."""
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", "")
    ours = module.partition(".")[0] == __package__.partition(".")[0]
    return ours and getattr(sys.modules.get(module), name, None) is function
