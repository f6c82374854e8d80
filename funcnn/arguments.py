"""Checks of the numbers and arrays that functions take, in one place so that all say the same."""

import math
import operator
from numbers import Real
from typing import Any

import numpy as np

from funcnn.types import Array, Arrays


def as_array(name: str, value: Any) -> Array:
    """The value as an array, its rows in the order in which they lie: an array itself, at no cost.

    Whatever NumPy reads is taken by position (a Series has an index, and `s[rows]` goes by it).
    Raises `TypeError`, naming the argument, for what is no array: objects, or masked entries.
    """
    if type(value) is np.ndarray and value.dtype.kind != "O":
        return value
    kind = type(value).__name__
    if isinstance(value, np.ndarray) and np.any(getattr(value, "mask", False)):
        raise TypeError(f"{name} is a {kind} with masked entries: drop them, or fill them in")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # a ragged list, a tensor on a GPU
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{name} is a {kind} that is no array of numbers: {reason}") from None
    if array.dtype.kind == "O":
        raise TypeError(f"{name} is a {kind} of objects, not of numbers: make an array of it first")
    return array


def as_arrays(name: str, value: Any) -> Arrays:
    """As `as_array`, but of a tuple each of its parts, for a network of several inputs."""
    if isinstance(value, tuple):
        return tuple(as_arrays(name, part) for part in value)
    return as_array(name, value)


def is_array(value: Any) -> bool:
    """Whether it is an array that computes as NumPy's do: not masked, and no matrix.

    Layers and losses take nothing else as x: they convert nothing.
    """
    if type(value) is np.ndarray:
        return True
    if not isinstance(value, np.ndarray) or isinstance(value, np.matrix):
        return False
    return not hasattr(value, "mask")


def check_array(x: Any) -> None:
    """Raise `TypeError` unless the x of a layer is an array, as `is_array` says."""
    if not is_array(x):
        raise TypeError(f"x is an array, got a {type(x).__name__}: np.asarray(x)")


def check_number(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """The value as a Python float: a `np.float64` would turn float32 arrays into float64.

    Raises `ValueError`, naming the argument, unless it is a finite number in range.
    """
    finite = isinstance(value, Real) and math.isfinite(value)
    if finite and least <= value <= most and above < value < below:
        return float(value)
    if most < math.inf or below < math.inf:
        limits = f"in [{least:g}, {most:g}]" if most < math.inf else f"in [{least:g}, {below:g})"
    else:
        limits = "a finite number"
        limits += f" of at least {least:g}" if least > -math.inf else ""
        limits += f" above {above:g}" if above > -math.inf else ""
    raise ValueError(f"{name} must be {limits}, got {value}")


def check_count(name: str, value: Any) -> int:
    """The value as a Python int. Raises `ValueError` unless it is an integer, at least 1."""
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    return count


def check_flag(name: str, value: Any) -> None:
    """Raise `TypeError`, naming the argument, unless the value is True or False."""
    if not isinstance(value, (bool, np.bool)):
        raise TypeError(f"{name} is True or False, got {value!r}")


def check_steps(name: str, value: Any, least: int) -> int:
    """The value as a Python int. Raises `ValueError` unless it is an integer, at least `least`."""
    try:
        steps = operator.index(value)
    except TypeError:
        steps = least - 1
    if steps < least:
        raise ValueError(f"{name} must be a step of at least {least}, got {value}")
    return steps
