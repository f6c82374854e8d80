"""One process at a time in a folder; the system lets go of it when a process dies."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from funcnn._files import is_temporary
from funcnn.experiments.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def alone_in(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep others who ask for this folder out of it until the end of the `with` block.

    What killed processes left there of files that they were writing goes away.
    wait: for one that is at work in it; else that is an `InputError`. Raises `OSError` if it is no
    folder. A file system that knows no locks has none.
    """
    with _locked(folder, wait):
        remove_temporaries(folder)
        yield


def remove_temporaries(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left, if there is a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if is_temporary(path) and path.name != _LOCK_FILE:
            with contextlib.suppress(OSError):
                path.unlink()


_LOCK_FILE = ".funcnn-lock"
"""Where the system locks files only. A name that is counted as nothing in a folder."""


@contextlib.contextmanager
def _locked(folder: Path, wait: bool) -> Iterator[None]:
    busy = InputError(f"{folder}: another process is at work in it")
    if sys.platform == "win32" or fcntl is None:
        from filelock import FileLock, Timeout  # not needed for --help

        with contextlib.ExitStack() as closing:
            try:
                closing.enter_context(FileLock(folder / _LOCK_FILE, timeout=-1 if wait else 0))
            except Timeout:
                raise busy from None
            yield
        return
    # The folder itself: no file is left that somebody might take for a part of it.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise busy from None
        except OSError:  # such as of a network's file system
            pass
        yield
    finally:
        os.close(descriptor)
