"""Pickles of layers, optimizers and other functions made by constructors.

Functions that are made inside others cannot be pickled, and layers and optimizers are pairs of
those. A constructor that is decorated by `recorded` leaves what it was called with on what it
makes; a pickle has that recipe, and reading it calls the constructor again.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from funcnn._elsewhere import bind
from funcnn._written import written_call

P = ParamSpec("P")
R = TypeVar("R")


class Recipe(NamedTuple):
    """`make(*args, **kwargs)` gives the same thing again."""

    make: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __repr__(self) -> str:
        return written_call(*self)


class Made:
    """A function that a constructor made, and how: it is called as it is, and can be pickled."""

    def __init__(self, function: Callable[..., Any], recipe: Recipe) -> None:
        self.function, self.recipe = function, recipe

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function gives."""
        try:
            return self.function(*args, **kwargs)
        except ValueError as error:  # only a schedule takes one argument, a step
            if len(args) != 1 or "truth value of an array" not in str(error):
                raise
            message = "a schedule takes one step, got an array: [schedule(step) for step in steps]"
            raise TypeError(message) from None

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.function)

    def __repr__(self) -> str:
        return repr(self.recipe)

    def __reduce__(self) -> tuple[Any, ...]:
        return _build, tuple(self.recipe)

    def __deepcopy__(self, memo: Any) -> "Made":
        return self  # nothing of it can change


def recorded(make: Callable[P, R]) -> Callable[P, R]:
    """Decorate a constructor: its arguments become plain, and what it makes can be pickled.

    It makes a function, or a NamedTuple of functions, new at each call.
    """

    @functools.wraps(make)
    def construct(*args: P.args, **kwargs: P.kwargs) -> R:
        args, kwargs = plain(args), plain(kwargs)
        bind(make, args, kwargs)
        made: R = record(make(*args, **kwargs), Recipe(construct, args, kwargs))
        return made

    return construct


def record(made: Any, recipe: Recipe) -> Any:
    """The function as a `Made`, or the NamedTuple with the recipe left on all its functions."""
    if not isinstance(made, tuple):
        return Made(made, recipe)
    for function in made:
        if callable(function):
            function.recipe = recipe
    return made


def recipe_of(made: Any) -> Recipe | None:
    """The recipe of a NamedTuple of functions; None if it has none, or parts were replaced."""
    functions = [part for part in made if callable(part)]
    recipe, *others = [getattr(function, "recipe", None) for function in functions] or [None]
    if not isinstance(recipe, Recipe) or any(other is not recipe for other in others):
        return None
    wrapped = [getattr(function, "__wrapped__", None) for function in functions]
    copied = any(getattr(function, "recipe", None) is recipe for function in wrapped)
    return None if copied else recipe  # functools.wraps copies it to another function


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
        return _build, tuple(recipe)
    for function in made:
        name = getattr(function, "__qualname__", "")
        if "<locals>" in name or "<lambda>" in name:
            raise TypeError(
                f"cannot pickle {name}: the functions of a layer or optimizer of your own are "
                "pickled by their names, so define them at the top of a module"
            )
    return type(made), tuple(made)


def _build(make: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return make(*args, **kwargs)
