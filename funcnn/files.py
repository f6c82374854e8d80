"""Files that are there whole or not at all."""

import contextlib
import os
import threading
from pathlib import Path

_TEMPORARY = ".funcnn-"


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
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
        os.replace(temporary, path)
    except OSError as error:  # it names the temporary file, which nobody asked for
        raise type(error)(error.errno, error.strerror, str(path)) from None
    finally:
        with contextlib.suppress(OSError):  # gone if all went well
            temporary.unlink()


def is_temporary(path: Path) -> bool:
    """Whether it is what `write_whole` leaves of a process that was killed while it wrote."""
    return path.name.startswith(_TEMPORARY)
