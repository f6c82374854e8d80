"""Whether what a file claims can be true, and fits: asked before anything large is allocated."""

import os
import sys
from pathlib import Path

from funcnn.experiments.errors import InputError

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
    free = _free_memory()
    if claimed > free:
        raise InputError(f"{name} claims {claimed:,} bytes, but {free:,} bytes of memory are free")


def _free_memory() -> int:
    """Bytes that can be had without swapping, or the whole memory where that is not told."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:  # not Linux
        pass
    if not hasattr(os, "sysconf"):  # nor POSIX
        return sys.maxsize
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
