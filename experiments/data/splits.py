"""Which examples are set aside: of each class its share, or the last ones."""

import numpy as np

from funcnn import random
from funcnn.experiments.errors import InputError
from funcnn.random import Key
from funcnn.types import Array


def stratified_split(rng: Key, labels: Array, size: int) -> tuple[Array, Array]:
    """Indices of `size` examples with each class's share of them, and of the rest; both ascending.

    The shares are rounded so that they add up, largest remainder first; but the last example of a
    class is never taken while others are left.
    Raises `InputError` unless 0 <= size < the number of labels.
    """
    _expect_left(size, len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * size / len(labels)
    quotas = np.floor(shares).astype(int)
    by_remainder = np.argsort(quotas - shares, kind="stable")
    while missing := size - int(quotas.sum()):
        spare = counts[by_remainder] - quotas[by_remainder]
        open_to = by_remainder[spare > (1 if (spare > 1).any() else 0)]
        quotas[open_to[:missing]] += 1
    chosen = np.zeros(len(labels), bool)
    for index, (label, quota) in enumerate(zip(classes, quotas, strict=True)):
        members = np.flatnonzero(labels == label)
        order = random.permutation(random.fold_in(rng, index), len(members))
        chosen[members[order[:quota]]] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def fitting_size(val_size: int, labels: Array) -> int:
    """The validation size itself if an example of each class is left, else about a tenth of all.

    One of each class where there are enough, but never more than a quarter.
    """
    examples, classes = len(labels), len(np.unique(labels))
    if val_size <= examples - classes:
        return val_size
    return min(max(examples // 10, classes), examples // 4, examples - classes)


def last_split(examples: int, size: int) -> tuple[Array, Array]:
    """Indices of the last `size` of so many examples, and of the rest; both ascending.

    Raises `InputError` unless 0 <= size < the number of examples.
    """
    _expect_left(size, examples)
    return np.arange(examples - size, examples), np.arange(examples - size)


def _expect_left(size: int, examples: int) -> None:
    if not 0 <= size < examples:
        raise InputError(
            f"--val-size {size} leaves nothing to train on: there are {examples} examples"
        )
