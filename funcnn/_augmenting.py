"""What all augmentations do: check a batch, draw from its key, and put images in others' place."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from funcnn import random
from funcnn._arguments import check_array, check_number, not_a_pair, shown
from funcnn.random import Key
from funcnn.types import Array, Batch

Augmentation = Callable[[Key, Batch], Batch]
Change = Callable[["np.random.Generator", Array], Array]


def of_images(name: str, change: Change) -> Augmentation:
    """The augmentation that changes images, with what is drawn, and lets their targets be."""

    def augment(rng: Key, batch: Batch) -> Batch:
        x, y = checked(name, batch)
        if x.ndim != 4 or not all(x.shape[1:]):
            raise ValueError(f"{name} takes images (N, C, H, W), got an array of {x.shape}")
        changed = change(random.generator(rng), x)
        return changed.astype(x.dtype, copy=False), y  # NumPy may give the native byte order

    return augment


_PIXELS = 1 << 14  # what is computed of them stays in the cache, in a fraction of the time


def few_at_a_time(change: Change) -> Change:
    """The change of so many images at a time as have `_PIXELS`, of one at least."""

    def change_all(generator: "np.random.Generator", x: Array) -> Array:
        y, count = np.empty(x.shape, x.dtype), max(1, _PIXELS // math.prod(x.shape[1:]))
        for first in range(0, len(x), count):
            y[first : first + count] = change(generator, x[first : first + count])
        return y

    return change_all


def checked(name: str, batch: Any) -> Batch:
    """The pair. Raises `TypeError`, naming the augmentation, unless x is an array of numbers."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise not_a_pair(f"{name}: a batch", batch)
    x, y = batch
    if isinstance(x, tuple):
        raise TypeError(f"{name} takes one array of inputs, got a tuple of {len(x)}")
    check_array(x)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name} takes an array of numbers, got one of {x.dtype}")
    return x, y


def check_range(name: str, value: Any, **limits: float) -> tuple[float, float]:
    """The pair as floats. Raises `ValueError` unless it is (low, high), both within the limits."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{name} must be a pair (low, high), got {shown(value)}")
    low, high = (check_number(f"a number of {name}", number, **limits) for number in value)
    if low > high:
        raise ValueError(f"{name} must be a pair (low, high), the lower first, got {shown(value)}")
    return low, high
