"""A recording as plain data: which NumPy function was called on which memory, in what order.

An operation does not name arrays but where they lie: a buffer, an offset in it, a shape and
strides. So views need no record of their own, and whoever replays a tape may put the buffers where
there is room. Buffers, slots and inputs are numbered from 0.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from funcnn.types import Array, Shape

Function = Callable[..., Any]


class View(NamedTuple):
    """An array that lies in a buffer."""

    buffer: int
    offset: int
    """In bytes."""
    shape: Shape
    strides: Shape
    dtype: np.dtype[Any]


class Slot(NamedTuple):
    """A Python number, or a key, that changes from step to step."""

    number: int


Place = Literal["input", "scratch", "constant", "entering", "leaving", "output"]
"""What a buffer is for. A recorder knows the first three: `settle` tells inputs and outputs apart,
that lie in memory of their own, from `entering` and `leaving`, where the small ones are together.
"""


class Buffer(NamedTuple):
    """Memory: its size in bytes, and what it is for."""

    size: int
    kind: Place
    contents: bytes = b""
    """Those of a constant."""


Kind = Literal[
    "call", "fresh", "change", "copy", "item", "set", "host", "guard", "fork", "blocks", "native"
]
"""What an operation does:

    call    function(*inputs, out=out, **keywords)
    fresh   out[...] = function(*inputs, **keywords)    of a function that has no `out`
    change  function(*inputs, **keywords)               which writes into its first input, out
    copy    out[...] = inputs[0]
    item    out[...] = inputs[0][inputs[1]]             by an array of indices
    set     out[inputs[1]] = inputs[0]                  by an array of indices
    host    out = function(*inputs, **keywords)         out a slot, or a tuple of them
    guard   bool(inputs[0]) is function, or the replay is not what the step would do
    fork    each of inputs is a tuple of operations: they may be done beside each other
    blocks  inputs[0] is a tuple of calls of element by element: they may be done for some elements
            after the other; memory that none but they use has room for `BLOCK` elements
    native  inputs[0] is a tuple of forks of operations that the interpreter in C can do, which are
            done one after the other
"""
NESTED = "fork", "blocks", "native"
BLOCK = 1 << 14
"""Elements: what a few arrays of so many need fits in a core's cache."""


class Operation(NamedTuple):
    """One call. Operands are views, slots, tuples or lists of operands, or constants."""

    kind: Kind
    function: Any
    inputs: tuple[Any, ...]
    out: Any = None
    keywords: tuple[tuple[str, Any], ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    """What of `numpy.errstate` differs within the call from what holds outside the step."""


class Tape(NamedTuple):
    """What a function did with its inputs."""

    inputs: tuple[View | Slot, ...]
    operations: tuple[Operation, ...]
    buffers: tuple[Buffer, ...]
    result: Any
    """What it returned: a tree with views, slots and constants as leaves."""
    slots: int


def views(operand: Any) -> Iterator[View]:
    """The views within an operand."""
    if isinstance(operand, View):
        yield operand
    elif isinstance(operand, (tuple, list)) and not isinstance(operand, Slot):
        for part in operand:
            yield from views(part)
    elif isinstance(operand, dict):
        yield from views(list(operand.values()))


def leaves_of(result: Any) -> Iterator[Any]:
    """The leaves of a result in the order of `tree.flatten`: views, slots and constants."""
    if isinstance(result, (View, Slot)):
        yield result
    elif type(result) is dict:
        for key in sorted(result):
            yield from leaves_of(result[key])
    elif isinstance(result, (tuple, list)):
        for part in result:
            yield from leaves_of(part)
    elif result is not None:
        yield result


def views_of(operation: Operation) -> Iterator[View]:
    """All views that an operation reads or writes, its branches included."""
    if operation.kind in NESTED:
        for branch in operation.inputs:
            for inner in branch:
                yield from views_of(inner)
        return
    yield from views(operation.inputs)
    yield from views(operation.out)
    yield from views(operation.keywords)


def written(operation: Operation) -> Iterator[View]:
    """The arrays that an operation writes into, its branches included."""
    if operation.kind in NESTED:
        for branch in operation.inputs:
            for inner in branch:
                yield from written(inner)
    else:
        yield from views(operation.out)


def in_rows(view: View) -> bool:
    """Whether its elements lie one after another in row-major order."""
    step = view.dtype.itemsize
    for size, stride in zip(reversed(view.shape), reversed(view.strides), strict=True):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def span(view: View) -> tuple[int, int]:
    """Where in its buffer a view's bytes begin and end."""
    if 0 in view.shape:
        return view.offset, view.offset
    steps = [(n - 1) * s for n, s in zip(view.shape, view.strides, strict=True)]
    before, after = (sum(pick(0, step) for step in steps) for pick in (min, max))
    return view.offset + before, view.offset + after + view.dtype.itemsize


def moved(operand: Any, moves: Mapping[int, tuple[int, int]]) -> Any:
    """An operand, or an operation, whose buffers lie in others: `{old: (new, offset in it)}`."""
    if isinstance(operand, View):
        buffer, offset = moves.get(operand.buffer, (operand.buffer, 0))
        return operand._replace(buffer=buffer, offset=offset + operand.offset)
    if isinstance(operand, Operation):
        inputs, out = moved(operand.inputs, moves), moved(operand.out, moves)
        return operand._replace(inputs=inputs, out=out, keywords=moved(operand.keywords, moves))
    if isinstance(operand, dict):
        return {key: moved(value, moves) for key, value in operand.items()}
    if isinstance(operand, (tuple, list)) and not isinstance(operand, Slot):
        parts = (moved(part, moves) for part in operand)
        kind: Any = type(operand)
        return kind(*parts) if hasattr(operand, "_fields") else kind(parts)
    return operand


def array_at(view: View, memory: Array, offset: int = 0) -> Array:
    """The array of a view, whose buffer begins at this offset of some bytes."""
    return np.ndarray(view.shape, view.dtype, memory, offset + view.offset, view.strides)


def cast_once(number: Any, dtype: np.dtype[Any]) -> Array:
    """A constant as an array without axes. Raises an `ArithmeticError` if it overflows."""
    with np.errstate(over="raise"):
        return np.asarray(number, dtype)


def name_of(operation: Operation) -> str:
    """How a message names an operation."""
    name: str = getattr(operation.function, "__name__", operation.kind)
    return name


def flattened(operations: Sequence[Operation]) -> Iterator[Operation]:
    """The operations, and in the place of a fork those of its branches, in order."""
    for operation in operations:
        if operation.kind == "fork":
            for branch in operation.inputs:
                yield from flattened(branch)
        else:
            yield operation
