"""Values and derivatives at the extremes, against Python's own mathematics; dtypes kept."""

import inspect
import math

import numpy as np
import pytest

import funcnn as fn
from funcnn import activations

FLOATS = [np.float32, np.float64]
every_dtype = pytest.mark.parametrize("dtype", FLOATS, ids=["float32", "float64"])


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def sigmoid_derivative(x):
    power = math.exp(-abs(x))
    return power / (1 + power) ** 2


def tanh_derivative(x):
    power = math.exp(-2 * abs(x))
    return 4 * power / (1 + power) ** 2


# Each function of one number, and its derivative.
ELEMENTWISE = {
    "identity": (lambda x: x, lambda x: 1.0),
    "relu": (lambda x: max(x, 0.0), lambda x: float(x > 0)),
    "sigmoid": (sigmoid, sigmoid_derivative),
    "tanh": (math.tanh, tanh_derivative),
}
# At infinity: value and derivative at -inf, value and derivative at +inf.
LIMITS = {
    "identity": (-math.inf, 1, math.inf, 1),
    "relu": (0, 0, math.inf, 1),
    "sigmoid": (0, 0, 1, 0),
    "tanh": (-1, 0, 1, 0),
}
ALONG_AN_AXIS = {"softmax", "log_softmax"}
every_function = pytest.mark.parametrize("name", ELEMENTWISE)


def points(dtype):
    """Ordinary, large, small and subnormal numbers, of both signs, and zero."""
    info = np.finfo(dtype)
    sizes = [1e4, 88, 20, 3, 1, 0.5, 1e-3, info.max, info.tiny, info.smallest_subnormal]
    return np.array([0, *sizes, *(-float(size) for size in sizes)], dtype)


def test_every_function_of_the_module_is_tested_here():
    public = {
        name
        for name, function in vars(activations).items()
        if inspect.isfunction(function)
        and function.__module__ == activations.__name__
        and not name.startswith("_")
    }
    assert (
        public - {"check_float"} == set(ELEMENTWISE) | ALONG_AN_AXIS == set(LIMITS) | ALONG_AN_AXIS
    )


@every_dtype
@every_function
def test_values_at_the_extremes(name, dtype):
    x = points(dtype)
    y, _ = getattr(activations, name)(x)
    expected = np.array([ELEMENTWISE[name][0](float(value)) for value in x])
    info = np.finfo(dtype)
    np.testing.assert_allclose(y, expected, rtol=4 * info.eps, atol=2 * info.smallest_subnormal)


@every_dtype
@every_function
def test_derivatives_at_the_extremes(name, dtype):
    x = points(dtype)
    _, vjp = getattr(activations, name)(x)
    expected = np.array([ELEMENTWISE[name][1](float(value)) for value in x])
    # 1 - y is exact to half a unit of 1, so where y is nearly 1 the derivative is no better.
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(vjp(np.ones_like(x)), expected, rtol=4 * eps, atol=2 * eps)


@every_dtype
def test_the_left_tail_of_sigmoid_keeps_its_relative_precision(dtype):
    x = np.array([-80, -40, -20], dtype)
    y, vjp = activations.sigmoid(x)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y, [sigmoid(v) for v in (-80, -40, -20)], rtol=8 * eps)
    expected = [sigmoid_derivative(v) for v in (-80, -40, -20)]
    np.testing.assert_allclose(vjp(np.ones_like(x)), expected, rtol=8 * eps)


@every_dtype
@every_function
def test_limits_at_infinity(name, dtype):
    y, vjp = getattr(activations, name)(np.array([-math.inf, math.inf], dtype))
    dx = vjp(np.ones(2, dtype))
    assert (y[0], dx[0], y[1], dx[1]) == LIMITS[name]


@every_function
def test_a_nan_is_not_hidden(name):
    y, _ = getattr(activations, name)(np.array([math.nan, 1.0]))
    assert np.isnan(y).tolist() == [True, False]


@pytest.mark.parametrize("shape", [(1,), (3, 4), (2, 3, 4), (0, 5)])
@every_dtype
@pytest.mark.parametrize("name", [*ELEMENTWISE, *ALONG_AN_AXIS])
def test_shape_and_dtype_are_kept_and_arguments_too(name, dtype, shape):
    x = fn.random.normal(fn.random.key(0), shape, dtype)
    dy = x + dtype(1)
    for array in (x, dy):
        array.setflags(write=False)
    y, vjp = getattr(activations, name)(x)
    dx = vjp(dy)
    assert (y.shape, y.dtype) == (dx.shape, dx.dtype) == (shape, dtype)


@pytest.mark.parametrize("name", [*ELEMENTWISE, *ALONG_AN_AXIS])
def test_derivatives_are_right(name):
    x = fn.random.normal(fn.random.key(1), (4, 5), np.float64)
    fn.check_vjp(getattr(activations, name), x)


@pytest.mark.parametrize("dim", [-1, 0, 1, -2])
@pytest.mark.parametrize("name", ALONG_AN_AXIS)
def test_derivatives_along_any_axis_are_right(name, dim):
    x = fn.random.normal(fn.random.key(1), (3, 4), np.float64)
    fn.check_vjp(lambda x: getattr(activations, name)(x, dim), x)


def test_relu_has_derivative_zero_at_both_zeros():
    _, vjp = activations.relu(np.array([0.0, -0.0]))
    assert vjp(np.ones(2)).tolist() == [0, 0]


@pytest.mark.parametrize("size", [88, 1e4, 1e30])
@every_dtype
def test_softmax_does_not_overflow(size, dtype):
    x = np.array([[size, 0, -size], [-size, -size, -size], [0, size, size]], dtype)
    tail = math.exp(-size)
    tail_of_tail = math.exp(-2 * size)
    y, vjp = activations.softmax(x)
    info = np.finfo(dtype)
    np.testing.assert_allclose(
        y,
        [[1, tail, tail_of_tail], [1 / 3] * 3, [tail / 2, 0.5, 0.5]],
        rtol=4 * info.eps,
        atol=2 * info.smallest_subnormal,
    )
    dx = vjp(np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype))
    expected = [[0, -tail, 0], [2 / 9, -1 / 9, -1 / 9], [-tail / 4, 0.25, -0.25]]
    np.testing.assert_allclose(dx, expected, rtol=8 * info.eps, atol=info.eps * 1e-3)


@pytest.mark.parametrize("size", [88, 1e4, 1e30])
@every_dtype
def test_log_softmax_does_not_overflow_and_keeps_its_tail(size, dtype):
    x = np.array([[size, 0, -size], [-size, -size, -size], [0, size, size]], dtype)
    size = float(dtype(size))
    y, vjp = activations.log_softmax(x)
    log2, log3 = math.log(2), math.log(3)
    eps = np.finfo(dtype).eps
    expected = [[0, -size, -2 * size], [-log3] * 3, [-size - log2, -log2, -log2]]
    np.testing.assert_allclose(y, expected, rtol=4 * eps, atol=1e-38)
    dx = vjp(np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype))
    expected = [[0, 0, 0], [2 / 3, -1 / 3, -1 / 3], [0, 0.5, -0.5]]
    np.testing.assert_allclose(dx, expected, rtol=8 * eps, atol=1e-38)


@every_dtype
def test_softmax_of_a_masked_class_is_its_limit(dtype):
    x = np.array([0, -math.inf, 0], dtype)
    y, vjp = activations.softmax(x)
    assert y.tolist() == [0.5, 0, 0.5]
    assert vjp(np.array([1, 0, 0], dtype)).tolist() == [0.25, 0, -0.25]
    y, vjp = activations.log_softmax(x)
    np.testing.assert_allclose(y, [-math.log(2), -math.inf, -math.log(2)], rtol=1e-6)
    assert vjp(np.array([1, 0, 0], dtype)).tolist() == [0.5, 0, -0.5]


@every_dtype
def test_not_even_the_largest_numbers_overflow_in_softmax(dtype):
    largest = np.finfo(dtype).max
    assert activations.softmax(np.array([largest, -largest], dtype))[0].tolist() == [1, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, complex])
def test_check_float_names_the_dtype(dtype):
    with pytest.raises(TypeError, match=f"Relu takes an array of floats, got {np.dtype(dtype)}"):
        activations.check_float("Relu", np.ones(2, dtype))
