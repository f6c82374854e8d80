"""Pooling, beside its derivatives: one number for all the elements of a window.

x is `(*inputs, C, N)` and y `(*outputs, C, N)`, with channels and batch last: see `windows`.
"""

import math

import numpy as np

from funcnn._memory import empty, zeros
from funcnn.ops.windows import Windows, pad, place_windows, positions, unpad, view_windows
from funcnn.types import Array, ArrayVjp, Shape


def place_pool(
    inputs: Shape, kernel: Shape, stride: Shape, dilation: Shape, padding: Shape, ceil_mode: bool
) -> Windows:
    """The windows of a pool, with as much padding before the image as after it.

    ceil_mode: one more window on each axis on which elements are left over, unless it would begin
    in the padding after the image; it may reach beyond that, and `after` is made so wide.
    Raises `ValueError` if not even one window fits, or if one would have padding alone.
    """
    after = padding
    if ceil_mode:
        after = tuple(map(_after_ceil, inputs, kernel, stride, dilation, padding))
    windows = place_windows(inputs, kernel, stride, dilation, padding, after)
    for axis in zip(inputs, windows.outputs, stride, dilation, padding, strict=True):
        _check_sees_image(*axis)
    return windows


def _after_ceil(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    left = size + 2 * padding - ((kernel - 1) * dilation + 1)  # behind the first window
    missing = -left % stride
    begin = left + missing  # of the last window, if it is given what is missing
    return padding + missing if 0 <= begin < padding + size else padding


def _check_sees_image(size: int, outputs: int, stride: int, dilation: int, padding: int) -> None:
    begins = range(0, min(padding, outputs * stride), stride)  # of the windows that begin before it
    if any((begin - padding) % dilation >= size for begin in begins):
        raise ValueError(
            f"dilation {dilation} leaps over an image of {size}: a window would have padding alone"
        )


def max_pool(x: Array, windows: Windows, with_vjp: bool) -> tuple[Array, ArrayVjp | None]:
    """The largest element of each window; of equal ones, the first gets dy. Padding is -inf."""
    padded = pad(x, windows, -math.inf)
    first, *others = _elements(padded, windows)
    y = first.copy()
    if not with_vjp:
        for element in others:
            np.maximum(y, element, out=y)
        return y, None
    # Which element it is: a byte for each window, and x itself need not be kept.
    chosen = zeros(y.shape, np.min_scalar_type(len(others)))
    for index, element in enumerate(others, 1):
        larger = element > y
        np.maximum(y, element, out=y)
        np.maximum(chosen, np.multiply(larger, index, dtype=chosen.dtype), out=chosen)
    shape, dtype = (*windows.padded, *x.shape[-2:]), x.dtype

    def vjp(dy: Array) -> Array:
        tile = _tile(windows)
        dpadded = empty(shape, dtype) if tile else zeros(shape, dtype)
        for index, delement in enumerate(_elements(dpadded, windows)):
            if tile:
                np.multiply(dy, chosen == index, out=delement)
            else:
                delement += dy * (chosen == index)
        return unpad(dpadded, windows)

    return y, vjp


def sum_pool(x: Array, windows: Windows) -> tuple[Array, ArrayVjp]:
    """The sum of each window; each of its elements gets dy. Padding is 0."""
    first, *others = _elements(pad(x, windows), windows)
    y = first.copy()
    for element in others:
        y += element
    shape = *windows.padded, *x.shape[-2:]

    def vjp(dy: Array) -> Array:
        dpadded = zeros(shape, dy.dtype)
        for delement in _elements(dpadded, windows):
            delement += dy
        return unpad(dpadded, windows)

    return y, vjp


def count_elements(windows: Windows, include_padding: bool) -> Array:
    """The elements in each window, with or without those of the padding: `(*outputs, 1, 1)`.

    The padding is as wide after the image as before it: what `ceil_mode` adds to it counts nothing.
    """
    if include_padding and windows.after == windows.before:
        return np.full((*windows.outputs, 1, 1), math.prod(windows.kernel))
    if include_padding:
        sizes = zip(windows.inputs, windows.before, strict=True)
        counted = tuple(size + 2 * before for size, before in sizes)
        windows = windows._replace(inputs=counted, before=(0,) * len(counted))
    return sum_pool(np.ones((*windows.inputs, 1, 1)), windows)[0]


def _elements(padded: Array, windows: Windows) -> list[Array]:
    """Of each place within a window, what all windows have there: views `(*outputs, C, N)`."""
    views = view_windows(padded, windows)
    every = (slice(None),) * len(windows.outputs)
    return [views[*every, *position] for position in positions(windows)]


def _tile(windows: Windows) -> bool:
    """Whether every element of the padded image is in one window, and in no other."""
    tiles = zip(windows.outputs, windows.stride, windows.padded, strict=True)
    return windows.stride == windows.kernel and all(o * s == size for o, s, size in tiles)
