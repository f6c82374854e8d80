"""A recorded step in a forked child, whatever the threads of its parent were doing."""

import contextlib
import functools
import os
import threading
import time

import pytest
from helpers import HANG
from library.compiled.children import end_child, ended_well, fork, is_true_in_a_child
from library.compiled.compiled_steps import MODEL, classification, first_state, mlp_steps

import funcnn as fn
from funcnn import _recording
from funcnn.compiled.proof import same_bits

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def trained(step, state):
    for batch in classification(count=5, seed=3):
        state, _ = step(state, batch)
    return state


def goes_on(steps, state):
    """Whether steps have the right bits, and are replayed."""
    plain, compiled = steps
    return same_bits(trained(plain, state), trained(compiled, state)) and compiled.why is None


def steps_that_act(acts):
    """Steps of which the compiled ones take an act from the list, and do it; a first state.

    They do so when they ask for their learning rate.
    """

    def schedule(_):
        if acts:
            acts.pop()()
        return 0.1

    plain, compiled = (fn.sgd(rate, momentum=0.9) for rate in (0.1, schedule))
    make = functools.partial(fn.make_train_step, MODEL.apply, fn.softmax_cross_entropy)
    return (make(plain), make(compiled, compile=True)), first_state(optimizer=compiled)


def after(before, act):
    """The acts of which this one has so many before it."""
    return [act, *[lambda: None] * before]


@contextlib.contextmanager
def in_another_thread(work):
    """Inside the `with` block a thread is in `work(pause)`, where that called `pause`."""
    paused, end, errors = threading.Event(), threading.Event(), []

    def pause():
        paused.set()
        assert end.wait(HANG)

    def run():
        try:
            work(pause)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert paused.wait(HANG)
        yield
    finally:
        end.set()
        thread.join(HANG)
    assert not errors
    assert not thread.is_alive()


def test_a_forked_child_goes_on():
    steps, state = mlp_steps(), first_state()
    assert goes_on(steps, state)
    assert is_true_in_a_child(lambda: goes_on(steps, state))
    assert goes_on(steps, state)


# The first step asks when it is run, twice for tapes and three times in the proof; others once.
BEFORE = pytest.mark.parametrize("before", range(8))
OF_TAPES = {1, 2}


@BEFORE
def test_while_another_thread_is_in_a_step(before):
    """That step never ends in the child, whose own are replayed all the same."""
    acts = []
    steps, state = steps_that_act(acts)
    expected = trained(steps[0], state)

    def work(pause):
        acts[:] = after(before, pause)
        assert same_bits(expected, trained(steps[1], state))

    with in_another_thread(work):
        active = _recording.active
        assert (active > 0) == (before in OF_TAPES)
        assert is_true_in_a_child(lambda: goes_on(steps, state) and not _recording.active)
        assert is_true_in_a_child(lambda: goes_on(mlp_steps(), first_state()))
        assert _recording.active == active
        assert same_bits(expected, trained(steps[1], state))
        assert steps[1].why == "another call is under way"
    assert goes_on(steps, state)


@BEFORE
def test_in_the_middle_of_a_step(before):
    """The child ends it as the parent does, and both take others."""
    acts, children, active = [], [], []

    def act():
        active.append(_recording.active)
        children.append(fork())

    steps, state = steps_that_act(acts)
    expected = trained(steps[0], state)
    acts[:] = after(before, act)
    well = False
    try:
        well = same_bits(expected, trained(steps[1], state)) and goes_on(steps, state)
    finally:
        if children == [0]:
            end_child(lambda: well and not _recording.active)
    assert well
    assert ended_well(*children)
    assert (active[0] > 0) == (before in OF_TAPES)


def test_while_another_thread_begins_to_record():
    def work(pause):
        with _recording._lock:
            pause()

    with in_another_thread(work):
        assert is_true_in_a_child(lambda: goes_on(mlp_steps(), first_state()))
    assert goes_on(mlp_steps(), first_state())


def test_at_any_moment_of_another_threads_replays():
    steps, state, ended = mlp_steps(), first_state(), threading.Event()
    expected, wrong = trained(steps[0], state), []

    def replay():
        while not ended.is_set():
            if not same_bits(expected, trained(steps[1], state)):
                wrong.append(1)

    thread = threading.Thread(target=replay)
    thread.start()
    try:
        for number in range(20):
            time.sleep(number * 1e-4)
            assert is_true_in_a_child(lambda: goes_on(steps, state))
    finally:
        ended.set()
        thread.join(HANG)
    assert not wrong
    assert goes_on(steps, state)
