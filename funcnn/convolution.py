"""Convolution as products of matrices, and its two derivatives.

y[o, p, n] = sum over c and k of w[o, c, k] x[c, stride p + dilation k - before, n]: the
cross-correlation that the field calls convolution. With the elements of each window as a column,
that is one matrix product (Chellapilla et al. 2006), and both derivatives are products too. The
arrays have their batch last: see `windows`.

With G groups, the matrix of the weights is `(G, O/G, K)`, K = C/G * prod(kernel). In the comments
L is the number of windows in a block of rows, of all samples: rows * prod(outputs[1:]) * N.
"""

import math
from collections.abc import Iterator

import numpy as np

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


def convolve(x: Array, matrix: Array, windows: Windows) -> Array:
    """y `(O, *outputs, N)` of x `(C, *inputs, N)`.

    matrix: the weights `(G, O/G, K)`; with K + 1 columns, the last one is the bias.
    """
    groups, out_channels, _ = matrix.shape
    y = np.empty((groups * out_channels, *windows.outputs, x.shape[-1]), x.dtype)
    for rows, columns in _blocks_of_columns(x, matrix.shape, windows):
        np.matmul(matrix, columns, out=_block(y, rows, groups))  # (G, O/G, K) @ (G, K, L)
    return y


def cotangent_of_matrix(dy: Array, x: Array, shape: Shape, windows: Windows) -> Array:
    """The cotangent of `convolve`'s matrix, of its shape, where dy is `(O, *outputs, N)`."""
    groups, out_channels, height = shape
    dmatrix = np.zeros((groups, height, out_channels), x.dtype)
    for rows, columns in _blocks_of_columns(x, shape, windows):
        dmatrix += columns @ _block(dy, rows, groups).swapaxes(1, 2)  # (G, K, L) @ (G, L, O/G)
    return np.ascontiguousarray(dmatrix.swapaxes(1, 2))


def cotangent_of_x(dy: Array, matrix: Array, windows: Windows) -> Array:
    """The cotangent of `convolve`'s x, `(C, *inputs, N)`, where dy is `(O, *outputs, N)`.

    matrix: the weights alone, `(G, O/G, K)`. It is what a transposed convolution computes.
    """
    margins = [span - 1 for span in windows.spans]
    before = tuple(m - b for m, b in zip(margins, windows.before, strict=True))
    after = tuple(m - a for m, a in zip(margins, windows.after, strict=True))
    if all(s == 1 for s in windows.stride) and min(*before, *after) >= 0:
        # Each x was seen by the windows around it: dy is convolved with the kernels turned round.
        groups, out_channels, _ = matrix.shape
        kernels = matrix.reshape(groups, out_channels, -1, math.prod(windows.kernel))
        turned = kernels[..., ::-1].swapaxes(1, 2)  # (G, C/G, O/G, prod(kernel))
        turned = turned.reshape(groups, turned.shape[1], -1)
        around = place_windows(
            windows.outputs, windows.kernel, windows.stride, windows.dilation, before, after
        )
        return convolve(dy, turned, around)
    return _scatter(dy, matrix, windows)


def _scatter(dy: Array, matrix: Array, windows: Windows) -> Array:
    """`cotangent_of_x` for any windows: the cotangent of the columns, added where each is from."""
    groups, _, height = matrix.shape
    samples = dy.shape[-1]
    channels = groups * height // math.prod(windows.kernel)
    dpadded = np.zeros((channels, *windows.padded, samples), dy.dtype)
    dwindows = view_windows(dpadded, windows)  # (C, *kernel, *outputs, N), they overlap
    transposed = np.ascontiguousarray(matrix.swapaxes(1, 2))
    for rows in row_blocks(windows, samples, groups * height, dy.itemsize):
        dcolumns = transposed @ _block(dy, rows, groups)  # (G, K, O/G) @ (G, O/G, L)
        sizes = rows.stop - rows.start, *windows.outputs[1:]
        dcolumns = dcolumns.reshape(channels, *windows.kernel, *sizes, samples)
        for position in positions(windows):
            dwindows[:, *position, rows] += dcolumns[:, *position]  # (C, rows, ..., N)
    return unpad(dpadded, windows)


def _blocks_of_columns(x: Array, shape: Shape, windows: Windows) -> Iterator[tuple[slice, Array]]:
    """Blocks of rows of windows, each with their elements as columns `(G, K, L)`.

    shape: that of the matrix. If that has a column for the bias, the columns end with a one.
    A block's memory is used again for the next.
    """
    groups, _, height = shape
    samples = x.shape[-1]
    views = view_windows(pad(x, windows), windows)  # (C, *kernel, *outputs, N)
    views = views.reshape(groups, len(x) // groups, *views.shape[1:])
    before_rows = 2 + len(windows.kernel)
    weights = math.prod(views.shape[1:before_rows])  # K, or K - 1 beside a bias
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
