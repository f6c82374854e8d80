"""Where the buffers of a tape lie: in one arena, in which memory is used again when it is free.

A buffer is live from the first operation that touches it to the last. The branches of a fork are
done beside each other: what lives in one branch alone lies in a part of the arena that is the
branch's own for so long, and what others touch too counts as live for the whole of the fork.
"""

from collections import Counter
from collections.abc import Sequence

from funcnn.compiled.tape import Operation, Tape, views_of

LINE = 64
"""The bytes of a cache's line, at which a buffer begins."""


def place(tape: Tape) -> tuple[int, dict[int, int]]:
    """The bytes of the arena, and where in it each buffer lies that does not lie elsewhere."""
    end, offsets = 0, {}
    for number, buffer in enumerate(tape.buffers):
        if buffer.kind in ("entering", "leaving"):
            offsets[number] = end
            end += _rounded(buffer.size)
    scratch = {
        number: buffer.size
        for number, buffer in enumerate(tape.buffers)
        if buffer.kind == "scratch"
    }
    uses = Counter(view.buffer for operation in tape.operations for view in views_of(operation))
    size, within = _pack(tape.operations, scratch, uses)
    return end + size, offsets | {number: end + offset for number, offset in within.items()}


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
        if operation.kind in ("fork", "native"):
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
