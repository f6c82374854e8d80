"""Training: a gradient, a step, and passes over data.

A step is a pure function of a state and a batch. Everything that training changes is in the
state, so keeping a state is a checkpoint and going back to it is exact.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from funcnn import random, tree
from funcnn.composition import Optimizer, State, apply_updates
from funcnn.random import Key
from funcnn.threads import single_threaded_blas
from funcnn.transformations import last_learning_rate
from funcnn.types import Apply, Array, Arrays, Loss, Tree, with_wrt

Batch = tuple[Arrays, Arrays]
"""Inputs and targets, of one length; each an array, or a tuple of arrays."""
Metric = Callable[[Array, Any], Any]
"""`metric(outputs, targets) -> number`, or an array of one for each class."""
Preprocess = Callable[[Array], Array]
"""What makes a batch of stored inputs (pixels, say) into a batch that the model takes."""


class Aux(NamedTuple):
    """What a training pass gives beside loss and gradient."""

    outputs: Array
    statistics: Tree
    """New running statistics: a tree like params with None elsewhere, or None if there are none."""


def value_and_grad(apply: Apply, loss: Loss) -> Callable[..., tuple[tuple[float, Aux], Tree]]:
    """The function that gives the loss of a batch and its gradient by the params.

    The returned function is `f(params, x, y, *, rng=None, train=True) -> ((value, aux), grads)`,
    as `jax.value_and_grad(..., has_aux=True)`; x: `(N, ...)`, y: what the loss takes; grads is a
    tree like params.
    """
    apply = with_wrt(apply)

    def compute(
        params: Tree, x: Array, y: Array, *, rng: Key | None = None, train: bool = True
    ) -> tuple[tuple[float, Aux], Tree]:
        outputs, vjp = apply(params, x, rng=rng, train=train, wrt="params")
        value, loss_vjp = loss(outputs, y)
        assert vjp is not None  # it is, for wrt="params"
        grads, _ = vjp(loss_vjp())
        return (value, Aux(outputs, getattr(vjp, "statistics", None))), grads

    return compute


class TrainState(NamedTuple):
    """All that a training step changes."""

    params: Tree
    opt_state: State
    rng: Key | None

    @classmethod
    def create(cls, params: Tree, optimizer: Optimizer, rng: Key | None = None) -> "TrainState":
        """The state before the first step. Only a model with dropout needs an `rng`.

        Raises `TypeError` for an rng that is no key.
        """
        if rng is not None and not isinstance(rng, Key):
            raise TypeError(f"rng is a key, such as fn.random.key(0), got {rng!r}")
        return cls(params, optimizer.init(params), rng)


def make_train_step(
    apply: Apply,
    loss: Loss,
    optimizer: Optimizer,
    metrics: Mapping[str, Metric] | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, float]]]:
    """The pure function `step(state, (x, y)) -> (state, metrics)` of one optimizer step.

    The metrics are `loss` and whatever `metrics` names, of the batch as the model saw it in
    training, before the update; and `learning_rate`, that of the update, if the optimizer's state
    has it. A new key is split from the state's at each step.
    x: `(N, ...)`, y: what the loss takes. Raises `TypeError` for an optimizer that is none,
    `ValueError` for a metric of one of these two names.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is an Optimizer, such as fn.sgd(0.1), got {optimizer!r}")
    gradient = value_and_grad(apply, loss)
    _check_metrics(metrics)
    for name in ("loss", "learning_rate"):
        if name in (metrics or {}):
            raise ValueError(f"a metric cannot be named {name!r}: the step has one of its own")

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, float]]:
        x, y = batch
        rng, step_rng = (None, None) if state.rng is None else random.split(state.rng)
        with single_threaded_blas():
            (value, aux), grads = gradient(state.params, x, y, rng=step_rng, train=True)
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            params = apply_updates(state.params, updates)
        # After the update, so that weight decay and momentum cannot touch the statistics.
        params = write_statistics(params, aux.statistics)
        measured = {name: metric(aux.outputs, y) for name, metric in (metrics or {}).items()}
        rate = last_learning_rate(opt_state)
        if rate is not None:
            measured["learning_rate"] = rate
        return TrainState(params, opt_state, rng), {"loss": value, **measured}

    return step


def write_statistics(params: Tree, statistics: Tree) -> Tree:
    """The params, with the leaves of `statistics` in place of theirs where these are not None."""
    if statistics is None:
        return params
    if isinstance(statistics, dict):
        return {key: write_statistics(params[key], statistics.get(key)) for key in params}
    if isinstance(statistics, (list, tuple)):
        entries = [write_statistics(p, s) for p, s in zip(params, statistics, strict=True)]
        return type(params)(*entries) if hasattr(params, "_fields") else type(params)(entries)
    return statistics


def batches(
    data: Batch, batch_size: int, *, rng: Key | None = None, preprocess: Preprocess | None = None
) -> Iterator[Batch]:
    """The `(x, y)` batches of one pass over `data`, the last one smaller if it must be.

    data: `(x, y)`, `(N, ...)` each, or a tuple of such arrays: x of a network with several inputs,
    y as for `weighted`. batch_size: 1 to N.
    rng: the order, shuffled anew for each key; None keeps the order of the data.
    preprocess: applied to each batch of x, so that x may stay bytes in memory.
    Raises `ValueError` for another batch size or different lengths, at once.
    """
    x, y = _pair(data)
    examples = _count(x)
    if _count(y) != examples:
        raise ValueError(f"data has {examples} inputs but {_count(y)} targets")
    batch_size = operator.index(batch_size)
    if not 1 <= batch_size <= examples:
        raise ValueError(f"batch_size must be from 1 to the {examples} examples, got {batch_size}")
    order = None if rng is None else random.permutation(rng, examples)

    def generate() -> Iterator[Batch]:
        for start in range(0, examples, batch_size):
            stop = start + batch_size
            chosen: Any = slice(start, stop) if order is None else order[start:stop]
            inputs = _pick(x, chosen)
            yield (inputs if preprocess is None else preprocess(inputs)), _pick(y, chosen)

    return generate()


def _pair(data: Any) -> Batch:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"data is a pair (x, y) of inputs and targets, got a {type(data).__name__}")
    return data[0], data[1]


def _check_metrics(metrics: Any) -> None:
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"metrics are {{name: function}}, got a {type(metrics).__name__}")


def _count(arrays: Arrays) -> int:
    """The length of an array, or of every array in a tuple."""
    if not isinstance(arrays, tuple):
        return len(arrays)
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1:
        raise ValueError(f"data has arrays of different lengths, {sorted(lengths)}")
    return lengths.pop()


def _pick(arrays: Arrays, chosen: Any) -> Arrays:
    if isinstance(arrays, tuple):
        return tuple(array[chosen] for array in arrays)
    return arrays[chosen]


def evaluate(
    apply: Apply,
    loss: Loss,
    params: Tree,
    data: Batch,
    *,
    metrics: Mapping[str, Metric] | None = None,
    batch_size: int = 1000,
    preprocess: Preprocess | None = None,
) -> dict[str, Any]:
    """The `loss`, and each of `metrics`, of the whole of data `(x, y)`, in evaluation mode.

    x: `(N, ...)`. The model works in batches and keeps nothing for a vjp; loss and metrics see all
    the outputs at once, so the batch size does not show but in rounding.
    Raises `ValueError` if there are no examples.
    """
    x, y = _pair(data)
    _check_metrics(metrics)
    if _count(x) == 0:
        raise ValueError("evaluate: there are no examples")
    if _count(y) != _count(x):
        raise ValueError(f"data has {_count(x)} inputs but {_count(y)} targets")
    outputs = predict(apply, params, x, batch_size=batch_size, preprocess=preprocess)
    measured = {name: metric(outputs, y) for name, metric in (metrics or {}).items()}
    return {"loss": loss(outputs, y)[0], **measured}


def predict(
    apply: Apply,
    params: Tree,
    x: Arrays,
    *,
    batch_size: int = 1000,
    preprocess: Preprocess | None = None,
) -> Arrays:
    """The outputs for all rows of x, in evaluation mode, in batches, keeping nothing for a vjp.

    x: `(N, ...)`; returns `(N, ...)`. Raises `ValueError` if there are no inputs.
    """
    examples = _count(x)
    if examples == 0:
        raise ValueError("predict: there are no inputs")
    apply = with_wrt(apply)
    rows = np.arange(examples)
    with single_threaded_blas():
        parts = [
            apply(params, inputs, train=False, wrt=None)[0]
            for inputs, _ in batches((x, rows), min(batch_size, examples), preprocess=preprocess)
        ]
    return tree.map(lambda *arrays: np.concatenate(arrays), *parts)
