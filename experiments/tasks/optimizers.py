"""Optimizers and schedules by name, with the settings that suit each."""

from collections.abc import Callable
from typing import NamedTuple

import funcnn as fn
from funcnn.optimizers.parts import Mask
from funcnn.schedules import Schedule

SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "constant": lambda lr, steps: fn.schedules.constant(lr),
    "cosine": lambda lr, steps: fn.schedules.cosine_decay(lr, steps),
    "warmup-cosine": lambda lr, steps: fn.schedules.warmup_cosine_decay(
        0.0, lr, warmup_steps=steps // 20, decay_steps=steps
    ),
    "piecewise": lambda lr, steps: fn.schedules.piecewise_constant(
        lr, {max(1, steps // 2): 0.1, max(2, steps * 3 // 4): 0.1}
    ),
    "exponential": lambda lr, steps: fn.schedules.exponential_decay(lr, steps, 0.1),
    "inverse-time": lambda lr, steps: fn.schedules.inverse_time_decay(lr, steps, 9.0),
    "polynomial": lambda lr, steps: fn.schedules.polynomial_decay(lr, steps),
    "one-cycle": lambda lr, steps: fn.schedules.one_cycle(lr, steps),
}
"""`(peak rate, number of steps) -> schedule`."""


OF_OPTIMIZER = ("lr", "momentum", "weight_decay")
"""The settings that an optimizer may bring."""


DECAYED: dict[str, Mask] = {"all": None, "weights": fn.weight_mask}
"""What weight decay pulls: all params, or neither biases nor norms."""


class Choice(NamedTuple):
    """An optimizer by name: how to build it, and the defaults that suit it."""

    without_decay: Callable[[Schedule, float], fn.Optimizer]
    """`(schedule, momentum) -> optimizer`; for Adam and Adamax momentum is b1."""
    defaults: dict[str, float]
    with_decay: Callable[[Schedule, float, float, Mask], fn.Optimizer] | None = None
    """`(schedule, momentum, weight decay, mask) -> optimizer`, if decay is not in its gradient."""

    def build(
        self, schedule: Schedule, momentum: float, decay: float, mask: Mask = None
    ) -> fn.Optimizer:
        """The optimizer of this learning rate, momentum, weight decay and what that pulls."""
        if self.with_decay is not None:
            return self.with_decay(schedule, momentum, decay, mask)
        optimizer = self.without_decay(schedule, momentum)
        return fn.chain(fn.add_decayed_weights(decay, mask), optimizer) if decay else optimizer


def _classical_momentum(
    schedule: Schedule, momentum: float, decay: float, mask: Mask
) -> fn.Optimizer:
    if mask is None:
        return fn.classical_momentum(schedule, momentum, decay)
    # The same recurrence: v = b v - h (G + d w) where the mask is True.
    return fn.chain(fn.add_decayed_weights(decay, mask), fn.classical_momentum(schedule, momentum))


OPTIMIZERS = {
    "sgd": Choice(fn.sgd, {}),
    "nesterov": Choice(fn.nesterov, {}),
    "classical-momentum": Choice(fn.classical_momentum, {}, _classical_momentum),
    "adagrad": Choice(
        lambda schedule, momentum: fn.adagrad(schedule),
        {"lr": 2e-2, "momentum": 0.0, "weight_decay": 0.0},
    ),
    "rmsprop": Choice(
        lambda schedule, momentum: fn.rmsprop(schedule, momentum=momentum),
        {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0},
    ),
    "adam": Choice(fn.adam, {"lr": 1e-3, "weight_decay": 0.0}),
    "adamw": Choice(
        fn.adamw,
        {"lr": 1e-3, "weight_decay": 1e-2},
        lambda schedule, momentum, decay, mask: fn.adamw(
            schedule, momentum, weight_decay=decay, mask=mask
        ),
    ),
    "adamax": Choice(fn.adamax, {"lr": 4e-3, "weight_decay": 0.0}),
    "sm3": Choice(fn.sm3, {"lr": 2e-2, "weight_decay": 0.0}),
}
