"""Convolution along rows by the convolution theorem, where that is less work.

A row of W numbers convolved with one of k is, after discrete Fourier transforms of L = W + padding
points, a product number by number: some 3 L / 2 real multiplications in the place of W k, as a
product of complex numbers takes three (Gauss). Written out with real matrices it is bilinear,

    y = E ((G w) * (D x))       D: (R, W), G: (R, k), E: (W', R), * number by number,

and its derivatives are plain. Over rows, channels and samples each of the R products is a product
of matrices, as in `convolution`. Arrays have their batch last: see `windows`.

Rounding is relative to the largest numbers of a row, and a NaN or infinity fills its row.
"""

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from funcnn.types import Array, Shape
from funcnn.windows import Windows

# In the comments C and O are the channels, i and j the rows and columns of a kernel, H and W' the
# rows and columns of y, N the samples.


WORTHWHILE = 0.9
"""What share of the usual work is few enough."""


class Transforms(NamedTuple):
    """The matrices of y = E ((G w) * (D x)), for rows of one size."""

    of_x: Array
    """D, `(R, W)`."""
    of_weight: Array
    """G, `(R, k)`."""
    of_products: Array
    """E, `(W', R)`."""


def is_less_work(weight_shape: Shape, groups: int, windows: Windows) -> bool:
    """Whether to convolve so: images, without stride, dilation or groups, and few products.

    Counted are the multiplications for one sample. Those of the transforms, small products of
    matrices, take one and a half times as long.
    """
    if len(windows.kernel) != 2 or groups > 1 or {*windows.stride, *windows.dilation} != {1}:
        return False
    out_channels, channels, rows, columns = weight_shape
    (height, width), (height_x, width_x) = windows.outputs, windows.inputs
    rank = 3 * (width_x + max(windows.before[1], windows.after[1])) / 2
    transforms = rank * (channels * height_x * width_x + out_channels * height * width)
    between = out_channels * channels * rows * height
    return bool(rank * between + 1.5 * transforms < WORTHWHILE * between * columns * width)


@functools.lru_cache(maxsize=256)
def transforms(windows: Windows, dtype: npt.DTypeLike) -> Transforms:
    """The matrices for the rows of these windows."""
    width, kernel, before = windows.inputs[-1], windows.kernel[-1], windows.before[-1]
    points = width + max(before, windows.after[-1])  # what wraps around meets padding only
    turn = 2 * math.pi / points

    def waves(frequency: int, places: Array) -> tuple[Array, Array]:
        return np.cos(turn * frequency * places), np.sin(turn * frequency * places)

    x, w, y = np.arange(width), np.arange(kernel) - before, np.arange(windows.outputs[-1])
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
    """y `(O, H, W', N)` of x `(C, *inputs, N)` and weight `(O, C, i, j)`."""
    of_x, of_weight, of_products = transforms(windows, x.dtype)
    rank, out_channels = len(of_x), len(weight)
    weights = np.tensordot(of_weight, weight, (1, 3)).reshape(rank, out_channels, -1)  # (R, O, Ci)
    products = np.empty((rank, out_channels, windows.outputs[0], x.shape[-1]), x.dtype)
    for product, weights_of_it, columns in zip(
        products, weights, _columns(x, of_x, windows), strict=True
    ):
        np.matmul(
            weights_of_it, columns, out=product.reshape(out_channels, -1)
        )  # (O, Ci) @ (Ci, HN)
    return of_products @ products.transpose(1, 2, 0, 3)  # (W', R) @ (R, N), for each of O and H


def cotangent_of_weight(dy: Array, x: Array, windows: Windows) -> Array:
    """The cotangent of `convolve`'s weight, where dy is `(O, H, W', N)`."""
    of_x, of_weight, of_products = transforms(windows, x.dtype)
    rank, out_channels, rows = len(of_x), len(dy), windows.kernel[0]
    dproducts = np.empty((rank, out_channels, windows.outputs[0], x.shape[-1]), x.dtype)
    # (R, W') @ (W', N), for each of O and H
    np.matmul(of_products.T, dy, out=dproducts.transpose(1, 2, 0, 3))
    dweights = np.empty((rank, len(x) * rows, out_channels), x.dtype)
    for dweight, dproduct, columns in zip(
        dweights, dproducts, _columns(x, of_x, windows), strict=True
    ):
        np.matmul(columns, dproduct.reshape(out_channels, -1).T, out=dweight)  # (Ci, HN) @ (HN, O)
    dweight = np.tensordot(dweights, of_weight, (0, 0))  # (Ci, O, j)
    dweight = dweight.reshape(len(x), rows, out_channels, -1).transpose(2, 0, 1, 3)  # (O, C, i, j)
    return np.ascontiguousarray(dweight)


def _columns(x: Array, of_x: Array, windows: Windows) -> Iterator[Array]:
    """For each of the R, the elements of D x in all windows of rows, as columns `(Ci, HN)`.

    Their memory is used again for the next.
    """
    rank, channels, samples = len(of_x), len(x), x.shape[-1]
    before, rows, outputs = windows.before[0], windows.kernel[0], windows.outputs[0]
    transformed = np.zeros((rank, channels, windows.padded[0], samples), x.dtype)
    inner = transformed[:, :, before : before + windows.inputs[0]]
    np.matmul(of_x, x, out=inner.transpose(1, 2, 0, 3))  # (R, W) @ (W, N), for each of C and H
    r, c, h, n = transformed.strides
    views = as_strided(transformed, (rank, channels, rows, outputs, samples), (r, c, h, h, n))
    columns = np.empty(views.shape[1:], x.dtype)
    for view in views:
        columns[...] = view
        yield columns.reshape(channels * rows, outputs * samples)
