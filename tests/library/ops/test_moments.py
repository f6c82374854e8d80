"""Means and normalisation over any axes, in any order of memory."""

import numpy as np
import pytest
from helpers import batch_last
from hypothesis import given
from hypothesis import strategies as st

import funcnn as fn
from funcnn.ops import moments

KEY = fn.random.key(0)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data(), st.integers(1, 3))
def test_sums_and_means_of_products_are_numpys(shape, data, factors):
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    order = data.draw(st.permutations(range(len(shape))))
    arrays = [
        fn.random.normal(fn.random.key(i), [shape[j] for j in order], np.float64) for i in range(3)
    ]
    arrays = [array.transpose(np.argsort(order)) for array in arrays[:factors]]
    product = np.prod(arrays, axis=0)
    np.testing.assert_allclose(moments.sum_over(axes, *arrays), product.sum(axes), atol=1e-12)
    mean = moments.mean_over(axes, *arrays)
    np.testing.assert_allclose(mean, product.mean(axes, keepdims=True), atol=1e-12)


@pytest.mark.parametrize("order", [lambda x: x, batch_last], ids=["NCHW", "batch last"])
@pytest.mark.parametrize("axes", [(0, 2, 3), (1, 2, 3)])
def test_a_mean_of_many_float32_squares_is_right_to_five_digits(order, axes):
    x = order(fn.random.normal(KEY, (2000, 4, 28, 28)))
    exact = np.square(x, dtype=np.float64).mean(axes, keepdims=True)
    np.testing.assert_allclose(moments.mean_over(axes, x, x), exact, rtol=1e-5)
    np.testing.assert_allclose(moments.mean_over(axes, abs(x), abs(x)), exact, rtol=1e-5)


def test_normalize_subtracts_the_mean_and_divides_by_the_deviation():
    x = fn.random.normal(KEY, (3, 4, 5))
    normal, _ = moments.normalize(x, (1, 2), 0.1)
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    np.testing.assert_allclose(normal, (x - mean) * (variance + 0.1) ** -0.5, atol=1e-6)


def test_the_vjp_of_normalize_is_its_derivative():
    x = fn.random.normal(KEY, (2, 3, 4), np.float64)
    fn.check_vjp(lambda x: moments.normalize(x, (1, 2), 0.1), x)
