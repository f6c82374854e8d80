"""Convolution and its derivatives, against the sums of their definition."""

import numpy as np
import pytest
from helpers import frozen
from hypothesis import given
from hypothesis import strategies as st

from funcnn import windows
from funcnn.convolution import convolve, cotangent_of_weight, cotangent_of_x
from funcnn.windows import place_windows


def test_a_convolution_by_hand():
    x = np.array([[[1.0], [2], [4], [8]]])  # (C, L, N)
    weight = np.array([[[1.0, 10]], [[0, 1]]])  # (O, C, k)
    found = place_windows((4,), (2,), (1,), (1,), (0,), (0,))
    y = convolve(x, weight, None, found)
    np.testing.assert_array_equal(y[:, :, 0], [[21, 42, 84], [2, 4, 8]])
    dy = np.array([[[1.0], [0], [0]], [[0], [0], [1]]])  # (O, L, N)
    dweight, dbias = cotangent_of_weight(dy, x, weight.shape, False, found)
    np.testing.assert_array_equal(dweight, [[[1, 2]], [[4, 8]]])
    assert dbias is None
    np.testing.assert_array_equal(cotangent_of_x(dy, weight, found, 1)[0, :, 0], [1, 10, 0, 1])


def test_the_bias_is_added_everywhere():
    x = np.arange(12.0).reshape(1, 3, 2, 2)
    weight, bias = np.array([2.0, 3]).reshape(2, 1, 1, 1), np.array([100.0, 200])
    found = place_windows((3, 2), (1, 1), (1, 1), (1, 1), (1, 0), (0, 0))
    y = convolve(x, weight, bias, found)
    np.testing.assert_array_equal(y[:, 0], np.broadcast_to([[[100]], [[200]]], (2, 2, 2)))
    np.testing.assert_array_equal(y[:, 1:], [2 * x[0] + 100, 3 * x[0] + 200])
    dweight, dbias = cotangent_of_weight(np.ones_like(y), x, weight.shape, True, found)
    np.testing.assert_array_equal(dweight.ravel(), [x.sum()] * 2)
    np.testing.assert_array_equal(dbias, [16, 16])


def drawn(seed, groups, axes, kernel, stride, dilation, samples):
    """Windows, x, weights `(O, C/G, *kernel)` and dy of random numbers."""
    rng = np.random.default_rng(seed)
    sizes = tuple(rng.integers(kernel, 7, axes).tolist())
    before, after = (
        tuple((rng.integers(0, 3, axes) + (kernel - 1) * (dilation - 1)).tolist()) for _ in "ba"
    )
    found = place_windows(
        sizes, (kernel,) * axes, (stride,) * axes, (dilation,) * axes, before, after
    )
    x = rng.standard_normal((2 * groups, *sizes, samples))
    weight = rng.standard_normal((3 * groups, 2, *found.kernel))
    return found, x, weight, rng.standard_normal((3 * groups, *found.outputs, samples))


def convolve_by_definition(x, weight, groups, found):
    """y[o, p, n] = sum over c, k of w[o, c, k] x[c, stride p + dilation k - before, n]."""
    y = np.zeros((len(weight), *found.outputs, x.shape[-1]))
    inputs, outputs = len(x) // groups, len(weight) // groups
    for o, c, *rest in np.ndindex(*weight.shape, *found.outputs):
        k, p = rest[: len(found.kernel)], rest[len(found.kernel) :]
        terms = zip(p, found.stride, k, found.dilation, found.before, strict=True)
        at = [p * stride + k * dilation - before for p, stride, k, dilation, before in terms]
        if all(0 <= i < size for i, size in zip(at, found.inputs, strict=True)):
            y[o, *p] += weight[o, c, *k] * x[o // outputs * inputs + c, *at]
    return y


shapes = st.tuples(
    st.integers(0, 2**32 - 1), *[st.integers(1, 2)] * 2, *[st.integers(1, 3)] * 3, st.integers(1, 2)
)


@given(shapes)
def test_a_convolution_is_the_sum_of_its_definition(shape):
    groups = shape[1]
    found, x, weight, _ = drawn(*shape)
    y = convolve(x, weight, None, found)
    expected = convolve_by_definition(x, weight, groups, found)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@given(shapes)
def test_both_cotangents_are_the_adjoints_of_the_convolution(shape):
    groups = shape[1]
    found, x, weight, dy = drawn(*shape)
    value = (convolve(x, weight, None, found) * dy).sum()
    dweight, _ = cotangent_of_weight(dy, x, weight.shape, False, found)
    dx = cotangent_of_x(dy, weight, found, groups)
    assert dweight.shape == weight.shape
    assert dx.shape == x.shape
    size = np.abs(dy).sum() * np.abs(weight).max()
    np.testing.assert_allclose((dweight * weight).sum(), value, atol=1e-12 * size)
    np.testing.assert_allclose((dx * x).sum(), value, atol=1e-12 * size)


def results(found, x, weight, bias, dy, groups):
    dweight, dbias = cotangent_of_weight(dy, x, weight.shape, bias is not None, found)
    y, dx = convolve(x, weight, bias, found), cotangent_of_x(dy, weight, found, groups)
    return [a for a in (y, dweight, dbias, dx) if a is not None]


@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 40])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_size_of_a_block_is_seen_in_the_rounding_alone(
    groups, stride, with_bias, block_bytes, monkeypatch
):
    found, x, weight, dy = drawn(0, groups, 2, 3, stride, 2, 5)
    bias = dy[:, 0, 0, 0] if with_bias else None
    expected = results(found, x, weight, bias, dy, groups)
    monkeypatch.setattr(windows, "BLOCK_BYTES", block_bytes)
    assert len(windows.row_blocks(found, 5, 18, 8)) == (
        found.outputs[0] if block_bytes < 2000 else 1
    )
    for a, b in zip(results(found, x, weight, bias, dy, groups), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [2, 5])
def test_arguments_are_left_alone_and_the_dtype_stays(kernel, dtype):
    found, *arrays = drawn(1, 1 if kernel == 5 else 2, 2, kernel, 1, 1, 3)
    x, weight, dy = frozen([a.astype(dtype) for a in arrays])
    for result in results(found, x, weight, None, dy, len(x) // 2):
        assert result.dtype == dtype
        assert not any(np.shares_memory(result, a) for a in (x, weight, dy))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_no_images_give_no_images_and_a_gradient_of_zero(kernel, groups):
    found, x, weight, dy = drawn(2, groups, 2, kernel, 1, 1, 0)
    assert convolve(x, weight, None, found).shape == dy.shape
    dweight, dbias = cotangent_of_weight(dy, x, weight.shape, True, found)
    assert not dweight.any()
    assert not dbias.any()
    assert cotangent_of_x(dy, weight, found, groups).shape == x.shape
