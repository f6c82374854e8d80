"""Files that are there whole or not at all."""

import contextlib
import errno
import io
import os
import stat
import threading
import time
from pathlib import Path

FilePath = str | os.PathLike[str]

_TEMPORARY = ".funcnn-"
_PAUSES = (0.01, 0.1, 1.0) if os.name == "nt" else ()
"""Seconds before a rename is tried again: Windows refuses it while a virus scanner looks."""


def write_whole(path: FilePath, content: bytes) -> None:
    """Write `content` to `path` at once: a reader, or a crash, never meets half a file.

    A link is followed. Raises `OSError` as `open` does, and for what is no regular file (a folder,
    a device); what stood at `path` before is then still there.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(21, "Is a directory", str(path))
    if path.exists() and not path.is_file():
        raise OSError(22, "Not a regular file", str(path))
    # In the same folder, for a rename is whole only within one file system.
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except OSError as error:  # it names the temporary file, which nobody asked for
        raise type(error)(error.errno, error.strerror, str(path)) from None
    finally:
        with contextlib.suppress(OSError):  # gone if all went well
            temporary.unlink()


def _replace(source: Path, target: Path) -> None:
    for pause in _PAUSES:
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    os.replace(source, target)


def open_regular(path: FilePath) -> io.BufferedReader:
    """The file at `path`, open to be read as bytes; a link is followed.

    Raises `OSError` as `open` does, and for a device or a pipe, of which nobody knows whether it
    ever begins, or ends.
    """
    return open(path, "rb", opener=_open_without_waiting)


def _open_without_waiting(path: str, flags: int) -> int:
    if os.path.isdir(path):  # Windows would say that it is not permitted
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # which Windows has not
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "Not a regular file", path)


def read_bytes(path: FilePath) -> bytes:
    """All of a regular file. Raises `OSError` as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def read_text(path: FilePath) -> str:
    """A regular file of UTF-8, without a byte-order mark.

    Raises `OSError` as `open_regular`, `ValueError` for other bytes.
    """
    return read_bytes(path).decode("utf-8-sig")


def is_temporary(path: Path) -> bool:
    """Whether it is what `write_whole` leaves of a process that was killed while it wrote."""
    return path.name.startswith(_TEMPORARY)
