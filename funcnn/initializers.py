"""Initial values of weights and biases.

An initializer is any function `(rng, shape, dtype) -> array`. One that takes the keyword `fans`
also gets the layer's (fan_in, fan_out): how many inputs each output sums, and the reverse. That
is how the ones here scale a weight, and torch's default its bias, whatever a layer's layout.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from funcnn import random
from funcnn._arguments import check_number, shown
from funcnn._signatures import accepts
from funcnn.random import Key
from funcnn.spec import describable, is_constructor
from funcnn.threads import single_threaded_blas
from funcnn.types import Array, Shape, Tree

Fans = tuple[int, int]
Initializer = Callable[..., Array]


def check_initializer(argument: str, initializer: Initializer) -> None:
    """Raise `TypeError`, naming the argument, for what is no initializer, or was not called."""
    if is_constructor(initializer):
        name = initializer.__name__
        raise TypeError(f"{argument}: call the initializer's constructor, {name}(...)")
    if not callable(initializer):
        raise TypeError(f"{argument} is a function (rng, shape, dtype), got {shown(initializer)}")


def initialize(
    initializer: Initializer, rng: Key, shape: Shape, dtype: DTypeLike, fans: Fans
) -> Array:
    """The array of an initializer, the user's own included.

    Raises `ValueError` if it has another shape than `shape`.
    """
    if rng == random.SHAPES_ONLY:
        return fill(0, rng, shape, dtype)
    keywords: dict[str, Any] = {"fans": fans} if accepts(initializer, "fans") else {}
    values = initializer(rng, shape, dtype, **keywords)
    if np.shape(values) != shape:
        raise ValueError(f"the initializer returned shape {np.shape(values)} instead of {shape}")
    return np.asarray(values, dtype)


def weight_and_bias(
    rng: Key,
    shape: Shape,
    out_features: int,
    bias: bool,
    weight_init: Initializer,
    bias_init: Initializer,
    dtype: DTypeLike,
) -> Tree:
    """`weight` of this shape, dense `(in, out)` or of images, and `bias` `(out_features,)`."""
    weight_rng, bias_rng = random.split(rng)
    field = math.prod(shape[2:])
    # Of images torch's, for a transposed convolution too.
    fans = shape if len(shape) == 2 else (shape[1] * field, shape[0] * field)
    params = {"weight": initialize(weight_init, weight_rng, shape, dtype, fans)}
    if bias:
        params["bias"] = initialize(bias_init, bias_rng, (out_features,), dtype, fans)
    return params


def fill(value: float, rng: Key, shape: Shape, dtype: DTypeLike) -> Array:
    """`value` everywhere; for the key `SHAPES_ONLY` without memory, and read-only."""
    if rng == random.SHAPES_ONLY:
        return np.broadcast_to(np.zeros((), dtype), shape)
    return np.full(shape, value, dtype)


def _fans(shape: Shape, fans: Fans | None) -> Fans:
    if fans is not None:
        return fans
    if len(shape) != 2:
        raise ValueError(f"fans=(fan_in, fan_out) must be given for a weight of shape {shape}")
    return shape[0], shape[1]  # a dense weight is (in, out)


def _by_variance(
    variance: Callable[[int, int], float],
    draw: Callable[[Key, Shape, DTypeLike, float], Array],
) -> Initializer:
    """The initializer whose values have mean 0 and variance `variance(fan_in, fan_out)`."""

    def initializer(
        rng: Key, shape: Shape, dtype: DTypeLike = np.float32, *, fans: Fans | None = None
    ) -> Array:
        return draw(rng, shape, dtype, math.sqrt(variance(*_fans(shape, fans))))

    return initializer


def _draw_normal(rng: Key, shape: Shape, dtype: DTypeLike, stddev: float) -> Array:
    return random.normal(rng, shape, dtype) * stddev


def _draw_uniform(rng: Key, shape: Shape, dtype: DTypeLike, stddev: float) -> Array:
    bound = math.sqrt(3) * stddev  # U(-b, b) has variance b^2 / 3
    return random.uniform(rng, shape, dtype, -bound, bound)


@describable
def glorot_normal() -> Initializer:
    """N(0, 2 / (fan_in + fan_out)). Glorot and Bengio 2010; `torch.nn.init.xavier_normal_`.

    >>> layer = fn.Dense(256, weight_init=fn.initializers.glorot_normal())
    >>> _, params = layer.init(fn.random.key(0), (128,))
    >>> round(float(params["weight"].std()), 2)
    0.07
    """
    return _by_variance(lambda fan_in, fan_out: 2 / (fan_in + fan_out), _draw_normal)


@describable
def glorot_uniform() -> Initializer:
    """U(-b, b), b^2 = 6 / (fan_in + fan_out). As `torch.nn.init.xavier_uniform_`.

    >>> layer = fn.Dense(256, weight_init=fn.initializers.glorot_uniform())
    >>> _, params = layer.init(fn.random.key(0), (128,))
    >>> round(float(params["weight"].std()), 2)
    0.07
    """
    return _by_variance(lambda fan_in, fan_out: 2 / (fan_in + fan_out), _draw_uniform)


@describable
def he_normal() -> Initializer:
    """N(0, 2 / fan_in), for ReLU. He et al. 2015; `torch.nn.init.kaiming_normal_`.

    >>> layer = fn.Dense(256, weight_init=fn.initializers.he_normal())
    >>> _, params = layer.init(fn.random.key(0), (128,))
    >>> round(float(params["weight"].std()), 2)
    0.13
    """
    return _by_variance(lambda fan_in, fan_out: 2 / fan_in, _draw_normal)


@describable
def he_uniform() -> Initializer:
    """U(-b, b), b^2 = 6 / fan_in, for ReLU. As `torch.nn.init.kaiming_uniform_`.

    >>> layer = fn.Dense(256, weight_init=fn.initializers.he_uniform())
    >>> _, params = layer.init(fn.random.key(0), (128,))
    >>> round(float(params["weight"].std()), 2)
    0.13
    """
    return _by_variance(lambda fan_in, fan_out: 2 / fan_in, _draw_uniform)


@describable
def lecun_normal() -> Initializer:
    """N(0, 1 / fan_in). LeCun et al. 1998, equation 16.

    >>> layer = fn.Dense(256, weight_init=fn.initializers.lecun_normal())
    >>> _, params = layer.init(fn.random.key(0), (128,))
    >>> round(float(params["weight"].std()), 2)
    0.09
    """
    return _by_variance(lambda fan_in, fan_out: 1 / fan_in, _draw_normal)


@describable
def lecun_uniform() -> Initializer:
    """U(-b, b), b^2 = 3 / fan_in. LeCun et al. 1998, equation 16.

    >>> layer = fn.Dense(256, weight_init=fn.initializers.lecun_uniform())
    >>> _, params = layer.init(fn.random.key(0), (128,))
    >>> round(float(params["weight"].std()), 2)
    0.09
    """
    return _by_variance(lambda fan_in, fan_out: 1 / fan_in, _draw_uniform)


@describable
def torch_default() -> Initializer:
    """U(-b, b), b^2 = 1 / fan_in: how torch begins both weight and bias of its `Linear`.

    >>> layer = fn.Dense(256, weight_init=fn.initializers.torch_default())
    >>> _, params = layer.init(fn.random.key(0), (128,))
    >>> round(float(params["weight"].std()), 2)
    0.05
    """
    return _by_variance(lambda fan_in, fan_out: 1 / (3 * fan_in), _draw_uniform)


@describable
def normal(stddev: float = 0.01) -> Initializer:
    """N(0, stddev^2), as `torch.nn.init.normal_`. Raises `ValueError` unless stddev >= 0.

    >>> layer = fn.Dense(256, weight_init=fn.initializers.normal(0.1))
    >>> _, params = layer.init(fn.random.key(0), (128,))
    >>> round(float(params["weight"].std()), 2)
    0.1
    """
    stddev = check_number("stddev", stddev, least=0)
    return lambda rng, shape, dtype=np.float32: random.normal(rng, shape, dtype) * stddev


@describable
def uniform(bound: float = 0.01) -> Initializer:
    """U(-bound, bound), as `torch.nn.init.uniform_`. Raises `ValueError` unless bound >= 0.

    >>> layer = fn.Dense(256, weight_init=fn.initializers.uniform(0.1))
    >>> _, params = layer.init(fn.random.key(0), (128,))
    >>> round(float(params["weight"].std()), 2)
    0.06
    """
    bound = check_number("bound", bound, least=0)
    return lambda rng, shape, dtype=np.float32: random.uniform(rng, shape, dtype, -bound, bound)


@describable
def zeros() -> Initializer:
    """0 everywhere. As `torch.nn.init.zeros_`.

    >>> fn.Dense(2, weight_init=fn.initializers.zeros()).init(fn.random.key(0), (2,))[1]["weight"]
    array([[0., 0.],
           [0., 0.]], dtype=float32)
    """
    return lambda rng, shape, dtype=np.float32: np.zeros(shape, dtype)


@describable
def constant(value: float) -> Initializer:
    """`value` everywhere. As `torch.nn.init.constant_`. Raises `ValueError` unless it is finite.

    >>> fn.Dense(2, bias_init=fn.initializers.constant(0.1)).init(fn.random.key(0), (2,))[1]["bias"]
    array([0.1, 0.1], dtype=float32)
    """
    value = check_number("value", value)
    return lambda rng, shape, dtype=np.float32: np.full(shape, value, dtype)


@describable
def truncated_normal(stddev: float = 0.01) -> Initializer:
    """N(0, stddev^2) without what is beyond two stddev, as `jax.nn.initializers.truncated_normal`.

    What is left has the standard deviation 0.88 stddev. Raises `ValueError` unless stddev >= 0.

    >>> layer = fn.Dense(256, weight_init=fn.initializers.truncated_normal(0.1))
    >>> _, params = layer.init(fn.random.key(0), (128,))
    >>> round(float(params["weight"].std()), 2)
    0.09
    """
    stddev = check_number("stddev", stddev, least=0)

    def initializer(rng: Key, shape: Shape, dtype: DTypeLike = np.float32) -> Array:
        generator = random.generator(rng)
        values = generator.standard_normal(shape)
        while (outside := np.abs(values) > 2).any():  # 1 in 22 is drawn again
            values[outside] = generator.standard_normal(np.count_nonzero(outside))
        return values.astype(dtype) * stddev

    return initializer


@describable
def orthogonal(gain: float = 1.0) -> Initializer:
    """A random matrix with orthonormal rows or columns, whichever are fewer, times `gain`.

    More than two axes count as a matrix `(shape[0], product of the rest)`, as in
    `torch.nn.init.orthogonal_`. Raises `ValueError` for fewer, and unless gain >= 0.
    Saxe et al. 2014.

    >>> layer = fn.Dense(4, weight_init=fn.initializers.orthogonal())
    >>> weight = layer.init(fn.random.key(0), (4,))[1]["weight"]
    >>> np.allclose(weight.T @ weight, np.eye(4), atol=1e-6)
    True
    """
    gain = check_number("gain", gain, least=0)

    def initializer(rng: Key, shape: Shape, dtype: DTypeLike = np.float32) -> Array:
        if len(shape) < 2:
            raise ValueError(f"orthogonal needs a shape of two axes or more, got {shape}")
        few, many = sorted((shape[0], math.prod(shape[1:])))
        with single_threaded_blas():  # the same bits for any number of threads
            columns, r = np.linalg.qr(random.normal(rng, (many, few), np.float64))
        columns *= np.where(np.diagonal(r) < 0, -1, 1)  # or not every rotation is equally likely
        matrix = columns if shape[0] == many else columns.T  # (shape[0], ...)
        return matrix.reshape(shape).astype(dtype) * gain

    return initializer
