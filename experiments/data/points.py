"""The two sets of points in the plane that the `points` lab is about."""

import numpy as np

from funcnn import random
from funcnn.random import Key
from funcnn.types import Array


def generate_linear(n: int = 100) -> tuple[Array, Array]:
    """n uniform points of the unit square; label 0 where x0 > x1, else 1. The lab's own function.

    Returns inputs `(n, 2)` and labels `(n, 1)`. It draws from NumPy's global generator, as the lab
    does, so that after `np.random.seed(k)` these are the lab's very points.
    """
    points = np.random.uniform(0, 1, (n, 2))  # noqa: NPY002
    return points, _label_linear(points)


def linear_points(rng: Key, n: int = 100) -> tuple[Array, Array]:
    """`generate_linear` with a key: the global generator is left as it was."""
    points = random.uniform(rng, (n, 2), np.float64)
    return points, _label_linear(points)


def _label_linear(points: Array) -> Array:
    return np.where(points[:, 0] > points[:, 1], 0, 1).reshape(-1, 1)


def generate_XOR_easy() -> tuple[Array, Array]:  # noqa: N802
    """21 points on the two diagonals of the unit square, labels 0 and 1. The lab's own function.

    Returns inputs `(21, 2)` and labels `(21, 1)`: for i in 0 .. 10 the point (0.1 i, 0.1 i) with
    label 0 and, but for the centre, (0.1 i, 1 - 0.1 i) with label 1.
    """
    inputs, labels = [], []
    for i in range(11):
        inputs.append([0.1 * i, 0.1 * i])
        labels.append(0)
        if 0.1 * i == 0.5:
            continue
        inputs.append([0.1 * i, 1 - 0.1 * i])
        labels.append(1)
    return np.array(inputs), np.array(labels).reshape(21, 1)
