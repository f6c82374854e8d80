"""Several products of matrices at once, each by one of OpenBLAS's threads.

That is OpenBLAS's `cblas_sgemm_batch` (and `cblas_dgemm_batch`), since version 0.3.30 or so. NumPy
has no word for it, so it is called where it is: in the library that NumPy brings.
"""

import ctypes
import functools
from typing import Any, NamedTuple

import numpy as np

from funcnn.threads import blas_library

_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = 101, 111, 112  # cblas.h


class _Function(NamedTuple):
    """The function for a dtype, the integers that it takes, and its floats."""

    call: Any
    integer: Any
    real: Any


@functools.cache
def _function(dtype: np.dtype[Any]) -> _Function | None:
    real = {"f": ctypes.c_float, "d": ctypes.c_double}.get(dtype.char)
    library = blas_library()
    if real is None or library is None or library.internal_api != "openblas":
        return None
    letter = "s" if dtype.char == "f" else "d"
    affixes = [(p, s) for p in ("", "scipy_") for s in ("", "64_", "_64")]
    for prefix, suffix in affixes:
        call = getattr(library.dynlib, f"{prefix}cblas_{letter}gemm_batch{suffix}", None)
        if call is not None:
            ...
