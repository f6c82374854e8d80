"""A tape whose operations are done by the interpreter in C, as far as it knows them.

What it does not know stays with Python: what is computed of numbers, functions of NumPy's that are
no universal ones, a library's or a user's own, and forks, whose branches Python's threads do: in C
the large strided arrays of convolutions took longer. These are done first, as long as they need
nothing of what C computes, then all that C can do, and so on: an operation waits only for those
that write what it needs, or need what it writes. A step is one run of C's, as a rule.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from funcnn.compiled.instructions import NotKnownError, instructions
from funcnn.compiled.lanes import LEAST_WORK, phases_of, work_of
from funcnn.compiled.tape import (
    BLOCK,
    Buffer,
    Operation,
    Place,
    Slot,
    Tape,
    View,
    cast_once,
    in_rows,
    span,
    views,
    views_of,
    written,
)

LEAST_RUN = 3
"""So many operations are worth a call of the interpreter."""


def in_segments(tape: Tape, lanes: int) -> Tape:
    """The tape with runs of operations for C in the place of the operations."""
    explicit = _Explicit(tape)
    operations, known = explicit.operations(tape.operations)
    buffers = explicit.buffers
    before = list(_needs(operations))
    waiting = list(range(len(operations)))
    done: list[Operation] = []
    for_c = False
    while waiting:
        run, later = [], set[int]()
        for number in waiting:
            if known[number] == for_c and not before[number] & later:
                run.append(operations[number])
            else:
                later.add(number)
        waiting = sorted(later)
        if for_c and len(run) >= LEAST_RUN:
            least = sum(map(work_of, run)) < 2 * LEAST_WORK
            phases = phases_of(run, 1 if least else lanes, buffers)
            done.append(Operation("native", None, (phases,)))
        else:
            done += run
        for_c = not for_c
    return tape._replace(operations=tuple(done), buffers=tuple(buffers))


def _needs(operations: list[Operation]) -> Iterator[set[int]]:
    """Of each operation the earlier ones that it must come after."""
    touched: dict[int, list[tuple[int, int, bool, int]]] = {}
    made: dict[Slot, int] = {}
    for number, operation in enumerate(operations):
        needed = {made[slot] for slot in _slots(operation.inputs) if slot in made}
        needed |= {made[slot] for slot in _slots(operation.keywords) if slot in made}
        outs = set(written(operation))
        spans = [(view.buffer, *span(view), view in outs) for view in views_of(operation)]
        for buffer, start, stop, is_written in spans:
            for other_start, other_stop, was_written, other in touched.get(buffer, ()):
                if (is_written or was_written) and other_start < stop and start < other_stop:
                    needed.add(other)
        for buffer, start, stop, is_written in spans:
            touched.setdefault(buffer, []).append((start, stop, is_written, number))
        made |= dict.fromkeys(_slots(operation.out), number)
        yield needed


def _slots(operand: Any) -> Iterator[Slot]:
    if isinstance(operand, Slot):
        yield operand
    elif isinstance(operand, (tuple, list)) and not isinstance(operand, (View, Operation)):
        for part in operand:
            yield from _slots(part)


class _Explicit:
    """Operations of which all operands are arrays of the dtypes that a loop of NumPy's is for."""

    def __init__(self, tape: Tape) -> None:
        self.buffers = list(tape.buffers)
        self._views: dict[Any, View] = {}

    def operations(self, given: tuple[Operation, ...]) -> tuple[list[Operation], list[bool]]:
        """The operations, and of each whether C knows it."""
        done: list[Operation] = []
        known: list[bool] = []
        for operation in given:
            count = len(self.buffers)
            numbers: list[Operation] = []
            try:
                parts = list(self._known(operation, numbers))
            except NotKnownError:
                self._forget(count)
                done.append(operation)
                known.append(False)
                continue
            done += [*numbers, *parts]
            known += [False] * len(numbers) + [True] * len(parts)
        return done, known

    def _forget(self, count: int) -> None:
        """All buffers but so many, as what would write into the others is not done."""
        del self.buffers[count:]
        self._views = {k: v for k, v in self._views.items() if v.buffer < count}

    def _known(self, operation: Operation, numbers: list[Operation]) -> Iterator[Operation]:
        if operation.kind == "blocks":
            parts = (self._known_call(call, numbers, True) for call in operation.inputs[0])
            yield operation._replace(inputs=(tuple(itertools.chain.from_iterable(parts)),))
        else:
            yield from self._known_call(operation, numbers, False)

    def _known_call(
        self, operation: Operation, numbers: list[Operation], in_blocks: bool
    ) -> Iterator[Operation]:
        kind, function, inputs, out, _, _ = operation = _as_copy(operation)
        if kind == "guard" and not (isinstance(inputs[0], View) and inputs[0].dtype == np.bool_):
            raise NotKnownError
        if kind not in ("call", "copy", "item", "set", "guard"):
            raise NotKnownError
        if isinstance(function, np.ufunc) and function.signature is None:
            operands, dtypes = [], _loop_dtypes(operation)
            for value, dtype in zip(inputs, dtypes, strict=True):
                view = self._array(value, dtype, numbers, operation)
                if view.dtype != dtype:
                    yield (cast := _checked(self._cast(view, dtype, in_blocks, operation)))
                    view = cast.out
                operands.append(view)
            operation = operation._replace(inputs=tuple(operands))
        elif kind == "copy":
            source = self._array(inputs[0], out.dtype, numbers, operation)
            operation = operation._replace(inputs=(source,))
        elif getattr(function, "__self__", None) is np.add:
            begin = self._array(0, out.dtype, numbers, operation)
            operation = operation._replace(inputs=(*inputs, begin))
        yield _checked(operation)

    def _array(
        self, value: Any, dtype: np.dtype[Any], numbers: list[Operation], operation: Operation
    ) -> View:
        """An operand as a view: a constant's, or that of where a number is written."""
        if isinstance(value, View):
            return value
        if type(value) not in (bool, int, float) and not isinstance(value, (Slot, np.generic)):
            raise NotKnownError
        key: Any = value, dtype, operation.errors  # under which a number may overflow
        contents = b""
        if not isinstance(value, Slot):
            try:
                contents = cast_once(value, dtype).tobytes()
            except ArithmeticError:  # NumPy says so each time, or knows what no entry can be
                raise NotKnownError from None
            key = contents, dtype
        if key not in self._views:
            kind: Place = "scratch" if isinstance(value, Slot) else "constant"
            self._views[key] = view = View(len(self.buffers), 0, (), (), dtype)
            self.buffers.append(Buffer(dtype.itemsize, kind, contents))
            if isinstance(value, Slot):
                write = Operation("copy", None, (value,), view, errors=operation.errors)
                numbers.append(write)
        return self._views[key]

    def _cast(
        self, view: View, dtype: np.dtype[Any], in_blocks: bool, operation: Operation
    ) -> Operation:
        strides = np.empty(view.shape, dtype).strides
        room = BLOCK if in_blocks and view.shape else math.prod(view.shape)
        out = View(len(self.buffers), 0, view.shape, strides, dtype)
        self.buffers.append(Buffer(room * dtype.itemsize, "scratch"))
        return Operation("copy", None, (view,), out, errors=operation.errors)


def _checked(operation: Operation) -> Operation:
    """The same operation, if there are instructions for it: else it raises `NotKnownError`."""
    for _ in instructions(operation, lambda view: (0, 0), 0):
        pass
    if _overlaps(operation):
        raise NotKnownError
    return operation


def _as_copy(operation: Operation) -> Operation:
    """A reshape that NumPy makes an array for, as the copy that it is."""
    _, function, inputs, out, keywords, errors = operation
    is_copy = function is np.reshape and len(inputs) == 2 and not keywords and in_rows(out)
    if not is_copy or not isinstance(inputs[0], View):
        return operation
    strides = np.empty(inputs[0].shape, out.dtype).strides
    to = out._replace(shape=inputs[0].shape, strides=strides)
    return Operation("copy", None, inputs[:1], to, errors=errors)


def _loop_dtypes(operation: Operation) -> list[np.dtype[Any]]:
    """The dtypes of the inputs of the loop that NumPy takes for a call."""
    if operation.keywords:  # dtype: see `instructions`
        return [operation.out.dtype for _ in operation.inputs]
    given = [
        value.dtype if isinstance(value, (View, np.generic)) else _weak(value)
        for value in operation.inputs
    ]
    try:
        dtypes = operation.function.resolve_dtypes((*given, operation.out.dtype))
    except TypeError:
        raise NotKnownError from None
    if dtypes[-1] != operation.out.dtype:
        raise NotKnownError
    return list(dtypes[:-1])


def _weak(value: Any) -> Any:
    if isinstance(value, Slot):
        return float  # or int, which is cast to the same number of a dtype that has fractions
    if type(value) in (int, float):
        return type(value)
    raise NotKnownError


def _overlaps(operation: Operation) -> bool:
    """Whether an operation writes into what it reads, where NumPy would copy that before."""
    out = operation.out
    if out is None:  # of a guard
        return False
    by_element = isinstance(operation.function, np.ufunc) and operation.function.signature is None
    start, stop = span(out)
    for view in views(operation.inputs):
        other_start, other_stop = span(view)
        meets = view.buffer == out.buffer and start < other_stop and other_start < stop
        if meets and (view != out or not by_element):
            return True
    return False
