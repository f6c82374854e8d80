"""Products of matrices on all cores, with the bits of one.

OpenBLAS's own division of a product among threads shows in the bits: each number of threads groups
rows, and halves sums, in another way. So a product is divided here, into products of some of its
rows or columns, at multiples of as many as a kernel of OpenBLAS works on at a time, so that each is
computed as it is in the whole. How many that is, is tried when a dtype is first met; if nothing
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

from funcnn._memory import LEAST_BYTES, contiguous, empty
from funcnn._recording import into
from funcnn.ops.gemm_batch import Cuts, batch_of_parts
from funcnn.threads import (
    NotAloneError,
    run_parallel,
    single_threaded_blas,
    spare_blas_threads,
    with_blas_threads,
)
from funcnn.types import Array

GRAINS = {0: (4, 12, 24), 1: (16,)}
"""Rows are cut at multiples of one of the first, columns at those of the second."""
LEAST_WORK = 1 << 20
"""Multiply-adds of a part: some 20 microseconds. OpenBLAS has other kernels for less than 1e6."""
LEAST_OF_PYTHON = 1 << 24
"""Of a part for a thread of Python's, which takes longer to wake."""
MOST_PARTS = 2
"""Of a product that is divided by its shape alone."""
MOST_LOST, PAUSE = 0.01, 0.06
"""Seconds that division may lose before a pause, and of the pause."""
TIMES, AS_LATE_AS = 3, 10_000
"""How many times of each kind of product are compared, and of how many products, the latest."""


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
    into(y, multiply, a, b)
    return y


def multiply(a: Array, b: Array, out: Array) -> None:
    """out = a @ b, as `matmul`; out: `(M, N)`, contiguous. All are float32, or all are float64."""
    (rows, inner), columns = a.shape, b.shape[1]
    is_small = rows * inner * columns < 2 * LEAST_WORK
    if is_small or 1 in (rows, inner, columns):  # vectors are for other functions of BLAS
        np.matmul(a, b, out=out)
        return
    axis, grain = _axis_and_grain(int(b.size > a.size), a.dtype)  # each part reads the other whole
    threads = spare_blas_threads()
    if grain is None:
        cuts = _cuts(rows, inner * columns, MOST_PARTS, GRAINS[0][-1])
        _multiply_parts(a, b, out, 0, cuts, threads)
        return
    if threads == 1 or np.may_share_memory(a, b):  # which may be by a's own transpose
        np.matmul(a, b, out=out)
        return
    length, others = out.shape[axis], out.shape[1 - axis]
    cuts = _cuts(length, inner * others, threads, grain)
    kind = a.shape, b.shape, a.dtype
    divide = len(cuts) > 2 and _pace.allows(kind)
    start = time.perf_counter()
    if divide:
        _multiply_parts(a, b, out, axis, cuts, threads)
    else:
        np.matmul(a, b, out=out)
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
    return contiguous(moved).reshape(*others, rows, columns)


# --- parts of a product ----------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _cuts(length: int, work: int, most: int, grain: int) -> Cuts:
    """Where to divide rows (or columns), of so much work each, into nearly equal parts."""
    grains = length // grain
    least = -(-LEAST_WORK // (work * grain))  # of a part
    parts = max(1, min(most, grains // least))
    return (*(grains * part // parts * grain for part in range(parts)), length)


def _multiply_parts(a: Array, b: Array, y: Array, axis: int, cuts: Cuts, threads: int) -> None:
    """y = a @ b by its parts, on so many threads if they can be had."""
    batch = batch_of_parts(a, b, y, axis, cuts) if threads > 1 else None
    if batch is not None:
        with contextlib.suppress(NotAloneError):
            with_blas_threads(min(threads, len(cuts) - 1), batch)
            return
    products = [
        functools.partial(np.matmul, *factors, out=part)
        for *factors, part in _parts(a, b, y, axis, cuts)
    ]
    if threads > 1 and a.size * b.shape[1] >= threads * LEAST_OF_PYTHON:
        run_parallel(products)
    else:
        for product in products:
            product()


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
            batch = batch_of_parts(a, b, y, axis, cuts)
            if batch is not None:
                y.fill(0)
                batch()
                if not np.array_equal(whole, y):
                    return False
    return True


class _Pace:
    """When to divide products: where it takes less time, of late, than to leave them whole."""

    def __init__(self) -> None:
        self._times: dict[Any, tuple[list[float], list[float]]] = {}
        """The least few of each kind, whole and divided."""
        self._noted = 0
        self._lost, self._end = 0.0, 0.0

    def allows(self, kind: Any) -> bool:
        """Whether a product of this kind should be divided now."""
        whole, divided = self._times.get(kind, ([], []))
        if len(whole) < TIMES or time.perf_counter() < self._end:
            return False
        return len(divided) < TIMES or divided[0] < whole[0]

    def note(self, kind: Any, divided: bool, seconds: float) -> None:
        """A product of this kind took so many seconds."""
        times = self._times.setdefault(kind, ([], []))
        times[divided][:] = sorted([*times[divided], seconds])[:TIMES]
        if divided and times[False]:  # which another thread may have cleared meanwhile
            self._lost = max(0.0, self._lost + seconds - times[False][0])
            if self._lost > MOST_LOST:
                self._lost, self._end = 0.0, time.perf_counter() + PAUSE
        self._noted += 1
        if self._noted == AS_LATE_AS:  # or what was measured beside a neighbour would hold for ever
            self._times.clear()
            self._noted = 0


_pace = _Pace()
