"""Learning-rate schedules: `schedule(step) -> learning rate`, step 0 first, as in optax.

Wherever an optimizer takes a learning rate it takes a number or a schedule. A value out of range
raises `ValueError`.
"""

import bisect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence

from funcnn._arguments import check_number, check_steps, shown
from funcnn._pickling import recorded

Schedule = Callable[[int], float]


@recorded
def constant(value: float) -> Schedule:
    """`value` at every step. As `optax.constant_schedule`.

    >>> schedule = fn.schedules.constant(0.1)
    >>> [round(schedule(step), 4) for step in (0, 100)]
    [0.1, 0.1]
    """
    value = check_number("value", value, least=0)
    return lambda step: value


@recorded
def cosine_decay(init_value: float, decay_steps: int, alpha: float = 0.0) -> Schedule:
    """Half a cosine wave from `init_value` at step 0 to `alpha * init_value` at `decay_steps`.

    rate(t) = init_value ((1 - alpha) (1 + cos(pi t / decay_steps)) / 2 + alpha), then constant.
    decay_steps: at least 1. alpha: a fraction. Loshchilov and Hutter 2017; as
    `optax.cosine_decay_schedule`.

    >>> schedule = fn.schedules.cosine_decay(0.1, 100)
    >>> [round(schedule(step), 4) for step in (0, 50, 100)]
    [0.1, 0.05, 0.0]
    """
    init_value = check_number("init_value", init_value, least=0)
    alpha = check_number("alpha", alpha, least=0)
    check_steps("decay_steps", decay_steps, 1)

    def schedule(step: int) -> float:
        progress = min(step, decay_steps) / decay_steps
        return init_value * ((1 - alpha) * 0.5 * (1 + math.cos(math.pi * progress)) + alpha)

    return schedule


@recorded
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

    >>> schedule = fn.schedules.warmup_cosine_decay(0.0, 0.1, 10, 100)
    >>> [round(schedule(step), 4) for step in (0, 10, 55, 100)]
    [0.0, 0.1, 0.05, 0.0]
    """
    init_value = check_number("init_value", init_value, least=0)
    peak_value = check_number("peak_value", peak_value, least=0)
    end_value = check_number("end_value", end_value, least=0)
    check_steps("warmup_steps", warmup_steps, 0)
    check_steps("decay_steps", decay_steps, warmup_steps + 1)

    def schedule(step: int) -> float:
        if step < warmup_steps:
            return init_value + (peak_value - init_value) * step / warmup_steps
        progress = min(step - warmup_steps, decay_steps - warmup_steps)
        wave = 0.5 * (1 + math.cos(math.pi * progress / (decay_steps - warmup_steps)))
        return end_value + (peak_value - end_value) * wave

    return schedule


@recorded
def piecewise_constant(init_value: float, boundaries_and_scales: Mapping[int, float]) -> Schedule:
    """`init_value`, multiplied by each scale from the step that is its boundary on.

    boundaries_and_scales: `{step: factor}`; the boundary step itself has the new rate
    already. As `torch.optim.lr_scheduler.MultiStepLR` and `optax.piecewise_constant_schedule`.

    >>> schedule = fn.schedules.piecewise_constant(0.1, {50: 0.1, 75: 0.1})
    >>> [round(schedule(step), 4) for step in (0, 50, 75)]
    [0.1, 0.01, 0.001]
    """
    init_value = check_number("init_value", init_value, least=0)
    scales = {
        check_steps("a boundary", boundary, 0): check_number("a scale", scale, least=0)
        for boundary, scale in boundaries_and_scales.items()
    }

    def schedule(step: int) -> float:
        passed = [scale for at, scale in scales.items() if step >= at]
        return init_value * math.prod(passed)

    return schedule


@recorded
def exponential_decay(init_value: float, decay_steps: int, decay_rate: float) -> Schedule:
    """rate(t) = init_value decay_rate^(t / decay_steps).

    decay_steps: the steps in which the rate falls to decay_rate of what it was, at least 1.
    decay_rate: in [0, 1]. As `optax.exponential_decay`, and, with decay_steps 1,
    `torch.optim.lr_scheduler.ExponentialLR`.

    >>> schedule = fn.schedules.exponential_decay(0.1, 100, 0.5)
    >>> [round(schedule(step), 4) for step in (0, 100, 200)]
    [0.1, 0.05, 0.025]
    """
    init_value = check_number("init_value", init_value, least=0)
    decay_rate = check_number("decay_rate", decay_rate, least=0, most=1)
    check_steps("decay_steps", decay_steps, 1)
    return lambda step: init_value * decay_rate ** (step / decay_steps)


@recorded
def inverse_time_decay(init_value: float, decay_steps: int, decay_rate: float) -> Schedule:
    """rate(t) = init_value / (1 + decay_rate t / decay_steps).

    decay_steps: at least 1. decay_rate: at least 0.
    As `jax.example_libraries.optimizers.inverse_time_decay`.

    >>> schedule = fn.schedules.inverse_time_decay(0.1, 100, 1.0)
    >>> [round(schedule(step), 4) for step in (0, 100, 300)]
    [0.1, 0.05, 0.025]
    """
    init_value = check_number("init_value", init_value, least=0)
    decay_rate = check_number("decay_rate", decay_rate, least=0)
    check_steps("decay_steps", decay_steps, 1)
    return lambda step: init_value / (1 + decay_rate * step / decay_steps)


@recorded
def polynomial_decay(
    init_value: float, decay_steps: int, end_value: float = 0.0, power: float = 1.0
) -> Schedule:
    """From `init_value` at step 0 to `end_value` at `decay_steps`, along a line if power is 1.

    rate(t) = end_value + (init_value - end_value) (1 - t / decay_steps)^power, then constant.
    decay_steps: at least 1. power: at least 0. As `torch.optim.lr_scheduler.PolynomialLR` and
    `optax.polynomial_schedule`.

    >>> schedule = fn.schedules.polynomial_decay(0.1, 100)
    >>> [round(schedule(step), 4) for step in (0, 50, 100)]
    [0.1, 0.05, 0.0]
    """
    init_value = check_number("init_value", init_value, least=0)
    end_value = check_number("end_value", end_value, least=0)
    power = check_number("power", power, least=0)
    check_steps("decay_steps", decay_steps, 1)

    def schedule(step: int) -> float:
        left = 1 - min(step, decay_steps) / decay_steps
        return end_value + (init_value - end_value) * math.pow(left, power)

    return schedule


@recorded
def one_cycle(
    peak_value: float,
    total_steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Half a cosine wave up to `peak_value`, and half a one down, over `total_steps` in all.

    It begins at peak_value / div_factor and ends at final_div_factor times less than that, at
    step total_steps - 1; then it is constant. The peak is at step pct_start total_steps - 1.
    total_steps: at least 1. pct_start: in [0, 1]. The factors: at least 1.
    As `torch.optim.lr_scheduler.OneCycleLR`. Smith and Topin 2018.

    >>> schedule = fn.schedules.one_cycle(0.1, 101)
    >>> [round(schedule(step), 4) for step in (0, 29, 100)]
    [0.004, 0.1, 0.0]
    """
    peak_value = check_number("peak_value", peak_value, least=0)
    pct_start = check_number("pct_start", pct_start, least=0, most=1)
    check_steps("total_steps", total_steps, 1)
    init_value = peak_value / check_number("div_factor", div_factor, least=1)
    end_value = init_value / check_number("final_div_factor", final_div_factor, least=1)
    peak, last = pct_start * total_steps - 1, total_steps - 1

    def schedule(step: int) -> float:
        if step < peak:
            begin, end, progress = init_value, peak_value, step / peak
        elif step < last:
            begin, end, progress = peak_value, end_value, (step - peak) / (last - peak)
        else:
            return end_value if peak < last else peak_value
        return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * progress))

    return schedule


@recorded
def linear_warmup(init_value: float, peak_value: float, warmup_steps: int) -> Schedule:
    """A line from `init_value` at step 0 to `peak_value` at `warmup_steps`, then constant.

    warmup_steps: at least 1. Put it before another schedule with `join`.
    As `optax.warmup_constant_schedule`, and `torch.optim.lr_scheduler.LinearLR`.

    >>> schedule = fn.schedules.linear_warmup(0.0, 0.1, 10)
    >>> [round(schedule(step), 4) for step in (0, 5, 10, 20)]
    [0.0, 0.05, 0.1, 0.1]
    """
    init_value = check_number("init_value", init_value, least=0)
    peak_value = check_number("peak_value", peak_value, least=0)
    check_steps("warmup_steps", warmup_steps, 1)
    return lambda step: (
        init_value + (peak_value - init_value) * min(step, warmup_steps) / warmup_steps
    )


@recorded
def join(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """One schedule after the other, each from its own step 0 on.

    boundaries: the first step of each schedule but the first, increasing: one fewer than there are
    schedules. As `optax.join_schedules` and `torch.optim.lr_scheduler.SequentialLR`.
    Raises `ValueError` for another number of boundaries, or ones that do not increase; `TypeError`
    for what is no schedule.

    >>> warmup, rest = fn.schedules.linear_warmup(0.0, 0.1, 10), fn.schedules.cosine_decay(0.1, 90)
    >>> schedule = fn.schedules.join([warmup, rest], [10])
    >>> [round(schedule(step), 4) for step in (0, 5, 10, 55)]
    [0.0, 0.05, 0.1, 0.05]
    """
    schedules, starts = list(schedules), [0, *boundaries]
    if not schedules:
        raise ValueError("join: there are no schedules")
    if len(schedules) != len(starts):
        raise ValueError(
            f"join: {len(schedules)} schedules need {len(schedules) - 1} boundaries, "
            f"got {len(boundaries)}"
        )
    for index, schedule in enumerate(schedules):
        if not callable(schedule):
            raise TypeError(
                f"join: schedule {index} is not a function of the step: {shown(schedule)}"
            )
    for previous, boundary in itertools.pairwise(starts):
        check_steps("a boundary", boundary, previous + 1)

    def joined(step: int) -> float:
        index = bisect.bisect_right(starts, step) - 1
        return schedules[index](step - starts[index])

    return joined


def as_schedule(learning_rate: float | Schedule) -> Schedule:
    """A schedule as it is, a number as a constant one.

    Raises `ValueError` for a bad number, `TypeError` for a function of other arguments.
    """
    if not callable(learning_rate):
        rate = check_number("the learning rate", learning_rate, least=0)
        return lambda step: rate
    try:
        learning_rate(0)
    except TypeError as error:  # a constructor that was not called, for instance
        raise TypeError(f"the learning rate is a number or schedule(step): {error}") from None
    return learning_rate
