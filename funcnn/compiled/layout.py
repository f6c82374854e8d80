"""Where arrays lie in memory."""

from typing import Any

import numpy as np

from funcnn.compiled.numbers import NotRecordableError
from funcnn.types import Array


def owner_of(array: Array) -> Array:
    """The array whose memory it is."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def address(array: Array) -> int:
    """Where its first element lies."""
    return int(array.__array_interface__["data"][0])


def extent(array: Array) -> int:
    """The bytes from its first element to its last.

    Raises `NotRecordableError` for one that goes backwards in memory.
    """
    if any(stride < 0 for stride in array.strides):
        raise NotRecordableError("an array goes backwards in memory")
    reach = sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True))
    return reach + array.itemsize if array.size else 0


def copy_of(array: Array) -> Array:
    """A plain copy with the same strides, in memory that has nothing else."""
    memory = np.zeros(extent(array), np.uint8)
    copy: Array = np.ndarray(array.shape, array.dtype, memory, 0, array.strides)
    copy[...] = array.view(np.ndarray)
    return copy


def bytes_of(array: Array) -> bytes:
    """The bytes from its first element to its last.

    Raises `NotRecordableError` if there are others between them.
    """
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    in_rows = array.transpose(order)
    if not in_rows.flags.c_contiguous:
        raise NotRecordableError("an array with holes that nobody made in the step")
    return in_rows.tobytes()


def is_view(value: Any, arguments: Any) -> bool:
    """Whether the value lies in the memory of one of the arguments, or of those in them."""
    if isinstance(arguments, (tuple, list)):
        return any(is_view(value, argument) for argument in arguments)
    both = isinstance(value, np.ndarray) and isinstance(arguments, np.ndarray)
    return both and np.may_share_memory(value, arguments)


def has_array(index: Any) -> bool:
    """Whether `x[index]` is a copy, by arrays of indices or a mask."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, (np.ndarray, list)) for part in parts)


def has_mask(index: Any) -> bool:
    """Whether there is a mask among an index."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(np.asarray(part).dtype.kind == "b" for part in parts if has_array(part))
