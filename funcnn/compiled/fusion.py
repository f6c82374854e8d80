"""Calls of element by element put together, as those of an optimizer: the same bits, sooner.

What such calls do with one large array after the other goes through memory as often as there are
calls. Done for some elements after the other it stays in a core's cache. What they do with several
small arrays that lie side by side is done by one call for all of them.

A call waits in a group with those that it has arrays in common with. Before another operation
touches what a group writes, or writes what it reads, the group is done.
"""

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from funcnn.compiled.tape import (
    BLOCK,
    Buffer,
    Operation,
    Tape,
    View,
    in_rows,
    leaves_of,
    moved,
    views,
    views_of,
    written,
)

EXACT = {np.add, np.subtract, np.multiply, np.divide, np.sqrt, np.square, np.negative}
EXACT |= {np.absolute, np.maximum, np.minimum, np.greater, np.less}
"""Functions whose results do not depend on where an element stands, to the last bit.

But for which of two NaNs it is.
"""


_Spot = tuple[int, int]
"""A buffer, or one of the arrays that lie in it: its number, and where the array begins."""


class _Spots:
    """What arrays touch of a tape's memory."""

    def __init__(self, tape: Tape) -> None:
        self._starts: dict[int, list[int]] = {}
        for view in views([tape.inputs, list(leaves_of(tape.result))]):
            self._starts.setdefault(view.buffer, []).append(view.offset)
        for starts in self._starts.values():
            starts.sort()

    def __call__(self, arrays: Iterable[View]) -> set[_Spot]:
        return {(view.buffer, self._start(view)) for view in arrays}

    def are_in_step(self, calls: Iterable[Operation]) -> bool:
        """Whether what a call does with an element touches no other element of another call."""
        offsets = {(*self((view,)), view.offset) for call in calls for view in views_of(call)}
        return len({spot for spot, _ in offsets}) == len(offsets)

    def _start(self, view: View) -> int:
        starts = self._starts.get(view.buffer)
        return starts[bisect.bisect(starts, view.offset) - 1] if starts else 0


class _Group:
    """Calls on arrays of one size that wait to be done together."""

    def __init__(self, size: int, calls: list[Operation], spots: _Spots) -> None:
        self.size, self.calls = size, calls
        self.touched = spots(view for call in calls for view in views_of(call))
        self.writes = spots(call.out for call in calls)

    def meets(self, touched: set[_Spot], writes: set[_Spot]) -> bool:
        """Whether an operation on these spots cannot be done before the group."""
        return bool(self.writes & touched or self.touched & writes)


def fused(tape: Tape) -> Tape:
    """The same tape with calls put together, where that gains something. It must be settled."""
    done: list[Operation] = []
    waiting: list[_Group] = []
    spots = _Spots(tape)
    for operation in tape.operations:
        touched, writes = spots(views_of(operation)), spots(written(operation))
        met = [group for group in waiting if group.meets(touched, writes)]
        waiting = [group for group in waiting if group not in met]
        calls = [*(call for group in met for call in group.calls), operation]
        size = _elements(operation)
        together = {group.size for group in met} <= {size} and spots.are_in_step(calls)
        if size is not None and together:
            waiting.append(_Group(size, calls, spots))
            continue
        for group in met:
            done += _in_blocks(group)
        if size is None or not spots.are_in_step([operation]):
            done.append(operation)
        else:
            waiting.append(_Group(size, [operation], spots))
    done, tape = _finished(done, waiting, tape)
    return _with_little_scratch(tape._replace(operations=tuple(done)))


def _elements(operation: Operation) -> int | None:
    """The size of the arrays of a call that may wait; None for another operation."""
    if operation.kind != "call" or operation.function not in EXACT or operation.keywords:
        return None
    arrays = [view for view in (*operation.inputs, operation.out) if isinstance(view, View)]
    arrays = [view for view in arrays if view.shape]
    if not arrays or operation.out not in arrays:
        return None
    like = arrays[0]
    if any(view.shape != like.shape or not in_rows(view) for view in arrays):
        return None
    return math.prod(like.shape)


def _in_blocks(group: _Group) -> list[Operation]:
    if group.size < 2 * BLOCK or len(group.calls) < 2:
        return group.calls
    errors = {call.errors for call in group.calls}
    if len(errors) > 1:
        return group.calls
    return [Operation("blocks", None, (tuple(group.calls),), errors=errors.pop())]


def _finished(
    done: list[Operation], waiting: list[_Group], tape: Tape
) -> tuple[list[Operation], Tape]:
    """The operations with those of the groups that wait to the end, and the tape they are for."""
    alike: dict[Any, list[_Group]] = {}
    for group in waiting:
        if group.size >= 2 * BLOCK:
            done += _in_blocks(group)
        else:
            alike.setdefault(_form(group), []).append(group)
    buffers, moves = list(tape.buffers), dict[int, tuple[int, int]]()
    joint: list[Operation] = []
    for groups in alike.values():
        for run in _runs(groups, tape):
            scratch = [v.buffer for group in run for v in _arrays(group)]
            scratch = [number for number in scratch if buffers[number].kind == "scratch"]
            apart = len(set(scratch)) == len(scratch) and not moves.keys() & set(scratch)
            if len(run) > 1 and apart:
                joint += _as_one(run, buffers, moves)
            else:
                joint += [call for group in run for call in group.calls]
    done = [moved(operation, moves) for operation in (*done, *joint)]
    return done, tape._replace(buffers=tuple(buffers))


def _form(group: _Group) -> Any:
    """What groups have in common that do the same with other arrays."""
    roles: dict[View, int] = {}

    def role(value: Any) -> Any:
        if isinstance(value, View) and value.shape:
            return roles.setdefault(value, len(roles)), value.dtype
        return (type(value), value)

    return tuple(
        (call.function, tuple(map(role, call.inputs)), role(call.out), call.errors)
        for call in group.calls
    )


def _arrays(group: _Group) -> list[View]:
    """The arrays of a group in the order in which they are met."""
    found: dict[View, None] = {}
    for call in group.calls:
        for value in (*call.inputs, call.out):
            if isinstance(value, View) and value.shape:
                found[value] = None
    return list(found)


def _runs(groups: list[_Group], tape: Tape) -> Iterator[list[_Group]]:
    """Groups of one form whose arrays lie side by side, or can be made to."""
    groups = sorted(groups, key=lambda group: [view.offset for view in _arrays(group)])
    run: list[_Group] = []
    for group in groups:
        if run and not _follows(_arrays(run[-1]), _arrays(group), tape):
            yield run
            run = []
        run.append(group)
    if run:
        yield run


def _follows(one: list[View], other: list[View], tape: Tape) -> bool:
    for a, b in zip(one, other, strict=True):
        kind = tape.buffers[a.buffer].kind
        size = math.prod(a.shape) * a.dtype.itemsize
        if kind in ("entering", "leaving"):
            if b.buffer != a.buffer or b.offset != a.offset + size:
                return False
        elif kind != "scratch" or not _fills(a, tape.buffers) or not _fills(b, tape.buffers):
            return False
    return True


def _fills(view: View, buffers: Sequence[Buffer]) -> bool:
    """Whether a buffer has nothing but this array."""
    return math.prod(view.shape) * view.dtype.itemsize == buffers[view.buffer].size


def _as_one(
    run: list[_Group], buffers: list[Buffer], moves: dict[int, tuple[int, int]]
) -> list[Operation]:
    """The calls of the first group on all the arrays of the run; scratch is moved side by side."""
    whole: dict[View, View] = {}
    for several in zip(*map(_arrays, run), strict=True):
        first, item = several[0], several[0].dtype.itemsize
        count = sum(math.prod(view.shape) for view in several)
        if buffers[first.buffer].kind == "scratch":
            end = 0
            for view in several:
                moves[view.buffer] = len(buffers), end
                end += buffers[view.buffer].size
            first = first._replace(buffer=len(buffers), offset=0)
            buffers.append(Buffer(end, "scratch"))
        whole[several[0]] = first._replace(shape=(count,), strides=(item,))

    def on_all(value: Any) -> Any:
        return whole.get(value, value) if isinstance(value, View) else value

    return [
        call._replace(inputs=tuple(map(on_all, call.inputs)), out=on_all(call.out))
        for call in run[0].calls
    ]


def _with_little_scratch(tape: Tape) -> Tape:
    """The tape in which what is used within blocks alone has room for one block."""
    uses = Counter(view.buffer for operation in tape.operations for view in views_of(operation))
    buffers = list(tape.buffers)
    for operation in tape.operations:
        if operation.kind != "blocks":
            continue
        inside = Counter(view.buffer for view in views_of(operation))
        for view in views_of(operation):
            number = view.buffer
            alone = uses[number] == inside[number] and buffers[number].kind == "scratch"
            if alone and _fills(view, tape.buffers):
                buffers[number] = Buffer(BLOCK * view.dtype.itemsize, "scratch")
    return tape._replace(buffers=tuple(buffers))
