"""Layers that normalise: subtract a mean, divide by a standard deviation, learn another of each.

They differ in what the mean is taken over: the last axes of a sample (`LayerNorm`), a group of its
channels (`GroupNorm`), or a channel of the whole batch (`BatchNorm`). x may lie in memory in any
order, and y lies in the same.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from funcnn.activations import check_float
from funcnn.arguments import check_number
from funcnn.moments import mean_over, normalize, normalize_vjp, sum_over
from funcnn.random import Key
from funcnn.spec import check_shape, constructor
from funcnn.threads import run_parallel
from funcnn.types import Array, Layer, Shape, Tree, Vjp, Wrt, check_cotangent, check_param

# The channels of a batch are cut in a few blocks, for as many cores, but not in blocks so small
# (some 100 us of one core) that waking a thread costs what it gains.
BLOCK_ENTRIES = 1 << 17
MAX_BLOCKS = 4


# --- what the layers share -------------------------------------------------------------------


def _count_channels(input_shape: Shape) -> int:
    if not input_shape:
        raise ValueError("the input needs an axis of channels, got a sample of shape ()")
    return int(input_shape[0])


def _beside(x: Array, params: Tree, name: str) -> Array:
    """The param of one number a channel, `(C,)`, as `(1, C, 1, ...)` to stand beside x."""
    channels = x.shape[1]
    param = check_param(name, params[name], (channels,), x.dtype)
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

    def init(
        rng: Key, input_shape: Shape, *, dtype: npt.DTypeLike = np.float32
    ) -> tuple[Shape, Tree]:
        shape = normalized_shape(input_shape)
        params = {name: np.full(shape, value, dtype) for name, value in first_values.items()}
        return input_shape, params

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_float("LayerNorm", x)
        shape = normalized_shape(x.shape[1:])
        leading = tuple(range(x.ndim - normalized_dims))
        axes = tuple(range(x.ndim - normalized_dims, x.ndim))
        normal, _, _, scale = normalize(x, axes, eps)  # scale: (N, ..., 1, ...)
        y = normal
        if elementwise_affine:
            weight = check_param("weight", params["weight"], shape, x.dtype)
            y = np.multiply(normal, weight, out=np.empty_like(normal))  # in the memory order of x
            if bias:
                y += check_param("bias", params["bias"], shape, x.dtype)

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, normal.shape, normal.dtype)
            dparams, dnormal = {}, dy
            if elementwise_affine:
                dparams = {"weight": sum_over(leading, dy, normal)}
                if bias:
                    dparams["bias"] = sum_over(leading, dy)
                dnormal = np.multiply(dy, weight, out=np.empty_like(normal))
            if wrt == "params":
                return dparams, None
            means = mean_over(axes, dnormal), mean_over(axes, dnormal, normal)
            return dparams, normalize_vjp(dnormal, normal, scale, means)

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
    """
    (num_groups,) = check_shape("GroupNorm", (num_groups,))
    eps = check_number("eps", eps, least=0)

    def count_channels(input_shape: Shape) -> int:
        channels = _count_channels(input_shape)
        if channels % num_groups:
            raise ValueError(f"{channels} channels cannot be cut in {num_groups} equal groups")
        return channels

    def init(
        rng: Key, input_shape: Shape, *, dtype: npt.DTypeLike = np.float32
    ) -> tuple[Shape, Tree]:
        channels = count_channels(input_shape)
        if not affine:
            return input_shape, {}
        return input_shape, {"weight": np.ones(channels, dtype), "bias": np.zeros(channels, dtype)}

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_float("GroupNorm", x)
        channels = count_channels(x.shape[1:])
        others = (0, *range(2, x.ndim))
        in_groups = (len(x), num_groups, channels // num_groups, *x.shape[2:])
        axes = tuple(range(2, x.ndim + 1))
        normal, _, _, scale = normalize(x.reshape(in_groups), axes, eps)  # scale: (N, G, 1, ...)
        y = rows = normal.reshape(x.shape)  # (N, G, C/G, ...) to (N, C, ...)
        if affine:
            weight, bias = (_beside(x, params, name) for name in ("weight", "bias"))
            y = rows * weight
            y += bias

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, rows.shape, rows.dtype)
            dparams, dnormal = {}, dy
            if affine:
                dparams = {"weight": sum_over(others, dy, rows), "bias": sum_over(others, dy)}
                dnormal = dy * weight
            if wrt == "params":
                return dparams, None
            dnormal = dnormal.reshape(in_groups)
            means = mean_over(axes, dnormal), mean_over(axes, dnormal, normal)
            return dparams, normalize_vjp(dnormal, normal, scale, means).reshape(rows.shape)

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


# --- over the batch --------------------------------------------------------------------------


@constructor(per_sample="evaluation")
def BatchNorm(*, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> Layer:
    """y = w (x - mean) / sqrt(variance + eps) + b, of each channel, as `torch.nn.BatchNorm2d`.

    In training mean and variance are the batch's, and `vjp.statistics` has the new running ones,
    r = (1 - momentum) r + momentum (the batch's, the variance unbiased); in evaluation they are
    the running ones. Their gradient is zero: the training step writes them after the update.
    momentum: in [0, 1]. x, y: `(N, C)` or `(N, C, ...)`. params, `(C,)` each: `weight` and
    `bias` if `affine`, `running_mean` and `running_var`.
    Raises `ValueError` in training for a single value a channel, and for other channels than the
    params have; `TypeError` if x has another dtype. Ioffe and Szegedy 2015.
    """
    eps = check_number("eps", eps, least=0)
    momentum = check_number("momentum", momentum, least=0, most=1)
    learned = {"weight": 1.0, "bias": 0.0} if affine else {}
    running = {"running_mean": 0.0, "running_var": 1.0}

    def init(
        rng: Key, input_shape: Shape, *, dtype: npt.DTypeLike = np.float32
    ) -> tuple[Shape, Tree]:
        shape = (_count_channels(input_shape),)
        first_values = (learned | running).items()
        return input_shape, {name: np.full(shape, value, dtype) for name, value in first_values}

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_float("BatchNorm", x)
        _count_channels(x.shape[1:])
        old_mean, old_variance = (_beside(x, params, name) for name in running)
        weight, bias = np.ones_like(old_mean), np.zeros_like(old_mean)
        if affine:
            weight, bias = (_beside(x, params, name) for name in learned)
        if train:
            y, pull_back, mean, variance = _by_batch(x, weight, bias, eps)
        else:
            y, pull_back = _by_running(x, weight, bias, old_mean, old_variance, eps)
        shape, dtype = x.shape, x.dtype  # and not x, which nobody may have need of any more

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, shape, dtype)
            dweight, dbias, dx = pull_back(dy, wrt)
            dparams = {name: np.zeros_like(params[name]) for name in running}
            if affine:
                dparams |= {"weight": dweight, "bias": dbias}
            return dparams, dx

        if train:
            vjp.statistics = dict.fromkeys(learned) | {  # type: ignore[attr-defined]
                "running_mean": ((1 - momentum) * old_mean + momentum * mean).ravel(),
                "running_var": ((1 - momentum) * old_variance + momentum * variance).ravel(),
            }
        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


PullBack = Callable[[Array, Wrt], tuple[Array, Array, Array | None]]
"""`pull_back(dy, wrt) -> (dweight, dbias, dx)`: `(C,)`, `(C,)`, and dx or None."""


def _by_batch(
    x: Array, weight: Array, bias: Array, eps: float
) -> tuple[Array, PullBack, Array, Array]:
    """y with the batch's statistics, its vjp, the batch's mean and its unbiased variance."""
    axes = (0, *range(2, x.ndim))
    count = x.size // x.shape[1]
    if count < 2:
        needed = "expected more than 1 value per channel when training"
        raise ValueError(f"{needed}, got x of shape {x.shape}")
    normal, y = np.empty_like(x), np.empty_like(x)

    def forward(block: Any) -> tuple[Array, ...]:
        _, mean, variance, scale = normalize(x[block], axes, eps, out=normal[block])
        part = np.multiply(normal[block], weight[block], out=y[block])
        part += bias[block]
        return mean, variance, scale

    mean, variance, scale = _by_channel(forward, x)  # (1, C, 1, ...) each

    def pull_back(dy: Array, wrt: Wrt) -> tuple[Array, Array, Array | None]:
        factor = scale * weight
        dx = None if wrt == "params" else np.empty_like(normal)

        def backward(block: Any) -> tuple[Array, ...]:
            means = mean_over(axes, dy[block]), mean_over(axes, dy[block], normal[block])
            if dx is not None:
                normalize_vjp(dy[block], normal[block], factor[block], means, out=dx[block])
            return means

        mean_dy, mean_dy_normal = _by_channel(backward, normal)
        return count * mean_dy_normal.ravel(), count * mean_dy.ravel(), dx

    return y, pull_back, mean, variance * (count / (count - 1))


def _by_running(
    x: Array, weight: Array, bias: Array, mean: Array, variance: Array, eps: float
) -> tuple[Array, PullBack]:
    """y with the running statistics, an affine map of each channel, and its vjp."""
    scale = 1 / np.sqrt(variance + eps)
    factor = scale * weight
    y = x * factor
    y += bias - mean * factor

    def pull_back(dy: Array, wrt: Wrt) -> tuple[Array, Array, Array | None]:
        axes = (0, *range(2, x.ndim))
        dweight, dbias = sum_over(axes, dy, x - mean), sum_over(axes, dy)
        return dweight * scale.ravel(), dbias, (None if wrt == "params" else dy * factor)

    return y, pull_back


def _by_channel(function: Callable[[Any], tuple[Array, ...]], x: Array) -> list[Array]:
    """What `function` gives for blocks of the channels of x, put together along that axis."""
    channels = x.shape[1]
    count = max(1, min(channels, x.size // BLOCK_ENTRIES, MAX_BLOCKS))
    cuts = [channels * i // count for i in range(count + 1)]
    blocks = [(slice(None), slice(*cut)) for cut in itertools.pairwise(cuts)]
    parts = run_parallel([functools.partial(function, block) for block in blocks])
    return [np.concatenate(pieces, 1) for pieces in zip(*parts, strict=True)]
