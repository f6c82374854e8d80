"""Architectures by name, with the settings that each is trained with by default."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from funcnn.experiments.errors import InputError

import funcnn as fn
from funcnn.initializers import Initializer
from funcnn.types import Layer, Loss


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


class Architecture(NamedTuple):
    """A named network: what it is in words, and the defaults of everything one can choose."""

    title: str
    binary: bool
    """One probability as output, trained with binary cross-entropy; otherwise one logit a class."""
    defaults: dict[str, Any]


_CLASSIFIER: dict[str, Any] = {
    "activation": "relu",
    "data": "fashion-mnist",
    "epochs": 40,
    "batch_size": 128,
    "optimizer": "sgd",
    "lr": 0.05,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "schedule": "cosine",
    "label_smoothing": 0.1,
    "dropout": 0.0,
    "seed": 0,
}

ARCHITECTURES = {
    "softmax": Architecture("784-10, softmax regression", False, _CLASSIFIER | {"hidden": ()}),
    "mlp2": Architecture("784-128-10", False, _CLASSIFIER | {"hidden": (128,)}),
    "mlp3": Architecture("784-256-128-10", False, _CLASSIFIER | {"hidden": (256, 128)}),
    "points": Architecture(
        "2-4-4-1, the network of the points lab",
        True,
        _CLASSIFIER
        | {
            "hidden": (4, 4),
            "activation": "sigmoid",
            "data": "points-xor",
            "epochs": 5000,
            "batch_size": None,
            "lr": 0.5,
            "weight_decay": 0.0,
            "label_smoothing": 0.0,
            "schedule": "constant",
        },
    ),
}


def build_model(
    arch: str, *, hidden: tuple[int, ...], activation: str, dropout: float, classes: int
) -> Layer:
    """The network of this name for this many classes; `dropout` follows each hidden layer."""
    binary = ARCHITECTURES[arch].binary
    if binary and classes != 2:
        raise InputError(f"--arch {arch} tells 2 classes apart, but the data has {classes}")
    weight_init = ACTIVATIONS[activation].weight_init()
    if binary:  # so few units need a start far from 0, where sigmoids differ from each other
        weight_init = fn.initializers.normal(1.0)
    layers = [] if binary else [fn.Flatten()]
    for features in hidden:
        layers += [fn.Dense(features, weight_init=weight_init), ACTIVATIONS[activation].layer()]
        if dropout:
            layers.append(fn.Dropout(dropout))
    if binary:
        return fn.serial(*layers, fn.Dense(1, weight_init=weight_init), fn.Sigmoid())
    return fn.serial(*layers, fn.Dense(classes))


def loss_of(arch: str, label_smoothing: float) -> Loss:
    """The loss that the network of this name is trained with."""
    if ARCHITECTURES[arch].binary:
        return fn.binary_cross_entropy
    return partial(fn.softmax_cross_entropy, label_smoothing=label_smoothing)
