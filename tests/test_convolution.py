"""Convolution and its derivatives, against the sums of their definition."""

import numpy as np
import pytest
from helpers import frozen
from hypothesis import given
from hypothesis import strategies as st

from funcnn import windows
from funcnn.convolution import convolve, cotangent_of_matrix, cotangent_of_x
from funcnn.windows import place_windows


def test_a_convolution_by_hand():
    x = np.array([[[1.0], [2], [4], [8]]])  # (C, L, N)
    matrix = np.array([[[1.0, 10], [0, 1]]])  # (G, O/G, K)
    found = place_windows((4,), (2,), (1,), (1,), (0,), (0,))
    y = convolve(x, matrix, found)
    np.testing.assert_array_equal(y[:, :, 0], [[21, 42, 84], [2, 4, 8]])
    dy = np.array([[[1.0], [0], [0]], [[0], [0], [1]]])  # (O, L, N)
    np.testing.assert_array_equal(cotangent_of_matrix(dy, x, (1, 2, 2), found), [[[1, 2], [4, 8]]])
    np.testing.assert_array_equal(cotangent_of_x(dy, matrix, found)[0, :, 0], [1, 10, 0, 1])


def test_a_last_column_of_the_matrix_is_the_bias():
    x = np.arange(12.0).reshape(1, 3, 2, 2)
    matrix = np.array([[[2.0, 100], [3, 200]]])
    found = place_windows((3, 2), (1, 1), (1, 1), (1, 1), (1, 0), (0, 0))
    y = convolve(x, matrix, found)
    np.testing.assert_array_equal(y[:, 0], np.broadcast_to([[[100]], [[200]]], (2, 2, 2)))
    np.testing.assert_array_equal(y[:, 1:], [2 * x[0] + 100, 3 * x[0] + 200])
    dy = np.ones_like(y)
    dmatrix = cotangent_of_matrix(dy, x, matrix.shape, found)
    np.testing.assert_array_equal(dmatrix, [[[x.sum(), 16]] * 2])


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


def as_matrix(weight, groups):
    return weight.reshape(groups, len(weight) // groups, -1)


@given(shapes)
def test_a_convolution_is_the_sum_of_its_definition(shape):
    groups = shape[1]
    found, x, weight, _ = drawn(*shape)
    y = convolve(x, as_matrix(weight, groups), found)
    expected = convolve_by_definition(x, weight, groups, found)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@given(shapes)
def test_both_cotangents_are_the_adjoints_of_the_convolution(shape):
    groups = shape[1]
    found, x, weight, dy = drawn(*shape)
    matrix = as_matrix(weight, groups)
    value = (convolve(x, matrix, found) * dy).sum()
    dmatrix, dx = cotangent_of_matrix(dy, x, matrix.shape, found), cotangent_of_x(dy, matrix, found)
    assert dmatrix.shape == matrix.shape
    assert dx.shape == x.shape
    size = np.abs(dy).sum() * np.abs(weight).max()
    np.testing.assert_allclose((dmatrix * matrix).sum(), value, atol=1e-12 * size)
    np.testing.assert_allclose((dx * x).sum(), value, atol=1e-12 * size)


@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 40])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_size_of_a_block_is_seen_in_the_rounding_alone(groups, bias, block_bytes, monkeypatch):
    found, x, weight, dy = drawn(0, groups, 2, 3, 1, 2, 5)
    weights = as_matrix(weight, groups)
    matrix = np.concatenate([weights, weights[:, :, :1]], axis=2) if bias else weights

    def results():
        y, dmatrix = convolve(x, matrix, found), cotangent_of_matrix(dy, x, matrix.shape, found)
        return y, dmatrix, cotangent_of_x(dy, weights, found)

    expected = results()
    monkeypatch.setattr(windows, "BLOCK_BYTES", block_bytes)
    assert len(windows.row_blocks(found, 5, 18, 8)) == (
        found.outputs[0] if block_bytes < 2000 else 1
    )
    for a, b in zip(results(), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arguments_are_left_alone_and_the_dtype_stays(dtype):
    found, *arrays = drawn(1, 2, 2, 2, 1, 1, 3)
    x, weight, dy = frozen([a.astype(dtype) for a in arrays])
    matrix = as_matrix(weight, 2)
    for result in (
        convolve(x, matrix, found),
        cotangent_of_matrix(dy, x, matrix.shape, found),
        cotangent_of_x(dy, matrix, found),
    ):
        assert result.dtype == dtype
        assert not any(np.shares_memory(result, a) for a in (x, weight, dy))


@pytest.mark.parametrize("groups", [1, 2])
def test_no_images_give_no_images_and_a_gradient_of_zero(groups):
    found, x, weight, dy = drawn(2, groups, 2, 3, 1, 1, 0)
    matrix = as_matrix(weight, groups)
    assert convolve(x, matrix, found).shape == dy.shape
    assert not cotangent_of_matrix(dy, x, matrix.shape, found).any()
    assert cotangent_of_x(dy, matrix, found).shape == x.shape
