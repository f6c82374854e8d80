"""Every layer, loss, optimizer and schedule in a recorded step: the bits of the plain one."""

import functools
import inspect

import numpy as np
import pytest
from cases import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, labels, probabilities
from helpers import normal_batch
from library.compiled.compiled_steps import (
    assert_replayed,
    assert_same_steps,
    classification,
    steps_of,
)

import funcnn as fn
from funcnn import losses, metrics, schedules, tree

LAYER_CASES = [
    pytest.param(layer, shape, id=f"{name}-{i}")
    for name, cases in LAYERS.items()
    for i, (layer, shape) in enumerate(cases)
]


def slopes(shape):
    """Weights before a layer, so that it is asked for both cotangents."""
    several = any(isinstance(entry, tuple) for entry in shape)
    return fn.parallel(*map(slopes, shape)) if several else fn.PRelu(init=0.5)


def joined(shape):
    """One array of the outputs, with weights after the layer."""
    if not any(isinstance(entry, tuple) for entry in shape):
        return [fn.PRelu()]
    flat = fn.parallel(*(fn.serial(*joined(part), fn.Flatten()) for part in shape))
    return [flat, fn.FanInConcat()]


@pytest.mark.parametrize(("layer", "shape"), LAYER_CASES)
def test_layer(layer, shape, way):
    output_shape, _ = layer.init(fn.random.key(0), shape)
    model = fn.serial(slopes(shape), layer, *joined(output_shape))
    output_shape, params = model.init(fn.random.key(0), shape)
    optimizer = fn.sgd(0.001)
    state = fn.TrainState.create(params, optimizer, fn.random.key(1))
    keys = fn.random.split(fn.random.key(2), 20)
    batches = [(normal_batch(key, shape, 4), normal_batch(key, output_shape, 4)) for key in keys]
    steps = steps_of(model, fn.mean_squared_error, optimizer, how="all")
    assert_same_steps(steps, state, batches)
    assert_replayed(steps[1], way)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name, way):
    model, optimizer = fn.serial(fn.Dense(4), fn.Tanh(), fn.Dense(1)), OPTIMIZERS[name]
    if name.startswith(("partition", "masked", "freeze", "decayed")):
        optimizer = fn.chain(optimizer, fn.scale(0.01))
    _, params = model.init(fn.random.key(0), (3,))
    generator = np.random.default_rng(0)
    batches = [(generator.random((5, 3), np.float32), generator.random((5, 1), np.float32))] * 20
    state = fn.TrainState.create(params, optimizer)
    steps = steps_of(model, fn.half_squared_error, optimizer, how="all")
    with np.errstate(all="ignore"):
        assert_same_steps(steps, state, batches)
    assert_replayed(steps[1], way)


def test_the_table_of_schedules_is_whole():
    made = inspect.getmembers(schedules, inspect.isfunction)
    names = {name for name, make in made if make.__module__ == schedules.__name__}
    assert names - {"as_schedule"} == set(SCHEDULES)


@pytest.mark.parametrize("make", [fn.sgd, fn.adam, fn.classical_momentum, fn.rmsprop])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name, make):
    model, optimizer = fn.serial(fn.Dense(4), fn.Relu(), fn.Dense(3)), make(SCHEDULES[name])
    _, params = model.init(fn.random.key(0), (6,))
    state = fn.TrainState.create(params, optimizer)
    steps = steps_of(model, fn.softmax_cross_entropy, optimizer)
    assert_same_steps(steps, state, classification())


def test_the_table_of_losses_is_whole():
    public = {name for name in vars(losses) if name in fn.__all__}
    own = {name for name in public if getattr(losses, name).__module__ == losses.__name__}
    assert own == set(LOSSES) | {"weighted"}


def loss_steps(loss, targets, model=None, metrics=None):
    """Twenty steps with a loss, of batches whose targets differ."""
    model = model or fn.serial(fn.Dense(4), fn.Tanh(), fn.Dense(3), fn.Sigmoid())
    optimizer = fn.sgd(0.1, momentum=0.9)
    _, params = model.init(fn.random.key(0), (6,))
    state = fn.TrainState.create(params, optimizer)
    batches = []
    for x, _ in classification():
        batches.append((x, targets))
        targets = tree.map(lambda t: np.roll(t, 1, 0), targets)
    assert_same_steps(steps_of(model, loss, optimizer, metrics), state, batches)


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    loss_steps(getattr(fn, name), LOSSES[name](8))


@pytest.mark.parametrize("name", LOSSES)
def test_weighted_loss(name):
    weights = np.array([1, 2, 0, 0.5, 1, 3, 1, 1], np.float32)
    loss_steps(fn.weighted(getattr(fn, name)), (LOSSES[name](8), weights))


@pytest.mark.parametrize("targets", [labels, probabilities])
def test_label_smoothing(targets):
    smoothed = functools.partial(fn.softmax_cross_entropy, label_smoothing=0.1)
    loss_steps(smoothed, targets(8))


def test_integers_as_targets():
    loss_steps(fn.mean_squared_error, (probabilities(8) * 9).astype(np.int64))


METRICS = {
    name: getattr(metrics, name)
    for name in fn.__all__
    if inspect.isfunction(getattr(metrics, name, None))
    and getattr(metrics, name).__module__ == metrics.__name__
}


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"predicted_classes"}))
def test_metric(name):
    model = fn.serial(fn.Dense(8), fn.Relu(), fn.Dense(6))
    metric = METRICS[name]
    loss_steps(fn.softmax_cross_entropy, labels(8), model, {"a": fn.accuracy, name: metric})
