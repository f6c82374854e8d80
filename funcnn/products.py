"""Products of matrices on all cores, with the bits of one.

BLAS divides a product among threads that are awake in a microsecond or two, where Python's need
fifty. But the bits may show how many there were, and beside a busy neighbour the slowest of them
decides. Three things are done about it:

- OpenBLAS adds up long sums in pieces, and halves what is left of one differently with one thread
  and with several. So sums are cut here, at a multiple of 256, which is halved the same way.
- A kind of product is divided only if a trial, when it is first met, gave the same bits both ways.
  The trial decides about speed alone: all else is done by one thread.
- A divided product that comes late begins a pause in which none is divided. The next pause is twice
  as long, unless a hundred products in a row were in time before it. The first after a break is not
  judged, as BLAS's threads have gone to sleep.
"""

import contextlib
import functools
import math
import time
from typing import Any

import numpy as np

from funcnn.threads import NotAloneError, spare_blas_threads, with_blas_threads
from funcnn.types import Array, Shape

PIECE = 256
"""Sums are cut at a multiple of it."""
LEAST_WORK = 1_000_000
"""Multiply-adds for each thread: some 20 microseconds."""
LATE = 1e-3
"""Seconds more than on one thread that a divided product may take."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 1.0  # seconds
AWAKE = 0.02
"""Seconds after a divided product for which BLAS's threads are surely awake."""
ENOUGH_IN_TIME = 100
"""Products in time after which all is well again."""


def matmul(a: Array, b: Array) -> Array:
    """a @ b of matrices `(M, K)` and `(K, N)`.

    In a `single_threaded_blas` block the bits are the same for any number of threads.
    """
    inner = a.shape[1]
    cut = inner - inner % PIECE
    if cut in (0, inner):
        return _multiply(a, b)
    y = _multiply(a[:, :cut], b[:cut])
    y += _multiply(a[:, cut:], b[cut:])
    return y


def sum_of_products(a: Array, b: Array, axes: int) -> Array:
    """The sum over the first `axes` axes of a @ b: `(P, ..., K, N)` and `(P, ..., N, M)`.

    P stands for those axes. Returns `(..., K, M)`.
    """
    if a.shape[-1] >= b.shape[-1]:
        products: Array = (a @ b).sum(tuple(range(axes)))
        return products
    # With few terms the products would be larger than what they are made of: one product of all.
    return side_by_side(a, axes) @ side_by_side(b.swapaxes(-1, -2), axes).swapaxes(-1, -2)


def side_by_side(matrices: Array, axes: int) -> Array:
    """Matrices `(P, ..., K, N)` beside each other, `(..., K, P N)`: P stands for `axes` axes."""
    others = matrices.shape[axes:-1]
    moved = np.moveaxis(matrices, range(axes), range(-axes - 1, -1))  # (..., K, P, N)
    columns = math.prod(matrices.shape[:axes]) * matrices.shape[-1]
    return np.ascontiguousarray(moved.reshape(*others, columns))


def _multiply(a: Array, b: Array) -> Array:
    (rows, inner), columns = a.shape, b.shape[1]
    threads = rows * inner * columns // LEAST_WORK
    if threads > 1 and a.dtype == b.dtype and a.dtype in (np.float32, np.float64):
        threads = min(threads, spare_blas_threads())
    else:
        threads = 1
    if threads > 1 and not _pause.is_on():
        with contextlib.suppress(NotAloneError):
            kind = a.shape, _is_transposed(a), b.shape, _is_transposed(b), a.dtype
            seconds = _trial(*kind, threads)
            if seconds is not None:
                start = time.perf_counter()
                y = with_blas_threads(threads, lambda: a @ b)
                _pause.note(start, time.perf_counter() - start - seconds)
                return y
    return a @ b


def _is_transposed(matrix: Array) -> bool:
    return bool(matrix.strides[0] < matrix.strides[1])


@functools.lru_cache(maxsize=256)
def _trial(
    a_shape: Shape, a_transposed: bool, b_shape: Shape, b_transposed: bool, dtype: Any, threads: int
) -> float | None:
    """The seconds of such a product on one thread, or None if on several it has other bits."""
    generator = np.random.default_rng(0)

    def make(shape: Shape, transposed: bool) -> Array:
        matrix = generator.standard_normal(shape[::-1] if transposed else shape, dtype)
        return matrix.T if transposed else matrix

    def time_product() -> float:
        start = time.perf_counter()
        np.matmul(a, b, out=y)
        return time.perf_counter() - start

    a, b = make(a_shape, a_transposed), make(b_shape, b_transposed)
    y = a @ b
    same = np.array_equal(y, with_blas_threads(threads, lambda: a @ b))
    return min(time_product(), time_product()) if same else None


class _Pause:
    """When not to divide products."""

    def __init__(self) -> None:
        self._seconds, self._end, self._in_time = SHORTEST_PAUSE, 0.0, 0
        self._last = -math.inf

    def is_on(self) -> bool:
        return time.perf_counter() < self._end

    def note(self, start: float, late: float) -> None:
        """A divided product begun at `start` took so many seconds more than one thread takes."""
        awake = start - self._last < AWAKE
        self._last = time.perf_counter()
        if late <= LATE:
            self._in_time += 1
            if self._in_time >= ENOUGH_IN_TIME:
                self._seconds = SHORTEST_PAUSE
        elif awake:
            self._end = self._last + self._seconds
            self._seconds = min(2 * self._seconds, LONGEST_PAUSE)
            self._in_time = 0


_pause = _Pause()
