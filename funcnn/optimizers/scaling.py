"""Transformations that scale each entry of a gradient by what was seen of it before.

The heart of every adaptive optimizer, without its learning rate. eps is outside the root, as in
torch. See `optimizers.base` for the contract. A value out of range raises `ValueError`.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from funcnn import tree
from funcnn._arguments import check_number
from funcnn._memory import empty_like
from funcnn._pickling import recorded
from funcnn._recording import host
from funcnn._written import by_shapes
from funcnn.optimizers.base import Optimizer, State, scaled, squared, zeros_like
from funcnn.types import Array, Tree


@by_shapes
class AdamState(NamedTuple):
    """The steps taken so far, and the running means of g and g^2, trees like params."""

    step: int
    mean: Tree
    square: Tree


@by_shapes
class AdamaxState(NamedTuple):
    """The steps taken so far, the running mean of g and the decaying maximum of |g|."""

    step: int
    mean: Tree
    maximum: Tree


@by_shapes
class SquareState(NamedTuple):
    """The running mean, or the sum, of g^2, a tree like params."""

    square: Tree


@by_shapes
class Sm3State(NamedTuple):
    """The maxima for each leaf, a tuple with one array for each of its axes; the mean of u."""

    maxima: Tree
    mean: Tree


def _running_mean(decay: float) -> Callable[[Array, Array], Array]:
    def average(value: Array, mean: Array) -> Array:
        new = scaled(mean, decay)
        new += scaled(value, 1 - decay)
        return new

    return average


@recorded
def scale_by_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """u = m' / (sqrt(s') + eps), with m' and s' the unbiased running means of g and g^2.

    m = b1 m + (1 - b1) g, m' = m / (1 - b1^t); s = b2 s + (1 - b2) g^2, s' = s / (1 - b2^t).
    b1, b2: in [0, 1). eps: at least 0. Kingma and Ba 2015; as `optax.scale_by_adam`.

    >>> optimizer, params = fn.scale_by_adam(), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([1., 1.])
    """
    b1 = check_number("b1", b1, least=0, below=1)
    b2 = check_number("b2", b2, least=0, below=1)
    eps = check_number("eps", eps, least=0)

    first, second = _running_mean(b1), _running_mean(b2)

    def update(grads: Tree, state: AdamState, params: Tree) -> tuple[Tree, State]:
        step = state.step + 1
        mean = tree.map_arrays(first, grads, state.mean)
        square = tree.map_arrays(lambda g, s: second(squared(g), s), grads, state.square)
        correction = 1 - b1**step
        root_correction = host(math.sqrt, 1 - b2**step)

        def direction(m: Array, s: Array) -> Array:
            denominator = np.sqrt(s, out=empty_like(s))
            denominator /= root_correction
            denominator += eps
            denominator *= correction
            return np.divide(m, denominator, out=denominator)

        return tree.map(direction, mean, square), AdamState(step, mean, square)

    return Optimizer(lambda params: AdamState(0, zeros_like(params), zeros_like(params)), update)


@recorded
def scale_by_adamax(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """u = m' / s, with m' the unbiased running mean of g and s a decaying maximum of |g|.

    m = b1 m + (1 - b1) g, m' = m / (1 - b1^t); s = max(b2 s, |g| + eps).
    b1, b2: in [0, 1). eps: at least 0. Kingma and Ba 2015, algorithm 2; as `torch.optim.Adamax`.

    >>> optimizer, params = fn.scale_by_adamax(), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([1., 1.])
    """
    b1 = check_number("b1", b1, least=0, below=1)
    b2 = check_number("b2", b2, least=0, below=1)
    eps = check_number("eps", eps, least=0)
    first = _running_mean(b1)

    def largest(g: Array, s: Array) -> Array:
        size = np.abs(g)
        size += eps
        return np.maximum(s * b2, size)

    def update(grads: Tree, state: AdamaxState, params: Tree) -> tuple[Tree, State]:
        step = state.step + 1
        mean = tree.map_arrays(first, grads, state.mean)
        maximum = tree.map_arrays(largest, grads, state.maximum)
        correction = 1 - b1**step
        updates = tree.map(lambda m, s: m / (s * correction), mean, maximum)
        return updates, AdamaxState(step, mean, maximum)

    return Optimizer(lambda params: AdamaxState(0, zeros_like(params), zeros_like(params)), update)


@recorded
def scale_by_rms(alpha: float = 0.99, eps: float = 1e-8) -> Optimizer:
    """u = g / (sqrt(s) + eps), s = alpha s + (1 - alpha) g^2, a running mean from 0 on.

    alpha: in [0, 1). eps: at least 0. Tieleman and Hinton 2012; as `torch.optim.RMSprop`.

    >>> optimizer, params = fn.scale_by_rms(), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([10., 10.])
    """
    alpha = check_number("alpha", alpha, least=0, below=1)
    average = _running_mean(alpha)
    return _scale_by_root(lambda g, s: average(squared(g), s), eps)


@recorded
def scale_by_rss(eps: float = 1e-10) -> Optimizer:
    """u = g / (sqrt(s) + eps), s = s + g^2, a sum from 0 on.

    eps: at least 0. Duchi et al. 2011; as `torch.optim.Adagrad`.

    >>> optimizer, params = fn.scale_by_rss(), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([1., 1.])
    """
    return _scale_by_root(lambda g, s: g * g + s, eps)


def _scale_by_root(accumulate: Callable[[Array, Array], Array], eps: float) -> Optimizer:
    eps = check_number("eps", eps, least=0)

    def direction(g: Array, s: Array) -> Array:
        denominator = np.sqrt(s)
        denominator += eps
        return g / denominator

    def update(grads: Tree, state: SquareState, params: Tree) -> tuple[Tree, State]:
        square = tree.map_arrays(accumulate, grads, state.square)
        return tree.map_arrays(direction, grads, square), SquareState(square)

    return Optimizer(lambda params: SquareState(zeros_like(params)), update)


@recorded
def scale_by_sm3(momentum: float = 0.9, eps: float = 1e-8) -> Optimizer:
    """u = the running mean of g / sqrt(s + eps), with s as large as rows and columns of it allow.

    s = g^2 + min over axes a of r_a, and r_a = max of s over all other axes: for a matrix of
    m x n only m + n numbers are kept. An array without axes keeps itself.
    momentum: in [0, 1). eps: at least 0. Anil et al. 2019; as `optax.scale_by_sm3`.

    >>> optimizer, params = fn.scale_by_sm3(), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([0.1, 0.1])
    """
    momentum = check_number("momentum", momentum, least=0, below=1)
    eps = check_number("eps", eps, least=0)
    average = _running_mean(momentum)

    def reduce_axes(s: Array) -> tuple[Array, ...]:  # (d0, d1, ...) -> (d0, 1, ...), (1, d1, ...)
        axes = range(s.ndim)
        others = [tuple(other for other in axes if other != axis) for axis in axes] or [()]
        return tuple(s.max(other, keepdims=True) for other in others)

    def accumulate(g: Array, maxima: tuple[Array, ...]) -> Array:
        return g * g + functools.reduce(np.minimum, maxima)

    def update(grads: Tree, state: Sm3State, params: Tree) -> tuple[Tree, State]:
        square = tree.map_arrays(accumulate, grads, state.maxima)
        scaled = tree.map_arrays(lambda g, s: g / np.sqrt(s + eps), grads, square)
        mean = tree.map(average, scaled, state.mean)
        return mean, Sm3State(tree.map(reduce_axes, square), mean)

    def init(params: Tree) -> State:
        zeros = zeros_like(params)
        return Sm3State(tree.map(reduce_axes, zeros), zeros)

    return Optimizer(init, update)
