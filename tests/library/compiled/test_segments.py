"""Tapes of which C does what it knows: what they give, one operation after the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library.compiled.compiled_steps import NATIVE
from library.compiled.memories import DTYPES, Memory, numbers, turned

from funcnn.compiled import lanes, segments
from funcnn.compiled.segments import in_segments
from funcnn.compiled.tape import Buffer, Operation, Slot, Tape, View
from funcnn.threads import single_threaded_blas

pytestmark = NATIVE

FLOAT = DTYPES["f"]
BUFFERS, SIZE = 4, 64


@pytest.fixture(autouse=True)
def few_are_worth_a_call(monkeypatch):
    monkeypatch.setattr(segments, "LEAST_RUN", 1)
    monkeypatch.setattr(segments, "LEAST_WORK", 1)
    monkeypatch.setattr(lanes, "LEAST_WORK", 1)


def view(buffer, start=0, rows=8, columns=8):
    return View(buffer, start * 4, (rows, columns), (columns * 4, 4), FLOAT)


def added(number, other):
    """A number, and another, or the first of an array."""
    return number + float(np.ravel(other)[0])


@st.composite
def tapes(draw, most=10):
    """Functions that C knows and others, of arrays and of numbers that are computed on the way."""
    slots = [Slot(0), Slot(1)]

    def an_array(rows):
        return view(draw(st.integers(0, BUFFERS - 1)), draw(st.sampled_from([0, 0, 16])), rows)

    def one(depth=0):
        kinds = ["known", "known", "known", "scaled", "unknown", "number"]
        kinds += [] if depth else ["host", "fork"]
        rows = draw(st.sampled_from([6, 6, 2]))

        def some():
            """To read; its rows may go backwards."""
            return turned(an_array(rows)) if draw(st.integers(0, 3)) == 0 else an_array(rows)

        kind = draw(st.sampled_from(kinds))
        out = an_array(rows)
        if kind == "known":
            function = draw(st.sampled_from([np.add, np.multiply, np.maximum]))
            return Operation("call", function, (some(), some()), out)
        if kind == "scaled":
            return Operation("call", np.multiply, (some(), draw(st.sampled_from(slots))), out)
        if kind == "unknown":
            return Operation("fresh", np.cumsum, (some(), 0), out)
        if kind == "number":
            return Operation("copy", None, (draw(st.sampled_from(slots)),), out)
        if kind == "fork":
            first = an_array(rows)
            branches = tuple((one(1),) for _ in range(draw(st.integers(1, 3))))
            return Operation("fork", None, (*branches, (Operation("copy", None, (1.5,), first),)))
        inputs = draw(st.sampled_from(slots)), draw(st.sampled_from([0.75, some()]))
        slots.append(Slot(len(slots)))
        return Operation("host", added, inputs, slots[-1])

    operations = tuple(one() for _ in range(draw(st.integers(1, most))))
    return Tape((), operations, (Buffer(SIZE * 4 + 256, "scratch"),) * BUFFERS, None, len(slots))


def first_memory():
    contents = [numbers(FLOAT, SIZE + 64, i).tobytes() for i in range(BUFFERS)]
    return Memory(contents, {Slot(0): 0.1, Slot(1): -3.0})


def assert_same_tape(tape, count):
    """Done in segments it gives what it gives; how many runs of C there are."""
    with np.errstate(all="ignore"):
        other = in_segments(tape, count)
        expected, given = first_memory(), first_memory().extended(other.buffers)
        with single_threaded_blas():
            expected.carry_out(tape.operations)
            given.carry_out(other.operations)
    assert expected.bytes(BUFFERS) == given.bytes(BUFFERS)
    assert repr(sorted(expected.slots.items())) == repr(sorted(given.slots.items()))
    given.assert_guarded()
    return sum(operation.kind == "native" for operation in other.operations)


@given(tapes(), st.integers(1, 4))
@settings(max_examples=250)
def test_generated_tapes(tape, count):
    assert_same_tape(tape, count)


def tape_of(*operations, slots=2):
    return Tape((), operations, (Buffer(SIZE * 4 + 256, "scratch"),) * BUFFERS, None, slots)


SCALED = Operation("call", np.multiply, (view(0), Slot(0)), view(1))
SUMS = Operation("fresh", np.cumsum, (view(1), 0), view(2))
LAST = Operation("call", np.add, (view(2), Slot(0)), view(3))


def test_what_waits_for_python_is_a_run_of_its_own():
    assert assert_same_tape(tape_of(SCALED, LAST), 2) == 1
    assert assert_same_tape(tape_of(SCALED, SUMS, LAST), 2) == 2


def test_what_needs_nothing_of_python_goes_first():
    """Though it comes later: one run."""
    fill = Operation("copy", None, (0.5,), view(0))
    other = Operation("fresh", np.cumsum, (view(2), 0), view(3))
    assert (
        assert_same_tape(
            tape_of(fill, other, Operation("call", np.add, (view(0), 1.0), view(1))), 2
        )
        == 1
    )


def test_a_number_of_what_c_computes_waits_for_it():
    fill = Operation("call", np.add, (view(0), 1.0), view(0))
    first = Operation("host", added, (Slot(0), view(0)), Slot(2))
    scaled = Operation("call", np.multiply, (view(1), Slot(2)), view(1))
    assert assert_same_tape(tape_of(fill, first, scaled, slots=3), 2) == 2


def test_a_fork_that_is_left_to_python_leaves_its_numbers_to_none():
    """A number of it that is used after it is written where C reads it."""
    assert assert_same_tape(tape_of(Operation("fork", None, ((SCALED,), (SUMS,))), LAST), 2) == 1


def test_reshapes_are_copies_in_row_major_order_only():
    def reshape(*rest):
        flat = View(1, 0, (64,), (4,), FLOAT)
        turned = view(0)._replace(strides=(4, 32))
        return Operation("fresh", np.reshape, (turned, (64,), *rest), flat)

    assert assert_same_tape(tape_of(reshape()), 1) == 1
    assert assert_same_tape(tape_of(reshape("F")), 1) == 0


def test_few_operations_are_not_worth_a_call(monkeypatch):
    monkeypatch.setattr(segments, "LEAST_RUN", 3)
    assert assert_same_tape(tape_of(SCALED, LAST), 2) == 0
