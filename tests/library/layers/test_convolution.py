"""Conv and ConvTranspose: values, memory, misuse. Their derivatives are in the tables of checks."""

import re

import numpy as np
import pytest
from helpers import assert_same_bits, frozen, memory_orders, normal_batch

import funcnn as fn
from funcnn.layers import convolution
from funcnn.ops import windows

KEY = fn.random.key(0)
LAYERS = {
    "Conv": fn.Conv(4, 3),
    "Conv, everything": fn.Conv(4, (3, 2), (2, 1), (1, 2), (1, 2), 2),
    "Conv, same": fn.Conv(4, 4, padding="same", bias=False),
    "Conv, 1x1": fn.Conv(4, 1),
    "ConvTranspose": fn.ConvTranspose(4, 3),
    "ConvTranspose, everything": fn.ConvTranspose(4, (3, 2), (2, 1), 1, (1, 1), (1, 2), 2),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
SHAPE = (2, 7, 6)


@every_layer
def test_wrt_x_computes_no_cotangent_of_the_weight(layer, monkeypatch):
    params, x, dy = float64_case(layer)
    _, dx = layer.apply(params, x)[1](dy)
    monkeypatch.setattr(convolution, "cotangent_of_weight", None)
    dparams, dx_alone = layer.apply(params, x, wrt="x")[1](dy)
    assert dparams is None
    assert_same_bits(dx_alone, dx)


def float64_case(layer, batch=5):
    """Params, a batch of images and a cotangent."""
    shape, params = layer.init(KEY, SHAPE, dtype=np.float64)
    params = fn.tree.map(lambda leaf: fn.random.normal(KEY, leaf.shape, np.float64), params)
    x, dy = (
        normal_batch(fn.random.key(seed), sizes, batch, np.float64)
        for seed, sizes in enumerate([SHAPE, shape])
    )
    return params, x, dy


def assert_close(ours, expected, tolerance=1e-12):
    for a, b in zip(fn.tree.leaves(ours), fn.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(initial=1))


# --- values ----------------------------------------------------------------------------------


def test_conv_by_hand():
    x = np.array([[[[1.0, 2, 3], [4, 5, 6]]]])  # (N, C, H, W)
    params = {"weight": np.array([[[[1.0, 10], [100, 1000]]]]), "bias": np.array([0.5])}
    y, vjp = fn.Conv(1, 2).apply(params, x)
    np.testing.assert_array_equal(y, [[[[5421.5, 6532.5]]]])
    dparams, dx = vjp(np.array([[[[1.0, 2]]]]))
    np.testing.assert_array_equal(dparams["weight"], [[[[5, 8], [14, 17]]]])
    np.testing.assert_array_equal(dparams["bias"], [3])
    np.testing.assert_array_equal(dx, [[[[1, 12, 20], [100, 1200, 2000]]]])


def test_conv_transpose_by_hand():
    x = np.array([[[1.0, 2]]])  # (N, C, L)
    params = {"weight": np.array([[[1.0, 10, 100]]]), "bias": np.array([0.5])}
    y, vjp = fn.ConvTranspose(1, 3, stride=2).apply(params, x)
    np.testing.assert_array_equal(y, [[[1.5, 10.5, 102.5, 20.5, 200.5]]])
    dparams, dx = vjp(np.array([[[1.0, 2, 3, 4, 5]]]))
    np.testing.assert_array_equal(dparams["weight"], [[[7, 10, 13]]])
    np.testing.assert_array_equal(dparams["bias"], [15])
    np.testing.assert_array_equal(dx, [[[321, 543]]])


def test_a_1x1_convolution_is_dense_along_the_channels():
    params, x, dy = float64_case(fn.Conv(4, 1))
    y, vjp = fn.Conv(4, 1).apply(params, x)
    dense = {"weight": params["weight"][:, :, 0, 0].T, "bias": params["bias"]}
    y_dense, dense_vjp = fn.Dense(4).apply(dense, np.moveaxis(x, 1, -1))
    assert_close(y, np.moveaxis(y_dense, -1, 1))
    (dparams, dx), (ddense, dx_dense) = vjp(dy), dense_vjp(np.moveaxis(dy, 1, -1))
    assert_close(dparams["weight"][:, :, 0, 0], ddense["weight"].T)
    assert_close((dparams["bias"], dx), (ddense["bias"], np.moveaxis(dx_dense, -1, 1)))


def test_groups_are_convolutions_beside_each_other():
    layer = fn.Conv(6, 3, padding=1, groups=2)
    _, params = layer.init(KEY, (4, 5, 5), dtype=np.float64)
    x = normal_batch(KEY, (4, 5, 5), dtype=np.float64)
    y, _ = layer.apply(params, x)
    for group in range(2):
        of_group = {name: leaf[3 * group :][:3] for name, leaf in params.items()}
        alone, _ = fn.Conv(3, 3, padding=1).apply(of_group, x[:, 2 * group :][:, :2])
        assert_close(y[:, 3 * group :][:, :3], alone)


@pytest.mark.parametrize(
    "arguments",
    [
        {"stride": 2},
        {"padding": 1, "groups": 2},
        {"stride": (1, 3), "dilation": (2, 1), "padding": (2, 0)},
    ],
)
def test_a_transposed_convolution_is_the_vjp_of_the_convolution(arguments):
    conv, transpose = (make(2, 3, bias=False, **arguments) for make in (fn.Conv, fn.ConvTranspose))
    (_, *sizes), params = conv.init(KEY, (2, 7, 9), dtype=np.float64)
    x, dy = (normal_batch(KEY, (2, *s), dtype=np.float64) for s in ((7, 9), sizes))
    _, vjp = conv.apply(params, x)
    y, transpose_vjp = transpose.apply(params, dy)
    dparams, dx = vjp(dy)
    assert_close(y, dx)
    assert_close(transpose_vjp(x)[1], conv.apply(params, x)[0])
    assert_close(transpose_vjp(x)[0], dparams)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [7, 8, 9])
def test_output_padding_gives_back_the_size_that_a_convolution_had(size, stride):
    (_, smaller), _ = fn.Conv(1, 3, stride, 1).init(KEY, (1, size))
    extra = (size - 1) % stride
    shape, _ = fn.ConvTranspose(1, 3, stride, 1, extra).init(KEY, (1, smaller))
    assert shape == (1, size)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({}, (4, 5, 4)),
        ({"padding": 1}, (4, 7, 6)),
        ({"padding": (0, 2)}, (4, 5, 8)),
        ({"padding": "same"}, (4, 7, 6)),
        ({"padding": "same", "dilation": 5}, (4, 7, 6)),
        ({"padding": "valid"}, (4, 5, 4)),
        ({"stride": 2, "padding": "valid"}, (4, 3, 2)),
        ({"dilation": (3, 1)}, (4, 1, 4)),
    ],
)
def test_the_shape_that_is_declared_is_that_of_the_outputs(arguments, shape):
    layer = fn.Conv(4, 3, **arguments)
    declared, params = layer.init(KEY, SHAPE)
    assert declared == shape
    assert layer.apply(params, normal_batch(KEY, SHAPE))[0].shape == (2, *shape)


def test_of_an_odd_padding_the_larger_half_comes_after():
    params = {"weight": np.array([[[1.0, 10, 100, 1000]]]), "bias": np.zeros(1)}
    y, _ = fn.Conv(1, 4, padding="same").apply(params, np.array([[[1.0, 2, 3]]]))
    np.testing.assert_array_equal(y, [[[3210, 321, 32]]])


def test_params_are_torchs_in_name_and_shape():
    layer = fn.Conv(6, (3, 5), groups=2, bias_init=fn.initializers.normal(1.0))
    _, params = layer.init(KEY, (4, 7, 7))
    assert {k: v.shape for k, v in params.items()} == {"weight": (6, 2, 3, 5), "bias": (6,)}
    assert params["bias"].any()
    _, params = fn.ConvTranspose(6, (3, 5), groups=2, bias=False).init(KEY, (4, 7, 7))
    assert {k: v.shape for k, v in params.items()} == {"weight": (4, 3, 3, 5)}


def test_weights_begin_as_glorot_says_and_biases_as_zero():
    _, params = fn.Conv(50, 5).init(KEY, (30, 9, 9))
    bound = (6 / (25 * (30 + 50))) ** 0.5
    assert not params["bias"].any()
    assert 0.99 * bound < np.abs(params["weight"]).max() <= bound
    assert params["weight"].std() == pytest.approx(bound / 3**0.5, rel=0.02)


# --- what cannot be seen in a result ---------------------------------------------------------


@every_layer
def test_any_memory_order_of_images_and_cotangents_gives_the_same(layer):
    params, x, dy = float64_case(layer)
    y, vjp = layer.apply(params, x)
    expected = y, vjp(dy)
    for images in memory_orders(x).values():
        for cotangent in memory_orders(dy).values():
            y, vjp = layer.apply(frozen(params), images)
            first = vjp(cotangent)
            assert_close((y, first), expected)
            assert_same_bits(vjp(cotangent), first)


@every_layer
@pytest.mark.parametrize("block_bytes", [1, 1 << 40])
def test_the_size_of_a_block_is_seen_in_the_rounding_alone(layer, block_bytes, monkeypatch):
    params, x, dy = float64_case(layer)
    y, vjp = layer.apply(params, x)
    expected = y, vjp(dy)
    monkeypatch.setattr(windows, "BLOCK_BYTES", block_bytes)
    y, vjp = layer.apply(params, x)
    assert_close((y, vjp(dy)), expected)


@every_layer
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_an_image_is_seen_as_if_it_were_alone(layer, dtype, tolerance):
    params, x, dy = fn.tree.map(lambda a: a.astype(dtype), float64_case(layer, batch=40))
    y, vjp = layer.apply(params, x)
    _, dx = vjp(dy)
    assert y.dtype == dx.dtype == dtype
    for i in (0, 17, 39):
        alone, vjp_alone = layer.apply(params, x[i : i + 1])
        _, dx_alone = vjp_alone(dy[i : i + 1])
        assert_close((y[i : i + 1], dx[i : i + 1]), (alone, dx_alone), tolerance)


@pytest.mark.parametrize("name", ["Conv", "Conv, everything", "Conv, same"])
def test_images_that_come_out_have_channels_and_batch_last_in_memory(name):
    params, x, _ = float64_case(LAYERS[name])
    y, _ = LAYERS[name].apply(params, x)
    assert windows.batch_last(y).flags.c_contiguous


@every_layer
def test_no_images_give_no_images_and_gradients_of_zero(layer):
    params, x, dy = float64_case(layer, batch=0)
    y, vjp = layer.apply(params, x)
    dparams, dx = vjp(dy)
    assert y.shape == dy.shape
    assert dx.shape == x.shape
    assert not any(leaf.any() for leaf in fn.tree.leaves(dparams))
    assert fn.tree.structure(dparams) == fn.tree.structure(params)


@pytest.mark.parametrize("make", [fn.Conv, fn.ConvTranspose])
def test_numpy_integers_are_as_good_as_python_s(make):
    of_numpy = make(np.int64(4), (np.uint8(3), np.int64(2)), np.int32(2), np.int64(1))
    plain = make(4, (3, 2), 2, 1)
    assert of_numpy.spec == plain.spec
    x = normal_batch(KEY, SHAPE)
    (shape, params), (plain_shape, plain_params) = (
        layer.init(KEY, SHAPE) for layer in (of_numpy, plain)
    )
    assert shape == plain_shape
    assert all(type(size) is int for size in shape)
    assert_same_bits(params, plain_params)
    assert_same_bits(of_numpy.apply(params, x)[0], plain.apply(params, x)[0])


# --- misuse ----------------------------------------------------------------------------------

both = pytest.mark.parametrize("make", [fn.Conv, fn.ConvTranspose])


@both
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"out_channels": 0}, "out_channels must be an integer of at least 1, got 0"),
        ({"out_channels": 1.5}, "out_channels must be an integer of at least 1, got 1.5"),
        ({"groups": 0}, "groups must be an integer of at least 1, got 0"),
        ({"groups": (2, 2)}, "groups must be an integer of at least 1, got (2, 2)"),
        ({"groups": 3}, "4 out_channels cannot be divided in 3 groups"),
        ({"kernel_size": 0}, "kernel_size must be at least 1, got 0"),
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"stride": (1, 0)}, "stride must be at least 1, got (1, 0)"),
        ({"dilation": -1}, "dilation must be at least 1, got -1"),
        ({"padding": -1}, "padding must be at least 0, got -1"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(make, arguments, message):
    with pytest.raises(ValueError, match=f"^{make.__name__}: {re.escape(message)}$"):
        make(**{"out_channels": 4, "kernel_size": 3} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"padding": "full"}, "padding is a number, 'same' or 'valid', got 'full'"),
        ({"padding": "same", "stride": 2}, "padding='same' needs stride 1, got 2"),
        ({"padding": "same", "stride": (1, 2)}, "padding='same' needs stride 1, got (1, 2)"),
    ],
)
def test_a_padding_by_name_that_does_not_go_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"^Conv: {re.escape(message)}$"):
        fn.Conv(4, 3, **arguments)


@both
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("kernel_size", "3"), ("kernel_size", (3, 1.5)), ("stride", 1.5), ("dilation", None)),
        *(("padding", 0.5), ("padding", ((1, 1), (1, 1))), ("bias", 0), ("bias", None)),
    ],
)
def test_an_argument_of_another_kind_is_named_with_its_value(make, name, value):
    expected = "an integer, or a tuple of one for each spatial axis"
    if name == "bias":
        expected = "True or False"
    said = re.escape(f"{make.__name__}: {name} is {expected}, got {value!r}")
    with pytest.raises(TypeError, match=f"^{said}$"):
        make(4, **{"kernel_size": 3, name: value})


def test_a_transposed_convolution_takes_no_padding_by_name():
    with pytest.raises(TypeError, match=r"^ConvTranspose: padding is an integer.*, got 'same'$"):
        fn.ConvTranspose(4, 3, padding="same")
    with pytest.raises(ValueError, match="output_padding must be at least 0, got -1"):
        fn.ConvTranspose(4, 3, output_padding=-1)


NO_IMAGE = "expected images (channels, height, width), got shape"
LARGER = "is larger than the image of"


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (fn.Conv(4, 5), (1, 2, 2), f"a kernel of 5x5 {LARGER} 2x2, padded to 2x2"),
        (fn.Conv(4, (1, 5), padding=1), (1, 2, 2), f"a kernel of 1x5 {LARGER} 2x2, padded to 4x4"),
        (
            fn.Conv(4, 3, dilation=2),
            (1, 4, 9),
            f"a kernel of 5x5, dilated, {LARGER} 4x9, padded to 4x9",
        ),
        (fn.Conv(6, 3, groups=3), (2, 9, 9), "2 channels cannot be divided in 3 groups"),
        (fn.Conv(4, (3, 3, 3)), (2, 9, 9), "kernel_size (3, 3, 3) is for 3 spatial axes, x has 2"),
        (fn.Conv(4, 3, stride=(1, 2)), (2, 9), "stride (1, 2) is for 2 spatial axes, x has 1"),
        (fn.Conv(4, 3, padding=(1, 2)), (2, 9), "padding (1, 2) is for 2 spatial axes, x has 1"),
        (fn.Conv(4, 3, dilation=(1, 2)), (2, 9), "dilation (1, 2) is for 2 spatial axes, x has 1"),
        (fn.Conv(4, 3), (9,), f"{NO_IMAGE} (9,)"),
        (fn.Conv(4, 3), (), f"{NO_IMAGE} ()"),
        (fn.ConvTranspose(6, 3, groups=3), (2, 9, 9), "2 channels cannot be divided in 3 groups"),
        (
            fn.ConvTranspose(4, 3, 2, output_padding=2),
            (2, 9, 9),
            "output_padding (2, 2) must be less than the stride or dilation",
        ),
        (
            fn.ConvTranspose(4, 3, padding=3),
            (2, 4, 9),
            "an image of (4, 9) becomes one of (0, 5): too much padding",
        ),
        (fn.ConvTranspose(4, (3, 3)), (2, 9), "kernel_size (3, 3) is for 2 spatial axes, x has 1"),
        (fn.ConvTranspose(4, 3), (9,), f"{NO_IMAGE} (9,)"),
    ],
)
def test_a_shape_that_does_not_fit_is_an_error_with_the_layer_s_position(layer, shape, message):
    said = re.escape(f"layer 3 ({layer.spec['layer']}): {message}")
    with pytest.raises(ValueError, match=f"^{said}$"):
        fn.serial(fn.Relu(), fn.Relu(), fn.Tanh(), layer).init(KEY, shape)


@both
@pytest.mark.parametrize(
    ("groups", "shape", "message"),
    [
        (1, (5, 4, 7, 7), "expected images of 2 channels, got x of shape (5, 4, 7, 7)"),
        (1, (0, 1, 7, 7), "expected images of 2 channels, got x of shape (0, 1, 7, 7)"),
        (2, (5, 6, 7, 7), "expected images of 2 channels, got x of shape (5, 6, 7, 7)"),
        (2, (5, 3, 7, 7), "3 channels cannot be divided in 2 groups"),
        (1, (5, 98), f"{NO_IMAGE} (98,)"),
    ],
)
def test_images_of_another_shape_are_an_error(make, groups, shape, message):
    model = fn.serial(fn.Identity(), make(4, 3, groups=groups))
    _, params = model.init(KEY, (2, 7, 7))
    said = re.escape(f"layer 1 ({make.__name__}): {message}")
    with pytest.raises(ValueError, match=f"^{said}$"):
        model.apply(params, np.ones(shape, np.float32))


@both
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, np.int64, bool])
def test_images_of_another_dtype_than_the_params_are_an_error(make, dtype):
    model = fn.serial(make(4, 3))
    _, params = model.init(KEY, SHAPE)
    said = f'x is {np.dtype(dtype)} but params are float32: x.astype("float32")'
    with pytest.raises(TypeError, match=rf"^layer 0 \({make.__name__}\): {re.escape(said)}$"):
        model.apply(params, np.ones((2, *SHAPE), dtype))


@both
def test_params_of_another_layer_are_an_error(make):
    _, params = make(3, 3).init(KEY, SHAPE)
    x = normal_batch(KEY, SHAPE)
    with pytest.raises(ValueError, match=r"expected a weight of shape .*5, 5\), got .*3, 3\)"):
        make(3, 5).apply(params, x)
    said = r"for a weight of shape .* expected images .* of 4 axes, got x of shape \(2, \d, \d\)"
    with pytest.raises(ValueError, match=said):
        make(3, 3).apply(params, x[:, :, 0])
    with pytest.raises(ValueError, match=r"expected a bias of shape \(3,\), got \(1,\)"):
        make(3, 3).apply(params | {"bias": np.zeros(1, np.float32)}, x)
    with pytest.raises(TypeError, match="x is float32 but params are float64"):
        make(3, 3).apply(params | {"bias": np.zeros(3)}, x)
    with pytest.raises(ValueError, match=r"^layer 0 .*params have no 'bias'"):
        fn.serial(make(3, 3)).apply([{"weight": params["weight"]}], x)


@every_layer
def test_a_cotangent_that_does_not_fit_is_an_error(layer):
    params, x, dy = float64_case(layer)
    _, vjp = layer.apply(params, x)
    with pytest.raises(ValueError, match=r"dy must be float64 of shape \(5, 4, .* got float32"):
        vjp(dy.astype(np.float32))
    with pytest.raises(ValueError, match=r"got float64 of \(1, 4"):
        vjp(dy[:1])


def test_an_output_padding_on_an_image_that_padding_used_up():
    layer = fn.ConvTranspose(
        1, (2, 1), stride=1, padding=(2, 0), output_padding=(1, 0), dilation=(2, 1), bias=False
    )
    shape, params = layer.init(fn.random.key(0), (1, 2, 3))
    y, vjp = layer.apply(params, np.ones((1, 1, 2, 3), np.float32))
    assert y.shape == (1, *shape) == (1, 1, 1, 3)
    assert vjp(y)[1].shape == (1, 1, 2, 3)
