"""Optimizers: two steps by hand, equivalences, purity, dtypes, and what misuse says."""

import math

import numpy as np
import pytest

import funcnn as fn

# Two entries that are never 0, and the gradients of two steps.
W = np.array([1.0, -2.0])
G1 = np.array([0.5, 0.25])
G2 = np.array([-1.0, 0.125])

OPTIMIZERS = {
    "sgd": fn.sgd(0.1),
    "momentum": fn.sgd(0.1, momentum=0.5),
    "nesterov": fn.sgd(0.1, momentum=0.5, nesterov=True),
    "classical_momentum": fn.classical_momentum(0.1, momentum=0.5, weight_decay=0.2),
    "adam": fn.adam(0.1, b1=0.5, b2=0.75, eps=0.0),
    "adamw": fn.adamw(0.1, b1=0.5, b2=0.75, eps=0.0, weight_decay=0.5),
    "weight decay": fn.chain(fn.add_decayed_weights(0.2), fn.sgd(0.1)),
    "scale": fn.scale(-3.0),
    "scale_by_schedule": fn.scale_by_schedule(lambda step: -(step + 1.0)),
    "scale_by_adam": fn.scale_by_adam(b1=0.5, b2=0.75, eps=0.0),
    "trace": fn.trace(0.5),
    "trace, nesterov": fn.trace(0.5, nesterov=True),
    "add_decayed_weights": fn.add_decayed_weights(0.2),
    "clip_by_global_norm": fn.clip_by_global_norm(0.1),
    "chain of nothing": fn.chain(),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def run(optimizer, params, gradients):
    """The params after each of the gradients."""
    state = optimizer.init(params)
    trajectory = []
    for grads in gradients:
        updates, state = optimizer.update(grads, state, params)
        params = fn.apply_updates(params, updates)
        trajectory.append(params)
    return trajectory


def assert_same_run(optimizer, other, steps=20, rtol=1e-12):
    rng = np.random.default_rng(0)
    params = {"a": rng.standard_normal((3, 2)), "b": [rng.standard_normal(4)]}
    gradients = [fn.tree.map(lambda p: rng.standard_normal(p.shape), params) for _ in range(steps)]
    for a, b in zip(run(optimizer, params, gradients), run(other, params, gradients), strict=True):
        assert fn.tree.all_close(a, b, rtol=rtol, atol=1e-14)


# --- by hand ---------------------------------------------------------------------------------

# Adam with b1 = 0.5, b2 = 0.75: u = g / |g|, then m' / sqrt(s') with m' = (g1 + 2 g2) / 3 and
# s' = (3 g1^2 + 4 g2^2) / 7.
ADAM_2 = np.array([-0.5 / math.sqrt(4.75 / 7), 1 / 6 * math.sqrt(28)])
BY_HAND = {
    "sgd": ([0.95, -2.025], [1.05, -2.0375]),
    "momentum": ([0.95, -2.025], [1.025, -2.05]),
    "nesterov": ([0.925, -2.0375], [1.0625, -2.0625]),
    "classical_momentum": ([0.93, -1.985], [0.9764, -1.9503]),
    "weight decay": ([0.93, -1.985], [1.0114, -1.9578]),
    "adam": ([0.9, -2.1], np.array([0.9, -2.1]) - 0.1 * ADAM_2),
    "adamw": ([0.85, -2.0], np.array([0.85 * 0.95, -1.9]) - 0.1 * ADAM_2),
    "scale": ([-0.5, -2.75], [2.5, -3.125]),
    "scale_by_schedule": ([0.5, -2.25], [2.5, -2.5]),
    "scale_by_adam": ([2.0, -1.0], np.array([2.0, -1.0]) + ADAM_2),
    "trace": ([1.5, -1.75], [0.75, -1.5]),
    "trace, nesterov": ([1.75, -1.625], [0.375, -1.375]),
    "add_decayed_weights": ([1.7, -2.15], [1.04, -2.455]),
    "chain of nothing": ([1.5, -1.75], [0.5, -1.625]),
}


def test_every_optimizer_but_the_clipping_has_its_steps_by_hand():
    assert set(OPTIMIZERS) - set(BY_HAND) == {"clip_by_global_norm"}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_first_two_steps_by_hand(name):
    first, second = run(OPTIMIZERS[name], W, [G1, G2])
    np.testing.assert_allclose(first, BY_HAND[name][0], rtol=1e-13)
    np.testing.assert_allclose(second, BY_HAND[name][1], rtol=1e-13)


def test_adams_epsilon_is_outside_the_root():
    updates, _ = fn.scale_by_adam(eps=1.0).update(G1, fn.scale_by_adam().init(W), W)
    np.testing.assert_allclose(updates, [0.5 / 1.5, 0.25 / 1.25], rtol=1e-12)


def test_clipping_is_by_the_norm_of_all_leaves_together():
    grads = {"a": np.array([3.0]), "b": [np.array([[0.0, 4.0]])]}
    clip = fn.clip_by_global_norm(1.0)
    updates, _ = clip.update(grads, clip.init(grads), grads)
    np.testing.assert_allclose(updates["a"], [0.6], rtol=1e-6)
    np.testing.assert_allclose(updates["b"][0], [[0, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("max_norm", [5.1, 1e9])
def test_clipping_leaves_a_small_gradient_as_it_is(max_norm):
    grads = {"a": np.array([3.0]), "b": [np.array([[0.0, 4.0]])]}
    clip = fn.clip_by_global_norm(max_norm)
    updates, _ = clip.update(grads, clip.init(grads), grads)
    fn.tree.map(np.testing.assert_array_equal, updates, grads)


def test_clipping_a_gradient_of_zero_is_zero():
    clip = fn.clip_by_global_norm(1.0)
    updates, _ = clip.update(0 * G1, clip.init(W), W)
    np.testing.assert_array_equal(updates, [0, 0])


# --- equivalences ----------------------------------------------------------------------------


def test_adam_without_mean_is_rmsprop_with_bias_correction():
    def update(grads, state, params):
        step, square = state[0] + 1, 0.9 * state[1] + 0.1 * grads * grads
        return -0.05 * grads / (np.sqrt(square / (1 - 0.9**step)) + 1e-8), (step, square)

    rmsprop = fn.Optimizer(lambda params: (0, np.zeros_like(params)), update)
    gradients = [G1, G2, G1 * G2, -G1, G2 * 10]
    np.testing.assert_allclose(
        run(fn.adam(0.05, b1=0, b2=0.9), W, gradients), run(rmsprop, W, gradients), rtol=1e-13
    )


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_is_a_trace_and_a_scale(nesterov):
    assert_same_run(
        fn.sgd(0.1, momentum=0.9, nesterov=nesterov),
        fn.chain(fn.trace(0.9, nesterov=nesterov), fn.scale(-0.1)),
    )


def test_momentum_zero_is_plain_descent():
    assert_same_run(fn.sgd(0.1, momentum=0.0), fn.chain(fn.trace(0.0), fn.scale(-0.1)))
    assert_same_run(fn.sgd(0.1), fn.classical_momentum(0.1, momentum=0.0))


def test_adamw_without_decay_is_adam():
    assert_same_run(fn.adamw(0.01, weight_decay=0.0), fn.adam(0.01))


def test_adam_is_a_chain_of_its_parts():
    assert_same_run(fn.adam(0.01), fn.chain(fn.scale_by_adam(), fn.scale(-0.01)))


def test_adam_does_not_see_the_scale_of_the_gradient():
    assert_same_run(fn.adam(0.01, eps=0.0), fn.chain(fn.scale(1e-3), fn.adam(0.01, eps=0.0)), 5)


@pytest.mark.parametrize("make", [fn.sgd, fn.classical_momentum, fn.adam, fn.adamw])
def test_a_learning_rate_is_a_number_or_a_schedule(make):
    assert_same_run(make(0.1), make(fn.schedules.constant(0.1)))
    assert_same_run(make(1), make(lambda step: np.float64(1.0)))


def test_decay_before_sgd_is_in_the_gradient_and_in_adamw_beside_it():
    l2 = fn.chain(fn.add_decayed_weights(0.5), fn.adam(0.1))
    decoupled = fn.adamw(0.1, weight_decay=0.5)
    (first,), (other,) = run(l2, W, [G1]), run(decoupled, W, [G1])
    np.testing.assert_allclose(first, W - 0.1 * np.sign(G1 + 0.5 * W), rtol=1e-6)
    np.testing.assert_allclose(other, W - 0.1 * (np.sign(G1) + 0.5 * W), rtol=1e-6)


def test_a_chain_of_chains_is_one_chain():
    parts = fn.clip_by_global_norm(1.0), fn.add_decayed_weights(0.1), fn.trace(0.9), fn.scale(-0.1)
    assert_same_run(fn.chain(*parts), fn.chain(fn.chain(*parts[:2]), fn.chain(*parts[2:])))


def test_a_chain_is_in_order():
    clipped_first = fn.chain(fn.clip_by_global_norm(0.1), fn.scale(2.0))
    clipped_last = fn.chain(fn.scale(2.0), fn.clip_by_global_norm(0.1))
    norms = [np.linalg.norm(run(o, W, [G1])[0] - W) for o in (clipped_first, clipped_last)]
    assert norms == pytest.approx([0.2, 0.1], rel=1e-4)


def test_classical_momentum_is_torchs_sgd_under_a_constant_rate():
    torch_form = fn.chain(fn.add_decayed_weights(0.01), fn.sgd(0.1, momentum=0.9))
    assert_same_run(fn.classical_momentum(0.1, momentum=0.9, weight_decay=0.01), torch_form)


def test_classical_momentum_parts_from_torchs_sgd_under_a_schedule():
    schedule = fn.schedules.piecewise_constant(0.1, {1: 0.1})
    classical = run(fn.classical_momentum(schedule, momentum=0.5), W, [G1, G2])
    torch_form = run(fn.sgd(schedule, momentum=0.5), W, [G1, G2])
    np.testing.assert_array_equal(classical[0], torch_form[0])
    # The velocity keeps the old rate: v = 0.5 (-0.1 g1) - 0.01 g2, not -0.01 (0.5 g1 + g2).
    np.testing.assert_allclose(classical[1] - classical[0], -0.05 * G1 - 0.01 * G2, rtol=1e-12)
    np.testing.assert_allclose(torch_form[1] - torch_form[0], -0.005 * G1 - 0.01 * G2, rtol=1e-12)


# --- what every optimizer does ---------------------------------------------------------------


def small_trees(dtype=np.float64):
    params = [{"weight": W.astype(dtype), "bias": W[:1].astype(dtype)}, {}, (W[1:].astype(dtype),)]
    return params, fn.tree.map(lambda p: p * p / 2 + 1, params)


@every_optimizer
def test_no_argument_is_changed_and_the_same_arguments_give_the_same_bits(name):
    optimizer = OPTIMIZERS[name]
    params, grads = small_trees()
    state = optimizer.update(grads, optimizer.init(params), params)[1]  # one that is not zeros
    for leaf in fn.tree.leaves((params, grads, state)):
        if isinstance(leaf, np.ndarray):
            leaf.setflags(write=False)
    before = fn.tree.map(np.copy, (params, grads, state))
    first = optimizer.update(grads, state, params)
    kept = fn.tree.map(np.copy, first)
    again = optimizer.update(grads, state, params)
    fn.apply_updates(params, first[0])
    optimizer.update(first[0], first[1], params)
    for a, b in [(again, kept), (first, kept), ((params, grads, state), before)]:
        fn.tree.map(np.testing.assert_array_equal, a, b)


@every_optimizer
def test_updates_have_the_structure_shapes_and_dtypes_of_the_params(name):
    optimizer = OPTIMIZERS[name]
    for dtype in (np.float32, np.float64):
        params, grads = small_trees(dtype)
        state = optimizer.init(params)
        for _ in range(3):
            updates, state = optimizer.update(grads, state, params)
            params = fn.apply_updates(params, updates)
            for tree in (updates, params):
                assert fn.tree.structure(tree) == fn.tree.structure(grads)
                for a, b in zip(fn.tree.leaves(tree), fn.tree.leaves(grads), strict=True):
                    assert (a.shape, a.dtype) == (b.shape, dtype)
        arrays = [leaf for leaf in fn.tree.leaves(state) if isinstance(leaf, np.ndarray)]
        assert all(array.dtype == dtype for array in arrays)


NUMBER = np.float64(0.1)  # as np.linspace and np.logspace make them


@pytest.mark.parametrize(
    "optimizer",
    [
        fn.sgd(NUMBER),
        fn.sgd(NUMBER, momentum=NUMBER),
        fn.sgd(NUMBER, momentum=NUMBER, nesterov=True),
        fn.classical_momentum(NUMBER, momentum=NUMBER, weight_decay=NUMBER),
        fn.adam(NUMBER, NUMBER, NUMBER, NUMBER),
        fn.adamw(NUMBER, weight_decay=NUMBER),
        fn.scale(NUMBER),
        fn.scale_by_schedule(lambda step: NUMBER),
        fn.trace(NUMBER),
        fn.add_decayed_weights(NUMBER),
        fn.clip_by_global_norm(NUMBER),
    ],
    ids=["sgd", "momentum", "nesterov", "classical", "adam", "adamw", "scale", "schedule", "trace",
         "decay", "clip"],
)  # fmt: skip
def test_a_hyper_parameter_from_numpy_leaves_float32_as_it_is(optimizer):
    params, grads = small_trees(np.float32)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert {leaf.dtype for leaf in fn.tree.leaves(updates)} == {np.dtype(np.float32)}


def test_apply_updates_keeps_the_dtype_of_the_params():
    params = fn.apply_updates({"w": W.astype(np.float32)}, {"w": G1})
    assert params["w"].dtype == np.float32
    np.testing.assert_array_equal(params["w"], [1.5, -1.75])


@pytest.mark.parametrize("name", ["momentum", "classical_momentum", "adam", "weight decay"])
def test_gradients_of_another_structure_are_refused_at_their_path(name):
    optimizer = OPTIMIZERS[name]
    params, grads = small_trees()
    state = optimizer.init(params)
    del grads[0]["bias"]
    with pytest.raises(ValueError, match=r"trees differ at 0: .*'weight'"):
        optimizer.update(grads, state, params)
    with pytest.raises(ValueError, match="trees differ at the root"):
        optimizer.update(small_trees()[1][:2], state, params)


def test_apply_updates_refuses_another_structure_at_its_path():
    params, updates = small_trees()
    with pytest.raises(ValueError, match="trees differ at 2"):
        fn.apply_updates(params, [*updates[:2], [W]])


def test_a_state_of_another_chain_is_refused():
    optimizer = fn.chain(fn.trace(0.9), fn.scale(-0.1))
    with pytest.raises(ValueError, match="chain of 2 got a state of 1"):
        optimizer.update(G1, fn.sgd(0.1).init(W), W)


# --- misuse ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fn.sgd(-0.1), "learning rate must be .* at least 0, got -0.1"),
        (lambda: fn.sgd(math.nan), "learning rate must be .* got nan"),
        (lambda: fn.sgd(math.inf), "learning rate must be .* got inf"),
        (lambda: fn.adam(-1), "learning rate must be .* got -1"),
        (lambda: fn.adamw(-1), "learning rate must be .* got -1"),
        (lambda: fn.classical_momentum(-1), "learning rate must be .* got -1"),
        (lambda: fn.sgd(0.1, momentum=1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (lambda: fn.sgd(0.1, momentum=-0.1), r"momentum must be in \[0, 1\), got -0.1"),
        (lambda: fn.sgd(0.1, nesterov=True), "nesterov needs a momentum above 0"),
        (lambda: fn.classical_momentum(0.1, momentum=1), r"momentum must be in \[0, 1\), got 1"),
        (lambda: fn.classical_momentum(0.1, weight_decay=-1), "weight_decay must be .* got -1"),
        (lambda: fn.trace(1.5), r"decay must be in \[0, 1\), got 1.5"),
        (lambda: fn.add_decayed_weights(-1e-4), "weight_decay must be .* got -0.0001"),
        (lambda: fn.adamw(weight_decay=-1), "weight_decay must be .* got -1"),
        (lambda: fn.adam(b1=1), r"b1 must be in \[0, 1\), got 1"),
        (lambda: fn.adam(b2=-0.1), r"b2 must be in \[0, 1\), got -0.1"),
        (lambda: fn.adam(b2=math.nan), r"b2 must be in \[0, 1\), got nan"),
        (lambda: fn.adam(eps=-1e-8), "eps must be .* got -1e-08"),
        (lambda: fn.scale_by_adam(b1=2), r"b1 must be in \[0, 1\), got 2"),
        (lambda: fn.clip_by_global_norm(-1), "max_norm must be .* got -1"),
        (lambda: fn.clip_by_global_norm(0), "max_norm must be .* got 0"),
    ],
)
def test_a_hyper_parameter_out_of_range_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("argument", [fn.sgd, 0.1, None, (lambda p: (), lambda g, s, p: (g, s))])
def test_a_chain_is_of_optimizers(argument):
    with pytest.raises(TypeError, match="chain: argument 1 is not an Optimizer"):
        fn.chain(fn.scale(1.0), argument)


def test_a_misspelt_keyword_is_a_type_error():
    with pytest.raises(TypeError, match="'weight_decay'"):
        fn.sgd(0.1, weight_decay=1e-4)
    with pytest.raises(TypeError, match="'beta1'"):
        fn.adam(beta1=0.9)


def test_clipping_does_not_hide_a_nan():
    clip = fn.clip_by_global_norm(1.0)
    grads = [np.array([np.nan]), np.array([1e6])]
    updates, _ = clip.update(grads, clip.init(grads), grads)
    assert np.isnan(updates[1]).all()


def test_an_update_of_another_shape_is_not_broadcast():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3,\)"):
        fn.apply_updates([np.zeros(3)], [np.zeros((2, 3))])
