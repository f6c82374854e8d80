"""The array that sees what NumPy is asked to do with it.

Universal functions, array functions and indexing come to it by NumPy's protocols, and methods that
go around those are defined here. A method that is not known to be seen is refused, so that nothing
can be computed out of sight; what takes the array's memory itself is found by the proof.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from funcnn._recording import Recorded, recorder
from funcnn.compiled.numbers import NotRecordableError, Number
from funcnn.types import Array


class RecordedArray(Recorded):
    """A view of an array, whose operations go to this thread's recorder."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        return _recorder().ufunc(ufunc, method, inputs, keywords)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function.__name__ in _THROUGH_METHODS:
            return super().__array_function__(function, types, args, kwargs)
        return _recorder().array_function(function, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        return _recorder().get_item(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        _recorder().set_item(self, index, value)

    def __bool__(self) -> bool:
        return bool(_recorder().guard(self))

    def __float__(self) -> float:
        raise NotRecordableError("a number is made of an array")

    __int__ = __index__ = __complex__ = __float__  # type: ignore[assignment]

    def astype(self, dtype: DTypeLike, *args: Any, copy: bool = True, **kwargs: Any) -> Any:  # type: ignore[override]
        """As of any array."""
        if not copy and self.dtype == np.dtype(dtype):
            return self
        return _recorder().cast(self, np.dtype(dtype), *args, **kwargs)

    def copy(self, order: Any = "C") -> Any:
        """As of any array."""
        return _recorder().cast(self, self.dtype, order)

    def fill(self, value: Any) -> None:
        """As of any array."""
        _recorder().set_item(self, ..., value)

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """As of any array."""
        return _recorder().method("reshape", self, shape, kwargs)

    def take(self, indices: Any, axis: int | None = None) -> Any:  # type: ignore[override]
        """As of any array."""
        return _recorder().method("take", self, (indices, axis), {})

    def dot(self, other: Any) -> Any:  # type: ignore[override]
        """As of any array."""
        return _recorder().method("dot", self, (other,), {})

    def argmax(self, axis: Any = None, *, keepdims: bool = False) -> Any:  # type: ignore[override]
        """As of any array."""
        return _recorder().method("argmax", self, (axis,), {"keepdims": keepdims})

    def argmin(self, axis: Any = None, *, keepdims: bool = False) -> Any:  # type: ignore[override]
        """As of any array."""
        return _recorder().method("argmin", self, (axis,), {"keepdims": keepdims})

    def ravel(self) -> Any:  # type: ignore[override]
        """As of any array."""
        return self.reshape(-1)

    def repeat(self, repeats: Any, axis: Any = None) -> Any:
        """As of any array."""
        return _recorder().method("repeat", self, (repeats, axis), {})


def plain(array: Any) -> Any:
    """The same memory as a plain array; anything else as it is."""
    return array.view(np.ndarray) if isinstance(array, Recorded) else array


def seen(array: Array) -> RecordedArray:
    """The same memory as an array whose operations are seen."""
    return array.view(RecordedArray)


def value_of(operand: Any) -> Any:
    """The value of a number, and an array as a plain one."""
    return operand.value if isinstance(operand, Number) else plain(operand)


def values_of(operand: Any) -> Any:
    """As `value_of`, but of tuples, lists and dicts all that is in them."""
    if type(operand) in (tuple, list):
        return type(operand)(map(values_of, operand))
    if type(operand) is dict:
        return {name: values_of(entry) for name, entry in operand.items()}
    return value_of(operand)


def _recorder() -> Any:
    current = recorder()
    if current is None:
        raise NotRecordableError("an array of a recorded step is used after it")
    return current


_THROUGH_METHODS = {
    "clip",
    "sum",
    "mean",
    "prod",
    "max",
    "amax",
    "min",
    "amin",
    "any",
    "all",
    "var",
}
"""NumPy's functions that call a method, which calls universal functions."""

_SEEN = {"all", "any", "clip", "max", "mean", "min", "prod", "squeeze", "std", "sum", "swapaxes"}
_SEEN |= {"transpose", "var", "view"}
"""Methods that make views, or call universal functions."""


def _refuse(name: str) -> None:
    def method(self: RecordedArray, *args: Any, **kwargs: Any) -> Any:
        raise NotRecordableError(f"the method {name} of an array is not seen by the recorder")

    setattr(RecordedArray, name, method)


for _name in dir(np.ndarray):
    _value = getattr(np.ndarray, _name)
    if (
        callable(_value)
        and not _name.startswith("_")
        and _name not in _SEEN | {*vars(RecordedArray)}
    ):
        _refuse(_name)
_refuse("__contains__")
