"""Layers that pool: values, memory, misuse. Their derivatives are in the tables of checks."""

import re

import numpy as np
import pytest
from helpers import assert_same_bits, memory_orders, normal_batch

import funcnn as fn
from funcnn.ops import windows

KEY = fn.random.key(0)
LAYERS = {
    "MaxPool": fn.MaxPool(2),
    "MaxPool, overlapping": fn.MaxPool((3, 2), 1, (1, 0)),
    "MaxPool, dilated": fn.MaxPool((3, 2), 2, 1, (2, 3), ceil_mode=True),
    "AvgPool": fn.AvgPool(2),
    "AvgPool, of the image alone": fn.AvgPool(3, 2, 1, count_include_pad=False),
    "AvgPool, beyond the image": fn.AvgPool((3, 4), 2, 1, ceil_mode=True),
    "SumPool": fn.SumPool(2),
    "SumPool, overlapping": fn.SumPool((3, 2), 1, (1, 0)),
    "GlobalAvgPool": fn.GlobalAvgPool(),
    "GlobalMaxPool": fn.GlobalMaxPool(),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
with_windows = pytest.mark.parametrize("make", [fn.MaxPool, fn.AvgPool, fn.SumPool])
SHAPE = (2, 7, 6)
X = np.array([[[[1.0, 5, 2], [7, 7, 0]], [[-4, -2, -3], [-1, -1, -6]]]])  # (N, C, H, W)


# --- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "y", "dx"),
    [
        (fn.MaxPool((2, 1)), [[[7, 7, 2]], [[-1, -1, -3]]], [[[0, 0, 1], [1, 1, 0]]] * 2),
        (
            fn.MaxPool(2, 1),
            [[[7, 7]], [[-1, -1]]],
            [[[0, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0]]],
        ),
        (fn.AvgPool(2), [[[5]], [[-2]]], [[[0.25, 0.25, 0]] * 2] * 2),
        (fn.AvgPool(2, 1), [[[5, 3.5]], [[-2, -3]]], [[[0.25, 0.5, 0.25]] * 2] * 2),
        (
            fn.AvgPool((1, 3), 2, (0, 1)),
            [[[2, 7 / 3]], [[-2, -5 / 3]]],
            [[[1 / 3, 2 / 3, 1 / 3], [0] * 3]] * 2,
        ),
        (
            fn.AvgPool((1, 3), 2, (0, 1), count_include_pad=False),
            [[[3, 3.5]], [[-3, -2.5]]],
            [[[0.5, 1, 0.5], [0] * 3]] * 2,
        ),
        (
            fn.MaxPool(2, 1, dilation=(1, 2)),
            [[[7]], [[-1]]],
            [[[0] * 3, [1, 0, 0]]] * 2,
        ),
        (
            fn.MaxPool(2, ceil_mode=True),
            [[[7, 2]], [[-1, -3]]],
            [[[0, 0, 1], [1, 0, 0]]] * 2,
        ),
        (fn.AvgPool(2, ceil_mode=True), [[[5, 1]], [[-2, -4.5]]], [[[0.25, 0.25, 0.5]] * 2] * 2),
        (  # the last window has the padding behind it, but not what is beyond that
            fn.AvgPool((2, 4), (2, 3), (0, 1), ceil_mode=True),
            [[[22 / 8, 0.5]], [[-17 / 8, -2.25]]],
            [[[1 / 8, 1 / 8, 1 / 8 + 1 / 4]] * 2] * 2,
        ),
        (
            fn.AvgPool((2, 4), (2, 3), (0, 1), count_include_pad=False, ceil_mode=True),
            [[[22 / 6, 1]], [[-17 / 6, -4.5]]],
            [[[1 / 6, 1 / 6, 1 / 6 + 1 / 2]] * 2] * 2,
        ),
        (fn.SumPool((1, 2)), [[[6], [14]], [[-6], [-2]]], [[[1, 1, 0]] * 2] * 2),
        (fn.SumPool(2, 1), [[[20, 14]], [[-8, -12]]], [[[1, 2, 1]] * 2] * 2),
        (fn.GlobalAvgPool(), [22 / 6, -17 / 6], [[[1 / 6] * 3] * 2] * 2),
        (fn.GlobalMaxPool(), [7, -1], [[[0] * 3, [1, 0, 0]]] * 2),
    ],
)
def test_pools_by_hand(layer, y, dx):
    outputs, vjp = layer.apply({}, X)
    np.testing.assert_allclose(outputs, [y], rtol=1e-15)
    np.testing.assert_allclose(vjp(np.ones_like(outputs))[1], [dx], rtol=1e-15)


@with_windows
def test_the_stride_is_the_kernel_size_unless_given(make):
    assert make((2, 3)).init(KEY, SHAPE)[0] == (2, 3, 2)
    assert make((2, 3), 1).init(KEY, SHAPE)[0] == (2, 6, 4)
    assert make((2, 3), (1, 2)).init(KEY, SHAPE)[0] == (2, 6, 2)


@pytest.mark.parametrize("make", [fn.MaxPool, fn.AvgPool])
@pytest.mark.parametrize(
    ("arguments", "size", "floor", "ceil"),
    [
        ((2,), 6, 3, 3),
        ((2,), 7, 3, 4),
        ((3, 2), 2, None, 1),  # the only window may reach beyond the image by less than its stride
        ((4, 2), 2, None, None),
        ((2, 2, 1), 3, 2, 2),  # a third would begin in the padding
        ((2, 3, 1), 4, 2, 2),
        ((3, 3, 1), 5, 2, 2),
        ((3, 3, 1), 6, 2, 3),
        ((1, 3), 5, 2, 2),  # nor may it begin beyond the image
        ((1, 3), 6, 2, 2),
    ],
)
def test_ceil_mode_adds_a_window_that_begins_before_the_padding(make, arguments, size, floor, ceil):
    for outputs, ceil_mode in ((floor, False), (ceil, True)):
        layer = make(*arguments, ceil_mode=ceil_mode)
        if outputs is None:
            with pytest.raises(ValueError, match=f"larger than the image of {size}, padded to"):
                layer.init(KEY, (1, size))
        else:
            assert layer.init(KEY, (1, size))[0] == (1, outputs)


@pytest.mark.parametrize(
    ("pool", "window"),
    [(fn.GlobalAvgPool(), fn.AvgPool((7, 6))), (fn.GlobalMaxPool(), fn.MaxPool((7, 6)))],
)
def test_a_global_pool_is_one_window_over_the_whole_image(pool, window):
    x = normal_batch(KEY, SHAPE, dtype=np.float64)
    y, vjp = pool.apply({}, x)
    whole, whole_vjp = fn.serial(window, fn.Flatten()).apply([{}, {}], x)
    np.testing.assert_allclose(y, whole, rtol=1e-13)
    np.testing.assert_allclose(vjp(y)[1], whole_vjp(y)[1], rtol=1e-13)


# --- what cannot be seen in a result ---------------------------------------------------------


@every_layer
def test_any_memory_order_of_images_and_cotangents_gives_the_same(layer):
    x = np.round(normal_batch(KEY, SHAPE, batch=4, dtype=np.float64), 1)
    y, vjp = layer.apply({}, x)
    dy = normal_batch(fn.random.key(1), y.shape[1:], batch=4, dtype=np.float64)
    _, dx = vjp(dy)
    for images in memory_orders(x).values():
        for cotangent in memory_orders(dy).values():
            found, vjp = layer.apply({}, images)
            first = vjp(cotangent)[1]
            np.testing.assert_allclose(found, y, rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(first, dx, rtol=1e-12, atol=1e-13)
            assert_same_bits(vjp(cotangent)[1], first)


@every_layer
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_an_image_is_seen_as_if_it_were_alone(layer, dtype, tolerance):
    x = normal_batch(KEY, SHAPE, batch=40, dtype=dtype)
    y, vjp = layer.apply({}, x)
    _, dx = vjp(y)
    assert y.dtype == dx.dtype == dtype
    for i in (0, 17, 39):
        alone, vjp_alone = layer.apply({}, x[i : i + 1])
        _, dx_alone = vjp_alone(y[i : i + 1])
        np.testing.assert_allclose(y[i : i + 1], alone, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(dx[i : i + 1], dx_alone, rtol=tolerance, atol=tolerance)


@with_windows
def test_images_that_come_out_have_channels_and_batch_last_in_memory(make):
    y, _ = make((3, 2), 1, (1, 0)).apply({}, normal_batch(KEY, SHAPE))
    assert windows.batch_last(y).flags.c_contiguous


@every_layer
def test_no_images_give_no_images(layer):
    x = np.ones((0, *SHAPE), np.float32)
    y, vjp = layer.apply({}, x)
    assert y.shape == (0, *layer.init(KEY, SHAPE)[0])
    assert vjp(y)[1].shape == x.shape


@with_windows
def test_numpy_integers_are_as_good_as_python_s(make):
    of_numpy, plain = make((np.int64(3), np.uint8(2)), np.int32(2), np.int64(1)), make((3, 2), 2, 1)
    assert of_numpy.spec == plain.spec
    shape, _ = of_numpy.init(KEY, SHAPE)
    assert shape == plain.init(KEY, SHAPE)[0]
    assert all(type(size) is int for size in shape)


# --- misuse ----------------------------------------------------------------------------------


@with_windows
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size must be at least 1, got 0"),
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"stride": (2, -1)}, "stride must be at least 1, got (2, -1)"),
        ({"padding": -1}, "padding must be at least 0, got -1"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(make, arguments, message):
    with pytest.raises(ValueError, match=f"^{make.__name__}: {re.escape(message)}$"):
        make(**{"kernel_size": 3} | arguments)


@with_windows
@pytest.mark.parametrize(
    ("name", "value"),
    [("kernel_size", None), ("stride", 1.5), ("padding", "same"), ("padding", (1, "a"))],
)
def test_an_argument_of_another_kind_is_named_with_its_value(make, name, value):
    expected = "an integer, or a tuple of one for each spatial axis"
    said = re.escape(f"{make.__name__}: {name} is {expected}, got {value!r}")
    with pytest.raises(TypeError, match=f"^{said}$"):
        make(**{"kernel_size": 3, name: value})


def test_whether_padding_counts_is_true_or_false():
    with pytest.raises(TypeError, match=r"^AvgPool: count_include_pad is True or False, got 'no'$"):
        fn.AvgPool(2, count_include_pad="no")


@pytest.mark.parametrize("make", [fn.MaxPool, fn.AvgPool])
@pytest.mark.parametrize("value", [1, None, "yes"])
def test_ceil_mode_is_true_or_false(make, value):
    said = f"^{make.__name__}: ceil_mode is True or False, got {value!r}$"
    with pytest.raises(TypeError, match=said):
        make(2, ceil_mode=value)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0, ValueError, "must be at least 1, got 0"),
        ((1, -2), ValueError, "must be at least 1, got (1, -2)"),
        (1.5, TypeError, "is an integer, or a tuple of one for each spatial axis, got 1.5"),
        (None, TypeError, "is an integer, or a tuple of one for each spatial axis, got None"),
    ],
)
def test_a_dilation_that_is_none_is_named_with_its_value(value, error, message):
    with pytest.raises(error, match=f"^MaxPool: dilation {re.escape(message)}$"):
        fn.MaxPool(2, dilation=value)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (fn.MaxPool(2, dilation=(1, 1, 1)), (1, 9, 9), "dilation (1, 1, 1) is for 3 spatial axes"),
        (fn.MaxPool(3, dilation=2), (1, 9, 4), "a kernel of 5x5, dilated, is larger than the"),
        (fn.MaxPool(2, 1, 1, 2), (1, 9, 1), "dilation 2 leaps over an image of 1: a window would"),
        (
            fn.MaxPool((4, 1), (2, 1), (2, 0), (3, 1), ceil_mode=True),
            (1, 1, 9),
            "a kernel of 10x1, dilated, is larger than the image of 1x9, padded to 5x9",
        ),
        (fn.MaxPool(4, 9, 2, 3, True), (2, 1), "dilation 3 leaps over an image of 1: a window"),
    ],
)
def test_a_dilation_that_does_not_fit_is_an_error_that_says_so(layer, shape, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.init(KEY, shape)
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.apply({}, np.ones((2, *shape)))


NO_IMAGE = "expected images (channels, height, width), got shape"


@with_windows
@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ((5,), (1, 2, 9), "a kernel of 5x5 is larger than the image of 2x9, padded to 2x9"),
        ((4, 1, 1), (1, 1), "a kernel of 4 is larger than the image of 1, padded to 3"),
        ((2, 1, 2), (1, 9, 9), "padding 2 is more than half of the kernel_size 2"),
        (
            ((2, 4), 1, (1, 3)),
            (1, 9, 9),
            "padding (1, 3) is more than half of the kernel_size (2, 4)",
        ),
        (((2, 2),), (1, 9), "kernel_size (2, 2) is for 2 spatial axes, x has 1"),
        ((2, (1, 1, 1)), (1, 9, 9), "stride (1, 1, 1) is for 3 spatial axes, x has 2"),
        ((2, 1, (1,)), (1, 9, 9), "padding (1,) is for 1 spatial axes, x has 2"),
        ((2,), (9,), f"{NO_IMAGE} (9,)"),
        ((2,), (), f"{NO_IMAGE} ()"),
    ],
)
def test_a_shape_that_does_not_fit_is_an_error_with_the_layer_s_position(
    make, arguments, shape, message
):
    model = fn.serial(fn.Tanh(), fn.Relu(), make(*arguments))
    said = re.escape(f"layer 2 ({make.__name__}): {message}")
    with pytest.raises(ValueError, match=f"^{said}$"):
        model.init(KEY, shape)
    with pytest.raises(ValueError, match=f"^{said}$"):
        model.apply([{}] * 3, np.ones((4, *shape), np.float32))


@pytest.mark.parametrize("make", [fn.GlobalAvgPool, fn.GlobalMaxPool])
@pytest.mark.parametrize("shape", [(), (9,)])
def test_a_global_pool_refuses_what_is_no_image(make, shape):
    model = fn.serial(fn.Tanh(), make())
    said = re.escape(f"layer 1 ({make.__name__}): {NO_IMAGE} {shape}")
    with pytest.raises(ValueError, match=f"^{said}$"):
        model.init(KEY, shape)
    with pytest.raises(ValueError, match=f"^{said}$"):
        model.apply([{}, {}], np.ones((4, *shape), np.float32))


@every_layer
def test_a_cotangent_that_does_not_fit_is_an_error(layer):
    y, vjp = layer.apply({}, normal_batch(KEY, SHAPE, batch=5))
    with pytest.raises(ValueError, match=r"dy must be float32 of shape \(5, 2.* got float64"):
        vjp(y.astype(np.float64))
    with pytest.raises(ValueError, match=r"got float32 of \(1, 2"):
        vjp(y[:1])
