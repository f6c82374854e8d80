"""How good outputs are: plain numbers, no derivatives.

outputs are scores or probabilities, `(N, K)` for K classes or `(N, 1)` for the probability of
class 1 of two. targets are classes `(N,)`, one-hot rows `(N, K)`, or 0 and 1 `(N, 1)`.
"""

import numpy as np

from funcnn.types import Array


def predicted_classes(outputs: Array) -> Array:
    """The class with the highest score, int64 of shape `(N,)`; the first of equal ones.

    A single column is the probability of class 1, which is predicted above 0.5.
    Raises `ValueError` for outputs of another shape, or none.
    """
    if 0 in outputs.shape:
        raise ValueError(f"outputs are empty: their shape is {outputs.shape}")
    if outputs.ndim != 2:
        raise ValueError(f"outputs are (N, K) or (N, 1), got shape {outputs.shape}")
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0.5).astype(np.int64)
    classes: Array = outputs.argmax(1)
    return classes


def accuracy(outputs: Array, targets: Array) -> float:
    """The fraction of rows whose predicted class is the target, in [0, 1].

    Raises `ValueError` for shapes that do not fit, or a label that is no class.
    """
    predicted = predicted_classes(outputs)
    return float((predicted == _target_classes(outputs, targets)).mean())


def confusion_matrix(outputs: Array, targets: Array) -> Array:
    """Counts, int64 of shape `(K, K)`: row the true class, column the predicted one.

    Raises `ValueError` for shapes that do not fit, or a label that is no class.
    """
    predicted, classes = predicted_classes(outputs), max(outputs.shape[1], 2)
    cells = _target_classes(outputs, targets) * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def _target_classes(outputs: Array, targets: Array) -> Array:
    targets = np.asarray(targets)
    if targets.shape == outputs.shape:
        return predicted_classes(targets)
    if targets.shape != outputs.shape[:1] or targets.dtype.kind not in "iu":
        raise ValueError(
            f"targets are integers {outputs.shape[:1]} or rows {outputs.shape}, "
            f"got {targets.dtype} of shape {targets.shape}"
        )
    low, high, classes = targets.min(), targets.max(), max(outputs.shape[1], 2)
    if low < 0 or high >= classes:
        raise ValueError(f"label {low if low < 0 else high} is not in 0 .. {classes - 1}")
    return targets.astype(np.int64)
