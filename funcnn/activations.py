"""Activation functions, each beside its derivative.

Every function takes an array x of floats, of any shape, and returns `(y, vjp)`; `vjp(dy)` is dx,
of x's shape and dtype. The definitions are torch's: relu'(0) = 0. None overflows.
"""

import numpy as np

from funcnn.types import Array, ArrayVjp


def identity(x: Array) -> tuple[Array, ArrayVjp]:
    """y = x, as `torch.nn.Identity`."""
    return x, lambda dy: dy


def relu(x: Array) -> tuple[Array, ArrayVjp]:
    """y = max(x, 0); dx = dy where x > 0, else 0. As `torch.nn.ReLU`."""
    y = np.maximum(x, 0)
    return y, lambda dy: dy * (y > 0)


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
    if x.dtype.kind != "f":
        raise TypeError(f"{name} takes an array of floats, got {x.dtype}; convert it first")
