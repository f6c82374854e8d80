"""Whole optimizers: chains of transformations, ended by the learning rate.

The formulas and defaults are torch's where torch has the optimizer. Everywhere a learning rate
is a number of at least 0, or a schedule. For weight decay in the gradient, as torch's
`weight_decay`: `chain(add_decayed_weights(1e-4), sgd(...))`. A value out of range raises
`ValueError`.
"""

from typing import NamedTuple

from funcnn import tree
from funcnn._arguments import check_number
from funcnn._pickling import recorded
from funcnn._written import by_shapes
from funcnn.optimizers.base import Optimizer, State, chain, rate_at, zeros_like
from funcnn.optimizers.parts import Mask
from funcnn.optimizers.scaling import (
    scale_by_adam,
    scale_by_adamax,
    scale_by_rms,
    scale_by_rss,
    scale_by_sm3,
)
from funcnn.optimizers.transforms import add_decayed_weights, scale_by_learning_rate, trace
from funcnn.schedules import Schedule, as_schedule
from funcnn.types import Array, Tree


@by_shapes
class MomentumState(NamedTuple):
    """The steps taken so far, the rate of the last one, and the velocity, a tree like params."""

    step: int
    learning_rate: float
    velocity: Tree


@recorded
def sgd(learning_rate: float | Schedule, momentum: float = 0.0) -> Optimizer:
    """v = momentum v + g; w = w - learning_rate v. As `torch.optim.SGD`.

    learning_rate: at least 0, or a schedule. momentum: in [0, 1).
    Raises `ValueError` for a value out of range.

    >>> optimizer, params = fn.sgd(0.1, momentum=0.9), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.05, -0.4 ])
    """
    momentum = check_number("momentum", momentum, least=0, below=1)
    last = scale_by_learning_rate(learning_rate)
    return chain(trace(momentum), last) if momentum else chain(last)


@recorded
def nesterov(learning_rate: float | Schedule, momentum: float = 0.9) -> Optimizer:
    """v = momentum v + g; w = w - learning_rate (g + momentum v).

    As `torch.optim.SGD(nesterov=True)`. momentum: above 0, below 1. Sutskever et al. 2013.

    >>> optimizer, params = fn.nesterov(0.1), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.095, -0.76 ])
    """
    momentum = check_number("momentum", momentum, least=0, below=1)
    if momentum == 0:
        raise ValueError("nesterov needs a momentum above 0")
    return chain(trace(momentum, nesterov=True), scale_by_learning_rate(learning_rate))


@recorded
def classical_momentum(
    learning_rate: float | Schedule, momentum: float = 0.9, weight_decay: float = 0.0
) -> Optimizer:
    """v = b v - d h w - h g; w = w + v: the learning rate h inside the velocity.

    b is `momentum`, d `weight_decay`. Equal to torch's SGD while h is constant; under a schedule
    the velocity keeps the rates of the steps that made it. Sutskever et al. 2013, equation 1.

    >>> optimizer, params = fn.classical_momentum(0.1, weight_decay=0.01), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.051, -0.398])
    """
    schedule = as_schedule(learning_rate)
    momentum = check_number("momentum", momentum, least=0, below=1)
    weight_decay = check_number("weight_decay", weight_decay, least=0)

    def update(grads: Tree, state: MomentumState, params: Tree) -> tuple[Tree, State]:
        rate = rate_at(schedule, state.step)
        decay = weight_decay * rate

        def accelerate(g: Array, v: Array, w: Array) -> Array:
            new = v * momentum
            new -= w * decay
            new -= g * rate
            return new

        velocity = tree.map_arrays(accelerate, grads, state.velocity, params)
        return velocity, MomentumState(state.step + 1, rate, velocity)

    def init(params: Tree) -> State:
        return MomentumState(0, float(schedule(0)), zeros_like(params))

    return Optimizer(init, update)


@recorded
def adam(
    learning_rate: float | Schedule = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """w = w - learning_rate u, with the u of `scale_by_adam`. As `torch.optim.Adam`.

    >>> optimizer, params = fn.adam(0.01), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.01, -0.01])
    """
    return chain(scale_by_adam(b1, b2, eps), scale_by_learning_rate(learning_rate))


@recorded
def adamw(
    learning_rate: float | Schedule = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    mask: Mask = None,
) -> Optimizer:
    """w = w - learning_rate (u + weight_decay w), u of `scale_by_adam`. As `torch.optim.AdamW`.

    mask: what to decay, as in `add_decayed_weights`; None is everything, `weight_mask` leaves
    biases and norms alone. Loshchilov and Hutter 2019.

    >>> optimizer, params = fn.adamw(0.01), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(5)
    array([-0.0101, -0.0098])
    """
    return chain(
        scale_by_adam(b1, b2, eps),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@recorded
def adamax(
    learning_rate: float | Schedule = 2e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """w = w - learning_rate u, with the u of `scale_by_adamax`. As `torch.optim.Adamax`.

    >>> optimizer, params = fn.adamax(0.01), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.01, -0.01])
    """
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))


@recorded
def adagrad(learning_rate: float | Schedule = 1e-2, eps: float = 1e-10) -> Optimizer:
    """w = w - learning_rate u, with the u of `scale_by_rss`. As `torch.optim.Adagrad`.

    For torch's `lr_decay` give it `schedules.inverse_time_decay`.

    >>> optimizer, params = fn.adagrad(0.1), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.1, -0.1])
    """
    return chain(scale_by_rss(eps), scale_by_learning_rate(learning_rate))


@recorded
def rmsprop(
    learning_rate: float | Schedule = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
) -> Optimizer:
    """v = momentum v + u; w = w - learning_rate v, u of `scale_by_rms`. As `torch.optim.RMSprop`.

    alpha, momentum: in [0, 1). eps: at least 0.

    >>> optimizer, params = fn.rmsprop(0.01), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.1, -0.1])
    """
    return chain(scale_by_rms(alpha, eps), sgd(learning_rate, momentum))


@recorded
def sm3(learning_rate: float | Schedule, momentum: float = 0.9) -> Optimizer:
    """w = w - learning_rate u, with the u of `scale_by_sm3`. As `optax.sm3`.

    >>> optimizer, params = fn.sm3(0.1), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.01, -0.01])
    """
    return chain(scale_by_sm3(momentum), scale_by_learning_rate(learning_rate))
