"""A Python number that changes from step to step, as a recorder sees it."""

import operator
from typing import Any

import numpy as np

from funcnn._recording import Changing, recorder
from funcnn.compiled.tape import Slot


class NotRecordableError(Exception):
    """The step does something that a recording cannot have; the message says what."""


class Number(Changing):
    """The value at the time of recording, and the slot that has it in a replay.

    Computing with it gives another, and asking whether it is true is a branch of the step: both are
    recorded. Whoever needs the plain number computes with it out of sight, which is refused.
    """

    __slots__ = ("slot", "value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any, slot: Slot) -> None:
        self.value, self.slot = value, slot

    def __bool__(self) -> bool:
        return bool(_recorder().guard(self))

    def __float__(self) -> float:
        raise NotRecordableError("a number that changes from step to step is made a plain one")

    __int__ = __index__ = __complex__ = __float__

    def __neg__(self) -> Any:
        return _recorder().host(operator.neg, (self,), {})

    def __abs__(self) -> Any:
        return _recorder().host(operator.abs, (self,), {})

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        return _recorder().ufunc(ufunc, method, inputs, keywords)


def _recorder() -> Any:
    current = recorder()
    if current is None:
        raise NotRecordableError("a number of a recorded step is used after it")
    return current


def _define(name: str, function: Any, *, reflected: bool) -> None:
    def compute(self: Number, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return _recorder().host(function, (self, other), {})

    def compute_reflected(self: Number, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return _recorder().host(function, (other, self), {})

    setattr(Number, f"__{name}__", compute)
    if reflected:
        setattr(Number, f"__r{name}__", compute_reflected)


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    _define(_name, getattr(operator, _name), reflected=True)
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    _define(_name, getattr(operator, _name), reflected=False)
