"""Memory for large arrays, used again as soon as nobody holds the array any more.

A fresh large array often costs more than what is computed in it: the system hands out its pages
one by one as they are first touched, and takes them back when the array is freed, at every step
anew. So the large arrays that the library makes lie in blocks that it keeps. A block is used again
when nobody refers to it, by an array or by a view of one: what somebody holds is never touched, so
none of this can be seen in a result.

Each thread has blocks of its own, with a bound. They are cut out of slabs that are large enough for
NumPy to ask the system for large pages.
"""

import math
import sys
import threading
from sys import getrefcount
from typing import Any

import numpy as np

from funcnn import _recording
from funcnn.types import Array, Shape

LEAST_BYTES = 1 << 16
"""Of smaller arrays malloc keeps the memory itself."""
MOST_OF_A_SIZE = 32
"""So many blocks of one size are kept: of more, somebody holds the first."""
MOST_BYTES = 1 << 28
"""That a thread keeps."""
SLAB_BYTES = 1 << 24
LINE = 64
"""The bytes of a cache's line, at which a block begins."""


def empty(shape: Shape, dtype: np.dtype[Any]) -> Array:
    """As `numpy.empty`."""
    if _recording.active and (recorder := _recording.recorder()) is not None:
        return recorder.empty(shape, dtype)  # type: ignore[no-any-return]
    size = math.prod(shape) * dtype.itemsize
    if size < LEAST_BYTES or not _COUNTS_ARE_EXACT:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, _own.block(size))


def empty_like(x: Array, shape: Shape | None = None) -> Array:
    """As `numpy.empty_like`: of x's dtype, its axes in the same order in memory.

    shape: another one than x's, of as many axes.
    """
    if x.nbytes < LEAST_BYTES:
        return np.empty_like(x, shape=shape)
    shape = x.shape if shape is None else shape
    if x.flags.c_contiguous:
        return empty(shape, x.dtype)
    order = sorted(range(x.ndim), key=[-abs(stride) for stride in x.strides].__getitem__)
    places = sorted(range(x.ndim), key=order.__getitem__)
    return empty(tuple(shape[axis] for axis in order), x.dtype).transpose(places)


def zeros(shape: Shape, dtype: np.dtype[Any]) -> Array:
    """As `numpy.zeros`."""
    array = empty(shape, dtype)
    array.fill(0)
    return array


def contiguous(x: Array) -> Array:
    """As `numpy.ascontiguousarray`, of an array with axes."""
    if x.flags.c_contiguous:
        return x
    array = empty(x.shape, x.dtype)
    array[...] = x
    return array


class _Blocks(threading.local):
    """A thread's blocks by their size, in use and free, and what is left of its slab."""

    def __init__(self) -> None:
        self._by_size: dict[int, list[Array]] = {}
        self._bytes = 0
        self._slab, self._used = memoryview(b""), 0

    def block(self, size: int) -> Array:
        """So many bytes that nobody holds, of any value."""
        blocks = self._by_size.get(size, ())
        for block in blocks:
            if getrefcount(block) == _REFERENCES_TO_FREE:
                return block
        return self._new_block(size)

    def _new_block(self, size: int) -> Array:
        if self._bytes + size > MOST_BYTES:
            self._by_size.clear()  # what is in use stays where it is, and goes with its arrays
            self._bytes = 0
        blocks = self._by_size.setdefault(size, [])
        if len(blocks) == MOST_OF_A_SIZE:
            del blocks[0]
            self._bytes -= size
        # From a memoryview, so that views of arrays in it refer to the block, not to the slab.
        block = np.frombuffer(self._cut(size), np.uint8)
        blocks.append(block)
        self._bytes += size
        return block

    def _cut(self, size: int) -> memoryview:
        rounded = -(-size // LINE) * LINE
        if self._used + rounded > len(self._slab):
            slab = np.empty(max(rounded, SLAB_BYTES) + LINE, np.uint8)
            offset = -slab.ctypes.data % LINE
            self._slab, self._used = slab.data[offset : offset + len(slab) - LINE], 0
        start, self._used = self._used, self._used + rounded
        return self._slab[start : start + size]


def _references_to_free() -> int:
    """What `getrefcount` says in `_Blocks.block` of a block that nobody else refers to."""
    for block in [np.empty(0)]:
        return getrefcount(block)
    raise AssertionError


_own = _Blocks()
_COUNTS_ARE_EXACT = getattr(sys, "_is_gil_enabled", lambda: True)()
"""Where Python's threads run beside each other, a count of references may be late."""
_REFERENCES_TO_FREE = _references_to_free()
