"""A first step of what is a user's own, before there is a folder for it.

Layers, loss, optimizer and metrics are somebody's code: what is wrong with it is said at once, and
in one line, rather than after an epoch.
"""

import numpy as np

import funcnn as fn
from funcnn._reductions import Value
from funcnn.experiments.errors import InputError, kind_of
from funcnn.experiments.tasks.build import build_optimizer
from funcnn.experiments.tasks.own_settings import OWN
from funcnn.experiments.tasks.task import Task
from funcnn.spec import own_constructors
from funcnn.types import Array, Loss, LossVjp, Shape

_EXAMPLES = 8


def rehearsed(task: Task) -> Task:
    """The task, of which a step was tried on a few examples, if its network is a user's own.

    Raises `InputError`, one line with the place, for whatever goes wrong with it.
    """
    own = task.config.own
    if own is None:
        return task
    for make in own_constructors(task.model):
        if make not in own.layers and task.model.spec is not None:
            raise InputError(
                f"{own.file}: the constructor {make.__name__} is not at its top: put it there, or "
                "nothing could read the run again"
            )
    (x, y), params = task.data.train, task.first_params()
    optimizer = build_optimizer(task.config, task.total_steps)
    loss = _checked(task.loss, own.file) if task.config.loss == OWN else task.loss
    shapes: list[Shape] = []
    seen = {"": lambda outputs, targets: shapes.append(outputs.shape)}
    step = fn.make_train_step(task.model.apply, loss, optimizer, seen)
    count = min(_EXAMPLES, task.batch_size)
    x, y = task.prepare(x[:count]), y[:count]
    with np.errstate(all="ignore"), own.running(f"in a first step, on {count} examples"):
        step(fn.TrainState.create(params, optimizer, rng=task.key(2)), (x, y))
    shape, _ = task.model.init(fn.random.SHAPES_ONLY, task.input_shape)
    if shapes != [(count, *shape)]:
        raise InputError(
            f"{own.where}: for {count} inputs its outputs have the shape {shapes[0]}, but by "
            f"its init {(count, *shape)}"
        )
    _, targets = task.data.validation or task.data.test
    if targets is not None:
        # Numbers as a network may give, also a probability, for all targets: of the few above, a
        # metric may miss a class.
        own.measured(fn.random.uniform(task.key(2), (len(targets), *shape)), targets)
    return task


def _checked(loss: Loss, file: str) -> Loss:
    """The loss, which raises `InputError` unless it gives a number and what a step needs."""

    def checked_loss(outputs: Array, targets: Array) -> tuple[Value, LossVjp]:
        made = loss(outputs, targets)
        if not isinstance(made, tuple) or len(made) != 2 or not callable(made[1]):
            raise InputError(f"{file}: loss gives {kind_of(made)}, not (value, vjp)")
        if np.ndim(made[0]) or np.asarray(made[0]).dtype.kind not in "iuf":
            raise InputError(f"{file}: the value of loss is {kind_of(made[0])}, not a number")
        doutputs = made[1]()
        if np.shape(doutputs) != outputs.shape or doutputs.dtype != outputs.dtype:
            raise InputError(
                f"{file}: the vjp of loss gives {getattr(doutputs, 'dtype', kind_of(doutputs))} of "
                f"shape {np.shape(doutputs)} for outputs, {outputs.dtype} of {outputs.shape}"
            )
        return made

    return checked_loss
