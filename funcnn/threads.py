"""Threads, and BLAS kept on one of them.

OpenBLAS gives other bits with two threads than with one, so results may not depend on how many it
uses: it gets one, and the library runs pieces of work beside each other instead. The pieces are
cut by the shapes of the arrays, never by the number of threads, so that number cannot be seen in
a result.
"""

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import ThreadpoolController

T = TypeVar("T")

_lock = threading.Lock()
_blas_depth = 0
_blas_restore = contextlib.ExitStack()
_thread_count: int | None = None
_local = threading.local()


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def use_threads(count: int | None) -> Iterator[None]:
    """Inside the `with` block the library uses `count` threads, at least 1; None: every core.

    Only the speed depends on it. Raises `ValueError` for a count below 1.
    """
    global _thread_count
    if count is not None and not (isinstance(count, int) and count >= 1):
        raise ValueError(f"the number of threads must be an integer of at least 1, got {count}")
    before, _thread_count = _thread_count, count
    try:
        yield
    finally:
        _thread_count = before


@functools.cache
def _controller() -> "ThreadpoolController":
    from threadpoolctl import ThreadpoolController  # finding the libraries takes milliseconds

    return ThreadpoolController()


def _take_control() -> None:
    """Let this thread set the limit: threadpoolctl obeys only the first that did, until told."""
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Inside the `with` block BLAS uses one thread; blocks may nest, in any number of threads.

    Entering costs about 10 microseconds, and next to nothing inside another such block: enter it
    once around a loop.
    """
    global _blas_depth
    with _lock:
        if _blas_depth == 0:
            _take_control()
            _blas_restore.enter_context(_controller().limit(limits=1, user_api="blas"))
        _blas_depth += 1
    try:
        yield
    finally:
        with _lock:
            _blas_depth -= 1
            if _blas_depth == 0:
                _take_control()
                _blas_restore.close()


@functools.cache
def _pool(workers: int) -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(workers, thread_name_prefix="funcnn")


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def parallel(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """The results of all tasks, in order; this thread does its share of them.

    Within a task, another call of `parallel` runs its tasks one after another. An exception of a
    task is raised here, when none is running any more.
    """
    count = min(_thread_count or available_cores(), len(tasks))

    def stripe(first: int) -> list[T]:
        _local.in_task = True
        try:
            return [task() for task in tasks[first::count]]
        finally:
            _local.in_task = False

    with single_threaded_blas():
        if count <= 1 or getattr(_local, "in_task", False):
            return [task() for task in tasks]
        from concurrent.futures import wait

        others = [
            # The context carries numpy's errstate, which is the caller's.
            _pool(count - 1).submit(contextvars.copy_context().run, stripe, first)
            for first in range(1, count)
        ]
        try:
            done = [stripe(0)]
        finally:
            wait(others)
        done += [other.result() for other in others]
    return [done[index % count][index // count] for index in range(len(tasks))]
