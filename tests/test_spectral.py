"""Convolution by the convolution theorem, against the columns of windows."""

import numpy as np
import pytest
from helpers import frozen
from hypothesis import given
from hypothesis import strategies as st

import funcnn as fn
from funcnn import convolution, spectral
from funcnn.windows import place_windows

KEY = fn.random.key(0)


def windows_of(inputs, kernel, before, after):
    return place_windows(inputs, kernel, (1, 1), (1, 1), before, after)


def drawn(seed, sizes, kernel, before, after, channels, dtype=np.float64):
    """Windows, x, weight `(O, C, *kernel)` and dy of random numbers."""
    found = windows_of(sizes, kernel, before, after)
    rng = np.random.default_rng(seed)
    inputs, outputs, samples = channels
    shapes = (
        (inputs, *sizes, samples),
        (outputs, inputs, *kernel),
        (outputs, *found.outputs, samples),
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
        patch.setattr(spectral, "WORTHWHILE", 0)
        y = convolution.convolve(x, weight, None, found)
        return y, convolution.cotangent_of_weight(dy, x, weight.shape, False, found)[0]


@given(shapes)
def test_it_is_the_convolution_by_columns(shape):
    found, x, weight, dy = drawn(*shape)
    y, dweight = by_columns(found, x, weight, dy)
    np.testing.assert_allclose(spectral.convolve(x, weight, found), y, atol=1e-12)
    np.testing.assert_allclose(spectral.cotangent_of_weight(dy, x, found), dweight, atol=1e-11)


@pytest.mark.parametrize(
    ("width", "kernel", "before", "after"), [(4, 2, 0, 0), (5, 3, 1, 1), (6, 5, 2, 2), (3, 4, 1, 2)]
)
def test_the_transforms_are_bilinear_and_exact(width, kernel, before, after):
    found = windows_of((1, width), (1, kernel), (0, before), (0, after))
    of_x, of_weight, of_products = spectral.transforms(found, np.dtype(np.float64))
    points = width + max(before, after)
    assert len(of_x) == len(of_weight) == of_products.shape[1]
    assert len(of_x) == 3 * ((points - 1) // 2) + (1 if points % 2 else 2)
    x, w = np.arange(1.0, width + 1), 10.0 ** np.arange(kernel)
    y = of_products @ ((of_weight @ w) * (of_x @ x))
    expected = np.correlate(np.pad(x, (before, after)), w)
    np.testing.assert_allclose(y, expected, rtol=1e-11)


def test_float32_stays_float32_and_as_exact_as_that_can_be():
    found, x, weight, dy = drawn(0, (14, 14), (5, 5), (2, 2), (2, 2), (8, 8, 4), np.float32)
    exact = by_columns(found, *(a.astype(np.float64) for a in (x, weight, dy)))
    frozen([x, weight, dy])
    found_here = spectral.convolve(x, weight, found), spectral.cotangent_of_weight(dy, x, found)
    for result, expected in zip(found_here, exact, strict=True):
        assert result.dtype == np.float32
        assert np.abs(result - expected).max() < 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("shape", "arguments", "chosen"),
    [
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 5, "padding": 2}, True),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 5}, True),
        ((1, 28, 28), {"out_channels": 32, "kernel_size": 5, "padding": 2}, False),
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 1}, False),
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
        ((32, 14, 14), {"out_channels": 64, "kernel_size": 5, "groups": 2}, False),
        ((32, 14), {"out_channels": 64, "kernel_size": 5}, False),
    ],
)
def test_it_is_chosen_where_it_is_less_work(shape, arguments, chosen, monkeypatch):
    used = []
    monkeypatch.setattr(spectral, "transforms", lambda *_: used.append(True) or _original(*_))
    layer = fn.Conv(**arguments)
    _, params = layer.init(KEY, shape)
    x = fn.random.normal(KEY, (2, *shape))
    y, vjp = layer.apply(params, x)
    vjp(y)
    assert bool(used) is chosen


_original = spectral.transforms


def test_a_layer_that_transforms_passes_the_checks():
    layer = fn.Conv(4, 7, padding="same")
    assert spectral.is_less_work((4, 12, 7, 7), 1, windows_of((9, 9), (7, 7), (3, 3), (3, 3)))
    fn.check_layer(layer, (12, 9, 9))
