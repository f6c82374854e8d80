"""Transformations of gradients, to compose into optimizers. See `optimizers.base` for the contract.

In the formulas g is the gradient, u the update, w the weight. A value out of range raises
`ValueError`.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from funcnn import tree
from funcnn._arguments import check_number
from funcnn._pickling import recorded
from funcnn._recording import host, is_float
from funcnn._written import by_shapes
from funcnn.optimizers.base import Optimizer, State, rate_at, scaled, stateless, zeros_like
from funcnn.optimizers.parts import Mask, masked
from funcnn.schedules import Schedule, as_schedule
from funcnn.types import Array, Tree


class ScheduleState(NamedTuple):
    """The steps taken so far."""

    step: int


class LearningRateState(NamedTuple):
    """The steps taken so far, and the rate of the last one (before any, that of the first)."""

    step: int
    learning_rate: float


@by_shapes
class TraceState(NamedTuple):
    """The decaying sum of the gradients, a tree like params."""

    trace: Tree


@recorded
def scale(factor: float) -> Optimizer:
    """u = factor g. As `optax.scale`. factor: finite.

    >>> optimizer, params = fn.scale(-0.1), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.05, -0.4 ])
    """
    factor = check_number("factor", factor)
    return stateless(lambda grads, params: tree.map_arrays(lambda g: scaled(g, factor), grads))


@recorded
def scale_by_schedule(schedule: Schedule) -> Optimizer:
    """u = schedule(step) g, step 0 first. As `optax.scale_by_schedule`.

    >>> optimizer, params = fn.scale_by_schedule(lambda step: 0.5**step), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([0.5, 4. ])
    """

    def update(grads: Tree, state: ScheduleState, params: Tree) -> tuple[Tree, State]:
        factor = rate_at(schedule, state.step)
        return tree.map_arrays(lambda g: scaled(g, factor), grads), ScheduleState(state.step + 1)

    return Optimizer(lambda params: ScheduleState(0), update)


@recorded
def scale_by_learning_rate(learning_rate: float | Schedule) -> Optimizer:
    """u = -learning_rate(step) g, step 0 first: the last link of an optimizer.

    learning_rate: at least 0, or a schedule; the state has the rate that the last update used.
    As `optax.scale_by_learning_rate`.

    >>> optimizer, params = fn.scale_by_learning_rate(0.1), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.05, -0.4 ])
    """
    schedule = as_schedule(learning_rate)

    def update(grads: Tree, state: LearningRateState, params: Tree) -> tuple[Tree, State]:
        rate = rate_at(schedule, state.step)
        factor = -rate
        updates = tree.map_arrays(lambda g: scaled(g, factor), grads)
        return updates, LearningRateState(state.step + 1, rate)

    return Optimizer(lambda params: LearningRateState(0, float(schedule(0))), update)


def learning_rates(state: State) -> dict[str, float]:
    """The first `learning_rate` in a state, those of chains inside it included, by that name.

    Those of a `partition` are `learning_rate/label`. Empty where there is none.
    """
    rate: Any = getattr(state, "learning_rate", None)
    if is_float(rate):
        return {"learning_rate": rate}
    if not isinstance(state, tuple):
        return {}
    by_label = getattr(state, "inner_states", None)
    if type(by_label) is dict:
        return {
            name.replace("learning_rate", f"learning_rate/{label}", 1): rate
            for label, inner in by_label.items()
            for name, rate in learning_rates(inner).items()
        }
    return next(filter(None, map(learning_rates, state)), {})


@recorded
def add_decayed_weights(weight_decay: float, mask: Mask = None) -> Optimizer:
    """u = g + weight_decay w. As `optax.add_decayed_weights`.

    Before `sgd` it is the `weight_decay` of torch's SGD. weight_decay: at least 0.
    mask: what to decay, as in `masked`; None is everything, `weight_mask` leaves biases and norms
    alone.

    >>> optimizer, params = fn.add_decayed_weights(0.1), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([0.6, 3.8])
    """
    weight_decay = check_number("weight_decay", weight_decay, least=0)

    def add(g: Array, w: Array) -> Array:
        u = scaled(w, weight_decay)
        u += g
        return u

    everywhere = stateless(lambda grads, params: tree.map_arrays(add, grads, params))
    return everywhere if mask is None else masked(everywhere, mask)


@recorded
def trace(decay: float, nesterov: bool = False) -> Optimizer:
    """v = decay v + g; u = v, or with `nesterov` u = g + decay v. As `optax.trace`.

    decay: in [0, 1), 0 remembers nothing. Polyak 1964; Sutskever et al. 2013.

    >>> optimizer, params = fn.trace(0.9), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([0.5, 4. ])
    """
    decay = check_number("decay", decay, least=0, below=1)

    def accumulate(g: Array, v: Array) -> Array:
        new = scaled(v, decay)
        new += g
        return new

    def update(grads: Tree, state: TraceState, params: Tree) -> tuple[Tree, State]:
        new = tree.map_arrays(accumulate, grads, state.trace)
        updates = tree.map_arrays(lambda g, v: g + v * decay, grads, new) if nesterov else new
        return updates, TraceState(new)

    return Optimizer(lambda params: TraceState(zeros_like(params)), update)


@recorded
def clip_by_global_norm(max_norm: float) -> Optimizer:
    """u = g min(1, max_norm / (|g| + 1e-6)), |g| the norm of all leaves together.

    As `torch.nn.utils.clip_grad_norm_`. max_norm: above 0. Pascanu et al. 2013.

    >>> optimizer, params = fn.clip_by_global_norm(1.0), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([0.124 , 0.9923])
    """
    max_norm = check_number("max_norm", max_norm, above=0)

    def clip_factor(*squares: float) -> float:
        factor = max_norm / (math.sqrt(sum(map(float, squares))) + 1e-6)
        return 1.0 if factor > 1 else factor  # unlike min(1, factor), keeps a NaN, as torch does

    def clip(grads: Tree, params: Tree) -> Tree:
        factor = host(clip_factor, *(np.vdot(g, g) for g in tree.leaves(grads)))
        return tree.map_arrays(lambda g: scaled(g, factor), grads)

    return stateless(clip)


@recorded
def clip_by_value(max_value: float) -> Optimizer:
    """u = min(max(g, -max_value), max_value), entry by entry.

    As `torch.nn.utils.clip_grad_value_` and `optax.clip`. max_value: above 0.

    >>> optimizer, params = fn.clip_by_value(1.0), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([0.5, 1. ])
    """
    max_value = check_number("max_value", max_value, above=0)
    return stateless(
        lambda grads, params: tree.map_arrays(lambda g: np.clip(g, -max_value, max_value), grads)
    )
