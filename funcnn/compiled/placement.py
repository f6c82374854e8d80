"""Where the buffers of a tape lie: in one arena, in which memory is used again when it is free.

A buffer is live from the first operation that touches it to the last. The branches of a fork are
done beside each other: what lives in one branch alone lies in a part of the arena that is the
branch's own for so long, and what others touch too counts as live for the whole of the fork.

Small inputs and small outputs lie next to each other in their order, so that one copy moves all of
them; large ones are where the caller has them, or in memory of their own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from funcnn._memory import LEAST_BYTES
from funcnn.compiled.tape import Operation, Tape, View, leaves_of, views_of

LINE = 64
"""The bytes of a cache's line, at which a buffer begins."""


class Vector(NamedTuple):
    """Small arrays one after another in the arena."""

    start: int
    size: int
    offsets: dict[int, int]
    """Where each buffer begins within it."""


class Placement(NamedTuple):
    """What lies where."""

    size: int
    """Of the arena, in bytes."""
    offsets: dict[int, int]
    """In the arena, of every buffer that lies there."""
    inputs: Vector
    outputs: Vector


def place(tape: Tape) -> Placement:
    """Room for all buffers of a tape but constants, large inputs and large outputs."""
    inputs = [view for view in tape.inputs if isinstance(view, View)]
    outputs = [leaf for leaf in leaves_of(tape.result) if isinstance(leaf, View)]
    entering = _in_a_row(tape, 0, (view for view in inputs if is_small(tape, view)))
    small = (view for view in outputs if is_small(tape, view))
    leaving = _in_a_row(tape, _rounded(entering.size), small)
    start = leaving.start + _rounded(leaving.size)
    fixed = {
        number: vector.start + offset
        for vector in (entering, leaving)
        for number, offset in vector.offsets.items()
    }
    elsewhere = {view.buffer for view in (*inputs, *outputs)}
    scratch = {
        number: buffer.size
        for number, buffer in enumerate(tape.buffers)
        if buffer.kind == "scratch" and number not in elsewhere
    }
    uses = Counter(view.buffer for op in tape.operations for view in views_of(op))
    size, offsets = _pack(tape.operations, scratch, uses)
    moved = {number: start + offset for number, offset in offsets.items()}
    return Placement(start + size, fixed | moved, entering, leaving)


def is_small(tape: Tape, view: View) -> bool:
    """Whether an input or output is copied into the arena, or out of it."""
    buffer = tape.buffers[view.buffer]
    return buffer.size < LEAST_BYTES or (buffer.kind == "input" and not in_rows(view))


def in_rows(view: View) -> bool:
    """Whether its elements lie one after another in row-major order."""
    step = view.dtype.itemsize
    for size, stride in zip(reversed(view.shape), reversed(view.strides), strict=True):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def _in_a_row(tape: Tape, start: int, arrays: Iterable[View]) -> Vector:
    offsets, end = {}, 0
    for view in arrays:
        item = view.dtype.itemsize
        offsets[view.buffer] = -(-end // item) * item
        end = offsets[view.buffer] + tape.buffers[view.buffer].size
    return Vector(start, end, offsets)


def _rounded(size: int) -> int:
    return -(-size // LINE) * LINE


def _pack(
    operations: Sequence[Operation], sizes: dict[int, int], uses: Counter[int]
) -> tuple[int, dict[int, int]]:
    """The bytes that the buffers of `sizes` need, and where each begins.

    uses: how often each buffer is used in the whole tape.
    """
    spans: dict[int, list[int]] = {}
    rooms: list[tuple[int, int, dict[int, int]]] = []  # of branches: when, its bytes, its buffers
    for time, operation in enumerate(operations):
        own: set[int] = set()
        if operation.kind == "fork":
            for branch in operation.inputs:
                inside = Counter(view.buffer for op in branch for view in views_of(op))
                alone = {b: sizes[b] for b in inside if b in sizes and uses[b] == inside[b]}
                own |= alone.keys()
                rooms.append((time, *_pack(branch, alone, uses)))
        for view in views_of(operation):
            if view.buffer in sizes and view.buffer not in own:
                spans.setdefault(view.buffer, [time, time])[1] = time
    wanted = [(begin, end, sizes[number], number) for number, (begin, end) in spans.items()]
    wanted += [(time, time, size, -1 - i) for i, (time, size, _) in enumerate(rooms) if size]
    total, places = _first_fit(sorted(wanted))
    offsets = {}
    for number, offset in places.items():
        if number >= 0:
            offsets[number] = offset
        else:
            offsets |= {b: offset + within for b, within in rooms[-1 - number][2].items()}
    return total, offsets


def _first_fit(wanted: list[tuple[int, int, int, int]]) -> tuple[int, dict[int, int]]:
    """Room for each `(begin, end, size, number)`, in the order in which they begin."""
    placed: list[tuple[int, int, int]] = []  # of those that are live: offset, end in memory, time
    places, total = {}, 0
    for begin, end, size, number in wanted:
        placed = sorted(entry for entry in placed if entry[2] >= begin)
        size, best, at = _rounded(max(size, 1)), None, 0
        for offset, stop, _ in placed:
            gap = offset - at
            if gap >= size and (best is None or gap < best[1]):
                best = at, gap
            at = max(at, stop)
        start = at if best is None else best[0]
        places[number] = start
        placed.append((start, start + size, end))
        total = max(total, start + size)
    return total, places
