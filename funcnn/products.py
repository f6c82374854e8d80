"""Products of matrices on all cores, with the bits of one.

BLAS divides a product among threads that are awake in a microsecond or two, where Python's need
fifty. But the bits may show how many there were, and beside a busy neighbour the slowest of them
decides. Three things are done about it:

- OpenBLAS adds up long sums in pieces, and halves what is left of one differently with one thread
  and with several. So sums are cut here, at a multiple of 256, which is halved the same way.
- A kind of product is divided only if a trial, when it is first met, gave the same bits both ways.
  The trial decides about speed alone: all else is done by one thread.
- After a divided product that came late, none is divided for ten times as long as it was late.
"""

import contextlib
import functools
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
PAUSE = 10
"""How many times as long as a product was late none is divided: so at most a tenth is lost."""


def matmul(a: Array, b: Array) -> Array:
    """a @ b of matrices `(M, K)` and `(K, N)`: the same bits for any number of threads."""
    inner = a.shape[1]
    cut = inner - inner % PIECE
    if cut in (0, inner):
        return _multiply(a, b)
    y = _multiply(a[:, :cut], b[:cut])
    y += _multiply(a[:, cut:], b[cut:])
    return y


def _multiply(a: Array, b: Array) -> Array:
    (rows, inner), columns = a.shape, b.shape[1]
    threads = rows * inner * columns // LEAST_WORK
    if threads > 1:
        threads = min(threads, spare_blas_threads())
    if threads > 1 and not _pause.is_on():
        with contextlib.suppress(NotAloneError):
            kind = a.shape, _is_transposed(a), b.shape, _is_transposed(b), a.dtype
            seconds = _trial(*kind, threads)
            if seconds is not None:
                start = time.perf_counter()
                y = with_blas_threads(threads, lambda: a @ b)
                _pause.note(time.perf_counter() - start - seconds)
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
        matrix = generator.standard_normal(shape[::-1] if transposed else shape).astype(dtype)
        return matrix.T if transposed else matrix

    a, b = make(a_shape, a_transposed), make(b_shape, b_transposed)
    y = a @ b
    same = np.array_equal(y, with_blas_threads(threads, lambda: a @ b))
    start = time.perf_counter()
    np.matmul(a, b, out=y)
    return time.perf_counter() - start if same else None


class _Pause:
    """When not to divide products."""

    def __init__(self) -> None:
        self._end = 0.0

    def is_on(self) -> bool:
        return time.perf_counter() < self._end

    def note(self, late: float) -> None:
        """A divided product took so many seconds more than it takes on one thread."""
        if late > LATE:
            self._end = time.perf_counter() + PAUSE * late


_pause = _Pause()
