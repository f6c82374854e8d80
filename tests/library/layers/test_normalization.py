"""What is special to the layers that normalise: by hand, precision, statistics, misuse."""

import numpy as np
import pytest
from helpers import assert_same_bits, batch_last, frozen, normal_batch

import funcnn as fn
from funcnn.layers import batch_norm

KEY = fn.random.key(0)


# --- LayerNorm -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dims", "shape", "of_params"),
    [(1, (2, 3), (3,)), (2, (2, 3), (2, 3)), (2, (4, 2, 3), (2, 3)), (3, (4, 2, 3), (4, 2, 3))],
)
def test_layer_norm_has_params_of_the_last_axes(dims, shape, of_params):
    output_shape, params = fn.LayerNorm(dims).init(KEY, shape)
    assert output_shape == shape
    np.testing.assert_array_equal(params["weight"], np.ones(of_params))
    np.testing.assert_array_equal(params["bias"], np.zeros(of_params))


def test_layer_norm_by_hand():
    params = {"weight": np.array([1.0, 2, 3]), "bias": np.array([0.0, 0, 10])}
    y, _ = fn.LayerNorm(eps=1).apply(params, np.array([[1.0, 2, 6], [5, 5, 5]]))
    scale = 1 / (14 / 3 + 1) ** 0.5
    np.testing.assert_allclose(y, [[-2 * scale, -2 * scale, 9 * scale + 10], [0, 0, 10]])


@pytest.mark.parametrize("mean", [1e4, -3e4, 1e6])
def test_layer_norm_of_a_small_spread_on_a_large_mean_keeps_its_precision(mean):
    x = (np.float32(mean) + fn.random.normal(KEY, (4, 300))).astype(np.float32)
    exact = x.astype(np.float64)
    layer = fn.LayerNorm(elementwise_affine=False)
    (y, vjp), (expected, expected_vjp) = layer.apply({}, x), layer.apply({}, exact)
    reference = (exact - exact.mean(1, keepdims=True)) / np.sqrt(exact.var(1) + 1e-5)[:, None]
    np.testing.assert_allclose(expected, reference, atol=1e-9)
    np.testing.assert_allclose(y, reference, rtol=1e-6, atol=1e-6)
    dy = fn.random.normal(fn.random.key(1), x.shape)
    np.testing.assert_allclose(vjp(dy)[1], expected_vjp(dy.astype("f8"))[1], atol=2e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4 / 3, -1e7 / 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layer_norm_of_a_constant_row_is_the_bias(value, dtype):
    layer = fn.LayerNorm()
    _, params = layer.init(KEY, (1000,), dtype=dtype)
    y, vjp = layer.apply(params, np.full((2, 1000), value, dtype))
    # A mean is right to a few roundings, the second one of what the first has left.
    np.testing.assert_allclose(y, 0, atol=abs(value) * (8 * np.finfo(dtype).eps) ** 2 / 1e-5**0.5)
    assert np.isfinite(vjp(np.ones_like(y))[1]).all()


def test_layer_norm_refuses_a_sample_of_too_few_axes():
    layer = fn.LayerNorm(2)
    with pytest.raises(ValueError, match=r"shape \(3,\) has no 2 last axes"):
        layer.init(KEY, (3,))
    with pytest.raises(ValueError, match=r"shape \(3,\) has no 2 last axes"):
        layer.apply(layer.init(KEY, (2, 3))[1], np.ones((2, 3), np.float32))


def test_a_bias_of_a_layer_norm_that_would_be_broadcast_is_an_error():
    params = {"weight": np.ones(4), "bias": np.zeros(1)}
    with pytest.raises(ValueError, match=r"expected a bias of shape \(4,\), got \(1,\)"):
        fn.LayerNorm().apply(params, np.ones((2, 4)))


def test_layer_norm_of_whole_images_has_mean_zero_and_variance_one_in_each():
    x = batch_last(3 * normal_batch(KEY, (4, 5, 6), batch=3, dtype=np.float64) + 2)
    y, _ = fn.LayerNorm(3, eps=0, elementwise_affine=False).apply({}, x)
    np.testing.assert_allclose(y.mean((1, 2, 3)), 0, atol=1e-14)
    np.testing.assert_allclose(y.var((1, 2, 3)), 1, rtol=1e-14)


# --- GroupNorm -------------------------------------------------------------------------------


def test_group_norm_by_hand():
    params = {"weight": np.array([1.0, 1, 2, 1]), "bias": np.array([0.0, 0, 0, 10])}
    y, _ = fn.GroupNorm(2, eps=1).apply(params, np.array([[1.0, 5, 2, 2]]))
    scale = 1 / 5**0.5
    np.testing.assert_allclose(y, [[-2 * scale, 2 * scale, 0, 10]])


def test_group_norm_of_one_group_is_layer_norm_and_of_single_channels_takes_each_by_itself():
    x = normal_batch(KEY, (4, 3, 2), dtype=np.float64)
    whole, _ = fn.GroupNorm(1, affine=False).apply({}, x)
    np.testing.assert_allclose(whole, fn.LayerNorm(3, elementwise_affine=False).apply({}, x)[0])
    alone, _ = fn.GroupNorm(4, affine=False).apply({}, x)
    np.testing.assert_allclose(alone, fn.LayerNorm(2, elementwise_affine=False).apply({}, x)[0])


@pytest.mark.parametrize(("channels", "groups"), [(4, 3), (2, 4), (1, 2)])
def test_group_norm_refuses_channels_that_cannot_be_cut_in_its_groups(channels, groups):
    layer = fn.serial(fn.GroupNorm(groups))
    said = rf"layer 0 \(GroupNorm\): {channels} channels cannot be cut in {groups} equal groups"
    with pytest.raises(ValueError, match=said):
        layer.init(KEY, (channels, 3))
    params = [{"weight": np.ones(channels), "bias": np.ones(channels)}]
    with pytest.raises(ValueError, match=said):
        layer.apply(params, np.ones((2, channels, 3)))


@pytest.mark.parametrize("layer", [fn.GroupNorm(1), fn.BatchNorm()])
def test_a_sample_without_channels_is_an_error(layer):
    _, params = layer.init(KEY, (1,))
    for use in (
        lambda: layer.init(KEY, ()),
        lambda: layer.apply(params, np.ones(3, np.float32)),
        lambda: layer.apply(params, np.ones(3, np.float32), train=True),
    ):
        with pytest.raises(ValueError, match=r"axis of channels, got a sample of shape \(\)"):
            use()


# --- BatchNorm -------------------------------------------------------------------------------


def test_batch_norm_keeps_every_promise_on_features():
    fn.check_layer(fn.BatchNorm(), (3,))
    fn.check_layer(fn.BatchNorm(affine=False), (1,), batch=4)
    fn.check_layer(fn.serial(fn.Dense(3), fn.BatchNorm(), fn.Tanh(), fn.Dense(2)), (4,))


def test_batch_norm_by_hand():
    layer = fn.BatchNorm(eps=1, momentum=0.25)
    params = {
        "weight": np.array([1.0, 2]),
        "bias": np.array([0.0, 10]),
        "running_mean": np.array([4.0, 0]),
        "running_var": np.array([8.0, 3]),
    }
    x = np.array([[1.0, 2], [5, 2]])
    y, vjp = layer.apply(params, x, train=True)
    np.testing.assert_allclose(y, [[-2 / 5**0.5, 10], [2 / 5**0.5, 10]])
    assert vjp.statistics["weight"] is vjp.statistics["bias"] is None
    np.testing.assert_allclose(vjp.statistics["running_mean"], [3.75, 0.5])
    np.testing.assert_allclose(vjp.statistics["running_var"], [8, 2.25])  # of 8 and 0, unbiased
    y, vjp = layer.apply(params, x)
    np.testing.assert_allclose(y, [[-1, 12], [1 / 3, 12]])
    assert not hasattr(vjp, "statistics")


def test_batch_norm_is_defined_before_the_first_step():
    layer = fn.BatchNorm(eps=0)
    shape, params = layer.init(KEY, (3, 2, 2))
    assert shape == (3, 2, 2)
    assert {name: leaf.tolist() for name, leaf in params.items()} == {
        "weight": [1] * 3,
        "bias": [0] * 3,
        "running_mean": [0] * 3,
        "running_var": [1] * 3,
    }
    x = normal_batch(KEY, (3, 2, 2))
    np.testing.assert_array_equal(layer.apply(params, x)[0], x)


def test_batch_norm_without_weights_has_its_statistics_alone():
    assert set(fn.BatchNorm(affine=False).init(KEY, (3,))[1]) == {"running_mean", "running_var"}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_statistics_is_zero_and_float32_stays_float32(train, dtype):
    layer = fn.BatchNorm()
    _, params = layer.init(KEY, (2, 3), dtype=dtype)
    x = normal_batch(KEY, (2, 3), dtype=dtype)
    y, vjp = layer.apply(frozen(params), frozen(x), train=train)
    dparams, dx = vjp(y)
    for name in ("running_mean", "running_var"):
        assert_same_bits(dparams[name], np.zeros(2, dtype))
    new = [leaf for leaf in getattr(vjp, "statistics", {}).values() if leaf is not None]
    assert len(new) == 2 * train
    assert {array.dtype for array in (y, dx, *dparams.values(), *new)} == {np.dtype(dtype)}


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1)])
def test_a_single_value_a_channel_cannot_train(shape):
    layer = fn.serial(fn.BatchNorm())
    _, params = layer.init(KEY, shape[1:])
    x = np.ones(shape, np.float32)
    said = r"layer 0 \(BatchNorm\): expected more than 1 value per channel when training, got x"
    with pytest.raises(ValueError, match=said):
        layer.apply(params, x, train=True)
    assert np.isfinite(layer.apply(params, x)[0]).all()


def test_a_running_statistic_that_does_not_fit_is_an_error():
    layer = fn.BatchNorm()
    _, params = layer.init(KEY, (3,))
    params["running_var"] = np.ones(1, np.float32)
    with pytest.raises(ValueError, match=r"expected a running_var of shape \(3,\), got \(1,\)"):
        layer.apply(params, np.ones((2, 3), np.float32))


@pytest.mark.parametrize("order", [lambda x: x, batch_last], ids=["NCHW", "batch last"])
@pytest.mark.parametrize("mean", [0, 1e4, -1e6])
def test_batch_norm_of_many_values_on_a_large_mean_keeps_its_precision(order, mean):
    x = order((np.float32(mean) + normal_batch(KEY, (2, 28, 28), 400)).astype(np.float32))
    exact = x.astype(np.float64)
    layer = fn.BatchNorm(momentum=1, affine=False)
    _, params = layer.init(KEY, x.shape[1:])
    y, vjp = layer.apply(params, x, train=True)
    variance = exact.var((0, 2, 3), keepdims=True)
    reference = (exact - exact.mean((0, 2, 3), keepdims=True)) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(y, reference, rtol=5e-6, atol=5e-6)
    unbiased = exact.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(vjp.statistics["running_var"], unbiased, rtol=1e-5)


@pytest.mark.parametrize("order", [lambda x: x, batch_last], ids=["NCHW", "batch last"])
@pytest.mark.parametrize(("batch", "shape"), [(500_000, (2,)), (1, (2, 700, 700))])
def test_a_million_values_are_added_up_precisely(order, batch, shape):
    x = order((2 * normal_batch(KEY, shape, batch) + 5).astype(np.float32))
    layer = fn.BatchNorm(momentum=1)
    _, params = layer.init(KEY, shape)
    y, vjp = layer.apply(params, x, train=True)
    axes = (0, *range(2, x.ndim))
    exact = x.astype(np.float64).var(axes, ddof=1)
    np.testing.assert_allclose(vjp.statistics["running_var"], exact, rtol=2e-6)
    dy = np.ones_like(y) + x
    dbias = vjp(dy)[0]["bias"]
    np.testing.assert_allclose(dbias, dy.sum(axes, dtype=np.float64), rtol=2e-6)


@pytest.mark.parametrize("order", [lambda x: x, batch_last], ids=["NCHW", "batch last"])
@pytest.mark.parametrize("shape", [(9,), (7, 3, 4)])
def test_the_bits_do_not_depend_on_threads_nor_the_values_on_blocks(order, shape, monkeypatch):
    layer = fn.BatchNorm()
    _, params = layer.init(KEY, shape)
    x = order(normal_batch(KEY, shape, batch=16))

    def run(threads):
        with fn.threads.use_threads(threads):
            y, vjp = layer.apply(params, x, train=True)
            return y, vjp(np.cos(y)), vjp.statistics

    whole = run(1)
    monkeypatch.setattr(batch_norm, "BLOCK_ENTRIES", 16)
    one, two = run(1), run(2)
    assert_same_bits(one, two)
    assert fn.tree.all_close(whole, one, rtol=1e-5, atol=1e-6)


# --- BatchNorm in training -------------------------------------------------------------------


def small_net():
    model = fn.serial(fn.BatchNorm(), fn.Flatten(), fn.Dense(3), fn.BatchNorm())
    _, params = model.init(KEY, (2, 2, 2))
    return model, params, (normal_batch(KEY, (2, 2, 2), batch=12), np.arange(12) % 3)


def train(optimizer, steps=5):
    model, params, data = small_net()
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    states = [fn.TrainState.create(params, optimizer)]
    for _ in range(steps):
        states.append(step(states[-1], data)[0])
    return model, data, states


def statistics(params):
    return [[layer[name] for name in ("running_mean", "running_var")] for layer in params[::3]]


def test_a_snapshot_keeps_the_statistics(tmp_path):
    model, (x, _), states = train(fn.adamw(0.1))
    fn.save(tmp_path / "params.npz", states[-1].params, model=model)
    again = fn.load(tmp_path / "params.npz")
    assert_same_bits(again.params, states[-1].params)
    expected = fn.predict(model.apply, states[-1].params, x)
    assert_same_bits(fn.predict(again.model.apply, again.params, x), expected)


def test_what_is_frozen_stays_but_statistics_move_on():
    _, _, states = train(fn.chain(fn.adamw(0.1), fn.freeze(True)))
    first, last = states[0].params, states[-1].params
    assert_same_bits(last[0]["weight"], first[0]["weight"])
    assert_same_bits(last[2], first[2])
    for new, old in zip(*map(fn.tree.leaves, map(statistics, (last, first))), strict=True):
        assert (new != old).all()


def test_a_mask_that_leaves_statistics_out_changes_nothing():
    def learned(params):
        return fn.tree.map_with_path(lambda path, _: "running" not in path, params)

    _, _, states = train(fn.chain(fn.add_decayed_weights(0.1), fn.sgd(0.1, momentum=0.9)))
    optimizer = fn.chain(fn.add_decayed_weights(0.1), fn.sgd(0.1, momentum=0.9))
    _, _, masked = train(fn.masked(optimizer, learned))
    assert_same_bits(masked[-1].params, states[-1].params)


def test_averaged_statistics_are_late_by_a_step():
    _, _, states = train(fn.chain(fn.sgd(0.1), fn.average_params(0.0)))
    average = fn.averaged_params(states[-1].opt_state)
    assert_same_bits(average[2], states[-1].params[2])
    assert_same_bits(statistics(average), statistics(states[-2].params))


def test_an_image_s_prediction_does_not_depend_on_the_others():
    model, (x, _), states = train(fn.sgd(0.1))
    together = fn.predict(model.apply, states[-1].params, x)
    for i in range(len(x)):
        alone = fn.predict(model.apply, states[-1].params, x[i : i + 1])
        np.testing.assert_allclose(alone, together[i : i + 1], rtol=1e-6, atol=1e-6)
