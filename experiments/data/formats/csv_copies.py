"""The copy that is kept beside a CSV file of images, as `NAME.csv.funcnn.npy`.

Reading the text takes seconds. A copy is used only if it is whole and of this very text.
"""

import contextlib
import hashlib
import io
import math
import os
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from funcnn._files import read_bytes, write_whole
from funcnn._npy import read_array_header
from funcnn.experiments.errors import InputError
from funcnn.experiments.system.memory import expect_memory
from funcnn.types import Array

_MARK = b"funcnn-csv-5"  # another number whenever the same text gives another table
_SEAL = len(_MARK) + hashlib.sha256().digest_size
_HEADER = 256  # bytes of an array's file before its values, at most


class Table(NamedTuple):
    """What a file holds."""

    images: Array
    """Bytes `(N, H, H)`."""
    labels: Array | None
    """`(N,)`, integers or words."""
    ids: Array | None = None
    """What the rows are called, `(N,)`, integers or words."""


def key_of(file: io.BufferedReader) -> bytes:
    """What changes whenever the text does: its length, and when it, or its inode, was written."""
    status = os.fstat(file.fileno())
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}".encode()


def write_copy(path: Path, table: Table, key: bytes, size: int) -> None:
    """Leave a copy beside the file, if the folder takes one. key, size: as for `read_copy`."""
    with contextlib.suppress(OSError):
        buffer = io.BytesIO()
        for array in table:
            held: Array = np.empty(0) if array is None else array
            words = held.dtype.kind == "U"
            np.save(buffer, np.char.encode(held, "utf-8") if words else held)
        content = buffer.getbuffer()
        if len(content) + _SEAL <= _most(size):
            write_whole(_copy_of(path), b"".join((content, _seal(content, key))))


def _copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.funcnn.npy")


def _most(size: int) -> int:
    # A value is two bytes of text at least, but for the last.
    return len(Table._fields) * _HEADER + (size + 1) // 2 + _SEAL


def _seal(content: bytes | memoryview, key: bytes) -> bytes:
    """What follows the arrays in their file, where NumPy does not look."""
    return _MARK + hashlib.sha256(key + hashlib.sha256(content).digest()).digest()


def read_copy(path: Path, key: bytes, size: int) -> Table | None:
    """The table in a file's copy, read-only, if it is whole, has this key, and can be of the text.

    size: how many bytes the text has at most.
    """
    copy = _copy_of(path)
    try:
        length = copy.stat().st_size
        if length > _most(size):
            return None
        expect_memory(length, str(copy))
        content = memoryview(read_bytes(copy))
    except (OSError, InputError):
        return None
    held, seal = content[:-_SEAL], content[-_SEAL:]
    if bytes(seal) != _seal(held, key):
        return None
    try:
        return _table_of(held)
    except ValueError:  # sealed, but no table
        return None


def _table_of(held: memoryview) -> Table:
    """The table in the arrays of a copy. Raises `ValueError` if they are none."""
    arrays: list[Array | None] = []
    end = 0
    for _ in Table._fields:
        array, end = _array_at(held, end)
        array = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        arrays.append(array if array.size else None)
    images, labels, ids = arrays
    if images is None or images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError("no images")
    if any(a is not None and a.shape != images.shape[:1] for a in (labels, ids)):
        raise ValueError("not one for each image")
    if any(a is not None and a.dtype.kind not in "iuU" for a in (labels, ids)):
        raise ValueError("no integers and no words")
    return Table(images, labels, ids)


def _array_at(held: memoryview, start: int) -> tuple[Array, int]:
    """The array whose file begins there, and where it ends."""
    source = io.BytesIO(held[start : start + _HEADER])
    shape, fortran_order, dtype = read_array_header(source)
    first, count = start + source.tell(), math.prod(shape)
    order: Literal["F", "C"] = "F" if fortran_order else "C"
    array = np.frombuffer(held, dtype, count, offset=first).reshape(shape, order=order)
    return array, first + array.nbytes
