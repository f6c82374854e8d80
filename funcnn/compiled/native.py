"""What the interpreter in C runs at once, and whether there is one here."""

import functools
import os
from collections.abc import Callable

import numpy as np

from funcnn.compiled.instructions import (
    MOST_ERRSTATES,
    instructions,
    interpreter,
    why_no_interpreter,
)
from funcnn.compiled.lanes import LEAST_WORK, work_of
from funcnn.compiled.tape import Operation, View
from funcnn.threads import thread_count
from funcnn.types import Array

VARIABLE = "FUNCNN_NATIVE"
"""Set to 0, it has steps replayed by NumPy alone."""
FLAGS = "divide", "over", "under", "invalid"
"""In the order of their bits."""
OTHER_BRANCH = 1 << 60
NO_SUCH_INDEX = 1 << 61


class GuardError(Exception):
    """The step would take another branch than when it was recorded."""


class Run:
    """Operations that are done in C: called with the arrays that come with each replay.

    operation: of the kind `native`. place: what `instructions` asks.
    """

    def __init__(self, operation: Operation, place: Callable[[View], tuple[int, int]]) -> None:
        phases = operation.inputs[0]
        self._lanes = len(phases[0].inputs)
        self._errors: list[tuple[tuple[str, str], ...]] = []
        words: list[int] = []
        starts = []
        for lane in (lane for phase in phases for lane in phase.inputs):
            starts.append(len(words))
            for inner in lane:
                for instruction in instructions(inner, place, self._errstate(inner.errors)):
                    words += instruction
        starts.append(len(words))
        head = 3 + len(starts)
        # A run as short as what is not divided may keep the interpreter's lock.
        is_short = sum(map(work_of, phases)) < LEAST_WORK
        program = [
            self._lanes,
            len(phases),
            int(is_short),
            *(start + head for start in starts),
            *words,
        ]
        self._program = np.array(program, np.int64).tobytes()

    def _errstate(self, errors: tuple[tuple[str, str], ...]) -> int:
        if errors not in self._errors:
            self._errors.append(errors)
        return min(self._errors.index(errors), MOST_ERRSTATES - 1)

    def __call__(self, arrays: tuple[Array, ...]) -> None:
        """Raises `GuardError`, `IndexError`, or `FloatingPointError` where NumPy might say more."""
        threads = thread_count() if self._lanes > 1 else 1
        found = interpreter.run(self._program, arrays, threads)
        if found:
            self._look(found)

    def _look(self, found: int) -> None:
        if found & OTHER_BRANCH:
            raise GuardError
        if found & NO_SUCH_INDEX:
            raise IndexError("an index is out of bounds")
        outside = np.geterr()
        for number, errors in enumerate(self._errors):
            holds = outside | dict(errors)
            for bit, name in enumerate(FLAGS):
                if (
                    found >> 4 * min(number, MOST_ERRSTATES - 1) + bit & 1
                    and holds[name] != "ignore"
                ):
                    raise FloatingPointError(name)


@functools.cache
def why_not() -> str | None:
    """Why steps are replayed by NumPy alone; None: they are not."""
    if os.environ.get(VARIABLE) == "0":
        return f"{VARIABLE}=0"
    if interpreter is None:
        return why_no_interpreter
    try:
        _check()
    except Exception as error:
        return f"its self-check failed: {error}"
    return None


def _check() -> None:
    """Raise an error if a small run gives anything but what NumPy gives."""
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    w = x.T.copy()
    y = np.zeros((3, 3), np.float32)
    views = [
        View(i, 0, array.shape, array.strides, array.dtype) for i, array in enumerate((x, w, y))
    ]
    lane = (
        Operation("call", np.matmul, (views[0], views[1]), views[2]),
        Operation("call", np.exp, (views[2],), views[2]),
    )
    run = Run(
        Operation("native", None, ((Operation("fork", None, (lane,)),),)),
        lambda view: (view.buffer + 1, view.offset),
    )
    with np.errstate(all="ignore"):
        run((x, w, y))
        if not np.array_equal(y, np.exp(x @ w)):
            raise ArithmeticError("other bits than NumPy's")
