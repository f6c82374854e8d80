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
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, Any
from zipfile import ZipInfo

import numpy as np

from funcnn._files import read_text
from funcnn.experiments.data import emnist
from funcnn.experiments.data.formats.listings import DiskFolder, is_left, open_file
from funcnn.experiments.data.formats.set_parts import PARTS, file_part
from funcnn.experiments.data.formats.zip_files import open_zip
from funcnn.experiments.data.images import Examples, ImageData, assemble, check_pair
from funcnn.experiments.errors import InputError, sizes_text
from funcnn.experiments.system.memory import expect_memory
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
    with open_file(path) as (file, size):
        return read_stream(file, size, str(path))


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
    claims = f"{name} (magic number 0x{magic.hex()}) claims {sizes_text(shape, ' x ')} values"
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


# --- IDX files that make a data set, two or four or six, in a folder or in a zip file. ---


def is_idx_name(file: str) -> bool:
    """Whether a file is called as IDX files are; macOS's `._` file beside one is not."""
    return "ubyte" in file.lower() and not is_left(file)


def read_folder(folder: Path, prefix: str = "") -> ImageData:
    """The data set of a folder: an IDX file each of train and test images and labels.

    There may be two of validation images and labels, and those of the test set may be missing. Of a
    file that is there gzipped and plain the plain one is read. prefix: how their names begin, where
    a folder has several sets.
    `mapping.txt`, a line `label name` for each class, names the classes; official EMNIST files need
    none.
    Raises `InputError` if a file is missing or damaged, or they do not fit together.
    """
    files = DiskFolder(folder).files
    classes = _read_mapping(folder / "mapping.txt") if "mapping.txt" in files else {}
    files = [file for file in files if file.startswith(prefix)]
    return read_set(files, str(folder), lambda file: read_idx(folder / file), classes)


def read_zip(path: Path, prefix: str = "") -> ImageData:
    """The data set of a zip file, such as the official one of EMNIST; as `read_folder`.

    Its files may be in any folders, but not in macOS's `__MACOSX`.
    """
    with open_zip(path) as archive:
        members: dict[str, ZipInfo] = {}
        for info in archive.infolist():
            place = PurePosixPath(info.filename)
            file = place.name
            if info.is_dir() or any(map(is_left, place.parts[:-1])) or not is_idx_name(file):
                continue
            if not file.startswith(prefix):
                continue
            if file in members:
                both = f"{members[file].filename} and {info.filename}"
                raise InputError(f"{path} has two files of one name: {both}")
            members[file] = info

        def read(file: str) -> Array:
            info = members[file]
            with archive.open(info) as content:
                return read_stream(content, info.file_size, f"{path}: {info.filename}")

        return read_set(members, str(path), read)


def read_set(
    files: Iterable[str],
    where: str,
    read: Callable[[str], Array],
    classes: Mapping[str, Any] = MappingProxyType({}),
) -> ImageData:
    """The data set of the IDX files among `files`, each read with `read`; `where` they are.

    classes: what `assemble` is told of them. Official EMNIST files are known by their names, are
    turned upright and have names for classes. Raises `InputError`.
    """
    packed_first = sorted(
        filter(is_idx_name, files), key=lambda file: (not file.endswith(".gz"), file)
    )
    each_once = sorted({_plain_name(file): file for file in packed_first}.values())
    sets = emnist.official_sets(each_once)
    if len(sets) > 1:
        choices = ", ".join(f"{where}/{name}" for name in sets)
        raise InputError(f"{where} holds several sets; give one of {choices}")
    # What is of no part may be meant to be the test set.
    there = {file_part(file) or "test" for file in each_once} | {"train"}
    parts = [part for part in PARTS if part in there]
    chosen = {
        (part, kind): _only(each_once, where, part, kind)
        for part in parts
        for kind in ("images", "labels")
    }
    split = emnist.split_of(chosen.values(), where)

    def pair(part: str) -> Examples:
        file_of = {kind: chosen[part, kind] for kind in ("images", "labels")}
        images, labels = read(file_of["images"]), read(file_of["labels"])
        of_images, of_labels = (f"{where}/{file_of[kind]}" for kind in ("images", "labels"))
        if split is not None:
            images = emnist.upright(images)
            split.expect_first(labels, of_labels)
        return check_pair(images, labels, of_images, of_labels)

    train, test, validation = (
        pair(part) if part in parts else None for part in ("train", "test", "validation")
    )
    if split is not None:
        classes = emnist.classes_of(split)
    return assemble(train, test, where, validation=validation, **classes)


def _plain_name(file: str) -> str:
    """The same for files that are there twice: gzipped and plain, with -idx3 and with .idx3."""
    return file.lower().removesuffix(".gz").replace(".idx", "-idx")


def _only(files: list[str], where: str, part: str, kind: str) -> str:
    fitting = [file for file in files if kind in file.lower() and file_part(file) == part]
    if len(fitting) != 1:
        seen = ", ".join(fitting) or "none"
        raise InputError(f"{where}: one IDX file of {part} {kind} is needed, found {seen}")
    return fitting[0]


def _read_mapping(path: Path) -> dict[str, Any]:
    """What `assemble` is told of the classes."""
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{path} cannot be read as text: it is not UTF-8") from None
    first = 1 if lines and lines[0].startswith("1 ") else 0
    names = []
    for number, line in enumerate(lines):
        label, _, name = line.partition(" ")
        if label != str(first + number) or not name.strip():
            wanted = f"'{first + number} NAME'"
            raise InputError(f"{path}, line {number + 1}: {line[:40]!r} is not {wanted}")
        names.append(name.strip())
    if not names:
        raise InputError(f"{path} is empty")
    return {"class_names": tuple(names), "first_label": first}
