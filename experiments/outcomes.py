"""What the outputs for labelled images come to: the surest, the worst mistakes, shares of a class.

Outputs are logits `(N, K)`; their softmax is taken in float64, so that what is nearly 1 has digits.
"""

import itertools
from typing import NamedTuple

import numpy as np

from funcnn.activations import softmax
from funcnn.metrics import predicted_classes
from funcnn.types import Array

_NEAR = 2.0**-25  # float32 cannot tell a probability nearer than this to 1 from 1


class TopImages(NamedTuple):
    """For each class the images with the highest probability of it, the highest first."""

    indices: Array
    """`(K, count)`; fewer columns where there are fewer images."""
    probabilities: Array
    """`(K, count)`, float64."""


class Mistakes(NamedTuple):
    """Images that were put into a wrong class, the surest first."""

    indices: Array
    probabilities: Array
    """Of the predicted, wrong class; float64."""


def probabilities(outputs: Array) -> Array:
    """Softmax of logits `(N, K)`, float64."""
    found: Array = softmax(outputs.astype(np.float64), 1)[0]
    return found


def top_images(outputs: Array, count: int = 3) -> TopImages:
    """Of all the images, whatever their labels, those with the highest probability of each class.

    Of equal probabilities the earlier image comes first; but of those that float64 rounds to 1
    the one that leaves less to the other classes.
    """
    found = probabilities(outputs)
    chosen = []
    for index, of_class in enumerate(found.T):
        to_others = np.delete(found, index, 1).sum(1)  # (N,)
        chosen.append(np.lexsort((np.where(of_class == 1, to_others, 0), -of_class))[:count])
    indices = np.stack(chosen)
    return TopImages(indices, found[indices, np.arange(len(indices))[:, None]])


def worst_mistakes(outputs: Array, labels: Array, count: int = 24) -> Mistakes:
    """At most `count` images with the highest probability of the class that is wrong for them.

    labels: `(N,)`. Of equal probabilities the earlier image comes first.
    """
    found, predicted = probabilities(outputs), predicted_classes(outputs)
    wrong = np.flatnonzero(predicted != labels)
    sureness = found[wrong, predicted[wrong]]
    order = np.argsort(-sureness, kind="stable")[:count]
    return Mistakes(wrong[order], sureness[order])


def share_of_class(counts: Array) -> Array:
    """Counts (K, K) as shares of the true class, whose rows sum to 1 (or 0 where it has none)."""
    totals = counts.sum(1, keepdims=True)
    shares: Array = counts / np.maximum(totals, 1)
    return shares


def in_percent(probability: float) -> str:
    """With one decimal, or with so many as tell it from 0 and 1: `99.8%`, `99.9997%`.

    `100%` and `0%` are nearer than 2^-25 to 1 and 0, where float32 has nothing between.
    """
    if min(probability, 1 - probability) < _NEAR:
        return f"{round(probability):.0%}"
    texts = (f"{100 * probability:.{digits}f}" for digits in itertools.count(1))
    return next(f"{text}%" for text in texts if 0 < float(text) < 100)
