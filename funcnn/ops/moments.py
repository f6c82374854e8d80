"""Means of arrays over some of their axes, and normalisation by them beside its derivative.

The arrays may lie in memory in any order; what comes back lies in the same.
"""

import itertools
import math
from typing import Any

import numpy as np

from funcnn._memory import contiguous, empty_like
from funcnn.types import Array, ArrayVjp

Axes = tuple[int, ...]
"""Numbers of axes, from 0, ascending."""


def sum_over(axes: Axes, *factors: Array) -> Array:
    """The sum over `axes` (ascending) of the product of arrays of one shape."""
    # In two stages: a million float32 numbers added up one by one are wrong in the fourth digit.
    every = range(factors[0].ndim)
    left = [axis for axis in every if axis not in axes[1:]]
    operands: list[Any] = list(itertools.chain(*((factor, every) for factor in factors)))
    partial: Array = np.einsum(*operands, left)
    total: Array = contiguous(np.moveaxis(partial, left.index(axes[0]), -1)).sum(-1)
    return total


def mean_over(axes: Axes, *factors: Array) -> Array:
    """The mean of the product, with axes of 1 in the place of `axes`."""
    count = math.prod(factors[0].shape[axis] for axis in axes)
    mean: Array = np.expand_dims(sum_over(axes, *factors), axes)
    mean /= count
    return mean


def normalize(x: Array, axes: Axes, eps: float) -> tuple[Array, ArrayVjp]:
    """y = (x - mean) s, s = 1 / sqrt(variance + eps), over `axes`.

    dx = s (dy - mean(dy) - y mean(dy y)).
    """
    # The mean is rounded in proportion to itself. What is left of it is small and goes now.
    y = np.subtract(x, mean_over(axes, x), out=empty_like(x))  # in the memory order of x
    y -= mean_over(axes, y)
    scale = 1 / np.sqrt(mean_over(axes, y, y) + eps)
    y *= scale

    def vjp(dy: Array) -> Array:
        mean_dy, mean_dy_y = mean_over(axes, dy), mean_over(axes, dy, y)
        dx = np.multiply(y, -mean_dy_y, out=empty_like(y))
        dx += dy
        dx -= mean_dy
        dx *= scale
        return dx

    return y, vjp
