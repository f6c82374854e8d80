"""How a thing was made: its constructor and arguments, so that what holds closures can be pickled.

Functions that are made inside others cannot be pickled, and layers and optimizers are pairs of
those. A constructor that is decorated by `recorded` leaves what it was called with on the function
that it makes; a pickle has that recipe, and reading it calls the constructor again.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


class Recipe(NamedTuple):
    """`make(*args, **kwargs)` gives the same thing again."""

    make: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def recorded(make: Callable[P, R]) -> Callable[P, R]:
    """Decorate a constructor: its arguments become plain, and what it makes can be pickled.

    It makes a function, or a NamedTuple of functions, new at each call.
    """

    @functools.wraps(make)
    def construct(*args: P.args, **kwargs: P.kwargs) -> R:
        args, kwargs = plain(args), plain(kwargs)
        made = make(*args, **kwargs)
        record(made, Recipe(construct, args, kwargs))
        return made

    return construct


def record(made: Any, recipe: Recipe) -> None:
    """Leave the recipe on a function, or on all the functions of a NamedTuple."""
    for function in made if isinstance(made, tuple) else (made,):
        if callable(function):
            function.recipe = recipe


def recipe_of(made: Any) -> Recipe | None:
    """The recipe of a function or a NamedTuple; None if it has none, or parts were replaced."""
    functions = [part for part in made if callable(part)] if isinstance(made, tuple) else [made]
    found = [getattr(function, "recipe", None) for function in functions]
    own = all(recipe is found[0] for recipe in found)
    if not own or not isinstance(found[0], Recipe):
        return None
    inner = [getattr(function, "__wrapped__", None) for function in functions]
    copied = any(getattr(function, "recipe", None) is found[0] for function in inner)
    return None if copied else found[0]  # functools.wraps copies it to another function


def plain(value: Any) -> Any:
    """Numbers of NumPy, and arrays of one axis of them, as Python's numbers and tuples of those.

    So `Reshape(np.array([2, 2]))` is `Reshape((2, 2))`, and a spec can hold it.
    """
    kind = type(value)
    if isinstance(value, np.generic):
        return value.item()
    if kind is np.ndarray and value.ndim <= 1 and value.dtype.kind in "biuf":
        numbers = value.tolist()
        return tuple(numbers) if value.ndim else numbers
    if kind is tuple or kind is list:
        return kind(map(plain, value))
    if kind is dict:
        return {plain(key): plain(entry) for key, entry in value.items()}
    return value


def reduce(made: Any) -> tuple[Any, ...]:
    """What `__reduce__` returns for a NamedTuple of functions.

    Raises `TypeError` for functions that pickle has no name for.
    """
    recipe = recipe_of(made)
    if recipe is not None:
        return _build, tuple(_packed(recipe))
    for function in made:
        name = getattr(function, "__qualname__", "")
        if "<locals>" in name or "<lambda>" in name:
            raise TypeError(
                f"cannot pickle {name}: the functions of a layer or optimizer of your own are "
                "pickled by their names, so define them at the top of a module"
            )
    return type(made), tuple(made)


def _packed(value: Any) -> Any:
    """The value with functions that have a recipe replaced by it; layers pickle by themselves."""
    kind = type(value)
    if kind is tuple or kind is list or kind is Recipe:
        entries = map(_packed, value)
        return Recipe(*entries) if kind is Recipe else kind(entries)
    if kind is dict:
        return {key: _packed(entry) for key, entry in value.items()}
    recipe = None if isinstance(value, tuple) else recipe_of(value)
    return value if recipe is None else _packed(recipe)


def _unpacked(value: Any) -> Any:
    kind = type(value)
    if kind is Recipe:
        return _build(*value)
    if kind is tuple or kind is list:
        return kind(map(_unpacked, value))
    if kind is dict:
        return {key: _unpacked(entry) for key, entry in value.items()}
    return value


def _build(make: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return make(*_unpacked(args), **_unpacked(kwargs))
