"""Ways to make a step of the derivatives, beside the `sgd` of `network`, which has momentum.

An optimizer is a function `optimizer(params, state, grads, rate) -> (params, state)`. params and
grads: lists of dicts, one for each layer. state: what it remembers, as its last step returned it;
None in the first step. g is an entry of grads, w the same one of params.
"""

import numpy as np

from funcnn.experiments.hand_in.standalone.network import MOMENTUM, tree_map


def zeros(params):
    """Zeros in the shapes of params."""
    return tree_map(np.zeros_like, params)


def gradient_descent(params, state, grads, rate):
    """w = w - rate g: plain, it remembers nothing."""
    return tree_map(lambda w, g: w - rate * g, params, grads), state


def nesterov(params, velocity, grads, rate):
    """v = MOMENTUM v + g, then w = w - rate (g + MOMENTUM v): a look ahead along the velocity."""
    velocity = tree_map(lambda v, g: MOMENTUM * v + g, velocity or zeros(params), grads)
    ahead = tree_map(lambda v, g: g + MOMENTUM * v, velocity, grads)
    return tree_map(lambda w, u: w - rate * u, params, ahead), velocity


def classical_momentum(params, velocity, grads, rate):
    """v = MOMENTUM v - rate g, then w = w + v: sgd's steps, with the rate inside the velocity."""
    velocity = tree_map(lambda v, g: MOMENTUM * v - rate * g, velocity or zeros(params), grads)
    return tree_map(np.add, params, velocity), velocity


def adagrad(params, square, grads, rate):
    """s = s + g^2, then w = w - rate g / sqrt(s): steps become smaller where much was seen."""
    square = tree_map(lambda s, g: s + g * g, square or zeros(params), grads)
    return tree_map(lambda w, g, s: w - rate * g / (np.sqrt(s) + 1e-10), params, grads, square), (
        square
    )


def rmsprop(params, square, grads, rate):
    """s = 0.99 s + 0.01 g^2, a running mean, then w = w - rate g / sqrt(s)."""
    square = tree_map(lambda s, g: 0.99 * s + 0.01 * g * g, square or zeros(params), grads)
    return tree_map(lambda w, g, s: w - rate * g / (np.sqrt(s) + 1e-8), params, grads, square), (
        square
    )


def adam(params, state, grads, rate, decay=0.0):
    """m = 0.9 m + 0.1 g, s = 0.999 s + 0.001 g^2, then w = w - rate m' / sqrt(s').

    m' = m / (1 - 0.9^step) and s' = s / (1 - 0.999^step): both means began with 0.
    """
    step, m, s = state or (0, zeros(params), zeros(params))
    step += 1
    m = tree_map(lambda m, g: MOMENTUM * m + (1 - MOMENTUM) * g, m, grads)
    s = tree_map(lambda s, g: 0.999 * s + 0.001 * g * g, s, grads)
    m_share, s_share = 1 - MOMENTUM**step, 1 - 0.999**step

    def moved(w, m, s):
        return w - rate * (m / m_share / (np.sqrt(s / s_share) + 1e-8) + decay * w)

    return tree_map(moved, params, m, s), (step, m, s)


def adamw(params, state, grads, rate):
    """Adam, and every weight is pulled towards 0 by a hundredth of the rate."""
    return adam(params, state, grads, rate, decay=0.01)


def adamax(params, state, grads, rate):
    """m as Adam's, u = max(0.999 u, |g|), then w = w - rate m' / u."""
    step, m, u = state or (0, zeros(params), zeros(params))
    step += 1
    m = tree_map(lambda m, g: MOMENTUM * m + (1 - MOMENTUM) * g, m, grads)
    u = tree_map(lambda u, g: np.maximum(0.999 * u, np.abs(g) + 1e-8), u, grads)
    m_share = 1 - MOMENTUM**step
    return tree_map(lambda w, m, u: w - rate * m / m_share / u, params, m, u), (step, m, u)


def sm3(params, state, grads, rate):
    """Adagrad with a number for each row and column in the place of one for each weight.

    s = g^2 + the smaller of its row's and its column's number, which then become the largest s of
    theirs. m = 0.9 m + 0.1 g / sqrt(s), then w = w - rate m.
    """
    largest, m = state or (tree_map(_of_axes, zeros(params)), zeros(params))
    s = tree_map(lambda g, of_axes: g * g + np.minimum.reduce(of_axes), grads, largest)

    def mean(m, g, s):
        return MOMENTUM * m + (1 - MOMENTUM) * g / np.sqrt(s + 1e-8)

    m = tree_map(mean, m, grads, s)
    return tree_map(lambda w, m: w - rate * m, params, m), (tree_map(_of_axes, s), m)


def _of_axes(s):
    """The largest entries of an array along each axis, each in the array's shape."""
    axes = range(s.ndim)
    largest = [s.max(tuple(b for b in axes if b != a), keepdims=True) for a in axes]
    return [np.broadcast_to(entries, s.shape) for entries in largest]
