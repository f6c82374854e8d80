"""Training: a gradient and a step.

A step is a pure function of a state and a batch. Everything that training changes is in the
state, so keeping a state is a checkpoint and going back to it is exact.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from funcnn import random
from funcnn._arguments import (
    as_array,
    as_arrays,
    by_name,
    gradient_by_outputs,
    not_a_pair,
    shown,
    value_and_vjp,
)
from funcnn._elsewhere import answered
from funcnn._written import by_shapes
from funcnn.compiled.own_code import own_code
from funcnn.compiled.step import CompiledStep
from funcnn.layers.any_layer import dparams_and_dx, with_wrt, y_and_vjp
from funcnn.optimizers.base import AnyOptimizer, State, apply_updates, check_alike, check_optimizer
from funcnn.optimizers.transforms import learning_rates
from funcnn.random import Key
from funcnn.threads import single_threaded_blas
from funcnn.types import Apply, Array, Batch, Loss, Tree, statistics_of

Metric = Callable[[Array, Any], Any]
"""`metric(outputs, targets) -> number`, or an array of one for each class."""


Step = Callable[["TrainState", Batch], tuple["TrainState", dict[str, float]]]


@by_shapes
class Aux(NamedTuple):
    """What a training pass gives beside loss and gradient."""

    outputs: Array
    statistics: Tree
    """New running statistics: a tree like params with None elsewhere, or None if there are none."""


@answered
def value_and_grad(apply: Apply, loss: Loss) -> Callable[..., tuple[tuple[float, Aux], Tree]]:
    """The function that gives the loss of a batch and its gradient by the params.

    The returned function is `f(params, x, y, *, rng=None, train=True) -> ((value, aux), grads)`,
    as `jax.value_and_grad(..., has_aux=True)`; x: `(N, ...)`, y: what the loss takes; grads is a
    tree like params. It raises `TypeError` for a layer or a loss that gives no pair as the contract
    says, and for a loss whose value is no number.

    >>> params = {"weight": np.eye(2), "bias": np.zeros(2)}
    >>> gradient = fn.value_and_grad(fn.Dense(2).apply, fn.half_squared_error)
    >>> (loss, aux), grads = gradient(params, np.array([[1.0, 2.0]]), np.array([[0.0, 2.0]]))
    >>> loss, grads["bias"]
    (0.5, array([1., 0.]))
    """
    apply = with_wrt(apply)

    def compute(
        params: Tree,
        x: Array,
        y: Array,
        *rest: Any,
        rng: Key | None = None,
        train: bool = True,
        **others: Any,
    ) -> tuple[tuple[float, Aux], Tree]:
        if rest or others:
            raise by_name("gradient(params, x, y, ...)", rest, others)
        if type(x) is not np.ndarray:
            x = as_arrays("x", x)
        if type(y) is not np.ndarray and (isinstance(y, list) or hasattr(y, "__array__")):
            y = as_array("y", y, numbers=False)  # all else is between the user and the loss
        outputs, vjp = y_and_vjp(apply(params, x, rng=rng, train=train, wrt="params"))
        value, loss_vjp = value_and_vjp(loss(outputs, y))
        assert vjp is not None  # it is, for wrt="params"
        grads, _ = dparams_and_dx(vjp(gradient_by_outputs(loss_vjp)))
        return (value, Aux(outputs, statistics_of(vjp))), grads

    return compute


@by_shapes
class TrainState(NamedTuple):
    """All that a training step changes.

    >>> state = fn.TrainState.create({"bias": np.zeros(1)}, fn.adam(0.01))
    >>> state.params
    {'bias': array([0.])}
    """

    params: Tree
    opt_state: State
    rng: Key | None

    @classmethod
    def create(cls, params: Tree, optimizer: AnyOptimizer, rng: Key | None = None) -> "TrainState":
        """The state before the first step. Only a model with dropout needs an `rng`.

        Raises `TypeError` for an rng that is no key, or what is no optimizer.
        """
        if rng is not None and not isinstance(rng, Key):
            raise TypeError(f"rng is a key, such as fn.random.key(0), got {shown(rng)}")
        check_optimizer("optimizer", optimizer)
        return cls(params, optimizer.init(params), rng)


@answered
def make_train_step(
    apply: Apply,
    loss: Loss,
    optimizer: AnyOptimizer,
    metrics: Mapping[str, Metric] | None = None,
    *,
    compile: bool | Literal["all"] = False,  # noqa: A002  (torch's word, and jit's)
) -> Step | CompiledStep:
    """The pure function `step(state, (x, y)) -> (state, metrics)` of one optimizer step.

    The metrics are `loss` and whatever `metrics` names, of the batch as the model saw it in
    training, before the update; and `learning_rate`, that of the update, if the optimizer's state
    has it, or `learning_rate/label` for each label of a `partition`. A new key is split from the
    state's at each step. optimizer: any pair of `init` and `update`, one of optax's as it is.
    x: `(N, ...)`, y: what the loss takes.

    compile: record the step when it first meets a shape, and replay what NumPy was asked to do from
    then on: the same bits in less time. `step.why` says why one runs plain, as with a layer of your
    own. "all" records that too: what it does beside computing (a print, a count) is then done when
    it is recorded, and not in every step.
    Raises `TypeError` for an optimizer that is none, `ValueError` for a metric of one of these
    names, or another word.

    >>> optimizer = fn.sgd(0.1)
    >>> step = fn.make_train_step(fn.Dense(1).apply, fn.mean_squared_error, optimizer)
    >>> state = fn.TrainState.create({"weight": np.zeros((1, 1)), "bias": np.zeros(1)}, optimizer)
    >>> state, metrics = step(state, (np.array([[1.0]]), np.array([[2.0]])))
    >>> metrics["loss"], state.params["weight"]
    (4.0, array([[0.4]]))
    """
    check_optimizer("optimizer", optimizer)
    gradient = value_and_grad(apply, loss)
    check_metrics(metrics, ("loss", "learning_rate"))
    if compile not in (False, True, "all"):
        raise ValueError(f'compile is False, True or "all", got {shown(compile)}')

    def update(state: TrainState, batch: Batch) -> tuple[TrainState, tuple[dict[str, float], Any]]:
        """The new state; loss and learning rate; and the outputs, if a metric is to see them."""
        if not isinstance(batch, (tuple, list)):
            raise not_a_pair("batch", batch)
        try:
            params, opt_state, rng = state.params, state.opt_state, state.rng
            x, y = batch
        except AttributeError:
            kind, made = type(state).__name__, "fn.TrainState.create(params, optimizer)"
            raise TypeError(f"state is a TrainState, got a {kind}: {made}") from None
        except (TypeError, ValueError):
            raise not_a_pair("batch", batch) from None
        rng, step_rng = (None, None) if rng is None else random.split(rng)
        with single_threaded_blas():
            (value, aux), grads = gradient(params, x, y, rng=step_rng, train=True)
            try:
                updates, opt_state = optimizer.update(grads, opt_state, params)
            except ValueError:
                check_alike("gradient", params, grads)
                raise
            except TypeError as error:
                if "missing" in str(error):  # as of optax's lbfgs, a chain
                    raise TypeError(
                        f"update gets grads, state and params alone: {error}"
                    ) from error
                raise
            params = apply_updates(params, updates)
        # After the update, so that weight decay and momentum cannot touch the statistics.
        params = write_statistics(params, aux.statistics)
        measured = {"loss": value, **learning_rates(opt_state)}
        return TrainState(params, opt_state, rng), (measured, aux.outputs if metrics else None)

    def measure(measured: dict[str, float], outputs: Any, batch: Batch) -> dict[str, float]:
        """All the metrics of a step."""
        if not metrics:
            return measured
        _, y = batch
        own = {name: metric(outputs, y) for name, metric in metrics.items()}
        return {"loss": measured.pop("loss"), **own, **measured}

    def step(state: TrainState, batch: Batch, *rest: Any) -> tuple[TrainState, dict[str, float]]:
        if rest:
            raise TypeError(f"step(state, (x, y)) takes one pair, got {1 + len(rest)} arguments")
        state, (measured, outputs) = update(state, batch)
        return state, measure(measured, outputs, batch)

    if not compile:
        return step
    own = None if compile == "all" else own_code(apply, loss, optimizer)
    return CompiledStep(step, update, measure, own)


def write_statistics(params: Tree, statistics: Tree) -> Tree:
    """The params, with the running statistics that a training pass gave in the place of theirs.

    A loop of one's own writes them after the update, as `make_train_step` does by itself:

        ((loss, aux), grads) = gradient(params, x, y, rng=rng)
        updates, state = optimizer.update(grads, state, params)
        params = fn.write_statistics(fn.apply_updates(params, updates), aux.statistics)

    statistics: `aux.statistics`, a tree like params with None for what stays (or None for all that
    does). Arrays keep their shapes: `(C,)` for a `BatchNorm` of C channels.
    Raises `ValueError` where it does not fit the params.

    >>> params = [{"weight": np.ones(1)}, {"mean": np.zeros(1)}]
    >>> fn.write_statistics(params, [None, {"mean": np.array([5.0])}])
    [{'weight': array([1.])}, {'mean': array([5.])}]
    """
    if statistics is None:
        return params
    if isinstance(statistics, dict):
        if not isinstance(params, dict) or not statistics.keys() <= params.keys():
            raise ValueError(f"params have no entries {sorted(statistics)} to write statistics to")
        return {key: write_statistics(params[key], statistics.get(key)) for key in params}
    if isinstance(statistics, (list, tuple)):
        if not isinstance(params, (list, tuple)) or len(params) != len(statistics):
            raise ValueError(f"params have no {len(statistics)} entries to write statistics to")
        entries = [write_statistics(*pair) for pair in zip(params, statistics, strict=True)]
        return type(params)(*entries) if hasattr(params, "_fields") else type(params)(entries)
    statistics = as_array("statistics", statistics)
    if statistics.shape != np.shape(params):
        shape = statistics.shape
        raise ValueError(f"statistics of shape {shape} do not fit those of {np.shape(params)}")
    return statistics


def check_metrics(metrics: Any, taken: tuple[str, ...]) -> None:
    """Raise unless they are functions by name, and none is named as one that is there."""
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"metrics are {{name: function}}, got a {type(metrics).__name__}")
    for name in metrics or {}:
        if name in taken or name.startswith("learning_rate/"):
            raise ValueError(f"a metric cannot be named {name!r}: there is one already")
