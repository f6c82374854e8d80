"""Generated models, and those that are cut into shards: recorded equals plain."""

import numpy as np
import pytest
from helpers import memory_orders
from hypothesis import given, settings
from hypothesis import strategies as st
from library.compiled.compiled_steps import (
    BY_NUMPY,
    assert_replayed,
    assert_same_steps,
    classification,
    programs_of,
    steps_of,
)

import funcnn as fn

ACTIVATIONS = [fn.Relu(), fn.Tanh(), fn.Sigmoid(), fn.Gelu(), fn.Elu(), fn.Softplus(), fn.PRelu()]


@st.composite
def layers(draw, depth=0):
    """A model of points, of any depth, with branches."""
    dense = st.builds(fn.Dense, st.integers(1, 24), bias=st.booleans())
    others = [fn.LayerNorm(), fn.BatchNorm(), fn.Dropout(0.3), *ACTIVATIONS]
    single = st.one_of(dense, st.sampled_from(others))
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["single", "residual", "concat"])) if depth < 2 else "single"
        if kind == "single":
            parts.append(draw(single))
        elif kind == "concat":
            branches = fn.parallel(draw(layers(depth + 1)), draw(layers(depth + 1)))
            parts += [fn.FanOut(2), branches, fn.FanInConcat()]
        else:
            width = fn.Dense(draw(st.integers(1, 24)))
            parts.append(fn.residual(fn.serial(draw(layers(depth + 1)), width), width))
    return fn.serial(*parts)


@st.composite
def optimizers(draw):
    rate = draw(st.sampled_from([0.01, fn.schedules.cosine_decay(0.01, 5)]))
    last = draw(st.sampled_from([fn.sgd, fn.adam, fn.adagrad, fn.rmsprop, fn.nesterov, fn.sm3]))
    before = [fn.clip_by_global_norm(1.0), fn.add_decayed_weights(0.01), fn.clip_by_value(0.5)]
    chosen = draw(st.lists(st.sampled_from(before), max_size=2))
    optimizer = fn.chain(*chosen, last(rate))
    wrap = draw(st.sampled_from(["no", "flatten", "average"]))
    if wrap == "flatten":
        return fn.flatten(optimizer)
    return fn.chain(optimizer, fn.average_params(0.9)) if wrap == "average" else optimizer


@given(layers(), optimizers(), st.integers(1, 9), st.integers(2, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_generated_models(body, optimizer, features, rows, in_doubles):
    """Equal for a few steps; and recorded, as nothing in them is a user's own."""
    model = fn.serial(body, fn.Dense(3))
    dtype = np.float64 if in_doubles else np.float32
    _, params = model.init(fn.random.key(0), (features,), dtype=dtype)
    state = fn.TrainState.create(params, optimizer, fn.random.key(1))
    batches = [(x.astype(dtype), y) for x, y in classification((features,), rows=rows, count=6)]
    steps = steps_of(model, fn.softmax_cross_entropy, optimizer)
    with np.errstate(all="ignore"):
        assert_same_steps(steps, state, batches)


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
