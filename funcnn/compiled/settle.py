"""Where inputs and outputs are to lie: the small ones together, so that one copy moves all of them.

Large ones are used where the caller has them, or written into memory of their own.
"""

from collections.abc import Iterable
from typing import Any

from funcnn._memory import LEAST_BYTES
from funcnn.compiled.tape import Buffer, Place, Tape, View, in_rows, leaves_of, moved


def settled(tape: Tape, first: int) -> Tape:
    """The same tape, with all small inputs in one buffer in their order, and so all small outputs.

    An input that is not in row-major order counts as small, as no other array can be in its place.
    Where the result has nothing like the `first` inputs for the next call, small inputs stay where
    they are, as each would have to be copied.
    """
    result = tape.result
    goes_on = type(result) is tuple and len([*leaves_of(result[0])]) == first
    inputs = [value for value in tape.inputs if isinstance(value, View)]
    outputs = [leaf for leaf in leaves_of(tape.result) if isinstance(leaf, View)]
    buffers = list(tape.buffers)
    moves: dict[int, tuple[int, int]] = {}

    def is_small(view: View) -> bool:
        buffer = buffers[view.buffer]
        if buffer.kind != "input":
            return buffer.size < LEAST_BYTES
        return not in_rows(view) or (goes_on and buffer.size < LEAST_BYTES)

    def join(views: Iterable[View], kind: Place) -> None:
        end = 0
        for view in views:
            start = -(-end // view.dtype.itemsize) * view.dtype.itemsize
            moves[view.buffer] = len(buffers), start
            end = start + buffers[view.buffer].size
        buffers.append(Buffer(end, kind))

    join([view for view in inputs if is_small(view)], "entering")
    join([view for view in outputs if is_small(view)], "leaving")
    for view in outputs:
        if view.buffer not in moves:
            buffers[view.buffer] = buffers[view.buffer]._replace(kind="output")

    def move(value: Any) -> Any:
        return moved(value, moves)

    return tape._replace(
        inputs=move(tape.inputs),
        operations=move(tape.operations),
        buffers=tuple(buffers),
        result=move(tape.result),
    )
