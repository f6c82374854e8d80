import asyncio
import contextlib
import contextvars
import functools
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import HANG, blas_threads, finish

import funcnn as fn
from funcnn import tree
from funcnn.threads import (
    available_cores,
    blas_libraries,
    in_single_threaded_blas,
    run_parallel,
    single_threaded_blas,
    spare_blas_threads,
    thread_count,
    use_threads,
    with_blas_threads,
)

COUNTS = [1, 2, 3, 5, None]
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
        with use_threads(3):
            return run_parallel([functools.partial(pow, i, j) for j in range(8)])

    with ThreadPoolExecutor(4) as pool:
        results = finish(lambda: list(pool.map(one, range(50))))
    assert results == [[i**j for j in range(8)] for i in range(50)]


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


@pytest.mark.parametrize("batch", [512, 1024])  # whole, and in shards
def test_results_have_the_same_bits_for_any_number_of_threads(batch):
    model = fn.serial(fn.Dense(256), fn.Tanh(), fn.serial(fn.Dense(256), fn.Relu()), fn.Dense(10))
    _, params = model.init(fn.random.key(0), (784,))
    x = fn.random.normal(fn.random.key(1), (batch, 784))
    results = []
    for count in COUNTS:
        with use_threads(count), single_threaded_blas():
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


LEAVE_ELSEWHERE = """
import threading
from funcnn.threads import single_threaded_blas, spare_blas_threads, use_threads

block = single_threaded_blas()
block.__enter__()
thread = threading.Thread(target=block.__exit__, args=(None, None, None))
thread.start()
thread.join()
with use_threads(2):
    assert spare_blas_threads() == 1, "a block is still open"
    with single_threaded_blas():
        assert spare_blas_threads() == 2, "this thread is not alone in blocks"
"""


def test_a_block_may_be_left_in_another_thread_than_it_was_entered_in():
    # As a generator's is, if the garbage of one thread is collected in another.
    done = subprocess.run(
        [sys.executable, "-c", LEAVE_ELSEWHERE],
        timeout=HANG,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@contextlib.contextmanager
def ctrl_c_by_alarm():
    """Inside the `with` block an alarm is a Ctrl-C."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
@pytest.mark.parametrize("depth", [1, 2])
def test_ctrl_c_anywhere_leaves_no_block_open(two_blas_threads, depth):
    def enter(depth):
        with single_threaded_blas():
            if depth > 1:
                enter(depth - 1)

    interrupted = 0
    with ctrl_c_by_alarm():
        for number in range(2000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + number % 100))
                for _ in range(100_000):  # until the alarm
                    enter(depth)
            except KeyboardInterrupt:
                interrupted += 1
            assert not in_single_threaded_blas()
            assert [library.get_num_threads() for library in blas_libraries()] == [2]
    assert interrupted == 2000
    with single_threaded_blas():
        finish(lambda: run_parallel([blas_threads]))  # nobody keeps the lock
        assert blas_threads() == [1]
    assert blas_threads() == [2]


@pytest.mark.usefixtures("two_blas_threads")
def test_a_block_that_is_forgotten_is_left():
    block = single_threaded_blas()
    block.__enter__()
    assert blas_threads() == [1]
    with single_threaded_blas():
        del block
        assert blas_threads() == [1]
    assert blas_threads() == [2]


# --- spare threads of BLAS -------------------------------------------------------------------


def test_a_thread_that_is_alone_in_a_block_may_give_blas_all_threads():
    with use_threads(5):
        assert spare_blas_threads() == 1
        with single_threaded_blas():
            assert spare_blas_threads() == 5
            with single_threaded_blas(), use_threads(3):
                assert spare_blas_threads() == 3
            assert spare_blas_threads() == 5
        assert spare_blas_threads() == 1
        with pytest.raises(Failure), single_threaded_blas():
            fail()
        assert spare_blas_threads() == 1
    with use_threads(None), single_threaded_blas():
        assert spare_blas_threads() == available_cores()


def test_in_tasks_beside_each_other_blas_has_no_spare_threads():
    def of_nested_tasks():
        return run_parallel([spare_blas_threads] * 2)

    with use_threads(3):
        assert run_parallel([spare_blas_threads] * 4) == [1] * 4
        assert run_parallel([of_nested_tasks] * 4) == [[1, 1]] * 4
        with single_threaded_blas():
            assert run_parallel([spare_blas_threads] * 4) == [1] * 4
            assert spare_blas_threads() == 3


def test_two_threads_in_blocks_have_no_spare_threads_of_blas():
    def spare_of_another_thread(block):
        with block:
            return spare_blas_threads(), finish(spare_blas_threads)

    with use_threads(2):
        assert finish(lambda: spare_of_another_thread(single_threaded_blas())) == (2, 1)
        with single_threaded_blas():
            assert finish(lambda: spare_of_another_thread(single_threaded_blas())) == (1, 1)
            assert spare_blas_threads() == 2


@pytest.mark.usefixtures("two_blas_threads")
def test_blas_has_the_threads_for_one_piece_of_work_and_then_one_again():
    with use_threads(2), single_threaded_blas():
        assert with_blas_threads(2, blas_threads) == [2]
        assert blas_threads() == [1]
        with pytest.raises(Failure):
            with_blas_threads(2, fail)
        assert blas_threads() == [1]
        assert with_blas_threads(2, blas_threads) == [2]  # it did not keep others waiting for ever
    assert blas_threads() == [2]


def test_a_thread_that_enters_a_block_waits_for_the_work_that_has_the_threads():
    events = []

    def enter():
        with single_threaded_blas():
            events.append("entered")

    def work():
        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        thread.join(0.1)
        events.append("worked")
        return thread

    with use_threads(2), single_threaded_blas():
        with_blas_threads(2, work).join(HANG)
    assert events == ["worked", "entered"]


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


# --- whose number of threads it is ---------------------------------------------------------------


def test_the_number_of_threads_is_that_of_the_thread_that_set_it():
    both = threading.Barrier(2)

    def counted(count):
        with use_threads(count):
            both.wait(HANG)
            inside = thread_count(), set(run_parallel([thread_count] * 4))
            both.wait(HANG)
        both.wait(HANG)
        return *inside, thread_count()

    with use_threads(7), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(counted, (2, 3)))
        assert thread_count() == 7
    cores = available_cores()
    assert found == [(2, {2}, cores), (3, {3}, cores)]


def test_the_number_of_threads_is_that_of_the_asyncio_task_that_set_it():
    async def counted(count, mine, other):
        with use_threads(count):
            mine.set()
            await other.wait()
            return thread_count(), set(run_parallel([thread_count] * 4))

    async def run():
        with use_threads(5):
            first, second = asyncio.Event(), asyncio.Event()
            two = asyncio.gather(counted(2, first, second), counted(3, second, first))
            return await two, thread_count(), await asyncio.to_thread(thread_count)

    assert asyncio.run(run()) == ([(2, {2}), (3, {3})], 5, 5)


def test_a_generator_may_be_closed_in_another_context():
    def generate():
        with use_threads(2):
            yield thread_count()

    paused = generate()
    assert contextvars.copy_context().run(next, paused) == 2
    assert thread_count() == available_cores()
    contextvars.copy_context().run(paused.close)
    assert thread_count() == available_cores()


@pytest.mark.parametrize("first_leaves", [True, False])
def test_blas_has_its_threads_again_when_the_last_of_several_threads_left(
    two_blas_threads, first_leaves
):
    blocks = [single_threaded_blas() for _ in range(2)]
    seen = [blas_threads()]
    order = blocks if first_leaves else blocks[::-1]
    steps = [*(block.__enter__ for block in blocks)]
    steps += [functools.partial(block.__exit__, None, None, None) for block in order]
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        threads = [one, other, *([one, other] if first_leaves else [other, one])]
        for thread, step in zip(threads, steps, strict=True):
            thread.submit(step).result(HANG)
            seen.append(blas_threads())
    assert seen == [[2], [1], [1], [1], [2]]


def test_a_block_in_a_paused_generator_is_left_when_it_is_closed(two_blas_threads):
    def generate():
        with single_threaded_blas():
            yield blas_threads()

    paused = generate()
    assert next(paused) == [1]
    with single_threaded_blas():
        pass
    assert blas_threads() == [1]
    with ThreadPoolExecutor(1) as other:
        other.submit(paused.close).result(HANG)
    assert blas_threads() == [2]


# --- Ctrl-C in tasks -------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_after_a_ctrl_c_no_task_is_running_and_no_thread_is_lost():
    running = [0, 0]

    def work(index):
        running[index] += 1
        try:
            np.sort(numbers)  # outside of the interpreter, where no Ctrl-C is heard
        finally:
            running[index] -= 1

    numbers = np.random.default_rng(0).random(2000)
    tasks = [functools.partial(work, index) for index in range(2)]
    interrupted = 0
    with use_threads(2), ctrl_c_by_alarm():
        run_parallel(tasks)
        before = threading.active_count()
        for number in range(500):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + 3 * (number % 100)))
                for _ in range(100_000):  # until the alarm
                    run_parallel(tasks)
            except KeyboardInterrupt:
                interrupted += 1
            assert running[1] == 0, "a task goes on after Ctrl-C"
            running[:] = 0, 0
    assert interrupted == 500
    assert threading.active_count() <= before + 2
    with use_threads(2):
        assert run_parallel([lambda: 1, lambda: 2]) == [1, 2]


def test_an_open_block_is_not_entered_again():
    block = single_threaded_blas()
    with block:
        with pytest.raises(RuntimeError, match="this block is open"):
            block.__enter__()
        assert in_single_threaded_blas()
    assert not in_single_threaded_blas()
    with block:
        assert in_single_threaded_blas()
