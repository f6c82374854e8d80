"""Whether parts of what NumPy computes have the bits that they have in the whole: it is tried."""

import functools
from itertools import pairwise
from typing import Any

import numpy as np

from funcnn.compiled.names import aligned
from funcnn.compiled.tape import Operation, View, array_at, span
from funcnn.threads import single_threaded_blas
from funcnn.types import Array

Cuts = tuple[int, ...]
"""Where rows or columns are cut: the first is 0, the last is all of them."""


def product_keeps_bits(product: Operation, axis: int, cuts: Cuts) -> bool:
    """Whether a product has the same bits when its rows (axis 0) or columns are cut there."""
    a, b = (view._replace(buffer=0, offset=0) for view in product.inputs)
    return _keep_bits(a, b, axis, cuts)


@functools.lru_cache(maxsize=256)
def _keep_bits(a: View, b: View, axis: int, cuts: Cuts) -> bool:
    generator = np.random.default_rng(0)
    with single_threaded_blas():
        for shift in (0, a.dtype.itemsize):  # from the beginning of a line of the cache, nearly
            x, y = (_example(view, shift, generator) for view in (a, b))
            whole = np.matmul(x, y)
            in_parts = np.empty_like(whole)
            for start, stop in pairwise(cuts):
                if axis == 0:
                    np.matmul(x[start:stop], y, out=in_parts[start:stop])
                else:
                    np.matmul(x, y[:, start:stop], out=in_parts[:, start:stop])
            if not np.array_equal(whole, in_parts):
                return False
    return True


def _example(view: View, shift: int, generator: np.random.Generator) -> Array:
    """An array of random numbers that lies as this one, so many bytes further on."""
    start, stop = span(view)
    array = array_at(view, aligned(stop - start + shift), shift - start)
    array[...] = generator.standard_normal(view.shape)
    return array


@functools.cache
def function_keeps_bits(function: np.ufunc, dtype: np.dtype[Any]) -> bool:
    """Whether a function of one array has the same bits when that is cut."""
    if function.nin != 1:
        return False
    generator = np.random.default_rng(0)
    values = np.exp(generator.uniform(-99, 99, 1001)) * generator.choice([-1, 1], 1001)
    values[::7], values[3::50] = generator.uniform(0, 5, 143), [np.inf, -np.inf, np.nan, 0] * 5
    cuts = 0, 1, 8, 100, 333, 1001
    with np.errstate(all="ignore"):
        values = values.astype(dtype)
        parts = [function(values[start:stop]) for start, stop in pairwise(cuts)]
        return bool(function(values).tobytes() == np.concatenate(parts).tobytes())
