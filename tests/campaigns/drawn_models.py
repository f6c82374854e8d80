"""Models that are drawn: of all constructors, nested, with arguments and shapes that fit."""

from collections.abc import Callable
from typing import Any

import numpy as np

import funcnn as fn
from funcnn import initializers
from funcnn.types import Layer, Shape

Rng = np.random.Generator
Maker = Callable[[Rng, Shape, int], Layer]
"""What draws a layer for an input of this shape, in which models may be nested so deep."""
MOST_NUMBERS = 60
"""Of one sample, in what a drawn layer gives."""


def one_of(rng: Rng, *choices: Any) -> Any:
    """One of them, as it is."""
    return choices[rng.integers(len(choices))]


def some(rng: Rng, least: int, most: int) -> int:
    """A whole number of least .. most."""
    return int(rng.integers(least, most + 1))


def is_several(shape: Shape) -> bool:
    """Whether it is a tuple of shapes."""
    return any(isinstance(entry, tuple) for entry in shape)


def drawn_shape(rng: Rng) -> Shape:
    """That of a sample: points, sequences, images, volumes, or two inputs."""
    kind = rng.integers(8)
    if kind < 2:
        return (some(rng, 1, 6),)
    if kind < 6:
        return (some(rng, 1, 3), some(rng, 3, 5), some(rng, 3, 5))
    if kind == 6:
        return one_of(rng, (2, 7), (4, 5), (1, 2, 3, 3))
    return one_of(rng, ((3,), (3,)), ((2, 3), (2, 1)), ((1, 4, 4), (1, 4, 4)))


def drawn_model(rng: Rng, shape: Shape, depth: int = 2, most: int = 5) -> Layer:
    """Layers one after the other, of which some are models again."""
    parts: list[Layer] = []
    count, here = some(rng, 1, most), shape
    while len(parts) < count:
        more = [*parts, drawn_layer(rng, here, depth)]
        try:
            output_shape, _ = fn.serial(*more).init(fn.random.key(0), shape)
        except ValueError:  # its windows are larger than the image, say
            continue
        if _numbers(output_shape) <= MOST_NUMBERS:
            parts, here = more, output_shape
    return fn.serial(*parts)


def drawn_layer(rng: Rng, shape: Shape, depth: int) -> Layer:
    """Any layer that may take this shape."""
    kinds = [kind for kind, fits in FITS.items() if fits(shape, depth)]
    kinds += ["windows"] * 2 if "windows" in kinds else []  # or they become points at once
    is_own = (
        not is_several(shape) and rng.random() < 0.01
    )  # rare, as neither torch nor a spec has it
    makers = MAKERS["own" if is_own else one_of(rng, *kinds)]
    return makers[one_of(rng, *makers)](rng, shape, depth)


def joined(shape: Shape) -> list[Layer]:
    """What makes `(N, K)` of outputs of this shape."""
    if not is_several(shape):
        return [fn.Flatten()]
    return [fn.parallel(*(fn.serial(*joined(part)) for part in shape)), fn.FanInConcat()]


def _numbers(shape: Shape) -> int:
    return sum(map(_numbers, shape)) if is_several(shape) else int(np.prod(shape))


def _start(rng: Rng) -> Any:
    names = ("glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal")
    name = one_of(rng, *names, "lecun_uniform", "torch_default", "orthogonal")
    return getattr(initializers, name)()


def _sides(rng: Rng, axes: int, least: int, most: int) -> Any:
    """A number for all axes, or one for each."""
    if rng.random() < 0.5:
        return some(rng, least, most)
    return tuple(some(rng, least, most) for _ in range(axes))


def _dense(rng: Rng, shape: Shape, depth: int) -> Layer:
    bias = bool(rng.random() < 0.8)
    start = initializers.normal(0.5) if bias and rng.random() < 0.5 else initializers.zeros()
    return fn.Dense(some(rng, 1, 8), bias, _start(rng), start)


def _conv(rng: Rng, shape: Shape, depth: int) -> Layer:
    axes = len(shape) - 1
    groups = one_of(rng, *(g for g in range(1, shape[0] + 1) if shape[0] % g == 0))
    channels = groups * some(rng, 1, 3)
    kernel, bias = _sides(rng, axes, 1, 3), bool(rng.random() < 0.7)
    if rng.random() < 0.4:
        return fn.Conv(channels, kernel, padding="same", groups=groups, bias=bias)
    stride, padding, dilation = (_sides(rng, axes, *ends) for ends in ((1, 2), (0, 2), (1, 2)))
    return fn.Conv(channels, kernel, stride, padding, dilation, groups, bias, _start(rng))


def _conv_transpose(rng: Rng, shape: Shape, depth: int) -> Layer:
    axes = len(shape) - 1
    groups = one_of(rng, *(g for g in range(1, shape[0] + 1) if shape[0] % g == 0))
    ends = (1, 3), (1, 2), (0, 1), (0, 1), (1, 2)
    kernel, stride, padding, more, dilation = (_sides(rng, axes, *pair) for pair in ends)
    return fn.ConvTranspose(
        groups * some(rng, 1, 2), kernel, stride, padding, more, dilation, groups
    )


def _max_pool(rng: Rng, shape: Shape, depth: int) -> Layer:
    ends = (1, 3), (1, 3), (0, 1), (1, 2)
    return fn.MaxPool(*_windows(rng, shape, ends), ceil_mode=bool(rng.random() < 0.3))


def _avg_pool(rng: Rng, shape: Shape, depth: int) -> Layer:
    windows = _windows(rng, shape, ((1, 3), (1, 3), (0, 1)))
    include, ceil = bool(rng.random() < 0.5), bool(rng.random() < 0.3)
    return fn.AvgPool(*windows, count_include_pad=include, ceil_mode=ceil)


def _windows(rng: Rng, shape: Shape, ends: Any) -> list[Any]:
    return [_sides(rng, len(shape) - 1, *pair) for pair in ends]


def _reshape(rng: Rng, shape: Shape, depth: int) -> Layer:
    size = int(np.prod(shape))
    first = one_of(rng, *(d for d in range(1, size + 1) if size % d == 0))
    second = one_of(rng, *(d for d in range(1, size // first + 1) if size // first % d == 0))
    sizes = (first, second, size // first // second)
    return fn.Reshape(one_of(rng, (size,), (first, size // first), sizes))


def _layer_norm(rng: Rng, shape: Shape, depth: int) -> Layer:
    dims, affine = some(rng, 1, len(shape)), bool(rng.random() < 0.8)
    bias = bool(rng.random() < 0.7)
    return fn.LayerNorm(dims, eps=1e-2, elementwise_affine=affine, bias=bias)


def _group_norm(rng: Rng, shape: Shape, depth: int) -> Layer:
    groups = one_of(rng, *(g for g in range(1, shape[0] + 1) if shape[0] % g == 0))
    return fn.GroupNorm(groups, eps=1e-2, affine=bool(rng.random() < 0.8))


def _axis(rng: Rng, shape: Shape) -> int:
    return int(one_of(rng, *range(1, len(shape) + 1), *range(-len(shape), 0)))


def _residual(rng: Rng, shape: Shape, depth: int) -> Layer:
    branch, output_shape = _branch(rng, shape, depth)
    if output_shape == shape:
        return fn.residual(branch) if rng.random() < 0.5 else fn.residual(branch, fn.Tanh())
    if is_several(shape):
        return fn.residual(fn.parallel(*[fn.Tanh()] * len(shape)))
    if is_several(output_shape):
        one = fn.serial(branch, *joined(output_shape))
        return fn.residual(one, one)
    size = int(np.prod(output_shape))
    return fn.residual(branch, fn.serial(fn.Flatten(), fn.Dense(size), fn.Reshape(output_shape)))


def _branch(rng: Rng, shape: Shape, depth: int) -> tuple[Layer, Shape]:
    model = drawn_model(rng, shape, depth - 1, most=3)
    return model, model.init(fn.random.SHAPES_ONLY, shape)[0]


def _fan_out_and_in(rng: Rng, shape: Shape, depth: int) -> Layer:
    """Branches of one input, whose outputs are put together again."""
    branches = [_branch(rng, shape, depth) for _ in range(some(rng, 1, 3))]
    together, shapes = fn.parallel(*(b for b, _ in branches)), [s for _, s in branches]
    fan_in = [fn.FanInSum()] if len({*shapes}) == 1 else joined(tuple(shapes))
    return fn.serial(fn.FanOut(len(branches)), together, *fan_in)


def _parallel(rng: Rng, shape: Shape, depth: int) -> Layer:
    return fn.parallel(*(drawn_model(rng, part, depth - 1, most=2) for part in shape))


def _shape_dependent(rng: Rng, shape: Shape, depth: int) -> Layer:
    width = some(rng, 1, 4)
    return fn.shape_dependent(lambda shape: fn.Dense(width + len(shape)))


def square(x: Any) -> Any:
    """x^2, a function of a user's own."""
    return x * x, lambda dy: 2 * x * dy


def _plain(name: str) -> Maker:
    return lambda rng, shape, depth: getattr(fn, name)()


def _number(rng: Rng, least: float, most: float) -> float:
    return round(float(rng.uniform(least, most)), 2)


MAKERS: dict[str, dict[str, Maker]] = {
    "dense": {"Dense": _dense},
    "windows": {
        "Conv": _conv,
        "ConvTranspose": _conv_transpose,
        "MaxPool": _max_pool,
        "AvgPool": _avg_pool,
        "SumPool": lambda rng, shape, depth: fn.SumPool(
            *_windows(rng, shape, ((1, 3), (1, 3), (0, 1)))
        ),
        "GlobalAvgPool": _plain("GlobalAvgPool"),
        "GlobalMaxPool": _plain("GlobalMaxPool"),
    },
    "norms": {
        "LayerNorm": _layer_norm,
        "GroupNorm": _group_norm,
        "BatchNorm": lambda rng, shape, depth: fn.BatchNorm(
            eps=0.1, momentum=one_of(rng, 0.1, 0.3, 1), affine=bool(rng.random() < 0.8)
        ),
        "Dropout": lambda rng, shape, depth: fn.Dropout(one_of(rng, 0, 0.1, 0.5)),
        "Dropout by channel": lambda rng, shape, depth: fn.Dropout(0.3, by_channel=len(shape) > 1),
    },
    "activations": {
        **{
            name: _plain(name)
            for name in (
                *("Identity", "BinaryStep", "Sigmoid", "Tanh", "ArcTan", "Relu", "Selu", "Silu"),
                "HardSigmoid",
            )
        },
        "Exp": lambda rng, shape, depth: fn.serial(fn.Tanh(), fn.Exp()),  # or it overflows
        "LeakyRelu": lambda rng, shape, depth: fn.LeakyRelu(_number(rng, -0.5, 0.5)),
        "Elu": lambda rng, shape, depth: fn.Elu(_number(rng, 0.1, 2)),
        "Gelu": lambda rng, shape, depth: fn.Gelu(one_of(rng, "none", "tanh")),
        "Softplus": lambda rng, shape, depth: fn.Softplus(_number(rng, 0.5, 2)),
        "HardTanh": lambda rng, shape, depth: fn.HardTanh(
            _number(rng, -2, 0), _number(rng, 0.1, 2)
        ),
        "PRelu": lambda rng, shape, depth: fn.PRelu(one_of(rng, 1, shape[0]), init=0.3),
        "Softmax": lambda rng, shape, depth: fn.Softmax(_axis(rng, shape)),
        "LogSoftmax": lambda rng, shape, depth: fn.LogSoftmax(_axis(rng, shape)),
    },
    "shapes": {
        "Flatten": _plain("Flatten"),
        "Reshape": _reshape,
    },
    "nested": {
        "serial": lambda rng, shape, depth: drawn_model(rng, shape, depth - 1, most=3),
        "residual": _residual,
        "branches": _fan_out_and_in,
        "FanOut": lambda rng, shape, depth: fn.FanOut(some(rng, 1, 3)),
    },
    "of several": {"parallel": _parallel, "residual": _residual},
    "fan in": {
        "FanInSum": _plain("FanInSum"),
        "FanInConcat": lambda rng, shape, depth: fn.FanInConcat(_axis(rng, shape[0])),
        "joined": lambda rng, shape, depth: fn.serial(*joined(shape)),
    },
    "own": {
        "elementwise": lambda rng, shape, depth: fn.serial(
            fn.Tanh(), fn.elementwise(one_of(rng, square, fn.activations.tanh))
        ),
        "shape_dependent": _shape_dependent,
    },
}
FITS: dict[str, Callable[[Shape, int], bool]] = {
    "dense": lambda shape, depth: not is_several(shape),
    "windows": lambda shape, depth: not is_several(shape) and len(shape) > 1,
    "norms": lambda shape, depth: not is_several(shape),
    "activations": lambda shape, depth: not is_several(shape),
    "shapes": lambda shape, depth: not is_several(shape),
    "nested": lambda shape, depth: not is_several(shape) and depth > 0,
    "of several": lambda shape, depth: is_several(shape) and depth > 0,
    "fan in": lambda shape, depth: is_several(shape),
}
"""Which kinds of layers may take a shape."""
