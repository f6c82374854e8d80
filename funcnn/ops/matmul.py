"""Products of matrices on all cores, with the bits of one.

OpenBLAS's own division of a product among threads shows in the bits: each number of threads groups
rows, and halves sums, in another way. So a product is divided here, into products of some of its
rows or columns, at multiples of as many as a kernel of OpenBLAS works on at a time, so that each is
computed as it is in the whole. How many that is, is tried when a dtype is first met; if nothing
will do, a product is divided by its shape alone, whether there are threads for its parts or not.

The parts are given to BLAS's own threads, which are awake in a microsecond or two, where those of
Python need ten to fifty.
"""

import contextlib
import functools
import itertools
import math
import time
from typing import Any, NamedTuple

import numpy as np

from funcnn._memory import LEAST_BYTES, contiguous, empty
from funcnn._recording import into
from funcnn.ops.gemm_batch import Cuts, ProductInParts, product_in_parts
from funcnn.ops.pace import Pace
from funcnn.threads import (
    NotAloneError,
    run_parallel,
    single_threaded_blas,
    spare_blas_threads,
    with_blas_threads,
)
from funcnn.types import Array

DTYPES = np.dtype(np.float32), np.dtype(np.float64)
"""Those that BLAS multiplies."""
GRAINS = {0: (4, 12, 24), 1: (16,)}
"""Rows are cut at multiples of one of the first, columns at those of the second."""
LEAST_WORK = 1 << 20
"""Multiply-adds of a part: some 20 microseconds. OpenBLAS has other kernels for less than 1e6."""
LEAST_OF_PYTHON = 1 << 24
"""Of a part for a thread of Python's, which takes longer to wake."""
MOST_PARTS = 2
"""Of a product that is divided by its shape alone."""
MOST_KINDS = 1000
"""Of products that are known."""


def matmul(a: Array, b: Array) -> Array:
    """a @ b of matrices `(M, K)` and `(K, N)`.

    In a `single_threaded_blas` block the bits are the same for any number of threads.
    """
    (rows, inner), columns, dtype = a.shape, b.shape[1], a.dtype
    is_small = rows * columns * dtype.itemsize < LEAST_BYTES and rows * inner * columns < LEAST_WORK
    if is_small or dtype != b.dtype or dtype not in DTYPES or inner != len(b):
        product: Array = a @ b
        return product
    y = empty((rows, columns), dtype)
    into(y, multiply, a, b)
    return y


def multiply(a: Array, b: Array, out: Array) -> None:
    """out = a @ b, as `matmul`; out: `(M, N)`, contiguous, of the dtype that NumPy gives."""
    kind = a.shape, a.strides, b.shape, b.strides, a.dtype, b.dtype
    product = _products.get(kind)
    if product is None:
        if len(_products) == MOST_KINDS:
            _products.clear()
        product = _products[kind] = Product(a, b)
    product(a, b, out)


class Product:
    """out = a @ b, as `multiply`, of matrices that lie as the ones given, in shape and strides.

    What can be known of them beforehand is found once. addresses: where a, b and out are always;
    None: somewhere else each time.
    """

    def __init__(
        self, a: Array, b: Array, addresses: tuple[int | None, ...] = (None, None, None)
    ) -> None:
        (rows, inner), columns = a.shape, b.shape[1]
        self._shape, self._inner, self._addresses = (rows, columns), inner, addresses
        # Vectors are for other functions of BLAS, and other dtypes for none.
        is_small = rows * inner * columns < 2 * LEAST_WORK or 1 in (rows, inner, columns)
        self._is_whole = is_small or a.dtype != b.dtype or a.dtype not in DTYPES
        self._axis, self._grain = 0, None
        if not self._is_whole:
            preferred = int(b.size > a.size)  # as each part reads the other matrix whole
            self._axis, self._grain = _axis_and_grain(preferred, a.dtype)
        self._divisions: dict[int, _Division] = {}
        self._pace = Pace()

    def __call__(self, a: Array, b: Array, out: Array) -> None:
        """out = a @ b."""
        if self._is_whole:
            np.matmul(a, b, out=out)
            return
        threads = spare_blas_threads()
        division = self._divisions.get(threads)
        if division is None:
            division = self._divisions[threads] = self._division(a, b, threads)
        if self._grain is None:
            self._divide(a, b, out, division)
            return
        # A matrix may be multiplied by its own transpose, which BLAS does in a way of its own.
        if division.threads == 1 or np.may_share_memory(a, b):
            np.matmul(a, b, out=out)
            return
        divides = self._pace.divides_next()
        start = time.perf_counter()
        if divides:
            self._divide(a, b, out, division)
        else:
            np.matmul(a, b, out=out)
        self._pace.note(divides, time.perf_counter() - start)

    def _division(self, a: Array, b: Array, threads: int) -> "_Division":
        most, grain = (MOST_PARTS, GRAINS[0][-1]) if self._grain is None else (threads, self._grain)
        length, other = self._shape[self._axis], self._shape[1 - self._axis]
        cuts = _cuts(length, self._inner * other, most, grain)
        threads = min(threads, len(cuts) - 1)
        in_parts = None
        if threads > 1 and self._grain is not None:  # else its bits might not be np.matmul's
            in_parts = product_in_parts(a, b, self._axis, cuts)
        return _Division(cuts, threads, in_parts)

    def _divide(self, a: Array, b: Array, out: Array, division: "_Division") -> None:
        """out = a @ b by its parts."""
        cuts, threads, in_parts = division
        if in_parts is not None:
            a_at, b_at, out_at = self._addresses
            a_at = a.ctypes.data if a_at is None else a_at
            b_at = b.ctypes.data if b_at is None else b_at
            out_at = out.ctypes.data if out_at is None else out_at
            with contextlib.suppress(NotAloneError):
                with_blas_threads(threads, in_parts, a_at, b_at, out_at)
                return
        products = [
            functools.partial(np.matmul, *factors, out=part)
            for *factors, part in _parts(a, b, out, self._axis, cuts)
        ]
        if threads > 1 and a.size * b.shape[1] >= threads * LEAST_OF_PYTHON:
            run_parallel(products)
        else:
            for product in products:
                product()


class _Division(NamedTuple):
    """Where a product is divided, among how many threads at most, and by what, if BLAS can."""

    cuts: Cuts
    threads: int
    in_parts: ProductInParts | None


_products: dict[Any, Product] = {}


def sum_of_products(a: Array, b: Array, axes: int) -> Array:
    """The sum over the first `axes` axes of a @ b: `(P, ..., K, N)` and `(P, ..., N, M)`.

    P stands for those axes. Returns `(..., K, M)`.
    """
    if a.shape[-1] >= b.shape[-1]:
        products: Array = (a @ b).sum(tuple(range(axes)))
        return products
    # With few terms the products would be larger than what they are made of: one product of all.
    rows = _stacked(a.swapaxes(-1, -2), axes)
    return rows.swapaxes(-1, -2) @ _stacked(b, axes)  # (..., K, P N) @ (..., P N, M)


def _stacked(matrices: Array, axes: int) -> Array:
    """Matrices `(P, ..., N, K)` below each other, `(..., P N, K)`: P stands for `axes` axes."""
    *others, columns = matrices.shape[axes:-2] + matrices.shape[-1:]
    moved = np.moveaxis(matrices, range(axes), range(-axes - 2, -2))  # (..., P, N, K)
    rows = math.prod(matrices.shape[:axes]) * matrices.shape[-2]
    return contiguous(moved).reshape(*others, rows, columns)


# --- parts of a product ----------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _cuts(length: int, work: int, most: int, grain: int) -> Cuts:
    """Where to divide rows (or columns), of so much work each, into nearly equal parts."""
    grains = length // grain
    least = -(-LEAST_WORK // (work * grain))  # of a part
    parts = max(1, min(most, grains // least))
    return (*(grains * part // parts * grain for part in range(parts)), length)


def _parts(a: Array, b: Array, y: Array, axis: int, cuts: Cuts) -> list[tuple[Array, ...]]:
    """Of each part what is a, b and y in the whole."""
    if axis == 0:
        return [(a[start:stop], b, y[start:stop]) for start, stop in itertools.pairwise(cuts)]
    return [(a, b[:, start:stop], y[:, start:stop]) for start, stop in itertools.pairwise(cuts)]


@functools.cache
def _axis_and_grain(preferred: int, dtype: np.dtype[Any]) -> tuple[int, int | None]:
    """Which axis of a product to cut, and at multiples of what; None: nothing keeps its bits."""
    with single_threaded_blas():
        for axis in (preferred, 1 - preferred):
            for grain in GRAINS[axis]:
                if _keeps_bits(axis, grain, dtype):
                    return axis, grain
    return 0, None


def _keeps_bits(axis: int, grain: int, dtype: np.dtype[Any]) -> bool:
    """Whether products have the same bits in parts, those with something left over above all."""
    inner = 601
    others = LEAST_WORK // (inner * grain) // 16 * 16 + 31
    for length in (4 * grain + 7, 14 * grain + 2):
        rows, columns = (length, others) if axis == 0 else (others, length)
        values = np.random.default_rng(0).standard_normal((rows + columns, inner), dtype)
        cuts = 0, grain, 3 * grain, length
        by_rows, by_columns = np.ascontiguousarray, np.asfortranarray
        kinds = (by_rows, by_rows), (by_columns, by_rows), (by_rows, by_columns)
        for lay_a, lay_b in kinds:  # as forward, and for both gradients
            a, b = lay_a(values[:rows]), lay_b(values[rows:].T)
            whole = np.matmul(a, b)
            y = np.empty_like(whole)
            for *factors, part in _parts(a, b, y, axis, cuts):
                part[...] = np.matmul(*factors)
            if not np.array_equal(whole, y):
                return False
            multiply_parts = product_in_parts(a, b, axis, cuts)
            if multiply_parts is not None:
                y.fill(0)
                multiply_parts(a.ctypes.data, b.ctypes.data, y.ctypes.data)
                if not np.array_equal(whole, y):
                    return False
    return True
