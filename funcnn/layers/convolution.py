"""Layers that convolve images: `Conv` and `ConvTranspose`.

Images are `(N, C, H, W)`, sequences `(N, C, L)`; any number of spatial axes will do.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from funcnn import initializers
from funcnn._arguments import (
    check_array,
    check_cotangent,
    check_count,
    check_flag,
    check_param,
    param_of,
    shown,
)
from funcnn._memory import contiguous
from funcnn.initializers import Initializer, check_initializer, weight_and_bias
from funcnn.ops.convolution import (
    add_bias,
    convolve,
    cotangent_of_bias,
    cotangent_of_weight,
    cotangent_of_x,
)
from funcnn.ops.windows import (
    Sizes,
    Windows,
    batch_first,
    batch_last,
    check_sizes,
    for_each_axis,
    place_windows,
    spatial_sizes,
)
from funcnn.random import Key
from funcnn.spec import constructor
from funcnn.types import Array, Layer, Shape, Tree, Vjp, Wrt


@constructor(per_sample="always", spatial=True)
def Conv(
    out_channels: int,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    weight_init: Initializer = initializers.glorot_uniform(),
    bias_init: Initializer = initializers.zeros(),
) -> Layer:
    """y = x * w + b, the cross-correlation of images with kernels, as `torch.nn.Conv2d`.

    y[n, o, p] = b[o] + sum over c, k of w[o, c, k] x[n, c, stride p + dilation k - padding].
    x: `(N, in_channels, *sizes)`; y: `(N, out_channels, *outputs)`. padding: `"same"` (stride 1),
    `"valid"`, or how many zeros are around the image. groups: each sees its share of the channels;
    as many as there are channels make it depthwise. params: `weight`
    `(out_channels, in_channels / groups, *kernel_size)` and, unless `bias=False`, `bias`.
    Raises `ValueError` if the groups do not divide the channels, or no kernel fits in the image;
    `TypeError` if x has another dtype than the weight.

    >>> fn.Conv(16, 3, padding="same").init(fn.random.key(0), (1, 28, 28))[0]
    (16, 28, 28)
    >>> params = {"weight": np.ones((1, 1, 2, 2))}
    >>> fn.Conv(1, 2, bias=False).apply(params, np.arange(9.0).reshape(1, 1, 3, 3))[0]
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """
    out_channels = check_count("Conv: out_channels", out_channels)
    groups = check_count("Conv: groups", groups)
    kernel_size = check_sizes("Conv", "kernel_size", kernel_size)
    stride = check_sizes("Conv", "stride", stride)
    dilation = check_sizes("Conv", "dilation", dilation)
    padding = _check_padding(padding, stride)
    check_flag("Conv: bias", bias)
    _check_divides(groups, out_channels, f"Conv: {out_channels} out_channels")
    check_initializer("weight_init", weight_init)
    check_initializer("bias_init", bias_init)

    @functools.lru_cache(maxsize=16)
    def place(sample_shape: Shape) -> tuple[Windows, Shape]:
        """The windows on an image `(C, *sizes)`, and the shape of the weight."""
        sizes = spatial_sizes(sample_shape)
        channels, axes = sample_shape[0], len(sizes)
        _check_divides(groups, channels, f"{channels} channels")
        kernel = for_each_axis("kernel_size", kernel_size, axes)
        dilations = for_each_axis("dilation", dilation, axes)
        before, after = _padding(padding, kernel, dilations)
        strides = for_each_axis("stride", stride, axes)
        windows = place_windows(sizes, kernel, strides, dilations, before, after)
        return windows, (out_channels, channels // groups, *kernel)

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        windows, shape = place(input_shape)
        params = weight_and_bias(rng, shape, out_channels, bias, weight_init, bias_init, dtype)
        return (out_channels, *windows.outputs), params

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_array(x)
        windows, shape = place(x.shape[1:])
        weight = _check_weight(params, shape, x, axis=1)
        x = batch_last(x)
        y = convolve(x, weight, windows)
        if bias:
            add_bias(y, check_param(params, "bias", (out_channels,), x.dtype))
        y = batch_first(y)

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, y_shape, dtype)
            dy = contiguous(batch_last(dy))
            dparams: Tree = None
            if wrt != "x":
                dparams = {"weight": cotangent_of_weight(dy, x, shape, windows)}
                if bias:
                    dparams["bias"] = cotangent_of_bias(dy)
            if wrt == "params":
                return dparams, None
            return dparams, batch_first(cotangent_of_x(dy, weight, windows, groups))

        y_shape, dtype = y.shape, y.dtype  # and y itself need not be kept
        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


@constructor(per_sample="always", spatial=True)
def ConvTranspose(
    out_channels: int,
    kernel_size: Sizes,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    weight_init: Initializer = initializers.glorot_uniform(),
    bias_init: Initializer = initializers.zeros(),
) -> Layer:
    """The transpose of `Conv`: what its vjp does to dy, plus b, as `torch.nn.ConvTranspose2d`.

    x: `(N, in_channels, *sizes)`; y: `(N, out_channels, *outputs)`, each output
    stride (size - 1) + dilation (kernel_size - 1) + 1 - 2 padding + output_padding, so that a
    `Conv` of the same arguments gives x's sizes again. output_padding: less than the stride or the
    dilation. params: `weight` `(in_channels, out_channels / groups, *kernel_size)`, and `bias`.
    Raises `ValueError` if the groups do not divide the channels, or an output would be empty;
    `TypeError` if x has another dtype than the weight. Zeiler et al. 2010.

    >>> fn.ConvTranspose(8, 2, stride=2).init(fn.random.key(0), (16, 7, 7))[0]
    (8, 14, 14)
    """
    out_channels = check_count("ConvTranspose: out_channels", out_channels)
    groups = check_count("ConvTranspose: groups", groups)
    kernel_size = check_sizes("ConvTranspose", "kernel_size", kernel_size)
    stride = check_sizes("ConvTranspose", "stride", stride)
    padding = check_sizes("ConvTranspose", "padding", padding, least=0)
    output_padding = check_sizes("ConvTranspose", "output_padding", output_padding, least=0)
    dilation = check_sizes("ConvTranspose", "dilation", dilation)
    check_flag("ConvTranspose: bias", bias)
    _check_divides(groups, out_channels, f"ConvTranspose: {out_channels} out_channels")
    check_initializer("weight_init", weight_init)
    check_initializer("bias_init", bias_init)

    @functools.lru_cache(maxsize=16)
    def place(sample_shape: Shape) -> tuple[Windows, Shape]:
        """The windows on y that the elements of x stand for, and the shape of the weight."""
        sizes = spatial_sizes(sample_shape)
        channels, axes = sample_shape[0], len(sizes)
        _check_divides(groups, channels, f"{channels} channels")
        kernel = for_each_axis("kernel_size", kernel_size, axes)
        strides = for_each_axis("stride", stride, axes)
        dilations = for_each_axis("dilation", dilation, axes)
        around = for_each_axis("padding", padding, axes)
        extra = for_each_axis("output_padding", output_padding, axes)
        if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
            raise ValueError(f"output_padding {extra} must be less than the stride or dilation")
        windows = Windows(kernel, strides, dilations, around, around, (), (), sizes)
        outputs = tuple(
            (size - 1) * s + span - 2 * p + e
            for size, s, span, p, e in zip(
                sizes, strides, windows.spans, around, extra, strict=True
            )
        )
        if min(outputs) < 1:
            raise ValueError(f"an image of {sizes} becomes one of {outputs}: too much padding")
        padded = tuple(size + 2 * p for size, p in zip(outputs, around, strict=True))
        shape = channels, out_channels // groups, *kernel
        return windows._replace(inputs=outputs, padded=padded), shape

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        windows, shape = place(input_shape)
        params = weight_and_bias(rng, shape, out_channels, bias, weight_init, bias_init, dtype)
        return (out_channels, *windows.inputs), params

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_array(x)
        windows, shape = place(x.shape[1:])
        weight = _check_weight(params, shape, x, axis=0)
        x = contiguous(batch_last(x))
        y = cotangent_of_x(x, weight, windows, groups)
        if bias:
            add_bias(y, check_param(params, "bias", (out_channels,), x.dtype))
        y = batch_first(y)
        y_shape, dtype = y.shape, y.dtype

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, y_shape, dtype)
            dy = batch_last(dy)
            # y is what convolving the gradient of x would be, so their roles are exchanged.
            dparams: Tree = None
            if wrt != "x":
                dparams = {"weight": cotangent_of_weight(x, dy, shape, windows)}
                if bias:
                    dparams["bias"] = cotangent_of_bias(dy)
            if wrt == "params":
                return dparams, None
            return dparams, batch_first(convolve(dy, weight, windows))

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


def _check_padding(padding: Any, stride: Sizes) -> Sizes | str:
    if not isinstance(padding, str):
        return check_sizes("Conv", "padding", padding, least=0)
    if padding not in ("same", "valid"):
        raise ValueError(f"Conv: padding is a number, 'same' or 'valid', got {shown(padding)}")
    if padding == "same" and any(s != 1 for s in np.atleast_1d(stride)):
        raise ValueError(f"Conv: padding='same' needs stride 1, got {stride}")
    return padding


def _padding(padding: Sizes | str, kernel: Shape, dilation: Shape) -> tuple[Shape, Shape]:
    """The padding before and after the image, on every axis."""
    if padding == "valid":
        padding = 0
    if isinstance(padding, str):  # "same"; of an odd number, the larger half comes after, as torch
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    around = for_each_axis("padding", padding, len(kernel))
    return around, around


def _check_divides(groups: int, channels: int, name: str) -> None:
    if channels % groups:
        raise ValueError(f"{name} cannot be divided in {groups} groups")


def _check_weight(params: Tree, shape: Shape, x: Array, axis: int) -> Array:
    """The weight, of the shape that x needs, which has x's channels (or a group's) on this axis.

    Raises `ValueError` for another shape, `TypeError` for another dtype than x's.
    """
    weight = param_of(params, "weight")
    if weight.ndim != x.ndim:
        expected = f"for a weight of shape {weight.shape} expected images (N, C, ...)"
        batch = "; the shape for init has no batch axis" if weight.ndim == x.ndim + 1 else ""
        raise ValueError(f"{expected} of {weight.ndim} axes, got x of shape {x.shape}{batch}")
    if weight.shape != shape:
        others = (*shape[:axis], weight.shape[axis], *shape[axis + 1 :])
        if weight.shape == others:
            channels = x.shape[1] // shape[axis] * weight.shape[axis]
            raise ValueError(f"expected images of {channels} channels, got x of shape {x.shape}")
    return check_param(params, "weight", shape, x.dtype)
