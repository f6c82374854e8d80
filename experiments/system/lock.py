"""One process at a time in a folder; the system lets go of it when a process dies."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from funcnn._files import is_temporary
from funcnn.experiments.errors import InputError


@contextlib.contextmanager
def alone_in(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep others who ask for this folder out of it until the end of the `with` block.

    What killed processes left there of files that they were writing goes away.
    wait: for one that is at work in it; else that is an `InputError`. Raises `OSError` if it is no
    folder. A file system that knows no locks has none.
    """
    with locked(folder, wait):
        remove_temporaries(folder)
        yield


def remove_temporaries(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left, if there is a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if is_temporary(path) and path.name != _LOCK_FILE:
            with contextlib.suppress(OSError):
                path.unlink()


_LOCK_FILE = ".funcnn-lock"
"""Where the system opens files only. A name that is counted as nothing in a folder."""


@contextlib.contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """As `alone_in`, but that what is left there stays."""
    from filelock import lock_descriptor  # not needed for --help

    # The folder itself: no file is left that somebody might take for a part of it.
    path, flags = folder, os.O_RDONLY
    if not hasattr(os, "O_DIRECTORY"):  # Windows
        path, flags = folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags)
    free = True
    try:
        with contextlib.suppress(OSError):  # such as of a network's file system
            free = lock_descriptor(descriptor, blocking=wait)
        if not free:
            raise InputError(f"{folder}: another process is at work in it")
        yield
    finally:
        os.close(descriptor)
        if free and path != folder:
            with contextlib.suppress(OSError):  # there who waits for it has it open
                path.unlink()
