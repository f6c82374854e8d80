"""What a Python prompt shows: layers as their constructors' calls, arrays by their shapes."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from cases import OPTIMIZERS, STORED_LAYERS

import funcnn as fn

KEY = fn.random.key(0)
STORED = [layer for cases in STORED_LAYERS.values() for layer, _ in cases]


def scale(params, x, *, rng=None, train=False):
    return 2 * x, lambda dy: ({}, 2 * dy)


def Double():
    def apply(params, x, *, rng=None, train=False):
        return 2 * x, lambda dy: ({}, 2 * dy)

    return fn.Layer(lambda rng, shape: (shape, {}), apply)


class OwnState(NamedTuple):
    best: dict


WRITTEN = [
    (fn.Dense(128), "fn.Dense(128)"),
    (fn.Dense(np.int64(128), bias=True), "fn.Dense(128)"),
    (fn.Conv(16, 3, padding="same"), 'fn.Conv(16, 3, padding="same")'),
    (fn.Conv(16, (3, 1), 2, 0), "fn.Conv(16, (3, 1), stride=2)"),
    (fn.serial(fn.Flatten(), fn.Dense(10)), "fn.serial(fn.Flatten(), fn.Dense(10))"),
    (fn.serial(), "fn.serial()"),
    (
        fn.residual(fn.Dense(4), fn.Identity()),
        "fn.residual(fn.Dense(4), shortcut=fn.Identity())",
    ),
    (
        fn.Dense(2, weight_init=fn.initializers.normal(0.5)),
        "fn.Dense(2, weight_init=fn.initializers.normal(stddev=0.5))",
    ),
    (fn.elementwise(fn.activations.tanh), "fn.elementwise(fn.activations.tanh)"),
    (fn.elementwise(np.tanh), f"fn.elementwise({np.tanh!r})"),
    (fn.shape_dependent(lambda shape: fn.Dense(3)), "fn.shape_dependent(<lambda>)"),
    (fn.Layer(None, scale), "<layer>"),
    (fn.serial(Double(), fn.Relu()), "fn.serial(<layer Double>, fn.Relu())"),
    (fn.Dense(3)._replace(apply=scale), "<layer Dense>"),
    (fn.adam(), "fn.adam()"),
    (fn.sgd(0.1, momentum=0.9), "fn.sgd(0.1, momentum=0.9)"),
    (
        fn.chain(fn.clip_by_value(1.0), fn.sgd(fn.schedules.cosine_decay(0.1, 8))),
        "fn.chain(fn.clip_by_value(1.0), fn.sgd(fn.schedules.cosine_decay(0.1, 8)))",
    ),
    (
        fn.augmentations.chain(fn.augmentations.flip(), fn.augmentations.affine(degrees=5)),
        "fn.augmentations.chain(fn.augmentations.flip(), fn.augmentations.affine(degrees=5))",
    ),
    (fn.freeze({"weight": np.ones((2, 2), bool)}), 'fn.freeze({"weight": bool(2, 2)})'),
    (fn.Optimizer(math.sqrt, scale), "<optimizer>"),
    (fn.weighted(fn.softmax_cross_entropy), "fn.weighted(fn.softmax_cross_entropy)"),
]


@pytest.mark.parametrize(("value", "expected"), WRITTEN, ids=[text for _, text in WRITTEN])
def test_what_a_constructor_made_is_written_as_its_call(value, expected):
    assert repr(value) == expected


@pytest.mark.parametrize("layer", STORED, ids=repr)
def test_what_is_written_of_a_layer_makes_it_again(layer):
    again = eval(repr(layer), {"fn": fn})
    assert again.spec == layer.spec
    loaded = fn.from_spec(layer.spec)
    assert eval(repr(loaded), {"fn": fn}).spec == layer.spec


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_written_of_an_optimizer_makes_it_again(name):
    text = repr(OPTIMIZERS[name])
    if "lambda" not in text and "LARGE" not in text and "SMALL" not in text:
        assert repr(eval(text, {"fn": fn})) == text


def test_a_layer_is_still_the_tuple_that_it_was():
    layer = fn.Dense(3)
    init, apply, spec = layer
    assert (init, apply, spec) == layer
    assert layer != fn.Dense(3)
    assert layer._asdict() == {"init": init, "apply": apply, "spec": spec}


# --- as a page -------------------------------------------------------------------------------


def test_a_model_is_printed_as_a_tree_of_one_layer_a_line():
    block = fn.residual(fn.serial(fn.Dense(8), fn.Tanh()), Double())
    model = fn.serial(fn.Flatten(), block, *[fn.Relu()] * 8, fn.Dense(10))
    assert str(model).splitlines() == [
        "fn.serial",
        "  0   fn.Flatten()",
        "  1   fn.residual",
        "        0  fn.serial",
        "             0  fn.Dense(8)",
        "             1  fn.Tanh()",
        "        1  <layer Double>",
        *[f"  {i}   fn.Relu()" for i in range(2, 10)],
        "  10  fn.Dense(10)",
    ]
    assert f"{fn.Dense(3)}" == "fn.Dense(3)"


# --- arrays ----------------------------------------------------------------------------------


def test_states_show_shapes_in_the_place_of_arrays():
    optimizer = fn.chain(fn.clip_by_value(1.0), fn.adam(0.5))
    _, params = fn.serial(fn.Flatten(), fn.Dense(2)).init(KEY, (1, 3))
    state = fn.TrainState.create(params, optimizer, KEY)
    tree = '[{}, {"bias": float32(2,), "weight": float32(3, 2)}]'
    assert repr(state) == (
        'TrainState(params=[{}, {"weight": float32(3, 2), "bias": float32(2,)}], '
        f"opt_state=(Stateless(), (AdamState(step=0, mean={tree}, square={tree}), "
        f"LearningRateState(step=0, learning_rate=0.5))), rng={KEY!r})"
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_state_of_an_optimizer_shows_an_array(name):
    params = {"weight": np.full((2, 3), 7.0), "bias": np.full(3, 7.0)}
    state = OPTIMIZERS[name].init(params)
    _, state = OPTIMIZERS[name].update(params, state, params)
    assert "array" not in repr(state)


def test_states_of_ones_own_inside_a_state_show_shapes_too():
    own = fn.Optimizer(lambda params: OwnState(params), lambda g, state, params: (g, state))
    state = fn.TrainState.create({"w": np.ones(2)}, own)
    assert "opt_state=OwnState(best={\"w\": float64(2,)})" in repr(state)  # fmt: skip


def test_a_snapshot_shows_shapes(tmp_path):
    model = fn.serial(fn.Dense(2))
    fn.save(tmp_path / "s.npz", model.init(KEY, (3,))[1], model=model, input_shape=(3,))
    text = repr(fn.load(tmp_path / "s.npz"))
    assert text.startswith('Snapshot(params=[{"bias": float32(2,), "weight": float32(3, 2)}], ')
    assert "model=fn.serial(fn.Dense(2)), input_shape=(3,)" in text


def test_batches_say_how_many_they_are_of_which_shapes():
    batches = fn.batches((np.zeros((5, 3), np.float32), np.zeros(5, np.uint8)), 2)
    assert repr(batches) == "<3 batches of 2 from (float32(5, 3), uint8(5,))>"


def test_a_summary_is_shown_as_its_table():
    summary = fn.summary(fn.Dense(2), (3,))
    assert repr(summary) == str(summary)
    assert repr(summary).splitlines()[0] == "path  layer  output shape  parameters  bytes"
