"""Convolution as products of matrices, and its derivatives.

y[o, p, n] = b[o] + sum over c and k of w[o, c, k] x[c, stride p + dilation k - before, n]: the
cross-correlation that the field calls convolution. With the elements of each window as a column,
that is one matrix product (Chellapilla et al. 2006), and the derivatives are products too. Where
that is less work, it is done by the convolution theorem instead: see `spectral`.

Arrays have their batch last: see `windows`. A weight is `(O, C/G, *kernel)` where there are G
groups. In the comments K = C/G * prod(kernel), and L is the number of windows in a block of rows,
of all samples: rows * prod(outputs[1:]) * N.
"""

import math
from collections.abc import Iterator

import numpy as np

from funcnn import spectral
from funcnn.types import Array, Shape
from funcnn.windows import (
    Windows,
    pad,
    place_windows,
    positions,
    row_blocks,
    unpad,
    view_windows,
)


def convolve(x: Array, weight: Array, bias: Array | None, windows: Windows) -> Array:
    """y `(O, *outputs, N)` of x `(C, *inputs, N)`. bias: `(O,)`."""
    out_channels, groups = len(weight), len(x) // weight.shape[1]
    if spectral.is_less_work(weight.shape, groups, windows):
        y = spectral.convolve(x, weight, windows)
        if bias is not None:
            y += bias.reshape(-1, 1, 1, 1)
        return y
    matrix = weight.reshape(groups, out_channels // groups, -1)  # (G, O/G, K)
    if bias is not None:  # a last column, for which the windows' columns end with a one
        matrix = np.concatenate([matrix, bias.reshape(groups, -1, 1)], axis=2)
    y = np.empty((out_channels, *windows.outputs, x.shape[-1]), x.dtype)
    for rows, columns in _blocks_of_columns(x, groups, matrix.shape[2], windows):
        np.matmul(matrix, columns, out=_block(y, rows, groups))  # (G, O/G, K) @ (G, K, L)
    return y


def cotangent_of_weight(
    dy: Array, x: Array, shape: Shape, bias: bool, windows: Windows
) -> tuple[Array, Array | None]:
    """The cotangents of `convolve`'s weight, of this shape, and of its bias, if it has one."""
    out_channels, groups = shape[0], len(x) // shape[1]
    if spectral.is_less_work(shape, groups, windows):
        dbias = dy.reshape(out_channels, -1).sum(1) if bias else None
        return spectral.cotangent_of_weight(dy, x, windows), dbias
    weights = math.prod(shape[1:])  # K
    dmatrix = np.zeros((groups, weights + bias, out_channels // groups), x.dtype)
    for rows, columns in _blocks_of_columns(x, groups, weights + bias, windows):
        dmatrix += columns @ _block(dy, rows, groups).swapaxes(1, 2)  # (G, K, L) @ (G, L, O/G)
    dmatrix = np.ascontiguousarray(dmatrix.swapaxes(1, 2))  # (G, O/G, K)
    return dmatrix[:, :, :weights].reshape(shape), dmatrix[:, :, -1].ravel() if bias else None


def cotangent_of_x(dy: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """The cotangent of `convolve`'s x, `(C, *inputs, N)`, where dy is `(O, *outputs, N)`.

    It is what a transposed convolution computes.
    """
    around = _windows_around(windows)
    if around is not None:
        return convolve(dy, _turned(weight, groups), None, around)
    matrix = weight.reshape(groups, len(weight) // groups, -1)
    transposed = np.ascontiguousarray(matrix.swapaxes(1, 2))  # (G, K, O/G)
    channels, samples = groups * weight.shape[1], dy.shape[-1]
    dpadded = np.zeros((channels, *windows.padded, samples), dy.dtype)
    dwindows = view_windows(dpadded, windows)  # (C, *kernel, *outputs, N), they overlap
    for rows in row_blocks(windows, samples, channels * math.prod(windows.kernel), dy.itemsize):
        dcolumns = transposed @ _block(dy, rows, groups)  # (G, K, O/G) @ (G, O/G, L)
        sizes = rows.stop - rows.start, *windows.outputs[1:]
        dcolumns = dcolumns.reshape(channels, *windows.kernel, *sizes, samples)
        for position in positions(windows):
            dwindows[:, *position, rows] += dcolumns[:, *position]  # (C, rows, ..., N)
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


def _blocks_of_columns(
    x: Array, groups: int, height: int, windows: Windows
) -> Iterator[tuple[slice, Array]]:
    """Blocks of rows of windows, each with their elements as columns `(G, height, L)`.

    Where height is more than K, the columns end with a one. A block's memory is used again.
    """
    samples = x.shape[-1]
    views = view_windows(pad(x, windows), windows)  # (C, *kernel, *outputs, N)
    views = views.reshape(groups, len(x) // groups, *views.shape[1:])
    before_rows = 2 + len(windows.kernel)
    weights = math.prod(views.shape[1:before_rows])  # K
    columns = np.empty((groups, height, 0), x.dtype)
    for rows in row_blocks(windows, samples, groups * height, x.itemsize):
        elements = views[(slice(None),) * before_rows + (rows,)]
        size = math.prod(elements.shape[before_rows:])  # L
        if columns.shape[2] != size:
            columns = np.empty((groups, height, size), x.dtype)
            columns[:, weights:] = 1
        columns[:, :weights].reshape(elements.shape)[...] = elements
        yield rows, columns


def _block(y: Array, rows: slice, groups: int) -> Array:
    """A view of some rows of y `(O, *outputs, N)`, as matrices `(G, O/G, L)`."""
    return y[:, rows].reshape(groups, len(y) // groups, -1)
