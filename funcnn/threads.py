"""Threads, and BLAS kept on one of them.

OpenBLAS gives other bits with two threads than with one, so results may not depend on how many it
uses: it gets one, but for moments in which `ops.matmul` lends it more, and the library runs pieces
of work beside each other instead. The pieces are cut by the shapes of the arrays, never by the
number of threads, so that number cannot be seen in a result.
"""

import contextlib
import contextvars
import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from funcnn import _recording

if TYPE_CHECKING:
    from threadpoolctl import LibController, ThreadpoolController

T = TypeVar("T")
P = ParamSpec("P")

_lock = threading.RLock()  # as garbage that is collected within it may leave a block
_blas_blocks: dict[int, int] = {}  # of each thread, how many it is in
_blas_before: list[tuple["_Setting", int]] = []  # of each library, outside of all blocks
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


@functools.cache
def _controller() -> "ThreadpoolController":
    from threadpoolctl import ThreadpoolController  # finding the libraries takes milliseconds

    return ThreadpoolController()


@functools.cache
def blas_libraries() -> "list[LibController]":
    """What multiplies matrices here, as threadpoolctl knows it."""
    return [library for library in _controller().lib_controllers if library.user_api == "blas"]


def openblas_function(library: "LibController", name: str) -> Any:
    """A function of an OpenBLAS, by its name there; None if it has none."""
    # NumPy's own OpenBLAS has something before its names, and behind them.
    for prefix, suffix in itertools.product(("", "scipy_"), ("", "64_", "_64")):
        function = getattr(library.dynlib, f"{prefix}{name}{suffix}", None)
        if function is not None:
            return function
    return None


class _Setting(NamedTuple):
    """The number of a BLAS's threads: how to get it, and how to set it."""

    get: Callable[[], int]
    set: Callable[[int], Any]


@functools.cache
def _setting(library: "LibController") -> _Setting:
    # Of OpenBLAS its own functions, as threadpoolctl's take ten times as long around a product.
    get, set_ = (
        openblas_function(library, f"openblas_{verb}_num_threads") for verb in ("get", "set")
    )
    if library.internal_api == "openblas" and library.threading_layer == "pthreads":  # type: ignore[attr-defined]
        return _Setting(get, set_)
    return _Setting(library.get_num_threads, library.set_num_threads)


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
    """A class, as a generator would take longer to enter than a small product."""

    def __enter__(self) -> None:
        self._thread = threading.get_ident()  # the block may be left in another
        with _lock:
            if not _blas_blocks:
                settings = map(_setting, blas_libraries())
                _blas_before[:] = [(setting, setting.get()) for setting in settings]
                _set_blas_threads(1)
            _blas_blocks[self._thread] = _blas_blocks.get(self._thread, 0) + 1

    def __exit__(self, *_: object) -> None:
        with _lock:
            left = _blas_blocks.pop(self._thread) - 1
            if left:
                _blas_blocks[self._thread] = left
            if not _blas_blocks:
                _restore_blas_threads()


def _restore_blas_threads() -> None:
    for setting, count in _blas_before:
        setting.set(count)


def in_single_threaded_blas() -> bool:
    """Whether this thread is in such a block, so that another would change nothing."""
    return threading.get_ident() in _blas_blocks


class NotAloneError(RuntimeError):
    """Another thread is in a `single_threaded_blas` block, and counts on it."""


def _is_alone() -> bool:
    """Whether this thread, and no other, is in a `single_threaded_blas` block."""
    return len(_blas_blocks) == 1 and threading.get_ident() in _blas_blocks


def _set_blas_threads(count: int) -> None:
    for setting, _ in _blas_before:
        setting.set(count)


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


class _Worker:
    """A thread that runs what it is handed, three times as quickly as an executor's future."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self._results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        threading.Thread(target=self._serve, name="funcnn", daemon=True).start()

    def _serve(self) -> None:
        while True:
            task = self._tasks.get()
            try:
                self._results.put((task(), None))
            except BaseException as error:
                self._results.put((None, error))

    def start(self, task: Callable[[], Any]) -> None:
        self._tasks.put(task)

    def finish(self) -> tuple[Any, BaseException | None]:
        return self._results.get()


_idle: list[_Worker] = []


def _begin_as_child() -> None:
    """A forked child has none of its parent's threads, nor what they hold."""
    _idle.clear()
    thread = threading.get_ident()
    for other in _blas_blocks.keys() - {thread}:
        del _blas_blocks[other]
    if not _blas_blocks and _blas_before:
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
        workers = [_idle.pop() if _idle else _Worker() for _ in range(count - 1)]
        for first, worker in enumerate(workers, 1):
            # The context carries numpy's errstate, which is the caller's.
            worker.start(functools.partial(contextvars.copy_context().run, stripe, first))
        try:
            done = [stripe(0)]
        finally:
            finished = [worker.finish() for worker in workers]
            _idle.extend(workers)
        for result, error in finished:
            if error is not None:
                raise error
            done.append(result)
    return [done[index % count][index // count] for index in range(len(tasks))]
