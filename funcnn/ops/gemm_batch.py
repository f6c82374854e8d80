"""Products of float matrices at once, each by a thread of OpenBLAS's.

OpenBLAS has had a word for it, `cblas_sgemm_batch`, since the end of 2024; NumPy has none. So it is
called in the library that NumPy brings. Its threads are awake in a microsecond or two, where
those of Python need ten to fifty.
"""

import ctypes
import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from funcnn.threads import blas_libraries
from funcnn.types import Array, Shape

_ROW_MAJOR, _AS_IT_LIES, _TRANSPOSED = 101, 111, 112  # cblas.h
_REALS: dict[str, tuple[str, Any]] = {"f": ("s", ctypes.c_float), "d": ("d", ctypes.c_double)}
_AFFIXES = list(itertools.product(("", "scipy_"), ("", "64_", "_64")))

SMALL = 1_000_000
"""Multiply-adds up to which OpenBLAS has other kernels, which crash in a batch."""

Cuts = tuple[int, ...]
"""Numbers of rows or columns, ascending: the first is 0, the last is all of them."""


class _Batch(NamedTuple):
    """BLAS's function for a dtype, and its types of numbers."""

    function: Any
    integer: Any
    real: Any


class _Lies(NamedTuple):
    """How a matrix lies in memory, as BLAS is told."""

    transposed: bool
    stride: int
    """Elements from one row (column, of a transposed one) to the next."""


class _Parts(NamedTuple):
    """What BLAS is told of the parts of a product but their addresses: an array for each."""

    transposed: tuple[Any, Any]
    sizes: tuple[Any, Any, Any]
    one: Any
    zero: Any
    strides: tuple[Any, Any, Any]
    products: Any
    """One of each kind."""
    offsets: tuple[list[int], list[int], list[int]]
    """Bytes from the address of a, of b and of y to that of each part."""


def batch_of_parts(
    a: Array, b: Array, y: Array, axis: int, cuts: Cuts
) -> Callable[[], None] | None:
    """What computes y = a @ b in parts, from each cut to the next; None if BLAS cannot.

    a: `(M, K)`, b: `(K, N)`, y: `(M, N)`, contiguous; all float32, or all float64. axis: which one
    of y is cut, 0 or 1. As many threads work on the parts as BLAS has when it is called.
    """
    batch = _batch_function(a.dtype)
    a_lies, b_lies = _lies(a), _lies(b)
    if batch is None or a_lies is None or b_lies is None:
        return None
    if _least_work(a.shape[1], y.shape[1 - axis], cuts) <= SMALL:
        return None
    parts = _describe(a.dtype, (*a.shape, b.shape[1]), a_lies, b_lies, axis, cuts)
    count = len(cuts) - 1
    pointers = ctypes.c_void_p * count
    a_at, b_at, y_at = (
        pointers(*(address + offset for offset in offsets))
        for address, offsets in zip(
            (a.ctypes.data, b.ctypes.data, y.ctypes.data), parts.offsets, strict=True
        )
    )
    return functools.partial(
        batch.function,
        *(_ROW_MAJOR, *parts.transposed, *parts.sizes),
        *(parts.one, a_at, parts.strides[0], b_at, parts.strides[1]),
        *(parts.zero, y_at, parts.strides[2], count, parts.products),
    )


def _least_work(inner: int, others: int, cuts: Cuts) -> int:
    """The multiply-adds of the smallest part."""
    return min(stop - start for start, stop in itertools.pairwise(cuts)) * inner * others


def _lies(matrix: Array) -> _Lies | None:
    """None if NumPy would have to copy it for BLAS."""
    (rows, columns), (down, right), size = matrix.shape, matrix.strides, matrix.itemsize
    if right == size and down >= columns * size and down % size == 0:
        return _Lies(False, down // size)
    if down == size and right >= rows * size and right % size == 0:
        return _Lies(True, right // size)
    return None


@functools.lru_cache(maxsize=256)
def _describe(
    dtype: np.dtype[Any], sizes: Shape, a: _Lies, b: _Lies, axis: int, cuts: Cuts
) -> _Parts:
    batch = _batch_function(dtype)
    assert batch is not None
    rows, inner, columns = sizes
    lengths = [stop - start for start, stop in itertools.pairwise(cuts)]

    def each(kind: Any, *values: Any) -> Any:
        values = values * len(lengths) if len(values) == 1 else values
        return (kind * len(lengths))(*values)

    integers, reals = functools.partial(each, batch.integer), functools.partial(each, batch.real)
    order = [_TRANSPOSED if matrix.transposed else _AS_IT_LIES for matrix in (a, b)]
    steps = (1 if a.transposed else a.stride, 0, columns)
    if axis == 1:
        steps = (0, b.stride if b.transposed else 1, 1)
    a_offsets, b_offsets, y_offsets = (
        [dtype.itemsize * step * start for start in cuts[:-1]] for step in steps
    )
    return _Parts(
        (each(ctypes.c_int, order[0]), each(ctypes.c_int, order[1])),
        (
            integers(*lengths if axis == 0 else (rows,)),
            integers(*lengths if axis == 1 else (columns,)),
            integers(inner),
        ),
        reals(1),
        reals(0),
        (integers(a.stride), integers(b.stride), integers(columns)),
        integers(1),
        (a_offsets, b_offsets, y_offsets),
    )


@functools.cache
def _batch_function(dtype: np.dtype[Any]) -> _Batch | None:
    libraries = blas_libraries()
    if dtype.char not in _REALS or not dtype.isnative or len(libraries) != 1:
        return None
    letter, real = _REALS[dtype.char]
    library = ctypes.CDLL(libraries[0].filepath)
    for prefix, suffix in _AFFIXES:
        function = getattr(library, f"{prefix}cblas_{letter}gemm_batch{suffix}", None)
        config = getattr(library, f"{prefix}openblas_get_config{suffix}", None)
        if function is None or config is None:
            continue
        config.restype = ctypes.c_char_p
        integer = ctypes.c_int64 if b"USE64BITINT" in config() else ctypes.c_int32
        function.restype = None
        pointer = ctypes.c_void_p
        function.argtypes = [ctypes.c_int, *[pointer] * 13, integer, pointer]
        return _Batch(function, integer, real)
    return None
