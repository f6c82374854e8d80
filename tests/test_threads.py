import functools
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

import funcnn as fn
from funcnn import tree
from funcnn.threads import available_cores, run_parallel, single_threaded_blas, use_threads

COUNTS = [1, 2, 3, 5, None]
HANG = 60  # seconds after which a test gives up: none is near it unless it never ends
counts = pytest.mark.parametrize("count", COUNTS)


def thread_of_each_task(tasks=4):
    return run_parallel([threading.get_ident] * tasks)


# --- run_parallel --------------------------------------------------------------------------------


@counts
@pytest.mark.parametrize("tasks", [0, 1, 2, 7, 100])
def test_results_are_in_the_order_of_the_tasks(count, tasks):
    with use_threads(count):
        squares = run_parallel([functools.partial(pow, i, 2) for i in range(tasks)])
    assert squares == [i**2 for i in range(tasks)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_so_many_tasks_run_beside_each_other(count):
    barrier = threading.Barrier(count)
    with use_threads(count):
        assert sorted(run_parallel([lambda: barrier.wait(HANG)] * count)) == list(range(count))


def test_this_thread_does_its_share():
    with use_threads(3):
        threads = thread_of_each_task(6)
    assert threading.get_ident() in threads
    assert len(set(threads)) > 1


def test_one_thread_is_this_one():
    with use_threads(1):
        assert set(thread_of_each_task()) == {threading.get_ident()}


@counts
def test_a_parallel_call_within_a_task_ends(count):
    def outer(i):
        return run_parallel([functools.partial(pow, i, j) for j in range(4)])

    with use_threads(count):
        results = finish(lambda: run_parallel([functools.partial(outer, i) for i in range(6)]))
        assert results == [[i**j for j in range(4)] for i in range(6)]
        if count != 1 and available_cores() > 1:
            assert len(set(thread_of_each_task())) > 1  # and it is parallel again after it


def test_parallel_calls_of_many_threads_end():
    def one(i):
        return run_parallel([functools.partial(pow, i, j) for j in range(8)])

    with use_threads(3), ThreadPoolExecutor(4) as pool:
        results = finish(lambda: list(pool.map(one, range(50))))
    assert results == [[i**j for j in range(8)] for i in range(50)]


def finish(function):
    """What the function returns; it fails, and does not hang the suite, if it never ends."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(HANG)
    assert not thread.is_alive(), "it never ends"
    return results[0]


# --- errors ----------------------------------------------------------------------------------


class Failure(Exception):
    pass


def fail():
    raise Failure("in a task")


@counts
@pytest.mark.parametrize("position", range(5))
def test_an_exception_of_a_task_is_raised_here(count, position):
    tasks = [lambda: 1] * 5
    tasks[position] = fail
    with use_threads(count):
        with pytest.raises(Failure, match="in a task"):
            run_parallel(tasks)
        assert run_parallel([lambda: 1] * 5) == [1] * 5


@pytest.mark.parametrize("position", [0, 1])
def test_no_task_is_running_any_more_when_an_exception_is_raised(position):
    failed, ended = threading.Event(), []

    def fail_first():
        failed.set()
        raise Failure

    def end_later():
        assert failed.wait(HANG)
        ended.append(True)

    tasks = [end_later, end_later]
    tasks[position] = fail_first
    with use_threads(2), pytest.raises(Failure):
        run_parallel(tasks)
    assert ended == [True]


@pytest.mark.parametrize("over", ["raise", "ignore"])
@pytest.mark.parametrize("under", ["raise", "warn"])
def test_the_errstate_of_the_caller_holds_in_every_thread(over, under):
    with use_threads(3), np.errstate(over=over, under=under):
        states = run_parallel([np.geterr] * 6)
        assert all((state["over"], state["under"]) == (over, under) for state in states)


def test_a_floating_point_error_in_another_thread_is_raised_here():
    def divide(i):
        return np.float32([1, 1]) / np.float32([1, 0 if i == 1 else 1])

    with use_threads(2), pytest.raises(FloatingPointError):
        run_parallel([functools.partial(divide, i) for i in range(2)])


# --- the number of threads -------------------------------------------------------------------


def test_results_have_the_same_bits_for_any_number_of_threads():
    model = fn.serial(fn.Dense(256), fn.Tanh(), fn.serial(fn.Dense(256), fn.Relu()), fn.Dense(10))
    _, params = model.init(fn.random.key(0), (784,))
    x = fn.random.normal(fn.random.key(1), (512, 784))
    results = []
    for count in COUNTS:
        with use_threads(count):
            y, vjp = model.apply(params, x, train=True)
            results.append(tree.leaves([y, vjp(y)]))
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_number_of_threads_that_is_none_is_refused(count):
    with pytest.raises((TypeError, ValueError), match=f"threads.*{count}"), use_threads(count):
        run_parallel([lambda: 1])


def test_the_number_of_threads_is_restored():
    with use_threads(1):
        with use_threads(2):
            assert len(set(thread_of_each_task())) == 2
            with use_threads(1):
                assert len(set(thread_of_each_task())) == 1
            with pytest.raises(Failure), use_threads(1):
                fail()
            with pytest.raises(ValueError, match="got 0"), use_threads(0):
                pass
            assert len(set(thread_of_each_task())) == 2
        assert len(set(thread_of_each_task())) == 1


def test_every_available_core_is_one_or_more():
    assert available_cores() >= 1


# --- BLAS ------------------------------------------------------------------------------------


def blas_threads():
    """The threads of NumPy's own BLAS; torch and SciPy may bring others."""
    return [
        library["num_threads"]
        for library in threadpoolctl.threadpool_info()
        if library["user_api"] == "blas" and "numpy" in library["filepath"]
    ]


@pytest.fixture
def two_blas_threads():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        if blas_threads() != [2]:
            pytest.skip("NumPy's BLAS is not one whose threads threadpoolctl can set")
        yield


@pytest.mark.usefixtures("two_blas_threads")
def test_blas_has_one_thread_inside_and_its_own_number_after():
    with single_threaded_blas():
        assert blas_threads() == [1]
    assert blas_threads() == [2]


@pytest.mark.usefixtures("two_blas_threads")
def test_blocks_nest():
    with single_threaded_blas():
        with single_threaded_blas():
            assert blas_threads() == [1]
        assert blas_threads() == [1]
    assert blas_threads() == [2]


@pytest.mark.usefixtures("two_blas_threads")
def test_an_exception_restores_blas_too():
    with pytest.raises(Failure), single_threaded_blas():
        fail()
    assert blas_threads() == [2]


@pytest.mark.usefixtures("two_blas_threads")
def test_a_block_may_be_in_any_thread():
    def inside():
        with single_threaded_blas():
            return blas_threads()

    assert finish(inside) == [1]
    assert blas_threads() == [2]


@pytest.mark.usefixtures("two_blas_threads")
def test_the_last_block_of_all_threads_restores_blas():
    entered, leave = threading.Event(), threading.Event()

    def stay_inside():
        with single_threaded_blas():
            entered.set()
            assert leave.wait(HANG)

    thread = threading.Thread(target=stay_inside, daemon=True)
    with single_threaded_blas():
        thread.start()
        assert entered.wait(HANG)
    assert blas_threads() == [1]  # the other thread is still inside
    leave.set()
    thread.join(HANG)
    assert blas_threads() == [2]


@pytest.mark.usefixtures("two_blas_threads")
@counts
def test_tasks_have_blas_on_one_thread(count):
    with use_threads(count):
        assert run_parallel([blas_threads] * 3) == [[1]] * 3
    assert blas_threads() == [2]


# --- forks -----------------------------------------------------------------------------------

FORK = """
import os, threading
import numpy as np
from funcnn.threads import run_parallel, single_threaded_blas, use_threads

def work():
    barrier = threading.Barrier(2)
    x = np.ones((64, 64), np.float32)
    return run_parallel([lambda: (barrier.wait(30), float((x @ x).sum()))[1]] * 2)

with use_threads(2), {block}:
    before = work()
    child = os.fork()
    if child == 0:
        os._exit(0 if work() == before and work() == before else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert work() == before
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("block", ["use_threads(2)", "single_threaded_blas()"])
def test_a_forked_child_has_threads_of_its_own(block):
    script = FORK.format(block=block)
    done = subprocess.run(
        [sys.executable, "-c", script], timeout=HANG, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
