"""The names in the text of a replay: of arrays, there or made with each call, and of others."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from funcnn.compiled.placement import LINE, place
from funcnn.compiled.tape import Slot, Tape, View, array_at, in_rows, leaves_of
from funcnn.types import Array


class Names:
    """Names for what a tape's operations work on, and the memory in which it lies."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        size, self._offsets = place(tape)
        self.arena = aligned(size)
        self.bound: dict[str, Any] = {}
        """What the text finds by name."""
        self.made: list[str] = []
        """The lines that make an array within what is given with each call, or given out."""
        self._arrays: dict[View, str] = {}
        self._objects: dict[int, str] = {}
        self._memories: dict[int, Array] = {}
        views = (leaf for leaf in leaves_of(tape.result) if isinstance(leaf, View))
        self._outputs = {view: f"output{number}" for number, view in enumerate(views)}
        self._whole = {view.buffer: (view, name) for view, name in self._outputs.items()}
        self._whole |= {
            view.buffer: (view, f"leaf{number}")
            for number, view in enumerate(tape.inputs)
            if isinstance(view, View)
        }

    def text(self, value: Any) -> str:
        """An operand of an operation."""
        if isinstance(value, View):
            return self.array(value)
        if isinstance(value, Slot):
            return f"number{value.number}"
        if type(value) is tuple:
            return f"({''.join(f'{self.text(part)}, ' for part in value)})"
        if type(value) is list:
            return f"[{', '.join(map(self.text, value))}]"
        if value is None or type(value) in (bool, int, str):
            return f"({value!r})" if type(value) is int and value < 0 else repr(value)
        return self.object(value)

    def object(self, value: Any) -> str:
        """Anything that is there before the replay begins."""
        if id(value) not in self._objects:
            kind = getattr(value, "__name__", type(value).__name__)
            name = f"{kind if str(kind).isidentifier() else 'value'}_{len(self._objects)}"
            self._objects[id(value)] = name
            self.bound[name] = value
        return self._objects[id(value)]

    def array(self, view: View) -> str:
        """An array."""
        if view not in self._arrays:
            self._arrays[view] = self._new_array(view, f"array{len(self._arrays)}")
        return self._arrays[view]

    def whole(self, view: View) -> tuple[str, Array | None]:
        """What has all of a view's buffer, from its first byte on: its name, and it if it is there.

        Another array has it in each replay if it is given with the call, or given out.
        """
        buffer = self._tape.buffers[view.buffer]
        if view.buffer in self._whole and view.buffer not in self._offsets:
            return self.array(self._whole[view.buffer][0]), None
        bytes_of_it = View(view.buffer, 0, (buffer.size,), (1,), np.dtype(np.uint8))
        name = self.array(bytes_of_it)
        return name, self.bound[name]

    def output(self, view: View) -> str:
        """An array of the result, small or large."""
        return self._outputs[view]

    def outputs(self) -> Iterator[tuple[View, str]]:
        """The arrays of the result, with their names."""
        yield from self._outputs.items()

    def part_of(self, kind: str, size: int | None = None) -> str:
        """The bytes, from the first on, of the one buffer of this kind."""
        (number,) = (i for i, buffer in enumerate(self._tape.buffers) if buffer.kind == kind)
        size = self._tape.buffers[number].size if size is None else size
        return self.array(View(number, 0, (size,), (1,), np.dtype(np.uint8)))

    def _new_array(self, view: View, name: str) -> str:
        buffer = self._tape.buffers[view.buffer]
        if buffer.kind == "constant":
            if view.buffer not in self._memories:
                self._memories[view.buffer] = np.frombuffer(bytearray(buffer.contents), np.uint8)
            self.bound[name] = array_at(view, self._memories[view.buffer])
            return name
        if view.buffer in self._offsets:
            self.bound[name] = array_at(view, self.arena, self._offsets[view.buffer])
            return name
        whole, memory = self._whole[view.buffer]
        if buffer.kind == "output" and whole not in self._arrays:
            self._arrays[whole] = memory
            self._allocate(whole, memory, buffer.size)
        if view == whole:
            return memory
        base = memory if in_rows(whole) else f"{memory}.base"
        self.made.append(f"{name} = {self.ndarray(view, base, view.offset)}")
        return name

    def _allocate(self, view: View, name: str, size: int) -> None:
        """The line that makes a large output."""
        if in_rows(view):
            self.made.append(f"{name} = empty({view.shape}, {self.object(view.dtype)})")
        else:
            memory = f"empty(({size},), {self.object(np.dtype(np.uint8))})"
            self.made.append(f"{name} = {self.ndarray(view, memory, 0)}")

    def ndarray(self, view: View, memory: str, offset: int) -> str:
        """The text that makes an array in some memory."""
        strides = "" if in_rows(view) else f", {view.strides}"
        return f"ndarray({view.shape}, {self.object(view.dtype)}, {memory}, {offset}{strides})"


def aligned(size: int) -> Array:
    """So many bytes that begin with a cache's line."""
    raw = np.zeros(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size]
