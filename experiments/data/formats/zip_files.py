"""Zip files as folders that are only read, member by member, and never unpacked to disk."""

import contextlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from funcnn._files import open_regular
from funcnn.experiments.errors import InputError
from funcnn.experiments.system.memory import expect_memory

_SMALL = 1 << 16  # bytes that there is always memory for


@contextlib.contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip file, open; damage that shows only while it is read is an `InputError` too.

    Raises `InputError` if it is missing, no zip file, encrypted, packed in an unusual way, or has a
    member whose path leaves its folder or that claims more bytes than can be in it.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            length = os.fstat(file.fileno()).st_size
            for member in archive.infolist():
                _check_member(member, path, length)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError) as error:
        raise InputError(f"{path} is a truncated or damaged zip file ({error})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} has a member whose name is not UTF-8, as it says") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _check_member(member: zipfile.ZipInfo, path: Path, length: int) -> None:
    # `orig_filename`: the name as it is in the file; `filename` is cut at a NUL.
    name = member.orig_filename
    if not member.filename:
        raise InputError(f"{path} has a member without a name")
    for pure in (PurePosixPath(name), PureWindowsPath(name)):
        if pure.anchor or ".." in pure.parts:
            raise InputError(f"{path} has a member {name!r}, a path that leaves its folder")
    if member.flag_bits & 1:
        raise InputError(f"{path}: {name} is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{path}: {name} is packed by a method that is not read here")
    claimed, packed = member.file_size, member.compress_size
    if packed > length:
        raise InputError(f"{path}: {name} claims {packed:,} packed bytes of a file of {length:,}")
    if member.compress_type == zipfile.ZIP_DEFLATED:
        if claimed <= _SMALL:  # of thousands of pictures it would take seconds
            return
        expect_memory(claimed, f"{path}: {name}", packed)
    elif claimed != packed:
        raise InputError(f"{path}: {name} claims {claimed:,} bytes, but {packed:,} are stored")
