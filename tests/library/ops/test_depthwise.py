"""Convolution of each channel with a kernel of its own, against each channel's own convolution."""

import numpy as np
import pytest
from helpers import frozen
from hypothesis import given
from hypothesis import strategies as st

from funcnn.ops import convolution, depthwise, fft_convolution, windows
from funcnn.ops.windows import place_windows


def drawn(seed, axes, channels, samples, dtype=np.float64):
    """Windows, x, weight `(C, 1, *kernel)` and dy, of random sizes and numbers."""
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = (tuple(rng.integers(1, 4, axes).tolist()) for _ in range(3))
    before, after = (tuple(rng.integers(0, 3, axes).tolist()) for _ in range(2))
    inputs = tuple(rng.integers(7, 10, axes).tolist())
    found = place_windows(inputs, kernel, stride, dilation, before, after)
    shapes = (
        (*inputs, channels, samples),
        (channels, 1, *kernel),
        (*found.outputs, channels, samples),
    )
    return found, *(rng.standard_normal(shape).astype(dtype) for shape in shapes)


def by_matrices(found, x, weight, dy):
    """y and dweight, each channel by itself as `convolution` has it for one group."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depthwise, "is_depthwise", lambda *_: False)
        patch.setattr(fft_convolution, "is_less_work", lambda *_: False)
        of_channels = [
            (x[..., c : c + 1, :], weight[c : c + 1], dy[..., c : c + 1, :])
            for c in range(len(weight))
        ]
        y = [convolution.convolve(x_c, w_c, found) for x_c, w_c, _ in of_channels]
        dweight = [
            convolution.cotangent_of_weight(dy_c, x_c, w_c.shape, found)
            for x_c, w_c, dy_c in of_channels
        ]
        return np.concatenate(y, -2), np.concatenate(dweight)


def by_elements(found, x, weight, dy):
    """The same, as `depthwise` has them."""
    x, weight, dy = frozen((x, weight, dy))
    return (
        depthwise.convolve(x, weight, found),
        depthwise.cotangent_of_weight(dy, x, weight.shape, found),
    )


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 3),
    st.sampled_from([np.float32, np.float64]),
)
def test_it_is_the_convolution_of_each_channel(seed, axes, channels, samples, dtype):
    arguments = drawn(seed, axes, channels, samples, dtype)
    tolerance = 1e-4 if dtype is np.float32 else 1e-12
    for got, expected in zip(by_elements(*arguments), by_matrices(*arguments), strict=True):
        assert got.dtype == dtype
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [1, 500, 5000])
def test_the_size_of_a_block_is_seen_in_the_rounding_alone(size, monkeypatch):
    arguments = drawn(3, 2, 3, 4)
    expected = by_elements(*arguments)
    monkeypatch.setattr(windows, "BLOCK_BYTES", size)
    for got, whole in zip(by_elements(*arguments), expected, strict=True):
        np.testing.assert_allclose(got, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [(160_000,), (400, 400)], ids=str)
def test_a_long_sum_of_float32_keeps_its_digits(sizes):
    ones, zeros = (1,) * len(sizes), (0,) * len(sizes)
    found = place_windows(sizes, ones, ones, ones, zeros, zeros)
    x = np.full((*sizes, 2, 1), 0.1, np.float32)
    dweight = depthwise.cotangent_of_weight(x, x, (2, 1, *ones), found)
    np.testing.assert_allclose(dweight, 1600, rtol=2e-5)


@pytest.mark.parametrize(
    ("weight_shape", "groups", "expected"),
    [
        *(((4, 1, 3, 3), 4, True), ((2, 1, 5), 2, True)),
        # two outputs for each channel, two channels in a group, one group
        *(((8, 1, 3, 3), 4, False), ((4, 2, 3, 3), 4, False), ((4, 1, 3, 3), 1, False)),
        ((1, 1, 5), 1, False),  # one channel in all
    ],
)
def test_it_is_for_as_many_groups_as_there_are_channels_before_and_after(
    weight_shape, groups, expected
):
    assert depthwise.is_depthwise(weight_shape, groups) is expected
