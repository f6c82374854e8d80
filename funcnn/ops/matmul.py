"""Products of matrices on all cores, with the bits of one.

BLAS divides a product among threads that are awake in a microsecond or two, where Python's need
fifty. But the bits may show how many there were, and beside a busy neighbour the slowest of them
decides. Three things are done about it:

- OpenBLAS adds up long sums in pieces, and halves what is left of one differently with one thread
  and with several. So sums are cut here, at a multiple of 256, which is halved the same way.
- A kind of product is divided only if a trial, when it is first met, gave the same bits both ways.
  The trial decides about speed alone: all else is done by one thread.
- Where division has lost more time than it gained, beside busy neighbours, there is a pause in
  which nothing is divided.
"""

import contextlib
import functools
import math
import time
from typing import Any

import numpy as np

from funcnn import _recording
from funcnn._memory import contiguous, empty
from funcnn.threads import NotAloneError, spare_blas_threads, with_blas_threads
from funcnn.types import Array, Shape

PIECE = 256
"""Sums are cut at a multiple of it."""
LEAST_WORK = 1_000_000
"""Multiply-adds for each thread: some 20 microseconds."""
MOST_LOST, PAUSE = 0.01, 0.06
"""Seconds that division may lose before a pause, and of the pause."""


def matmul(a: Array, b: Array) -> Array:
    """a @ b of matrices `(M, K)` and `(K, N)`.

    In a `single_threaded_blas` block the bits are the same for any number of threads.
    """
    (rows, inner), columns = a.shape, b.shape[1]
    threads = rows * inner * columns // LEAST_WORK
    if (
        threads > 1
        and not _recording.active
        and a.dtype == b.dtype
        and a.dtype in (np.float32, np.float64)
    ):
        threads = min(threads, spare_blas_threads())
        if threads > 1 and not _pause.is_on():
            with contextlib.suppress(NotAloneError):
                return _divided(a, b, threads)
    return _in_pieces(a, b)


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


def _divided(a: Array, b: Array, threads: int) -> Array:
    """`_in_pieces` on so many threads, if a trial of it gave the bits of one.

    Raises `NotAloneError` as `with_blas_threads`.
    """
    kind = a.shape, _is_transposed(a), b.shape, _is_transposed(b), a.dtype
    seconds = _trial(*kind, threads)
    if seconds is None:
        return _in_pieces(a, b)
    start = time.perf_counter()
    y = with_blas_threads(threads, lambda: _in_pieces(a, b))
    _pause.note(time.perf_counter() - start - seconds)
    return y


def _in_pieces(a: Array, b: Array) -> Array:
    """a @ b, where the sums are cut."""
    inner = a.shape[1]
    cut = inner - inner % PIECE
    if cut in (0, inner):
        return np.matmul(a, b, out=empty((a.shape[0], b.shape[1]), a.dtype))
    y = np.matmul(a[:, :cut], b[:cut], out=empty((a.shape[0], b.shape[1]), a.dtype))
    y += a[:, cut:] @ b[cut:]
    return y


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
        _in_pieces(a, b)
        return time.perf_counter() - start

    a, b = make(a_shape, a_transposed), make(b_shape, b_transposed)
    same = np.array_equal(_in_pieces(a, b), with_blas_threads(threads, lambda: _in_pieces(a, b)))
    return min(time_product(), time_product()) if same else None


def _stacked(matrices: Array, axes: int) -> Array:
    """Matrices `(P, ..., N, K)` below each other, `(..., P N, K)`: P stands for `axes` axes."""
    *others, columns = matrices.shape[axes:-2] + matrices.shape[-1:]
    moved = np.moveaxis(matrices, range(axes), range(-axes - 2, -2))  # (..., P, N, K)
    rows = math.prod(matrices.shape[:axes]) * matrices.shape[-2]
    return contiguous(moved).reshape(*others, rows, columns)


class _Pause:
    """When not to divide products."""

    def __init__(self) -> None:
        self._lost, self._end = 0.0, 0.0

    def is_on(self) -> bool:
        return time.perf_counter() < self._end

    def note(self, late: float) -> None:
        """A divided product took so many seconds more than on one thread; less than 0 is a gain."""
        self._lost = max(0.0, self._lost + late)
        if self._lost > MOST_LOST:
            self._lost, self._end = 0.0, time.perf_counter() + PAUSE


_pause = _Pause()
