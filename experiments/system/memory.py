"""How much memory work needs, and whether there is enough."""

import contextlib
import ctypes
import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from funcnn.experiments.errors import InputError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


class Peak:
    """How far the process's resident memory, at its highest, rises from here on.

    Where the kernel cannot begin a new peak, it is by how much the peak so far is exceeded.
    """

    def __init__(self) -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError, AttributeError):  # freed memory would hide new memory
                ctypes.CDLL(None).malloc_trim(0)
        self._highest: Callable[[], int] = _peak_so_far
        try:
            Path("/proc/self/clear_refs").write_text("5", "ascii")
        except OSError:
            self._before = _peak_so_far()
        else:
            self._before = _of_status("VmRSS")
            self._highest = functools.partial(_of_status, "VmHWM")

    def growth(self) -> int:
        """The bytes so far."""
        return max(0, self._highest() - self._before)


def peak_growth(work: Callable[[], object]) -> int:
    """The bytes by which the process's resident memory, at its highest, rises in `work()`."""
    peak = Peak()
    work()
    return peak.growth()


def _of_status(name: str) -> int:
    status = Path("/proc/self/status").read_text("utf-8", "replace")
    match = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def _peak_so_far() -> int:
    if sys.platform == "win32" or resource is None:
        import psutil

        info: Any = psutil.Process().memory_info()  # its type has what this system tells, only
        return int(info.peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# --- whether what a file claims can be true, and fits -----------------------------------------

DEFLATE_AT_MOST = 1032
"""How many bytes one packed byte can stand for, by the format (zlib's technical notes)."""


def expect_memory(claimed: int, name: str, packed: int | None = None) -> None:
    """Raise `InputError` if `name` cannot hold the bytes that it claims, or memory cannot.

    packed: the length of the deflated data (gzip, zip) that they are said to be in, if any.
    """
    if packed is not None and claimed > DEFLATE_AT_MOST * packed:
        raise InputError(
            f"{name} claims {claimed:,} bytes, more than its {packed:,} packed bytes can hold"
        )
    import psutil  # a few milliseconds, which --help need not wait for

    free = min(psutil.virtual_memory().available, _container_room())
    if claimed > free:
        raise InputError(f"{name} claims {claimed:,} bytes, but {free:,} bytes of memory are free")


# --- a container's limit, which the system's free memory says nothing of -------------------------


class _Group(NamedTuple):
    """A group of processes (a cgroup) whose memory is limited."""

    folder: Path
    limit: int
    usage: str
    """The file that says how much it has now."""


_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 60
"""About what the first version of cgroups says where there is no limit."""


def _container_room() -> int:
    """Bytes that the groups which this process is in leave it; what is no limit is a large one."""
    rooms = [_UNLIMITED]
    for group in _limited_groups():
        try:
            used = int((group.folder / group.usage).read_text("ascii"))
            lines = (group.folder / "memory.stat").read_text("ascii").splitlines()
        except (OSError, ValueError):
            continue
        # Files that were read count as used, but make way.
        statistics = dict(line.rsplit(" ", 1) for line in lines)
        cached = sum(int(statistics.get(name, 0)) for name in ("inactive_file", "active_file"))
        rooms.append(max(0, group.limit - used + cached))
    return min(rooms)


@functools.cache  # as reading a folder of pictures asks before each of them
def _limited_groups() -> list[_Group]:
    try:
        lines = _OWN.read_text("utf-8").splitlines()
    except (OSError, ValueError):  # not Linux
        return []
    groups = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base, limit, usage = _CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            base, limit = _CGROUPS / "memory", "memory.limit_in_bytes"
            usage = "memory.usage_in_bytes"
        else:
            continue
        # A limit of a group holds for those inside it; seen from a container, its own is the root.
        inner = base / path.strip("/")
        for folder in (inner, *(outer for outer in inner.parents if outer.is_relative_to(base))):
            try:
                most = int((folder / limit).read_text("ascii"))
            except (OSError, ValueError):  # "max"
                continue
            if most < _UNLIMITED:
                groups.append(_Group(folder, most, usage))
    return groups
