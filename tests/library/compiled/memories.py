"""Operations on recorded memory as NumPy carries them out, and as C does: for the tests of both."""

import math

import numpy as np
from hypothesis import strategies as st

from funcnn.compiled import segments
from funcnn.compiled.names import aligned
from funcnn.compiled.native import Run
from funcnn.compiled.tape import Buffer, Operation, Slot, Tape, View, array_at
from funcnn.threads import single_threaded_blas

GUARD = 64
"""Bytes around each buffer that nobody may write into."""
SPECIAL = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-40, 5e-324, 3e38, 1.7e308]
DTYPES = {"?": np.bool_, "B": np.uint8, "i": np.int32, "q": np.int64, "f": np.float32}
DTYPES = {key: np.dtype(value) for key, value in DTYPES.items()} | {"d": np.dtype(np.float64)}


def numbers(dtype, count, seed=0, special=True):
    """So many entries, some of them the ones that are wrong first."""
    generator = np.random.default_rng(seed)
    if dtype.kind != "f":
        return generator.integers(0 if dtype.kind in "bu" else -9, 9, count).astype(dtype)
    entries = generator.standard_normal(count)
    if special:
        where = generator.random(count) < 0.2
        entries[where] = generator.choice(SPECIAL, where.sum())
    with np.errstate(over="ignore"):
        return entries.astype(dtype)


class Memory:
    """The bytes of some buffers, each with guards, and the numbers in slots."""

    def __init__(self, contents, slots=None):
        self.arrays, self.slots = [], slots or {}
        for content in contents:
            self.add(content)

    def add(self, content):
        whole = aligned(len(content) + 2 * GUARD)
        whole[...] = 0xA5
        whole[GUARD : GUARD + len(content)] = np.frombuffer(content, np.uint8)
        self.arrays.append(whole)

    def copy(self):
        return Memory([a[GUARD:-GUARD].tobytes() for a in self.arrays], dict(self.slots))

    def extended(self, buffers):
        """A copy, with what was added to the buffers."""
        memory = self.copy()
        for buffer in buffers[len(self.arrays) :]:
            memory.add(buffer.contents or bytes(buffer.size))
        return memory

    def value(self, operand):
        if isinstance(operand, View):
            return array_at(operand, self.arrays[operand.buffer], GUARD)
        if isinstance(operand, Slot):
            return self.slots[operand]
        if type(operand) in (tuple, list):
            return type(operand)(map(self.value, operand))
        return operand

    def bytes(self, count):
        """Those of the first buffers, with their guards."""
        return [array.tobytes() for array in self.arrays[:count]]

    def assert_guarded(self):
        for array in self.arrays:
            assert (array[:GUARD] == 0xA5).all(), "something is written before a buffer"
            assert (array[-GUARD:] == 0xA5).all(), "something is written after a buffer"

    def carry_out(self, operations):
        """One after the other, by NumPy, or by C where the kind says so."""
        for operation in operations:
            self._carry_out(operation)

    def _carry_out(self, operation):
        kind, function, given, target, keywords, _ = operation
        if kind == "native":
            return self.run(operation)
        if kind in ("fork", "blocks"):
            for branch in given:
                self.carry_out(branch)
            return None
        inputs, named = list(map(self.value, given)), {k: self.value(v) for k, v in keywords}
        if kind == "host":
            self.slots[target] = function(*inputs)
            return None
        out = self.value(target)
        if kind == "call":
            function(*inputs, out=out, **named)
        elif kind == "fresh":
            out[...] = function(*inputs, **named)
        elif kind == "copy":
            out[...] = inputs[0]
        elif kind == "item":
            out[...] = inputs[0][inputs[1]]
        else:
            assert kind == "set"
            out[inputs[1]] = inputs[0]
        return None

    def run(self, operation):
        """An operation of the kind `native`."""
        Run(operation, lambda view: (view.buffer + 1, GUARD + view.offset))(tuple(self.arrays))


def native(*lanes):
    """One phase of operations for C."""
    return Operation("native", None, ((Operation("fork", None, lanes),),))


def assert_same(operation, memory):
    """What C makes of an operation is what NumPy does; says whether C knows it.

    An error is the same error, after which nothing counts but what no one may write into.
    """
    buffers = [Buffer(len(array) - 2 * GUARD, "scratch") for array in memory.arrays]
    explicit = segments._Explicit(Tape((), (operation,), tuple(buffers), None, 0))
    with np.errstate(all="ignore"):
        operations, known = explicit.operations((operation,))
    if not known[-1]:
        assert operations == [operation]
        return False
    expected, given = memory.copy(), memory.extended(explicit.buffers)
    errors = []
    with single_threaded_blas(), np.errstate(all="ignore"):
        given.carry_out(op for op, is_known in zip(operations, known, strict=True) if not is_known)
        ours = tuple(op for op, is_known in zip(operations, known, strict=True) if is_known)
        for work in (
            lambda: expected.carry_out([operation]),
            lambda: given.run(native(ours)),
        ):
            try:
                work()
            except IndexError:
                errors.append(IndexError)
            else:
                errors.append(None)
    assert errors[0] == errors[1]
    given.assert_guarded()
    target = operation.out.buffer
    for number in range(len(buffers)):
        if number != target or not errors[0]:
            assert expected.arrays[number].tobytes() == given.arrays[number].tobytes(), number
    return True


class Drawn:
    """Arrays that hypothesis chooses, each in a buffer of its own."""

    def __init__(self, data, special=True):
        self._draw, self._special = data.draw, special
        self.contents, self.slots = [], {}

    def shape(self, most_axes=3, most=6):
        return tuple(self._draw(st.lists(st.integers(0, most), max_size=most_axes)))

    def below(self, shape):
        """A shape that is broadcast to another."""
        shape = shape[self._draw(st.integers(0, len(shape))) :]
        return tuple(1 if self._draw(st.integers(0, 3)) == 0 else size for size in shape)

    def array(self, shape, dtype, in_rows=None):
        """Row-major, or with its axes in another order, gaps, and some that go backwards."""
        item, strides, offset = dtype.itemsize, [0] * len(shape), 0
        if in_rows is None:
            in_rows = self._draw(st.booleans())
        order = (
            list(range(len(shape)))[::-1]
            if in_rows
            else self._draw(st.permutations(range(len(shape))))
        )
        step = item if in_rows else item * self._draw(st.integers(1, 2))
        for axis in order:
            strides[axis] = step
            step *= max(shape[axis], 1)
            if not in_rows and self._draw(st.integers(0, 3)) == 0:
                step += item
        size = max(step, item)
        if not in_rows:
            for axis, length in enumerate(shape):
                if length > 1 and self._draw(st.integers(0, 5)) == 0:
                    offset += (length - 1) * strides[axis]
                    strides[axis] *= -1
        entries = numbers(dtype, size // item + 1, self._draw(st.integers(0, 99)), self._special)
        self.contents.append(entries.tobytes())
        return View(len(self.contents) - 1, offset, shape, tuple(strides), dtype)

    def indices(self, count, length):
        """Of entries along an axis; now and then there is no such entry."""
        one = st.integers(-length, length - 1)
        if self._draw(st.integers(0, 4)) == 0:
            one = st.one_of(one, st.sampled_from([length, -length - 1, 1 << 40]))
        entries = self._draw(st.lists(one, min_size=count, max_size=count))
        self.contents.append(np.array(entries, np.int64).tobytes())
        return View(len(self.contents) - 1, 0, (count,), (8,), np.dtype(np.int64))

    def slot(self, value):
        slot = Slot(len(self.slots))
        self.slots[slot] = value
        return slot

    def memory(self):
        return Memory(self.contents, self.slots)


def turned(view):
    """The same rows, the last one first."""
    step = view.strides[0]
    offset = view.offset + (view.shape[0] - 1) * step
    return view._replace(offset=offset, strides=(-step, *view.strides[1:]))


def elements(view):
    """The offsets of a view's elements in its buffer."""
    offsets = np.full(view.shape, view.offset)
    for axis, (size, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        steps = np.arange(size) * stride
        offsets = offsets + steps.reshape((size, *[1] * (len(view.shape) - axis - 1)))
    assert offsets.size == math.prod(view.shape)
    return offsets.reshape(-1)
