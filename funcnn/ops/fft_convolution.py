"""Convolution along columns by the convolution theorem, where that is less work.

A column of H numbers convolved with one of k is, after discrete Fourier transforms of L = H +
padding points, a product number by number: some 3 L / 2 real multiplications in the place of H k,
as a product of complex numbers takes three (Gauss). Written out with real matrices it is bilinear,

    y = E ((G w) * (D x))       D: (R, H), G: (R, k), E: (H', R), * number by number,

and its derivatives are plain. With rows, channels and samples each of the R products is one of
matrices for each window of a row, as in `convolution`. Arrays have channels and batch last: see
`windows`.

Rounding is relative to the largest numbers of a column, and a NaN or infinity fills its column.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from funcnn._memory import contiguous, empty
from funcnn.ops.matmul import sum_of_products
from funcnn.ops.windows import BLOCK_BYTES, Windows, with_strides
from funcnn.types import Array, Shape

# In the comments C and O are the channels, i and j the rows and columns of a kernel, H' and W' the
# rows and columns of y, N the samples.


WORTHWHILE = 0.9
"""What share of the usual work is few enough."""

SMALL_PRODUCT = 1_000_000
"""Multiply-adds up to which OpenBLAS does not copy matrices into an order of its own first."""


class Transforms(NamedTuple):
    """The matrices of y = E ((G w) * (D x)), for columns of one size."""

    of_x: Array
    """D, `(R, H)`."""
    of_weight: Array
    """G, `(R, k)`."""
    of_products: Array
    """E, `(H', R)`."""


@functools.lru_cache(maxsize=256)
def is_less_work(weight_shape: Shape, groups: int, windows: Windows) -> bool:
    """Whether to convolve so: images, without stride, dilation or groups, and few products.

    Counted are the multiplications for one sample. Those of the transforms, products with few
    rows, take one and a half times as long.
    """
    if len(windows.kernel) != 2 or groups > 1 or {*windows.stride, *windows.dilation} != {1}:
        return False
    out_channels, channels, rows, columns = weight_shape
    (height, width), (height_x, width_x) = windows.outputs, windows.inputs
    rank = 3 * (height_x + max(windows.before[0], windows.after[0])) / 2
    transforms = rank * (channels * height_x * width_x + out_channels * height * width)
    between = out_channels * channels * columns * width
    return bool(rank * between + 1.5 * transforms < WORTHWHILE * between * rows * height)


@functools.lru_cache(maxsize=256)
def transforms(windows: Windows, dtype: DTypeLike) -> Transforms:
    """The matrices for the columns of these windows."""
    height, kernel, before = windows.inputs[0], windows.kernel[0], windows.before[0]
    points = height + max(before, windows.after[0])  # what wraps around meets padding only
    turn = 2 * math.pi / points

    def waves(frequency: int, places: Array) -> tuple[Array, Array]:
        return np.cos(turn * frequency * places), np.sin(turn * frequency * places)

    x, w, y = np.arange(height), np.arange(kernel) - before, np.arange(windows.outputs[0])
    of_x, of_weight, of_products = [], [], []
    for frequency in range(points // 2 + 1):
        (xc, xs), (wc, ws), (yc, ys) = (waves(frequency, places) for places in (x, w, y))
        if 2 * frequency % points == 0:  # x and w have real transforms
            of_x += [xc]
            of_weight += [wc]
            of_products += [yc / points]
        else:
            # x's is a + bi = xc - xs i, and w's conjugate c + di = wc + ws i. Their product is
            # k1 - k3 + (k1 + k2)i, with k1 = (a + b) c, k2 = a (d - c) and k3 = b (c + d).
            of_x += [xc - xs, xc, -xs]
            of_weight += [wc, ws - wc, wc + ws]
            of_products += [2 / points * wave for wave in (yc - ys, -ys, -yc)]
    matrices = np.array(of_x), np.array(of_weight), np.array(of_products).T
    return Transforms(*(np.ascontiguousarray(matrix, dtype) for matrix in matrices))


def convolve(x: Array, weight: Array, windows: Windows) -> Array:
    """y `(H', W', O, N)` of x `(H, W, C, N)` and weight `(O, C, i, j)`."""
    of_x, of_weight, of_products = transforms(windows, x.dtype)
    weights = np.tensordot(of_weight, weight, (1, 2)).swapaxes(2, 3)  # (R, O, j, C)
    weights = weights.reshape(len(of_x), 1, len(weight), -1)
    products = weights @ _columns(x, of_x, windows)  # (R, 1, O, jC) @ (R, W', jC, N)
    y = empty((len(of_products), *products.shape[1:]), x.dtype)
    _transform(of_products, products, y)
    return y


def cotangent_of_weight(dy: Array, x: Array, windows: Windows) -> Array:
    """The cotangent of `convolve`'s weight, where dy is `(H', W', N, O)`."""
    of_x, of_weight, of_products = transforms(windows, x.dtype)
    rank, out_channels = len(of_x), dy.shape[-1]
    dproducts = empty((rank, *dy.shape[1:]), dy.dtype)
    _transform(contiguous(of_products.T), dy, dproducts)
    columns = _columns(x, of_x, windows).swapaxes(0, 1)  # (W', R, jC, N)
    dproducts = dproducts.swapaxes(0, 1)  # (W', R, N, O)
    dweights = empty((rank, columns.shape[2], out_channels), x.dtype)
    step = max(1, BLOCK_BYTES // (len(columns) * max(1, dweights[0].nbytes)))
    for some in (slice(start, start + step) for start in range(0, rank, step)):
        dweights[some] = sum_of_products(columns[:, some], dproducts[:, some], 1)
    dweight = np.tensordot(dweights, of_weight, (0, 0))  # (jC, O, i)
    dweight = dweight.reshape(windows.kernel[1], -1, *dweight.shape[1:])  # (j, C, O, i)
    return contiguous(dweight.transpose(2, 1, 3, 0))  # (O, C, i, j)


def _columns(x: Array, of_x: Array, windows: Windows) -> Array:
    """The elements of D x in all windows of rows, as columns: a view `(R, W', jC, N)`."""
    channels, samples = x.shape[2:]
    before, after = windows.before[1], windows.before[1] + windows.inputs[1]
    transformed = empty((len(of_x), windows.padded[1], channels, samples), x.dtype)
    transformed[:, :before] = transformed[:, after:] = 0
    _transform(of_x, contiguous(x), transformed[:, before:after])
    shape = len(of_x), windows.outputs[1], windows.kernel[1] * channels, samples
    r, w, _, n = transformed.strides
    return with_strides(transformed, shape, (r, w, samples * n, n))


def _transform(matrix: Array, x: Array, out: Array) -> None:
    """matrix @ x along the first axis: `(M, K)` @ `(K, ...)`, into out `(M, ...)`."""
    size = math.prod(x.shape[1:])
    x = x.reshape(len(x), size)
    out = out.reshape(len(out), size)  # a view, as only its rows lie apart
    # In pieces that BLAS multiplies as they lie in memory, and the rest.
    piece = max(64, SMALL_PRODUCT // matrix.size // 64 * 64)
    whole = size // piece * piece
    if whole:
        x_pieces, out_pieces = (
            a[:, :whole].reshape(len(a), -1, piece).swapaxes(0, 1) for a in (x, out)
        )
        np.matmul(matrix, x_pieces, out=out_pieces)
    if whole < size:
        np.matmul(matrix, x[:, whole:], out=out[:, whole:])
