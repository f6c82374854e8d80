"""Whether a tape does what was recorded, whatever the numbers: proven before it is used.

The function is recorded twice, with other numbers in its inputs. What differs on the two tapes but
the inputs themselves was computed out of the recorder's sight. And what a replay gives, for both
inputs, is what the function gives, bit by bit.
"""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcnn import random, tree
from funcnn.compiled.layout import copy_of
from funcnn.compiled.native import why_not
from funcnn.compiled.numbers import NotRecordableError
from funcnn.compiled.recorder import record
from funcnn.compiled.replay import GuardError, Program, compile_tape
from funcnn.compiled.tape import Function, Operation, Tape, flattened, name_of
from funcnn.types import Array

Rebuild = Callable[[Sequence[Any]], Any]


def proven(
    function: Function, leaves: list[Any], rebuild: Rebuild, first: int, expected: Any
) -> Program:
    """The program of `function(*rebuild(leaves))`, which gave `expected`.

    first: how many of the leaves are those of the first argument. Raises `NotRecordableError`,
    with the reason, if it cannot be recorded, or if the proof fails.
    """
    try:
        with np.errstate(all="ignore"):
            tape = record(function, leaves, rebuild)
            others = _other_tape(function, tape, leaves, rebuild, first)
            pairs = (leaves, expected), (others, function(*rebuild(others)))
            program = compile_tape(tape, first, native=why_not() is None)
            if program.is_native and not _gives(program, pairs):
                program = compile_tape(tape, first, native=False)
            if not _gives(program, pairs):
                raise NotRecordableError("the replay gives other bits")
    except NotRecordableError:
        raise
    except GuardError:
        raise NotRecordableError("it branches on its numbers") from None
    except Exception as error:
        raise NotRecordableError(f"{type(error).__name__}: {error}") from error
    return program


def _other_tape(
    function: Function, tape: Tape, leaves: list[Any], rebuild: Rebuild, first: int
) -> list[Any]:
    """Other inputs, with which the function gives the same tape."""
    reason = None
    for with_numbers in (True, False):
        others = [_other(leaf, i < first, with_numbers, i) for i, leaf in enumerate(leaves)]
        try:
            reason = _difference(tape, record(function, others, rebuild))
        except NotRecordableError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if reason is None:
            return others
    raise NotRecordableError(reason)


def _other(leaf: Any, is_state: bool, with_numbers: bool, seed: int) -> Any:
    """Another input of the same kind, of numbers that are as valid as the first's."""
    if isinstance(leaf, np.ndarray):
        return _other_array(leaf, is_state, seed)
    if not with_numbers or type(leaf) is bool:
        return leaf
    if isinstance(leaf, random.Key):
        return random.fold_in(leaf, 7)
    return leaf + 7 if type(leaf) is int else leaf * 0.9


def _other_array(array: Array, is_state: bool, seed: int) -> Array:
    """Entries drawn from its own but for the extremes; of a state smaller, and not all 0."""
    generator = np.random.default_rng(seed)
    entries = array.reshape(-1)
    if entries.size:
        between = entries[(entries != entries.min()) & (entries != entries.max())]
        entries = generator.choice(between if between.size else entries, array.size)
    flat = entries
    if is_state and array.dtype.kind == "f":
        flat = flat * array.dtype.type(0.9)
        if not flat.any():
            flat = generator.random(flat.shape).astype(array.dtype) * array.dtype.type(0.01)
    other = copy_of(array)
    other[...] = flat.reshape(array.shape)
    return other


def _difference(first: Tape, second: Tape) -> str | None:
    """Where two tapes differ, in words."""
    pairs = zip(flattened(first.operations), flattened(second.operations), strict=False)
    for one, other in pairs:
        if _as_data(one) != _as_data(other):
            return f"what {name_of(one)} is called with depends on numbers out of sight"
    if len(first.operations) != len(second.operations) or first.result != second.result:
        return "its operations depend on its numbers"
    if first.buffers != second.buffers:
        return "an array is computed out of the recorder's sight, as by np.asarray"
    return None


def _as_data(operation: Operation) -> Any:
    """The operation, in which a NaN is as another."""

    def plain(value: Any) -> Any:
        if isinstance(value, (float, np.floating)) and math.isnan(value):
            return "nan"
        if type(value) in (tuple, list):
            return tuple(map(plain, value))
        return value

    return operation._replace(inputs=plain(operation.inputs))


def _gives(program: Program, pairs: Sequence[tuple[list[Any], Any]]) -> bool:
    """Whether a replay of each of these inputs gives what is expected of it."""
    return all(same_bits(program.replay(leaves, None)[0], expected) for leaves, expected in pairs)


def same_bits(a: Any, b: Any) -> bool:
    """Whether two trees have the same structure, and the same bits in their leaves."""
    leaves, structure = tree.flatten(a)
    others, other_structure = tree.flatten(b)
    return structure == other_structure and all(map(_same_leaf, leaves, others))


def _same_leaf(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        alike = a.shape == b.shape and a.dtype == b.dtype and _steps(a) == _steps(b)
        return alike and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    return bool(a == b)


def _steps(array: Array) -> list[int]:
    """The strides that matter."""
    return [s for n, s in zip(array.shape, array.strides, strict=True) if n > 1]
