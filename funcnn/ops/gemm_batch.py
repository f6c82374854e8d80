"""Products of float matrices at once, each by a thread of OpenBLAS's.

OpenBLAS has a word for it, `cblas_sgemm_batch`, since its version 0.3.30 or so; NumPy has none. So
it is called in the library that NumPy brings. Its threads are awake in a microsecond or two, where
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

Cuts = tuple[int, ...]
"""Numbers of rows, ascending: the first is 0, the last is all of them."""


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
    a_offsets: list[int]
    """Bytes from the address of a to that of each part's first row."""
    y_offsets: list[int]


def batch_of_rows(a: Array, b: Array, y: Array, cuts: Cuts) -> Callable[[], None] | None:
    """What computes y = a @ b in parts, the rows from each cut to the next; None if BLAS cannot.

    a: `(M, K)`, b: `(K, N)`, y: `(M, N)`, contiguous; all float32, or all float64. As many threads
    work on the parts as BLAS has when it is called.
    """
    batch = _batch_function(a.dtype)
    a_lies, b_lies = _lies(a), _lies(b)
    if batch is None or a_lies is None or b_lies is None:
        return None
    a_address, b_address, y_address = (matrix.ctypes.data for matrix in (a, b, y))
    parts = _describe(a.dtype, (*a.shape, b.shape[1]), a_lies, b_lies, cuts)
    count = len(cuts) - 1
    pointers = ctypes.c_void_p * count
    return functools.partial(
        batch.function,
        _ROW_MAJOR,
        *parts.transposed,
        *parts.sizes,
        parts.one,
        pointers(*(a_address + offset for offset in parts.a_offsets)),
        parts.strides[0],
        pointers(*(b_address,) * count),
        parts.strides[1],
        parts.zero,
        pointers(*(y_address + offset for offset in parts.y_offsets)),
        parts.strides[2],
        count,
        parts.products,
    )


def _lies(matrix: Array) -> _Lies | None:
    """None if NumPy would have to copy it for BLAS."""
    (rows, columns), (down, right), size = matrix.shape, matrix.strides, matrix.itemsize
    if right == size and down >= columns * size and down % size == 0:
        return _Lies(False, down // size)
    if down == size and right >= rows * size and right % size == 0:
        return _Lies(True, right // size)
    return None


@functools.lru_cache(maxsize=256)
def _describe(dtype: np.dtype[Any], sizes: Shape, a: _Lies, b: _Lies, cuts: Cuts) -> _Parts:
    batch = _batch_function(dtype)
    assert batch is not None
    _, inner, columns = sizes
    rows = [stop - start for start, stop in itertools.pairwise(cuts)]

    def each(kind: Any, *values: Any) -> Any:
        values = values * len(rows) if len(values) == 1 else values
        return (kind * len(rows))(*values)

    integers, reals = functools.partial(each, batch.integer), functools.partial(each, batch.real)
    order = [_TRANSPOSED if matrix.transposed else _AS_IT_LIES for matrix in (a, b)]
    step = dtype.itemsize * (1 if a.transposed else a.stride)
    return _Parts(
        (each(ctypes.c_int, order[0]), each(ctypes.c_int, order[1])),
        (integers(*rows), integers(columns), integers(inner)),
        reals(1),
        reals(0),
        (integers(a.stride), integers(b.stride), integers(columns)),
        integers(1),
        [step * start for start in cuts[:-1]],
        [dtype.itemsize * columns * start for start in cuts[:-1]],
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
