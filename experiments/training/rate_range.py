"""The range test of a run's settings: one sweep through learning rates, and a figure of it."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.figures import plots
from funcnn.experiments.paths import expect_new, free_file, new_file
from funcnn.experiments.tasks.architectures import unit_of
from funcnn.experiments.tasks.build import build_optimizer_at, network_that_fits
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.rehearsal import rehearsed
from funcnn.experiments.tasks.task import Batch, Task

LOWEST, HIGHEST = 1e-6, 10.0
"""The rates that a sweep usually goes from and to."""
STEPS = 400
"""The steps that it usually takes."""


def find_rates(
    config: RunConfig,
    out: Path | None = None,
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
    usual: Collection[str] = (),
) -> dict[str, Any]:
    """The range test of the network of these settings, with its optimizer, and a figure of it.

    What the settings say of the learning rate and of epochs does not count. out: a new PNG file; by
    default the next of `range-test-ARCH-001.png` and so on under `runs/`. usual: as of
    `Task.build`. `steepest` is the rate from which on the loss falls fastest, `diverged` the one at
    which it diverged, `tenth` a tenth of that; each None if there is none.
    Raises `InputError` if the settings, the data or the range cannot be used, or `out` exists.
    """
    if out is not None:
        expect_new(out, ".png")
    if not 0 < lowest < highest < math.inf:
        given = f"--lowest {lowest:g} --highest {highest:g}"
        raise InputError(f"{given}: must be above 0, and the highest above the lowest")
    task = rehearsed(Task.build(config, usual=usual))
    params = task.first_params()
    try:
        with network_that_fits(task.config), fn.threads.single_threaded_blas():
            sweep = fn.range_test(
                task.model.apply,
                task.loss,
                partial(build_optimizer_at, task.config),
                params,
                _Batches(task, steps),
                lowest=lowest,
                highest=highest,
                rng=task.key(2),
            )
    except ValueError as error:  # such as BatchNorm's, of a batch of one
        raise InputError(f"in a batch of {task.batch_size}: {error}") from None
    tenth = None if sweep.diverged is None else sweep.diverged / 10
    chosen = {"steepest descent": sweep.steepest, "a tenth of where it diverges": tenth}
    marks = {label: rate for label, rate in chosen.items() if rate is not None}
    out = out or free_file(f"range-test-{config.short_arch}", ".png")
    with new_file(out):
        plots.rate_sweep(out, sweep.learning_rates, sweep.losses, marks, unit_of(task.config.loss))
    return {
        "arch": config.arch,
        "data": config.data,
        "optimizer": config.optimizer,
        "steepest": sweep.steepest,
        "tenth": tenth,
        "diverged": sweep.diverged,
        "learning_rates": sweep.learning_rates.tolist(),
        "losses": sweep.losses.tolist(),
        "out": str(out),
    }


@dataclass(frozen=True)
class _Batches:
    """So many batches of a task, epoch after epoch."""

    task: Task
    steps: int

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        every = (batch for epoch in count(1) for batch in self.task.batches(epoch))
        return islice(every, self.steps)

    def __contains__(self, batch: object) -> bool:
        return any(batch is each for each in self)
