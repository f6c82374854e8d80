"""Architectures by name, with the settings that suit each."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.initializers import Initializer
from funcnn.types import Array, Layer, Loss, LossVjp


class Activation(NamedTuple):
    """What can follow a hidden layer, and how the weights of the layer before it begin."""

    layer: Callable[[], Layer]
    weight_init: Callable[[], Initializer]
    lr: float | None = None
    """The highest learning rate that suits it, see `default_lr`; None: any."""

    def default_lr(self, usual: float) -> float:
        """The learning rate where others have `usual`; if limited, a tenth of that at most."""
        return usual if self.lr is None else min(self.lr, usual / 10)


# He's scale makes up for the half of the signal that ReLU and its kin drop, and LeCun's is the one
# that SELU keeps at variance 1. What magnifies its input, or as the identity does not even limit
# it, must begin small, and with exp no beginning is small enough for the usual learning rates:
# SGD diverges at 0.002, Adam at 0.001, RMSProp at 0.0005.
_inits = fn.initializers
ACTIVATIONS = {
    "identity": Activation(fn.Identity, _inits.normal),
    "binary-step": Activation(fn.BinaryStep, _inits.glorot_uniform),
    "sigmoid": Activation(fn.Sigmoid, _inits.glorot_uniform),
    "tanh": Activation(fn.Tanh, _inits.glorot_uniform),
    "arctan": Activation(fn.ArcTan, _inits.glorot_uniform),
    "relu": Activation(fn.Relu, _inits.he_normal),
    "prelu": Activation(fn.PRelu, _inits.he_normal),
    "leaky-relu": Activation(fn.LeakyRelu, _inits.he_normal),
    "elu": Activation(fn.Elu, _inits.he_normal),
    "selu": Activation(fn.Selu, _inits.lecun_normal),
    "gelu": Activation(fn.Gelu, _inits.he_normal),
    "softplus": Activation(fn.Softplus, _inits.glorot_uniform),
    "silu": Activation(fn.Silu, _inits.he_normal),
    "hard-tanh": Activation(fn.HardTanh, _inits.glorot_uniform),
    "hard-sigmoid": Activation(fn.HardSigmoid, _inits.glorot_uniform),
    "exp": Activation(fn.Exp, _inits.normal, lr=0.001),
}


WEIGHT_INITS: dict[str, Callable[[], Initializer] | None] = {
    "auto": None,
    "normal": _inits.normal,
    "glorot-uniform": _inits.glorot_uniform,
    "he-normal": _inits.he_normal,
    "lecun-normal": _inits.lecun_normal,
}
"""How all weights can begin; auto: as suits the architecture, and what follows the layer."""


class NetworkShape(NamedTuple):
    """What is chosen about a network, apart from its architecture."""

    channels: tuple[int, ...]
    kernel_size: int | None
    hidden: tuple[int, ...]
    activation: str
    dropout: float
    weight_init: str

    def activate(self) -> Layer:
        """The layer that follows a hidden one."""
        return ACTIVATIONS[self.activation].layer()

    def begin(self, auto: Initializer | None = None) -> Initializer:
        """How weights begin: as chosen; else as `auto`, by default what suits the activation."""
        chosen = WEIGHT_INITS[self.weight_init]
        return chosen() if chosen else auto or ACTIVATIONS[self.activation].weight_init()

    def conv(self, out_channels: int, kernel_size: int | None = None, **arguments: Any) -> Layer:
        """A convolution that begins so; `kernel_size` is the chosen one, unless given."""
        size = kernel_size or self.kernel_size or 1
        return fn.Conv(out_channels, size, weight_init=self.begin(), **arguments)

    def dense(self, outputs: int) -> list[Layer]:
        """The hidden layers, and the one that gives so many outputs."""
        layers = []
        for features in self.hidden:
            layers += [fn.Dense(features, weight_init=self.begin()), self.activate()]
            layers += self.drop()
        return [*layers, fn.Dense(outputs, weight_init=self.begin(_inits.glorot_uniform()))]

    def drop(self) -> list[Layer]:
        """Dropout, if any is chosen."""
        return [fn.Dropout(self.dropout)] if self.dropout else []


def _mlp(shape: NetworkShape, classes: int) -> Layer:
    return fn.serial(fn.Flatten(), *shape.dense(classes))


def _points(shape: NetworkShape, classes: int) -> Layer:
    # So few units need a start far from 0, where sigmoids differ from each other.
    init = shape.begin(_inits.normal(1.0))
    hidden = [
        part
        for features in shape.hidden
        for part in (fn.Dense(features, weight_init=init), shape.activate(), *shape.drop())
    ]
    return fn.serial(*hidden, fn.Dense(1, weight_init=init), fn.Sigmoid())


def _points_conv(shape: NetworkShape, classes: int) -> Layer:
    # The two coordinates as a sequence of length 2 of one channel. Kernels also stand half outside:
    # one that lay on both alone would have one place, and be a dense layer.
    init = shape.begin(_inits.normal(1.0))
    size = shape.kernel_size or 1
    stages = [
        part
        for channels in shape.channels
        for part in (
            fn.Conv(channels, size, padding=size - 1, weight_init=init),
            shape.activate(),
        )
    ]
    return fn.serial(fn.Reshape((1, 2)), *stages, fn.Flatten(), _points(shape, classes))


def _cnn(shape: NetworkShape, classes: int) -> Layer:
    stages = [
        part
        for channels in shape.channels
        for part in (shape.conv(channels, padding="same"), shape.activate(), fn.MaxPool(2))
    ]
    return fn.serial(*stages, fn.Flatten(), *shape.drop(), *shape.dense(classes))


def _lenet(shape: NetworkShape, classes: int) -> Layer:
    first, *others = shape.channels
    stages = [shape.conv(first, padding="same"), shape.activate(), fn.AvgPool(2)]
    for channels in others:
        stages += [shape.conv(channels), shape.activate(), fn.AvgPool(2)]
    return fn.serial(*stages, fn.Flatten(), *shape.dense(classes))


def _resnet(shape: NetworkShape, classes: int) -> Layer:
    def normed(channels: int, kernel_size: int | None = None, stride: int = 1) -> list[Layer]:
        padding = ((kernel_size or shape.kernel_size or 1) - 1) // 2
        conv = shape.conv(channels, kernel_size, stride=stride, padding=padding, bias=False)
        return [conv, fn.BatchNorm()]

    first, *others = shape.channels
    stages = [*normed(first), shape.activate(), fn.MaxPool(2)]
    for index, channels in enumerate((first, *others)):
        stride = 2 if index else 1  # each stage but the first halves the image
        branch = [*normed(channels, stride=stride), shape.activate(), *normed(channels)]
        shortcut = fn.serial(*normed(channels, 1, stride)) if index else None
        stages += [fn.residual(fn.serial(*branch), shortcut), shape.activate()]
    return fn.serial(*stages, fn.GlobalAvgPool(), *shape.drop(), *shape.dense(classes))


class Architecture(NamedTuple):
    """A named network: what it is in words, and the defaults that suit it."""

    title: str
    build: Callable[[NetworkShape, int], Layer]
    """`(shape, classes) -> model`."""
    defaults: Mapping[str, Any] = MappingProxyType({})
    """Of the settings that are not as in most, see `RunConfig`."""
    sgd: Mapping[str, float] = MappingProxyType({})
    """What SGD and its kin take instead, where the default optimizer is another."""
    binary: bool = False
    """One probability as output; otherwise one number a class, the highest of the predicted one."""

    @property
    def convolves(self) -> bool:
        """Whether it has channels and a kernel size to choose."""
        return "channels" in self.defaults


_IMAGE_CLASSIFIER: dict[str, Any] = {
    "kernel_size": 3,
    "epochs": 30,
    "batch_size": 64,
    "optimizer": "adam",
    "lr": 2e-3,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "dropout": 0.25,
}
_IMAGE_CLASSIFIER_SGD = {"lr": 0.02, "weight_decay": 5e-4}

_POINTS: dict[str, Any] = {
    "hidden": (4, 4),
    "activation": "sigmoid",
    "data": "points-xor",
    "val_size": 0,
    "epochs": 5000,
    "batch_size": None,
    "lr": 0.5,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "schedule": "constant",
}

ARCHITECTURES = {
    "softmax": Architecture("784-10, softmax regression", _mlp),
    "mlp2": Architecture("784-128-10", _mlp, {"hidden": (128,)}),
    "mlp3": Architecture("784-256-128-10", _mlp, {"hidden": (256, 128)}),
    "cnn3": Architecture(
        "Conv 16 - MaxPool - Conv 32 - MaxPool - Dense 10",
        _cnn,
        _IMAGE_CLASSIFIER | {"channels": (16, 32)},
        _IMAGE_CLASSIFIER_SGD,
    ),
    "lenet5": Architecture(
        "LeNet-5, Conv 6 - AvgPool - Conv 16 - AvgPool - 120 - 84 - 10",
        _lenet,
        _IMAGE_CLASSIFIER | {"channels": (6, 16), "kernel_size": 5, "hidden": (120, 84)},
        _IMAGE_CLASSIFIER_SGD,
    ),
    "resnet": Architecture(
        "Conv - MaxPool, and residual blocks of two convolutions at three sizes, with BatchNorm",
        _resnet,
        _IMAGE_CLASSIFIER | {"channels": (16, 32, 64), "epochs": 15, "batch_size": 128},
        _IMAGE_CLASSIFIER_SGD,
    ),
    "points": Architecture("2-4-4-1, the network of the points lab", _points, _POINTS, binary=True),
    "points-conv": Architecture(
        "Conv 4 over the two coordinates - 4 - 1",
        _points_conv,
        _POINTS | {"channels": (4,), "kernel_size": 2, "hidden": (4,)},
        binary=True,
    ),
}


def build_model(arch: str, shape: NetworkShape, classes: int) -> Layer:
    """The network of this name for this many classes. Raises `InputError` for too many."""
    architecture = ARCHITECTURES[arch]
    if architecture.binary and classes != 2:
        raise InputError(f"--arch {arch} tells 2 classes apart, but the data has {classes}")
    return architecture.build(shape, classes)


LOSSES = {"cross-entropy": "nats", "squared-error": "squared error"}
"""What can be minimized, and in what its values are."""


def loss_of(arch: str, loss: str, label_smoothing: float = 0.0) -> Loss:
    """The loss of this name for the network of this name; its targets are the labels."""
    binary = ARCHITECTURES[arch].binary
    if loss == "squared-error":
        return fn.mean_squared_error if binary else _half_squared_error
    if binary:
        return fn.binary_cross_entropy
    return partial(fn.softmax_cross_entropy, label_smoothing=label_smoothing)


def _half_squared_error(
    outputs: Array, labels: Array, weights: Array | None = None
) -> tuple[float, LossVjp]:
    """E = 1/2 sum_k (y_k - t_k)^2, t the one-hot row of a label: its mean over the examples.

    outputs: `(N, K)`, any real numbers. labels: integers `(N,)` in 0 .. K-1. weights: as
    `fn.half_squared_error`.
    """
    one_hot = np.zeros_like(outputs)  # (N, K)
    one_hot[np.arange(len(labels)), labels] = 1
    return fn.half_squared_error(outputs, one_hot, weights=weights)
