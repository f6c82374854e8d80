"""Single operations by the interpreter in C: the bits of NumPy, or it does not know them."""

import contextlib
import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from library.compiled.compiled_steps import NATIVE
from library.compiled.memories import DTYPES, GUARD, Drawn, Memory, assert_same, native

from funcnn.compiled.instructions import MOST_ERRSTATES
from funcnn.compiled.native import GuardError, Run
from funcnn.compiled.tape import Operation, View
from funcnn.ops.matmul import multiply

pytestmark = NATIVE

OF_ONE = [np.negative, np.sqrt, np.square, np.absolute, np.exp, np.tanh, np.log, np.log1p]
OF_ONE += [np.sign, np.isnan, np.logical_not, np.reciprocal, np.rint, np.sin, np.invert]
OF_TWO = [np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.greater]
OF_TWO += [
    np.less,
    np.equal,
    np.not_equal,
    np.remainder,
    np.logical_and,
    np.arctan2,
    np.floor_divide,
]
OF_TWO += [np.copysign, np.left_shift, np.ldexp]
dtypes = st.sampled_from(list(DTYPES.values()))
floats = st.sampled_from([DTYPES["f"], DTYPES["d"]])


def dtype_of(function, *inputs):
    """What NumPy gives for operands like these; nothing is asked where it gives nothing."""
    likes = [np.ones((1,) * len(x.shape), x.dtype) if isinstance(x, View) else x for x in inputs]
    try:
        with np.errstate(all="ignore"):
            return function(*likes).dtype
    except (TypeError, OverflowError):
        assume(False)


def target(drawn, data, shape, dtype, inputs):
    """Where the result goes: one of the inputs, if it can, or an array of its own."""
    able = [x for x in inputs if isinstance(x, View) and (x.shape, x.dtype) == (shape, dtype)]
    if able and data.draw(st.booleans()):
        return data.draw(st.sampled_from(able))
    return drawn.array(shape, dtype)


@given(st.data())
@settings(max_examples=150)
def test_functions_of_one_array(data):
    drawn, function = Drawn(data), data.draw(st.sampled_from(OF_ONE))
    shape = drawn.shape()
    x = drawn.array(data.draw(st.sampled_from([shape, drawn.below(shape)])), data.draw(dtypes))
    out = target(drawn, data, shape, dtype_of(function, x), [x])
    assert_same(Operation("call", function, (x,), out), drawn.memory())


@given(st.data())
@settings(max_examples=250)
def test_functions_of_two(data):
    """Arrays that are broadcast, constants, numbers that change from step to step."""
    drawn, function = Drawn(data), data.draw(st.sampled_from(OF_TWO))
    shape = drawn.shape()
    inputs = [drawn.array(drawn.below(shape), data.draw(dtypes)) for _ in range(2)]
    number = data.draw(st.sampled_from([2, -1, 0.1, 0.0, -0.0, float("nan"), 1e300, 2**53 + 1]))
    kind = data.draw(st.sampled_from(["arrays", "arrays", "number", "float32", "slot"]))
    if kind != "arrays":
        with np.errstate(all="ignore"):
            operand = {"number": number, "float32": np.float32(number), "slot": None}[kind]
        position = data.draw(st.integers(0, 1))
        inputs[position] = drawn.slot(number) if kind == "slot" else operand
    likes = [drawn.slots.get(x, x) if kind == "slot" else x for x in inputs]
    out = target(drawn, data, shape, dtype_of(function, *likes), inputs)
    assert_same(Operation("call", function, tuple(inputs), out), drawn.memory())


@given(st.data())
@settings(max_examples=150)
def test_reductions(data):
    drawn, function = Drawn(data), data.draw(st.sampled_from([np.add, np.maximum, np.minimum]))
    shape = tuple(data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 9, 40]), min_size=1, max_size=3)))
    x = drawn.array(shape, data.draw(dtypes), data.draw(st.sampled_from([True, True, None])))
    axes = st.sets(st.integers(0, len(shape) - 1)).map(lambda s: tuple(sorted(s)))
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1), axes))
    keywords = (("axis", axis), ("keepdims", data.draw(st.booleans())))
    try:
        like = function.reduce(np.ones(shape, x.dtype), **dict(keywords))
    except ValueError:  # the largest of nothing
        assume(False)
    operation = Operation("call", function.reduce, (x,), None, keywords)
    out = drawn.array(like.shape, like.dtype, data.draw(st.sampled_from([True, True, None])))
    assert_same(operation._replace(out=out), drawn.memory())


SIZES = st.sampled_from([0, 1, 1, 2, 3, 8, 17, 130])


@given(st.data())
@settings(max_examples=150)
def test_products(data):
    drawn, dtype = Drawn(data, special=data.draw(st.booleans())), data.draw(floats)
    rows, inner, columns = (data.draw(SIZES) for _ in range(3))
    stack = data.draw(st.sampled_from([(), (), (3,), (2, 2), (1,)]))
    a = drawn.array((*drawn.below(stack), rows, inner), dtype)
    b = drawn.array((*drawn.below(stack), inner, columns), dtype)
    in_rows = data.draw(st.sampled_from([True, None]))
    out = drawn.array((*stack, rows, columns), dtype, in_rows)
    function = multiply if (in_rows, stack, len(a.shape) + len(b.shape)) == (True, (), 4) else None
    assert_same(Operation("call", function or np.matmul, (a, b), out), drawn.memory())


@given(st.data())
@settings(max_examples=150)
def test_entries_by_their_indices(data):
    drawn, dtype, kind = (
        Drawn(data),
        data.draw(dtypes),
        data.draw(st.sampled_from(["item", "set", "take"])),
    )
    length = data.draw(st.integers(1, 6))
    entry = drawn.shape(2, 3)
    indices = drawn.indices(data.draw(st.integers(0, 5)), length)
    entries = drawn.array((length, *entry), dtype)
    others = drawn.array((indices.shape[0], *entry), dtype)
    operation = {
        "item": Operation("item", None, (entries, indices), others),
        "set": Operation("set", None, (others, indices), entries),
        "take": Operation("call", np.take, (entries, indices, 0), others),
    }[kind]
    assert_same(operation, drawn.memory())


@given(st.data())
@settings(max_examples=150)
def test_copies_and_casts(data):
    drawn = Drawn(data)
    shape = drawn.shape()
    source = drawn.array(drawn.below(shape), data.draw(dtypes))
    out = drawn.array(shape, data.draw(st.one_of(st.just(source.dtype), dtypes)))
    operand = data.draw(st.sampled_from([source, source, source, 0.1, 3, True, drawn.slot(0.7)]))
    assert_same(Operation("copy", None, (operand,), out), drawn.memory())


# --- what is known, and what is not ------------------------------------------------------------


def view(number, shape, dtype="f"):
    dtype = DTYPES[dtype]
    return View(number, 0, shape, np.empty(shape, dtype).strides, dtype)


def call(function, *operands, **keywords):
    return Operation("call", function, operands[:-1], operands[-1], tuple(keywords.items()))


X, Y, Z = (view(i, (6, 4)) for i in range(3))
COLUMN, ROW, ONE = view(1, (6, 1)), view(1, (4,)), view(1, ())
INDICES = view(1, (3,), "q")
KNOWN = {
    "add": call(np.add, X, Y, Z),
    "in place": call(np.multiply, X, Y, X),
    "a number": call(np.multiply, X, 0.1, Y),
    "a column": call(np.subtract, X, COLUMN, Z),
    "a row": call(np.divide, X, ROW, Z),
    "a mask": call(np.multiply, X, view(1, (6, 4), "?"), Z),
    "a comparison": call(np.greater, X, 0, view(1, (6, 4), "?")),
    "exp": call(np.exp, X, Y),
    "tanh": call(np.tanh, X, X),
    "doubles": call(np.add, view(0, (4,), "d"), view(1, (4,), "d"), view(2, (4,), "d")),
    "mixed": call(np.add, X, view(1, (6, 4), "d"), view(2, (6, 4), "d")),
    "a product": call(np.matmul, view(0, (3, 4)), view(1, (4, 5)), view(2, (3, 5))),
    "multiply": call(multiply, view(0, (3, 4)), view(1, (4, 5)), view(2, (3, 5))),
    "sum of rows": call(np.add.reduce, X, view(1, (4,)), axis=0),
    "sum of columns": call(np.add.reduce, X, view(1, (6,)), axis=1),
    "largest": call(np.maximum.reduce, X, view(1, (6, 1)), axis=-1, keepdims=True),
    "sum": call(np.add.reduce, X, ONE, axis=None),
    "a copy": Operation("copy", None, (X,), Y),
    "a cast": Operation("copy", None, (X,), view(1, (6, 4), "d")),
    "a fill": Operation("copy", None, (0.5,), Y),
    "entries": Operation("item", None, (X, INDICES), view(2, (3, 4))),
    "set": Operation("set", None, (view(2, (3, 4)), INDICES), X),
    "take": call(np.take, X, INDICES, 0, view(2, (3, 4))),
}
NOT_KNOWN = {
    "where": call(np.add, X, Y, Z, where=view(3, (6, 4), "?")),
    "a user's ufunc": call(np.frompyfunc(lambda x: x, 1, 1), X, Y),
    "powers of integers": call(
        np.power, view(0, (6, 4), "q"), view(1, (6, 4), "q"), view(2, (6, 4), "q")
    ),
    "entries in place": call(np.take, view(0, (3, 4)), INDICES, 0, view(0, (3, 4))),
    "a cast without a loop": call(
        np.add, view(0, (6, 4), "B"), view(1, (6, 4), "q"), view(2, (6, 4), "q")
    ),
    "cumulative": call(np.add.accumulate, X, Y),
    "a mean": Operation("fresh", np.mean, (X,), ONE),
    "a number that no byte is": call(np.greater, view(0, (6, 4), "B"), -1, view(1, (6, 4), "?")),
    "another byte order": call(np.negative, X._replace(dtype=X.dtype.newbyteorder()), Y),
    "exp, with gaps": call(np.exp, X._replace(shape=(6, 3)), view(1, (6, 3))),
    "half": call(np.negative, X._replace(dtype=np.dtype(np.float16)), Y),
    "shifted": call(
        np.add,
        X._replace(shape=(20,), strides=(4,)),
        1.0,
        X._replace(offset=4, shape=(20,), strides=(4,)),
    ),
    "half of itself": Operation(
        "copy", None, (X._replace(offset=16, shape=(5, 4)),), X._replace(shape=(5, 4))
    ),
    "a product of itself": call(np.matmul, view(0, (5, 5)), view(1, (5, 5)), view(0, (5, 5))),
}


def memory_of(operation):
    contents = [np.random.default_rng(i).standard_normal(64).tobytes() for i in range(4)]
    if INDICES in operation.inputs:
        contents[1] = np.array([5, -6, 2]).tobytes()
    if any(isinstance(x, View) and x.dtype == np.bool_ for x in operation.inputs):
        contents[1] = bytes([0, 1, 1] * 60)
    return Memory(contents)


@pytest.mark.parametrize("name", KNOWN)
def test_known(name):
    assert assert_same(KNOWN[name], memory_of(KNOWN[name]))


def test_flags_that_were_raised_before_are_not_a_runs_own():
    memory = memory_of(KNOWN["add"])
    place, arrays = lambda view: (view.buffer + 1, GUARD + view.offset), tuple(memory.arrays)
    run, huge = Run(native((KNOWN["add"],)), place), float("1e308")
    with np.errstate(all="raise"):
        assert huge * 10 == float("inf")  # the processor notes that it overflowed
        run(arrays)


@pytest.mark.parametrize("name", NOT_KNOWN)
def test_not_known(name):
    assert not assert_same(NOT_KNOWN[name], memory_of(NOT_KNOWN[name]))


@pytest.mark.parametrize("found", [True, False])
@pytest.mark.parametrize("truth", [True, False])
def test_guards(truth, found):
    memory = Memory([bytes([found])])
    guard = Operation("guard", truth, (View(0, 0, (), (), DTYPES["?"]),))
    with contextlib.nullcontext() if truth == found else pytest.raises(GuardError):
        memory.run(native((guard,)))


@pytest.mark.parametrize("count", [1, 2, 20])
def test_each_operation_has_its_own_errstate(count):
    """Of many kinds the last ones have theirs together: more may be raised, but never less."""
    memory = Memory([np.full(4, 1e30, np.float32).tobytes(), bytes(16)])
    square = call(np.multiply, view(0, (4,)), view(0, (4,)), view(1, (4,)))
    kinds = itertools.product(["ignore", "raise", "warn"], repeat=3)
    states = [tuple(zip(("divide", "under", "invalid"), kind, strict=True)) for kind in kinds]
    others = [square._replace(errors=(("over", "ignore"), *states[i])) for i in range(count)]
    others += [call(np.negative, view(0, (4,)), view(1, (4,)))] * 2
    with np.errstate(all="raise"):
        if count < MOST_ERRSTATES:
            memory.run(native(tuple(others)))
        for position in range(len(others)):
            listed = [*others[:position], square, *others[position:]]
            with pytest.raises(FloatingPointError, match="over"):
                memory.run(native(tuple(listed)))
        with np.errstate(over="ignore"):
            memory.run(native((*others, square)))
