"""Layers, models, optimizers and states are pickled by how they were made; NumPy's numbers too."""

import copy
import functools
import inspect
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from cases import STORED_LAYERS
from helpers import assert_same_bits

import funcnn as fn
from funcnn import initializers, schedules

KEY = fn.random.key(0)


def again(value):
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("name", STORED_LAYERS)
def test_every_layer_can_be_pickled(name):
    for layer, input_shape in STORED_LAYERS[name]:
        for other in (again(layer), copy.deepcopy(layer), copy.copy(layer), again(again(layer))):
            assert other.spec == layer.spec
            shape, params = layer.init(KEY, input_shape)
            other_shape, other_params = other.init(KEY, input_shape)
            assert shape == other_shape
            assert fn.tree.all_close(params, other_params, 0, 0)


def test_a_model_from_a_pickle_gives_the_same_bits():
    model = fn.serial(
        fn.Conv(2, 3, weight_init=initializers.he_normal()),
        fn.BatchNorm(),
        fn.residual(fn.elementwise(fn.activations.gelu)),  # without a spec
        fn.Flatten(),
        fn.shape_dependent(halved),
    )
    _, params = model.init(KEY, (1, 5, 5))
    x = fn.random.normal(KEY, (4, 1, 5, 5))
    assert model.spec is None
    other, other_params = again((model, params))
    assert_same_bits(other.apply(other_params, x)[0], model.apply(params, x)[0])


def halved(shape):
    return fn.Dense(shape[0] // 2)


def own_init(rng, input_shape):
    return input_shape, {}


def own_apply(params, x, *, rng=None, train=False):
    return 2 * x, lambda dy: ({}, 2 * dy)


def own_weights(rng, shape, dtype):
    return np.full(shape, 0.5, dtype)


def test_layers_of_ones_own_are_pickled_by_their_names():
    model = fn.serial(fn.Dense(3, weight_init=own_weights), fn.Layer(own_init, own_apply))
    _, params = model.init(KEY, (2,))
    y, _ = again(model).apply(params, np.ones((1, 2), np.float32))
    assert y.tolist() == [[2, 2, 2]]


@pytest.mark.parametrize("part", ["init", "apply"])
def test_a_part_that_was_replaced_is_not_lost(part):
    changed = fn.Relu()._replace(**{part: {"init": own_init, "apply": own_apply}[part]})
    with pytest.raises(TypeError, match=r"^cannot pickle .* define them at the top"):
        again(changed)
    assert copy.deepcopy(changed) is changed


def test_functions_made_inside_others_are_named():
    def init(rng, input_shape):
        return input_shape, {}

    message = r"^cannot pickle .*init: the functions of a layer or optimizer of your own are .* top"
    for made in (fn.Layer(init, own_apply), fn.Optimizer(init, own_apply)):
        with pytest.raises(TypeError, match=message):
            pickle.dumps(made)


OPTIMIZERS = {
    "sgd": fn.sgd(
        schedules.join([schedules.linear_warmup(0, 0.1, 2), schedules.constant(0.1)], [2])
    ),
    "nesterov": fn.nesterov(0.1),
    "classical_momentum": fn.classical_momentum(schedules.cosine_decay(0.1, 5)),
    "adam": fn.adam(),
    "adamw": fn.adamw(schedules.piecewise_constant(0.1, {2: 0.5})),
    "adamax": fn.adamax(),
    "adagrad": fn.adagrad(schedules.one_cycle(0.1, 5)),
    "rmsprop": fn.rmsprop(momentum=0.5),
    "sm3": fn.sm3(0.1),
    "chain": fn.chain(
        fn.clip_by_global_norm(1.0),
        fn.clip_by_value(0.5),
        fn.add_decayed_weights(0.1, mask={"a": True, "b": False}),
        fn.trace(0.5),
        fn.scale(2.0),
        fn.scale_by_schedule(schedules.polynomial_decay(0.1, 5)),
        fn.freeze({"a": False, "b": True}),
        fn.average_params(0.9),
    ),
    "flatten": fn.flatten(fn.masked(fn.adam(), True)),
    "partition": fn.partition({"x": fn.adam(), "y": fn.freeze(True)}, {"a": "x", "b": "y"}),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_and_their_states_go_on_from_a_pickle(optimizer):
    params = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(2)}
    grads = fn.tree.map(lambda w: np.cos(w), params)
    other, state, other_state = again(optimizer), optimizer.init(params), optimizer.init(params)
    for _ in range(4):
        updates, state = optimizer.update(grads, state, params)
        ours, other_state = other.update(grads, again(other_state), params)
        assert fn.tree.all_close(updates, ours, 0, 0)
        assert fn.tree.structure(state) == fn.tree.structure(other_state)


def test_a_train_state_can_be_pickled():
    model, optimizer = fn.Dense(2), fn.adam()
    state = fn.TrainState.create(model.init(KEY, (3,))[1], optimizer, KEY)
    other = again(state)
    assert (other.rng, fn.tree.structure(other)) == (KEY, fn.tree.structure(state))
    assert copy.deepcopy(state).rng == KEY


# --- functions that constructors make, and what a file holds ----------------------------------


def own_loss(outputs, targets, weights=None):
    return fn.huber(outputs, targets, weights=weights)


FUNCTIONS = {
    "schedule": (schedules.cosine_decay(0.1, 8, alpha=0.5), (3,)),
    "joined": (schedules.join([schedules.constant(0.1), schedules.constant(0.2)], [2]), (2,)),
    "initializer": (initializers.truncated_normal(0.5), (KEY, (2, 3))),
    "scaled": (initializers.he_uniform(), (KEY, (2, 3))),
    "augmentation": (
        fn.augmentations.chain(fn.augmentations.flip(1.0), fn.augmentations.mixup(0.5, 3)),
        (KEY, (np.ones((2, 1, 3, 3)), np.array([0, 2]))),
    ),
    "weighted": (fn.weighted(fn.huber), (np.ones(2), (np.zeros(2), np.array([1, 3])))),
    "of a partial": (
        fn.weighted(functools.partial(fn.huber, delta=2.0)),
        (np.ones(2), (np.zeros(2), np.array([1, 3]))),
    ),
    "of one's own": (fn.weighted(own_loss), (np.ones(2), (np.zeros(2), np.array([1, 3])))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_constructors_make_can_be_pickled(name):
    function, arguments = FUNCTIONS[name]
    other, copied = again(function), copy.deepcopy(function)
    for ours in (other(*arguments), copied(*arguments)):
        value, right = ours, function(*arguments)
        if isinstance(right, tuple):
            value, right = value[0], right[0]
        assert_same_bits(value, right)
    assert inspect.signature(other) == inspect.signature(function)


def test_functions_show_how_they_were_made():
    assert (
        repr(schedules.cosine_decay(0.1, 8, alpha=0.5))
        == "fn.schedules.cosine_decay(0.1, 8, alpha=0.5)"
    )
    assert repr(again(initializers.normal(np.array(0.5)))) == "fn.initializers.normal(stddev=0.5)"


def test_what_a_file_holds_can_be_pickled(tmp_path):
    model, optimizer = fn.serial(fn.Dense(2), fn.BatchNorm()), fn.adam()
    state = fn.TrainState.create(model.init(KEY, (3,))[1], optimizer, KEY)
    fn.save(tmp_path / "state", state, model=model)  # with the NamedTuples that it has in the file
    snapshot = fn.load(tmp_path / "state")
    other = again(snapshot)
    assert type(other) is fn.Snapshot
    assert fn.tree.structure(other.params) == fn.tree.structure(snapshot.params)
    assert other.params.opt_state[0].step == 0
    assert other.params.rng == KEY
    assert copy.deepcopy(snapshot).model.spec == model.spec


SPAWNED = """
import multiprocessing
import funcnn as fn

def work(given):
    model, optimizer, loss, rate, state = given
    step = fn.make_train_step(model.apply, loss, optimizer)
    x = fn.random.normal(fn.random.key(1), (4, 3))
    return step(state, (x, (x[:, :2], x[:, 2] ** 2)))[1]["loss"], rate(2)

if __name__ == "__main__":
    model = fn.serial(fn.Dense(4, weight_init=fn.initializers.he_normal()), fn.Relu(), fn.Dense(2))
    rate = fn.schedules.linear_warmup(0.0, 0.5, 4)
    optimizer, loss = fn.adam(rate), fn.weighted(fn.mean_squared_error)
    state = fn.TrainState.create(model.init(fn.random.key(0), (3,))[1], optimizer)
    given = (model, optimizer, loss, rate, state)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (there,) = pool.map(work, [given])
    assert there == work(given), there
    print(there[1])
"""


def test_a_spawned_process_is_given_them(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SPAWNED, encoding="utf-8")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("0.25\n", 0), ran.stderr


# --- numbers of NumPy ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "right"),
    [
        (fn.Reshape(np.array([2, 2])), fn.Reshape((2, 2))),
        (fn.Dropout(np.array(0.5)), fn.Dropout(0.5)),
        (fn.Dropout(np.float64(0.5), np.bool(True)), fn.Dropout(0.5, True)),
        (fn.Dense(np.array(3)), fn.Dense(3)),
        (
            fn.Conv(np.int64(2), np.array([3, 2]), (np.array(1), np.int8(2))),
            fn.Conv(2, (3, 2), (1, 2)),
        ),
        (fn.BatchNorm(eps=np.array(0.25)), fn.BatchNorm(eps=0.25)),
        (fn.FanOut(np.array(2)), fn.FanOut(2)),
        (
            fn.Dense(2, weight_init=initializers.normal(np.array(0.5))),
            fn.Dense(2, weight_init=initializers.normal(0.5)),
        ),
    ],
)
def test_numbers_of_numpy_are_numbers_in_a_spec(layer, right):
    assert fn.serial(layer).spec == fn.serial(right).spec
    assert json.loads(json.dumps(layer.spec)) == right.spec


def test_numbers_of_numpy_are_numbers_for_optimizers_and_schedules():
    params = {"w": np.ones(2, np.float32)}
    optimizer = fn.sgd(np.array(0.5), np.array(0.5))
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    assert_same_bits(updates["w"], np.float32([-0.5, -0.5]))
    rate = schedules.linear_warmup(np.array(0.0), np.float32(1), np.array(4))(2)
    assert (rate, type(rate)) == (0.5, float)


def test_what_is_no_rate_is_refused_in_one_line():
    for rate in (np.array([0.5, 0.5]), "half", None, 1.5):
        with pytest.raises(ValueError, match="rate is the fraction dropped, in"):
            fn.Dropout(rate)
