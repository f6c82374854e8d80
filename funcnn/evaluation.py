"""Evaluation: what a model gives for data, and how good that is.

Both work in batches, keep nothing for a vjp, and may take the mean over several views of each
input (test-time augmentation).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from funcnn import tree
from funcnn._arguments import as_arrays, shown, value_and_vjp
from funcnn.batching import Preprocess, check_batch_size, check_data, count_rows, pick
from funcnn.inference import warn_of_first_statistics
from funcnn.layers.any_layer import with_wrt, y_and_vjp
from funcnn.layers.branches import add_all
from funcnn.threads import single_threaded_blas
from funcnn.training import Metric, check_metrics
from funcnn.types import Apply, Arrays, Batch, Loss, Tree

View = Callable[[Arrays], Arrays]
"""`view(x) -> x`, of the same number of rows: the same inputs seen another way."""


def evaluate(
    apply: Apply,
    loss: Loss,
    params: Tree,
    data: Batch,
    *,
    metrics: Mapping[str, Metric] | None = None,
    batch_size: int = 1000,
    preprocess: Preprocess | None = None,
    views: Sequence[View] | None = None,
) -> dict[str, Any]:
    """The `loss`, and each of `metrics`, of the whole of data `(x, y)`, in evaluation mode.

    x: `(N, ...)`. The model works in batches and keeps nothing for a vjp; loss and metrics see all
    the outputs at once, so the batch size does not show but in rounding. views: as of `predict`.
    Raises `ValueError` if there are no examples, and for a metric named `loss`. Warns
    (`UserWarning`) where the running statistics of every `BatchNorm` are still the initial ones:
    see `write_statistics`.

    >>> x, y = np.array([[9.0, 0.0], [0.0, 9.0]]), np.array([0, 0])
    >>> loss, metrics = fn.multiclass_hinge, {"accuracy": fn.accuracy}
    >>> fn.evaluate(fn.Identity().apply, loss, {}, (x, y), metrics=metrics)
    {'loss': 2.5, 'accuracy': 0.5}
    """
    x, y = check_data(data)
    check_metrics(metrics, ("loss",))
    if count_rows(x) == 0:
        raise ValueError("evaluate: there are no examples")
    outputs = _predict(apply, params, x, batch_size, preprocess, views)
    measured = {name: metric(outputs, y) for name, metric in (metrics or {}).items()}
    return {"loss": value_and_vjp(loss(outputs, y))[0], **measured}


def predict(
    apply: Apply,
    params: Tree,
    x: Arrays,
    *,
    batch_size: int = 1000,
    preprocess: Preprocess | None = None,
    views: Sequence[View] | None = None,
) -> Arrays:
    """The outputs for all rows of x, in evaluation mode, in batches, keeping nothing for a vjp.

    x: `(N, ...)`; returns `(N, ...)`. views: functions of stored inputs, before `preprocess`, as in
    `fn.views`: the outputs are then the mean over the views, that of logits for instance. x itself
    is one of them only where `fn.views.unchanged` is listed.
    Raises `ValueError` if there are no inputs, no views, or a view that gives another number of
    rows; `TypeError` for views that are no functions.
    Warns, as `evaluate`, of running statistics that are still the initial ones.

    >>> fn.predict(fn.Softmax().apply, {}, np.array([[2.0, 0.0], [0.0, 0.0]])).round(3)
    array([[0.881, 0.119],
           [0.5  , 0.5  ]])
    >>> views = fn.views.unchanged, lambda x: x[:, ::-1]
    >>> fn.predict(fn.Identity().apply, {}, np.array([[2.0, 0.0]]), views=views)
    array([[1., 1.]])
    """
    x = as_arrays("x", x)
    if count_rows(x) == 0:
        raise ValueError("predict: there are no inputs")
    return _predict(apply, params, x, batch_size, preprocess, views)


def _predict(
    apply: Apply,
    params: Tree,
    x: Arrays,
    batch_size: int,
    preprocess: Preprocess | None,
    views: Sequence[View] | None,
) -> Arrays:
    apply = with_wrt(apply)
    _check_views(views)
    warn_of_first_statistics(params)
    examples = count_rows(x)
    size = check_batch_size(min(batch_size, examples), examples)

    def outputs_of(inputs: Arrays) -> Arrays:
        if preprocess is not None:
            inputs = preprocess(inputs)
        return y_and_vjp(apply(params, inputs, train=False, wrt=None))[0]

    parts: list[Arrays] = []
    with single_threaded_blas():
        for start in range(0, examples, size):
            stored = pick(x, slice(start, start + size))
            if views is None:
                parts.append(outputs_of(stored))
            else:
                total = add_all([outputs_of(_seen(view, stored)) for view in views])
                parts.append(tree.map(lambda y: y / len(views), total))
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def _check_views(views: Any) -> None:
    if views is None:
        return
    if not isinstance(views, (tuple, list)) or not all(map(callable, views)):
        raise TypeError(
            f"views are functions of inputs, (fn.views.unchanged, fn.views.mirrored), got "
            f"{shown(views)}"
        )
    if not views:
        raise ValueError("views: there are none; leave them out, for the inputs as they are")


def _seen(view: View, stored: Arrays) -> Arrays:
    """The inputs as a view shows them. Raises `ValueError` for another number of rows."""
    inputs = as_arrays("a view's inputs", view(stored))
    if count_rows(inputs) != count_rows(stored):
        name = getattr(view, "__name__", "a view")
        rows = count_rows(stored)
        raise ValueError(f"{name} gives {count_rows(inputs)} rows for {rows}: a view keeps them")
    return inputs
