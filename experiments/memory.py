"""Memory that is freed at every step and needed again at the next; and how much work needs."""

import contextlib
import ctypes
import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h


def keep_freed_memory() -> None:
    """Have the C library keep what NumPy frees, for this process, instead of giving it back.

    Otherwise the kernel hands out, and zeroes, the pages of each large array anew at every step.
    It is for a program to decide, not for a library. Does nothing where the C library is not glibc.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
            mallopt(_TRIM_THRESHOLD, 1 << 30)
            mallopt(_TOP_PAD, 64 << 20)


class Peak:
    """How far the process's resident memory, at its highest, rises from here on.

    Where the kernel cannot begin a new peak, it is by how much the peak so far is exceeded.
    """

    def __init__(self) -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError, AttributeError):  # freed memory would hide new memory
                ctypes.CDLL(None).malloc_trim(0)
        self._highest: Callable[[], int | None] = _peak_so_far
        try:
            Path("/proc/self/clear_refs").write_text("5", "ascii")
        except OSError:
            self._before: int | None = _peak_so_far()
        else:
            self._before = _of_status("VmRSS")
            self._highest = functools.partial(_of_status, "VmHWM")

    def growth(self) -> int | None:
        """The bytes so far, or None where the system does not tell them."""
        highest = self._highest()
        if highest is None or self._before is None:
            return None
        return max(0, highest - self._before)


def peak_growth(work: Callable[[], object]) -> int | None:
    """The bytes by which the process's resident memory, at its highest, rises in `work()`.

    None where the system does not tell them.
    """
    peak = Peak()
    work()
    return peak.growth()


def _of_status(name: str) -> int:
    status = Path("/proc/self/status").read_text("utf-8", "replace")
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def _peak_so_far() -> int | None:
    if sys.platform == "win32" or resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
