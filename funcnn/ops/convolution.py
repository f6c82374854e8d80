"""Convolution as products of matrices, and its derivatives.

y[p, o, n] = b[o] + sum over c and k of w[o, c, k] x[stride p + dilation k - before, c, n]: the
cross-correlation that the field calls convolution. With the elements of a window as a column for
each sample, that is a product of small matrices for each window (after Chellapilla et al. 2006),
and the derivatives are products too. Of a single sample it is one product for many windows. Where
that is less work, it is done by the convolution theorem instead (`fft_convolution`), and where each
channel has a kernel of its own element by element (`depthwise`).

Arrays have channels and batch last: see `windows`. A weight is `(O, C/G, *kernel)` where there are
G groups. In the comments K = C/G * prod(kernel), and P stands for the windows of a block of rows.
"""

import math
from collections.abc import Iterator

import numpy as np

from funcnn._memory import contiguous, empty, zeros
from funcnn._recording import into
from funcnn.ops import depthwise, fft_convolution
from funcnn.ops.matmul import multiply, sum_of_products
from funcnn.ops.moments import sum_over
from funcnn.ops.windows import (
    BLOCK_BYTES,
    Windows,
    pad,
    place_windows,
    positions,
    row_blocks,
    unpad,
    view_windows,
    with_strides,
)
from funcnn.types import Array, Shape

WORTH_TRANSPOSING = 48
"""The weights of a kernel from which on transposing dy takes less time than BLAS loses by it."""


def convolve(x: Array, weight: Array, windows: Windows) -> Array:
    """y - b `(*outputs, O, N)` of x `(*inputs, C, N)`."""
    (channels, samples), out_channels = x.shape[-2:], len(weight)
    groups = channels // weight.shape[1]
    if depthwise.is_depthwise(weight.shape, groups):
        return depthwise.convolve(x, weight, windows)
    if samples == groups == 1 and _row_fits(weight, windows, x.itemsize):
        return _convolve_one(x, weight, windows)
    if fft_convolution.is_less_work(weight.shape, groups, windows):
        return fft_convolution.convolve(x, weight, windows)
    y = empty((*windows.outputs, out_channels, samples), x.dtype)
    matrices = _as_matrices(weight, groups)
    for rows, columns in _blocks_of_columns(x, groups, windows):
        block = _in_groups(y[rows], groups)
        np.matmul(matrices, columns, out=block)  # (G, O/G, K) @ (P, G, K, N)
    return y


def _row_fits(weight: Array, windows: Windows, itemsize: int) -> bool:
    """Whether the elements of a row of windows are few enough to be copied side by side."""
    elements = math.prod(windows.outputs[1:]) * math.prod(weight.shape[1:])
    return elements * itemsize <= BLOCK_BYTES


def _convolve_one(x: Array, weight: Array, windows: Windows) -> Array:
    """As `convolve`, of a single sample, with all windows of a block in one product."""
    out_channels = len(weight)
    kernels = _as_matrices(weight, 1)[0].T  # (K, O)
    y = empty((*windows.outputs, out_channels, 1), x.dtype)
    for rows, columns in _blocks_of_columns(x, 1, windows):
        elements = contiguous(columns).reshape(-1, len(kernels))  # (P, K)
        into(y[rows].reshape(-1, out_channels), multiply, elements, kernels)  # (P, K) @ (K, O)
    return y


def cotangent_of_weight(dy: Array, x: Array, shape: Shape, windows: Windows) -> Array:
    """The cotangent of `convolve`'s weight, of this shape; dy is `(*outputs, O, N)`."""
    out_channels, group_channels, *outer, last = shape
    axes, groups = len(windows.kernel), x.shape[-2] // group_channels
    weights = math.prod(shape[1:])  # K
    if depthwise.is_depthwise(shape, groups):
        return depthwise.cotangent_of_weight(dy, x, shape, windows)
    dy_of_samples = _in_groups(dy, groups).swapaxes(-1, -2)  # (P, G, N, O/G)
    if weights >= WORTH_TRANSPOSING:
        dy_of_samples = contiguous(dy_of_samples)
    if fft_convolution.is_less_work(shape, groups, windows):
        return fft_convolution.cotangent_of_weight(dy_of_samples[..., 0, :, :], x, windows)
    dmatrix = zeros((groups, weights, out_channels // groups), x.dtype)
    for rows, columns in _blocks_of_columns(x, groups, windows):
        dmatrix += sum_of_products(columns, dy_of_samples[rows], axes)  # of K and O/G, over P and N
    dweight = dmatrix.reshape(groups, last, *outer, group_channels, -1)
    dweight = dweight.transpose(0, axes + 2, axes + 1, *range(2, axes + 1), 1)
    return contiguous(dweight).reshape(shape)  # (G, O/G, C/G, *kernel)


def add_bias(y: Array, bias: Array) -> None:
    """y `(*outputs, O, N)` + bias `(O,)`, in place."""
    y += np.repeat(bias, y.shape[-1]).reshape(y.shape[-2:])  # in one piece, as O and N are in y


def cotangent_of_bias(dy: Array) -> Array:
    """The cotangent of the bias, `(O,)`; dy is `(*outputs, O, N)`."""
    return sum_over((*range(dy.ndim - 2), dy.ndim - 1), dy)


def cotangent_of_x(dy: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """The cotangent of `convolve`'s x, `(*inputs, C, N)`, where dy is `(*outputs, O, N)`.

    It is what a transposed convolution computes.
    """
    around = _windows_around(windows)
    if around is not None:
        return convolve(dy, _turned(weight, groups), around)
    _, group_channels, *outer, last = weight.shape
    transposed = contiguous(_as_matrices(weight, groups).swapaxes(1, 2))  # (G, K, O/G)
    channels, samples = groups * group_channels, dy.shape[-1]
    dpadded = zeros((*windows.padded, channels, samples), dy.dtype)
    dwindows = _in_groups(view_windows(dpadded, windows), groups)  # they overlap
    every = (slice(None),) * (len(outer) + 1)
    for rows in row_blocks(windows, channels * math.prod(windows.kernel) * samples, dy.itemsize):
        dcolumns = transposed @ _in_groups(dy[rows], groups)  # (G, K, O/G) @ (P, G, O/G, N)
        dcolumns = dcolumns.reshape(
            *dcolumns.shape[: len(every) + 1], last, *outer, group_channels, samples
        )
        for position in positions(windows):
            within = *every, slice(None), position[-1], *position[:-1]
            dwindows[rows, *every[1:], *position] += dcolumns[within]  # (P, G, C/G, N)
    return unpad(dpadded, windows)


def _windows_around(windows: Windows) -> Windows | None:
    """If there is no stride, the windows on y whose convolution, kernels turned round, gives dx."""
    before, after = (
        tuple(span - 1 - p for span, p in zip(windows.spans, padding, strict=True))
        for padding in (windows.before, windows.after)
    )
    kernel, stride, dilation, *_ = windows
    fitting = zip(windows.padded, windows.spans, windows.outputs, strict=True)
    if {*stride} != {1} or min(*before, *after) < 0:
        return None
    if any(size - span + 1 != outputs for size, span, outputs in fitting):
        return None  # there is an output padding, which no window reaches
    return place_windows(windows.outputs, kernel, stride, dilation, before, after)


def _turned(weight: Array, groups: int) -> Array:
    """The weight `(C, O/G, *kernel)` whose kernels are reversed on every axis."""
    _, channels, *kernel = weight.shape
    kernels = weight.reshape(groups, len(weight) // groups, channels, -1)[..., ::-1]
    return kernels.swapaxes(1, 2).reshape(groups * channels, -1, *kernel)


def _as_matrices(weight: Array, groups: int) -> Array:
    """The weight as a matrix for each group, `(G, O/G, K)`, K in the order of the columns."""
    axes = weight.ndim - 2
    kernels = weight.reshape(groups, len(weight) // groups, *weight.shape[1:])
    kernels = kernels.transpose(0, 1, axes + 2, *range(3, axes + 2), 2)
    return kernels.reshape(groups, len(weight) // groups, -1)  # (G, O/G, last, *outer, C/G)


def _in_groups(y: Array, groups: int) -> Array:
    """A view of y `(..., C, N)` as `(..., G, C/G, N)`."""
    return y.reshape(*y.shape[:-2], groups, y.shape[-2] // groups, y.shape[-1])


def _blocks_of_columns(x: Array, groups: int, windows: Windows) -> Iterator[tuple[slice, Array]]:
    """Blocks of rows of windows, each with their elements as columns `(P, G, K, N)`.

    K goes through the last axis of the kernel first, then through the others, and then through the
    channels. So without groups and dilation neighbouring windows overlap in memory as they do in
    the image, and an element is copied only as often as it is in a row of windows.
    """
    (channels, samples), axes = x.shape[-2:], len(windows.kernel)
    height = channels // groups * math.prod(windows.kernel)  # K
    padded = pad(x, windows)
    blocks = row_blocks(windows, groups * height * samples, x.itemsize)
    if not _overlap(groups, windows):
        views = _in_groups(view_windows(padded, windows), groups)
        order = *range(axes), 2 * axes, 2 * axes - 1, *range(axes, 2 * axes - 1)
        views = views.transpose(*order, 2 * axes + 1, 2 * axes + 2)
        for rows in blocks:
            block = contiguous(views[rows])  # (P, G, last, *outer, C/G, N)
            yield rows, block.reshape(*block.shape[: axes + 1], height, samples)
    elif axes == 1:
        columns = _overlapping_columns(padded, windows)
        yield from ((rows, columns[rows]) for rows in blocks)
    else:
        lines = windows._replace(
            kernel=(*windows.kernel[:-1], 1),
            stride=(*windows.stride[:-1], 1),
            outputs=(*windows.outputs[:-1], windows.padded[-1]),
        )
        views = view_windows(padded, lines)
        for rows in blocks:
            yield rows, _overlapping_columns(contiguous(views[rows]), windows)


def _overlapping_columns(lines: Array, windows: Windows) -> Array:
    """Columns `(P, 1, K, N)`, a view of contiguous `(*outputs[:-1], padded[-1], ..., C, N)`.

    ... is the kernel but for its last axis.
    """
    axes, samples, item = len(windows.kernel), lines.shape[-1], lines.itemsize
    height = windows.kernel[-1] * math.prod(lines.shape[axes:-1])  # K
    # Strides of axes of size 1 may be anything, so all are computed.
    *steps, step = (item * math.prod(lines.shape[i + 1 :]) for i in range(axes))
    shape = *lines.shape[: axes - 1], windows.outputs[-1], 1, height, samples
    strides = *steps, step * windows.stride[-1], 0, samples * item, item
    return with_strides(lines, shape, strides)


def _overlap(groups: int, windows: Windows) -> bool:
    """Whether the columns of neighbouring windows can overlap in memory."""
    return bool(groups == windows.dilation[-1] == 1)
