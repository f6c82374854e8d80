"""Loss functions, each beside its derivative.

    loss(outputs, targets, *, weights=None, reduction="mean") -> (value, vjp)
    vjp(dvalue=1.0) -> doutputs

Each formula gives the loss of one example, or of one element where both have one shape, and its
derivative by the outputs; `reduced` averages both. Targets are cast to the outputs' dtype; a shape
that does not fit is an error, never a broadcast. doutputs is like outputs.

weights: one for each example, `(N,)`, at least 0 and not all 0; each multiplies its example.
reduction: `"mean"` is sum(w l) / sum(w), over all elements where the loss has elements, and
`"sum"` sum(w l): Python floats. `"none"` is w l, an array; its vjp takes an array of that shape.
"""

import math

import numpy as np

from funcnn._arguments import as_array, check_labels, check_number, extremes, labels_advice, shown
from funcnn._pickling import recorded
from funcnn._reductions import Elementary, Value, reduced
from funcnn._signatures import accepts
from funcnn.activations import check_float, log_softmax
from funcnn.types import Array, Loss, LossVjp


@reduced
def softmax_cross_entropy(logits: Array, labels: Array, label_smoothing: float = 0.0) -> Elementary:
    """-sum_k t_k log softmax(logits)_k for each example, as `torch.nn.CrossEntropyLoss`.

    logits: `(N, K)`, any real numbers. labels: integers `(N,)` in 0 .. K-1, or target
    probabilities t `(N, K)` (one-hot rows, for instance).
    label_smoothing: s in [0, 1]; t becomes (1 - s) t + s / K.
    torch's weights of classes are `weights=class_weights[labels]` here (without smoothing).
    Raises `ValueError` for another shape, a label out of range, a negative t, or s outside [0, 1].

    >>> loss, vjp = fn.softmax_cross_entropy(np.array([[2.0, 0.0]]), np.array([0]))
    >>> round(loss, 4), vjp().round(3)
    (0.1269, array([[-0.119,  0.119]]))
    """
    labels = _check_logits("softmax_cross_entropy", logits, labels)
    if type(label_smoothing) is not float or label_smoothing != 0:
        label_smoothing = check_number("label_smoothing", label_smoothing, least=0, most=1)
    n, classes = logits.shape
    log_p, _ = log_softmax(logits, 1)  # (N, K)
    if labels.shape == (n,) and labels.dtype.kind in "iu":
        check_labels(labels, classes)
        losses, derivative = _cross_entropy_of_labels(log_p, labels, label_smoothing)
    elif labels.shape == (n, classes) and labels.dtype.kind in "fiub":
        least, most = extremes(labels)
        if not 0 <= least <= most < math.inf:
            raise ValueError(
                f"softmax_cross_entropy: target probabilities are at least 0, "
                f"got {least:g} to {most:g}"
            )
        targets = labels.astype(logits.dtype)
        targets *= 1 - label_smoothing
        targets += label_smoothing / classes
        losses, derivative = _cross_entropy_of_targets(log_p, targets)
    else:
        raise ValueError(
            f"softmax_cross_entropy: labels are integers ({n},) or probabilities {logits.shape}, "
            f"got {labels.dtype} of shape {labels.shape}{labels_advice('labels', labels, n)}"
        )
    return losses, derivative


def _cross_entropy_of_labels(log_p: Array, labels: Array, smoothing: float) -> Elementary:
    # The target is 1 - s at the label, and s / K more at every class.
    classes = log_p.shape[1]
    labels = labels.astype(np.intp, copy=False)
    at_labels = np.arange(0, log_p.size, classes) + labels  # (N,), places among the N K
    losses = -log_p.take(at_labels)
    if smoothing:
        losses *= 1 - smoothing
        losses -= log_p.dot(np.full(classes, smoothing / classes, log_p.dtype))  # (N, K) @ (K,)

    def derivative() -> Array:
        dlogits: Array = np.exp(log_p, order="C")
        dlogits.reshape(-1)[at_labels] -= 1 - smoothing  # (N K,), a view
        if smoothing:
            dlogits -= smoothing / classes
        return dlogits

    return losses, derivative


def _cross_entropy_of_targets(log_p: Array, targets: Array) -> Elementary:
    # A class without a target counts for nothing, even at a logit of -inf.
    losses = -np.vecdot(targets, np.where(targets == 0, 0, log_p))

    def derivative() -> Array:
        dlogits: Array = np.exp(log_p)
        dlogits *= targets.sum(1, keepdims=True)  # 1, unless the targets do not sum to 1
        dlogits -= targets
        return dlogits

    return losses, derivative


@reduced
def multiclass_hinge(scores: Array, labels: Array) -> Elementary:
    """sum_k max(0, 1 - x_t + x_k) / K over k other than t, as `torch.nn.MultiMarginLoss`.

    scores: x, `(N, K)`, any real numbers. labels: integers t, `(N,)`, in 0 .. K-1.
    The derivative at a kink is 0. Raises `ValueError` for another shape or a label out of range.

    >>> fn.multiclass_hinge(np.array([[1.0, 0.5, 2.5, 0.0]]), np.array([0]))[0]
    0.75
    """
    labels = _check_logits("multiclass_hinge", scores, labels)
    n, classes = scores.shape
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"multiclass_hinge: labels are integers ({n},), "
            f"got {labels.dtype} of shape {labels.shape}{labels_advice('labels', labels, n)}"
        )
    check_labels(labels, classes)
    at_labels = np.arange(n), labels
    excess = np.maximum(scores - scores[at_labels][:, None] + 1, 0)  # (N, K)
    excess[at_labels] = 0

    def derivative() -> Array:
        dscores: Array = (excess > 0).astype(scores.dtype)
        dscores[at_labels] = -dscores.sum(1)
        dscores /= classes
        return dscores

    return excess.sum(1) / classes, derivative


@reduced
def half_squared_error(outputs: Array, targets: Array) -> Elementary:
    """E = 1/2 sum (outputs - targets)^2 over the outputs of each example.

    outputs, targets: `(N, ...)`, of one shape. The mean is over examples, not over elements.
    Raises `ValueError` for different shapes.

    >>> loss, vjp = fn.half_squared_error(np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]))
    >>> loss, vjp()
    (2.0, array([[0., 2.]]))
    """
    targets = _cast_targets("half_squared_error", outputs, targets)
    difference = outputs - targets
    flat = difference.reshape(len(difference), -1)  # (N, all outputs)
    return np.vecdot(flat, flat) * 0.5, difference.copy


@reduced
def mean_squared_error(outputs: Array, targets: Array) -> Elementary:
    """(outputs - targets)^2 for each element, as `torch.nn.MSELoss`.

    outputs, targets: of one shape, any. Raises `ValueError` for different shapes.

    >>> loss, vjp = fn.mean_squared_error(np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]))
    >>> loss, vjp()
    (2.0, array([[0., 2.]]))
    """
    targets = _cast_targets("mean_squared_error", outputs, targets)
    difference = outputs - targets
    return difference * difference, lambda: difference * 2


@reduced
def huber(outputs: Array, targets: Array, delta: float = 1.0) -> Elementary:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), d = outputs - targets.

    For each element, as `torch.nn.HuberLoss`. outputs, targets: of one shape, any. delta: above 0.
    Raises `ValueError` for different shapes, or delta out of range. Huber 1964.

    >>> fn.huber(np.array([0.5, 3.0]), np.array([0.0, 0.0]), reduction="none")[0]
    array([0.125, 2.5  ])
    """
    targets = _cast_targets("huber", outputs, targets)
    delta = check_number("huber: delta", delta, above=0)
    difference = outputs - targets
    slope = np.clip(difference, -delta, delta)
    return slope * (difference - slope * 0.5), slope.copy


@reduced
def hinge(outputs: Array, targets: Array) -> Elementary:
    """max(0, 1 - t y) for each element, as `optax.losses.hinge_loss`.

    outputs: y, any real numbers, of any shape. targets: t, each -1 or +1, of the same shape.
    The derivative at the kink is 0. Raises `ValueError` for different shapes or another target.

    >>> fn.hinge(np.array([2.0, 0.5]), np.array([1.0, -1.0]), reduction="none")[0]
    array([0. , 1.5])
    """
    t = _cast_targets("hinge", outputs, targets)
    wrong = np.abs(t) != 1
    if wrong.any():
        raise ValueError(f"hinge: targets are -1 and +1, got {t[wrong][0]:g}")
    excess = np.maximum(1 - t * outputs, 0)
    return excess, lambda: -t * (excess > 0)


@reduced
def binary_cross_entropy(probabilities: Array, targets: Array) -> Elementary:
    """-t log p - (1 - t) log(1 - p) for each element, as `torch.nn.BCELoss`.

    probabilities: p in [0, 1], of any shape. targets: t in [0, 1], of the same shape.
    As in torch, each logarithm is at least -100 and the derivative's denominator p (1 - p) at
    least 1e-12. Raises `ValueError` for different shapes, or p or t outside [0, 1] (a NaN among p
    passes through).

    >>> round(fn.binary_cross_entropy(np.array([[0.9], [0.5]]), np.array([[1], [0]]))[0], 4)
    0.3993
    """
    p, t = probabilities, _cast_probabilities("binary_cross_entropy", probabilities, targets)
    least, most = extremes(p)
    if least < 0 or most > 1:
        raise ValueError(
            f"binary_cross_entropy takes probabilities in [0, 1], got {least:g} to {most:g}; "
            "for logits there is binary_cross_entropy_with_logits"
        )
    losses = -(t * _log_clamped(p) + (1 - t) * _log_clamped(1 - p))

    def derivative() -> Array:
        dp: Array = (p - t) / np.maximum(p * (1 - p), 1e-12)
        return dp

    return losses, derivative


def _log_clamped(p: Array) -> Array:
    logarithm = np.full_like(p, -math.inf)
    np.log(p, out=logarithm, where=p != 0)
    return np.maximum(logarithm, -100, out=logarithm)


@reduced
def binary_cross_entropy_with_logits(logits: Array, targets: Array) -> Elementary:
    """`binary_cross_entropy` of sigmoid(logits), without its limits: `torch.nn.BCEWithLogitsLoss`.

    max(x, 0) - x t + log(1 + exp(-|x|)) for each element.
    logits: x, any real numbers, of any shape. targets: t in [0, 1], of the same shape.
    Raises `ValueError` for different shapes or t outside [0, 1].

    >>> loss, vjp = fn.binary_cross_entropy_with_logits(np.array([[2.0]]), np.array([[1.0]]))
    >>> round(loss, 4), vjp().round(3)
    (0.1269, array([[-0.119]]))
    """
    x, t = logits, _cast_probabilities("binary_cross_entropy_with_logits", logits, targets)
    power = np.exp(-np.abs(x))  # in (0, 1]
    losses = np.maximum(x, 0) - x * t + np.log1p(power)

    def derivative() -> Array:
        dx: Array = np.exp(np.minimum(x, 0)) / (1 + power)  # sigmoid(x)
        dx -= t
        return dx

    return losses, derivative


@recorded
def weighted(loss: Loss) -> Loss:
    """The same loss with targets `(targets, weights)`, to train with a weight for each example.

    Then y is that pair in `value_and_grad`, in a training step, where a metric takes its part of it
    (`lambda outputs, y: accuracy(outputs, y[0])`), in `batches` and in `evaluate`.
    Raises `TypeError` for a loss that is no function of weights, `ValueError` for targets that are
    no pair.

    >>> logits, labels = np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([0, 1])
    >>> loss = fn.weighted(fn.softmax_cross_entropy)
    >>> round(loss(logits, (labels, np.array([3.0, 1.0])))[0], 4)
    0.2685
    """
    if not callable(loss):
        raise TypeError(f"weighted takes a loss function, got {shown(loss)}")
    if not accepts(loss, "weights"):
        raise TypeError(f"weighted takes a loss with the keyword weights, got {shown(loss)}")

    def weighted_loss(outputs: Array, targets: tuple[Array, Array]) -> tuple[Value, LossVjp]:
        if not isinstance(targets, tuple) or len(targets) != 2:
            kind = type(targets).__name__
            raise ValueError(f"a weighted loss takes the pair (targets, weights), got a {kind}")
        plain, weights = targets
        return loss(outputs, plain, weights=weights)

    return weighted_loss


def _check_logits(name: str, logits: Array, labels: Array) -> Array:
    check_float(name, logits)
    if logits.ndim != 2 or 0 in logits.shape:
        advice = "; Flatten() before a Dense makes rows of images" if logits.ndim > 2 else ""
        raise ValueError(f"{name}: logits are (N, K), got shape {logits.shape}{advice}")
    return as_array(f"{name}: labels", labels, numbers=False)  # text is refused as no integers


def _cast_targets(name: str, outputs: Array, targets: Array) -> Array:
    check_float(name, outputs)
    targets = as_array(f"{name}: targets", targets)
    if targets.shape != outputs.shape:
        column = outputs.shape == (*targets.shape, 1)
        raise ValueError(
            f"{name}: targets of shape {targets.shape} do not fit outputs of {outputs.shape}"
            + (": targets[..., None]" if column else "")
        )
    if targets.size == 0:
        raise ValueError(f"{name}: the batch is empty")
    return targets.astype(outputs.dtype, copy=False)


def _cast_probabilities(name: str, outputs: Array, targets: Array) -> Array:
    t = _cast_targets(name, outputs, targets)
    least, most = extremes(t)
    if not 0 <= least <= most <= 1:  # which a NaN is not either
        raise ValueError(f"{name}: targets are probabilities in [0, 1], got {least:g} to {most:g}")
    return t
