"""What a fault is, and the moments of a command at which it can come."""

import ctypes
import errno
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Tell = Callable[[str], None]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = "os.mkdir", "os.rename", "os.truncate", "os.link", "os.symlink"


def _nothing() -> None: ...


class Fault(NamedTuple):
    """A fault that was drawn."""

    what: str
    plant: Callable[[Tell], None] | None
    """In the process of the command, before it begins; tells when it is met."""
    environment: dict[str, str | None] | None = None
    """For faults that are there from the start of a process."""
    lift: Callable[[], None] = _nothing
    """Takes it away, from outside; may be called twice."""
    words: Callable[[str | None], Iterable[str]] = lambda met: ()
    """One of these is in the line, by what was told."""
    gone: Callable[[Mapping[str, Any]], Iterable[str]] = lambda files: ()
    """The files that are changed by the fault itself."""
    hears: bool = True
    """Whether all that is printed is heard."""
    is_silent: bool = False
    """Whether nobody hears an error."""
    leaves: bool = False
    """Whether what was begun cannot be removed."""


class Moments:
    """When a command opens, makes and renames files below some folders."""

    def __init__(self, *folders: Path) -> None:
        self._folders = tuple(f"{os.path.realpath(folder)}{os.sep}" for folder in folders)
        self.reads = self.writes = 1
        self.read_names: list[str] = []

    def hear(self, tell: Tell) -> None:
        """Tell of each."""
        self.listen(lambda kind, path: tell(f"{kind} {path}"))

    def read(self, met: str | None) -> None:
        """Count what was told."""
        lines = (met or "").splitlines()
        self.writes = max(1, sum(line.startswith("write") for line in lines))
        self.reads = max(1, sum(line.startswith("read") for line in lines))
        self.read_names = [line.partition(" ")[2] for line in lines if line.startswith("read")]

    def listen(self, to: Callable[[str, str], None]) -> None:
        """Call it with "read" or "write" and the path, each time; what it raises is raised."""
        busy = False
        main = os.getpid()

        def hook(event: str, given: tuple[Any, ...]) -> None:
            nonlocal busy
            if busy or (event != "open" and event not in CHANGES) or os.getpid() != main:
                return
            path = given[1] if event == "os.rename" else given[0]
            if not isinstance(path, (str, bytes)):
                return
            busy = True
            try:
                path = os.path.abspath(os.fsdecode(path))
                if path.startswith(self._folders):
                    writes = event != "open" or bool((given[2] or 0) & WRITES)
                    to("write" if writes else "read", path)
            except FileNotFoundError:  # of a working directory that is gone
                pass
            finally:
                busy = False

        sys.addaudithook(hook)


class Kind(NamedTuple):
    """Draws a fault for a command in a folder."""

    name: str
    weight: float
    draw: Callable[[np.random.Generator, Path, Moments], Fault]


def without_capabilities() -> None:
    """Be refused as everybody is, even as root."""
    libc = ctypes.CDLL(None)
    for capability in range(41):
        libc.prctl(24, capability, 0, 0, 0)  # of the programs that it starts, too
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)())


def allow_again(folder: Path) -> None:
    """Give every permission in a folder back."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def denied(met: str | None) -> Iterable[str]:
    """What the system says where a permission is lacking."""
    return (os.strerror(errno.EACCES),)
