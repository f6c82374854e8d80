"""Steps in C on several threads, beside whatever else goes on, and where there is no C."""

import concurrent.futures
import contextlib
import ctypes
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import warnings

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
    programs_of,
    steps_of,
    wide_steps,
)

import funcnn as fn
from funcnn.compiled import native, replay
from funcnn.compiled.proof import same_bits

pytestmark = [NATIVE, pytest.mark.usefixtures("four_lanes")]


@pytest.fixture
def four_lanes(monkeypatch):
    """As with four cores."""
    monkeypatch.setattr(replay, "_lanes", lambda: 4)


def own_layer(function):
    """What it does is seen, and so its cotangent."""

    def apply(params, x, *, rng=None, train=False, wrt="both"):
        return function(x), lambda dy: ({}, dy)

    return fn.Layer(lambda rng, shape: (shape, {}), apply)


def runs_of(compiled):
    """What its programs do in C."""
    found = [vars_of.values() for vars_of in (p.replay.__globals__ for p in programs_of(compiled))]
    return [value for values in found for value in values if isinstance(value, native.Run)]


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


# --- floating-point errors ---------------------------------------------------------------------

WRONG = {
    "over": (lambda x: x * x * x - x, 1e30),
    "invalid": (lambda x: (x - x) * 2 + x - x, np.inf),
    "divide": (lambda x: 1 / x + x * 2 - 1, 0.0),
}


def heard(step, state, batch, how, what):
    """All that a step gives and says under a setting of errstate; the setting stays as it is."""
    said = []
    with (
        warnings.catch_warnings(record=True) as caught,
        np.errstate(**{"all": "ignore", what: how}, call=lambda *args: said.append(args)),
    ):
        warnings.simplefilter("always")
        before = np.geterr(), np.geterrcall()
        try:
            given = step(state, batch)
        except FloatingPointError as error:
            given = str(error)
        assert (np.geterr(), np.geterrcall()) == before
    return given, said, [(entry.category, str(entry.message)) for entry in caught]


@pytest.mark.parametrize("how", ["raise", "warn", "call", "ignore"])
@pytest.mark.parametrize("what", WRONG)
def test_floating_point_errors_are_those_of_the_plain_step(what, how):
    """Though it is one entry alone, of the last lane."""
    function, value = WRONG[what]
    model = fn.serial(own_layer(function), fn.Dense(3))
    steps = steps_of(model, fn.mean_squared_error, fn.sgd(0.1), how="all")
    state = first_state(model, fn.sgd(0.1), (300,))
    x, y = np.full((128, 300), 0.5, np.float32), np.zeros((128, 3), np.float32)
    wrong = x.copy()
    wrong[-1, -1] = value
    with fn.threads.use_threads(4):
        state = assert_same_steps(steps, state, [(x, y)] * 3)
        assert any(run._lanes == 4 for run in runs_of(steps[1]))
        plain, compiled = (heard(step, state, (wrong, y), how, what) for step in steps)
        assert same_bits(plain[0], compiled[0])
        assert plain[1:] == compiled[1:]
        assert (steps[1].why is None) == (how == "ignore")
        told = (isinstance(plain[0], str), bool(plain[2]), bool(plain[1]))
        assert told == (how == "raise", how == "warn", how == "call")
        assert_same_steps(steps, state, [(x, y)] * 3)
    assert_replayed(steps[1], "native")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names its rounding")
def test_the_rounding_is_that_of_the_thread_whose_step_it_is():
    upward, set_rounding = 0x800, ctypes.CDLL(None).fesetround
    step, state, batches = wide_steps(30)
    state = assert_goes_on(step, state, batches[:3])
    for batch in batches:
        results = []
        for threads, rounding in ((1, upward), (4, upward), (4, 0)):
            with fn.threads.use_threads(threads):
                try:
                    set_rounding(rounding)
                    results.append(step(state, batch)[0])
                finally:
                    set_rounding(0)
        assert same_bits(results[0], results[1])
        assert not same_bits(results[0], results[2])
        assert step.why is None


# --- what C does not know, and no C ------------------------------------------------------------

OTHERS = {
    "a user's ufunc": lambda x: np.frompyfunc(lambda v: v * 2, 1, 1)(x).astype(np.float32),
    "objects": lambda x: (x.astype(object) * 2).astype(np.float32),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_has_objects_is_not_for_c(name):
    model = fn.serial(fn.Dense(4), own_layer(OTHERS[name]), fn.Dense(3))
    steps = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER, how="all")
    assert_same_steps(steps, first_state(model), classification(count=4), replayed=False)


SCRIPT = """
import sys
{before}
from funcnn.compiled import native
from library.compiled.compiled_steps import assert_replayed, assert_same_steps, wide_steps
print(native.why_not())
steps = [wide_steps(compiled=compiled)[0] for compiled in (False, True)]
assert_same_steps(steps, *wide_steps(4)[1:])
assert_replayed(steps[1], "numpy")
"""


@pytest.mark.parametrize(
    ("before", "variable", "why"),
    [
        ("", "0", "FUNCNN_NATIVE=0"),
        ("sys.modules['funcnn.compiled._native'] = None", "1", "the file in C was not compiled"),
    ],
)
def test_without_c_steps_are_replayed_by_numpy(before, variable, why):
    paths = os.pathsep.join([str(path) for path in sys.path if path])
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before)],
        env=os.environ | {"FUNCNN_NATIVE": variable, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip() == why


class Planted:
    """An interpreter that is wrong."""

    def __init__(self, run):
        self.run = run

    def __getattr__(self, name):
        return getattr(native.instructions.__globals__["interpreter"], name)


def test_a_self_check_that_fails_is_why_not(monkeypatch):
    assert native.why_not() is None
    monkeypatch.setattr(native, "interpreter", Planted(lambda program, arrays, threads: 0))
    assert "other bits" in native.why_not.__wrapped__()
    monkeypatch.setattr(native, "interpreter", Planted(None))
    assert "self-check failed" in native.why_not.__wrapped__()


def test_other_bits_in_c_leave_the_step_to_numpy(monkeypatch):
    """Planted where the self-check does not see it."""
    monkeypatch.setattr(native, "interpreter", Planted(lambda program, arrays, threads: 0))
    step, state, batches = wide_steps(4)
    assert_same_steps((wide_steps(compiled=False)[0], step), state, batches)
    assert_replayed(step, "numpy")
