"""From the losses of examples to one number: weights and reductions, in one place for every loss.

A formula gives the losses and their derivative; `reduced` makes a loss function of it, with the
keywords that `losses` describes.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from funcnn._arguments import as_array, check_cotangent, extremes, shown
from funcnn._recording import host
from funcnn.types import Array, LossVjp

Reduction = Literal["mean", "sum", "none"]
Value = Any
"""A float, or an array for the reduction "none"."""
Elementary = tuple[Array, Callable[[], Array]]
"""The losses, `(N,)` or `(N, ...)`, and their derivative by the outputs: a new array like these."""


def reduced(formula: Callable[..., Elementary]) -> Callable[..., tuple[Value, LossVjp]]:
    """The loss of a formula for each example or element: with weights, and reduced."""

    @functools.wraps(formula)
    def loss(
        *arguments: Any,
        weights: Array | None = None,
        reduction: Reduction = "mean",
        **keywords: Any,
    ) -> tuple[Value, LossVjp]:
        losses, derivative = formula(*arguments, **keywords)
        return _reduce(losses, derivative, weights, reduction)

    own, added = inspect.signature(formula), inspect.signature(loss, follow_wrapped=False)
    keyword_only = [added.parameters[name] for name in ("weights", "reduction")]
    signature = added.replace(parameters=[*own.parameters.values(), *keyword_only])
    loss.__signature__ = signature  # type: ignore[attr-defined]
    return loss


def _reduce(
    losses: Array,
    derivative: Callable[[], Array],
    weights: Array | None,
    reduction: Reduction,
) -> tuple[Value, LossVjp]:
    """The value and the vjp of `losses`, `(N,)` or `(N, ...)`, weighted and reduced.

    derivative: a new array of the outputs' shape, the derivative of all losses by the outputs.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', got {shown(reduction)}")
    total: float = losses.size
    if weights is not None:
        weights = _check_weights(weights, losses)
        total = host(float, weights.sum(dtype=np.float64)) * losses[0].size
        losses = losses * _stretched(weights, losses)
    if reduction == "sum":
        total = 1

    def scaled(factor: Any) -> Array:
        doutputs = derivative()
        doutputs *= _stretched(factor, doutputs) if isinstance(factor, np.ndarray) else factor
        if weights is not None:
            doutputs *= _stretched(weights, doutputs)
        return doutputs

    def array_vjp(dvalue: Array) -> Array:
        dvalue = as_array("dvalue", dvalue)
        check_cotangent(dvalue, losses.shape, losses.dtype)
        return scaled(dvalue)

    if reduction == "none":
        return losses, array_vjp
    return host(float, losses.sum()) / total, lambda dvalue=1.0: scaled(float(dvalue) / total)


def _stretched(values: Array, like: Array) -> Array:
    """values, `(N, ...)`, with axes of 1 for those that `like` has more: `(N, ..., 1, 1)`."""
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))


def _check_weights(weights: Array, losses: Array) -> Array:
    weights = as_array("weights", weights, numbers=False)
    if losses.ndim == 0 or weights.shape != losses.shape[:1] or weights.dtype.kind not in "biuf":
        raise ValueError(
            f"weights are numbers, one for each of {len(losses) if losses.ndim else 0} examples, "
            f"got {weights.dtype} of shape {weights.shape}"
        )
    with np.errstate(over="ignore"):  # what is too large for the dtype is refused as infinite
        cast = weights.astype(losses.dtype, copy=False)
    least, most = extremes(cast)
    if not (least >= 0 and 0 < most < math.inf):
        least, most = extremes(weights)
        raise ValueError(
            f"weights must be finite, at least 0 and not all 0, "
            f"got {least:g} to {most:g} for {cast.dtype} outputs"
        )
    return cast
