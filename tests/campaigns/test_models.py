"""The campaign of drawn models finds faults that are planted, and draws all layers."""

import json

import numpy as np
import pytest
from campaigns import models
from campaigns.campaign import tries_of
from campaigns.drawn_models import drawn_model, drawn_shape
from cases import STORED_LAYERS

import funcnn as fn
from funcnn.compiled import proof


@pytest.fixture(autouse=True)
def torch():
    pytest.importorskip("torch", reason="torch is the oracle: pip install funcnn[torch]")


def broken(folder, numbers):
    return [why for _, _, why in tries_of(models.MODELS, folder, 0, numbers) if why is not None]


def only(monkeypatch, layer, shape=(3,)):
    """This one is drawn each time."""
    monkeypatch.setattr(models, "drawn_shape", lambda rng: shape)
    monkeypatch.setattr(models, "drawn_model", lambda rng, shape: layer)


def test_what_is_drawn_holds(tmp_path):
    assert broken(tmp_path, range(2)) == []


def test_all_layers_are_drawn():
    text = ""
    for number in range(600):
        rng = np.random.default_rng([0, number])
        text += json.dumps(drawn_model(rng, drawn_shape(rng)).spec)
    names = {*STORED_LAYERS, "serial", "parallel", "residual"}
    assert {name for name in names if f'"layer": "{name}"' not in text} == set()
    assert "null" in text  # some have a layer of a user's own, which no spec describes


def with_vjp(layer, change):
    """The layer, whose cotangents by x are changed."""

    def apply(params, x, *, rng=None, train=False, wrt="both"):
        y, vjp = layer.apply(params, x, rng=rng, train=train)

        def changed(dy):
            dparams, dx = vjp(dy)
            return dparams, change(dx)

        return y, changed

    return fn.Layer(layer.init, apply)


def test_a_wrong_sign_is_found():
    wrong = fn.serial(fn.Dense(2), fn.residual(with_vjp(fn.Tanh(), np.negative)))
    with pytest.raises(fn.CheckFailure, match="relative error"):
        models.check_promises(np.random.default_rng(0), wrong, (3,))


def test_an_argument_that_is_changed_is_found():
    def apply(params, x, *, rng=None, train=False, wrt="both"):
        x *= 2
        return x, lambda dy: ({}, 2 * dy)

    changing = fn.serial(fn.Layer(lambda rng, shape: (shape, {}), apply), fn.Dense(2))
    with pytest.raises(fn.CheckFailure, match="it changes one of its arguments"):
        models.check_promises(np.random.default_rng(0), changing, (3,))


def test_other_bits_of_a_replay_are_found(tmp_path, monkeypatch):
    """Planted: a replay whose losses are off, and a proof that does not look."""
    compile_tape = proof.compile_tape

    def wrong(tape, first, native):
        program = compile_tape(tape, first, native=native)

        def replay(leaves, block):
            (state, (measured, outputs)), *rest = program.replay(leaves, block)
            return (state, ({**measured, "loss": measured["loss"] + 1e-6}, outputs)), *rest

        return program._replace(replay=replay)

    monkeypatch.setattr(proof, "compile_tape", wrong)
    monkeypatch.setattr(proof, "_gives", lambda program, pairs: True)
    only(monkeypatch, fn.Tanh())
    assert "other metrics" in broken(tmp_path, [0])[0]
