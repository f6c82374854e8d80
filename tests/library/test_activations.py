"""Values and derivatives at the extremes, against Python's own mathematics; dtypes kept."""

import inspect
import math
from decimal import Decimal, localcontext

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


def elu_derivative(x, alpha):
    return 1.0 if x > 0 else alpha * math.exp(x)


def elu(x, alpha):
    return x if x > 0 else alpha * math.expm1(x)


def softplus(x):
    return x if x > 20 else math.log1p(math.exp(x))


def silu_derivative(x):
    return sigmoid(x) * (1 + x * sigmoid(-x)) if abs(x) < 1000 else float(x > 0)


def gelu_tanh_parts(x):
    """(1 + tanh u) / 2, (1 - tanh u) / 2 and 2 u', for |x| so small that nothing overflows."""
    c = 0.7978845608028654
    u = c * (x + 0.044715 * x**3)
    return sigmoid(2 * u), sigmoid(-2 * u), 2 * c * (1 + 0.134145 * x * x)


def gelu_tanh(x):
    return x * gelu_tanh_parts(x)[0] if abs(x) < 1000 else max(x, 0.0)


def gelu_tanh_derivative(x):
    if abs(x) > 1000:
        return float(x > 0)
    s, rest, slope = gelu_tanh_parts(x)
    return s * (1 + x * rest * slope)


def normal_tail(size):
    """The standard normal density at size >= 0 and the probability beyond it, in 50 digits."""
    with localcontext(prec=50):
        a = Decimal(size)
        root = (2 * Decimal("3.14159265358979323846264338327950288419716939937510")).sqrt()
        density = (-a * a / 2).exp() / root
        if a < 3:  # 1/2 less density (a + a^3 / 3 + a^5 / (3 5) + ...)
            term, odd, total = a, 1, a
            while term > Decimal("1e-50"):
                odd += 2
                term *= a * a / odd
                total += term
            return density, Decimal("0.5") - density * total
        fraction = a  # density / (a + 1 / (a + 2 / (a + 3 / ...)))
        for k in range(400, 0, -1):
            fraction = a + k / fraction
        return density, density / fraction


def gelu(x):
    _, tail = normal_tail(abs(x))
    return float(Decimal(x) * (1 - tail if x > 0 else tail))


def gelu_derivative(x):
    density, tail = normal_tail(abs(x))
    return float((1 - tail if x > 0 else tail) + Decimal(x) * density)


# Each function of one number, and its derivative.
ELEMENTWISE = {
    "identity": (lambda x: x, lambda x: 1.0),
    "binary_step": (lambda x: float(x > 0), lambda x: 0.0),
    "relu": (lambda x: max(x, 0.0), lambda x: float(x > 0)),
    "leaky_relu": (lambda x: x if x > 0 else 0.01 * x, lambda x: 1.0 if x > 0 else 0.01),
    "sigmoid": (sigmoid, sigmoid_derivative),
    "tanh": (math.tanh, tanh_derivative),
    "arctan": (math.atan, lambda x: 1 / (1 + x * x)),
    "exp": (math.exp, math.exp),
    "elu": (lambda x: elu(x, 1.0), lambda x: elu_derivative(x, 1.0)),
    "selu": (
        lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
        lambda x: 1.0507009873554805 * elu_derivative(x, 1.6732632423543772),
    ),
    "softplus": (softplus, lambda x: 1.0 if x > 20 else sigmoid(x)),
    "silu": (lambda x: x * sigmoid(x), silu_derivative),
    "gelu": (gelu, gelu_derivative),
    "gelu_tanh": (gelu_tanh, gelu_tanh_derivative),
    "hard_tanh": (lambda x: max(-1.0, min(1.0, x)), lambda x: float(-1 < x < 1)),
    "hard_sigmoid": (lambda x: max(0, min(6, x + 3)) / 6, lambda x: (-3 < x < 3) / 6),
}
# At infinity: value and derivative at -inf, value and derivative at +inf.
LIMITS = {
    "identity": (-math.inf, 1, math.inf, 1),
    "binary_step": (0, 0, 1, 0),
    "relu": (0, 0, math.inf, 1),
    "leaky_relu": (-math.inf, 0.01, math.inf, 1),
    "sigmoid": (0, 0, 1, 0),
    "tanh": (-1, 0, 1, 0),
    "arctan": (-math.pi / 2, 0, math.pi / 2, 0),
    "exp": (0, 0, math.inf, math.inf),
    "elu": (-1, 0, math.inf, 1),
    "selu": (-1.7580993408473766, 0, math.inf, 1.0507009873554805),
    "softplus": (0, 0, math.inf, 1),
    "silu": (0, 0, math.inf, 1),
    "gelu": (0, 0, math.inf, 1),
    "gelu_tanh": (0, 0, math.inf, 1),
    "hard_tanh": (-1, 0, 1, 0),
    "hard_sigmoid": (0, 0, 1, 0),
}
ALONG_AN_AXIS = ["softmax", "log_softmax"]
# Their y is too large for the largest x: what they do there is NumPy's.
OVERFLOWING = {"exp": (88.0, 709.0), "selu": (1e38, 1e308)}  # so they are tried up to here


def function(name):
    if name == "gelu_tanh":
        return lambda x: activations.gelu(x, approximate="tanh")
    return getattr(activations, name)


every_function = pytest.mark.parametrize("name", ELEMENTWISE)


def points(dtype):
    """Ordinary, large, small and subnormal numbers, of both signs, and zero."""
    info = np.finfo(dtype)
    sizes = [1e4, 88, 20, 3, 1, 0.5, 1e-3, info.max, info.tiny, info.smallest_subnormal]
    return np.array([0, *sizes, *(-float(size) for size in sizes)], dtype)


def points_of(name, dtype):
    """Of `points`, those where the function has a value."""
    largest = OVERFLOWING.get(name, (math.inf, math.inf))[dtype is np.float64]
    return np.array([x for x in points(dtype) if x <= largest])


def test_every_function_of_the_module_is_tested_here():
    public = {
        name
        for name, function in vars(activations).items()
        if inspect.isfunction(function)
        and function.__module__ == activations.__name__
        and not name.startswith("_")
    }
    tested = {*ELEMENTWISE, *ALONG_AN_AXIS} - {"gelu_tanh"}
    assert public - {"check_float"} == tested
    assert set(LIMITS) == set(ELEMENTWISE)


@every_dtype
@every_function
def test_values_at_the_extremes(name, dtype):
    x = points_of(name, dtype)
    y, _ = function(name)(x)
    expected = np.array([ELEMENTWISE[name][0](float(value)) for value in x])
    info = np.finfo(dtype)
    np.testing.assert_allclose(y, expected, rtol=4 * info.eps, atol=2 * info.smallest_subnormal)


@every_dtype
@every_function
def test_derivatives_at_the_extremes(name, dtype):
    x = points_of(name, dtype)
    _, vjp = function(name)(x)
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
    y, vjp = function(name)(np.array([-math.inf, math.inf], dtype))
    dx = vjp(np.ones(2, dtype))
    expected = np.array(LIMITS[name], dtype)
    np.testing.assert_allclose([y[0], dx[0], y[1], dx[1]], expected, rtol=np.finfo(dtype).eps)


@every_function
def test_a_nan_is_not_hidden(name):
    y, _ = function(name)(np.array([math.nan, 1.0]))
    assert np.isnan(y).tolist() == [True, False]


@pytest.mark.parametrize("shape", [(1,), (3, 4), (2, 3, 4), (0, 5)])
@every_dtype
@pytest.mark.parametrize("name", [*ELEMENTWISE, *ALONG_AN_AXIS])
def test_shape_and_dtype_are_kept_and_arguments_too(name, dtype, shape):
    x = fn.random.normal(fn.random.key(0), shape, dtype)
    dy = x + dtype(1)
    for array in (x, dy):
        array.setflags(write=False)
    y, vjp = function(name)(x)
    dx = vjp(dy)
    assert (y.shape, y.dtype) == (dx.shape, dx.dtype) == (shape, dtype)


@pytest.mark.parametrize("name", [*ELEMENTWISE, *ALONG_AN_AXIS])
def test_derivatives_are_right(name):
    x = fn.random.normal(fn.random.key(1), (4, 5), np.float64)
    fn.check_vjp(function(name), x)


@pytest.mark.parametrize("dim", [-1, 0, 1, -2])
@pytest.mark.parametrize("name", ALONG_AN_AXIS)
def test_derivatives_along_any_axis_are_right(name, dim):
    x = fn.random.normal(fn.random.key(1), (3, 4), np.float64)
    fn.check_vjp(lambda x: getattr(activations, name)(x, dim), x)


def at(name, points, **arguments):
    """Values and derivatives at these points."""
    y, vjp = getattr(activations, name)(np.array(points), **arguments)
    return y.tolist(), vjp(np.ones(len(points))).tolist()


def test_derivatives_at_kinks_and_both_zeros():
    assert at("relu", [0.0, -0.0]) == ([0, 0], [0, 0])
    assert at("binary_step", [0.0, -0.0]) == ([0, 0], [0, 0])
    assert at("leaky_relu", [0.0, -0.0], negative_slope=0.3)[1] == [0.3, 0.3]
    assert at("elu", [0.0, -0.0], alpha=0.3)[1] == [0.3, 0.3]
    assert at("hard_tanh", [-1.0, 1.0]) == ([-1, 1], [0, 0])
    assert at("hard_tanh", [-2.0, 3.0], min_val=-2, max_val=3) == ([-2, 3], [0, 0])
    assert at("hard_sigmoid", [-3.0, 3.0]) == ([0, 1], [0, 0])
    assert at("softplus", [20.0, 20.0 + 1e-14])[1] == [pytest.approx(1 - 2.06e-9, abs=1e-11), 1]


@pytest.mark.parametrize("name", OVERFLOWING)
def test_what_is_too_large_overflows_as_numpy_does(name):
    x = np.array([np.finfo(np.float32).max])
    with np.errstate(over="ignore"):
        assert function(name)(x.astype(np.float32))[0] == math.inf
    with pytest.raises(FloatingPointError):
        function(name)(x.astype(np.float32))


@every_dtype
@pytest.mark.parametrize("beta", [0.25, 3.0])
def test_softplus_with_another_beta_does_not_overflow(beta, dtype):
    x = points(dtype)
    y, vjp = activations.softplus(x, beta=beta, threshold=2.0)
    expected = [v if v * beta > 2 else softplus(v * beta) / beta for v in map(float, x)]
    info = np.finfo(dtype)
    # b x is rounded, and in the tail exp(b x) is as wrong as b x is large.
    np.testing.assert_allclose(y, expected, rtol=300 * info.eps, atol=2 * info.smallest_subnormal)
    slopes = [1.0 if v * beta > 2 else sigmoid(max(v * beta, -800)) for v in map(float, x)]
    np.testing.assert_allclose(vjp(np.ones_like(x)), slopes, rtol=300 * info.eps, atol=info.tiny)


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_tanh"])
@every_dtype
def test_the_left_tail_keeps_its_relative_precision(name, dtype):
    x = np.linspace(-12, -2, 101).astype(dtype)
    y, vjp = function(name)(x)
    value, derivative = ELEMENTWISE[name]
    if name == "gelu_tanh":  # u is rounded, and exp(2 u) as wrong as 2 u is large
        x, y, dx = x[x > -3], y[x > -3], vjp(np.ones_like(x))[x > -3]
    else:
        dx = vjp(np.ones_like(x))
    rtol = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, [value(v) for v in map(float, x)], rtol=rtol)
    np.testing.assert_allclose(dx, [derivative(v) for v in map(float, x)], rtol=rtol)


def test_gelu_is_right_to_double_precision():
    x = np.concatenate([np.linspace(-37, -1, 145), np.linspace(-1, 9, 200), [1e-300, -1e-9]])
    y, vjp = activations.gelu(x)
    np.testing.assert_allclose(y, [gelu(v) for v in x], rtol=1.5e-15)
    # Close to its zero at -0.75 a derivative is a small difference.
    np.testing.assert_allclose(
        vjp(np.ones_like(x)), [gelu_derivative(v) for v in x], rtol=1.5e-15, atol=3e-16
    )


@pytest.mark.parametrize("approximate", ["tan", None, True])
def test_gelu_refuses_another_approximation(approximate):
    with pytest.raises(ValueError, match=f"'none' or 'tanh', got {approximate!r}"):
        activations.gelu(np.ones(2), approximate)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_half_precision_is_kept_too(name):
    x = np.array([0, 1, -1, 3, -3, 5.5, -8], np.float16)
    y, vjp = function(name)(x)
    dx = vjp(np.ones_like(x))
    assert y.dtype == dx.dtype == np.float16
    value, derivative = ELEMENTWISE[name]
    np.testing.assert_allclose(y, [value(float(v)) for v in x], rtol=4e-3, atol=4e-3)
    np.testing.assert_allclose(dx, [derivative(float(v)) for v in x], rtol=4e-3, atol=4e-3)


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
