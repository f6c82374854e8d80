"""The two recurrences of momentum and weight decay: trained with, and beside each other."""

import itertools
import math

import numpy as np

import funcnn as fn
from funcnn.experiments.labs import figures, sections
from funcnn.experiments.labs.fashion_mlp_settings import MAIN, MOMENTUM, OURS
from funcnn.experiments.labs.lab import Results
from funcnn.experiments.labs.tables import Setting, shown, sweep
from funcnn.experiments.reports.document import Block, Formula, Section, Text, finding
from funcnn.experiments.tasks.optimizers import SCHEDULES
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.callback import Callback

_STEPS = 200
MEASURED = {"constant rate": "constant", "falling rate": "cosine"}
"""The schedules under which the two are held beside each other."""


def recurrences(results: Results, rest: str) -> Section:
    """Both recurrences, what each trains to, and how far they are apart.

    rest: what its trainings have in common with the others.
    """
    settings = [
        Setting("the lab's, falling rate, as above", OURS),
        *map(Setting, MOMENTUM, MOMENTUM.values()),
    ]
    section = sweep(results, "Optimizer", settings, "recurrence", "momentum", rest)
    return sections.titled(
        section.title,
        (
            Formula(
                [
                    r"\mathrm{the\ lab's}\quad v_t &= b v_{t-1} - g h w_{t-1} - h G_{t-1} & "
                    "w_t &= w_{t-1} + v_t",
                    r"\mathrm{PyTorch's}\quad v_t &= b v_{t-1} + g w_{t-1} + G_{t-1} & "
                    "w_t &= w_{t-1} - h v_t",
                ]
            ),
            Text(
                "With $b$ momentum, $g$ weight decay, $h$ learning rate and $G$ the gradient. "
                "While $h$ is constant, the lab's $v$ is $-h$ times PyTorch's and $w$ is the same, "
                "but for rounding, by which runs in single precision part as two seeds do. "
                "When $h$ falls, the lab's $v$ still holds steps made with the higher rates, so "
                "that a change of $h$ takes some $1 / (1 - b)$ steps to arrive."
            ),
            *_apart(results),
        ),
        section.blocks,
    )


def _apart(results: Results) -> list[Block]:
    """How far the two recurrences take the params apart, from one start with the same batches."""
    distances: dict[str, list[float]] = results.measured
    path = results.out / "figures" / "recurrences.png"
    caption = "How far the two recurrences are apart, step by step (NumPy, float64)."
    ends = ", ".join(f"**{values[-1]:.1e}** under a {name}" for name, values in distances.items())
    return [
        shown(path, caption, figures.apart, distances),
        finding(
            f"In float64, from the same first weights and with the same batches, the params of the "
            f"two are, after {_STEPS} steps, so far apart relative to their own length: {ends}."
        ),
    ]


def measure(results: Results, callback: Callback, at_once: int) -> dict[str, list[float]]:
    """How far the two recurrences are apart after each step."""
    callback.note("the two recurrences beside each other")
    task = results.task(MAIN)
    return {
        label: recurrences_apart(task, schedule, _STEPS) for label, schedule in MEASURED.items()
    }


def recurrences_apart(task: Task, schedule: str, steps: int) -> list[float]:
    """|classical - torch's| / |torch's| of the params after each step.

    Both begin with the task's first params and take the batches of its first epoch, with the same
    masks of dropout. schedule: by name, over these steps.
    """
    config = task.config
    rate = SCHEDULES[schedule](config.lr, steps)
    decay = fn.add_decayed_weights(config.weight_decay)
    optimizers = (
        fn.classical_momentum(rate, config.momentum, config.weight_decay),
        fn.chain(decay, fn.sgd(rate, config.momentum)),
    )
    start = fn.tree.map(lambda leaf: leaf.astype(np.float64), task.first_params())
    states = [(start, optimizer.init(start)) for optimizer in optimizers]
    gradient = fn.value_and_grad(task.model.apply, task.loss)
    distances = []
    for step, (x, y) in enumerate(itertools.islice(task.batches(1), steps)):
        rng = fn.random.fold_in(task.key(2), step)
        for index, (optimizer, (params, state)) in enumerate(zip(optimizers, states, strict=True)):
            _, grads = gradient(params, x.astype(np.float64), y, rng=rng)
            updates, state = optimizer.update(grads, state, params)
            states[index] = fn.apply_updates(params, updates), state
        ours, theirs = (fn.tree.leaves(params) for params, _ in states)
        apart = sum(float(((a - b) ** 2).sum()) for a, b in zip(ours, theirs, strict=True))
        distances.append(math.sqrt(apart / sum(float((b**2).sum()) for b in theirs)))
    return distances
