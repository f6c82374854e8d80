"""Threads, and BLAS kept on one of them.

OpenBLAS gives other bits with two threads than with one, so results may not depend on how many it
uses: it gets one, but for moments in which `ops.matmul` lends it more, and the library runs pieces
of work beside each other instead. The pieces are cut by the shapes of the arrays, never by the
number of threads, so that number cannot be seen in a result.
"""

import contextlib
import contextvars
import functools
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

from funcnn import _recording
from funcnn._blas import ThreadCount, blas_libraries, thread_count_of
from funcnn._workers import Worker, idle

T = TypeVar("T")
P = ParamSpec("P")

_lock = threading.RLock()  # as garbage that is collected within it may leave a block
_blas_blocks: dict[int, int] = {}  # of each thread, how many it is in
_open_blocks: dict[int, tuple[Any, int]] = {}  # of each, by its id, what watches it, and its thread
_blas_before: list[tuple[ThreadCount, int]] | None = None
"""Of each library, its threads outside of all blocks; None: it has them."""
_thread_count: contextvars.ContextVar[int | None] = contextvars.ContextVar("threads", default=None)
_local = threading.local()


def available_cores() -> int:
    """The cores that this process may use.

    >>> fn.threads.available_cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def use_threads(count: int | None) -> Iterator[None]:
    """Inside the `with` block the library uses `count` threads, at least 1; None: every core.

    It holds for this thread or asyncio task (its `contextvars` context), and for no other. Only
    the speed depends on it. Raises `ValueError` for a count below 1.

    >>> with fn.threads.use_threads(1):
    ...     fn.threads.thread_count()
    1
    """
    if count is not None and not (isinstance(count, int) and count >= 1):
        raise ValueError(f"the number of threads must be an integer of at least 1, got {count}")
    before = _thread_count.get()
    _thread_count.set(count)
    try:
        yield
    finally:
        _thread_count.set(before)  # no token, as a generator may be closed in another context


def thread_count() -> int:
    """How many threads the library uses here: what `use_threads` said, or every core.

    >>> fn.threads.thread_count() >= 1
    True
    """
    return _thread_count.get() or available_cores()


class Blas(NamedTuple):
    """A BLAS whose threads the library sets; `internal_api` is `openblas`, `mkl` or another.

    >>> str(fn.threads.Blas("openblas", "0.3.30", "Haswell"))
    'openblas 0.3.30 (Haswell)'
    """

    internal_api: str
    version: str | None
    kernels: str | None
    """For which processors, where that is told: `Haswell`, say."""

    def __str__(self) -> str:
        library = " ".join(part for part in (self.internal_api, self.version) if part)
        return f"{library} ({self.kernels})" if self.kernels else library


def blas() -> list[Blas]:
    """What multiplies matrices here; none where it is one that threadpoolctl does not know.

    Then nothing is known of its threads, nor of whether their number shows in its bits: so with
    Apple's Accelerate.

    >>> all(isinstance(library, fn.threads.Blas) for library in fn.threads.blas())
    True
    """
    return [
        Blas(library.internal_api, library.version, getattr(library, "architecture", None))
        for library in blas_libraries()
    ]


def single_threaded_blas() -> contextlib.AbstractContextManager[None]:
    """Inside the `with` block BLAS uses one thread; blocks may nest, in any number of threads.

    Entering costs some microseconds, and next to nothing inside another such block: enter it once
    around a loop.

    >>> with fn.threads.single_threaded_blas():
    ...     y = np.ones((64, 64)) @ np.ones((64, 64))
    """
    return _SingleThreadedBlas()


class _SingleThreadedBlas(contextlib.AbstractContextManager[None]):
    """A class, as a generator would take longer to enter than a small product.

    Ctrl-C may come in the middle, or before `__exit__` has begun. So a block is left when this is
    forgotten, if it was not before (and not by `__del__`, in which a Ctrl-C would be lost).
    """

    _watch: Any = None

    def __enter__(self) -> None:
        if self._watch is not None:
            raise RuntimeError("this block is open: call single_threaded_blas() for another")
        self._watch = watch = weakref.ref(self, _leave_block)
        number, thread = id(watch), threading.get_ident()
        try:
            with _lock:
                is_first, count = not _blas_blocks, _blas_blocks.get(thread, 0) + 1
                # Where nothing is called no Ctrl-C comes. The block may be left in another thread.
                _blas_blocks[thread] = count
                _open_blocks[number] = watch, thread
                if is_first or _blas_before is None:
                    _limit_blas_threads()
        except BaseException:
            _leave_block(watch)
            raise

    def __exit__(self, *_: object) -> None:
        try:
            _leave_block(self._watch)
        except BaseException:
            _leave_block(self._watch)
            raise
        self._watch = None


def _leave_block(watch: Any) -> None:
    """Leave a block, unless that was done; BLAS gets back in any case what nobody needs now."""
    number = id(watch)
    with _lock:
        if number in _open_blocks:
            thread = _open_blocks[number][1]
            count = _blas_blocks[thread] - 1
            del _open_blocks[number]
            if count:
                _blas_blocks[thread] = count
            else:
                del _blas_blocks[thread]
        if not _blas_blocks and _blas_before is not None:
            _restore_blas_threads()


def _limit_blas_threads() -> None:
    global _blas_before
    if _blas_before is None:  # else a Ctrl-C came before it had all of them again
        counts = map(thread_count_of, blas_libraries())
        _blas_before = [(count, count.get()) for count in counts]
    _set_blas_threads(1)


def _restore_blas_threads() -> None:
    global _blas_before
    for count, before in _blas_before or ():
        count.set(before)
    _blas_before = None


def in_single_threaded_blas() -> bool:
    """Whether this thread is in such a block, so that another would change nothing."""
    return threading.get_ident() in _blas_blocks


class NotAloneError(RuntimeError):
    """Another thread is in a `single_threaded_blas` block, and counts on it."""


def _is_alone() -> bool:
    """Whether this thread, and no other, is in a `single_threaded_blas` block."""
    return len(_blas_blocks) == 1 and threading.get_ident() in _blas_blocks


def _set_blas_threads(count: int) -> None:
    for library in blas_libraries():
        thread_count_of(library).set(count)


def spare_blas_threads() -> int:
    """How many threads BLAS may have for a moment, with `with_blas_threads`.

    All of the library's, for the one thread that is in a `single_threaded_blas` block; else one,
    as where its threads cannot be set.
    """
    spare = _is_alone() and not getattr(_local, "in_task", False) and blas_libraries()
    return thread_count() if spare else 1


def with_blas_threads(count: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work(*args)` gives with BLAS on `count` threads; after it BLAS has one again.

    `count` is at most `spare_blas_threads`, and `work` enters no block. A thread that comes into
    one meanwhile waits; if one has come since, that is a `NotAloneError`, and nothing is done.
    """
    with _lock:
        if not _is_alone():
            raise NotAloneError
        try:
            _set_blas_threads(count)
            return work(*args, **kwargs)
        finally:
            try:
                _set_blas_threads(1)
            except BaseException:  # Ctrl-C comes here, as it was not heard in the product
                _set_blas_threads(1)
                raise


def _begin_as_child() -> None:
    """A forked child has none of its parent's other threads, nor their blocks."""
    thread = threading.get_ident()
    for number, (_, other) in list(_open_blocks.items()):
        if other != thread:
            del _open_blocks[number]
            _blas_blocks.pop(other, None)
    if not _blas_blocks:
        _restore_blas_threads()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_begin_as_child
    )


def run_parallel(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """The results of all tasks, in order; this thread does its share of them.

    Within a task, another call of `run_parallel` runs its tasks one after another. An exception of
    a task raises here, when none is running any more.

    >>> fn.threads.run_parallel([lambda: 1, lambda: 2])
    [1, 2]
    """
    if _recording.active and (recorder := _recording.recorder()) is not None:
        return recorder.parallel(tasks)  # type: ignore[no-any-return]
    count = min(thread_count(), len(tasks))

    def stripe(first: int) -> list[T]:
        _local.in_task = True
        try:
            return [task() for task in tasks[first::count]]
        finally:
            _local.in_task = False

    with single_threaded_blas():
        if count <= 1 or getattr(_local, "in_task", False):
            return [task() for task in tasks]
        workers = [idle.pop() if idle else Worker() for _ in range(count - 1)]
        try:
            for first, worker in enumerate(workers, 1):
                # The context carries numpy's errstate, which is the caller's.
                worker.start(functools.partial(contextvars.copy_context().run, stripe, first))
            done = [stripe(0)]
        finally:
            try:
                finished = [worker.finish() for worker in workers]
            except BaseException:  # Ctrl-C leaves no task that still writes
                for worker in workers:
                    worker.finish()
                idle.extend(workers)
                raise
            idle.extend(workers)
        for result, error in finished:
            if error is not None:
                raise error
            done.append(result)
    return [done[index % count][index // count] for index in range(len(tasks))]
