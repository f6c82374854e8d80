"""Operations divided among lanes: the bytes of one after the other, whoever comes first."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library.compiled.compiled_steps import NATIVE
from library.compiled.memories import DTYPES, Memory, elements, numbers, turned

from funcnn.compiled import lanes, parts, segments
from funcnn.compiled.lanes import phases_of
from funcnn.compiled.tape import Buffer, Operation, View
from funcnn.ops.matmul import multiply
from funcnn.threads import single_threaded_blas

pytestmark = NATIVE

FLOAT = DTYPES["f"]
ROWS, WIDTH, BUFFERS = 48, 8, 3
SIZE = ROWS * WIDTH * 4


KINDS = [
    "add",
    "in_place",
    "exp",
    "copy",
    "row",
    "product",
    "wide_product",
    "sum_rows",
    "sum_columns",
    "take",
]


@pytest.fixture(autouse=True)
def everything_is_worth_dividing(monkeypatch):
    monkeypatch.setattr(lanes, "LEAST_WORK", 1)
    monkeypatch.setattr(lanes, "CACHED", 32)


def rows_of(buffer, start, count, columns=WIDTH, first=0):
    """Some rows of a buffer, or some columns of them."""
    offset = (start * WIDTH + first) * 4
    return View(buffer, offset, (count, columns), (WIDTH * 4, 4), FLOAT)


def wide(buffer, rows):
    """Some rows of a buffer that has more columns than rows."""
    return View(buffer, 0, (rows, ROWS), (ROWS * 4, 4), FLOAT)


@st.composite
def operations(draw):
    """One that writes some rows of one of the buffers, which others may read and write."""
    buffer = st.integers(0, BUFFERS - 1)
    count, columns = draw(st.sampled_from([2, 16, 24, 48])), draw(st.sampled_from([8, 8, 4, 1]))

    def some(count, columns):
        first = draw(st.integers(0, WIDTH - columns))
        return rows_of(draw(buffer), draw(st.integers(0, ROWS - count)), count, columns, first)

    def read(count, columns):
        """Its rows may go backwards."""
        one = some(count, columns)
        return turned(one) if draw(st.integers(0, 3)) == 0 else one

    out = some(count, columns)
    kind = draw(st.sampled_from(KINDS))
    if kind == "add":
        return Operation("call", np.add, (read(count, columns), read(count, columns)), out)
    if kind == "in_place":
        return Operation("call", np.multiply, (out, read(count, columns)), out)
    if kind == "exp":
        return Operation("call", np.tanh, (read(count, columns),), out)
    if kind == "copy":
        return Operation("copy", None, (read(count, columns),), out)
    if kind == "row":
        return Operation("call", np.subtract, (some(count, columns), some(1, columns)), out)
    if kind == "product":
        inner = draw(st.sampled_from([1, 4, 8]))
        return Operation("call", np.matmul, (read(count, inner), read(inner, columns)), out)
    if kind == "wide_product":
        weights = wide(draw(buffer), WIDTH)
        if draw(st.booleans()):  # as backward
            weights = weights._replace(strides=(4, WIDTH * 4))
        rows = draw(st.sampled_from([1, 2, 8]))
        return Operation("call", np.matmul, (some(rows, WIDTH), weights), wide(draw(buffer), rows))
    if kind == "sum_rows":
        column = out._replace(shape=(count,), strides=out.strides[:1])
        return Operation("call", np.add.reduce, (some(count, 8),), column, (("axis", 1),))
    if kind == "sum_columns":
        row = out._replace(shape=(columns,), strides=out.strides[1:])
        return Operation("call", np.maximum.reduce, (some(count, columns),), row, (("axis", 0),))
    indices = View(BUFFERS, 0, (count,), (8,), DTYPES["q"])
    return Operation("call", np.take, (some(48, columns), indices, 0), out)


def first_memory():
    contents = [numbers(FLOAT, SIZE // 4, i, special=False).tobytes() for i in range(BUFFERS)]
    return Memory([*contents, (np.arange(48) * 7 % 48).tobytes()])


def first_buffers():
    return [*[Buffer(SIZE, "scratch")] * BUFFERS, Buffer(8 * 48, "constant")]


def one_by_one(phase, generator):
    """The operations of a phase as some threads might come to them."""
    waiting = [list(lane) for lane in phase.inputs if lane]
    while waiting:
        lane = waiting[generator.integers(len(waiting))]
        yield lane.pop(0)
        if not lane:
            waiting.remove(lane)


@given(st.lists(operations(), min_size=1, max_size=8), st.integers(1, 4))
@settings(max_examples=250)
def test_the_lanes_of_a_phase_may_come_in_any_order(listed, count):
    listed = [operation for operation in listed if not segments._overlaps(operation)]
    buffers = first_buffers()
    phases = phases_of(listed, count, buffers)
    assert all(len(phase.inputs) == count for phase in phases)
    expected, before = first_memory(), first_memory().extended(buffers)
    generator = np.random.default_rng(0)
    with single_threaded_blas(), np.errstate(all="ignore"):
        expected.carry_out(listed)
        for _ in range(3):
            given = before.copy()
            for phase in phases:
                given.carry_out(one_by_one(phase, generator))
            assert expected.bytes(BUFFERS) == given.bytes(BUFFERS)


@given(operations(), st.integers(1, 4))
@settings(max_examples=150)
def test_bands_cover_everything_once(operation, count):
    buffers = first_buffers()
    phases = phases_of([operation], count, buffers)
    parts = [part for phase in phases for lane in phase.inputs for part in lane]
    covered = np.concatenate([elements(part.out) for part in parts])
    assert sorted(covered) == sorted(elements(operation.out))
    assert len(phases) == 1


def product(rows=48, function=np.matmul):
    a, b, out = rows_of(0, 0, rows), rows_of(1, 0, WIDTH), rows_of(2, 0, rows)
    return Operation("call", function, (a, b), out)


def wide_product(function=np.matmul):
    return Operation("call", function, (rows_of(0, 0, 2), wide(1, WIDTH)), wide(2, 2))


def cuts_of(phases, axis):
    """Where the lanes' rows or columns begin, and the end."""
    parts = [lane[0].out for phase in phases for lane in phase.inputs if lane]
    starts = [part.offset // part.strides[axis] for part in parts]
    return [*starts, sum(part.shape[axis] for part in parts)]


@pytest.fixture
def planted_bits(monkeypatch):
    """Bits that change where rows (axis 0) or columns are not cut at multiples of so many."""

    def plant(axis, grain):
        class OtherNumPy:
            def __getattr__(self, name):
                return getattr(np, name)

            def matmul(self, a, b, out=None):
                length = (a, b)[axis].shape[axis]
                return np.add(np.matmul(a, b), length % grain != 0, out=out)

        monkeypatch.setattr(parts, "np", OtherNumPy())

    parts._keep_bits.cache_clear()
    yield plant
    parts._keep_bits.cache_clear()


@pytest.mark.parametrize("function", [np.matmul, multiply])
@pytest.mark.parametrize(
    ("make", "axis", "grain", "cuts"),
    [
        (product, 0, 1, [0, 16, 32, 48]),
        (product, 0, 12, [0, 12, 24, 48]),
        (product, 0, 24, [0, 24, 48]),
        (product, 0, 48, [0, 48]),
        (wide_product, 1, 1, [0, 16, 32, 48]),
        (wide_product, 1, 16, [0, 16, 48]),
        (wide_product, 1, 48, [0, 48]),
    ],
)
def test_products_are_cut_where_they_keep_their_bits(
    planted_bits, function, make, axis, grain, cuts
):
    planted_bits(axis, grain)
    count = 3 if cuts == [0, 48] else len(cuts) - 1
    found = phases_of([make(function=function)], count, first_buffers())
    assert cuts_of(found, axis) == cuts


def test_a_product_that_keeps_its_bits_nowhere_is_whole(monkeypatch):
    monkeypatch.setattr(lanes, "product_keeps_bits", lambda product, axis, cuts: False)
    (phase,) = phases_of([product()], 2, first_buffers())
    assert [len(lane) for lane in phase.inputs] == [1, 0]


def test_a_function_that_does_not_keep_its_bits_is_whole(monkeypatch):
    monkeypatch.setattr(lanes, "function_keeps_bits", lambda function, dtype: False)
    operation = Operation("call", np.tanh, (rows_of(0, 0, 48),), rows_of(1, 0, 48))
    (phase,) = phases_of([operation], 2, first_buffers())
    assert sorted(map(len, phase.inputs)) == [0, 1]


def test_a_matrix_times_its_own_transpose_is_whole():
    a = rows_of(0, 0, 48)
    b = a._replace(shape=a.shape[::-1], strides=a.strides[::-1])
    assert sorted(parts_of_square_of(a, b, "scratch")) == [0, 1]


@pytest.mark.parametrize(("kind", "counts"), [("input", [0, 1]), ("scratch", [1, 1])])
def test_two_inputs_may_be_one_array(kind, counts):
    """A matrix and the transpose of another, which is its own if it comes in both places."""
    a = rows_of(0, 0, 48)
    b = a._replace(buffer=1, shape=a.shape[::-1], strides=a.strides[::-1])
    assert sorted(parts_of_square_of(a, b, kind)) == counts


def parts_of_square_of(a, b, kind):
    buffers = [*[Buffer(SIZE, kind)] * BUFFERS, Buffer(48 * 48 * 4, "scratch")]
    out = View(BUFFERS, 0, (48, 48), (48 * 4, 4), FLOAT)
    (phase,) = phases_of([Operation("call", np.matmul, (a, b), out)], 2, buffers)
    return map(len, phase.inputs)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_blocks_have_room_of_their_own_in_each_lane(count):
    """What is used within blocks alone has room for one: lanes beside each other need theirs."""
    x, y, flat = (View(i, 0, (ROWS, WIDTH), (WIDTH * 4, 4), FLOAT) for i in range(3))
    own = flat._replace(buffer=4)
    calls = (
        Operation("call", np.multiply, (x, y), own),
        Operation("call", np.add, (own, x), x),
        Operation("call", np.subtract, (own, y), flat),
    )
    buffers = [*first_buffers(), Buffer(32 * 4, "scratch")]
    phases = phases_of([Operation("blocks", None, (calls,))], count, buffers)
    expected = first_memory().extended([*first_buffers(), Buffer(SIZE, "scratch")])
    expected.carry_out(calls)
    for seed in range(5):
        given = first_memory().extended(buffers)
        for phase in phases:
            given.carry_out(one_by_one(phase, np.random.default_rng(seed)))
        given.assert_guarded()
        assert given.bytes(BUFFERS) == expected.bytes(BUFFERS)
    used = [{v.buffer for op in lane for v in (*op.inputs, op.out)} for lane in phases[0].inputs]
    for one, other in itertools.combinations(used, 2):
        assert not {b for b in one & other if b >= BUFFERS}
