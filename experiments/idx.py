"""The IDX file format of MNIST and its relatives, plain or gzipped.

Big-endian: two zero bytes, a type code, the number of axes, one uint32 for each axis, then the
values in row-major order.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from funcnn.experiments.errors import InputError

from funcnn.types import Array

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The file's content, unpacked if it is gzipped (by its first bytes, not by its name).

    Raises `InputError`, naming the file, if it is missing, a folder, empty or damaged.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if not raw:
        raise InputError(f"{path} is empty")
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise InputError(f"{path} is a truncated or damaged gzip file ({error})") from None


def parse(content: bytes, name: str) -> Array:
    """The array in the bytes of an IDX file, read-only; `name` is the file to blame.

    Raises `InputError` for a wrong magic number, or sizes that do not agree with the content.
    """
    if len(content) < 4:
        raise InputError(f"{name} is too short to be an IDX file: {len(content)} bytes")
    zeros, code, axes = struct.unpack(">HBB", content[:4])
    if zeros != 0 or code not in _TYPES or axes == 0:
        raise InputError(f"{name} is not an IDX file: its magic number is 0x{content[:4].hex()}")
    start = 4 + 4 * axes
    if len(content) < start:
        raise InputError(f"{name} ends within its IDX header")
    shape = struct.unpack(f">{axes}I", content[4:start])
    dtype = np.dtype(_TYPES[code])
    claimed, held = math.prod(shape) * dtype.itemsize, len(content) - start
    if claimed != held:
        sizes = " x ".join(str(size) for size in shape)
        raise InputError(f"{name} claims {sizes} values ({claimed:,} bytes), but holds {held:,}")
    try:
        return np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError:  # more axes, or longer ones, than NumPy has
        raise InputError(f"{name} claims {axes} axes, {shape[:4]} first: no array") from None


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array in an IDX file, plain or gzipped, read-only. Raises `InputError`."""
    return parse(read_bytes(path), os.fspath(path))
