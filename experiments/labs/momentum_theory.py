"""The two recurrences of momentum and weight decay beside each other, in float64."""

import itertools
import math

import numpy as np

import funcnn as fn
from funcnn.experiments.tasks.optimizers import SCHEDULES
from funcnn.experiments.tasks.task import Task


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
