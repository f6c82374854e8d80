"""Views of images for test-time augmentation: the same images, as a model may see them as well.

A view is a pure function of stored images `(N, ..., H, W)`, without anything random. `fn.predict`
and `fn.evaluate` take several, `views=(fn.views.unchanged, fn.views.mirrored)`, and the outputs are
their mean. Any function `x -> x` of your own is a view too. They raise `ValueError` for x with
fewer axes. Krizhevsky et al. 2012, section 4.1.
"""

import operator

import numpy as np

from funcnn._arguments import as_array, shown
from funcnn.types import Array


def unchanged(x: Array) -> Array:
    """The images as they are: x.

    >>> fn.views.unchanged(np.array([[[1, 2]]]))
    array([[[1, 2]]])
    """
    return x


def mirrored(x: Array) -> Array:
    """Left and right exchanged: y[..., i] = x[..., W - 1 - i], as `torchvision`'s `hflip`.

    x, y: `(N, ..., H, W)`.

    >>> fn.views.mirrored(np.array([[[1, 2, 3]]]))
    array([[[3, 2, 1]]])
    """
    return _images("mirrored", x)[..., ::-1]


def shifted(x: Array, dy: int, dx: int) -> Array:
    """Moved by whole pixels, dy down and dx to the right; 0 where there was nothing.

    As a view: `functools.partial(fn.views.shifted, dy=0, dx=1)`. dy, dx: negative for up and left.
    x, y: `(N, ..., H, W)`. Raises `TypeError` if they are no integers.

    >>> fn.views.shifted(np.array([[[1, 2], [3, 4]]]), dy=0, dx=1)
    array([[[0, 1],
            [0, 3]]])
    """
    x = _images("shifted", x)
    try:
        steps = operator.index(dy), operator.index(dx)
    except TypeError:
        got = f"dy={shown(dy)}, dx={shown(dx)}"
        raise TypeError(f"shifted: dy and dx are whole pixels, got {got}") from None
    y = np.zeros_like(x)
    to, of = zip(*map(_overlap, steps, x.shape[-2:]), strict=True)
    y[..., *to] = x[..., *of]
    return y


def _overlap(step: int, size: int) -> tuple[slice, slice]:
    """Where what stays in the picture is put on an axis of this size, and where it was."""
    kept = max(0, size - abs(step))
    start = max(0, step)
    before = max(0, -step)
    return slice(start, start + kept), slice(before, before + kept)


def _images(name: str, x: Array) -> Array:
    x = as_array("x", x, numbers=False)
    if x.ndim < 3:
        raise ValueError(f"{name}: expected images (N, ..., H, W), got x of shape {x.shape}")
    return x
