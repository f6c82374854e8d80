"""Drawn models, and those that are cut into shards: recorded equals plain."""

import numpy as np
import pytest
from campaigns.drawn_tasks import drawn_task
from helpers import memory_orders
from library.compiled.compiled_steps import (
    BY_NUMPY,
    assert_replayed,
    assert_same_steps,
    classification,
    programs_of,
    steps_of,
)

import funcnn as fn


@pytest.mark.parametrize("seed", range(30))
def test_drawn_models(seed):
    """Equal for a few steps, and recorded; `tests/campaigns` draws more."""
    drawn = drawn_task(np.random.default_rng(seed))
    steps = steps_of(drawn.model, drawn.loss, drawn.optimizer, how="all")
    with np.errstate(all="ignore"):
        assert_same_steps(steps, drawn.state, drawn.batches)


def images(rows, count=6, shape=(1, 28, 28)):
    return classification(shape, classes=10, rows=rows, count=count)


CNN = fn.serial(
    *(fn.Conv(16, 3, padding="same"), fn.Relu(), fn.MaxPool(2)),
    *(fn.Conv(32, 3, padding="same"), fn.Relu(), fn.MaxPool(2)),
    *(fn.Flatten(), fn.Dense(32), fn.Relu(), fn.Dense(10)),
)
WITH_STATISTICS = fn.serial(
    *(fn.Conv(16, 3, padding="same"), fn.BatchNorm(), fn.Relu(), fn.MaxPool(2)),
    *(fn.Conv(16, 5, groups=16), fn.GroupNorm(4), fn.Relu(), fn.GlobalAvgPool(), fn.Dense(10)),
)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("model", [CNN, WITH_STATISTICS], ids=["cnn", "with statistics"])
def test_images_in_shards(model, threads, way):
    optimizer = fn.chain(fn.add_decayed_weights(1e-4), fn.adam(1e-3))
    _, params = model.init(fn.random.key(0), (1, 28, 28))
    steps = steps_of(model, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    with fn.threads.use_threads(threads):
        assert_same_steps(steps, state, images(128))
    assert_replayed(steps[1], way)
    assert way == "native" or "run_parallel" in programs_of(steps[1])[0].source


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_rows_in_shards(threads, way):
    model = fn.serial(fn.Dense(64), fn.Relu(), fn.Dense(10))
    optimizer = fn.sgd(0.1, momentum=0.9)
    _, params = model.init(fn.random.key(0), (300,))
    steps = steps_of(model, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    with fn.threads.use_threads(threads):
        assert_same_steps(steps, state, classification((300,), classes=10, rows=1200, count=6))
    assert_replayed(steps[1], way)
    assert way == "native" or "run_parallel" in programs_of(steps[1])[0].source


@BY_NUMPY
def test_large_arrays_are_worked_on_in_blocks_and_small_ones_together():
    model = fn.serial(fn.Dense(256), fn.Relu(), fn.Dense(20), fn.Relu(), fn.Dense(10))
    optimizer = fn.chain(fn.add_decayed_weights(1e-4), fn.sgd(0.1, momentum=0.9))
    _, params = model.init(fn.random.key(0), (500,))
    steps = steps_of(model, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    assert_same_steps(steps, state, classification((500,), classes=10))
    source = programs_of(steps[1])[0].source
    assert source.count("for part, own in") == 1  # of the one large weight
    assert source.count("multiply") < 20  # not 3 for each of 6 leaves, and those of relu


def test_gradients_that_two_parts_of_a_state_read():
    """Each reads the same arrays, and they can be side by side for one of them alone."""

    def update(grads, state, params):
        less, more = state
        less = fn.tree.map(lambda s, g: s - g, less, grads)
        more = fn.tree.map(lambda s, g: s + g, more, grads)
        return fn.tree.map(lambda p: p * np.float32(-0.01), params), (less, more)

    optimizer = fn.Optimizer(lambda params: (params, params), update)
    model = fn.serial(fn.Dense(4), fn.Tanh(), fn.Dense(3))
    _, params = model.init(fn.random.key(0), (6,))
    steps = steps_of(model, fn.softmax_cross_entropy, optimizer, how="all")
    assert_same_steps(steps, fn.TrainState.create(params, optimizer), classification())


def test_every_layout_of_a_batch():
    """A batch of images may lie in memory in any order: each is a kind of its own."""
    model = fn.serial(fn.Conv(4, 3), fn.Relu(), fn.Flatten(), fn.Dense(10))
    _, params = model.init(fn.random.key(0), (2, 6, 6))
    steps = steps_of(model, fn.softmax_cross_entropy, fn.sgd(0.1))
    state = fn.TrainState.create(params, fn.sgd(0.1))
    batches = list(images(8, count=2, shape=(2, 6, 6)))
    for orders in zip(*(memory_orders(x).values() for x, _ in batches), strict=True):
        same_order = [(x, y) for x, (_, y) in zip(orders, batches, strict=True)]
        assert_same_steps(steps, state, same_order, replayed=False)
