"""Activation functions, each beside its derivative.

Every function takes an array x of floats, of any shape, and returns `(y, vjp)`; `vjp(dy)` is dx,
of x's shape and dtype. The definitions are torch's, at kinks too: relu'(0) = 0. Nothing overflows
but a y or dx that is itself too large, and -inf and inf give the limits.
"""

import math
from typing import Literal

import numpy as np

from funcnn._arguments import in_its_place, is_array
from funcnn._memory import empty_like
from funcnn.types import Array, ArrayVjp


def identity(x: Array) -> tuple[Array, ArrayVjp]:
    """y = x, as `torch.nn.Identity`."""
    return x, lambda dy: dy


def relu(x: Array) -> tuple[Array, ArrayVjp]:
    """y = max(x, 0); dx = dy where x > 0, else 0. As `torch.nn.ReLU`."""
    y = np.maximum(x, 0, out=empty_like(x))
    return y, lambda dy: np.multiply(dy, y > 0, out=empty_like(dy))


def sigmoid(x: Array) -> tuple[Array, ArrayVjp]:
    """y = 1 / (1 + exp(-x)); dx = dy y (1 - y). As `torch.nn.Sigmoid`."""
    # exp(min(x, 0)) / (1 + exp(-|x|)) is the same number, and neither power can overflow.
    y = np.exp(np.minimum(x, 0))
    denominator = np.exp(-np.abs(x))
    denominator += 1
    y /= denominator
    return y, lambda dy: dy * (y * (1 - y))


def tanh(x: Array) -> tuple[Array, ArrayVjp]:
    """y = tanh x; dx = dy (1 - y^2). As `torch.nn.Tanh`."""
    y = np.tanh(x)
    return y, lambda dy: dy * (1 - y * y)


def binary_step(x: Array) -> tuple[Array, ArrayVjp]:
    """y = 1 where x > 0, else 0; dx = 0. As `torch.heaviside(x, 0)`: 0 at 0, as relu'(0)."""
    y = np.heaviside(x, 0)
    return y, np.zeros_like


def arctan(x: Array) -> tuple[Array, ArrayVjp]:
    """y = arctan x; dx = dy / (1 + x^2). As `torch.arctan`."""

    def vjp(dy: Array) -> Array:
        with np.errstate(over="ignore"):  # x^2 may be inf, by which dy is rightly 0
            dx: Array = dy / (1 + x * x)
        return dx

    return np.arctan(x), vjp


def exp(x: Array) -> tuple[Array, ArrayVjp]:
    """y = exp x, which overflows for a large x as `np.exp` does; dx = dy y."""
    y = np.exp(x)
    return y, lambda dy: dy * y


# --- straight lines --------------------------------------------------------------------------


def leaky_relu(x: Array, negative_slope: float = 0.01) -> tuple[Array, ArrayVjp]:
    """y = x where x > 0, else s x; dx = dy there, else s dy. As `torch.nn.LeakyReLU`."""
    y = np.where(x > 0, x, negative_slope * np.minimum(x, 0))  # only what is chosen may overflow
    return y, lambda dy: np.where(x > 0, dy, negative_slope * dy)


def hard_tanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> tuple[Array, ArrayVjp]:
    """y = x cut to [min_val, max_val]; dx = dy strictly between them. As `torch.nn.Hardtanh`."""
    y = np.clip(x, min_val, max_val)
    return y, lambda dy: dy * ((x > min_val) & (x < max_val))


def hard_sigmoid(x: Array) -> tuple[Array, ArrayVjp]:
    """y = x / 6 + 1/2 cut to [0, 1]; dx = dy / 6 where |x| < 3. As `torch.nn.Hardsigmoid`."""
    y = np.clip(x + 3, 0, 6)
    y /= 6
    return y, lambda dy: dy * (np.abs(x) < 3) / 6


# --- exponential on one side -----------------------------------------------------------------

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def elu(x: Array, alpha: float = 1.0) -> tuple[Array, ArrayVjp]:
    """y = x where x > 0, else a (exp x - 1); dx = dy there, else dy a exp x. As `torch.nn.ELU`."""
    negative = np.minimum(x, 0)
    y = np.expm1(negative)
    y *= alpha
    y += np.maximum(x, 0)
    return y, lambda dy: np.where(x > 0, dy, dy * (alpha * np.exp(negative)))


def selu(x: Array) -> tuple[Array, ArrayVjp]:
    """y = 1.0507 elu(x, 1.6733), which keeps mean 0 and variance 1. As `torch.nn.SELU`.

    Klambauer et al. 2017.
    """
    y, vjp = elu(x, SELU_ALPHA)
    y *= SELU_SCALE
    return y, lambda dy: vjp(SELU_SCALE * dy)


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> tuple[Array, ArrayVjp]:
    """y = log(1 + exp(b x)) / b; dx = dy sigmoid(b x). As `torch.nn.Softplus`.

    Where b x > threshold, y = x and dx = dy, which differs by exp(-threshold) / b at most.
    """
    with np.errstate(over="ignore"):  # b x may be infinite; y is not
        scaled = x * beta
    y = np.log1p(np.exp(-np.abs(scaled)))
    y += np.maximum(scaled, 0)
    y /= beta
    linear = scaled > threshold
    return np.where(linear, x, y), lambda dy: np.where(linear, dy, dy * sigmoid(scaled)[0])


# --- x times a function that goes from 0 to 1 ------------------------------------------------


def silu(x: Array) -> tuple[Array, ArrayVjp]:
    """y = x s(x), s the sigmoid; dx = dy s(x) (1 + x s(-x)). As `torch.nn.SiLU`."""
    bounded = np.clip(x, -1000, 1000)  # y and dx have their limits by then, and inf * 0 has none
    s, _ = sigmoid(bounded)
    y = np.maximum(x, -1000) * s
    return y, lambda dy: dy * (s * (1 + bounded * sigmoid(-bounded)[0]))


def gelu(x: Array, approximate: Literal["none", "tanh"] = "none") -> tuple[Array, ArrayVjp]:
    """y = x P(x), P the normal distribution function; dx = dy (P(x) + x p(x)). As `torch.nn.GELU`.

    approximate="tanh": y = x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3), and its
    derivative. Hendrycks and Gimpel 2016. Raises `ValueError` for another word.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate is 'none' or 'tanh', got {approximate!r}")
    return _gelu(x) if approximate == "none" else _gelu_tanh(x)


def _gelu(x: Array) -> tuple[Array, ArrayVjp]:
    size, density, tail = _normal_tail(x)  # P(x) is the tail for x < 0, and 1 - tail for x > 0
    y = np.maximum(x, 0) - size * tail

    def vjp(dy: Array) -> Array:
        slope = tail - size * density  # at -|x|
        dx: Array = dy * np.where(x > 0, 1 - slope, slope)
        return dx

    return y, vjp


def _gelu_tanh(x: Array) -> tuple[Array, ArrayVjp]:
    bounded = np.clip(x, -30, 30)  # y and dx have their limits by then
    linear = math.sqrt(8 / math.pi)  # (1 + tanh u) / 2 = sigmoid(2 u), without its cancellation
    cubic = 0.044715 * linear
    square = bounded * bounded
    inner = bounded * (linear + cubic * square)
    s, _ = sigmoid(inner)
    y = np.maximum(x, -30) * s

    def vjp(dy: Array) -> Array:
        inner_slope = linear + 3 * cubic * square
        dx: Array = dy * (s * (1 + bounded * sigmoid(-inner)[0] * inner_slope))
        return dx

    return y, vjp


# R(a) = (1 - P(a)) / p(a), the ratio of the normal tail to its density (Mills), as a quotient of
# polynomials, highest power first; all coefficients are positive, so nothing cancels. Made by
# weighted least squares in 60 digits, the weights moved towards the largest relative error:
# 6.3e-9 for 0 <= a <= 15, and 5.4e-17 for 0 <= a <= 40.
_RATIO_FLOAT32 = (
    (
        1.0000107293623761,
        9.84364223797081,
        44.29830673281015,
        105.77774020821813,
        120.40038570703153,
    ),
    (
        1.0,
        9.844229942682688,
        45.28446706719724,
        115.80914613578639,
        161.04773426454608,
        96.06560826584449,
    ),
)
_RATIO_FLOAT64 = (
    (
        0.9999999999973119,
        26.849995108394562,
        353.07739128977965,
        2941.3607198193977,
        16976.859757785292,
        70159.91943764022,
        207625.0035361801,
        425988.66365058033,
        555266.6975574157,
        358010.36131473567,
    ),
    (
        1.0,
        26.84999510783056,
        354.07739134305723,
        2968.2107119053717,
        17327.937265067096,
        73047.57694738935,
        223905.77604051298,
        490533.25839076395,
        732409.1027920272,
        670955.1998344756,
        285650.939900483,
    ),
)


def _normal_tail(x: Array) -> tuple[Array, Array, Array]:
    """|x|, cut to where all is 0, the normal density there, and the tail 1 - P(|x|) beyond it.

    Relative errors of a few roundings, however small the tail.
    """
    cut = {2: 6.0, 4: 15.0}.get(x.itemsize, 40.0)
    numerator, denominator = _RATIO_FLOAT32 if x.itemsize <= 4 else _RATIO_FLOAT64
    size = np.minimum(np.abs(x), cut)
    # exp(-a^2 / 2) is as wrong as a^2 is large, if a^2 is rounded. That of the nearest sixteenth c
    # is exact, and a^2 - c^2 = (a - c) (a + c) is small.
    sixteenth = np.rint(size * 16)
    sixteenth /= 16
    rest = (size - sixteenth) * (size + sixteenth)
    density = np.exp(-0.5 * sixteenth * sixteenth)
    density *= np.exp(-0.5 * rest)
    density *= 1 / math.sqrt(2 * math.pi)
    tail = _polynomial(numerator, size)
    tail /= _polynomial(denominator, size)
    tail *= density
    return size, density, tail


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    y = coefficients[0] * x
    y += coefficients[1]
    for coefficient in coefficients[2:]:
        y *= x
        y += coefficient
    return y


# --- along an axis ---------------------------------------------------------------------------


def softmax(x: Array, dim: int = -1) -> tuple[Array, ArrayVjp]:
    """y = exp(x) / sum exp(x) along `dim`; dx = y (dy - sum dy y). As `torch.nn.Softmax`."""
    y = np.exp(_shift(x, dim))
    y /= y.sum(dim, keepdims=True)

    def vjp(dy: Array) -> Array:
        dx: Array = y * (dy - (dy * y).sum(dim, keepdims=True))
        return dx

    return y, vjp


def log_softmax(x: Array, dim: int = -1) -> tuple[Array, ArrayVjp]:
    """y = x - log sum exp(x) along `dim`; dx = dy - exp(y) sum dy. As `torch.nn.LogSoftmax`."""
    shifted = _shift(x, dim)
    y = shifted - np.log(np.exp(shifted).sum(dim, keepdims=True))
    return y, lambda dy: dy - np.exp(y) * dy.sum(dim, keepdims=True)


def _shift(x: Array, dim: int) -> Array:
    """x less its maximum along `dim`, so that no power of it overflows."""
    with np.errstate(over="ignore"):  # the difference may be -inf, whose power is rightly 0
        shifted: Array = x - x.max(dim, keepdims=True)
    return shifted


def check_float(name: str, x: Array) -> None:
    """Raise `TypeError` unless x is an array of floats: integers have no derivative."""
    if type(x) is not np.ndarray and not is_array(x):  # asked here, it saves most calls another
        raise TypeError(f"{name} takes an array of floats, got {in_its_place(x)}")
    if x.dtype.kind != "f":
        raise TypeError(f"{name} takes an array of floats, got {x.dtype}; convert it first")
