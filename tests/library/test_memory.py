"""Memory that is used again, which cannot be seen from outside."""

import gc
import itertools
import threading

import numpy as np
import pytest
from helpers import HANG
from hypothesis import given
from hypothesis import strategies as st

import funcnn as fn
from funcnn import _memory
from funcnn._memory import LEAST_BYTES, contiguous, empty, empty_like, zeros

FLOAT = np.dtype(np.float32)
LARGE = (LEAST_BYTES // 4, 2)
KEY = fn.random.key(0)


def address(array):
    return array.__array_interface__["data"][0]


@pytest.fixture(autouse=True)
def own_blocks(monkeypatch):
    """Blocks of this test alone."""
    monkeypatch.setattr(_memory, "_own", _memory._Blocks())


# --- what is made ----------------------------------------------------------------------------

orders = st.permutations(range(3))


@pytest.mark.parametrize("scale", [1, 100])  # small, and large
@given(shape=st.tuples(*[st.integers(1, 9)] * 3), order=orders, dtype=st.sampled_from("fd?B"))
def test_an_array_like_another_lies_as_that_does(scale, shape, order, dtype):
    x = np.zeros([scale * shape[axis] for axis in order], dtype).transpose(np.argsort(order))
    for other_shape in (None, (3, *x.shape[1:])):
        like, expected = empty_like(x, other_shape), np.empty_like(x, shape=other_shape)
        assert (like.shape, like.dtype) == (expected.shape, expected.dtype)
        assert like.flags.writeable
        if 1 not in like.shape:  # whose strides may be any
            assert like.strides == expected.strides


def test_one_like_a_view_is_as_compact_as_numpys():
    x = np.zeros((100, 300, 40), np.float32)[::2, ::-3, 5:]
    assert empty_like(x).strides == np.empty_like(x).strides


@pytest.mark.parametrize("shape", [(), (0, 5), (3, 4), (300, 400)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, bool, np.uint8])
def test_shapes_dtypes_and_zeros_are_numpys(shape, dtype):
    dtype = np.dtype(dtype)
    made = empty(shape, dtype)
    assert (made.shape, made.dtype, made.flags.c_contiguous) == (shape, dtype, True)
    made.fill(1)
    del made
    np.testing.assert_array_equal(zeros(shape, dtype), np.zeros(shape, dtype))


def test_contiguous_copies_only_what_is_not():
    x = np.arange(200_000.0).reshape(400, 500)
    assert contiguous(x) is x
    copy = contiguous(x.T)
    assert copy.flags.c_contiguous
    np.testing.assert_array_equal(copy, x.T)
    assert not np.shares_memory(copy, x)


def test_large_arrays_begin_at_a_line_of_the_cache():
    arrays = [empty((rows, 5), FLOAT) for rows in (20_001, 30_003, 9_000_000)]
    assert [address(array) % _memory.LINE for array in arrays] == [0, 0, 0]
    for a, b in itertools.combinations(arrays, 2):
        assert not np.shares_memory(a, b)


# --- what is used again ----------------------------------------------------------------------


def test_memory_that_nobody_holds_is_used_again():
    first = empty(LARGE, FLOAT)
    place = address(first)
    del first
    second = empty(LARGE[::-1], FLOAT)  # of the same size
    assert address(second) == place


HOLDING = {
    "the array": lambda array: array,
    "a part of it": lambda array: array[5:6, :1],
    "a view of a view": lambda array: array.T[1:].reshape(-1)[3:],
    "a memoryview": memoryview,
    "an array of another dtype": lambda array: array.view(np.int32),
    "its base": lambda array: array.base,
    "an iterator": iter,
    "an array made of its memory": lambda array: np.frombuffer(array, np.uint8),
    "what NumPy's interface shows": lambda array: np.asarray(Exposing(array)),
}


class Exposing:
    def __init__(self, array):
        self.array, self.__array_interface__ = array, array.__array_interface__


@pytest.mark.parametrize("holding", sorted(HOLDING))
def test_what_somebody_holds_is_never_touched(holding):
    array = empty(LARGE, FLOAT)
    place = address(array)
    held = HOLDING[holding](array)
    del array
    others = [empty(LARGE, FLOAT) for _ in range(3)]
    assert place not in map(address, others)
    del held, others
    gc.collect()
    assert place in map(address, [empty(LARGE, FLOAT) for _ in range(4)])


def test_arrays_that_are_alive_never_overlap():
    generator = np.random.default_rng(0)
    alive = {}
    for step in range(2000):
        rows = int(generator.integers(1, 6)) * LEAST_BYTES
        array = empty((rows,), np.dtype(np.uint8))
        array.fill(step % 251)
        alive[step] = array
        for gone in generator.choice(list(alive), size=len(alive) // 8, replace=False):
            del alive[gone]
    for step, array in alive.items():
        assert (array == step % 251).all()


def test_memory_goes_back_to_the_thread_that_it_came_from():
    made, done = [], threading.Event()

    def work():
        made.append(empty(LARGE, FLOAT))
        place = address(made[0])
        done.wait(HANG)
        made.append(address(empty(LARGE, FLOAT)) == place)

    thread = threading.Thread(target=work)
    thread.start()
    while not made:
        pass
    array = made.pop()
    place = address(array)
    del array  # freed here
    assert address(empty(LARGE, FLOAT)) != place
    done.set()
    thread.join(HANG)
    assert made == [True]


def test_what_a_thread_keeps_is_bounded(monkeypatch):
    monkeypatch.setattr(_memory, "MOST_BYTES", 50 * LEAST_BYTES)
    held = []
    for rows in range(1, 200):
        held.append(empty((rows * LEAST_BYTES // 10 + LEAST_BYTES,), np.dtype(np.uint8)))
        kept = sum(map(len, itertools.chain(*_memory._own._by_size.values())))
        assert kept <= 50 * LEAST_BYTES or len(held) == 1
        assert kept == _memory._own._bytes


def test_many_arrays_of_a_size_that_are_held_are_not_looked_at_for_ever():
    held = [empty(LARGE, FLOAT) for _ in range(5 * _memory.MOST_OF_A_SIZE)]
    (blocks,) = _memory._own._by_size.values()
    assert len(blocks) == _memory.MOST_OF_A_SIZE
    for number, array in enumerate(held):
        array.fill(number)
    assert all((array == number).all() for number, array in enumerate(held))


def test_where_a_count_of_references_may_be_late_nothing_is_used_again(monkeypatch):
    monkeypatch.setattr(_memory, "_COUNTS_ARE_EXACT", False)
    assert empty(LARGE, FLOAT).base is None


# --- of a model ------------------------------------------------------------------------------


def test_states_and_gradients_that_somebody_keeps_stay_as_they_are():
    model = fn.serial(
        fn.Conv(8, 3, padding="same"), fn.Relu(), fn.MaxPool(2), fn.Flatten(), fn.Dense(300)
    )
    _, params = model.init(KEY, (1, 28, 28))
    optimizer = fn.chain(fn.add_decayed_weights(1e-3), fn.adam(0.01))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    generator = np.random.default_rng(0)
    kept = []
    for _ in range(5):
        x = generator.random((64, 1, 28, 28), np.float32)
        y = generator.integers(300, size=64)
        outputs, vjp = model.apply(state.params, x)
        grads, dx = vjp(np.ones_like(outputs))
        for tree in (state, outputs, grads, dx):
            kept.append((tree, fn.tree.map(np.array, tree)))
        state, _ = step(state, (x, y))
    for now, then in kept:
        fn.tree.map(np.testing.assert_array_equal, now, then)
