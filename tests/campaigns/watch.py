"""What is watched while something is tried: its time and memory, and what it does to the system."""

import contextlib
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from funcnn.experiments.errors import printable

MOST_SECONDS, MOST_BYTES = 10, 1 << 30
STARTS = "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"
STARTS = *STARTS, "subprocess.Popen", "pty.spawn"
CHANGES = "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir"
CHANGES = *CHANGES, "os.symlink", "os.truncate", "os.utime", "shutil.rmtree"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """Of a process: what happens outside of a folder while something is tried in it.

    Python's own audit events tell it, of which a process cannot be rid again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.realpath(folder)
        self._is_on = False
        self._seen: list[str] = []
        sys.dont_write_bytecode = True
        sys.addaudithook(self._hear)

    @contextlib.contextmanager
    def trying(self, seconds: float = MOST_SECONDS, size: int = MOST_BYTES) -> Iterator[None]:
        """Inside, no more time and memory is taken than that, and what is outside stays as it is.

        Raises an `AssertionError` that says what happened.
        """
        self._seen.clear()
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + size, before[1]))
        handler = signal.signal(signal.SIGALRM, _too_long)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        self._is_on = True
        try:
            yield
        except MemoryError:
            raise AssertionError(f"it takes more than {size >> 20} MB") from None
        finally:
            self._is_on = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            resource.setrlimit(resource.RLIMIT_AS, before)
        assert not self._seen, "; ".join(self._seen)

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if not self._is_on:
            return
        if event == "open":
            path, mode, flags = given
            writes = flags & WRITES if isinstance(flags, int) else set(mode or "") & set("wax+")
            if writes and isinstance(path, (str, bytes)) and not self._is_inside(path):
                self._seen.append(f"it opens {path!r} for writing")
        elif event in CHANGES:
            for path in given[:2] if event in ("os.rename", "os.link") else given[:1]:
                if isinstance(path, (str, bytes)) and not self._is_inside(path):
                    self._seen.append(f"{event} of {path!r}")
        elif event in STARTS or event.startswith("socket.connect") or event == "pickle.find_class":
            self._seen.append(f"{event} {given!r}"[:200])
        elif event == "exec" and getattr(given[0], "co_filename", "").startswith(self._folder):
            self._seen.append(f"it executes {given[0].co_filename}")

    def _is_inside(self, path: str | bytes) -> bool:
        real = os.path.realpath(os.fsdecode(path))
        return real == os.devnull or real.startswith(self._folder + os.sep)


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """A warning is an error, but for those that NumPy has of its future, or of its numbers."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def assert_names(path: Path, error: Exception) -> None:
    """An error about a file is one line, which says first which file it is."""
    said = str(error)
    assert said.startswith(f"{path}: "), f"it does not name the file: {said!r}"
    assert_is_line(error)


def assert_tells_of(place: Path, error: Exception) -> None:
    """An error about what a folder or a file leads to is one line: of it, or of an option."""
    said = str(error)
    assert str(place) in said or "--" in said, f"it does not say where: {said!r}"
    assert_is_line(error)


def assert_is_line(error: Exception) -> None:
    """An error is something to read, which can be printed as a line."""
    said = str(error)
    assert said, f"{type(error).__name__} says nothing"
    assert printable(said, len(said)) == said, f"it is no line of text: {said!r}"


def _too_long(number: int, frame: FrameType | None) -> None:
    raise AssertionError("it takes too long")


def _address_space() -> int:
    """The bytes of addresses that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
