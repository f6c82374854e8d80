"""Products of float matrices at once, each by a thread of OpenBLAS's.

OpenBLAS has had a word for it, `cblas_sgemm_batch`, since the end of 2024; NumPy has none. So it is
called in the library that NumPy brings. Its threads are awake in a microsecond or two, where
those of Python need ten to fifty.
"""

import ctypes
import functools
import itertools
from typing import Any, NamedTuple

import numpy as np

from funcnn._blas import blas_libraries, openblas_function
from funcnn.types import Array, Shape

_ROW_MAJOR, _AS_IT_LIES, _TRANSPOSED = 101, 111, 112  # cblas.h
_REALS: dict[str, tuple[str, Any]] = {"f": ("s", ctypes.c_float), "d": ("d", ctypes.c_double)}

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


class ProductInParts:
    """y = a @ b in parts, of matrices that lie in one way; as many threads work as BLAS has then.

    Called with the addresses of a, b and y. It holds what BLAS is told of the parts but these.
    """

    def __init__(self, batch: _Batch, sizes: Shape, a: _Lies, b: _Lies, axis: int, cuts: Cuts):
        rows, inner, columns = sizes
        lengths = [stop - start for start, stop in itertools.pairwise(cuts)]
        count = len(lengths)

        def each(kind: Any, *values: Any) -> Any:
            return (kind * count)(*(values * count if len(values) == 1 else values))

        integers, reals = (functools.partial(each, kind) for kind in (batch.integer, batch.real))
        order = [_TRANSPOSED if matrix.transposed else _AS_IT_LIES for matrix in (a, b)]
        self._before = (
            *(ctypes.c_int(_ROW_MAJOR), each(ctypes.c_int, order[0]), each(ctypes.c_int, order[1])),
            integers(*lengths if axis == 0 else (rows,)),
            integers(*lengths if axis == 1 else (columns,)),
            *(integers(inner), reals(1)),
        )
        self._strides = integers(a.stride), integers(b.stride), integers(columns)
        self._zero, self._count, self._ones = reals(0), batch.integer(count), integers(1)
        self._function, self._pointers = batch.function, ctypes.c_void_p * count
        steps = (1 if a.transposed else a.stride, 0, columns)  # from one row of y to the next
        if axis == 1:
            steps = (0, b.stride if b.transposed else 1, 1)
        size = ctypes.sizeof(batch.real)
        self._offsets = [[size * step * start for start in cuts[:-1]] for step in steps]

    def __call__(self, a: int, b: int, y: int) -> None:
        """y = a @ b."""
        pointers = self._pointers
        a_strides, b_strides, y_strides = self._strides
        a_offsets, b_offsets, y_offsets = self._offsets
        self._function(
            *self._before,
            *(pointers(*[a + offset for offset in a_offsets]), a_strides),
            *(pointers(*[b + offset for offset in b_offsets]), b_strides, self._zero),
            *(pointers(*[y + offset for offset in y_offsets]), y_strides),
            *(self._count, self._ones),
        )


def product_in_parts(a: Array, b: Array, axis: int, cuts: Cuts) -> ProductInParts | None:
    """What computes y = a @ b in parts, from each cut to the next; None if BLAS cannot.

    a: `(M, K)`, b: `(K, N)`, both float32, or both float64; y: `(M, N)`, contiguous. axis: which
    one of y is cut, 0 or 1. It serves all matrices that lie as these do.
    """
    return _product_in_parts(a.dtype, (a.shape, a.strides), (b.shape, b.strides), axis, cuts)


@functools.lru_cache(maxsize=256)
def _product_in_parts(
    dtype: np.dtype[Any],
    a: tuple[Shape, Shape],
    b: tuple[Shape, Shape],
    axis: int,
    cuts: Cuts,
) -> ProductInParts | None:
    batch = _batch_function(dtype)
    a_lies, b_lies = _lies(*a, dtype.itemsize), _lies(*b, dtype.itemsize)
    if batch is None or a_lies is None or b_lies is None:
        return None
    (rows, inner), (_, columns) = a[0], b[0]
    least = min(stop - start for start, stop in itertools.pairwise(cuts))  # rows, or columns
    if least * inner * (columns if axis == 0 else rows) <= SMALL:
        return None
    return ProductInParts(batch, (rows, inner, columns), a_lies, b_lies, axis, cuts)


def _lies(shape: Shape, strides: Shape, size: int) -> _Lies | None:
    """None if NumPy would have to copy it for BLAS. size: of an element, in bytes."""
    (rows, columns), (down, right) = shape, strides
    if right == size and down >= columns * size and down % size == 0:
        return _Lies(False, down // size)
    if down == size and right >= rows * size and right % size == 0:
        return _Lies(True, right // size)
    return None


@functools.cache
def _batch_function(dtype: np.dtype[Any]) -> _Batch | None:
    libraries = blas_libraries()
    if dtype.char not in _REALS or not dtype.isnative or len(libraries) != 1:
        return None
    letter, real = _REALS[dtype.char]
    function = openblas_function(libraries[0], f"cblas_{letter}gemm_batch")
    config = openblas_function(libraries[0], "openblas_get_config")
    if function is None or config is None:
        return None
    config.restype = ctypes.c_char_p
    integer = ctypes.c_int64 if b"USE64BITINT" in config() else ctypes.c_int32
    function.restype = None
    return _Batch(function, integer, real)
