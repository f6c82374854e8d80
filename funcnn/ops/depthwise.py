"""Convolution of each channel with a kernel of its own, and the derivative by the kernels.

With one channel in a group there is nothing for a product of matrices to add up. Element by
element of a window, the image is multiplied by that element's factor for each channel.
Arrays have channels and batch last: see `windows`. A weight is `(C, 1, *kernel)`. In the comments P
stands for the windows of a block of rows.
"""

import math
from collections.abc import Iterator

import numpy as np

from funcnn._memory import contiguous, empty, zeros
from funcnn.ops.moments import sum_over
from funcnn.ops.windows import Windows, pad, positions, row_blocks, view_windows
from funcnn.types import Array, Shape


def is_depthwise(weight_shape: Shape, groups: int) -> bool:
    """Whether every channel, of x and of y, is one of several groups."""
    return groups > 1 and weight_shape[:2] == (groups, 1)


def convolve(x: Array, weight: Array, windows: Windows) -> Array:
    """y `(*outputs, C, N)` of x `(*inputs, C, N)`."""
    channels, samples = x.shape[-2:]
    y = empty((*windows.outputs, channels, samples), x.dtype)
    factors = weight.reshape(channels, -1).T[:, :, None]  # (K, C, 1)
    factors = contiguous(np.broadcast_to(factors, (*factors.shape[:2], samples)))
    for rows, elements in _blocks(x, windows):
        block = y[rows]
        np.multiply(elements[0], factors[0], out=block)
        for element, factor in zip(elements[1:], factors[1:], strict=True):
            block += element * factor  # (P, C, N) * (C, N)
    return y


def cotangent_of_weight(dy: Array, x: Array, shape: Shape, windows: Windows) -> Array:
    """The cotangent of `convolve`'s weight, of this shape; dy is `(*outputs, C, N)`."""
    dfactors = zeros((math.prod(windows.kernel), *dy.shape[-2:]), x.dtype)  # (K, C, N)
    over_windows = tuple(range(dy.ndim - 2))
    for rows, elements in _blocks(x, windows):
        for element, dfactor in zip(elements, dfactors, strict=True):
            dfactor += sum_over(over_windows, element, dy[rows])  # of (P, C, N)
    return contiguous(dfactors.sum(2).T).reshape(shape)


def _blocks(x: Array, windows: Windows) -> Iterator[tuple[slice, list[Array]]]:
    """Blocks of rows of windows, each with a view `(P, C, N)` for each element of a window."""
    views = view_windows(pad(x, windows), windows)  # (*outputs, *kernel, C, N)
    others = (slice(None),) * (len(windows.outputs) - 1)
    for rows in row_blocks(windows, math.prod(x.shape[-2:]), x.itemsize):
        yield rows, [views[(rows, *others, *position)] for position in positions(windows)]
