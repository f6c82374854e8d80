"""The text of a replay: one line of Python for each operation of a tape, and the names in it."""

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from funcnn._memory import empty
from funcnn.compiled.placement import LINE, Placement, in_rows, is_small, place
from funcnn.compiled.tape import Operation, Slot, Tape, View, array_at, leaves_of
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


class GuardError(Exception):
    """The step would take another branch than when it was recorded."""


class Writer:
    """The text of a replay, and the names in it."""

    def __init__(self, tape: Tape, first: int) -> None:
        self._tape, self._first = tape, first
        self._placement: Placement = place(tape)
        self.arena = _aligned(self._placement.size)
        self._constants = {
            number: np.frombuffer(bytearray(buffer.contents), np.uint8)
            for number, buffer in enumerate(tape.buffers)
            if buffer.kind == "constant"
        }
        self.names: dict[str, Any] = {
            "ndarray": np.ndarray,
            "empty": empty,
            "errstate": np.errstate,
            "run_parallel": run_parallel,
            "GuardError": GuardError,
        }
        self._arrays: dict[View, str] = {}
        self._objects: dict[int, str] = {}
        self._given: list[str] = []  # lines that make views of arrays given with each call
        self._leaves = {
            view.buffer: f"leaf{i}" for i, view in enumerate(tape.inputs) if isinstance(view, View)
        }
        self._outputs = [leaf for leaf in leaves_of(tape.result) if isinstance(leaf, View)]
        self._results = {view.buffer: f"result{view.buffer}" for view in self._outputs}
        self.carries = self._does_carry()
        self.source = "\n".join(self._text())

    def _text(self) -> Iterator[str]:
        body = list(self._lines(self._tape.operations, "    "))
        end = list(self._end())
        yield "def replay(leaves, block):"
        names = [f"leaf{i}" for i in range(len(self._tape.inputs))]
        if names:
            yield f"    {', '.join(names)}, = leaves"
        yield from self._begin()
        yield from self._given
        yield from body
        yield from end

    def _begin(self) -> Iterator[str]:
        """Small inputs come into the arena."""
        first, others = [], []
        for i, view in enumerate(self._tape.inputs):
            if isinstance(view, Slot):
                yield f"    number{view.index} = leaf{i}"
            elif is_small(self._tape, view):
                line = f"{self._array(view)}[{_all(view)}] = leaf{i}"
                (first if i < self._first else others).append(line)
        if self.carries and first:
            entering = self._placement.inputs
            size = self._carried_size()
            self.names["entering"] = self.arena[entering.start : entering.start + size]
            yield "    if block is None:"
            yield from (f"        {line}" for line in first)
            yield "    else:"
            yield "        entering[...] = block"
        else:
            yield from (f"    {line}" for line in first)
        yield from (f"    {line}" for line in others)

    def _end(self) -> Iterator[str]:
        """Small outputs leave the arena, and the result is put together."""
        leaving = self._placement.outputs
        if leaving.size:
            self.names["leaving"] = self.arena[leaving.start : leaving.start + leaving.size]
            yield "    block = leaving.copy()"
            for view in self._outputs:
                if is_small(self._tape, view):
                    offset = leaving.offsets[view.buffer]
                    place = f"block, {offset}{self._strides(view)}"
                    dtype = self._object(view.dtype)
                    yield f"    {self._results[view.buffer]} = ndarray({view.shape}, {dtype}, {place})"
        else:
            yield "    block = None"
        result = self._tape.result
        text = self._tree(result)
        carried = "()"
        if self.carries:
            carried = f"[{', '.join(map(self._leaf, leaves_of(result[0])))}]"
        size = self._carried_size() if self.carries else 0
        part = "block" if size == leaving.size else f"block[:{size}]"
        yield f"    return {text}, {carried}, {part if self.carries and size else None}"

    # --- operations --------------------------------------------------------------------------

    def _lines(self, operations: tuple[Operation, ...], indent: str) -> Iterator[str]:
        errors: tuple[tuple[str, str], ...] = ()
        for operation in operations:
            if operation.errors != errors:
                errors = operation.errors
                if errors:
                    settings = ", ".join(f"{name}={how!r}" for name, how in errors)
                    yield f"{indent}with errstate({settings}):"
            inner = f"{indent}    " if errors else indent
            if operation.kind == "fork":
                yield from self._fork(operation, inner)
            else:
                yield f"{inner}{self._line(operation)}"

    def _fork(self, operation: Operation, indent: str) -> Iterator[str]:
        for i, branch in enumerate(operation.inputs):
            yield f"{indent}def branch{i}():"
            yield from self._lines(branch, f"{indent}    ")
            yield f"{indent}    pass"
        names = ", ".join(f"branch{i}" for i in range(len(operation.inputs)))
        yield f"{indent}run_parallel(({names},))"

    def _line(self, operation: Operation) -> str:
        kind, function, inputs, out, keywords, _ = operation
        if kind == "guard":
            return f"if {'not ' if function else ''}{self._text_of(inputs[0])}: raise GuardError"
        if kind == "copy":
            return f"{self._array(out)}[{_all(out)}] = {self._text_of(inputs[0])}"
        if kind == "item":
            source, index = inputs
            return f"{self._array(out)}[...] = {self._text_of(source)}[{self._text_of(index)}]"
        if kind == "set":
            value, index = inputs
            return f"{self._array(out)}[{self._text_of(index)}] = {self._text_of(value)}"
        named = [f"{name}={self._text_of(value)}" for name, value in keywords]
        if kind == "host":
            if function in INFIX:
                left, right = map(self._text_of, inputs)
                return f"number{out.index} = {left} {INFIX[function]} {right}"
            slots = (out,) if isinstance(out, Slot) else out
            targets = "".join(f"number{slot.index}, " for slot in slots)
            targets = (
                targets if isinstance(out, tuple) and not isinstance(out, Slot) else targets[:-2]
            )
            call = ", ".join([*map(self._text_of, inputs), *named])
            return f"{targets} = {self._object(function)}({call})"
        call = ", ".join([*map(self._text_of, inputs), *named])
        if kind == "fresh":
            return f"{self._array(out)}[{_all(out)}] = {self._object(function)}({call})"
        if kind == "change":
            return f"{self._object(function)}({call})"
        return self._call(operation, named)

    def _call(self, operation: Operation, named: list[str]) -> str:
        _, function, _, out, keywords, _ = operation
        values = list(map(self._text_of, self._cast(operation)))
        target = self._array(out)
        if isinstance(function, np.ufunc):
            positional = function not in WITHOUT_POSITIONAL_OUT
            target = target if positional else f"out={target}"
            return f"{self._object(function)}({', '.join([*values, target, *named])})"
        if getattr(function, "__name__", "") == "reduce" and len(values) == 1:
            given = {name: self._text_of(value) for name, value in keywords}
            if given.keys() <= {"axis", "dtype", "keepdims"}:
                axis, dtype = given.get("axis", "0"), given.get("dtype", "None")
                rest = f"{axis}, {dtype}, {target}, {given.get('keepdims', 'False')}"
                return f"{self._object(function)}({values[0]}, {rest})"
        return f"{self._object(function)}({', '.join([*values, f'out={target}', *named])})"

    def _cast(self, operation: Operation) -> list[Any]:
        """The operands; a Python number beside arrays of one dtype as NumPy would cast it."""
        dtypes = {part.dtype for part in operation.inputs if isinstance(part, View)}
        if not isinstance(operation.function, np.ufunc) or len(dtypes) != 1 or operation.keywords:
            return list(operation.inputs)
        (dtype,) = dtypes
        if dtype.kind != "f":
            return list(operation.inputs)
        return [
            np.asarray(part, dtype) if type(part) in (int, float) else part
            for part in operation.inputs
        ]

    # --- operands ----------------------------------------------------------------------------

    def _text_of(self, value: Any) -> str:
        if isinstance(value, View):
            return self._array(value)
        if isinstance(value, Slot):
            return f"number{value.index}"
        if type(value) is tuple:
            return f"({''.join(f'{self._text_of(part)}, ' for part in value)})"
        if type(value) is list:
            return f"[{', '.join(map(self._text_of, value))}]"
        if value is None or type(value) in (bool, int, str):
            return f"({value!r})" if type(value) is int and value < 0 else repr(value)
        return self._object(value)

    def _object(self, value: Any) -> str:
        if id(value) not in self._objects:
            kind = getattr(value, "__name__", type(value).__name__)
            name = f"{kind if str(kind).isidentifier() else 'value'}_{len(self._objects)}"
            self._objects[id(value)] = name
            self.names[name] = value
        return self._objects[id(value)]

    def _array(self, view: View) -> str:
        """The name of an array, which is made now, or with each call."""
        if view in self._arrays:
            return self._arrays[view]
        offset = self._placement.offsets.get(view.buffer)
        name = f"array{len(self._arrays)}"
        if view.buffer in self._constants:
            self.names[name] = array_at(view, self._constants[view.buffer])
        elif offset is not None:
            self.names[name] = array_at(view, self.arena, offset)
        else:
            name = self._array_elsewhere(view, name)
        self._arrays[view] = name
        return name

    def _array_elsewhere(self, view: View, name: str) -> str:
        """The name of an array that lies in an input or output of the caller's."""
        number = view.buffer
        if number in self._leaves:
            memory, whole = self._leaves[number], self._tape.inputs[int(self._leaves[number][4:])]
        else:
            memory = self._results[number]
            (whole,) = (each for each in self._outputs if each.buffer == number)
            allocated = f"{memory} = empty({whole.shape}, {self._object(whole.dtype)})"
            if not in_rows(whole):
                size = self._tape.buffers[number].size
                allocated = f"{memory} = empty(({size},), {self._object(np.dtype(np.uint8))})"
                own = f"ndarray({whole.shape}, {self._object(whole.dtype)}, {memory}, 0"
                allocated += f"; {memory} = {own}, {whole.strides})"
            if f"    {allocated}" not in self._given:
                self._given.append(f"    {allocated}")
        if view == whole:
            return memory
        base = memory if in_rows(whole) else f"{memory}.base"
        place = f"{base}, {view.offset}, {view.strides}"
        dtype = self._object(view.dtype)
        self._given.append(f"    {name} = ndarray({view.shape}, {dtype}, {place})")
        return name

    # --- the result --------------------------------------------------------------------------

    def _strides(self, view: View) -> str:
        return "" if in_rows(view) else f", {view.strides}"

    def _leaf(self, value: Any) -> str:
        return self._results[value.buffer] if isinstance(value, View) else self._text_of(value)

    def _tree(self, value: Any) -> str:
        if isinstance(value, (View, Slot)):
            return self._leaf(value)
        if type(value) is dict:
            entries = (f"{self._text_of(k)}: {self._tree(v)}" for k, v in value.items())
            return f"{{{', '.join(entries)}}}"
        if type(value) is list:
            return f"[{', '.join(map(self._tree, value))}]"
        if type(value) is tuple:
            return f"({''.join(f'{self._tree(part)}, ' for part in value)})"
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return f"{self._object(type(value))}({', '.join(map(self._tree, value))})"
        return self._text_of(value)

    def _does_carry(self) -> bool:
        result, inputs = self._tape.result, self._tape.inputs[: self._first]
        if type(result) is not tuple or len(result) != 2:
            return False
        carried = list(leaves_of(result[0]))
        if len(carried) != len(inputs):
            return False
        for old, new in zip(inputs, carried, strict=True):
            if isinstance(old, View) != isinstance(new, View):
                return False
            if isinstance(old, View) and (
                old[2:] != new[2:] or is_small(self._tape, old) != is_small(self._tape, new)
            ):
                return False
        return True

    def _carried_size(self) -> int:
        """The bytes of the small among the first inputs: those of as many outputs."""
        buffers = [v.buffer for v in self._tape.inputs[: self._first] if isinstance(v, View)]
        vector = self._placement.inputs
        ends = [
            vector.offsets[b] + self._tape.buffers[b].size for b in buffers if b in vector.offsets
        ]
        return max(ends, default=0)


def _all(view: View) -> str:
    """The index of all of an array."""
    return "..." if view.shape else "()"


def _aligned(size: int) -> Array:
    raw = np.zeros(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size]
