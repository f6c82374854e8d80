"""Optimizers: two steps by hand, equivalences, purity, dtypes, and what misuse says."""

import functools
import math

import numpy as np
import pytest
from cases import OPTIMIZERS, trajectory_of

import funcnn as fn

# Two entries that are never 0, and the gradients of two steps.
W = np.array([1.0, -2.0])
G1 = np.array([0.5, 0.25])
G2 = np.array([-1.0, 0.125])


every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def assert_same_run(optimizer, other, steps=20, rtol=1e-12):
    rng = np.random.default_rng(0)
    params = {"a": rng.standard_normal((3, 2)), "b": [rng.standard_normal(4)]}
    gradients = [fn.tree.map(lambda p: rng.standard_normal(p.shape), params) for _ in range(steps)]
    for a, b in zip(
        trajectory_of(optimizer, params, gradients),
        trajectory_of(other, params, gradients),
        strict=True,
    ):
        assert fn.tree.all_close(a, b, rtol=rtol, atol=1e-14)


# --- by hand ---------------------------------------------------------------------------------

# Adam with b1 = 0.5, b2 = 0.75: u = g / |g|, then m' / sqrt(s') with m' = (g1 + 2 g2) / 3 and
# s' = (3 g1^2 + 4 g2^2) / 7.
ADAM_2 = np.array([-0.5 / math.sqrt(4.75 / 7), 1 / 6 * math.sqrt(28)])
# Adamax, likewise: m' / s with s = max(3/4 |g1|, |g2|).
ADAMAX_2 = np.array([-0.5, (1 / 6) / 0.1875])
# Adagrad: g2 / sqrt(g1^2 + g2^2). RMSprop from 0: g1 / (|g1| / 2), g2 / sqrt(3/4 g1^2 + g2^2) 2.
ADAGRAD_2 = np.array([-1 / math.sqrt(1.25), 1 / math.sqrt(5)])
RMS_2 = np.array([-2 / math.sqrt(1.1875), 1.0])
# SM3 of a vector is Adagrad with epsilon in the root, and a running mean, from 0, of its steps.
SM3_1 = 0.5 * G1 / np.sqrt(G1**2 + 1e-8)
SM3_2 = 0.5 * SM3_1 + 0.5 * G2 / np.sqrt(G1**2 + G2**2 + 1e-8)
BY_HAND = {
    "sgd": ([0.95, -2.025], [1.05, -2.0375]),
    "momentum": ([0.95, -2.025], [1.025, -2.05]),
    "nesterov": ([0.925, -2.0375], [1.0625, -2.0625]),
    "classical_momentum": ([0.93, -1.985], [0.9764, -1.9503]),
    "weight decay": ([0.93, -1.985], [1.0114, -1.9578]),
    "adam": ([0.9, -2.1], np.array([0.9, -2.1]) - 0.1 * ADAM_2),
    "adamw": ([0.85, -2.0], np.array([0.85 * 0.95, -1.9]) - 0.1 * ADAM_2),
    "adagrad": ([0.9, -2.1], [0.9, -2.1] - 0.1 * ADAGRAD_2),
    "rmsprop": ([0.8, -2.2], [0.8, -2.2] - 0.1 * RMS_2),
    "rmsprop, momentum": ([0.8, -2.2], [0.7, -2.3] - 0.1 * RMS_2),
    "adamax": ([0.9, -2.1], [0.9, -2.1] - 0.1 * ADAMAX_2),
    "sm3": (W - 0.1 * SM3_1, W - 0.1 * SM3_1 - 0.1 * SM3_2),
    "scale": ([-0.5, -2.75], [2.5, -3.125]),
    "scale_by_schedule": ([0.5, -2.25], [2.5, -2.5]),
    "scale_by_adam": ([2.0, -1.0], np.array([2.0, -1.0]) + ADAM_2),
    "scale_by_learning_rate": ([0.5, -2.25], [2.5, -2.5]),
    "scale_by_adamax": ([2.0, -1.0], np.array([2.0, -1.0]) + ADAMAX_2),
    "scale_by_rms": ([3.0, 0.0], np.array([3.0, 0.0]) + RMS_2),
    "scale_by_rss": ([2.0, -1.0], np.array([2.0, -1.0]) + ADAGRAD_2),
    "scale_by_sm3": ([1.5, -1.5], [1.75, -1.25] + 0.5 * ADAGRAD_2),
    "trace": ([1.5, -1.75], [0.75, -1.5]),
    "trace, nesterov": ([1.75, -1.625], [0.375, -1.375]),
    "add_decayed_weights": ([1.7, -2.15], [1.04, -2.455]),
    "clip_by_value": ([1.2, -1.8], [1.0, -1.675]),
    "masked": ([0.95, -2.025], [1.025, -2.05]),
    "freeze": ([1.5, -1.75], [0.5, -1.625]),
    "decayed and frozen": ([0.93, -1.985], [0.9764, -1.9503]),
    "partition": ([0.95, -2.025], [1.025, -2.05]),
    "flatten": ([0.9, -2.1], np.array([0.9, -2.1]) - 0.1 * ADAM_2),
    "average_params": ([1.5, -1.75], [0.5, -1.625]),
    "chain of nothing": ([1.5, -1.75], [0.5, -1.625]),
}


def test_every_optimizer_but_the_clipping_has_its_steps_by_hand():
    assert set(OPTIMIZERS) - set(BY_HAND) == {"clip_by_global_norm"}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_first_two_steps_by_hand(name):
    first, second = trajectory_of(OPTIMIZERS[name], W, [G1, G2])
    np.testing.assert_allclose(first, BY_HAND[name][0], rtol=1e-13)
    np.testing.assert_allclose(second, BY_HAND[name][1], rtol=1e-13)


def test_adams_epsilon_is_outside_the_root():
    updates, _ = fn.scale_by_adam(eps=1.0).update(G1, fn.scale_by_adam().init(W), W)
    np.testing.assert_allclose(updates, [0.5 / 1.5, 0.25 / 1.25], rtol=1e-12)


def test_other_epsilons_are_outside_a_root_or_beside_a_size_and_only_sm3s_is_inside():
    for optimizer, expected in [
        (fn.scale_by_rss(eps=1.0), G1 / (np.abs(G1) + 1)),
        (fn.scale_by_rms(alpha=0.75, eps=1.0), G1 / (np.abs(G1) / 2 + 1)),
        (fn.scale_by_adamax(eps=1.0), G1 / (np.abs(G1) + 1)),
        (fn.scale_by_sm3(momentum=0.0, eps=1.0), G1 / np.sqrt(G1**2 + 1)),
    ]:
        updates, _ = optimizer.update(G1, optimizer.init(W), W)
        np.testing.assert_allclose(updates, expected, rtol=1e-12)


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


def test_clipping_by_value_is_entry_by_entry_and_keeps_a_nan():
    clip = fn.clip_by_value(1.0)
    grads = {"a": np.array([3.0, -0.5, np.nan]), "b": [np.array([[-1.0, -4.0]])]}
    updates, _ = clip.update(grads, clip.init(grads), grads)
    np.testing.assert_array_equal(updates["a"], [1, -0.5, np.nan])
    np.testing.assert_array_equal(updates["b"][0], [[-1, -1]])


def test_clipping_a_gradient_of_zero_is_zero():
    clip = fn.clip_by_global_norm(1.0)
    updates, _ = clip.update(0 * G1, clip.init(W), W)
    np.testing.assert_array_equal(updates, [0, 0])


# --- equivalences ----------------------------------------------------------------------------


def test_adam_without_mean_is_rmsprop_with_bias_correction():
    # The running mean of g^2 is too small by 1 - b2^t, and so RMSprop's step too large by its root.
    corrected = fn.chain(
        fn.scale_by_rms(alpha=0.9, eps=0.0),
        fn.scale_by_schedule(lambda step: -0.05 * math.sqrt(1 - 0.9 ** (step + 1))),
    )
    assert_same_run(fn.adam(0.05, b1=0, b2=0.9, eps=0.0), corrected)


def test_adam_without_mean_and_with_one_decay_of_0_is_adamax():
    assert_same_run(fn.adam(0.1, b1=0.9, b2=0.0, eps=0.0), fn.adamax(0.1, b2=0.0, eps=0.0))


def test_rmsprop_with_momentum_is_a_chain_of_its_parts():
    parts = fn.scale_by_rms(0.9), fn.trace(0.5), fn.scale_by_learning_rate(0.1)
    assert_same_run(fn.rmsprop(0.1, alpha=0.9, momentum=0.5), fn.chain(*parts))


def test_adagrad_is_rmsprop_with_a_mean_that_is_a_sum():
    # s_t = (1 - a) sum a^(t - i) g_i^2: with a near 1 it is 1 - a times Adagrad's.
    alpha = 1 - 1e-9
    assert_same_run(
        fn.rmsprop(0.1 * math.sqrt(1 - alpha), alpha=alpha, eps=0.0),
        fn.adagrad(0.1, eps=0.0),
        rtol=1e-6,
    )


@pytest.mark.parametrize("shape", [(), (4,), (3, 2), (2, 3, 2, 2)])
def test_sm3_bounds_adagrads_sums_from_above_and_keeps_a_number_for_each_row(shape):
    rng = np.random.default_rng(0)
    params, total = np.ones(shape), np.zeros(shape)
    optimizer = fn.scale_by_sm3(momentum=0.0, eps=0.0)
    state = optimizer.init(params)
    for _ in range(5):
        bound = functools.reduce(np.minimum, state.maxima)
        grads = rng.standard_normal(shape)
        updates, state = optimizer.update(grads, state, params)
        total = total + grads**2
        np.testing.assert_allclose(updates, grads / np.sqrt(bound + grads**2), rtol=1e-14)
        assert all((cover >= total * (1 - 1e-14)).all() for cover in state.maxima)
    assert sum(cover.size for cover in state.maxima) == max(1, sum(shape))


def test_sm3_of_vectors_and_numbers_is_adagrad_with_a_mean_of_its_steps():
    params, gradients = (W, np.float64(2.0)), [(G1, np.float64(3.0)), (G2, np.float64(-0.5))]
    adagrad = fn.chain(fn.scale_by_rss(eps=0.0), fn.trace(0.5), fn.scale(-0.1 * 0.5))
    for a, b in zip(
        trajectory_of(fn.chain(fn.scale_by_sm3(0.5, eps=0.0), fn.scale(-0.1)), params, gradients),
        trajectory_of(adagrad, params, gradients),
        strict=True,
    ):
        assert fn.tree.all_close(a, b, rtol=1e-13)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_is_a_trace_and_a_scale(nesterov):
    assert_same_run(
        fn.nesterov(0.1, momentum=0.9) if nesterov else fn.sgd(0.1, momentum=0.9),
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


EVERY_WHOLE = [
    fn.sgd, fn.nesterov, fn.classical_momentum, fn.adagrad, fn.rmsprop, fn.adam, fn.adamw,
    fn.adamax, fn.sm3, fn.scale_by_learning_rate,
]  # fmt: skip


@pytest.mark.parametrize("make", EVERY_WHOLE)
def test_a_learning_rate_is_a_number_or_a_schedule(make):
    assert_same_run(make(0.1), make(fn.schedules.constant(0.1)))
    assert_same_run(make(1), make(lambda step: np.float64(1.0)))


def test_decay_before_sgd_is_in_the_gradient_and_in_adamw_beside_it():
    l2 = fn.chain(fn.add_decayed_weights(0.5), fn.adam(0.1))
    decoupled = fn.adamw(0.1, weight_decay=0.5)
    (first,), (other,) = trajectory_of(l2, W, [G1]), trajectory_of(decoupled, W, [G1])
    np.testing.assert_allclose(first, W - 0.1 * np.sign(G1 + 0.5 * W), rtol=1e-6)
    np.testing.assert_allclose(other, W - 0.1 * (np.sign(G1) + 0.5 * W), rtol=1e-6)


def test_a_chain_of_chains_is_one_chain():
    parts = fn.clip_by_global_norm(1.0), fn.add_decayed_weights(0.1), fn.trace(0.9), fn.scale(-0.1)
    assert_same_run(fn.chain(*parts), fn.chain(fn.chain(*parts[:2]), fn.chain(*parts[2:])))


def test_a_chain_is_in_order():
    clipped_first = fn.chain(fn.clip_by_global_norm(0.1), fn.scale(2.0))
    clipped_last = fn.chain(fn.scale(2.0), fn.clip_by_global_norm(0.1))
    norms = [
        np.linalg.norm(trajectory_of(o, W, [G1])[0] - W) for o in (clipped_first, clipped_last)
    ]
    assert norms == pytest.approx([0.2, 0.1], rel=1e-4)


def test_classical_momentum_is_torchs_sgd_under_a_constant_rate():
    torch_form = fn.chain(fn.add_decayed_weights(0.01), fn.sgd(0.1, momentum=0.9))
    assert_same_run(fn.classical_momentum(0.1, momentum=0.9, weight_decay=0.01), torch_form)


def test_classical_momentum_parts_from_torchs_sgd_under_a_schedule():
    schedule = fn.schedules.piecewise_constant(0.1, {1: 0.1})
    classical = trajectory_of(fn.classical_momentum(schedule, momentum=0.5), W, [G1, G2])
    torch_form = trajectory_of(fn.sgd(schedule, momentum=0.5), W, [G1, G2])
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
        fn.nesterov(NUMBER, momentum=NUMBER),
        fn.classical_momentum(NUMBER, momentum=NUMBER, weight_decay=NUMBER),
        fn.adam(NUMBER, NUMBER, NUMBER, NUMBER),
        fn.adamw(NUMBER, weight_decay=NUMBER),
        fn.scale(NUMBER),
        fn.scale_by_schedule(lambda step: NUMBER),
        fn.trace(NUMBER),
        fn.add_decayed_weights(NUMBER),
        fn.clip_by_global_norm(NUMBER),
        fn.adagrad(NUMBER, NUMBER),
        fn.rmsprop(NUMBER, NUMBER, NUMBER, NUMBER),
        fn.adamax(NUMBER, NUMBER, NUMBER, NUMBER),
        fn.sm3(NUMBER, NUMBER),
        fn.scale_by_sm3(NUMBER, NUMBER),
        fn.clip_by_value(NUMBER),
        fn.chain(fn.sgd(NUMBER), fn.average_params(NUMBER)),
    ],
    ids=["sgd", "momentum", "nesterov", "classical", "adam", "adamw", "scale", "schedule", "trace",
         "decay", "clip", "adagrad", "rmsprop", "adamax", "sm3", "scale_by_sm3", "clip_by_value",
         "average"],
)  # fmt: skip
def test_a_hyper_parameter_from_numpy_leaves_float32_as_it_is(optimizer):
    params, grads = small_trees(np.float32)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert {leaf.dtype for leaf in fn.tree.leaves(updates)} == {np.dtype(np.float32)}


def test_apply_updates_keeps_the_dtype_of_the_params():
    params = fn.apply_updates({"w": W.astype(np.float32)}, {"w": G1})
    assert params["w"].dtype == np.float32
    np.testing.assert_array_equal(params["w"], [1.5, -1.75])


@pytest.mark.parametrize(
    "name",
    ["momentum", "nesterov", "classical_momentum", "adagrad", "rmsprop", "adam", "adamax", "sm3",
     "weight decay", "masked", "decayed and frozen", "average_params"],
)  # fmt: skip
def test_gradients_of_another_structure_are_refused_at_their_path(name):
    optimizer = OPTIMIZERS[name]
    params, grads = small_trees()
    state = optimizer.init(params)
    del grads[0]["bias"]
    with pytest.raises(ValueError, match=r"(trees|update) differ at 0: .*'weight'"):
        optimizer.update(grads, state, params)
    with pytest.raises(ValueError, match=r"(trees|update) differ at the root"):
        optimizer.update(small_trees()[1][:2], state, params)


def test_apply_updates_refuses_another_structure_at_its_path():
    params, updates = small_trees()
    with pytest.raises(ValueError, match=r"^params and their update differ at 2: "):
        fn.apply_updates(params, [*updates[:2], [W]])


def test_a_state_of_another_chain_is_refused():
    optimizer = fn.sgd(0.1, momentum=0.9)
    others = {
        r"\(LearningRateState\)": fn.sgd(0.1).init(W),
        r"\(AdamState, LearningRateState\)": fn.adam(0.1).init(W),
        "a list": [{"weight": W}, {"weight": W}],
        "a dict": {"weight": W},
        "a NoneType": None,
    }
    for got, state in others.items():
        said = rf"^this is no state of this optimizer, but {got}: optimizer\.init\(params\)$"
        with pytest.raises(ValueError, match=said):
            optimizer.update(G1, state, W)


def test_a_fault_inside_a_transformation_of_one_s_own_is_its_own():
    own = fn.Optimizer(lambda params: (), lambda grads, state, params: grads.misspelt)
    with pytest.raises(AttributeError, match="misspelt"):
        fn.chain(own).update(G1, ((),), W)


# --- misuse ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fn.sgd(-0.1), "learning rate must be .* at least 0, got -0.1"),
        (lambda: fn.sgd(math.nan), "learning rate must be .* got nan"),
        (lambda: fn.sgd(math.inf), "learning rate must be .* got inf"),
        *((lambda make=make: make(-1), "learning rate must be .* got -1") for make in EVERY_WHOLE),
        (lambda: fn.sgd(0.1, momentum=1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (lambda: fn.sgd(0.1, momentum=-0.1), r"momentum must be in \[0, 1\), got -0.1"),
        (lambda: fn.nesterov(0.1, momentum=0.0), "nesterov needs a momentum above 0"),
        (lambda: fn.nesterov(0.1, momentum=1), r"momentum must be in \[0, 1\), got 1"),
        (lambda: fn.rmsprop(alpha=1.0), r"alpha must be in \[0, 1\), got 1.0"),
        (lambda: fn.rmsprop(momentum=1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (lambda: fn.rmsprop(eps=-1), "eps must be .* got -1"),
        (lambda: fn.adagrad(eps=-1), "eps must be .* got -1"),
        (lambda: fn.adamax(b1=1), r"b1 must be in \[0, 1\), got 1"),
        (lambda: fn.adamax(b2=1), r"b2 must be in \[0, 1\), got 1"),
        (lambda: fn.adamax(eps=math.nan), "eps must be .* got nan"),
        (lambda: fn.sm3(0.1, momentum=1), r"momentum must be in \[0, 1\), got 1"),
        (lambda: fn.scale_by_sm3(eps=-1), "eps must be .* got -1"),
        (lambda: fn.average_params(1.0), r"decay must be in \[0, 1\), got 1.0"),
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
        (lambda: fn.clip_by_value(-1), "max_value must be .* got -1"),
        (lambda: fn.clip_by_value(0), "max_value must be .* got 0"),
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
