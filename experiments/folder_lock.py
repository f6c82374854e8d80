"""One process at a time in a folder; the system lets go of it when a process dies."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from funcnn.experiments.errors import InputError


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep others who ask for this folder out of it until the end of the `with` block.

    Raises `InputError` if one is at work in it.
    """
    from filelock import FileLock, Timeout  # not needed for --help

    with contextlib.ExitStack() as closing:
        try:
            closing.enter_context(FileLock(folder / ".lock", timeout=0))
        except Timeout:
            raise InputError(f"{folder}: another process is at work in it") from None
        yield
