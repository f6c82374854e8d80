"""Optimizers and schedules by name, with the settings that suit each."""

from collections.abc import Callable
from typing import NamedTuple

import funcnn as fn
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


class Choice(NamedTuple):
    """An optimizer by name: how to build it, and the defaults that suit it."""

    build: Callable[[Schedule, float, float], fn.Optimizer]
    """`(schedule, momentum, weight decay) -> optimizer`; for Adam and Adamax momentum is b1."""
    defaults: dict[str, float]


def _decayed(weight_decay: float, optimizer: fn.Optimizer) -> fn.Optimizer:
    return fn.chain(fn.add_decayed_weights(weight_decay), optimizer) if weight_decay else optimizer


OPTIMIZERS = {
    "sgd": Choice(
        lambda schedule, momentum, decay: _decayed(decay, fn.sgd(schedule, momentum)), {}
    ),
    "nesterov": Choice(
        lambda schedule, momentum, decay: _decayed(decay, fn.nesterov(schedule, momentum)), {}
    ),
    "classical-momentum": Choice(fn.classical_momentum, {}),
    "adagrad": Choice(
        lambda schedule, momentum, decay: _decayed(decay, fn.adagrad(schedule)),
        {"lr": 2e-2, "momentum": 0.0, "weight_decay": 0.0},
    ),
    "rmsprop": Choice(
        lambda schedule, momentum, decay: _decayed(decay, fn.rmsprop(schedule, momentum=momentum)),
        {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0},
    ),
    "adam": Choice(
        lambda schedule, momentum, decay: _decayed(decay, fn.adam(schedule, momentum)),
        {"lr": 1e-3, "weight_decay": 0.0},
    ),
    "adamw": Choice(
        lambda schedule, momentum, decay: fn.adamw(schedule, momentum, weight_decay=decay),
        {"lr": 1e-3, "weight_decay": 1e-2},
    ),
    "adamax": Choice(
        lambda schedule, momentum, decay: _decayed(decay, fn.adamax(schedule, momentum)),
        {"lr": 4e-3, "weight_decay": 0.0},
    ),
    "sm3": Choice(
        lambda schedule, momentum, decay: _decayed(decay, fn.sm3(schedule, momentum)),
        {"lr": 2e-2, "weight_decay": 0.0},
    ),
}
