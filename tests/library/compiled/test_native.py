"""Steps in C on several threads, beside whatever else goes on, and where there is no C."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers import HANG
from library.compiled.children import is_true_in_a_child
from library.compiled.compiled_steps import (
    NATIVE,
    OPTIMIZER,
    after_wide_steps,
    assert_replayed,
    assert_same_steps,
    classification,
    first_state,
    own_layer,
    programs_of,
    runs_of,
    steps_of,
    wide_steps,
)

import funcnn as fn
from funcnn.compiled.proof import same_bits

pytestmark = [NATIVE, pytest.mark.usefixtures("four_lanes")]


def assert_goes_on(step, state, batches):
    """From a state each step has the bits of the plain one; the last state."""
    plain = wide_steps(compiled=False)[0]
    state = assert_same_steps((plain, step), state, batches)
    assert_replayed(step, "native")
    return state


# --- threads -----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_any_number_of_threads(threads):
    step, state, batches = wide_steps()
    with fn.threads.use_threads(threads):
        assert_goes_on(step, state, batches)
    assert any(run._lanes == 4 for run in runs_of(step))


def test_models_beside_each_other():
    """One has the helpers at a time, and the other does all of its lanes itself."""
    expected = [after_wide_steps(40, seed, compiled=False) for seed in range(3)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        given = list(pool.map(lambda seed: after_wide_steps(40, seed), range(3), timeout=HANG))
    assert same_bits(expected, given)


def test_helpers_that_fell_asleep_are_waked():
    step, state, batches = wide_steps()
    with fn.threads.use_threads(4):
        for number, batch in enumerate(batches):
            time.sleep(number % 4 * 2e-3)
            state = assert_goes_on(step, state, [batch])


def test_beside_busy_neighbours():
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        step, state, batches = wide_steps(30)
        with fn.threads.use_threads(4):
            assert_goes_on(step, state, batches)
        assert [neighbour.poll() for neighbour in neighbours] == [None] * 4
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_in_the_middle_of_another_threads_steps():
    """A child has no helpers, and gets its own."""
    step, state, batches = wide_steps(3)
    expected, ended, wrong = after_wide_steps(3, compiled=False), threading.Event(), []

    def trained(step):
        after = state
        for batch in batches:
            after, _ = step(after, batch)
        return same_bits(expected, after)

    def train():
        while not ended.is_set():
            if not trained(step):
                wrong.append(1)

    other = wide_steps()[0]
    assert trained(other)
    thread = threading.Thread(target=train)
    thread.start()
    try:
        for number in range(10):
            time.sleep(number * 3e-4)
            assert is_true_in_a_child(lambda: trained(other) and trained(other))
            assert is_true_in_a_child(lambda: trained(step) and step.why is None)
            assert trained(other)
    finally:
        ended.set()
        thread.join(HANG)
    assert not wrong
    assert_replayed(other, "native")


def test_a_spawned_process():
    expected = after_wide_steps(5)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        given = pool.submit(after_wide_steps, 5).result(HANG)
    assert same_bits(expected, given)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_ctrl_c_at_any_moment():
    step, state, batches = wide_steps(60)
    plain = wide_steps(compiled=False)[0]
    state = assert_goes_on(step, state, batches[:3])
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    interrupted = 0
    try:
        for number, batch in enumerate(batches):
            expected = plain(state, batch)
            try:
                signal.setitimer(signal.ITIMER_REAL, 3e-5 * (1 + number))
                for _ in range(100_000):
                    step(state, batch)
            except KeyboardInterrupt:
                interrupted += 1
            given = step(state, batch)
            assert same_bits(expected, given)
            state = given[0]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted == 60
    assert_replayed(step, "native")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_between_two_runs(error):
    """Planted in what Python does between them."""
    layer = own_layer(lambda x: np.add.accumulate(x * 2 + 1, axis=1) * 2 - x)
    model = fn.serial(fn.Dense(8), layer, fn.Dense(3))
    steps = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER, how="all")
    state = assert_same_steps(steps, first_state(model), classification(count=3))
    (program,) = programs_of(steps[1])
    assert len(runs_of(steps[1])) > 1
    names = program.replay.__globals__
    (name,) = (name for name in names if name.startswith("accumulate"))
    accumulate, raised = names[name], []

    def fail(*args, **keywords):
        raised.append(1)
        names[name] = accumulate
        raise error

    names[name] = fail
    batch = next(classification(seed=5))
    with contextlib.suppress(KeyboardInterrupt):
        given = steps[1](state, batch)
        assert error is RuntimeError  # which is the plain step's to tell: it has none
        assert same_bits(given, steps[0](state, batch))
    assert raised == [1]
    assert_same_steps(steps, state, classification(count=3))
