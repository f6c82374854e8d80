"""How good outputs are: plain numbers, no derivatives.

outputs are scores or probabilities, `(N, K)` for K classes or `(N, 1)` for the probability of
class 1 of two. targets are classes `(N,)`, one-hot rows `(N, K)`, or 0 (or -1) and 1 `(N, 1)`.

threshold: of a single column, what predicts class 1, if it is above it. None is 0.5, and the column
has to be probabilities; with a number it may be any scores: 0.0 is right for logits.
"""

import numpy as np

from funcnn._arguments import (
    as_array,
    check_labels,
    check_number,
    extremes,
    labels_advice,
    shown,
)
from funcnn.activations import softmax
from funcnn.types import Array


def predicted_classes(outputs: Array, *, threshold: float | None = None) -> Array:
    """The class with the highest score, int64 of shape `(N,)`; the first of equal ones.

    A single column is the probability of class 1, which is predicted above 0.5; for logits there is
    `threshold=0.0`. NaN is not above it.
    Raises `ValueError` for outputs of another shape, or none; for a single column outside [0, 1]
    without a threshold; and for several with one.

    >>> fn.predicted_classes(np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.5, 0.0, 0.4]]))
    array([0, 1, 0])
    >>> fn.predicted_classes(np.array([[0.2], [0.7]]))
    array([0, 1])
    """
    outputs = as_array("outputs", outputs)
    if 0 in outputs.shape:
        raise ValueError(f"outputs are empty: their shape is {outputs.shape}")
    if outputs.ndim != 2:
        advice = ": outputs[:, None] is (N, 1)" if outputs.ndim == 1 else ""
        raise ValueError(f"outputs are (N, K) or (N, 1), got shape {outputs.shape}{advice}")
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > _threshold(outputs, threshold)).astype(np.int64)
    if threshold is not None:
        raise ValueError(f"a threshold is for a single column, got outputs {outputs.shape}")
    classes: Array = outputs.argmax(1)
    return classes


def _threshold(column: Array, threshold: float | None) -> float:
    if threshold is not None:
        return check_number("threshold", threshold)
    least, most = extremes(column)
    if not 0 <= least <= most <= 1:  # or there is NaN, of what diverged
        numbers = column[~np.isnan(column)]
        if ((numbers < 0) | (numbers > 1)).any():
            raise ValueError(
                "outputs (N, 1) are probabilities in [0, 1], "
                f"got {numbers.min():g} to {numbers.max():g}; for logits: threshold=0.0"
            )
    return 0.5


def accuracy(outputs: Array, targets: Array, *, threshold: float | None = None) -> float:
    """The fraction of rows whose predicted class is the target, in [0, 1].

    threshold: as for `predicted_classes`.
    Raises `ValueError` for shapes that do not fit, a label that is no class, and as that.

    >>> fn.accuracy(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 0]))
    0.5
    """
    outputs = as_array("outputs", outputs)
    predicted = predicted_classes(outputs, threshold=threshold)
    return float((predicted == _target_classes(outputs, targets)).mean())


def confusion_matrix(outputs: Array, targets: Array, *, threshold: float | None = None) -> Array:
    """Counts, int64 of shape `(K, K)`: row the true class, column the predicted one.

    threshold: as for `predicted_classes`.
    Raises `ValueError` for shapes that do not fit, a label that is no class, and as that.

    >>> logits = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.5, 0.0, 0.4]])
    >>> fn.confusion_matrix(logits, np.array([0, 1, 2]))
    array([[1, 0, 0],
           [0, 1, 0],
           [1, 0, 0]])
    """
    outputs = as_array("outputs", outputs)
    predicted = predicted_classes(outputs, threshold=threshold)
    classes = max(outputs.shape[1], 2)
    cells = _target_classes(outputs, targets) * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def precision(outputs: Array, targets: Array, *, threshold: float | None = None) -> Array:
    """Of each class, the fraction of its predictions that are right, float64 of shape `(K,)`.

    0 for a class that is never predicted. threshold, and what it raises: as `confusion_matrix`.

    >>> logits = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.5, 0.0, 0.4]])
    >>> fn.precision(logits, np.array([0, 1, 2]))
    array([0.5, 1. , 0. ])
    """
    matrix = confusion_matrix(outputs, targets, threshold=threshold)
    return _fractions(matrix.diagonal(), matrix.sum(0))


def recall(outputs: Array, targets: Array, *, threshold: float | None = None) -> Array:
    """Of each class, the fraction of its examples that are predicted, float64 of shape `(K,)`.

    0 for a class without examples. threshold, and what it raises: as `confusion_matrix`.

    >>> logits = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.5, 0.0, 0.4]])
    >>> fn.recall(logits, np.array([0, 1, 2]))
    array([1., 1., 0.])
    """
    matrix = confusion_matrix(outputs, targets, threshold=threshold)
    return _fractions(matrix.diagonal(), matrix.sum(1))


def _fractions(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)


def top_k_accuracy(outputs: Array, targets: Array, k: int = 5) -> float:
    """The fraction of rows whose target is among the k highest scores, in [0, 1].

    Of equal scores the first class counts as the higher one, so k = 1 is `accuracy`.
    outputs: `(N, K)`, K at least 2. k: from 1 to K. Raises `ValueError` for another k, and as
    `accuracy`.

    >>> logits = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.5, 0.0, 0.4]])
    >>> fn.top_k_accuracy(logits, np.array([0, 1, 2]), k=2)
    1.0
    """
    outputs = as_array("outputs", outputs)
    _check_columns("top_k_accuracy: outputs", outputs)
    classes = _target_classes(outputs, targets)[:, None]  # (N, 1)
    if k not in range(1, outputs.shape[1] + 1):  # and no fraction
        raise ValueError(f"k must be from 1 to the {outputs.shape[1]} classes, got {shown(k)}")
    own = np.take_along_axis(outputs, classes, 1)  # (N, 1)
    earlier = np.arange(outputs.shape[1]) < classes  # (N, K)
    higher = ~(outputs <= own) | (earlier & (outputs == own))  # a NaN is higher than all
    return float((higher.sum(1) < k).mean())


def expected_calibration_error(logits: Array, targets: Array, bins: int = 15) -> float:
    """sum over bins of |accuracy - confidence| in the bin, by its share of the rows; in [0, 1].

    The confidence of a row is its highest probability, softmax(logits) at the predicted class; bin
    i of M holds the rows with confidences in (i / M, (i + 1) / M]. 0 is perfect calibration.
    logits: `(N, K)`, K at least 2, as for `softmax_cross_entropy`. bins: M, at least 1.
    Raises `ValueError` for another shape or number of bins, and for probabilities in the place of
    logits, of which it would make others. Guo et al. 2017, equation 3.

    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0]])
    >>> round(fn.expected_calibration_error(logits, np.array([0, 1])), 3)
    0.482
    """
    logits = as_array("logits", logits)
    _check_columns("expected_calibration_error: logits", logits)
    if not hasattr(bins, "__index__"):
        raise TypeError(f"bins is an integer, got {shown(bins)}")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    right = predicted_classes(logits) == _target_classes(logits, targets)
    least, most = extremes(logits)
    rounding = 0.001 + 0.005 * logits.shape[1]  # of two decimals
    if 0 <= least <= most <= 1 and (abs(logits.sum(1, np.float64) - 1) < rounding).all():
        raise ValueError(
            "expected_calibration_error takes logits, these are probabilities: np.log(them)"
        )
    confidence = softmax(logits.astype(np.float64), 1)[0].max(1)
    index = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    gaps = np.bincount(index, weights=right - confidence)  # N_i (accuracy - confidence)
    return float(np.abs(gaps).sum() / len(logits))


def _check_columns(name: str, outputs: Array) -> None:
    if outputs.ndim != 2 or outputs.shape[1] < 2 or 0 in outputs.shape:
        advice = "; for one column there is accuracy" if outputs.shape[1:] == (1,) else ""
        raise ValueError(f"{name} are (N, K) with K at least 2, got shape {outputs.shape}{advice}")


def _target_classes(outputs: Array, targets: Array) -> Array:
    targets = as_array("targets", targets, numbers=False)  # text is refused as no integers
    if targets.shape == outputs.shape and targets.dtype.kind in "fiub":
        if targets.shape[1] > 1:
            _expect_one_class_a_row(targets)
            return predicted_classes(targets)
        least, most = extremes(targets)
        if not -1 <= least <= most <= 1:
            raise ValueError(f"targets (N, 1) are 0 and 1, got {least:g} to {most:g}")
        return (targets[:, 0] > 0.5).astype(np.int64)
    if targets.shape != outputs.shape[:1] or targets.dtype.kind not in "iu":
        raise ValueError(
            f"targets are integers {outputs.shape[:1]} or rows {outputs.shape}, "
            f"got {targets.dtype} of shape {targets.shape}"
            + labels_advice("targets", targets, len(outputs))
        )
    check_labels(targets, max(outputs.shape[1], 2))
    return targets.astype(np.int64)


def _expect_one_class_a_row(targets: Array) -> None:
    """Raise `ValueError` for a row of equal numbers, or with NaN: class 0 would be made of it."""
    none = ~(targets.max(1) > targets.min(1))
    if none.any():
        row = int(none.argmax())
        raise ValueError(f"row {row} of the targets has no highest: {targets[row].tolist()[:10]}")
