"""The IDX file format of MNIST and its relatives, plain or gzipped.

Big-endian: two zero bytes, a type code, the number of axes, one uint32 for each axis, then the
values in row-major order.
"""

import gzip
import hashlib
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from funcnn.experiments.errors import InputError
from funcnn.experiments.system.memory import expect_memory
from funcnn.files import open_regular
from funcnn.types import Array, Shape

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(dtype): code for code, dtype in _TYPES.items()}
_PIECE = 1 << 20


class NoIdxError(InputError):
    """What was to be read is in some other form."""


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array in an IDX file, read-only; gzip is told by the first bytes, not by the name.

    Raises `InputError`, naming the file, if it is missing, a folder, empty or damaged, or claims
    more than it holds or than fits in memory; no more than it claims is unpacked.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file")
    try:
        with open_regular(path) as file:
            return read_stream(file, os.fstat(file.fileno()).st_size, str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def read_stream(file: IO[bytes], size: int, name: str) -> Array:
    """The array in an open file of `size` bytes; `name` is what to blame. Raises `InputError`."""
    if size == 0:
        raise InputError(f"{name} is empty")
    magic = file.read(2)
    file.seek(0)
    if magic != b"\x1f\x8b":
        return _read(file, size, name, packed=False)
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            return _read(unpacked, size, name, packed=True)
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise InputError(f"{name} is a truncated or damaged gzip file ({error})") from None


def sha256(array: Array) -> str:
    """The SHA-256 of the plain IDX file that holds this array."""
    digest = hashlib.sha256(_header(array.shape, array.dtype))
    for start in range(0, len(array), 4096):  # a big-endian copy of a piece at a time
        digest.update(array[start : start + 4096].tobytes())
    return digest.hexdigest()


def pack_idx(array: Array) -> bytes:
    """The gzip file that `read_idx` reads this array from; equal arrays give equal bytes."""
    content = _header(array.shape, array.dtype) + array.tobytes()
    return gzip.compress(content, compresslevel=1, mtime=0)


def _header(shape: Shape, dtype: np.dtype[np.generic]) -> bytes:
    code = _CODES[dtype.newbyteorder(">")]
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)


def _read(file: IO[bytes] | gzip.GzipFile, size: int, name: str, *, packed: bool) -> Array:
    magic = file.read(4)
    if len(magic) < 4:
        raise InputError(f"{name} is too short to be an IDX file: {len(magic)} bytes")
    zeros, code, axes = struct.unpack(">HBB", magic)
    if zeros != 0 or code not in _TYPES or axes == 0:
        raise NoIdxError(f"{name} is not an IDX file: its magic number is 0x{magic.hex()}")
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise InputError(f"{name} ends within its IDX header")
    shape = struct.unpack(f">{axes}I", sizes)
    dtype = np.dtype(_TYPES[code])
    claimed = math.prod(shape) * dtype.itemsize
    claims = f"{name} (magic number 0x{magic.hex()}) claims {' x '.join(map(str, shape))} values"
    claims += f" ({claimed:,} bytes)"
    if packed:
        expect_memory(claimed, name, size)
    elif claimed != size - 4 - 4 * axes:
        raise InputError(f"{claims}, but holds {size - 4 - 4 * axes:,}")
    else:
        expect_memory(claimed, name)
    content, held = np.empty(claimed, np.uint8), 0
    while piece := file.read(min(_PIECE, claimed - held)):
        content[held : held + len(piece)] = np.frombuffer(piece, np.uint8)
        held += len(piece)
    if held < claimed or file.read(1):  # which also has the gzip file's own checksum compared
        raise InputError(f"{claims}, but holds {held:,}{' and more' * (held == claimed)}")
    content.flags.writeable = False
    try:
        return content.view(dtype).reshape(shape)
    except ValueError:  # more axes, or longer ones, than NumPy has
        raise InputError(f"{name} claims {axes} axes, {shape[:4]} first: no array") from None
