"""Batch normalisation: of each channel, over all the samples and elements of the images.

Images with their batch last in memory are worked on as rows `(P, C, N)`, one for each element of an
image, in blocks of rows beside each other. What is one number a channel is spread to `(C, N)` for
that: so loops run over both at once.
"""

import functools
import math
import operator
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from funcnn._arguments import check_cotangent, check_number, check_param
from funcnn._memory import contiguous, empty_like
from funcnn.activations import check_float
from funcnn.initializers import fill
from funcnn.layers.normalization import count_channels
from funcnn.ops.moments import sum_over
from funcnn.ops.windows import batch_first, batch_last
from funcnn.random import Key
from funcnn.spec import constructor
from funcnn.threads import run_parallel
from funcnn.types import Array, Layer, Shape, Tree, Vjp, VjpWithStatistics, Wrt

T = TypeVar("T")

# The rows are cut in a few blocks, for as many cores, but not in blocks so small (some 100 us of
# one core) that waking a thread costs what it gains.
BLOCK_ENTRIES = 1 << 17
MAX_BLOCKS = 4
_ROWS = 0, 2
"""The axes of rows `(P, C, N)` but for the channels."""


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

    >>> _, params = fn.BatchNorm().init(fn.random.key(0), (2,), dtype=np.float64)
    >>> y, vjp = fn.BatchNorm().apply(params, np.array([[1.0, 5.0], [3.0, 5.0]]), train=True)
    >>> y.round(3), vjp.statistics["running_mean"]
    (array([[-1.,  0.],
           [ 1.,  0.]]), array([0.2, 0.5]))
    """
    eps = check_number("eps", eps, least=0)
    momentum = check_number("momentum", momentum, least=0, most=1)
    learned = {"weight": 1.0, "bias": 0.0} if affine else {}
    running = {"running_mean": 0.0, "running_var": 1.0}
    first_values = learned | running

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        shape = (count_channels(input_shape),)
        params = {name: fill(value, rng, shape, dtype) for name, value in first_values.items()}
        return input_shape, params

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        check_float("BatchNorm", x)
        channels = count_channels(x.shape[1:])
        arrays = {name: check_param(params, name, (channels,), x.dtype) for name in first_values}
        old_mean, old_variance = arrays["running_mean"], arrays["running_var"]
        weight = arrays.get("weight", np.ones_like(old_mean))
        bias = arrays.get("bias", np.zeros_like(old_mean))
        if train:
            y, pull_back, mean, variance = _by_batch(x, weight, bias, eps)
        else:
            y, pull_back = _by_running(x, weight, bias, old_mean, old_variance, eps)
        shape, dtype = x.shape, x.dtype  # and not x, which nobody may have need of any more

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, shape, dtype)
            dweight, dbias, dx = pull_back(dy, wrt)
            if wrt == "x":
                return None, dx
            dparams = {name: np.zeros_like(params[name]) for name in running}
            if affine:
                dparams |= {"weight": dweight, "bias": dbias}
            return dparams, dx

        if wrt is None or not train:
            return y, (None if wrt is None else vjp)
        statistics = dict.fromkeys(learned) | {
            "running_mean": (1 - momentum) * old_mean + momentum * mean,
            "running_var": (1 - momentum) * old_variance + momentum * variance,
        }
        return y, VjpWithStatistics(vjp, statistics)

    return Layer(init, apply)


PullBack = Callable[[Array, Wrt], tuple[Array | None, Array | None, Array | None]]
"""`pull_back(dy, wrt) -> (dweight, dbias, dx)`: `(C,)`, `(C,)` and dx; None: not asked for."""


def _by_batch(
    x: Array, weight: Array, bias: Array, eps: float
) -> tuple[Array, PullBack, Array, Array]:
    """y with the batch's statistics, its vjp, the batch's mean and its unbiased variance."""
    x = _in_order(x)
    count = x.size // x.shape[1]
    if count < 2:
        needed = "expected more than 1 value per channel when training"
        raise ValueError(f"{needed}, got x of shape {x.shape}")
    centred, y = empty_like(x), empty_like(x)
    x_rows, centred_rows, y_rows = map(_as_rows, (x, centred, y))
    samples = x_rows.shape[-1]
    (total,) = _add(_for_blocks(lambda block: (sum_over(_ROWS, x_rows[block]),), x))
    rounded_mean = _for_each(total / count, samples)

    def centre(block: slice) -> tuple[Array, Array]:
        part = np.subtract(x_rows[block], rounded_mean, out=centred_rows[block])
        return sum_over(_ROWS, part), sum_over(_ROWS, part, part)

    # The mean is rounded in proportion to itself. What is left of it is small, and known now.
    rest, square = (total / count for total in _add(_for_blocks(centre, x)))
    variance = np.maximum(square - rest * rest, 0)
    scale = 1 / np.sqrt(variance + eps)
    factor = scale * weight
    factors, shifts = (_for_each(numbers, samples) for numbers in (factor, bias - rest * factor))

    def finish(block: slice) -> None:
        part = np.multiply(centred_rows[block], factors, out=y_rows[block])
        part += shifts

    _for_blocks(finish, x)

    def pull_back(dy: Array, wrt: Wrt) -> tuple[Array | None, Array | None, Array | None]:
        # dx = factor (dy - mean(dy) - normal mean(dy normal)), normal = (centred - rest) scale
        dy_rows = _as_rows(dy)

        def sums(block: slice) -> tuple[Array, Array]:
            part = dy_rows[block]
            return sum_over(_ROWS, part), sum_over(_ROWS, part, centred_rows[block])

        dbias, by_centred = _add(_for_blocks(sums, centred))
        dweight = scale * (by_centred - rest * dbias)
        if wrt == "params":
            return dweight, dbias, None
        dx = empty_like(centred)
        dx_rows = _as_rows(dx)
        of_centred = -factor * scale * dweight / count
        of_one = -factor * dbias / count - of_centred * rest
        slopes, constants = (_for_each(numbers, samples) for numbers in (of_centred, of_one))

        def finish(block: slice) -> None:
            part = np.multiply(centred_rows[block], slopes, out=dx_rows[block])
            part += constants
            part += dy_rows[block] * factors

        _for_blocks(finish, centred)
        return dweight, dbias, dx

    return y, pull_back, total / count + rest, variance * (count / (count - 1))


def _by_running(
    x: Array, weight: Array, bias: Array, mean: Array, variance: Array, eps: float
) -> tuple[Array, PullBack]:
    """y with the running statistics, an affine map of each channel, and its vjp."""
    x = _in_order(x)
    scale = 1 / np.sqrt(variance + eps)
    y = empty_like(x)
    x_rows, y_rows = _as_rows(x), _as_rows(y)
    samples = x_rows.shape[-1]
    factor = _for_each(scale * weight, samples)
    np.multiply(x_rows, factor, out=y_rows)
    y_rows += _for_each(bias - mean * scale * weight, samples)

    def pull_back(dy: Array, wrt: Wrt) -> tuple[Array | None, Array | None, Array | None]:
        dy_rows = _as_rows(dy)
        dweight = dbias = None
        if wrt != "x":
            centred = x_rows - _for_each(mean, samples)
            dweight, dbias = sum_over(_ROWS, dy_rows, centred) * scale, sum_over(_ROWS, dy_rows)
        if wrt == "params":
            return dweight, dbias, None
        dx = empty_like(x)
        np.multiply(dy_rows, factor, out=_as_rows(dx))
        return dweight, dbias, dx

    return y, pull_back


def _in_order(x: Array) -> Array:
    """x in an order in memory of which `_as_rows` is a view: batch last, or first."""
    if x.strides[0] == x.itemsize:
        return batch_first(contiguous(batch_last(x)))
    return contiguous(x)


def _as_rows(x: Array) -> Array:
    """x `(N, C, ...)` as `(P, C, N)`, where P counts the elements of an image.

    If it is no image, but `(N, C)`, as `(N, C, 1)`: so its long sum is over the first axis.
    """
    if x.ndim == 2:
        return x[:, :, None]
    return batch_last(x).reshape(math.prod(x.shape[2:]), x.shape[1], len(x))


def _for_each(numbers: Array, samples: int) -> Array:
    """One number a channel, `(C,)`, for each sample, `(C, N)`: so loops run over both at once."""
    return np.repeat(numbers, samples).reshape(len(numbers), samples)


def _for_blocks(function: Callable[[slice], T], x: Array) -> list[T]:
    """What `function` gives for each of some blocks of the rows of x."""
    rows = len(_as_rows(x))
    count = max(1, min(rows, x.size // BLOCK_ENTRIES, MAX_BLOCKS))
    blocks = [slice(rows * i // count, rows * (i + 1) // count) for i in range(count)]
    return run_parallel([functools.partial(function, block) for block in blocks])


def _add(parts: list[tuple[Array, ...]]) -> list[Array]:
    """The sums of what blocks have in the same place."""
    return [functools.reduce(operator.add, pieces) for pieces in zip(*parts, strict=True)]
