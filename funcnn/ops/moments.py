"""Means of arrays over some of their axes, and normalisation by them beside its derivative.

The arrays may lie in memory in any order; what comes back lies in the same.
"""

import itertools
import math
from typing import Any

import numpy as np

from funcnn.types import Array

Axes = tuple[int, ...]
"""Numbers of axes, from 0, ascending."""


def sum_over(axes: Axes, *factors: Array) -> Array:
    """The sum over `axes` (ascending) of the product of arrays of one shape."""
    # In two stages: a million float32 numbers added up one by one are wrong in the fourth digit.
    every = range(factors[0].ndim)
    left = [axis for axis in every if axis not in axes[1:]]
    operands: list[Any] = list(itertools.chain(*((factor, every) for factor in factors)))
    partial: Array = np.einsum(*operands, left)
    total: Array = np.ascontiguousarray(np.moveaxis(partial, left.index(axes[0]), -1)).sum(-1)
    return total


def mean_over(axes: Axes, *factors: Array) -> Array:
    """The mean of the product, with axes of 1 in the place of `axes`."""
    count = math.prod(factors[0].shape[axis] for axis in axes)
    mean: Array = np.expand_dims(sum_over(axes, *factors), axes)
    mean /= count
    return mean


def normalize(x: Array, axes: Axes, eps: float) -> tuple[Array, Array, Array, Array]:
    """normal = (x - mean) s, s = 1 / sqrt(variance + eps), over `axes`; mean, variance and s.

    The last three have axes of 1 in the place of `axes`.
    """
    mean = mean_over(axes, x)
    # The mean is rounded in proportion to itself. What is left of it is small and goes now.
    centred = np.subtract(x, mean, out=np.empty_like(x))  # in the memory order of x
    rest = mean_over(axes, centred)
    centred -= rest
    variance = mean_over(axes, centred, centred)
    scale = 1 / np.sqrt(variance + eps)
    centred *= scale
    return centred, mean + rest, variance, scale


def normalize_vjp(dy: Array, normal: Array, scale: Array, means: tuple[Array, Array]) -> Array:
    """dx = s (dy - mean(dy) - normal mean(dy normal)): what `normalize` makes of a cotangent.

    means: those two, which a caller may have need of too.
    """
    mean_dy, mean_dy_normal = means
    dx = np.multiply(normal, -mean_dy_normal, out=np.empty_like(normal))
    dx += dy
    dx -= mean_dy
    dx *= scale
    return dx
