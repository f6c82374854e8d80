"""Checks of the numbers that constructors take, in one place so that all of them say the same."""

import math
import operator
from numbers import Real
from typing import Any

import numpy as np


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
