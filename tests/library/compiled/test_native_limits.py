"""Floating-point errors, rounding, and what C does not know or does not do."""

import ctypes
import os
import platform
import subprocess
import sys
import warnings

import numpy as np
import pytest
from helpers import HANG
from library.compiled.compiled_steps import (
    NATIVE,
    OPTIMIZER,
    assert_replayed,
    assert_same_steps,
    classification,
    first_state,
    own_layer,
    runs_of,
    steps_of,
    wide_steps,
)

import funcnn as fn
from funcnn.compiled import native
from funcnn.compiled.proof import same_bits
from funcnn.compiled.recordings import Recordings

pytestmark = [NATIVE, pytest.mark.usefixtures("four_lanes")]

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
    state = assert_same_steps((wide_steps(compiled=False)[0], step), state, batches[:3])
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
import os, sys, types
{before}
from funcnn.compiled import native
from library.compiled.compiled_steps import assert_replayed, assert_same_steps, wide_steps
print(native.why_not())
steps = [wide_steps(compiled=compiled)[0] for compiled in (False, True)]
assert_same_steps(steps, *wide_steps(4)[1:])
assert_replayed(steps[1], "numpy")
"""


NAME = "sys.modules['funcnn.compiled._native']"
WITHOUT_C = {
    "FUNCNN_NATIVE=0": "os.environ['FUNCNN_NATIVE'] = '0'",
    "the file in C was not compiled": f"{NAME} = None",
    "the file in C was compiled for another version: install funcnn again": f"{NAME} = types",
}
"""What is done before the import, and what is said of it."""


@pytest.mark.parametrize("why", WITHOUT_C)
def test_without_c_steps_are_replayed_by_numpy(why):
    paths = os.pathsep.join([str(path) for path in sys.path if path])
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=WITHOUT_C[why])],
        env=os.environ | {"PYTHONPATH": paths},
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


def number_step(constant):
    """A step that multiplies by a number which overflows in float32, or takes the least with it."""

    def step(first, number):
        number = 1e300 if constant else number
        with np.errstate(over="raise"):
            few = np.minimum(np.exp(-first) + first, number)
        with np.errstate(over="ignore"):
            many = np.maximum(first * number, few)
        return first, np.sqrt(np.abs(many)) + few

    return step


@pytest.mark.parametrize("outside", ["ignore", "raise"])
@pytest.mark.parametrize("constant", [False, True], ids=["number", "constant"])
def test_a_number_overflows_under_the_errstate_of_its_use(constant, outside):
    """Each time, and twice if it is used twice, whatever holds outside of the step."""
    first = np.random.default_rng(0).standard_normal((30, 20)).astype(np.float32)
    step = number_step(constant)
    recordings = Recordings(step, is_step=True)
    if not constant:
        recordings.call(first, 0.5)
        assert recordings.why is None
    for _ in range(2):
        with np.errstate(all=outside):
            for call in (step, recordings.call):
                with pytest.raises(FloatingPointError, match="overflow encountered in cast"):
                    call(first, 1e300)


def test_a_constant_that_overflows_is_warned_of_at_each_step():
    layer = own_layer(lambda x: np.minimum(x + 1, 1e300))
    model = fn.serial(layer, fn.Dense(3))
    steps = steps_of(model, fn.softmax_cross_entropy, OPTIMIZER, how="all")
    (batch,) = classification(count=1)
    for _ in range(3):
        said = [heard(step, first_state(model), batch, "warn", "over")[2] for step in steps]
        assert said[0] == said[1] != []
