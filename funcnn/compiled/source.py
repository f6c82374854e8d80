"""The text of a replay: a line of Python for each operation of a tape."""

import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from funcnn._memory import empty
from funcnn.compiled.names import Names
from funcnn.compiled.native import GuardError, Run
from funcnn.compiled.tape import BLOCK, Operation, Slot, Tape, View, array_at, cast_once, leaves_of
from funcnn.ops.matmul import Product, multiply
from funcnn.threads import run_parallel
from funcnn.types import Array

INFIX = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
}
WITHOUT_POSITIONAL_OUT = np.maximum, np.minimum
REDUCTION = {"axis": "0", "dtype": "None", "out": "None", "keepdims": "False"}
"""The arguments of `reduce` after the array, in their order."""
INDENT = "    "


class Writer:
    """The text of a replay of a settled tape, and what it finds by name.

    first: how many of the inputs are the leaves of the first argument.
    """

    def __init__(self, tape: Tape, first: int) -> None:
        self._tape, self._first = tape, first
        self._names = Names(tape)
        self.carries = self._does_carry()
        """Whether the first part of the result can stand for the first inputs."""
        self.arena_bytes = len(self._names.arena)
        self.source = "\n".join(self._text())
        self.bound: dict[str, Any] = self._names.bound | {
            "ndarray": np.ndarray,
            "empty": empty,
            "errstate": np.errstate,
            "run_parallel": run_parallel,
            "GuardError": GuardError,
        }

    def _text(self) -> Iterator[str]:
        begin = list(self._begin())
        body = list(self._lines(self._tape.operations))
        end = list(self._end())
        yield "def replay(leaves, block):"
        yield f"{INDENT}{''.join(f'leaf{i}, ' for i in range(len(self._tape.inputs)))} = leaves"
        for line in (*begin, *self._names.made, *body, *end):
            yield f"{INDENT}{line}"

    # --- inputs and outputs ------------------------------------------------------------------

    def _begin(self) -> Iterator[str]:
        """Numbers get their names, and inputs come into the arena, but for those that stay."""
        lines: tuple[list[str], list[str]] = [], []
        for number, value in enumerate(self._tape.inputs):
            if isinstance(value, Slot):
                yield f"{self._names.text(value)} = leaf{number}"
            elif self._tape.buffers[value.buffer].kind == "entering":
                line = f"{self._names.array(value)}[{_all(value)}] = leaf{number}"
                lines[number >= self._first].append(line)
        first, others = lines
        size = self._bytes_of_first()
        if self.carries and size:
            yield "if block is None:"
            yield from (f"{INDENT}{line}" for line in first)
            yield "else:"
            yield f"{INDENT}{self._names.part_of('entering', size)}[...] = block"
            first = []
        yield from (*first, *others)

    def _end(self) -> Iterator[str]:
        """Small outputs leave the arena, and the result is put together."""
        yield f"block = {self._names.part_of('leaving')}.copy()"
        for view, name in self._names.outputs():
            if self._tape.buffers[view.buffer].kind == "leaving":
                yield f"{name} = {self._names.ndarray(view, 'block', view.offset)}"
            else:
                self._names.array(view)  # which makes it, if nothing is written into it
        carried, block = "()", "None"
        if self.carries:
            leaves = leaves_of(self._tape.result[0])
            carried = f"[{', '.join(map(self._leaf, leaves))}]"
            block = f"block[:{self._bytes_of_first()}]" if self._bytes_of_first() else "None"
        yield f"return {self._tree(self._tape.result)}, {carried}, {block}"

    def _does_carry(self) -> bool:
        result, inputs = self._tape.result, self._tape.inputs[: self._first]
        if type(result) is not tuple or len(result) != 2:
            return False
        carried = list(leaves_of(result[0]))
        return len(carried) == len(inputs) and all(map(self._alike, inputs, carried))

    def _alike(self, old: Any, new: Any) -> bool:
        if not isinstance(old, View) or not isinstance(new, View):
            return not isinstance(old, View) and not isinstance(new, View)
        kinds = (self._tape.buffers[view.buffer].kind for view in (old, new))
        same_place = tuple(kinds) in (("input", "output"), ("entering", "leaving"))
        return same_place and old[1:] == new[1:]

    def _bytes_of_first(self) -> int:
        """How many bytes of the small inputs are of the first argument."""
        ends = [
            view.offset + _reach(view)
            for view in self._tape.inputs[: self._first]
            if isinstance(view, View) and self._tape.buffers[view.buffer].kind == "entering"
        ]
        return max(ends, default=0)

    def _leaf(self, value: Any) -> str:
        return self._names.output(value) if isinstance(value, View) else self._names.text(value)

    def _tree(self, value: Any) -> str:
        if isinstance(value, (View, Slot)):
            return self._leaf(value)
        if type(value) is dict:
            entries = (f"{self._names.text(k)}: {self._tree(v)}" for k, v in value.items())
            return f"{{{', '.join(entries)}}}"
        if type(value) is list:
            return f"[{', '.join(map(self._tree, value))}]"
        if type(value) is tuple:
            return f"({''.join(f'{self._tree(part)}, ' for part in value)})"
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return f"{self._names.object(type(value))}({', '.join(map(self._tree, value))})"
        return self._names.text(value)

    # --- operations --------------------------------------------------------------------------

    def _lines(self, operations: Sequence[Operation]) -> Iterator[str]:
        errors: tuple[tuple[str, str], ...] = ()
        for operation in operations:
            if operation.errors != errors:
                errors = operation.errors
                if errors:
                    settings = ", ".join(f"{name}={how!r}" for name, how in errors)
                    yield f"with errstate({settings}):"
            for line in self._lines_of(operation):
                yield f"{INDENT}{line}" if errors else line

    def _lines_of(self, operation: Operation) -> Iterator[str]:
        if operation.kind == "fork":
            for number, branch in enumerate(operation.inputs):
                yield f"def branch{number}():"
                yield from (f"{INDENT}{line}" for line in self._lines(branch))
                yield f"{INDENT}return"
            names = "".join(f"branch{number}, " for number in range(len(operation.inputs)))
            yield f"run_parallel(({names}))"
        elif operation.kind == "blocks":
            yield from self._blocks(operation.inputs[0])
        elif operation.kind == "native":
            yield self._run(operation)
        else:
            yield self._line(operation)

    def _run(self, operation: Operation) -> str:
        """The call of what is done in C, with the arrays whose addresses are not known before."""
        given: list[str] = []

        def place(view: View) -> tuple[int, int]:
            name, array = self._names.whole(view)
            if array is not None:
                return 0, array.ctypes.data + view.offset
            if name not in given:
                given.append(name)
            return given.index(name) + 1, view.offset

        run = self._names.object(Run(operation, place))
        return f"{run}(({''.join(f'{name}, ' for name in given)}))"

    def _blocks(self, operations: Sequence[Operation]) -> Iterator[str]:
        """A loop over parts of flat arrays; `own` is such a part of what has room for one."""
        size = math.prod(operations[0].out.shape)
        starts = range(0, size, BLOCK)
        parts = [(slice(i, i + BLOCK), slice(0, min(BLOCK, size - i))) for i in starts]
        parts_of: dict[View, str] = {}
        lines, calls = [], []
        for operation in operations:
            for view in (*operation.inputs, operation.out):
                if isinstance(view, View) and view not in parts_of and view.shape:
                    is_own = self._tape.buffers[view.buffer].size < size * view.dtype.itemsize
                    elements = BLOCK if is_own else size
                    flat = view._replace(shape=(elements,), strides=(view.dtype.itemsize,))
                    parts_of[view] = f"part{len(parts_of)}"
                    whole = self._names.array(flat)
                    lines.append(f"{parts_of[view]} = {whole}[{'own' if is_own else 'part'}]")
            calls.append(self._call(operation, parts_of))
        yield f"for part, own in {self._names.object(parts)}:"
        yield from (f"{INDENT}{line}" for line in (*lines, *calls))

    def _line(self, operation: Operation) -> str:
        kind, function, inputs, out, keywords, _ = operation
        if kind == "call":
            return self._call(operation, {})
        texts = [self._names.text(value) for value in inputs]
        named = [f"{name}={self._names.text(value)}" for name, value in keywords]
        if kind == "guard":
            return f"if {'not ' if function else ''}{texts[0]}: raise GuardError"
        if kind == "set":
            return f"{self._names.array(out)}[{texts[1]}] = {texts[0]}"
        if kind in ("copy", "item"):
            index = f"[{texts[1]}]" if kind == "item" else ""
            return f"{self._names.array(out)}[{_all(out)}] = {texts[0]}{index}"
        if kind == "host" and function in INFIX:
            return f"{self._names.text(out)} = {f' {INFIX[function]} '.join(texts)}"
        if kind == "host" and function is operator.neg:
            return f"{self._names.text(out)} = -{texts[0]}"
        call = f"{self._names.object(function)}({', '.join([*texts, *named])})"
        if kind == "host":
            return f"{self._names.text(out)} = {call}"
        return call if kind == "change" else f"{self._names.array(out)}[{_all(out)}] = {call}"

    def _call(self, operation: Operation, parts: dict[View, str]) -> str:
        """A call that is given an array for its result; parts: names of some of the arrays."""
        _, function, _, out, keywords, _ = operation

        def text(value: Any) -> str:
            part = parts.get(value) if isinstance(value, View) else None
            return part or self._names.text(value)

        if function is multiply:
            return self._product(operation)
        texts, target = list(map(text, _cast(operation))), text(out)
        name = self._names.object(function)
        named = {key: self._names.text(value) for key, value in keywords}
        if getattr(function, "__name__", "") == "reduce" and named.keys() <= REDUCTION.keys():
            rest = ", ".join((REDUCTION | {"out": target} | named).values())
            return f"{name}({texts[0]}, {rest})"  # by position, which is sooner
        if not isinstance(function, np.ufunc) or function in WITHOUT_POSITIONAL_OUT:
            target = f"out={target}"
        rest = ", ".join([*texts, target, *(f"{key}={value}" for key, value in named.items())])
        return f"{name}({rest})"

    def _product(self, operation: Operation) -> str:
        """A product of which is found beforehand what can be: where its matrices lie, above all."""
        views = *operation.inputs, operation.out
        texts = list(map(self._names.array, views))
        there = [self._names.bound.get(text) for text in texts]
        addresses = tuple(None if array is None else array.ctypes.data for array in there)
        a, b = map(_example, operation.inputs)
        product = Product(a, b, addresses)
        return f"{self._names.object(product)}({', '.join(texts)})"


def _example(view: View) -> Array:
    """An array that lies as this one."""
    return array_at(view._replace(offset=0), np.zeros(_reach(view), np.uint8))


def _cast(operation: Operation) -> list[Any]:
    """The operands; a Python number beside arrays of one dtype as NumPy would cast it."""
    dtypes = {part.dtype for part in operation.inputs if isinstance(part, View)}
    if not isinstance(operation.function, np.ufunc) or len(dtypes) != 1 or operation.keywords:
        return list(operation.inputs)
    (dtype,) = dtypes
    if dtype.kind != "f":
        return list(operation.inputs)
    try:
        return [
            cast_once(part, dtype) if type(part) in (int, float) else part
            for part in operation.inputs
        ]
    except ArithmeticError:  # NumPy says so each time
        return list(operation.inputs)


def _reach(view: View) -> int:
    steps = zip(view.shape, view.strides, strict=True)
    reach: int = sum((size - 1) * stride for size, stride in steps)
    return reach + view.dtype.itemsize


def _all(view: View) -> str:
    """The index of all of an array."""
    return "..." if view.shape else "()"
