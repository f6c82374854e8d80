"""The libraries that multiply matrices here, and how many threads they use."""

import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from threadpoolctl import LibController


@functools.cache
def blas_libraries() -> "list[LibController]":
    """Each that threadpoolctl knows, as it describes it."""
    from threadpoolctl import ThreadpoolController  # finding the libraries takes milliseconds

    controllers = ThreadpoolController().lib_controllers
    return [library for library in controllers if library.user_api == "blas"]


def openblas_function(library: "LibController", name: str) -> Any:
    """A function of an OpenBLAS, by its name there; None if it has none."""
    # NumPy's own OpenBLAS has something before its names, and behind them.
    for prefix, suffix in itertools.product(("", "scipy_"), ("", "64_", "_64")):
        function = getattr(library.dynlib, f"{prefix}{name}{suffix}", None)
        if function is not None:
            return function
    return None


class ThreadCount(NamedTuple):
    """The number of a library's threads: what gets it, and what sets it."""

    get: Callable[[], int]
    set: Callable[[int], Any]


@functools.cache
def thread_count_of(library: "LibController") -> ThreadCount:
    """The number of a library's threads, set from any thread of Python's."""
    # By OpenBLAS's own functions, as threadpoolctl's take ten times as long around a product, and
    # obey only the thread that called the first of them.
    if library.internal_api == "openblas" and getattr(library, "threading_layer", "") == "pthreads":
        names = "openblas_get_num_threads", "openblas_set_num_threads"
        return ThreadCount(*(openblas_function(library, name) for name in names))
    return ThreadCount(library.get_num_threads, library.set_num_threads)
