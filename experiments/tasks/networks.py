"""The nine architectures. Begin your own network with a copy of this file: it needs funcnn alone.

    funcnn train --model my_networks.py:cnn3 --set filters=8x16

Each is a function of what the data are, `(input_shape, classes)`, and of settings with their
defaults, and returns a layer. `--set` gives those settings; `funcnn train --arch` names the
function, and has an option for each of them instead (`--channels`: filters).
"""

from collections.abc import Callable

import funcnn as fn
from funcnn.initializers import Initializer
from funcnn.types import Layer, Shape

_inits = fn.initializers

# What can follow a hidden layer, and how the weights of the layer before it begin. He's scale makes
# up for the half of the signal that ReLU and its kin drop, and LeCun's is the one that SELU keeps
# at variance 1. What magnifies its input, or as the identity does not even limit it, begins small.
ACTIVATIONS: dict[str, tuple[Callable[[], Layer], Callable[[], Initializer]]] = {
    "identity": (fn.Identity, _inits.normal),
    "binary-step": (fn.BinaryStep, _inits.glorot_uniform),
    "sigmoid": (fn.Sigmoid, _inits.glorot_uniform),
    "tanh": (fn.Tanh, _inits.glorot_uniform),
    "arctan": (fn.ArcTan, _inits.glorot_uniform),
    "relu": (fn.Relu, _inits.he_normal),
    "prelu": (fn.PRelu, _inits.he_normal),
    "leaky-relu": (fn.LeakyRelu, _inits.he_normal),
    "elu": (fn.Elu, _inits.he_normal),
    "selu": (fn.Selu, _inits.lecun_normal),
    "gelu": (fn.Gelu, _inits.he_normal),
    "softplus": (fn.Softplus, _inits.glorot_uniform),
    "silu": (fn.Silu, _inits.he_normal),
    "hard-tanh": (fn.HardTanh, _inits.glorot_uniform),
    "hard-sigmoid": (fn.HardSigmoid, _inits.glorot_uniform),
    "exp": (fn.Exp, _inits.normal),
}

# How all weights can begin; auto: as suits the architecture, and what follows the layer.
WEIGHT_INITS: dict[str, Callable[[], Initializer] | None] = {
    "auto": None,
    "normal": _inits.normal,
    "glorot-uniform": _inits.glorot_uniform,
    "he-normal": _inits.he_normal,
    "lecun-normal": _inits.lecun_normal,
}


def begin(weights: str, auto: Callable[[], Initializer]) -> Initializer:
    """How weights begin: as chosen by a name of `WEIGHT_INITS`, or as `auto`."""
    return (WEIGHT_INITS[weights] or auto)()


def dense(
    outputs: int, widths: tuple[int, ...], nonlinearity: str, drop: float, weights: str
) -> list[Layer]:
    """Hidden layers of these widths, each with its activation and dropout, and one of outputs."""
    activation, auto = ACTIVATIONS[nonlinearity]
    layers: list[Layer] = []
    for width in widths:
        layers += [fn.Dense(width, weight_init=begin(weights, auto)), activation(), *dropped(drop)]
    return [*layers, fn.Dense(outputs, weight_init=begin(weights, _inits.glorot_uniform))]


def dropped(rate: float) -> list[Layer]:
    """Dropout, if there is any."""
    return [fn.Dropout(rate)] if rate else []


def softmax(
    input_shape: Shape,
    classes: int,
    *,
    widths: tuple[int, ...] = (),
    nonlinearity: str = "relu",
    drop: float = 0.0,
    weights: str = "auto",
) -> Layer:
    """784-10: softmax regression, for the loss has the softmax."""
    return fn.serial(fn.Flatten(), *dense(classes, widths, nonlinearity, drop, weights))


def mlp2(
    input_shape: Shape,
    classes: int,
    *,
    widths: tuple[int, ...] = (128,),
    nonlinearity: str = "relu",
    drop: float = 0.0,
    weights: str = "auto",
) -> Layer:
    """784-128-10."""
    return fn.serial(fn.Flatten(), *dense(classes, widths, nonlinearity, drop, weights))


def mlp3(
    input_shape: Shape,
    classes: int,
    *,
    widths: tuple[int, ...] = (256, 128),
    nonlinearity: str = "relu",
    drop: float = 0.0,
    weights: str = "auto",
) -> Layer:
    """784-256-128-10."""
    return fn.serial(fn.Flatten(), *dense(classes, widths, nonlinearity, drop, weights))


def cnn3(
    input_shape: Shape,
    classes: int,
    *,
    filters: tuple[int, ...] = (16, 32),
    kernel: int = 3,
    widths: tuple[int, ...] = (),
    nonlinearity: str = "relu",
    drop: float = 0.25,
    weights: str = "auto",
) -> Layer:
    """Convolutions that keep the size of the image, each with a max-pool that halves it."""
    activation, auto = ACTIVATIONS[nonlinearity]
    stages: list[Layer] = []
    for channels in filters:
        conv = fn.Conv(channels, kernel, padding="same", weight_init=begin(weights, auto))
        stages += [conv, activation(), fn.MaxPool(2)]
    head = dense(classes, widths, nonlinearity, drop, weights)
    return fn.serial(*stages, fn.Flatten(), *dropped(drop), *head)


def lenet5(
    input_shape: Shape,
    classes: int,
    *,
    filters: tuple[int, ...] = (6, 16),
    kernel: int = 5,
    widths: tuple[int, ...] = (120, 84),
    nonlinearity: str = "relu",
    drop: float = 0.25,
    weights: str = "auto",
) -> Layer:
    """LeNet-5: only its first convolution keeps the size of the image; average pools."""
    activation, auto = ACTIVATIONS[nonlinearity]
    stages: list[Layer] = []
    for index, channels in enumerate(filters):
        padding = 0 if index else "same"
        conv = fn.Conv(channels, kernel, padding=padding, weight_init=begin(weights, auto))
        stages += [conv, activation(), fn.AvgPool(2)]
    return fn.serial(*stages, fn.Flatten(), *dense(classes, widths, nonlinearity, drop, weights))


def resnet(
    input_shape: Shape,
    classes: int,
    *,
    filters: tuple[int, ...] = (16, 32, 64),
    kernel: int = 3,
    widths: tuple[int, ...] = (),
    nonlinearity: str = "relu",
    drop: float = 0.25,
    weights: str = "auto",
) -> Layer:
    """Residual blocks of two convolutions with BatchNorm; each stage but the first halves."""
    activation, auto = ACTIVATIONS[nonlinearity]

    def normed(channels: int, kernel: int = kernel, stride: int = 1) -> list[Layer]:
        start = begin(weights, auto)
        padding = (kernel - 1) // 2
        return [
            fn.Conv(channels, kernel, stride, padding, weight_init=start, bias=False),
            fn.BatchNorm(),
        ]

    first, *others = filters
    stages = [*normed(first), activation(), fn.MaxPool(2)]
    for index, channels in enumerate((first, *others)):
        stride = 2 if index else 1
        branch = [*normed(channels, stride=stride), activation(), *normed(channels)]
        shortcut = fn.serial(*normed(channels, 1, stride)) if index else None
        stages += [fn.residual(fn.serial(*branch), shortcut), activation()]
    head = dense(classes, widths, nonlinearity, drop, weights)
    return fn.serial(*stages, fn.GlobalAvgPool(), *dropped(drop), *head)


def resnet9(
    input_shape: Shape,
    classes: int,
    *,
    filters: tuple[int, ...] = (16, 32, 64, 128),
    kernel: int = 3,
    widths: tuple[int, ...] = (),
    nonlinearity: str = "relu",
    drop: float = 0.0,
    weights: str = "auto",
) -> Layer:
    """Page's ResNet-9: convolutions with BatchNorm, each but the first with a max-pool.

    A residual block of two more follows every second one.
    """
    activation, auto = ACTIVATIONS[nonlinearity]

    def normed(channels: int) -> list[Layer]:
        start = begin(weights, auto)
        conv = fn.Conv(channels, kernel, padding="same", weight_init=start, bias=False)
        return [conv, fn.BatchNorm(), activation()]

    first, *others = filters
    stages = normed(first)
    for index, channels in enumerate(others):
        stages += [*normed(channels), fn.MaxPool(2)]
        if index % 2 == 0:
            stages += [fn.residual(fn.serial(*normed(channels), *normed(channels)))]
    head = dense(classes, widths, nonlinearity, drop, weights)
    return fn.serial(*stages, fn.GlobalMaxPool(), *dropped(drop), *head)


def points(
    input_shape: Shape,
    classes: int,
    *,
    widths: tuple[int, ...] = (4, 4),
    nonlinearity: str = "sigmoid",
    drop: float = 0.0,
    weights: str = "auto",
) -> Layer:
    """2-4-4-1, the network of the points lab: the probability that a point is of class 1."""
    activation, _ = ACTIVATIONS[nonlinearity]
    # So few units need a start far from 0, where sigmoids differ from each other.
    start = begin(weights, _wide)
    hidden = [
        part
        for width in widths
        for part in (fn.Dense(width, weight_init=start), activation(), *dropped(drop))
    ]
    return fn.serial(*hidden, fn.Dense(1, weight_init=start), fn.Sigmoid())


def points_conv(
    input_shape: Shape,
    classes: int,
    *,
    filters: tuple[int, ...] = (4,),
    kernel: int = 2,
    widths: tuple[int, ...] = (4,),
    nonlinearity: str = "sigmoid",
    drop: float = 0.0,
    weights: str = "auto",
) -> Layer:
    """The two coordinates as a sequence of length 2 of one channel, and `points` after it."""
    activation, _ = ACTIVATIONS[nonlinearity]
    start = begin(weights, _wide)
    stages: list[Layer] = []
    for channels in filters:
        # Kernels also stand half outside: one that lay on both alone would have one place, and be
        # a dense layer.
        conv = fn.Conv(channels, kernel, padding=kernel - 1, weight_init=start)
        stages += [conv, activation()]
    head = points(
        input_shape, classes, widths=widths, nonlinearity=nonlinearity, drop=drop, weights=weights
    )
    return fn.serial(fn.Reshape((1, 2)), *stages, fn.Flatten(), head)


def _wide() -> Initializer:
    return _inits.normal(1.0)
