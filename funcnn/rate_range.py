"""The range test: which learning rates a network learns at, from one sweep through them all."""

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from funcnn._arguments import check_number, shown
from funcnn._written import by_shapes
from funcnn.optimizers.base import AnyOptimizer
from funcnn.random import Key
from funcnn.schedules import Schedule
from funcnn.training import TrainState, make_train_step
from funcnn.types import Apply, Array, Batch, Loss, Tree

_DIVERGED = 4
"""A loss of so many times the least before it."""
_WINDOWS = 20
"""The losses are smoothed over one of so many parts of the sweep."""


@by_shapes
class RateSweep(NamedTuple):
    """The learning rate of each step of a sweep, and the smoothed loss before it, `(S,)` each."""

    learning_rates: Array
    losses: Array
    diverged: float | None
    """The last rate, if the loss diverged there."""

    @property
    def steepest(self) -> float | None:
        """The rate from which on the loss falls most in a tenth of the sweep; None: it never does.

        After the first twentieth, in which few batches are averaged.
        """
        losses = self.losses[np.isfinite(self.losses)]
        span = max(1, len(losses) // 10)
        first = len(losses) // _WINDOWS
        falls = (losses[span:] - losses[:-span])[first:]  # each over the same ratio of rates
        if not len(falls) or falls.min() >= 0:
            return None
        return float(self.learning_rates[first + falls.argmin()])


def range_test(
    apply: Apply,
    loss: Loss,
    optimizer: Callable[[Schedule], AnyOptimizer],
    params: Tree,
    batches: Collection[Batch],
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    rng: Key | None = None,
) -> RateSweep:
    """One training step for each batch, while the learning rate rises from lowest to highest.

    rate(t) = lowest (highest / lowest)^(t / (S - 1)) for t = 0 .. S - 1; the losses are averaged
    exponentially over a twentieth of the S steps. It stops where that is not finite, or 4 times the
    least since the first twentieth. Usual choices are `sweep.steepest`, from which on the loss
    falls fastest, and a tenth of `sweep.diverged`; either may be None.
    optimizer: a function of the schedule, as `functools.partial(fn.sgd, momentum=0.9)`. batches: S
    pairs `(x, y)`, at least 2, as of `fn.batches`. lowest, highest: above 0. rng: for dropout.
    Raises `ValueError` for a number out of range or fewer batches, `TypeError` for an optimizer
    that is no such function, or batches without a length. Smith 2017.

    >>> x = np.ones((1, 1))
    >>> apply, loss, params = fn.Dense(1).apply, fn.mean_squared_error, {"weight": x, "bias": x[0]}
    >>> sweep = fn.range_test(apply, loss, fn.sgd, params, [(x, 3 * x)] * 100, lowest=1e-3)
    >>> round(sweep.steepest, 2), round(sweep.diverged, 1)
    (0.01, 2.7)
    """
    lowest = check_number("lowest", lowest, above=0)
    highest = check_number("highest", highest, above=lowest)
    if not hasattr(batches, "__len__"):
        raise TypeError(
            f"batches are a list of pairs (x, y), or fn.batches(data, size), got {shown(batches)}"
        )
    steps = len(batches)
    if steps < 2:
        raise ValueError(f"range_test: a sweep needs at least 2 batches, got {steps}")
    if not callable(optimizer):
        raise TypeError(
            "optimizer is a function of the learning rate, such as fn.sgd or "
            f"functools.partial(fn.sgd, momentum=0.9), got {shown(optimizer)}"
        )

    def rate_at(step: int) -> float:
        t = step / (steps - 1)
        return float(lowest ** (1 - t) * highest**t)  # highest / lowest itself may overflow

    made = optimizer(rate_at)
    train_step = make_train_step(apply, loss, made)
    state = TrainState.create(params, made, rng)
    window = max(1.0, steps / _WINDOWS)
    keep = 1 - 1 / window
    average, least, diverged = 0.0, math.inf, False
    losses: list[float] = []
    with np.errstate(all="ignore"):  # what diverges may leave the range of numbers
        for step, batch in enumerate(batches, 1):
            state, measured = train_step(state, batch)
            average = keep * average + (1 - keep) * float(measured["loss"])
            losses.append(average / (1 - keep**step))
            if step >= window:  # before, one batch says little
                least = min(least, losses[-1])
            diverged = not math.isfinite(losses[-1]) or losses[-1] > _DIVERGED * least > 0
            if diverged:
                break
    rates = [rate_at(step) for step in range(len(losses))]
    return RateSweep(np.array(rates), np.array(losses), rates[-1] if diverged else None)
