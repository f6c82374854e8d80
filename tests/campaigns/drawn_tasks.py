"""Trainings that are drawn: a model, a loss, an optimizer with its schedule, and batches.

A step of one may be made in three ways, that are to give the same bits.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from campaigns.drawn_models import Rng, drawn_model, drawn_shape, is_several, joined, one_of, some
from cases import LOSSES, SCHEDULES
from library.compiled.compiled_steps import programs_of

import funcnn as fn
from funcnn.compiled import proof
from funcnn.types import Layer, Shape

WAYS = "plain", "numpy", "native"
CLASSES = 3


class Drawn(NamedTuple):
    """A training."""

    model: Layer
    shape: Shape
    """Of one sample."""
    loss: Any
    optimizer: Any
    state: fn.TrainState
    batches: list[tuple[Any, Any]]

    def step(self, way: str) -> Any:
        """Its step, made in one of the ways; what it calls is to be within `pinned(way)`."""
        how: Any = False if way == "plain" else "all"
        return fn.make_train_step(self.model.apply, self.loss, self.optimizer, compile=how)


def drawn_task(rng: Rng, shape: Shape | None = None, rows: int | None = None) -> Drawn:
    """A training whose first outputs are numbers; more rows than a few make it a large one."""
    shape = drawn_shape(rng) if shape is None else shape
    body = drawn_model(rng, shape)
    loss_name = one_of(rng, *LOSSES)
    head = [fn.Sigmoid()] if loss_name == "binary_cross_entropy" else []
    body_shape, _ = body.init(fn.random.SHAPES_ONLY, shape)
    model = fn.serial(body, *joined(body_shape), fn.Dense(CLASSES), *head)
    dtype = one_of(rng, np.float32, np.float32, np.float64)
    key = fn.random.key(some(rng, 0, 2**31))
    _, params = model.init(key, shape, dtype=dtype)
    optimizer = drawn_optimizer(rng)
    state = fn.TrainState.create(params, optimizer, fn.random.fold_in(key, 1))
    rows = some(rng, 2, 12) if rows is None else rows
    batches, last = [], max(2, rows - some(rng, 0, 1))
    for count in (rows, rows, rows, last, rows):  # the last one of an epoch may be smaller
        batches.append((normal_inputs(rng, shape, count, dtype), LOSSES[loss_name](count)))
    return Drawn(model, shape, getattr(fn, loss_name), optimizer, state, batches)


def drawn_optimizer(rng: Rng) -> Any:
    """Any optimizer with any schedule, behind what is often put before one, and in what wraps."""
    schedule = SCHEDULES[one_of(rng, *SCHEDULES)]
    names = "sgd", "nesterov", "classical_momentum", "adam", "adamw", "adamax", "adagrad"
    make = getattr(fn, one_of(rng, *names, "rmsprop", "sm3"))
    keywords = {"momentum": 0.9} if make in (fn.sgd, fn.rmsprop) and rng.random() < 0.5 else {}
    scale = 0.05

    def rate(step: Any) -> Any:
        return scale * schedule(step)

    optimizer = make(one_of(rng, 0.001, rate, schedule), **keywords)
    before = [fn.clip_by_global_norm(1.0), fn.add_decayed_weights(0.01), fn.clip_by_value(0.5)]
    chosen = [part for part in before if rng.random() < 0.3]
    optimizer = fn.chain(*chosen, optimizer)
    wrap = rng.integers(6)
    if wrap == 0:
        return fn.flatten(optimizer)
    if wrap == 1:
        return fn.chain(optimizer, fn.average_params(0.9))
    if wrap == 2:
        return fn.partition({"all": optimizer}, "all")
    return optimizer


def normal_inputs(rng: Rng, shape: Shape, rows: int, dtype: Any) -> Any:
    """A batch of numbers like 1, or a tuple of them."""
    if is_several(shape):
        return tuple(normal_inputs(rng, part, rows, dtype) for part in shape)
    return rng.standard_normal((rows, *shape)).astype(dtype)


@contextlib.contextmanager
def pinned(way: str) -> Iterator[None]:
    """Inside, what is recorded is replayed by NumPy, unless it is native."""
    if way != "numpy":
        yield
        return
    with mock.patch.object(proof, "why_not", return_value="NumPy's replay is asked for"):
        yield


def way_of(compiled: Any) -> str:
    """How a compiled step was done in truth."""
    if compiled.why is not None:
        return "plain"
    return "native" if all(p.is_native for p in programs_of(compiled)) else "numpy"
