"""The words that the interpreter in C reads, for operations on views alone: see `_native.c`.

An operand stands in them as two words, the number of an array and an address in it; what they are,
whoever places the buffers says.
"""

import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from funcnn.compiled.fusion import EXACT
from funcnn.compiled.tape import Operation, View, in_rows
from funcnn.ops.matmul import multiply
from funcnn.types import Shape

LAYOUT = 1
"""The meaning of the words: `_native.c` has the same number."""
LOOP, MOVE, GATHER, SCATTER, GUARD = range(5)
MOST_ERRSTATES = 15
"""So many kinds of `numpy.errstate` have their bits in what a run says of raised flags."""
REDUCED = {np.add, np.maximum, np.minimum}

Words = list[int]
Place = Callable[[View], tuple[int, int]]
"""The two words of an operand."""


def _interpreter() -> tuple[Any, str | None]:
    """The module in C, or why there is none."""
    try:
        module = importlib.import_module("funcnn.compiled._native")
    except ModuleNotFoundError:
        return None, "the file in C was not compiled"
    except Exception as error:
        return None, f"the file in C does not load: {error}"
    if getattr(module, "LAYOUT", None) != LAYOUT:
        return None, "the file in C was compiled for another version: install funcnn again"
    return module, None


interpreter, why_no_interpreter = _interpreter()


class NotKnownError(Exception):
    """The interpreter has no instruction for an operation."""


def instructions(operation: Operation, place: Place, errors: int) -> Iterator[Words]:
    """The instructions of an operation; errors: the number of its errstate.

    Raises `NotKnownError`.
    """
    for kind, words in _without_head(operation, place):
        yield [kind, len(words) + 3, errors, *words]


def _without_head(operation: Operation, place: Place) -> Iterator[tuple[int, Words]]:
    kind, function, inputs, out, keywords, _ = operation
    if kind == "copy":
        yield from _copy(out, inputs[0], place)
    elif kind == "guard":
        yield GUARD, [int(function), *place(inputs[0])]
    elif kind in ("item", "set") or function is np.take:
        yield _pick(operation, place)
    elif function in (np.matmul, multiply):
        yield from _products((*inputs, out), place)
    elif isinstance(function, np.ufunc) and function.signature is None:
        if keywords not in ((), (("dtype", out.dtype),)):
            raise NotKnownError
        yield from _calls(function, (*inputs, out), place)
    else:
        yield from _reduction(operation, place)


# --- element by element ----------------------------------------------------------------------


def _calls(
    function: np.ufunc, operands: Sequence[View], place: Place
) -> Iterator[tuple[int, Words]]:
    shape = operands[-1].shape
    axes = _axes(shape, [_steps_in(view, shape) for view in operands])
    if function not in EXACT and len(axes) > 1:  # their bits may depend on how NumPy goes
        raise NotKnownError
    if function is np.power and operands[-1].dtype.kind != "f":  # its loop raises a Python error
        raise NotKnownError
    yield from _loops(_loop(function, [view.dtype for view in operands]), operands, axes, place)


def _loop(function: np.ufunc, dtypes: list[np.dtype[Any]]) -> tuple[int, int]:
    """Where a function's loop for operands of these dtypes is, and its data."""
    given = *dtypes[: function.nin], *[None] * function.nout
    as_given = function.resolve_dtypes(given) == tuple(dtypes)
    if not as_given or not all(dtype.isnative for dtype in dtypes):
        raise NotKnownError
    loop: tuple[int, int] | None = interpreter.loop_of(function, bytes(d.num for d in dtypes))
    if loop is None:
        raise NotKnownError
    return loop


_Axis = tuple[int, list[int]]
"""The size of an axis, and the step of each operand along it."""


def _steps_in(view: View, shape: Shape) -> list[int]:
    """The strides of an array that is broadcast to a shape."""
    steps = [
        0 if size == 1 else stride for size, stride in zip(view.shape, view.strides, strict=True)
    ]
    if any(n not in (1, m) for n, m in zip(reversed(view.shape), reversed(shape), strict=False)):
        raise NotKnownError
    return [0] * (len(shape) - len(steps)) + steps


def _axes(shape: Shape, steps: list[list[int]]) -> list[_Axis]:
    """The axes of a loop from the inner one out, in the order in memory, as few as will do."""
    axes: list[_Axis] = []
    reach = [sum(abs(of_one[axis]) for of_one in steps) for axis in range(len(shape))]
    for axis in sorted(range(len(shape)), key=lambda axis: (reach[axis], -axis)):
        size, step = shape[axis], [of_one[axis] for of_one in steps]
        if size == 1:
            continue
        if axes and all(
            outer == inner * axes[-1][0] for outer, inner in zip(step, axes[-1][1], strict=True)
        ):
            axes[-1] = size * axes[-1][0], axes[-1][1]
        else:
            axes.append((size, step))
    return axes or [(1, [0] * len(steps))]


def _loops(
    loop: tuple[int, int], operands: Sequence[View], axes: list[_Axis], place: Place
) -> Iterator[tuple[int, Words]]:
    if all(size for size, _ in axes):
        (count, steps), *outer = axes
        yield LOOP, _loop_words(loop, operands, [count], steps, outer, place)


def _loop_words(
    loop: tuple[int, int],
    operands: Sequence[View],
    sizes: list[int],
    steps: list[int],
    outer: list[_Axis],
    place: Place,
) -> Words:
    words = [*loop, len(operands), len(sizes), len(steps), len(outer)]
    for view in operands:
        words += place(view)
    words += [*sizes, *steps]
    for size, step in outer:
        words += [size, *step]
    return words


def _copy(to: View, source: View, place: Place) -> Iterator[tuple[int, Words]]:
    axes = _axes(to.shape, [_steps_in(view, to.shape) for view in (to, source)])
    if not all(size for size, _ in axes):
        return
    if to.dtype != source.dtype:
        cast = interpreter.cast_of(source.dtype.num, to.dtype.num)
        if cast is None or not (to.dtype.isnative and source.dtype.isnative):
            raise NotKnownError
        turned = [(size, [step[1], step[0]]) for size, step in axes]
        yield from _loops(cast, (source, to), turned, place)
        return
    (count, (to_step, from_step)), *outer = axes
    words = [to.dtype.itemsize, count, len(outer), *place(to), to_step, *place(source), from_step]
    for size, step in outer:
        words += [size, *step]
    yield MOVE, words


# --- others ----------------------------------------------------------------------------------


def _products(operands: tuple[View, View, View], place: Place) -> Iterator[tuple[int, Words]]:
    """Of matrices, `(..., M, K)` and `(..., K, N)`."""
    a, b, out = operands
    if min(len(view.shape) for view in operands) < 2 or 0 in out.shape:
        raise NotKnownError
    stack = out.shape[:-2]
    outer = _axes(stack, [_steps_in(_without_matrix(view), stack) for view in operands])
    sizes = [1, *a.shape[-2:], b.shape[-1]]  # how many products; rows, inner, columns
    # NumPy's loop looks at the steps for how to call BLAS; along an axis of one entry it is told 0.
    steps = [0, 0, 0]
    for view in operands:
        for size, step in zip(view.shape[-2:], view.strides[-2:], strict=True):
            steps.append(step if size > 1 else 0)
    loop = _loop(np.matmul, [view.dtype for view in operands])
    yield LOOP, _loop_words(loop, operands, sizes, steps, outer, place)


def _without_matrix(view: View) -> View:
    return view._replace(shape=view.shape[:-2], strides=view.strides[:-2])


def reduced_axes(operation: Operation) -> list[int]:
    """The axes that a reduction sums over, or takes the largest of."""
    rank = len(operation.inputs[0].shape)
    axes = dict(operation.keywords).get("axis", 0)
    given = range(rank) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    return sorted(axis % rank for axis in given)


def _reduction(operation: Operation, place: Place) -> Iterator[tuple[int, Words]]:
    """NumPy's, along the last axes or the first of an array in row-major order.

    The second input is what it begins with; without one it is the first of what is reduced.
    """
    (array, *begin), out = operation.inputs, operation.out
    function, keywords = operation.function, {**dict(operation.keywords), "axis": 0, "keepdims": 0}
    known = getattr(function, "__name__", "") == "reduce" and function.__self__ in REDUCED
    if not known or keywords not in (
        {"axis": 0, "keepdims": 0},
        {"axis": 0, "keepdims": 0, "dtype": None},
    ):
        raise NotKnownError
    gone = reduced_axes(operation)
    axes = [(size, axis in gone) for axis, size in enumerate(array.shape) if size != 1]
    kept = [size for size, is_gone in axes if not is_gone]
    count, length = math.prod(kept), math.prod(size for size, is_gone in axes if is_gone)
    if not (in_rows(array) and in_rows(out) and count * length):
        raise NotKnownError
    item, skip = array.dtype.itemsize, 0 if begin else 1
    if not any(is_gone for _, is_gone in axes[: len(kept)]):  # (count, length)
        apart, step = length * item, item
        size, steps, outer = length - skip, [0, item, 0], [(count, [item, apart, item])]
    elif all(is_gone for _, is_gone in axes[: len(axes) - len(kept)]):  # (length, count)
        apart, step = item, count * item
        size, steps, outer = count, [item, item, item], [(length - skip, [0, step, 0])]
    else:
        raise NotKnownError
    result = out._replace(shape=(count,), strides=(item,))
    first = array._replace(shape=(count,), strides=(apart,))
    yield from _copy(result, begin[0] if begin else first, place)
    if size and outer[0][0]:
        rest = array._replace(offset=array.offset + skip * step)
        loop = _loop(function.__self__, [array.dtype, array.dtype, out.dtype])
        yield LOOP, _loop_words(loop, (result, rest, result), [size], steps, outer, place)


def _pick(operation: Operation, place: Place) -> tuple[int, Words]:
    """Entries along the first axis by an array of indices, or such entries set."""
    kind, (one, indices, *axis), out = operation.kind, operation.inputs, operation.out
    entries, others = (out, one) if kind == "set" else (one, out)
    if kind == "call" and axis == [None]:
        size = math.prod(entries.shape)
        entries = entries._replace(shape=(size,), strides=(entries.dtype.itemsize,))
    elif axis not in ([], [0]):
        raise NotKnownError
    known = isinstance(indices, View) and indices.dtype == np.int64 and not operation.keywords
    if not known or len(indices.shape) != 1 or not entries.shape:
        raise NotKnownError
    entry = entries.shape[1:]
    if others.shape != indices.shape + entry or others.dtype != entries.dtype:
        raise NotKnownError
    if not all(map(in_rows, (one, indices, out))):
        raise NotKnownError
    size = math.prod(entry) * entries.dtype.itemsize
    words = [size, indices.shape[0], entries.shape[0]]
    for view in (entries, indices, others):
        words += place(view)
    return (SCATTER if kind == "set" else GATHER), words
