"""Products of matrices on several threads, which cannot be seen in a result."""

import functools
import itertools
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import HANG, assert_same_bits, blas_threads, frozen
from hypothesis import given
from hypothesis import strategies as st

import funcnn as fn
from funcnn.ops import matmul as products
from funcnn.ops.matmul import MOST_LOST, PAUSE, matmul
from funcnn.threads import run_parallel, single_threaded_blas, use_threads

KEY = fn.random.key(0)


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


LYING = {
    "by rows": lambda x: x.copy("C"),
    "by columns": lambda x: x.copy("F"),
    "every other": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "part of a larger one": lambda x: np.pad(x, 2)[2:-2, 2:-2],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
}


def lying(x, order):
    """The same matrix, read-only, in this order in memory."""
    found = LYING[order](x)
    found.setflags(write=False)
    return found


# --- values ----------------------------------------------------------------------------------

sizes = st.integers(0, 20)
inner_sizes = st.sampled_from([0, 1, 2, 100, 255, 256, 257, 511, 512, 513, 700, 768])
orders = st.sampled_from(sorted(LYING))


@given(sizes, inner_sizes, sizes, orders, orders)
def test_in_any_order_of_memory_it_is_the_product(rows, inner, columns, a_order, b_order):
    exact_a, exact_b = normal((rows, inner)), normal((inner, columns), seed=1)
    for dtype, exact_dtype, tolerance in (
        (np.float32, np.float64, 1e-6),
        (np.float64, np.longdouble, 1e-13),
    ):
        a, b = lying(exact_a.astype(dtype), a_order), lying(exact_b.astype(dtype), b_order)
        y = matmul(a, b)
        assert y.dtype == dtype
        assert y.shape == (rows, columns)
        x_a, x_b = a.astype(exact_dtype), b.astype(exact_dtype)
        assert (abs(y - x_a @ x_b) <= tolerance * (abs(x_a) @ abs(x_b))).all()


def test_a_long_sum_has_all_of_its_terms():
    for inner in (255, 256, 257, 512, 600):
        ones, numbers = np.ones((1, inner)), np.arange(1.0, inner + 1)[:, None]
        assert matmul(ones, numbers).item() == inner * (inner + 1) / 2


@pytest.mark.parametrize("inner", [100, 256, 300])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float16, np.complex64])
def test_other_dtypes_give_what_numpy_gives(dtype, inner):
    a, b = (
        np.random.default_rng(seed).integers(0, 2, shape).astype(dtype)
        for seed, shape in enumerate([(3, inner), (inner, 4)])
    )
    y, expected = matmul(a, b), a @ b  # whole numbers: all of them are exact
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)


@pytest.mark.usefixtures("never_paused")
@pytest.mark.parametrize("dtype", [np.int64, np.float16, object])
def test_other_dtypes_are_multiplied_where_several_threads_would_be_too(dtype):
    shape = (3, 300) if dtype is object else (200, 300)
    a = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    with use_threads(2), single_threaded_blas():
        y = matmul(a, a.T)
    np.testing.assert_array_equal(y, a @ a.T)
    assert y.dtype == dtype


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        *(((2, 3), (4, 2)), ((2, 300), (299, 2)), ((2, 300), (256, 2)), ((2, 256), (300, 2))),
        *(((2, 300), (512, 2)), ((0, 3), (2, 0))),
    ],
)
def test_matrices_that_do_not_fit_are_an_error(a_shape, b_shape):
    a, b = np.ones(a_shape), np.ones(b_shape)
    with pytest.raises(ValueError, match="mismatch"):
        a @ b
    with pytest.raises(ValueError, match="mismatch"):
        matmul(a, b)


def test_dtypes_that_numpy_does_not_multiply_are_an_error():
    a, b = np.array([["a", "b"]]), np.ones((2, 1))
    with pytest.raises(TypeError) as of_numpy:
        a @ b
    with pytest.raises(type(of_numpy.value)):
        matmul(a, b)


# --- bits ------------------------------------------------------------------------------------


@pytest.fixture
def never_paused(monkeypatch):
    """By how much each divided product was late; none of them begins a pause."""
    late = []
    monkeypatch.setattr(products, "_pause", SimpleNamespace(is_on=lambda: False, note=late.append))
    return late


@pytest.fixture
def trials(monkeypatch):
    """What each trial gave."""
    results = []
    trial = products._trial

    def noting(*arguments):
        results.append(trial(*arguments))
        return results[-1]

    monkeypatch.setattr(products, "_trial", noting)
    return results


def products_of_net(features, batch, dtype):
    """The products of the layers of a dense net: forward, and for both gradients."""
    for seed, (inputs, outputs) in enumerate(itertools.pairwise(features)):
        x, dy = normal((batch, inputs), dtype, seed), normal((batch, outputs), dtype, 100 + seed)
        weight = normal((inputs, outputs), dtype, 200 + seed)
        yield from ((x, weight), (x.T, dy), (dy, weight.T), (weight, dy.T))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [32, 100, 128, 1000])
@pytest.mark.parametrize("features", [(784, 256, 128, 10), (784, 512, 512, 10)], ids=str)
def test_the_number_of_threads_cannot_be_seen_in_the_bits(
    features, batch, dtype, trials, never_paused
):
    matrices = list(products_of_net(features, batch, dtype))
    results = []
    for threads in (1, 2, 5):
        with use_threads(threads), single_threaded_blas():
            results.append([matmul(*frozen(pair)) for pair in matrices])
        assert bool(trials) is (threads > 1)
    divided = sum(seconds is not None for seconds in trials)
    assert len(never_paused) == divided
    if divided == 0:
        pytest.skip("this BLAS gives other bits with several threads, so nothing was divided")
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


@pytest.mark.usefixtures("never_paused")
def test_a_matrix_times_its_transpose_has_the_same_bits_too():
    x = normal((512, 300), np.float32)  # BLAS has a way of its own to multiply x by its transpose
    results = []
    for threads in (1, 2, 5):
        with use_threads(threads), single_threaded_blas():
            results.append((matmul(x.T, x), matmul(x, x.T)))
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


# --- what is divided -------------------------------------------------------------------------


@pytest.fixture
def divided(never_paused, monkeypatch):
    """The number of threads of each divided product; no trial speaks against dividing any."""
    counts = []
    monkeypatch.setattr(products, "_trial", lambda *_: 1.0)

    def counting(count, work):
        counts.append(count)
        return work()

    monkeypatch.setattr(products, "with_blas_threads", counting)
    return counts


LARGE = normal((200, 200)), normal((200, 200), seed=1)  # 8 million multiply-adds


@pytest.mark.parametrize(
    ("shape", "threads", "count"),
    [
        *(((100, 100, 199), 5, None), ((100, 100, 200), 5, 2), ((199, 100, 100), 5, None)),
        *(((100, 200, 100), 5, 2), ((100, 200, 199), 5, 3), ((100, 200, 200), 3, 3)),
        *(((100, 200, 200), 2, 2), ((200, 200, 200), 1, None), ((200, 200, 200), 9, 8)),
    ],
)
def test_each_thread_has_a_million_multiply_adds_at_least(shape, threads, count, divided):
    rows, inner, columns = shape
    with use_threads(threads), single_threaded_blas():
        matmul(np.ones((rows, inner)), np.ones((inner, columns)))
    assert divided == ([] if count is None else [count])


def test_a_dense_layer_divides_all_three_of_its_products(divided):
    layer = fn.Dense(200)
    _, params = layer.init(KEY, (200,))
    with use_threads(2), single_threaded_blas():
        y, vjp = layer.apply(params, np.ones((200, 200), np.float32))
        assert divided == [2]
        vjp(y)
    assert divided == [2, 2, 2]


def test_outside_a_block_nothing_is_divided(divided):
    with use_threads(2):
        matmul(*LARGE)
        assert divided == []
        with single_threaded_blas():
            matmul(*LARGE)
        assert divided == [2]
        matmul(*LARGE)
    assert divided == [2]


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_in_tasks_beside_each_other_nothing_is_divided(tasks, threads, divided):
    with use_threads(threads), single_threaded_blas():
        run_parallel([functools.partial(matmul, *LARGE)] * tasks)
        assert divided == ([threads] if tasks == 1 else [])  # a single task is alone
        divided.clear()
        matmul(*LARGE)
    assert divided == [threads]


def beside(*entered):
    """A thread that is in the given blocks, and the event that ends it."""
    inside, leave = threading.Event(), threading.Event()

    def stay():
        for block in entered:
            block.__enter__()
        inside.set()
        assert leave.wait(HANG)
        for block in entered:
            block.__exit__(None, None, None)

    thread = threading.Thread(target=stay, daemon=True)
    thread.start()
    assert inside.wait(HANG)
    return thread, leave


def test_with_another_thread_inside_a_block_nothing_is_divided(divided):
    with use_threads(2), single_threaded_blas():
        thread, leave = beside(single_threaded_blas())
        matmul(*LARGE)
        assert divided == []
        leave.set()
        thread.join(HANG)
        matmul(*LARGE)
        assert divided == [2]


def test_a_thread_outside_of_all_blocks_divides_nothing_either(divided):
    with use_threads(2):
        thread, leave = beside(single_threaded_blas())
        matmul(*LARGE)
        leave.set()
        thread.join(HANG)
    assert divided == []


@pytest.mark.usefixtures("two_blas_threads", "never_paused")
def test_a_thread_that_enters_a_block_at_the_last_moment_has_blas_on_one_thread(monkeypatch):
    threads, seen = [], []

    def trial(*_):
        threads.append(beside(single_threaded_blas()))
        return 1.0

    def noting(count, work):
        return divide(count, lambda: (seen.append(blas_threads()), work())[1])

    divide = products.with_blas_threads
    monkeypatch.setattr(products, "_trial", trial)
    monkeypatch.setattr(products, "with_blas_threads", noting)
    with use_threads(2), single_threaded_blas():
        matmul(*LARGE)
        ((thread, leave),) = threads
        leave.set()
        thread.join(HANG)
    assert [2] not in seen


# --- trials ----------------------------------------------------------------------------------


def of_one_thread(a, b):
    with use_threads(1), single_threaded_blas():
        return matmul(a, b)


@pytest.mark.usefixtures("never_paused")
def test_a_product_whose_trial_gave_other_bits_is_done_by_one_thread(monkeypatch):
    asked = []
    monkeypatch.setattr(products, "_trial", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(products, "with_blas_threads", lambda *_: pytest.fail("it was divided"))
    a, b = normal((128, 784), np.float32), normal((784, 512), np.float32)
    expected = of_one_thread(a, b)
    assert asked == []
    with use_threads(2), single_threaded_blas():
        np.testing.assert_array_equal(matmul(a, b), expected)
    assert asked


def test_a_trial_fails_if_several_threads_give_other_bits(divided, monkeypatch):
    trial = functools.cache(products_trial)  # so that a made-up result is not kept
    monkeypatch.setattr(products, "_trial", trial)
    a, b = LARGE
    expected = of_one_thread(a, b)
    assert divided == []

    def other_bits(count, work):
        y = work()
        y[-1, -1] = np.nextafter(y[-1, -1], np.inf)
        return y

    monkeypatch.setattr(products, "with_blas_threads", other_bits)
    assert trial(a.shape, False, b.shape, False, a.dtype, 2) is None
    with use_threads(2), single_threaded_blas():
        np.testing.assert_array_equal(matmul(a, b), expected)


products_trial = products._trial.__wrapped__


def test_a_trial_that_gives_the_same_bits_gives_seconds(monkeypatch):
    counts = []
    monkeypatch.setattr(
        products, "with_blas_threads", lambda count, work: (counts.append(count), work())[1]
    )
    seconds = products_trial((30, 20), False, (20, 10), True, np.dtype(np.float32), 3)
    assert seconds > 0
    assert counts == [3]


@pytest.mark.usefixtures("never_paused")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", list(itertools.product([False, True], repeat=2)))
def test_a_trial_is_of_a_product_of_the_same_kind(transposed, dtype, monkeypatch):
    made, multiplied = [], []

    def trial(*arguments):
        made.append(arguments)
        return products_trial(*arguments)

    def noting(count, work):
        a, b = (cell.cell_contents for cell in work.__closure__)
        multiplied.append([(m.shape, m.dtype, m.flags.f_contiguous) for m in (a, b)])
        return work()

    monkeypatch.setattr(products, "_trial", trial)
    monkeypatch.setattr(products, "with_blas_threads", noting)
    a, b = normal((128, 784), dtype), normal((784, 512), dtype)
    a, b = (m.copy("F" if flag else "C") for m, flag in zip((a, b), transposed, strict=True))
    with use_threads(3), single_threaded_blas():
        matmul(a, b)
    assert made == [((128, 784), transposed[0], (784, 512), transposed[1], np.dtype(dtype), 3)]
    tried, divided = multiplied
    assert tried == divided
    assert tried == [(m.shape, dtype, flag) for m, flag in zip((a, b), transposed, strict=True)]


# --- pauses ----------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still: `clock.now`, in seconds."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(products.time, "perf_counter", lambda: clock.now)
    return clock


def test_there_is_no_pause_while_little_is_lost(clock):
    pause = products._Pause()
    assert not pause.is_on()
    for _ in range(100):
        pause.note(0.9 * MOST_LOST)
        assert not pause.is_on()
        pause.note(-0.9 * MOST_LOST)


@pytest.mark.parametrize(
    "late", [[1.01 * MOST_LOST], [0.6 * MOST_LOST] * 2, [0.26 * MOST_LOST] * 4]
)
def test_when_too_much_is_lost_there_is_a_pause(late, clock):
    pause = products._Pause()
    for _ in range(3):  # each as long as the one before it
        pause.note(-100.0)  # what was gained long ago does not count
        for seconds in late:
            assert not pause.is_on()
            pause.note(seconds)
        clock.now += 0.999 * PAUSE
        assert pause.is_on()
        clock.now += 0.002 * PAUSE
        assert not pause.is_on()


def test_in_a_pause_no_product_is_divided(clock, monkeypatch):
    counts, of_trial = [], 0.5  # seconds

    def taking(count, work, seconds):
        counts.append(count)
        clock.now += seconds
        return work()

    monkeypatch.setattr(products, "_trial", lambda *_: of_trial)
    monkeypatch.setattr(products, "_pause", products._Pause())
    expected = of_one_thread(*LARGE)

    def is_divided(late):
        counts.clear()
        takes = functools.partial(taking, seconds=of_trial + late)
        monkeypatch.setattr(products, "with_blas_threads", takes)
        np.testing.assert_array_equal(matmul(*LARGE), expected)
        return counts == [2]

    with use_threads(2), single_threaded_blas():
        for late in (-of_trial, 0, 0.9 * MOST_LOST, -0.5 * MOST_LOST, 0.5 * MOST_LOST):
            assert is_divided(late)  # not yet too late
        assert is_divided(MOST_LOST)
        assert not is_divided(0)
        clock.now += 0.999 * PAUSE
        assert not is_divided(0)
        clock.now += 0.002 * PAUSE
        assert is_divided(0)


def test_a_product_of_one_thread_begins_no_pause(clock, monkeypatch):
    notes = []
    pause = SimpleNamespace(is_on=lambda: False, note=notes.append)
    monkeypatch.setattr(products, "_pause", pause)
    monkeypatch.setattr(products, "_trial", lambda *_: None)
    with use_threads(2), single_threaded_blas():
        matmul(*LARGE)
    assert notes == []
