"""Layers: each a pair of pure functions, the derivative beside the function.

    init(rng, input_shape, *, dtype=float32)              -> (output_shape, params)
    apply(params, x, *, rng=None, train=False, wrt="both") -> (y, vjp)
    vjp(dy)                                                -> (dparams, dx)

Shapes leave out the batch axis; x, y, dx and dy have it, first. `wrt="params"` says that dx will
not be asked for (it is None), `wrt="x"` that dparams will not be (None, or `{}`), `wrt=None` that
no vjp will be (it is None, and nothing is kept). A layer without weights has the params `{}`.
"""

import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from funcnn import activations, initializers, random
from funcnn._arguments import (
    another_dtype,
    by_name,
    check_array,
    check_cotangent,
    check_count,
    check_flag,
    check_number,
    check_param,
    param_of,
    shown,
)
from funcnn._memory import contiguous, empty_like
from funcnn.initializers import Initializer, check_initializer, fill, weight_and_bias
from funcnn.ops.matmul import matmul
from funcnn.ops.windows import batch_first, batch_last
from funcnn.random import Key
from funcnn.spec import check_shape, constructor
from funcnn.types import Array, Layer, Shape, Tree, Vjp, Wrt

# --- layers with weights ---------------------------------------------------------------------


@constructor(per_sample="always")
def Dense(
    out_features: int,
    bias: bool = True,
    weight_init: Initializer = initializers.glorot_uniform(),
    bias_init: Initializer = initializers.zeros(),
) -> Layer:
    """y = x W + b along the last axis, as `torch.nn.Linear` with the weight transposed.

    x: `(N, ..., in)`; y: `(N, ..., out_features)`. params: `weight` `(in, out_features)` and,
    unless `bias=False`, `bias` `(out_features,)`.
    Raises `ValueError` if x has another number of features than the weight, `TypeError` if it has
    another dtype.

    >>> fn.Dense(2).init(fn.random.key(0), (3,))[0]
    (2,)
    >>> params = {"weight": np.eye(2), "bias": np.array([0.0, 1.0])}
    >>> y, vjp = fn.Dense(2).apply(params, np.array([[3.0, 4.0]]))
    >>> y, vjp(y)[1]
    (array([[3., 5.]]), array([[3., 5.]]))
    """
    out_features = check_count("Dense: out_features", out_features)
    if type(bias) is int:  # as torch's Linear(in_features, out_features)
        advice = f"the number of inputs is in init's shape: Dense({bias})"
        raise TypeError(f"Dense: bias is True or False, got {bias}; {advice}")
    check_flag("Dense: bias", bias)
    check_initializer("weight_init", weight_init)
    check_initializer("bias_init", bias_init)

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        if not input_shape:
            raise ValueError("Dense: the input needs an axis of features, got shape ()")
        shape = input_shape[-1], out_features
        params = weight_and_bias(rng, shape, out_features, bias, weight_init, bias_init, dtype)
        return (*input_shape[:-1], out_features), params

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        weight, shift = _weight_and_bias(params, x, out_features, bias)
        rows = x if x.ndim == 2 else x.reshape(-1, len(weight))  # (N*..., in)
        y = matmul(rows, weight)  # (N*..., in) @ (in, out)
        if shift is not None:
            y += shift
        if rows is not x:
            y = y.reshape(*x.shape[:-1], out_features)  # (N, ..., out)
        y_shape = y.shape  # and y itself need not be kept

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, y_shape, x.dtype)
            if rows is not x:
                dy = dy.reshape(-1, out_features)  # (N*..., out)
            dparams: Tree = None
            if wrt != "x":
                dparams = {"weight": matmul(rows.T, dy)}  # (in, N*...) @ (N*..., out)
                if bias:
                    dparams["bias"] = dy.sum(0)  # (out,)
            if wrt == "params":
                return dparams, None
            if rows.flags.c_contiguous:
                return dparams, matmul(dy, weight.T).reshape(x.shape)  # (N*..., out) @ (out, in)
            # Images have their batch last in memory, and dx is wanted as x is.
            return dparams, matmul(weight, dy.T).T.reshape(x.shape)  # (in, out) @ (out, N*...)

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


def _weight_and_bias(
    params: Tree, x: Array, out_features: int, bias: bool
) -> tuple[Array, Array | None]:
    """The weight of a `Dense` and its bias, or None. Raises unless they fit x, and each other."""
    weight = param_of(params, "weight")
    if weight.ndim != 2 or weight.shape[1] != out_features:
        raise ValueError(f"expected a weight (in, {out_features}), got shape {weight.shape}")
    shift = param_of(params, "bias") if bias else None
    if shift is not None and (shift.shape != (out_features,) or shift.dtype != weight.dtype):
        got = f"{shift.dtype} {shift.shape}"
        raise ValueError(f"expected a bias {weight.dtype} ({out_features},), got {got}")
    if type(x) is not np.ndarray:  # asked here, it saves most calls another
        check_array(x)
    in_features = weight.shape[0]
    if x.ndim < 2 or x.shape[-1] != in_features:
        raise ValueError(f"expected inputs (N, ..., {in_features}), got shape {x.shape}")
    if x.dtype != weight.dtype:
        raise another_dtype(x.dtype, weight.dtype)
    return weight, shift


@constructor(per_sample="always")
def PRelu(num_parameters: int = 1, init: float = 0.25) -> Layer:
    """y = x where x > 0, else w x, with a learned slope w, as `torch.nn.PReLU`. He et al. 2015.

    num_parameters: 1, or one for each channel: the size of axis 1 of x. init: the first slope.
    x, y: floats `(N, ...)`, or `(N, C, ...)`. params: `weight` `(num_parameters,)`.
    Raises `ValueError` if x has another number of channels, `TypeError` if it has another dtype.

    >>> fn.PRelu().apply({"weight": np.array([0.25])}, np.array([[-2.0, 0.5]]))[0]
    array([[-0.5,  0.5]])
    """
    (num_parameters,) = check_shape("PRelu", (num_parameters,))
    first_slope = check_number("init", init)

    def check_channels(input_shape: Shape) -> None:
        if num_parameters > 1 and input_shape[:1] != (num_parameters,):
            expected = f"expected {num_parameters} channels, a slope for each"
            raise ValueError(f"{expected}, got a sample of shape {input_shape}")

    def init_slopes(
        rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32
    ) -> tuple[Shape, Tree]:
        check_channels(input_shape)
        return input_shape, {"weight": fill(first_slope, rng, (num_parameters,), dtype)}

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_array(x)
        check_channels(x.shape[1:])
        weight = check_param(params, "weight", (num_parameters,), x.dtype)
        if num_parameters > 1:
            weight = weight.reshape(num_parameters, *(1,) * (x.ndim - 2))  # (C, 1, ...)
        negative = np.minimum(x, 0)
        y = np.where(x > 0, x, weight * negative)

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, x.shape, x.dtype)
            if wrt == "x":
                return None, np.where(x > 0, dy, weight * dy)
            by_slope = dy * negative
            if num_parameters > 1:
                by_slope = np.moveaxis(by_slope, 1, 0)  # (C, N, ...)
            dparams = {"weight": by_slope.reshape(num_parameters, -1).sum(1)}  # (C,)
            return dparams, (None if wrt == "params" else np.where(x > 0, dy, weight * dy))

        return y, (None if wrt is None else vjp)

    return Layer(init_slopes, apply)


# --- layers without weights ------------------------------------------------------------------


@constructor(per_sample="evaluation")
def Dropout(rate: float = 0.5, by_channel: bool = False) -> Layer:
    """In training y = x m / (1 - rate), each m 0 with probability `rate`, else 1; otherwise y = x.

    rate: the fraction dropped, in [0, 1], as the p of `torch.nn.Dropout`.
    by_channel: one m for each channel of each sample, x: `(N, C, ...)`, as `torch.nn.Dropout2d`.
    `apply` needs an `rng` in training, and raises `ValueError` without one, and by channel for
    an x without axes after the channels.
    Srivastava et al., JMLR 2014; by channel Tompson et al., CVPR 2015.

    >>> layer, x = fn.Dropout(0.5), np.ones((1, 4))
    >>> layer.apply({}, x)[0], layer.apply({}, x, rng=fn.random.key(0), train=True)[0]
    (array([[1., 1., 1., 1.]]), array([[2., 2., 0., 0.]]))
    """
    if not isinstance(rate, Real) or not 0 <= rate <= 1:
        raise ValueError(f"Dropout: rate is the fraction dropped, in [0, 1], got {shown(rate)}")

    def check_axes(input_shape: Shape) -> None:
        if by_channel and len(input_shape) < 2:
            needed = "dropout by channel needs axes after the channels"
            raise ValueError(f"{needed}, got a sample of shape {input_shape}")

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        check_axes(input_shape)
        return input_shape, {}

    def apply(
        params: Tree,
        x: Array,
        *rest: Any,
        rng: Key | None = None,
        train: bool = False,
        wrt: Wrt = "both",
        **others: Any,
    ) -> tuple[Array, Vjp | None]:
        if rest or others:
            raise by_name("apply(params, x, ...)", rest, others)
        activations.check_float("Dropout", x)
        check_axes(x.shape[1:])
        if not train or rate == 0:
            return x, (None if wrt is None else lambda dy: ({}, None if wrt == "params" else dy))
        if rng is None:
            needed = "dropout in training needs a key: apply(..., rng=fn.random.key(0))"
            raise ValueError(f"{needed}, or of a step TrainState.create(..., rng=fn.random.key(0))")
        shape = (*x.shape[:2], *(1,) * (x.ndim - 2)) if by_channel else x.shape  # (N, C, 1, ...)
        kept = random.bernoulli(rng, 1 - rate, shape)
        mask = empty_like(x, shape)  # in the memory order of x
        np.multiply(kept, 1 / (1 - rate) if rate < 1 else 0, out=mask, dtype=x.dtype)
        y = x * mask

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, y.shape, mask.dtype)
            return {}, (None if wrt == "params" else dy * mask)

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


# --- layers that only change the shape -------------------------------------------------------


@constructor(per_sample="always")
def Flatten() -> Layer:
    """`(N, ...)` to `(N, product of the rest)`, as `torch.nn.Flatten`.

    >>> fn.Flatten().init(fn.random.key(0), (1, 28, 28))
    ((784,), {})
    """
    return _reshape(lambda input_shape: (math.prod(input_shape),))


@constructor(per_sample="always")
def Reshape(shape: Shape) -> Layer:
    """`(N, ...)` to `(N, *shape)`, in row-major order, as `torch.nn.Unflatten(1, shape)`.

    shape: sizes of at least 1, whose product is that of the input's.
    Raises `ValueError` if it is not.

    >>> fn.Reshape((1, 2, 2)).apply({}, np.array([[1, 2, 3, 4]]))[0]
    array([[[[1, 2],
             [3, 4]]]])
    """
    shape = check_shape("Reshape", shape)

    def output_shape(input_shape: Shape) -> Shape:
        if math.prod(input_shape) != math.prod(shape):
            raise ValueError(f"cannot reshape a sample of shape {input_shape} to {shape}")
        return shape

    return _reshape(output_shape)


def _reshape(output_shape: Any) -> Layer:
    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        return output_shape(input_shape), {}

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_array(x)
        shape = output_shape(x.shape[1:])
        as_images = x.ndim > 2 and x.strides[0] == x.itemsize  # their batch is last in memory
        y = _reshape_samples(x, shape) if as_images else x.reshape(len(x), *shape)
        x_shape, y_shape, dtype = x.shape, y.shape, x.dtype

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, y_shape, dtype)
            if wrt == "params":
                return {}, None
            if not as_images:
                return {}, dy.reshape(x_shape)
            dx = batch_last(_reshape_samples(dy, x_shape[1:]))
            return {}, batch_first(contiguous(dx))

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


def _reshape_samples(x: Array, shape: Shape) -> Array:
    """x `(N, ...)` as `(N, *shape)`, with the batch last in memory."""
    return np.moveaxis(np.moveaxis(x, 0, -1).reshape(*shape, len(x)), -1, 0)
