"""Loss functions, each beside its derivative.

    loss(outputs, targets) -> (value, vjp)        vjp(dvalue=1.0) -> doutputs

The value is a Python float, the mean over the batch, as torch defines it; doutputs has the shape
and dtype of outputs. Targets are cast to that dtype; targets whose shape does not fit are an
error, never a broadcast.
"""

import math

import numpy as np

from funcnn.activations import check_float, log_softmax
from funcnn.types import Array, LossVjp


def softmax_cross_entropy(
    logits: Array, labels: Array, label_smoothing: float = 0.0
) -> tuple[float, LossVjp]:
    """Mean over the batch of -sum_k t_k log softmax(logits)_k, as `torch.nn.CrossEntropyLoss`.

    logits: `(N, K)`, any real numbers. labels: integers `(N,)` in 0 .. K-1, or target
    probabilities t `(N, K)` (one-hot rows, for instance).
    label_smoothing: s in [0, 1]; t becomes (1 - s) t + s / K.
    Raises `ValueError` for another shape, a label out of range, or s outside [0, 1].
    """
    check_float("softmax_cross_entropy", logits)
    labels = np.asarray(labels)
    if logits.ndim != 2 or 0 in logits.shape:
        raise ValueError(f"softmax_cross_entropy: logits are (N, K), got shape {logits.shape}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
    n, classes = logits.shape
    log_p, _ = log_softmax(logits, 1)  # (N, K)
    if labels.shape == (n,) and labels.dtype.kind in "iu":
        return _cross_entropy_of_labels(log_p, labels, label_smoothing)
    if labels.shape == (n, classes):
        targets = labels.astype(logits.dtype)
        targets *= 1 - label_smoothing
        targets += label_smoothing / classes
        return _cross_entropy_of_targets(log_p, targets)
    raise ValueError(
        f"softmax_cross_entropy: labels are integers ({n},) or probabilities {logits.shape}, "
        f"got {labels.dtype} of shape {labels.shape}"
    )


def _cross_entropy_of_labels(
    log_p: Array, labels: Array, smoothing: float
) -> tuple[float, LossVjp]:
    # The target is 1 - s at the label, and s / K more at every class.
    n, classes = log_p.shape
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise ValueError(f"label {low if low < 0 else high} is not in 0 .. {classes - 1}")
    at_labels = np.arange(n), labels
    value = (1 - smoothing) * float(log_p[at_labels].sum())
    if smoothing:
        value += smoothing / classes * float(log_p.sum())

    def vjp(dvalue: float = 1.0) -> Array:
        dlogits: Array = np.exp(log_p)
        dlogits[at_labels] -= 1 - smoothing
        if smoothing:
            dlogits -= smoothing / classes
        dlogits *= float(dvalue) / n
        return dlogits

    return -value / n, vjp


def _cross_entropy_of_targets(log_p: Array, targets: Array) -> tuple[float, LossVjp]:
    n = len(log_p)
    # A class without a target counts for nothing, even at a logit of -inf.
    value = -float(np.vdot(targets, np.where(targets == 0, 0, log_p))) / n

    def vjp(dvalue: float = 1.0) -> Array:
        dlogits: Array = np.exp(log_p)
        dlogits *= targets.sum(1, keepdims=True)  # 1, unless the targets do not sum to 1
        dlogits -= targets
        dlogits *= float(dvalue) / n
        return dlogits

    return value, vjp


def mean_squared_error(outputs: Array, targets: Array) -> tuple[float, LossVjp]:
    """Mean over all elements of (outputs - targets)^2, as `torch.nn.MSELoss`.

    outputs, targets: of one shape, any. Raises `ValueError` for different shapes.
    """
    targets = _cast_targets("mean_squared_error", outputs, targets)
    difference = outputs - targets
    value = float(np.vdot(difference, difference)) / difference.size
    return value, lambda dvalue=1.0: difference * (2 * float(dvalue) / difference.size)


def binary_cross_entropy(probabilities: Array, targets: Array) -> tuple[float, LossVjp]:
    """Mean over all elements of -t log p - (1 - t) log(1 - p), as `torch.nn.BCELoss`.

    probabilities: p in [0, 1], of any shape. targets: t, of the same shape.
    As in torch, each logarithm is at least -100 and the derivative's denominator p (1 - p) at
    least 1e-12. Raises `ValueError` for different shapes or p outside [0, 1] (NaN passes through).
    """
    p, t = probabilities, _cast_targets("binary_cross_entropy", probabilities, targets)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(
            f"binary_cross_entropy takes probabilities in [0, 1], got {p.min():g} to {p.max():g}; "
            "for logits there is binary_cross_entropy_with_logits"
        )
    terms = t * _log_clamped(p) + (1 - t) * _log_clamped(1 - p)
    value = -float(terms.mean())

    def vjp(dvalue: float = 1.0) -> Array:
        dp: Array = (p - t) / np.maximum(p * (1 - p), 1e-12)
        dp *= dvalue / p.size
        return dp

    return value, vjp


def _log_clamped(p: Array) -> Array:
    logarithm = np.full_like(p, -math.inf)
    np.log(p, out=logarithm, where=p != 0)
    return np.maximum(logarithm, -100, out=logarithm)


def binary_cross_entropy_with_logits(logits: Array, targets: Array) -> tuple[float, LossVjp]:
    """`binary_cross_entropy` of sigmoid(logits), without its limits: `torch.nn.BCEWithLogitsLoss`.

    Mean over all elements of max(x, 0) - x t + log(1 + exp(-|x|)).
    logits: x, any real numbers, of any shape. targets: t, of the same shape.
    Raises `ValueError` for different shapes.
    """
    x, t = logits, _cast_targets("binary_cross_entropy_with_logits", logits, targets)
    power = np.exp(-np.abs(x))  # in (0, 1]
    value = float((np.maximum(x, 0) - x * t + np.log1p(power)).mean())

    def vjp(dvalue: float = 1.0) -> Array:
        dx: Array = np.exp(np.minimum(x, 0)) / (1 + power)  # sigmoid(x)
        dx -= t
        dx *= dvalue / x.size
        return dx

    return value, vjp


def _cast_targets(name: str, outputs: Array, targets: Array) -> Array:
    check_float(name, outputs)
    targets = np.asarray(targets)
    if targets.shape != outputs.shape:
        raise ValueError(
            f"{name}: targets of shape {targets.shape} do not fit outputs of {outputs.shape}"
        )
    if targets.size == 0:
        raise ValueError(f"{name}: the batch is empty")
    return targets.astype(outputs.dtype, copy=False)
