"""Learning-rate schedules: `schedule(step) -> learning rate`, step 0 first, as in optax.

Wherever an optimizer takes a learning rate it takes a number or a schedule. A value out of range
raises `ValueError`.
"""

import math
from collections.abc import Callable, Mapping

Schedule = Callable[[int], float]


def constant(value: float) -> Schedule:
    """`value` at every step. As `optax.constant_schedule`."""
    value = _check_rate("value", value)
    return lambda step: value


def cosine_decay(init_value: float, decay_steps: int, alpha: float = 0.0) -> Schedule:
    """Half a cosine wave from `init_value` at step 0 to `alpha * init_value` at `decay_steps`.

    rate(t) = init_value ((1 - alpha) (1 + cos(pi t / decay_steps)) / 2 + alpha), then constant.
    decay_steps: at least 1. alpha: a fraction. Loshchilov and Hutter 2017; as
    `optax.cosine_decay_schedule`.
    """
    init_value, alpha = _check_rate("init_value", init_value), _check_rate("alpha", alpha)
    _check_steps("decay_steps", decay_steps, 1)

    def schedule(step: int) -> float:
        progress = min(step, decay_steps) / decay_steps
        return init_value * ((1 - alpha) * 0.5 * (1 + math.cos(math.pi * progress)) + alpha)

    return schedule


def warmup_cosine_decay(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
) -> Schedule:
    """A line from `init_value` to `peak_value`, then half a cosine wave down to `end_value`.

    warmup_steps: the length of the line, at least 0. decay_steps: the length of both together,
    above warmup_steps. As `optax.warmup_cosine_decay_schedule`.
    """
    init_value = _check_rate("init_value", init_value)
    peak_value = _check_rate("peak_value", peak_value)
    end_value = _check_rate("end_value", end_value)
    _check_steps("warmup_steps", warmup_steps, 0)
    _check_steps("decay_steps", decay_steps, warmup_steps + 1)

    def schedule(step: int) -> float:
        if step < warmup_steps:
            return init_value + (peak_value - init_value) * step / warmup_steps
        progress = min(step - warmup_steps, decay_steps - warmup_steps)
        wave = 0.5 * (1 + math.cos(math.pi * progress / (decay_steps - warmup_steps)))
        return end_value + (peak_value - end_value) * wave

    return schedule


def piecewise_constant(init_value: float, boundaries_and_scales: Mapping[int, float]) -> Schedule:
    """`init_value`, multiplied by each scale from the step that is its boundary on.

    boundaries_and_scales: `{step: factor}`; the boundary step itself has the new rate
    already. As `torch.optim.lr_scheduler.MultiStepLR` and `optax.piecewise_constant_schedule`.
    """
    init_value = _check_rate("init_value", init_value)
    for boundary in boundaries_and_scales:
        _check_steps("a boundary", boundary, 0)
    scales = {at: _check_rate("a scale", s) for at, s in boundaries_and_scales.items()}

    def schedule(step: int) -> float:
        passed = [scale for at, scale in scales.items() if step >= at]
        return init_value * math.prod(passed)

    return schedule


def as_schedule(learning_rate: float | Schedule) -> Schedule:
    """A schedule as it is, a number as a constant one. Raises `ValueError` for a bad number."""
    if callable(learning_rate):
        return learning_rate
    return constant(_check_rate("the learning rate", learning_rate))


def _check_rate(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, got {value}")
    return float(value)  # a np.float64 would turn float32 arrays into float64


def _check_steps(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be a step of at least {least}, got {value}")
