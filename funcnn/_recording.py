"""What the library tells a recorder of steps, and what it asks it: the seam between the two.

`funcnn.compiled` records what NumPy was asked to do in a step, to do it again without our Python.
It sees arrays by itself. Two things it has to be told: where a Python number changes from step to
step, which is then computed by a `host` function, and where arrays come to be, in `_memory`. When
nothing is recorded both cost the look at a number.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

active = 0
"""How many recordings are under way, in all threads."""
_lock = threading.Lock()


class _Local(threading.local):
    recorder: Any = None
    depth = 0
    """How much of `active` is this thread's."""


_local = _Local()


class Recorded(np.ndarray[Any, Any]):
    """An array of which a recorder sees what is done with it."""


class Changing:
    """What stands for a Python number, or a key, that changes from step to step."""


def recorder() -> Any:
    """What records in this thread, or None."""
    return _local.recorder if active else None


@contextlib.contextmanager
def recording(by: Any) -> Iterator[None]:
    """Inside the `with` block `by` is this thread's recorder."""
    global active
    before, counted = recorder(), False
    try:
        with _lock:  # where nothing is called no Ctrl-C comes
            active += 1
            _local.depth += 1
            counted = True
        _local.recorder = by
        yield
    finally:
        _local.recorder = before
        if counted:
            with _lock:
                active -= 1
                _local.depth -= 1


def _begin_as_child() -> None:
    """Of a forked child's threads only this one is left, and another may have held the lock."""
    global active, _lock
    active, _lock = _local.depth, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_as_child)


def host(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """`function(*args, **kwargs)`: what changes from step to step beside arrays.

    In a step that is replayed the function is called anew each time. It sees numbers, keys and
    arrays, none of which it changes, and gives a number, a key, a tuple of those, or an array of
    the same shape each time.
    """
    by = recorder() if active else None
    return function(*args, **kwargs) if by is None else by.host(function, args, kwargs)


def into(out: np.ndarray[Any, Any], function: Callable[..., Any], *args: Any) -> None:
    """`function(*args, out=out)`: a function of arrays that writes into one, and into no other."""
    by = recorder() if active else None
    if by is None:
        function(*args, out=out)
    else:
        by.into(out, function, args)


def hosted(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to be called by `host` always."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return host(function, *args, **kwargs) if active else function(*args, **kwargs)

    return call


def is_float(value: Any) -> bool:
    """Whether it is a Python float, or stands for one."""
    return type(value) is float or isinstance(value, Changing)
