"""Optimizers: pure transformations of gradients into updates, with optax's pair and names.

    Optimizer(init, update)
    init(params)                         -> state
    update(grads, state, params)         -> (updates, state)
    apply_updates(params, updates)       -> params                  params + updates

grads, params and updates are trees of one structure; a state is a NamedTuple, or a tuple of those
for a chain. The formulas are torch's where torch has the optimizer. Arrays that a function made
itself it may change until it returns them; its arguments it never does.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from funcnn import tree
from funcnn.schedules import Schedule, as_schedule
from funcnn.types import Array, Tree

State = Any


class Optimizer(NamedTuple):
    """`init(params) -> state` and `update(grads, state, params) -> (updates, state)`."""

    init: Callable[[Tree], State]
    update: Callable[[Tree, State, Tree], tuple[Tree, State]]


def apply_updates(params: Tree, updates: Tree) -> Tree:
    """params + updates, leaf by leaf, in the dtypes of params.

    Raises `ValueError` where the structures or shapes differ.
    """

    def add(p: Array, u: Array) -> Array:
        total = np.asarray(p + u, p.dtype)
        if total.shape != p.shape:
            raise ValueError(f"an update of shape {u.shape} does not fit a weight of {p.shape}")
        return total

    return tree.map(add, params, updates)


# --- transformations to compose --------------------------------------------------------------


class Stateless(NamedTuple):
    """The state of a transformation that remembers nothing."""


class ScheduleState(NamedTuple):
    """The steps taken so far."""

    step: int


class TraceState(NamedTuple):
    """The decaying sum of the gradients, a tree like params."""

    trace: Tree


class AdamState(NamedTuple):
    """The steps taken so far, and the running means of g and g^2, trees like params."""

    step: int
    mean: Tree
    square: Tree


class MomentumState(NamedTuple):
    """The steps taken so far, and the velocity, a tree like params."""

    step: int
    velocity: Tree


def chain(*transformations: Optimizer) -> Optimizer:
    """Each transformation applied to what the one before it returned. As `optax.chain`."""
    for index, transformation in enumerate(transformations):
        if not isinstance(transformation, Optimizer):
            raise TypeError(f"chain: argument {index} is not an Optimizer: {transformation!r}")

    def init(params: Tree) -> State:
        return tuple(transformation.init(params) for transformation in transformations)

    def update(grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        if len(state) != len(transformations):
            raise ValueError(f"chain of {len(transformations)} got a state of {len(state)}")
        states = []
        for transformation, old in zip(transformations, state, strict=True):
            grads, new = transformation.update(grads, old, params)
            states.append(new)
        return grads, tuple(states)

    return Optimizer(init, update)


def scale(factor: float) -> Optimizer:
    """u = factor g. As `optax.scale`."""
    factor = float(factor)

    def update(grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        return tree.map(lambda g: g * factor, grads), state

    return Optimizer(lambda params: Stateless(), update)


def scale_by_schedule(schedule: Schedule) -> Optimizer:
    """u = schedule(step) g, step 0 first. As `optax.scale_by_schedule`."""

    def update(grads: Tree, state: ScheduleState, params: Tree) -> tuple[Tree, State]:
        factor = float(schedule(state.step))
        return tree.map(lambda g: g * factor, grads), ScheduleState(state.step + 1)

    return Optimizer(lambda params: ScheduleState(0), update)


def _descend(learning_rate: float | Schedule) -> Optimizer:
    """u = -learning_rate g: the last link of every optimizer."""
    schedule = as_schedule(learning_rate)
    return scale_by_schedule(lambda step: -schedule(step))


def add_decayed_weights(weight_decay: float) -> Optimizer:
    """u = g + weight_decay w. As `optax.add_decayed_weights`.

    Before `sgd` it is the `weight_decay` of torch's SGD. weight_decay: at least 0.
    """
    weight_decay = _check_range("weight_decay", weight_decay, 0, math.inf)

    def add(g: Array, w: Array) -> Array:
        u = w * weight_decay
        u += g
        return u

    def update(grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        return tree.map(add, grads, params), state

    return Optimizer(lambda params: Stateless(), update)


def trace(decay: float, nesterov: bool = False) -> Optimizer:
    """v = decay v + g; u = v, or with `nesterov` u = g + decay v. As `optax.trace`.

    decay: in [0, 1), 0 remembers nothing. Polyak 1964; Sutskever et al. 2013.
    """
    decay = _check_range("decay", decay, 0, 1)

    def accumulate(g: Array, v: Array) -> Array:
        new = v * decay
        new += g
        return new

    def update(grads: Tree, state: TraceState, params: Tree) -> tuple[Tree, State]:
        new = tree.map(accumulate, grads, state.trace)
        updates = tree.map(lambda g, v: g + v * decay, grads, new) if nesterov else new
        return updates, TraceState(new)

    return Optimizer(lambda params: TraceState(_zeros_like(params)), update)


def clip_by_global_norm(max_norm: float) -> Optimizer:
    """u = g min(1, max_norm / (|g| + 1e-6)), |g| the norm of all leaves together.

    As `torch.nn.utils.clip_grad_norm_`. max_norm: above 0. Pascanu et al. 2013.
    """
    max_norm = _check_range("max_norm", max_norm, 0, math.inf)
    if max_norm == 0:
        raise ValueError("max_norm must be above 0, got 0")

    def update(grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in tree.leaves(grads)))
        factor = max_norm / (norm + 1e-6)
        factor = 1.0 if factor > 1 else factor  # unlike min(1, factor), keeps a NaN, as torch does
        return tree.map(lambda g: g * factor, grads), state

    return Optimizer(lambda params: Stateless(), update)


def scale_by_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """u = m' / (sqrt(s') + eps), with m' and s' the unbiased running means of g and g^2.

    m = b1 m + (1 - b1) g, m' = m / (1 - b1^t); s = b2 s + (1 - b2) g^2, s' = s / (1 - b2^t).
    b1, b2: in [0, 1). eps: at least 0. Kingma and Ba 2015; as `optax.scale_by_adam`.
    """
    b1 = _check_range("b1", b1, 0, 1)
    b2 = _check_range("b2", b2, 0, 1)
    eps = _check_range("eps", eps, 0, math.inf)

    def running_mean(decay: float) -> Callable[[Array, Array], Array]:
        def average(value: Array, mean: Array) -> Array:
            new = mean * decay
            new += value * (1 - decay)
            return new

        return average

    first, second = running_mean(b1), running_mean(b2)

    def update(grads: Tree, state: AdamState, params: Tree) -> tuple[Tree, State]:
        step = state.step + 1
        mean = tree.map(first, grads, state.mean)
        square = tree.map(lambda g, s: second(g * g, s), grads, state.square)
        correction = 1 - b1**step
        root_correction = math.sqrt(1 - b2**step)

        def direction(m: Array, s: Array) -> Array:
            denominator = np.sqrt(s)
            denominator /= root_correction
            denominator += eps
            denominator *= correction
            return m / denominator

        return tree.map(direction, mean, square), AdamState(step, mean, square)

    return Optimizer(lambda params: AdamState(0, _zeros_like(params), _zeros_like(params)), update)


# --- whole optimizers ------------------------------------------------------------------------


def sgd(
    learning_rate: float | Schedule, momentum: float = 0.0, nesterov: bool = False
) -> Optimizer:
    """v = momentum v + g; w = w - learning_rate v. As `torch.optim.SGD`.

    learning_rate: at least 0, or a schedule. momentum: in [0, 1). nesterov: step along
    g + momentum v instead. For weight decay: `chain(add_decayed_weights(1e-4), sgd(...))`.
    Raises `ValueError` for a value out of range, or nesterov without momentum.
    """
    momentum = _check_range("momentum", momentum, 0, 1)
    if nesterov and momentum == 0:
        raise ValueError("nesterov needs a momentum above 0")
    last = _descend(learning_rate)
    return chain(trace(momentum, nesterov), last) if momentum else chain(last)


def classical_momentum(
    learning_rate: float | Schedule, momentum: float = 0.9, weight_decay: float = 0.0
) -> Optimizer:
    """v = b v - d h w - h g; w = w + v: the learning rate h inside the velocity.

    b is `momentum`, d `weight_decay`. Equal to torch's SGD while h is constant; under a schedule
    the velocity keeps the rates of the steps that made it. Sutskever et al. 2013, equation 1.
    """
    schedule = as_schedule(learning_rate)
    momentum = _check_range("momentum", momentum, 0, 1)
    weight_decay = _check_range("weight_decay", weight_decay, 0, math.inf)

    def update(grads: Tree, state: MomentumState, params: Tree) -> tuple[Tree, State]:
        rate = float(schedule(state.step))

        def accelerate(g: Array, v: Array, w: Array) -> Array:
            new = v * momentum
            new -= w * (weight_decay * rate)
            new -= g * rate
            return new

        velocity = tree.map(accelerate, grads, state.velocity, params)
        return velocity, MomentumState(state.step + 1, velocity)

    return Optimizer(lambda params: MomentumState(0, _zeros_like(params)), update)


def adam(
    learning_rate: float | Schedule = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """w = w - learning_rate u, with the u of `scale_by_adam`. As `torch.optim.Adam`."""
    return chain(scale_by_adam(b1, b2, eps), _descend(learning_rate))


def adamw(
    learning_rate: float | Schedule = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Optimizer:
    """w = w - learning_rate (u + weight_decay w), u of `scale_by_adam`. As `torch.optim.AdamW`.

    Loshchilov and Hutter 2019.
    """
    return chain(
        scale_by_adam(b1, b2, eps), add_decayed_weights(weight_decay), _descend(learning_rate)
    )


def _zeros_like(params: Tree) -> Tree:
    return tree.map(np.zeros_like, params)


def _check_range(name: str, value: float, least: float, below: float) -> float:
    if not least <= value < below:
        raise ValueError(f"{name} must be in [{least}, {below}), got {value}")
    return float(value)  # a np.float64 would turn float32 arrays into float64
