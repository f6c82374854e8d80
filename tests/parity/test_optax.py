"""Against optax, where it is the oracle: what torch lacks, step by step, in float64 to 1e-10."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcnn as fn

jax = pytest.importorskip("jax", reason="optax is the oracle, and needs jax")
optax = pytest.importorskip("optax", reason="optax is the oracle")
STEPS = 50
RATE = 0.05


def a_mask(params):
    """What is not a number or a vector: no function of ours, so that JAX can use it too."""
    return {name: leaf.ndim > 1 for name, leaf in params.items()}


LABELS = {"a": "not", "b": "slow", "c": "fast", "d": "slow"}


def a_label(params):
    """As `a_mask`, in words."""
    return {name: "matrices" if leaf.ndim > 1 else "others" for name, leaf in params.items()}


def a_schedule(step):
    return RATE * 0.9**step


# Ours and optax's, over params with 0, 1, 2 and 4 axes.
OPTAXS = {
    "sm3": (fn.sm3(RATE), lambda: optax.sm3(RATE)),
    "sm3, other momentum": (fn.sm3(RATE, 0.5), lambda: optax.sm3(RATE, 0.5)),
    "masked": (
        fn.masked(fn.adam(RATE), a_mask),
        lambda: optax.masked(optax.adam(RATE), a_mask),
    ),
    "masked weight decay": (
        fn.chain(fn.add_decayed_weights(0.1, a_mask), fn.sgd(RATE, momentum=0.9)),
        lambda: optax.chain(optax.add_decayed_weights(0.1, a_mask), optax.sgd(RATE, momentum=0.9)),
    ),
    "decay of weights alone": (
        fn.adamw(RATE, weight_decay=0.1, mask=fn.weight_mask),
        lambda: optax.adamw(
            RATE, weight_decay=0.1, mask=lambda p: jax.tree.map(lambda w: w.ndim > 1, p)
        ),
    ),
    "freeze": (
        fn.chain(fn.adamw(RATE), fn.freeze({"a": True, "b": False, "c": True, "d": False})),
        lambda: optax.chain(
            optax.adamw(RATE, weight_decay=1e-2),
            optax.freeze({"a": True, "b": False, "c": True, "d": False}),
        ),
    ),
    "partition": (
        fn.partition(
            {
                "fast": fn.sgd(RATE, momentum=0.9),
                "slow": fn.adamw(a_schedule),
                "not": fn.freeze(True),
            },
            LABELS,
        ),
        lambda: optax.partition(
            {
                "fast": optax.sgd(RATE, 0.9),
                "slow": optax.adamw(a_schedule, weight_decay=1e-2),
                "not": optax.set_to_zero(),
            },
            LABELS,
        ),
    ),
    "partition by a function": (
        fn.partition(
            {"matrices": fn.chain(fn.clip_by_value(0.5), fn.adam(RATE)), "others": fn.sgd(RATE)},
            a_label,
        ),
        lambda: optax.partition(
            {
                "matrices": optax.chain(optax.clip(0.5), optax.adam(RATE)),
                "others": optax.sgd(RATE),
            },
            a_label,
        ),
    ),
    "flatten": (
        fn.flatten(fn.chain(fn.clip_by_value(0.5), fn.sgd(RATE, momentum=0.9))),
        lambda: optax.flatten(optax.chain(optax.clip(0.5), optax.sgd(RATE, momentum=0.9))),
    ),
    "trace": (fn.chain(fn.trace(0.9), fn.scale(-RATE)), lambda: optax.sgd(RATE, 0.9)),
    "trace, nesterov": (
        fn.chain(fn.trace(0.9, nesterov=True), fn.scale_by_learning_rate(RATE)),
        lambda: optax.sgd(RATE, 0.9, nesterov=True),
    ),
    "a schedule": (
        fn.chain(fn.scale_by_schedule(lambda step: 0.5**step), fn.scale(-RATE)),
        lambda: optax.chain(optax.scale_by_schedule(lambda step: 0.5**step), optax.scale(-RATE)),
    ),
    "the scale of adam": (
        fn.chain(fn.scale_by_adam(0.8, 0.95), fn.scale(-RATE)),
        lambda: optax.chain(optax.scale_by_adam(0.8, 0.95), optax.scale(-RATE)),
    ),
    "the scale of adamax": (
        fn.chain(fn.scale_by_adamax(0.8, 0.95), fn.scale(-RATE)),
        lambda: optax.chain(optax.scale_by_adamax(0.8, 0.95), optax.scale(-RATE)),
    ),
    "the scale of sm3": (
        fn.chain(fn.scale_by_sm3(0.8), fn.scale(-RATE)),
        lambda: optax.chain(optax.scale_by_sm3(0.8), optax.scale(-RATE)),
    ),
    # Their eps is inside the root: 0 is the same on either side of it.
    "the scale of rms": (
        fn.chain(fn.scale_by_rms(0.9, 0.0), fn.scale(-RATE)),
        lambda: optax.chain(optax.scale_by_rms(0.9, 0.0), optax.scale(-RATE)),
    ),
    "the scale of rss": (
        fn.chain(fn.scale_by_rss(0.0), fn.scale(-RATE)),
        lambda: optax.chain(optax.scale_by_rss(0.0, 0.0), optax.scale(-RATE)),
    ),
    "flatten sm3": (fn.flatten(fn.sm3(RATE)), lambda: optax.flatten(optax.sm3(RATE))),
}


@pytest.mark.parametrize("name", OPTAXS)
def test_an_optimizer_goes_optaxs_way(name):
    ours, make = OPTAXS[name]
    rng = np.random.default_rng(0)
    # optax's SM3 has no name for an array without axes: it gets one of one entry.
    shapes = {"a": (1,) if "sm3" in name else (), "b": (4,), "c": (3, 2), "d": (2, 3, 3, 2)}
    params = {key: rng.standard_normal(shape) + 1 for key, shape in shapes.items()}
    gradients = [
        {key: np.asarray(rng.standard_normal(shape)) for key, shape in shapes.items()}
        for _ in range(STEPS)
    ]
    with jax.enable_x64(True):
        theirs = make()
        their_params = jax.tree.map(jax.numpy.asarray, params)
        their_state, state = theirs.init(their_params), ours.init(params)
        for grads in gradients:
            updates, state = ours.update(grads, state, params)
            params = fn.apply_updates(params, updates)
            their_updates, their_state = theirs.update(grads, their_state, their_params)
            their_params = optax.apply_updates(their_params, their_updates)
            for key in shapes:
                np.testing.assert_allclose(params[key], their_params[key], rtol=1e-10, atol=1e-13)


def test_sm3_of_an_array_without_axes_is_that_of_one_entry():
    rng = np.random.default_rng(0)
    number, vector = np.asarray(2.0), np.array([2.0])
    optimizer = fn.sm3(RATE)
    states = [optimizer.init(number), optimizer.init(vector)]
    for _ in range(STEPS):
        g = rng.standard_normal(1)
        first, states[0] = optimizer.update(np.asarray(g[0]), states[0], number)
        second, states[1] = optimizer.update(g, states[1], vector)
        number, vector = fn.apply_updates(number, first), fn.apply_updates(vector, second)
        assert number.shape == ()
        assert number == vector[0]


# --- optax's own, in a training step ---------------------------------------------------------


TRANSFORMATIONS = {
    "sgd": (lambda: optax.sgd(RATE, 0.9), fn.sgd(RATE, momentum=0.9)),
    "a chain": (
        lambda: optax.chain(optax.add_decayed_weights(0.01), optax.adam(RATE)),
        fn.chain(fn.add_decayed_weights(0.01), fn.adam(RATE)),
    ),
    "one of each": (
        lambda: fn.chain(optax.clip(0.1), fn.sgd(RATE)),
        fn.chain(fn.clip_by_value(0.1), fn.sgd(RATE)),
    ),
    "in a partition": (
        lambda: fn.partition({"x": optax.adam(RATE), "y": optax.sgd(RATE)}, ["x", "x", "x", "y"]),
        fn.partition({"x": fn.adam(RATE), "y": fn.sgd(RATE)}, ["x", "x", "x", "y"]),
    ),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_a_training_step_takes_a_transformation_of_optaxs_as_it_is(name, tmp_path):
    make, ours = TRANSFORMATIONS[name]
    model = fn.serial(fn.Dense(5, bias=False), fn.BatchNorm(), fn.Tanh(), fn.Dense(3))
    _, params = model.init(fn.random.key(0), (4,), dtype=np.float64)
    batch = np.random.default_rng(0).standard_normal((9, 4)), np.arange(9) % 3

    def train(optimizer, state):
        step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
        for _ in range(10):
            state, metrics = step(state, batch)
        return state, metrics

    with jax.enable_x64(True):
        theirs = make()
        first = fn.TrainState.create(params, theirs)
        state, metrics = train(theirs, first)
        fn.save(tmp_path / "state.npz", state)
        loaded = fn.load(tmp_path / "state.npz", like=first).params
        again, _ = train(theirs, loaded)
        later, _ = train(theirs, state)
    expected, expected_metrics = train(ours, fn.TrainState.create(params, ours))
    assert {type(leaf) for leaf in fn.tree.leaves(state.params)} == {np.ndarray}
    assert fn.tree.all_close(state.params, expected.params, rtol=1e-10)
    assert fn.tree.all_close(again.params, later.params, rtol=0, atol=0)
    assert metrics["loss"] == pytest.approx(expected_metrics["loss"], rel=1e-10)
    # A rate that the state does not tell is in no metric.
    told = {"learning_rate"} if name == "one of each" else set()
    assert set(metrics) == {"loss"} | told


# --- losses ----------------------------------------------------------------------------------


@settings(max_examples=10)  # JAX compiles anew for every shape
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_hinge_is_optaxs(shape, seed):
    rng = np.random.default_rng(seed)
    outputs, targets = 2 * rng.standard_normal(shape), rng.choice([-1.0, 1.0], shape)
    with jax.enable_x64(True):
        their_value, gradient = jax.value_and_grad(lambda y: optax.hinge_loss(y, targets).mean())(
            outputs
        )
    value, vjp = fn.hinge(outputs, targets)
    np.testing.assert_allclose(value, their_value, rtol=1e-10)
    np.testing.assert_allclose(vjp(), gradient, rtol=1e-10)
