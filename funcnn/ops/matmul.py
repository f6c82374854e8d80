"""Products of matrices on all cores, with the bits of one.

OpenBLAS's own division of a product among threads shows in the bits: each number of threads groups
rows, and halves sums, in another way. So a product is divided here, into products of some of its
rows, at multiples of 4, 12 or 24: as many rows as a kernel works on at a time, so that each row is
computed as it is in the whole. Which of them it takes is tried when a dtype is first met; if none
will do, a product is divided by its shape alone, whether there are threads for its parts or not.

The parts are given to BLAS's own threads, which are awake in a microsecond or two, where those of
Python need ten to fifty. Beside busy neighbours they wait for a core at every product; so where
that has lost more time than division gained, there is a pause, in which nothing is divided.
"""

import contextlib
import functools
import itertools
import math
import time
from typing import Any

import numpy as np

from funcnn._memory import LEAST_BYTES, empty
from funcnn.ops.gemm_batch import Cuts, batch_of_rows
from funcnn.threads import (
    NotAloneError,
    run_parallel,
    single_threaded_blas,
    spare_blas_threads,
    with_blas_threads,
)
from funcnn.types import Array

GRAINS = 4, 12, 24
"""Rows are cut at multiples of one of these."""
LEAST_WORK = 1 << 20
"""Multiply-adds of a part: some 20 microseconds. OpenBLAS has other kernels for less than 1e6."""
LEAST_OF_PYTHON = 1 << 24
"""Of a part for a thread of Python's, which takes longer to wake."""
MOST_PARTS = 4
"""Of a product that is divided by its shape alone."""
MOST_LOST, PAUSE = 0.01, 0.06
"""Seconds that division may lose before a pause, and of the pause."""
MOST_KINDS, TIMES = 256, 3
"""Kinds of products whose undivided times are kept, and how many times of each."""


def matmul(a: Array, b: Array) -> Array:
    """a @ b of matrices `(M, K)` and `(K, N)`.

    In a `single_threaded_blas` block the bits are the same for any number of threads.
    """
    (rows, inner), columns, dtype = a.shape, b.shape[1], a.dtype
    is_small = rows * columns * dtype.itemsize < LEAST_BYTES and rows * inner * columns < LEAST_WORK
    if is_small or dtype != b.dtype or dtype.char not in "fd" or inner != len(b):
        product: Array = a @ b
        return product
    y = empty((rows, columns), dtype)
    multiply(a, b, y)
    return y


def multiply(a: Array, b: Array, y: Array) -> None:
    """y = a @ b, as `matmul`; y: `(M, N)`, contiguous. All are float32, or all are float64."""
    (rows, inner), columns = a.shape, b.shape[1]
    is_small = rows * inner * columns < 2 * LEAST_WORK
    if is_small or inner == 1 or columns == 1:  # vectors are for other functions of BLAS
        np.matmul(a, b, out=y)
        return
    grain, threads = _grain(a.dtype), spare_blas_threads()
    if grain is None:
        cuts = _cuts(rows, inner * columns, MOST_PARTS, GRAINS[-1])
        _multiply_parts(a, b, y, cuts, threads)
    elif threads == 1 or np.may_share_memory(a, b):  # which may be by a's own transpose
        np.matmul(a, b, out=y)
    else:
        cuts = _cuts(rows, inner * columns, threads, grain)
        kind = a.shape, b.shape, a.dtype
        divide = len(cuts) > 2 and _pace.allows(kind)
        start = time.perf_counter()
        if divide:
            _multiply_parts(a, b, y, cuts, threads)
        else:
            np.matmul(a, b, out=y)
        _pace.note(kind, divide, time.perf_counter() - start)


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
    return np.ascontiguousarray(moved).reshape(*others, rows, columns)


# --- parts of a product ----------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _cuts(rows: int, row_work: int, most: int, grain: int) -> Cuts:
    """Where to divide rows, of so many multiply-adds each, into nearly equal parts."""
    grains = rows // grain
    least = -(-LEAST_WORK // (row_work * grain))  # of a part
    parts = max(1, min(most, grains // least))
    return (*(grains * part // parts * grain for part in range(parts)), rows)


def _multiply_parts(a: Array, b: Array, y: Array, cuts: Cuts, threads: int) -> None:
    """y = a @ b by its parts, on so many threads if they can be had."""
    batch = batch_of_rows(a, b, y, cuts) if threads > 1 else None
    if batch is not None:
        with contextlib.suppress(NotAloneError):
            with_blas_threads(min(threads, len(cuts) - 1), batch)
            return
    products = [
        functools.partial(np.matmul, a[start:stop], b, out=y[start:stop])
        for start, stop in itertools.pairwise(cuts)
    ]
    if threads > 1 and a.size * b.shape[1] >= threads * LEAST_OF_PYTHON:
        run_parallel(products)
    else:
        for product in products:
            product()


@functools.cache
def _grain(dtype: np.dtype[Any]) -> int | None:
    """The least number of rows at whose multiples a product can be cut: no row has other bits."""
    with single_threaded_blas():
        return next((grain for grain in GRAINS if _keeps_bits(grain, dtype)), None)


def _keeps_bits(grain: int, dtype: np.dtype[Any]) -> bool:
    # Of every number that a kernel works on at a time, something is left over.
    rows, inner = 4 * grain + 7, 601
    columns = LEAST_WORK // (inner * grain) // 16 * 16 + 31
    cuts = 0, grain, 3 * grain, rows
    generator = np.random.default_rng(0)
    kinds = [("C", "C"), ("F", "C"), ("C", "F")]  # as forward, and for both gradients
    for a_order, b_order in kinds:
        a = np.asarray(generator.standard_normal((rows, inner), dtype), order=a_order)
        b = np.asarray(generator.standard_normal((inner, columns), dtype), order=b_order)
        whole = np.matmul(a, b)
        parts = [np.matmul(a[start:stop], b) for start, stop in itertools.pairwise(cuts)]
        if not np.array_equal(whole, np.concatenate(parts)):
            return False
        y = np.empty_like(whole)
        batch = batch_of_rows(a, b, y, cuts)
        if batch is not None:
            batch()
            if not np.array_equal(whole, y):
                return False
    return True


class _Pace:
    """When to divide products: not before it is known how long they take undivided."""

    def __init__(self) -> None:
        self._undivided: dict[Any, list[float]] = {}
        self._lost, self._end = 0.0, 0.0

    def allows(self, kind: Any) -> bool:
        """Whether a product of this kind may be divided now."""
        return len(self._undivided.get(kind, ())) == TIMES and time.perf_counter() >= self._end

    def note(self, kind: Any, divided: bool, seconds: float) -> None:
        """A product of this kind took so many seconds."""
        if not divided:
            if len(self._undivided) == MOST_KINDS:
                self._undivided.clear()
            self._undivided[kind] = sorted([seconds, *self._undivided.get(kind, ())])[:TIMES]
            return
        self._lost = max(0.0, self._lost + seconds - self._undivided[kind][0])
        if self._lost > MOST_LOST:
            self._lost, self._end = 0.0, time.perf_counter() + PAUSE


_pace = _Pace()
