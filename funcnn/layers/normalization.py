"""Layers that normalise: subtract a mean, divide by a standard deviation, learn another of each.

They differ in what the mean is taken over: the last axes of a sample (`LayerNorm`), or a group of
its channels (`GroupNorm`); over the whole batch it is taken in `batch_norm`. x may lie in
memory in any order, and y lies in the same.
"""

import numpy as np
from numpy.typing import DTypeLike

from funcnn._arguments import check_cotangent, check_number, check_param
from funcnn._memory import empty_like
from funcnn.activations import check_float
from funcnn.initializers import fill
from funcnn.ops.moments import normalize, sum_over
from funcnn.random import Key
from funcnn.spec import check_shape, constructor
from funcnn.types import Array, Layer, Shape, Tree, Vjp, Wrt

# --- what the layers share -------------------------------------------------------------------


def count_channels(input_shape: Shape) -> int:
    """The channels of a sample `(C, ...)`. Raises `ValueError` if it has no axis."""
    if not input_shape:
        raise ValueError("the input needs an axis of channels, got a sample of shape ()")
    return int(input_shape[0])


def _beside(x: Array, params: Tree, name: str) -> Array:
    """The param of one number a channel, `(C,)`, as `(1, C, 1, ...)` to stand beside x."""
    channels = x.shape[1]
    param = check_param(params, name, (channels,), x.dtype)
    return param.reshape(1, channels, *(1,) * (x.ndim - 2))


# --- over a sample's own axes ----------------------------------------------------------------


@constructor(per_sample="always")
def LayerNorm(
    normalized_dims: int = 1,
    eps: float = 1e-5,
    elementwise_affine: bool = True,
    bias: bool = True,
) -> Layer:
    """y = w (x - mean) / sqrt(variance + eps) + b, of each sample's last axes.

    As `torch.nn.LayerNorm(normalized_shape)` with the shape of the last `normalized_dims` axes,
    at least 1. Ba et al. 2016. x, y: `(N, ..., *normalized_shape)`.
    params, of that shape: `weight` and `bias`, neither if not `elementwise_affine`.
    Raises `ValueError` if x has too few axes, or others than the weight; `TypeError` if it has
    another dtype.

    >>> _, params = fn.LayerNorm().init(fn.random.key(0), (4,), dtype=np.float64)
    >>> fn.LayerNorm().apply(params, np.array([[1.0, 2.0, 3.0, 4.0]]))[0].round(3)
    array([[-1.342, -0.447,  0.447,  1.342]])
    """
    (normalized_dims,) = check_shape("LayerNorm", (normalized_dims,))
    eps = check_number("eps", eps, least=0)
    first_values = {"weight": 1.0} | ({"bias": 0.0} if bias else {})
    if not elementwise_affine:
        first_values = {}

    def normalized_shape(input_shape: Shape) -> Shape:
        if len(input_shape) < normalized_dims:
            raise ValueError(f"a sample of shape {input_shape} has no {normalized_dims} last axes")
        return input_shape[len(input_shape) - normalized_dims :]

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        shape = normalized_shape(input_shape)
        params = {name: fill(value, rng, shape, dtype) for name, value in first_values.items()}
        return input_shape, params

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_float("LayerNorm", x)
        shape = normalized_shape(x.shape[1:])
        leading = tuple(range(x.ndim - normalized_dims))
        axes = tuple(range(x.ndim - normalized_dims, x.ndim))
        normal, pull_back = normalize(x, axes, eps)
        y = normal
        if elementwise_affine:
            weight = check_param(params, "weight", shape, x.dtype)
            y = np.multiply(normal, weight, out=empty_like(normal))  # in the memory order of x
            if bias:
                y += check_param(params, "bias", shape, x.dtype)

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, normal.shape, normal.dtype)
            dparams: Tree = {}
            if wrt == "x":
                dparams = None
            elif elementwise_affine:
                dparams = {"weight": sum_over(leading, dy, normal)}
                if bias:
                    dparams["bias"] = sum_over(leading, dy)
            if wrt == "params":
                return dparams, None
            if elementwise_affine:
                dy = np.multiply(dy, weight, out=empty_like(normal))
            return dparams, pull_back(dy)

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


@constructor(per_sample="always")
def GroupNorm(num_groups: int, *, eps: float = 1e-5, affine: bool = True) -> Layer:
    """y = w (x - mean) / sqrt(variance + eps) + b, of each group of channels of each sample.

    As `torch.nn.GroupNorm`, which is told the number of channels too. Wu and He 2018.
    num_groups: equal parts that the channels are cut in, at least 1. x, y: `(N, C, ...)`.
    params: `weight` and `bias` `(C,)`, neither if not `affine`.
    Raises `ValueError` if the channels cannot be cut so, or are others than the weight's;
    `TypeError` if x has another dtype.

    >>> _, params = fn.GroupNorm(1).init(fn.random.key(0), (4,), dtype=np.float64)
    >>> fn.GroupNorm(1).apply(params, np.array([[1.0, 2.0, 3.0, 4.0]]))[0].round(3)
    array([[-1.342, -0.447,  0.447,  1.342]])
    """
    (num_groups,) = check_shape("GroupNorm", (num_groups,))
    eps = check_number("eps", eps, least=0)
    first_values = {"weight": 1.0, "bias": 0.0} if affine else {}

    def check_channels(input_shape: Shape) -> int:
        channels = count_channels(input_shape)
        if channels % num_groups:
            raise ValueError(f"{channels} channels cannot be cut in {num_groups} equal groups")
        return channels

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        shape = (check_channels(input_shape),)
        params = {name: fill(value, rng, shape, dtype) for name, value in first_values.items()}
        return input_shape, params

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_float("GroupNorm", x)
        channels = check_channels(x.shape[1:])
        others = (0, *range(2, x.ndim))
        in_groups = (len(x), num_groups, channels // num_groups, *x.shape[2:])
        axes = tuple(range(2, x.ndim + 1))
        normal, pull_back = normalize(x.reshape(in_groups), axes, eps)
        y = rows = normal.reshape(x.shape)  # (N, G, C/G, ...) to (N, C, ...)
        if affine:
            weight, bias = (_beside(x, params, name) for name in ("weight", "bias"))
            y = rows * weight
            y += bias

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, rows.shape, rows.dtype)
            dparams: Tree = {}
            if wrt == "x":
                dparams = None
            elif affine:
                dparams = {"weight": sum_over(others, dy, rows), "bias": sum_over(others, dy)}
            if wrt == "params":
                return dparams, None
            dnormal = dy * weight if affine else dy
            return dparams, pull_back(dnormal.reshape(in_groups)).reshape(rows.shape)

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)
