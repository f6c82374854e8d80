"""Plain steps and recorded ones beside each other, for the tests of this room."""

import numpy as np
import pytest
from helpers import frozen

import funcnn as fn
from funcnn.compiled import native
from funcnn.compiled.proof import same_bits

BY_NUMPY = pytest.mark.parametrize("way", ["numpy"], indirect=True)
NATIVE = pytest.mark.parametrize("way", ["native"], indirect=True)
"""Tests of one way alone."""

MODEL = fn.serial(fn.Dense(16), fn.Relu(), fn.Dense(3))
OPTIMIZER = fn.chain(fn.add_decayed_weights(1e-4), fn.sgd(0.1, momentum=0.9))

WIDE = fn.serial(fn.Dense(256), fn.Tanh(), fn.Dense(200), fn.Relu(), fn.Dense(10))
"""Of batches of 64 x 200 the rows are divided among threads."""


def wide_steps(count=10, seed=0, compiled=True, optimizer=OPTIMIZER):
    """Such a step, its first state, and so many batches."""
    step = steps_of(WIDE, fn.softmax_cross_entropy, optimizer)[compiled]
    batches = list(classification((200,), classes=10, rows=64, count=count, seed=seed))
    return step, first_state(WIDE, optimizer, (200,)), batches


def after_wide_steps(count=10, seed=0, compiled=True):
    """The state after them; a function that another process can import."""
    step, state, batches = wide_steps(count, seed, compiled)
    for batch in batches:
        state, _ = step(state, batch)
    return state


def first_state(model=MODEL, optimizer=OPTIMIZER, shape=(6,), rng=None):
    """A state before the first step."""
    _, params = model.init(fn.random.key(0), shape)
    return fn.TrainState.create(params, optimizer, rng)


def steps_of(model, loss, optimizer, metrics=None, how=True):
    """The plain step and the compiled one."""
    plain = fn.make_train_step(model.apply, loss, optimizer, metrics)
    return plain, fn.make_train_step(model.apply, loss, optimizer, metrics, compile=how)


def mlp_steps(**keywords):
    """Those of `MODEL`."""
    return steps_of(MODEL, fn.softmax_cross_entropy, OPTIMIZER, **keywords)


def assert_same_steps(steps, state, batches, replayed=True):
    """Step by step the same bits, of states that nothing may write into; the last state."""
    plain, compiled = steps
    other = state
    for number, batch in enumerate(batches):
        batch = read_only(batch)
        state, metrics = plain(frozen(state), batch)
        other, other_metrics = compiled(other, batch)
        assert same_bits(state, other), f"step {number}: another state"
        assert same_bits(metrics, other_metrics), f"step {number}: other metrics"
        assert list(metrics) == list(other_metrics)
        assert not replayed or compiled.why is None, f"step {number}: {compiled.why}"
    return other


def programs_of(compiled):
    """The programs that a compiled function replays."""
    kinds = compiled._recordings._kinds.values()
    return [program for kind in kinds for program in kind.programs]


def assert_replayed(compiled, way):
    """All of its programs are replayed this way, and there are some."""
    ways = ["native" if program.is_native else "numpy" for program in programs_of(compiled)]
    assert ways == [way] * max(1, len(ways))


def runs_of(compiled):
    """What its programs do in C."""
    found = [vars_of.values() for vars_of in (p.replay.__globals__ for p in programs_of(compiled))]
    return [value for values in found for value in values if isinstance(value, native.Run)]


def own_layer(function):
    """What it does is seen, and so its cotangent."""

    def apply(params, x, *, rng=None, train=False, wrt="both"):
        return function(x), lambda dy: ({}, dy)

    return fn.Layer(lambda rng, shape: (shape, {}), apply)


def read_only(batch):
    """The same memory, into which nobody may write."""

    def view(array):
        own = array.view()
        own.setflags(write=False)
        return own

    return fn.tree.map(view, batch)


def copied(state):
    """A copy of the arrays of a state."""
    return fn.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, state)


def classification(shape=(6,), classes=3, rows=8, count=20, seed=0):
    """Batches of inputs and labels."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        yield generator.random((rows, *shape), np.float32), generator.integers(classes, size=rows)
