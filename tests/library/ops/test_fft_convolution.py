"""Convolution by the convolution theorem, against the columns of windows."""

import numpy as np
import pytest
from helpers import finish, frozen
from hypothesis import given
from hypothesis import strategies as st

import funcnn as fn
from funcnn.ops import convolution, fft_convolution
from funcnn.ops.windows import place_windows

KEY = fn.random.key(0)


def windows_of(inputs, kernel, before, after):
    return place_windows(inputs, kernel, (1, 1), (1, 1), before, after)


def drawn(seed, sizes, kernel, before, after, channels, dtype=np.float64):
    """Windows, x, weight `(O, C, *kernel)` and dy of random numbers."""
    found = windows_of(sizes, kernel, before, after)
    rng = np.random.default_rng(seed)
    inputs, outputs, samples = channels
    shapes = (
        (*sizes, inputs, samples),
        (outputs, inputs, *kernel),
        (*found.outputs, outputs, samples),
    )
    return found, *[rng.standard_normal(shape).astype(dtype) for shape in shapes]


pairs = st.tuples(st.integers(0, 4), st.integers(0, 4))
shapes = st.tuples(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pairs,
    pairs,
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
)


def by_columns(found, x, weight, dy):
    """y and dweight as `convolution` has them where it does not transform."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fft_convolution, "is_less_work", lambda *_: False)
        y = convolution.convolve(x, weight, found)
        return y, convolution.cotangent_of_weight(dy, x, weight.shape, found)


def by_transforms(found, x, weight, dy):
    """The same, as `spectral` has them."""
    dy_of_samples = dy.swapaxes(2, 3)  # (H', W', N, O)
    return (
        fft_convolution.convolve(x, weight, found),
        fft_convolution.cotangent_of_weight(dy_of_samples, x, found),
    )


@given(shapes)
def test_it_is_the_convolution_by_columns(shape):
    found, x, weight, dy = drawn(*shape)
    y, dweight = by_columns(found, x, weight, dy)
    y_transformed, dweight_transformed = by_transforms(found, x, weight, dy)
    np.testing.assert_allclose(y_transformed, y, atol=1e-12)
    np.testing.assert_allclose(dweight_transformed, dweight, atol=1e-11)


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("name", ["SMALL_PRODUCT", "BLOCK_BYTES"])
def test_the_size_of_a_piece_is_seen_in_the_rounding_alone(name, size, monkeypatch):
    arguments = drawn(0, (7, 5), (3, 2), (1, 1), (2, 0), (3, 2, 7))
    expected = by_transforms(*arguments)
    monkeypatch.setattr(fft_convolution, name, size)
    found = finish(lambda: by_transforms(*arguments))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("height", "kernel", "before", "after"),
    [(4, 2, 0, 0), (5, 3, 1, 1), (6, 5, 2, 2), (3, 4, 1, 2)],
)
def test_the_transforms_are_bilinear_and_exact(height, kernel, before, after):
    found = windows_of((height, 1), (kernel, 1), (before, 0), (after, 0))
    of_x, of_weight, of_products = fft_convolution.transforms(found, np.dtype(np.float64))
    points = height + max(before, after)
    assert len(of_x) == len(of_weight) == of_products.shape[1]
    assert len(of_x) == 3 * ((points - 1) // 2) + (1 if points % 2 else 2)
    x, w = np.arange(1.0, height + 1), 10.0 ** np.arange(kernel)
    y = of_products @ ((of_weight @ w) * (of_x @ x))
    expected = np.correlate(np.pad(x, (before, after)), w)
    np.testing.assert_allclose(y, expected, rtol=1e-11)


def test_float32_stays_float32_and_as_exact_as_that_can_be():
    found, x, weight, dy = drawn(0, (14, 14), (5, 5), (2, 2), (2, 2), (8, 8, 4), np.float32)
    exact = by_columns(found, *(a.astype(np.float64) for a in (x, weight, dy)))
    for result, expected in zip(by_transforms(found, *frozen([x, weight, dy])), exact, strict=True):
        assert result.dtype == np.float32
        assert np.abs(result - expected).max() < 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("shape", "arguments", "chosen"),
    [
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 5, "padding": 2}, True),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 5}, True),
        ((1, 28, 28), {"out_channels": 32, "kernel_size": 5, "padding": 2}, False),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 1}, False),
        ((16, 14, 14), {"out_channels": 32, "kernel_size": 3, "padding": 1}, True),
        ((4, 14, 14), {"out_channels": 8, "kernel_size": 3, "padding": 1}, False),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": (7, 1), "padding": (3, 0)}, True),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": (1, 7), "padding": (0, 3)}, False),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 5, "stride": 2, "padding": 2}, False),
        (
            (32, 14, 14),
            {"out_channels": 64, "kernel_size": 5, "stride": (2, 1), "padding": 2},
            False,
        ),
        (
            (32, 14, 14),
            {"out_channels": 64, "kernel_size": 5, "stride": (1, 2), "padding": 2},
            False,
        ),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 5, "dilation": 2}, False),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 5, "dilation": (2, 1)}, False),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 5, "dilation": (1, 2)}, False),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 5, "groups": 2}, False),
        ((32, 14), {"out_channels": 64, "kernel_size": 5}, False),
    ],
)
def test_it_is_chosen_where_it_is_less_work(shape, arguments, chosen, monkeypatch):
    used = []
    monkeypatch.setattr(
        fft_convolution, "transforms", lambda *_: used.append(True) or _original(*_)
    )
    layer = fn.Conv(**arguments)
    _, params = layer.init(KEY, shape)
    x = fn.random.normal(KEY, (2, *shape))
    y, vjp = layer.apply(params, x)
    vjp(y)
    assert bool(used) is chosen


_original = fft_convolution.transforms


@pytest.mark.parametrize(
    ("before", "after", "chosen"), [((1, 1), (1, 1), True), ((2, 1), (0, 1), False)]
)
def test_the_larger_padding_of_the_columns_decides_how_many_points_there_are(before, after, chosen):
    found = windows_of((2, 64), (3, 3), before, after)
    assert found.outputs == (2, 64)
    assert fft_convolution.is_less_work((256, 256, 3, 3), 1, found) is chosen


def test_a_layer_that_transforms_passes_the_checks():
    layer = fn.Conv(4, 7, padding="same")
    assert fft_convolution.is_less_work(
        (4, 12, 7, 7), 1, windows_of((9, 9), (7, 7), (3, 3), (3, 3))
    )
    fn.check_layer(layer, (12, 9, 9))
