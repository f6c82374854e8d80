"""What writes down on a tape what a function does with arrays and numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcnn._recording import Changing, Recorded, recording
from funcnn.compiled.arrays import plain, seen, value_of, values_of
from funcnn.compiled.layout import (
    address,
    bytes_of,
    copy_of,
    extent,
    has_array,
    has_mask,
    is_view,
    owner_of,
)
from funcnn.compiled.numbers import NotRecordableError, Number
from funcnn.compiled.tape import Buffer, Function, Kind, Operation, Slot, Tape, View, written
from funcnn.types import Array, Shape, Tree

LEFT_OUT = {"order", "subok"}
"""Keywords that choose the layout of a new array: in a replay there is one already."""
WITH_OUT = {"argmax", "argmin", "concatenate", "dot", "einsum", "take"}
"""NumPy's functions, other than universal ones, that can be given an array for the result."""
WRITING = {"copyto", "put_along_axis", "putmask", "place", "put"}
"""Those that write into their first argument."""
CREATING = {"empty_like", "zeros_like", "ones_like", "full_like"}
OF_SHAPES = {"shape", "ndim", "size", "may_share_memory", "shares_memory", "result_type"}
"""Those whose results do not depend on the numbers in an array."""


def record(function: Function, leaves: Sequence[Any], rebuild: Callable[[list[Any]], Any]) -> Tape:
    """The tape of `function(*rebuild(leaves))`, of arrays and numbers.

    Raises `NotRecordableError` for what a tape cannot have, and whatever the function raises.
    """
    recorder = _Recorder()
    inputs = [recorder.input(leaf) for leaf in leaves]
    # What the step sets of errstate shows against a setting that it would never have.
    with recording(recorder), np.errstate(all="call", call=lambda *_: None):
        result = function(*rebuild(inputs))
        outputs = recorder.output(result)
    return recorder.tape(inputs, outputs)


class _Recorder:
    """A tape in the making."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []
        self._buffers: list[Buffer] = []
        self._numbers: dict[int, int] = {}  # of buffers, by the id of the array that owns one
        self._owners: list[Array] = []
        self._slots = 0

    # --- what goes in and comes out ----------------------------------------------------------

    def input(self, leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return Number(leaf, self._new_slot())
        array = copy_of(leaf)
        self._register(owner_of(array), "input")
        return seen(array)

    def output(self, result: Any) -> Any:
        """The result with views, each of the whole of a buffer that has nothing else, and slots."""
        taken: set[int] = set()

        def leaf(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                view = self._operand(value)
                kept = self._buffers[view.buffer].kind == "scratch" and view.buffer not in taken
                if not kept or view.offset or extent(value) != self._buffers[view.buffer].size:
                    copy = self._new(copy_of(value))
                    self._note("copy", None, (value,), copy)
                    view = self._operand(copy)
                taken.add(view.buffer)
                return view
            if isinstance(value, (tuple, list)):
                parts = [leaf(part) for part in value]
                return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
            if isinstance(value, dict):
                return {key: leaf(part) for key, part in value.items()}
            return self._operand(value)

        return leaf(result)

    def tape(self, inputs: list[Any], result: Tree) -> Tape:
        """The finished tape. What begins as a constant and is written into is scratch memory."""
        changed = {view.buffer for operation in self._operations for view in written(operation)}
        first = []
        for number in sorted(changed):
            buffer = self._buffers[number]
            if buffer.kind == "input":
                raise NotRecordableError("the step writes into one of its inputs")
            if buffer.kind == "constant":
                self._buffers.append(buffer)
                self._buffers[number] = Buffer(buffer.size, "scratch")
                whole = View(number, 0, (buffer.size,), (1,), np.dtype(np.uint8))
                begin = whole._replace(buffer=len(self._buffers) - 1)
                first.append(Operation("copy", None, (begin,), whole))
        operations = *first, *self._operations
        views = tuple(self._operand(value) for value in inputs)
        return Tape(views, operations, tuple(self._buffers), result, self._slots)

    # --- what arrays, numbers and the library tell -------------------------------------------

    def empty(self, shape: Shape, dtype: Any) -> Array:
        """A new array."""
        return self._new(np.empty(shape, dtype))

    def host(self, function: Function, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """What a function of Python's gives, of numbers and arrays."""
        with recording(None):  # what it does itself is no part of the tape
            value = function(*map(value_of, inputs), **keywords)
        if not any(isinstance(argument, (Changing, Recorded)) for argument in inputs):
            return value
        if isinstance(value, np.ndarray):
            array = self._new(value)
            self._note("fresh", function, inputs, array, keywords)
            return array
        if isinstance(value, tuple):
            several = tuple(Number(part, self._new_slot()) for part in value)
            self._note("host", function, inputs, several, keywords)
            return several
        if value is None:
            raise NotRecordableError(f"{getattr(function, '__name__', function)} gives nothing")
        number = Number(value, self._new_slot())
        self._note("host", function, inputs, number, keywords)
        return number

    def into(self, out: Array, function: Function, inputs: tuple[Any, ...]) -> None:
        """What a function of arrays writes into one."""
        with recording(None):
            function(*map(value_of, inputs), out=plain(out))
        self._note("call", function, inputs, out)

    def guard(self, value: Any) -> bool:
        """Whether the value is true, which a replay must find too."""
        truth = bool(value_of(value))
        self._note("guard", truth, (value,))
        return truth

    def parallel(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of tasks that may be done beside each other."""
        if len(tasks) == 1:
            return [tasks[0]()]
        outer, results, branches = self._operations, [], []
        try:
            for task in tasks:
                self._operations = []
                results.append(task())
                branches.append(tuple(self._operations))
        finally:
            self._operations = outer
        if any(branches):
            self._operations.append(Operation("fork", None, tuple(branches)))
        return results

    def ufunc(self, ufunc: Any, method: str, inputs: Any, keywords: dict[str, Any]) -> Any:
        """What a universal function, or one of its methods, gives."""
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if ufunc.nout > 1 or method == "at":
            raise NotRecordableError(f"{ufunc.__name__} is not seen by the recorder")
        keywords = dict(keywords)
        (out,) = keywords.pop("out", None) or (None,)
        arguments = [value_of(value) for value in inputs]
        plain_keywords = {name: value_of(value) for name, value in keywords.items()}
        if out is None:
            array = self._new(np.asarray(function(*arguments, **plain_keywords)))
        else:
            self._operand(out)  # as it is before
            function(*arguments, out=plain(out), **plain_keywords)
            # After `y += x` a y that was a plain array is seen too.
            array = out if isinstance(out, Recorded) else seen(out)
        kept = {name: value for name, value in keywords.items() if name not in LEFT_OUT}
        if kept.get("where") is True:
            del kept["where"]
        self._note("call", function, inputs, array, kept)
        return array

    def array_function(self, function: Function, args: Any, kwargs: dict[str, Any]) -> Any:
        """What a function of NumPy's gives that is no universal one."""
        name = function.__name__
        arguments, keywords = values_of(args), values_of(kwargs)
        out = kwargs.get("out")
        for array in (*args[:1], out):  # as they are before
            self._operand(array)
        value = function(*arguments, **keywords)
        if name in CREATING:
            array = self._new(value)
            if name != "empty_like" and value.size:
                self._note("copy", None, (value.flat[0].item(),), array)
            return array
        if name in WRITING:
            self._note("change", function, args, args[0], kwargs)
            return None
        if out is not None:
            rest = {key: entry for key, entry in kwargs.items() if key != "out"}
            self._note("call", function, args, out, rest)
            return out
        if name in OF_SHAPES:
            return value
        if isinstance(value, (list, tuple)) and all(is_view(v, arguments) for v in value):
            return type(value)(map(seen, value))  # of split
        if not isinstance(value, (np.ndarray, np.generic)):
            raise NotRecordableError(f"numpy.{name} is not seen by the recorder")
        return self._result(name, function, args, kwargs, np.asarray(value), arguments)

    def method(self, name: str, array: Array, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a method of an array gives that has a function of the same name."""
        function, given = getattr(np, name), (array, *args)
        if name == "reshape":
            given = array, args[0] if len(args) == 1 else args
        arguments = values_of(given)
        value = np.asarray(function(*arguments, **kwargs))
        return self._result(name, function, given, kwargs, value, arguments)

    def cast(self, array: Array, dtype: Any, order: Any = "K", casting: str = "unsafe") -> Array:
        """A copy in this dtype."""
        copy = self._new(plain(array).astype(dtype, order, casting))
        self._note("copy", None, (array,), copy)
        return copy

    def get_item(self, array: Array, index: Any) -> Array:
        """`array[index]`: a view, or for an index of arrays a copy."""
        plain_index = values_of(index)
        own = plain(array)
        value = own[plain_index]
        if not isinstance(value, np.ndarray):
            entries = plain_index if isinstance(plain_index, tuple) else (plain_index,)
            value = own[(*entries, ...)]  # an array without axes, in the same memory
        if is_view(value, own):
            return seen(value)
        if has_mask(plain_index):
            raise NotRecordableError("how many entries a mask takes depends on the numbers")
        copy = self._new(value)
        self._note("item", None, (array, index), copy)
        return copy

    def set_item(self, array: Array, index: Any, value: Any) -> None:
        """`array[index] = value`."""
        own, plain_index = plain(array), values_of(index)
        own[plain_index] = value_of(value)
        if has_array(plain_index):
            self._note("set", None, (value, index), array)
        else:
            entries = plain_index if isinstance(plain_index, tuple) else (plain_index,)
            if ... not in entries:
                entries = *entries, ...
            self._note("copy", None, (value,), own[entries])

    # --- the tape ----------------------------------------------------------------------------

    def _result(
        self, name: str, function: Function, args: Any, kwargs: Any, value: Array, arguments: Any
    ) -> Array:
        """What a function gave: a view of an argument, or an array that it made."""
        if is_view(value, arguments):
            return seen(value)
        array = self._new(value)
        kind: Kind = "call" if name in WITH_OUT else "fresh"
        self._note(kind, function, args, array, kwargs)
        return array

    def _note(
        self, kind: Kind, function: Any, inputs: Any, out: Any = None, keywords: Any = None
    ) -> None:
        errors = {what: str(how) for what, how in np.geterr().items() if how != "call"}
        self._operations.append(
            Operation(
                kind,
                function,
                tuple(map(self._operand, inputs)),
                self._operand(out),
                tuple((name, self._operand(value)) for name, value in (keywords or {}).items()),
                tuple(errors.items()),
            )
        )

    def _operand(self, value: Any) -> Any:
        """A value as a tape has it."""
        if isinstance(value, np.ndarray):
            return self._view(value)
        if isinstance(value, Number):
            return value.slot
        if type(value) in (tuple, list):
            return type(value)(map(self._operand, value))
        return value

    def _view(self, array: Array) -> View:
        owner = owner_of(array)
        if id(owner) not in self._numbers:
            self._register(owner, "constant")
        offset = address(array) - address(owner)
        return View(self._numbers[id(owner)], offset, array.shape, array.strides, array.dtype)

    def _new(self, value: Array) -> Array:
        """An array that an operation made, to be seen from now on."""
        if not isinstance(value.base, np.ndarray) and value.base is not None:
            value = value.copy()  # of someone else's memory
        self._register(owner_of(value), "scratch")
        return seen(value)

    def _register(self, owner: Array, kind: Any) -> None:
        if owner.dtype.hasobject:  # whose bytes are addresses
            raise NotRecordableError("an array of objects")
        self._numbers[id(owner)] = len(self._buffers)
        self._owners.append(owner)  # so that its id stays its own
        contents = bytes_of(owner) if kind == "constant" else b""
        self._buffers.append(Buffer(extent(owner), kind, contents))

    def _new_slot(self) -> Slot:
        self._slots += 1
        return Slot(self._slots - 1)
