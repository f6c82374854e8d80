"""Layers that pool images: over windows, or over the whole image.

Images are `(N, C, H, W)`, sequences `(N, C, L)`; any number of spatial axes will do. What is
computed over windows, and its derivative, stand beside each other in `funcnn.ops.pooling`.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from funcnn._arguments import check_cotangent, check_flag
from funcnn._memory import zeros
from funcnn.activations import check_float
from funcnn.ops.pooling import count_elements, max_pool, place_pool, sum_pool
from funcnn.ops.windows import (
    Sizes,
    Windows,
    batch_first,
    batch_last,
    check_sizes,
    for_each_axis,
    spatial_sizes,
)
from funcnn.random import Key
from funcnn.spec import constructor
from funcnn.types import Array, ArrayVjp, Layer, Shape, Tree, Vjp, Wrt

Pool = Callable[[Array, Windows, bool], tuple[Array, ArrayVjp | None]]
"""`pool(x, windows, with_vjp) -> (y, vjp)`; x: `(*sizes, C, N)`, y: `(*outputs, C, N)`."""


@constructor(per_sample="always", spatial=True)
def MaxPool(
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Layer:
    """y: the largest element of each window, as `torch.nn.MaxPool2d`; dx: dy, for the first such.

    x: floats `(N, C, *sizes)`; y: `(N, C, *outputs)`. stride: the kernel_size, unless given.
    padding: at most half of the kernel_size, of -inf, so that nothing of it is chosen.
    dilation: from one element of a window to the next. ceil_mode: where elements are left over,
    one more window on that axis, which may reach beyond the padding but begins in the image or
    before it. Raises `ValueError` if no window fits, or if one would have padding alone.

    >>> fn.MaxPool(2).apply({}, np.arange(16.0).reshape(1, 1, 4, 4))[0]
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    >>> fn.MaxPool(3, ceil_mode=True).apply({}, np.arange(16.0).reshape(1, 1, 4, 4))[0]
    array([[[[10., 11.],
             [14., 15.]]]])
    """
    return _pool_windows("MaxPool", max_pool, kernel_size, stride, padding, dilation, ceil_mode)


@constructor(per_sample="always", spatial=True)
def AvgPool(
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    count_include_pad: bool = True,
    ceil_mode: bool = False,
) -> Layer:
    """y: the mean of each window, as `torch.nn.AvgPool2d`.

    x: floats `(N, C, *sizes)`; y: `(N, C, *outputs)`. stride: the kernel_size, unless given.
    padding: zeros around the image, at most half of the kernel_size, which count as elements
    unless `count_include_pad=False`. ceil_mode: as of `MaxPool`; what is beyond the padding counts
    as nothing. Raises `ValueError` if no window fits in the image.

    >>> fn.AvgPool(2).apply({}, np.arange(16.0).reshape(1, 1, 4, 4))[0]
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """
    check_flag("AvgPool: count_include_pad", count_include_pad)

    def average(x: Array, windows: Windows, with_vjp: bool) -> tuple[Array, ArrayVjp]:
        y, vjp_of_sum = sum_pool(x, windows)
        count = count_elements(windows, count_include_pad).astype(x.dtype)  # (*outputs, 1, 1)
        y /= count
        return y, lambda dy: vjp_of_sum(dy / count)

    return _pool_windows("AvgPool", average, kernel_size, stride, padding, ceil_mode=ceil_mode)


@constructor(per_sample="always", spatial=True)
def SumPool(kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> Layer:
    """y: the sum of each window, as stax's `SumPool`, and torch's `AvgPool2d(divisor_override=1)`.

    x: floats `(N, C, *sizes)`; y: `(N, C, *outputs)`. stride: the kernel_size, unless given.
    padding: zeros around the image, at most half of the kernel_size.
    Raises `ValueError` if no window fits in the image.

    >>> fn.SumPool(2).apply({}, np.arange(16.0).reshape(1, 1, 4, 4))[0]
    array([[[[10., 18.],
             [42., 50.]]]])
    """
    return _pool_windows(
        "SumPool", lambda x, windows, _: sum_pool(x, windows), kernel_size, stride, padding
    )


def _pool_windows(
    name: str,
    pool: Pool,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Layer:
    kernel_size = check_sizes(name, "kernel_size", kernel_size)
    stride = kernel_size if stride is None else check_sizes(name, "stride", stride)
    padding = check_sizes(name, "padding", padding, least=0)
    dilation = check_sizes(name, "dilation", dilation)
    check_flag(f"{name}: ceil_mode", ceil_mode)

    @functools.lru_cache(maxsize=16)
    def place(sizes: Shape) -> Windows:
        kernel = for_each_axis("kernel_size", kernel_size, len(sizes))
        strides = for_each_axis("stride", stride, len(sizes))
        around = for_each_axis("padding", padding, len(sizes))
        dilations = for_each_axis("dilation", dilation, len(sizes))
        if any(2 * p > k for p, k in zip(around, kernel, strict=True)):
            raise ValueError(
                f"padding {padding} is more than half of the kernel_size {kernel_size}"
            )
        return place_pool(sizes, kernel, strides, dilations, around, ceil_mode)

    return _pool_layer(
        name,
        lambda sizes: place(sizes).outputs,
        lambda x, with_vjp: pool(x, place(x.shape[:-2]), with_vjp),
    )


# --- over the whole image --------------------------------------------------------------------


@constructor(per_sample="always", spatial=True)
def GlobalAvgPool() -> Layer:
    """y: the mean of each channel, `(N, C, *sizes)` to `(N, C)`; x: floats.

    As `torch.nn.AdaptiveAvgPool2d(1)` and a `Flatten`. Lin et al. 2014.

    >>> fn.GlobalAvgPool().apply({}, np.arange(16.0).reshape(1, 1, 4, 4))[0]
    array([[7.5]])
    """

    def mean(x: Array, with_vjp: bool) -> tuple[Array, ArrayVjp]:
        shape, size = x.shape, math.prod(x.shape[:-2])
        y = _in_a_row(x).mean(0)
        return y, lambda dy: np.repeat(dy[None] / size, size, axis=0).reshape(shape)

    return _pool_layer("GlobalAvgPool", lambda sizes: (), mean)


@constructor(per_sample="always", spatial=True)
def GlobalMaxPool() -> Layer:
    """y: the largest element of each channel, `(N, C, *sizes)` to `(N, C)`; x: floats.

    Of equal ones the first gets dy. As `torch.nn.AdaptiveMaxPool2d(1)` and a `Flatten`.

    >>> fn.GlobalMaxPool().apply({}, np.arange(16.0).reshape(1, 1, 4, 4))[0]
    array([[15.]])
    """

    def largest(x: Array, with_vjp: bool) -> tuple[Array, ArrayVjp]:
        shape, rows = x.shape, _in_a_row(x)
        chosen = rows.argmax(0, keepdims=True)
        y = np.take_along_axis(rows, chosen, axis=0)[0]

        def vjp(dy: Array) -> Array:
            dx = zeros(shape, dy.dtype)
            np.put_along_axis(_in_a_row(dx), chosen, dy[None], axis=0)
            return dx

        return y, vjp

    return _pool_layer("GlobalMaxPool", lambda sizes: (), largest)


def _in_a_row(x: Array) -> Array:
    """x `(*sizes, C, N)` as `(S, C, N)`, a view if it can be."""
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


# --- what all of them share ------------------------------------------------------------------


def _pool_layer(
    name: str,
    output_sizes: Callable[[Shape], Shape],
    pool: Callable[[Array, bool], tuple[Array, ArrayVjp | None]],
) -> Layer:
    """The layer of `pool(x, with_vjp) -> (y, vjp)`, whose arrays have channels and batch last."""

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        sizes = spatial_sizes(input_shape)
        return (input_shape[0], *output_sizes(sizes)), {}

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_float(name, x)
        spatial_sizes(x.shape[1:])  # says that they are no images
        y, pull_back = pool(batch_last(x), wrt is not None)
        y = batch_first(y)
        y_shape, dtype = y.shape, y.dtype

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, y_shape, dtype)
            if wrt == "params":
                return {}, None
            assert pull_back is not None
            return {}, batch_first(pull_back(batch_last(dy)))

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)
