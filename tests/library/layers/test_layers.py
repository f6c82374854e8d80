"""Every layer and combinator keeps every promise; spot values; what misuse says."""

import inspect
import re

import numpy as np
import pytest
from cases import LAYERS, square
from helpers import assert_same_bits, batch_last, normal_batch

import funcnn as fn

KEY = fn.random.key(0)


CASES = [
    pytest.param(layer, shape, id=f"{name}-{i}-{shape}")
    for name, cases in LAYERS.items()
    for i, (layer, shape) in enumerate(cases)
]
every_layer = pytest.mark.parametrize(("layer", "shape"), CASES)


@every_layer
def test_keeps_every_promise_of_the_contract(layer, shape):
    report = fn.check_layer(layer, shape)
    assert report.leaves


@every_layer
def test_keeps_every_promise_for_one_sample_and_another_key(layer, shape):
    fn.check_layer(layer, shape, batch=1, rng=fn.random.key(7))


@every_layer
def test_is_in_evaluation_unless_it_is_asked_to_train(layer, shape):
    assert inspect.signature(layer.apply).parameters["train"].default is False


@every_layer
def test_wrt_params_gives_no_dx(layer, shape):
    _, params = layer.init(KEY, shape)
    y, vjp = layer.apply(params, normal_batch(KEY, shape), rng=KEY, wrt="params")
    assert vjp(y)[1] is None


@every_layer
@pytest.mark.parametrize("train", [False, True])
def test_wrt_x_gives_dx_alone(layer, shape, train):
    _, params = layer.init(KEY, shape)
    x = normal_batch(KEY, shape)
    y, vjp = layer.apply(params, x, rng=KEY, train=train)
    y_x, vjp_x = layer.apply(params, x, rng=KEY, train=train, wrt="x")
    dparams, dx = vjp_x(y)
    assert fn.tree.leaves(dparams) == []
    assert_same_bits((y_x, dx), (y, vjp(y)[1]))


@every_layer
def test_params_have_the_dtype_that_init_is_asked_for(layer, shape):
    _, params = layer.init(KEY, shape, dtype=np.float64)
    assert all(leaf.dtype == np.float64 for leaf in fn.tree.leaves(params))
    assert fn.tree.all_close(params, layer.init(KEY, shape)[1])


def with_size(shape, size):
    """The shape with this size in the end, of its last array if there are several."""
    if shape and isinstance(shape[-1], tuple):
        return (*shape[:-1], with_size(shape[-1], size))
    return (*shape, size)


@every_layer
@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_in_the_input_shape_is_refused(layer, shape, size):
    with pytest.raises(ValueError, match=rf"at least 1, got shape .*{size}"):
        layer.init(KEY, with_size(shape, size))


@every_layer
def test_a_misspelt_keyword_is_a_type_error(layer, shape):
    _, params = layer.init(KEY, shape)
    with pytest.raises(TypeError, match="dtyp"):
        layer.init(KEY, shape, dtyp=np.float64)
    with pytest.raises(TypeError, match="trian"):
        layer.apply(params, normal_batch(KEY, shape), trian=True)


@every_layer
@pytest.mark.parametrize("train", [False, True])
def test_the_order_in_memory_does_not_show_in_the_values(layer, shape, train):
    _, params = layer.init(KEY, shape, dtype=np.float64)
    x = normal_batch(KEY, shape, batch=3, dtype=np.float64)
    y, vjp = layer.apply(params, x, rng=KEY, train=train)
    dy = fn.tree.map(np.cos, y)
    expected = y, vjp(dy), getattr(vjp, "statistics", None)
    y, vjp = layer.apply(params, batch_last(x), rng=KEY, train=train)
    found = y, vjp(batch_last(dy)), getattr(vjp, "statistics", None)
    for a, b in zip(fn.tree.leaves(found), fn.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["LayerNorm", "GroupNorm", "BatchNorm", "Dropout"])
@pytest.mark.parametrize("train", [False, True])
def test_images_that_lie_batch_last_in_memory_stay_so(name, train):
    layer, _ = LAYERS[name][-1]
    shape = (6, 4, 5)
    _, params = layer.init(KEY, shape)
    x = batch_last(normal_batch(KEY, shape, batch=7))
    y, vjp = layer.apply(params, x, rng=KEY, train=train)
    for array in (y, vjp(x)[1]):
        assert array.strides == x.strides


@pytest.mark.parametrize(
    ("layer", "shape"), [(fn.Flatten(), (6, 4, 5)), (fn.Reshape((3, 8, 5)), (6, 4, 5))]
)
def test_images_that_are_reshaped_keep_their_batch_last_in_memory(layer, shape):
    images = normal_batch(KEY, shape, batch=7)
    expected, expected_vjp = layer.apply({}, images)
    x = batch_last(images)
    y, vjp = layer.apply({}, x)
    np.testing.assert_array_equal(y, expected)
    assert y.strides[0] == y.itemsize
    for dy in (y, np.ascontiguousarray(y)):
        _, dx = vjp(dy)
        np.testing.assert_array_equal(dx, expected_vjp(dy)[1])
        assert dx.strides == x.strides


def test_every_public_constructor_and_combinator_is_in_the_table():
    public = {name: getattr(fn, name) for name in fn.__all__}
    functions = {name: f for name, f in public.items() if inspect.isfunction(f)}
    returning_layers = {
        name
        for name, function in functions.items()
        if inspect.signature(function).return_annotation in (fn.Layer, "Layer")
    }
    camel_case = {name for name in functions if name[0].isupper()}
    assert (returning_layers | camel_case) - {"from_spec"} == set(LAYERS)


# --- values ----------------------------------------------------------------------------------


def test_dense_values_and_derivatives_by_hand():
    params = {"weight": np.array([[1.0, 2, 3], [4, 5, 6]]), "bias": np.array([10.0, 20, 30])}
    x = np.array([[1.0, -1], [2, 0.5]])
    y, vjp = fn.Dense(3).apply(params, x)
    np.testing.assert_array_equal(y, [[7, 17, 27], [14, 26.5, 39]])
    dparams, dx = vjp(np.array([[1.0, 0, 0], [0, 0, 2]]))
    np.testing.assert_array_equal(dparams["weight"], [[1, 0, 4], [-1, 0, 1]])
    np.testing.assert_array_equal(dparams["bias"], [1, 0, 2])
    np.testing.assert_array_equal(dx, [[1, 4], [6, 12]])


def test_dense_acts_on_the_last_axis():
    layer = fn.Dense(2)
    shape, params = layer.init(KEY, (3, 4))
    x = fn.random.normal(KEY, (5, 3, 4))
    y, _ = layer.apply(params, x)
    assert shape == (3, 2)
    assert set(params) == {"weight", "bias"}
    np.testing.assert_allclose(y[4, 1], x[4, 1] @ params["weight"], rtol=1e-6)


def test_dense_without_bias_has_no_bias():
    assert set(fn.Dense(2, bias=False).init(KEY, (3,))[1]) == {"weight"}


def test_dense_begins_with_zero_bias_and_glorot_weights():
    _, params = fn.Dense(300).init(KEY, (200,))
    bound = (6 / 500) ** 0.5
    assert not params["bias"].any()
    assert 0.99 * bound < np.abs(params["weight"]).max() <= bound
    assert params["weight"].std() == pytest.approx(bound / 3**0.5, rel=0.02)


@pytest.mark.parametrize("order", [lambda x: x, batch_last], ids=["NCHW", "batch last"])
@pytest.mark.parametrize("shape", [(4,), (2, 4), (3, 2, 4)])
def test_the_dx_of_dense_lies_in_memory_as_x_does(shape, order):
    layer = fn.serial(fn.Flatten(), fn.Dense(3)) if len(shape) > 1 else fn.serial(fn.Dense(3))
    _, params = layer.init(KEY, shape)
    x = order(normal_batch(KEY, shape, batch=5))
    y, vjp = layer.apply(params, x)
    dx = vjp(y)[1]
    assert dx.strides == x.strides
    expected = (y @ params[-1]["weight"].T).reshape(x.shape)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-6)


def test_relu_has_derivative_zero_at_zero():
    y, vjp = fn.Relu().apply({}, np.array([[-2.0, 0, 3]]))
    np.testing.assert_array_equal(y, [[0, 0, 3]])
    np.testing.assert_array_equal(vjp(np.full((1, 3), 5.0))[1], [[0, 0, 5]])


def test_reshape_and_flatten_keep_the_row_major_order():
    x = np.arange(12.0).reshape(2, 2, 3)
    flat, vjp = fn.Flatten().apply({}, x)
    np.testing.assert_array_equal(flat, [np.arange(6), np.arange(6, 12)])
    np.testing.assert_array_equal(vjp(flat)[1], x)
    np.testing.assert_array_equal(fn.Reshape((3, 2)).apply({}, x)[0][1, 0], [6, 7])


def test_softmax_and_its_logarithm_by_hand():
    x = np.log([[1.0, 2, 5], [3, 3, 4]])
    p = np.array([[1, 2, 5], [3, 3, 4]]) / [[8], [10]]
    np.testing.assert_allclose(fn.Softmax().apply({}, x)[0], p, rtol=1e-14)
    np.testing.assert_allclose(fn.LogSoftmax().apply({}, x)[0], np.log(p), rtol=1e-14)


def test_softmax_sums_to_one_along_its_dim():
    x = fn.random.normal(KEY, (4, 2, 3), np.float64)
    np.testing.assert_allclose(fn.Softmax(dim=1).apply({}, x)[0].sum(1), 1, rtol=1e-14)


def test_prelu_has_a_slope_for_each_channel_and_sums_its_gradient():
    layer = fn.PRelu(2)
    x = np.array([[[1.0, -2], [-3, 0]], [[-4, 5], [6, -7]]])  # (N, C, W)
    params = {"weight": np.array([0.5, 10])}
    y, vjp = layer.apply(params, x)
    np.testing.assert_array_equal(y, [[[1, -1], [-30, 0]], [[-2, 5], [6, -70]]])
    dparams, dx = vjp(np.array([[[1.0, 1], [1, 1]], [[1, 1], [1, 2]]]))
    np.testing.assert_array_equal(dparams["weight"], [-2 - 4, -3 - 14])
    np.testing.assert_array_equal(dx, [[[1, 0.5], [10, 10]], [[0.5, 1], [1, 20]]])


def test_prelu_begins_with_its_init_in_every_slope():
    assert fn.PRelu().init(KEY, (4,))[1]["weight"].tolist() == [0.25]
    assert fn.PRelu(3, init=-1).init(KEY, (3, 4))[1]["weight"].tolist() == [-1, -1, -1]


# --- dropout ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_drops_its_rate_and_scales_the_rest(rate):
    x = np.ones((100, 1000), np.float32)
    y, vjp = fn.Dropout(rate).apply({}, x, rng=KEY, train=True)
    sigma = (rate * (1 - rate) / x.size) ** 0.5
    assert abs((y == 0).mean() - rate) < 5 * sigma
    np.testing.assert_array_equal(np.unique(y), np.array([0, 1 / (1 - rate)], np.float32))
    np.testing.assert_array_equal(vjp(2 * x)[1], 2 * y)


def test_dropout_drops_entries_independently_of_each_other():
    y, _ = fn.Dropout(0.5).apply({}, np.ones((400, 400)), rng=KEY, train=True)
    kept = (y > 0) - 0.5
    for a, b in [(kept[1:], kept[:-1]), (kept[:, 1:], kept[:, :-1])]:
        assert abs((a * b).mean()) < 5 * 0.25 / 400


def test_dropout_has_one_mask_for_a_key_and_another_for_another():
    x = np.ones((4, 50))
    first, again, other = (
        fn.Dropout(0.5).apply({}, x, rng=fn.random.key(seed), train=True)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("rng", [None, KEY])
def test_dropout_in_evaluation_is_the_identity(rng):
    x = fn.random.normal(KEY, (3, 5))
    y, vjp = fn.Dropout(0.9).apply({}, x, rng=rng, train=False)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(vjp(x)[1], x)


def test_dropout_of_everything_is_zero_and_of_nothing_is_the_identity():
    x = np.ones((2, 3))
    assert not fn.Dropout(1.0).apply({}, x, rng=KEY, train=True)[0].any()
    np.testing.assert_array_equal(fn.Dropout(0.0).apply({}, x, rng=KEY, train=True)[0], x)


def test_dropout_without_a_key_in_training_says_what_to_pass():
    with pytest.raises(ValueError, match=r"needs a key: apply\(\.\.\., rng="):
        fn.Dropout(0.5).apply({}, np.ones((1, 2)), train=True)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_dropout_refuses_a_rate_that_is_no_fraction(rate):
    with pytest.raises(ValueError, match=rf"\[0, 1\], got {rate}"):
        fn.Dropout(rate)


@pytest.mark.parametrize("shape", [(30, 5), (30, 4, 5), (30, 2, 3, 2)])
def test_dropout_by_channel_drops_whole_channels_of_each_sample(shape):
    x = np.ones((40, *shape), np.float32)
    y, vjp = fn.Dropout(0.25, by_channel=True).apply({}, x, rng=KEY, train=True)
    channels = y.reshape(40, 30, -1)
    np.testing.assert_array_equal(channels, np.broadcast_to(channels[..., :1], channels.shape))
    dropped = channels[..., 0] == 0
    assert abs(dropped.mean() - 0.25) < 5 * (0.25 * 0.75 / dropped.size) ** 0.5
    assert len({row.tobytes() for row in dropped}) > 30
    np.testing.assert_array_equal(vjp(3 * x)[1], 3 * y)


@pytest.mark.parametrize("train", [False, True])
def test_dropout_by_channel_needs_axes_after_the_channels(train):
    layer = fn.Dropout(by_channel=True)
    said = r"needs axes after the channels, got a sample of shape \(3,\)"
    with pytest.raises(ValueError, match=said):
        layer.init(KEY, (3,))
    with pytest.raises(ValueError, match=said):
        layer.apply({}, np.ones((2, 3)), rng=KEY, train=train)


# --- misuse ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 4), (3,)])
def test_dense_refuses_inputs_with_other_features(shape):
    layer = fn.Dense(2)
    _, params = layer.init(KEY, (3,))
    with pytest.raises(ValueError, match=r"\(N, \.\.\., 3\), got shape \(" + str(shape[0])):
        layer.apply(params, np.ones(shape, np.float32))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, np.int64])
def test_dense_refuses_inputs_of_another_dtype_than_its_params(dtype):
    layer = fn.Dense(2)
    _, params = layer.init(KEY, (3,))
    with pytest.raises(TypeError, match=f"x is {np.dtype(dtype)} but params are float32"):
        layer.apply(params, np.ones((2, 3), dtype))


@pytest.mark.parametrize("bias", [True, False])
def test_dense_refuses_the_params_of_another_width(bias):
    _, params = fn.Dense(3, bias).init(KEY, (2,))
    with pytest.raises(ValueError, match=r"weight.*\(2, 3\)"):
        fn.Dense(4, bias).apply(params, np.ones((2, 2), np.float32))


def test_dense_refuses_inputs_without_a_feature_axis():
    with pytest.raises(ValueError, match=r"axis of features, got shape \(\)"):
        fn.Dense(2).init(KEY, ())


MADE_OF_OTHERS = {"funcnn.layers.branches", "funcnn.layers.combinators"}
KEEPS_INTEGERS = {"Flatten", "Reshape"}
OTHERS_SAY_SO = {"Dense", "PRelu", "Conv", "ConvTranspose"} | {
    name for name in LAYERS if getattr(fn, name).__module__ in MADE_OF_OTHERS
}


@pytest.mark.parametrize("name", sorted(set(LAYERS) - KEEPS_INTEGERS - OTHERS_SAY_SO))
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_pixels_must_be_made_floats_first(name, dtype):
    layer, shape = LAYERS[name][0]
    _, params = layer.init(KEY, shape)
    with pytest.raises(TypeError, match=f"floats, got {np.dtype(dtype)}"):
        layer.apply(params, np.ones((2, *shape), dtype))


@pytest.mark.parametrize(
    "layer",
    [
        *(fn.PRelu(), fn.PRelu(3), fn.LayerNorm(), fn.LayerNorm(2), fn.GroupNorm(3)),
        *(fn.BatchNorm(), fn.BatchNorm(affine=False)),
    ],
)
def test_inputs_of_another_dtype_than_the_params_are_an_error(layer):
    _, params = layer.init(KEY, (3, 4))
    with pytest.raises(TypeError, match="x is float64 but params are float32"):
        layer.apply(params, np.ones((2, 3, 4)))


@pytest.mark.parametrize("shape", [(), (4,), (4, 3), (1,)])
def test_prelu_refuses_another_number_of_channels_than_it_has_slopes(shape):
    layer = fn.PRelu(3)
    _, params = layer.init(KEY, (3,))
    said = rf"expected 3 channels, .*, got a sample of shape \({', '.join(map(str, shape))}"
    with pytest.raises(ValueError, match=said):
        layer.init(KEY, shape)
    with pytest.raises(ValueError, match=said):
        layer.apply(params, np.ones((2, *shape), np.float32))


@pytest.mark.parametrize(
    ("layer", "shape", "other"),
    [
        (fn.PRelu(3), (3,), (3, 2)),
        (fn.PRelu(), (3,), (2,)),
        (fn.LayerNorm(), (4,), (1,)),
        (fn.GroupNorm(2), (4, 3), (2,)),
        (fn.BatchNorm(), (4, 3), (1,)),
    ],
)
def test_a_weight_that_does_not_fit_is_an_error(layer, shape, other):
    _, params = layer.init(KEY, shape)
    params = params | {"weight": np.ones(other, np.float32)}
    with pytest.raises(ValueError, match=r"expected a weight of shape \(\d,\), got \("):
        layer.apply(params, np.ones((2, *shape), np.float32))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: fn.PRelu(0), "PRelu: every size must be at least 1"),
        (lambda: fn.PRelu(1.5), "PRelu: a shape is a tuple of integers"),
        (lambda: fn.PRelu(init=NAN), "init must be a finite number, got nan"),
        (lambda: fn.LayerNorm(0), "LayerNorm: every size must be at least 1"),
        (lambda: fn.LayerNorm(eps=-1e-5), "eps must be a finite number of at least 0, got -1e-05"),
        (lambda: fn.GroupNorm(0), "GroupNorm: every size must be at least 1"),
        (lambda: fn.GroupNorm(2, eps=-1), "eps must be a finite number of at least 0, got -1"),
        (lambda: fn.BatchNorm(eps=NAN), "eps must be a finite number of at least 0, got nan"),
        (lambda: fn.BatchNorm(momentum=1.5), r"momentum must be in \[0, 1\], got 1.5"),
        (lambda: fn.BatchNorm(momentum=None), r"momentum must be in \[0, 1\], got None"),
        (lambda: fn.LeakyRelu(INF), "negative_slope must be a finite number, got inf"),
        (lambda: fn.LeakyRelu("0.1"), "negative_slope must be a finite number, got '0.1'"),
        (lambda: fn.Elu(NAN), "alpha must be a finite number, got nan"),
        (lambda: fn.Softplus(0), "beta must be a finite number above 0, got 0"),
        (lambda: fn.Softplus(threshold=NAN), "threshold must be a finite number, got nan"),
        (lambda: fn.HardTanh(2.0), "max_val must be a finite number above 2, got 1.0"),
        (lambda: fn.HardTanh(-INF), "min_val must be a finite number, got -inf"),
        (lambda: fn.Gelu("tan"), "approximate is 'none' or 'tanh', got 'tan'"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    "layer",
    [
        fn.PRelu(init=np.float64(0.1)),
        fn.LayerNorm(eps=np.float64(1e-3)),
        fn.GroupNorm(2, eps=np.float64(1e-3)),
        fn.BatchNorm(eps=np.float64(1e-3), momentum=np.float64(0.2)),
        fn.LeakyRelu(np.float64(0.1)),
        fn.Elu(np.float64(0.5)),
        fn.Softplus(np.float64(2), np.float64(10)),
        fn.HardTanh(np.float64(-2), np.float64(2)),
    ],
    ids=lambda layer: layer.spec["layer"],
)
def test_a_numpy_number_as_argument_does_not_change_the_dtype(layer):
    fn.check_layer(layer, (4,))


def test_reshape_refuses_another_number_of_entries():
    layer = fn.Reshape((2, 2))
    with pytest.raises(ValueError, match=r"shape \(5,\) to \(2, 2\)"):
        layer.init(KEY, (5,))
    with pytest.raises(ValueError, match=r"shape \(5,\) to \(2, 2\)"):
        layer.apply({}, np.ones((4, 5)))


@pytest.mark.parametrize("make", [fn.Softmax, fn.LogSoftmax])
@pytest.mark.parametrize("dim", [0, -2, 2, -5])
def test_softmax_refuses_the_batch_axis_and_axes_that_are_not_there(make, dim):
    with pytest.raises(ValueError, match=rf"dim={dim} is not an axis .* \(3,\)"):
        make(dim).apply({}, np.ones((2, 3)))


def test_an_elementwise_function_must_keep_the_shape():
    layer = fn.elementwise(lambda x: (x.sum(1), lambda dy: dy))
    with pytest.raises(ValueError, match=r"changed shape \(2, 3\) to \(2,\)"):
        layer.apply({}, np.ones((2, 3)))


@pytest.mark.parametrize("features", [0, -3])
def test_dense_refuses_a_width_below_one(features):
    with pytest.raises(ValueError, match=f"Dense: .* at least 1, .*{features}"):
        fn.Dense(features)


def test_reshape_refuses_a_size_below_one():
    with pytest.raises(ValueError, match=r"Reshape: .* at least 1, got shape \(-1, 2\)"):
        fn.Reshape((-1, 2))


@pytest.mark.parametrize("shape", [5, (2.0,), ("a",), None])
def test_an_input_shape_is_a_tuple_of_integers(shape):
    with pytest.raises(ValueError, match="Relu: a shape is a tuple of integers, got"):
        fn.Relu().init(KEY, shape)


@pytest.mark.parametrize(
    ("make", "keyword"),
    [
        (lambda: fn.Dense(3, biass=False), "biass"),
        (lambda: fn.Dropout(p=0.5), "p"),
        (lambda: fn.Softmax(axis=1), "axis"),
        (lambda: fn.LogSoftmax(axis=1), "axis"),
        (lambda: fn.Relu(inplace=True), "inplace"),
        (lambda: fn.Gelu(approx="tanh"), "approx"),
        (lambda: fn.LayerNorm(normalized_shape=(3,)), "normalized_shape"),
        (lambda: fn.BatchNorm(num_features=3), "num_features"),
        (lambda: fn.GroupNorm(2, num_channels=4), "num_channels"),
        (lambda: fn.Flatten(start_dim=1), "start_dim"),
        (lambda: fn.Conv(2, 3, padding_mode="reflect"), "padding_mode"),
        (lambda: fn.Conv(in_channels=1, out_channels=2, kernel_size=3), "in_channels"),
        (lambda: fn.MaxPool(2, return_indices=True), "return_indices"),
        (lambda: fn.SumPool(2, ceil_mode=True), "ceil_mode"),
        (lambda: fn.AvgPool(2, divisor_override=1), "divisor_override"),
        (lambda: fn.Reshape(size=(2,)), "size"),
        (lambda: fn.serial(fn.Relu(), name="net"), "name"),
        (lambda: fn.elementwise(func=square), "func"),
    ],
)
def test_a_constructor_refuses_an_argument_that_it_does_not_have(make, keyword):
    with pytest.raises(TypeError, match=f"'{keyword}'"):
        make()


@pytest.mark.parametrize(
    "layer",
    [
        *(fn.Dense(3), fn.Relu(), fn.Flatten(), fn.Reshape((3, 1)), fn.Dropout(0.5)),
        *(fn.PRelu(), fn.LayerNorm(), fn.GroupNorm(3), fn.BatchNorm()),
    ],
)
def test_a_cotangent_of_another_shape_or_dtype_is_an_error(layer):
    _, params = layer.init(fn.random.key(0), (3,))
    x = np.ones((4, 3), np.float32)
    y, vjp = layer.apply(params, x, rng=fn.random.key(1), train=True)
    with pytest.raises(ValueError, match="dy must be float32 of shape"):
        vjp(y.astype(np.float64))
    with pytest.raises(ValueError, match=r"got float32 of \(1, "):
        vjp(y[:1])


@pytest.mark.parametrize("bias", [np.zeros(1, "f4"), np.zeros((4, 3), "f4"), np.zeros(3)])
def test_a_bias_that_does_not_fit_is_an_error(bias):
    layer = fn.serial(fn.Dense(3))
    _, params = layer.init(fn.random.key(0), (2,))
    params = [{"weight": params[0]["weight"], "bias": bias}]
    with pytest.raises(ValueError, match=r"layer 0 \(Dense\): expected a bias float32 \(3,\)"):
        layer.apply(params, np.ones((4, 2), np.float32))


def test_a_dense_that_was_given_its_inputs_is_told_what_to_type():
    with pytest.raises(TypeError, match=r"^Dense: bias is True or False, got 10; .*: Dense\(10\)$"):
        fn.Dense(784, 10)
    with pytest.raises(TypeError, match=r"^Dense: bias is True or False, got 'no'$"):
        fn.Dense(10, "no")


def test_inputs_of_another_dtype_are_told_how_to_have_that_of_the_params():
    params = fn.Dense(2).init(KEY, (3,))[1]
    for x in (np.ones((4, 3)), np.ones((4, 3), np.uint8), np.ones((4, 3), ">f4")):
        said = f'x is {x.dtype} but params are float32: x.astype("float32")'
        with pytest.raises(TypeError, match=f"^{re.escape(said)}$"):
            fn.Dense(2).apply(params, x)
        fn.Dense(2).apply(params, x.astype("float32"))
