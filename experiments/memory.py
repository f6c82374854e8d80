"""Memory that is freed at every step and needed again at the next."""

import contextlib
import ctypes
import sys

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
