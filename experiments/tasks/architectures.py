"""Architectures by name, with the settings that suit each; and the losses."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.tasks import networks
from funcnn.types import Array, Layer, Loss, LossVjp, Shape

KEYWORDS = {
    "channels": "filters",
    "kernel_size": "kernel",
    "hidden": "widths",
    "activation": "nonlinearity",
    "dropout": "drop",
    "weight_init": "weights",
}
"""The settings of a run that are of its network, and what `networks` calls each.

Other names than the options', so that a copy of that file is a model file like any other.
"""

HIGHEST_LR = {"exp": 0.001}
"""Of activations whose networks diverge with the usual rates, however small they begin.

With exp, SGD does so at 0.002, Adam at 0.001, RMSProp at 0.0005. Where others have a rate, theirs
is a tenth of it at most.
"""


class Architecture(NamedTuple):
    """A named network, and the defaults that suit its training."""

    build: Callable[..., Layer]
    """`(input_shape, classes, **keywords) -> model`, see `networks`."""
    training: Mapping[str, Any] = MappingProxyType({})
    """Defaults of the settings that are not as in most, see `RunConfig`."""
    sgd: Mapping[str, float] = MappingProxyType({})
    """What SGD and its kin take instead, where the default optimizer is another."""
    binary: bool = False
    """One probability as output; otherwise one number a class, the highest of the predicted one."""

    @property
    def network(self) -> dict[str, Any]:
        """The defaults of the settings that are of its network; it has no others of `KEYWORDS`."""
        parameters = inspect.signature(self.build).parameters
        return {
            name: parameters[keyword].default
            for name, keyword in KEYWORDS.items()
            if keyword in parameters
        }

    @property
    def defaults(self) -> dict[str, Any]:
        """All that it brings."""
        return {**self.network, **self.training}

    @property
    def convolves(self) -> bool:
        """Whether it has channels and a kernel size to choose."""
        return "channels" in self.network


IMAGE_CLASSIFIER: dict[str, Any] = {
    "epochs": 30,
    "batch_size": 64,
    "optimizer": "adam",
    "lr": 2e-3,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
}
IMAGE_CLASSIFIER_SGD = {"lr": 0.02, "weight_decay": 5e-4}

_RESNET9: dict[str, Any] = {
    "epochs": 15,
    "optimizer": "nesterov",
    "lr": 0.1,
    "decayed": "weights",
    "schedule": "one-cycle",
}

_POINTS: dict[str, Any] = {
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
    "softmax": Architecture(networks.softmax),
    "mlp2": Architecture(networks.mlp2),
    "mlp3": Architecture(networks.mlp3),
    "cnn3": Architecture(networks.cnn3, IMAGE_CLASSIFIER, IMAGE_CLASSIFIER_SGD),
    "lenet5": Architecture(networks.lenet5, IMAGE_CLASSIFIER, IMAGE_CLASSIFIER_SGD),
    "resnet": Architecture(
        networks.resnet, {**IMAGE_CLASSIFIER, "epochs": 15, "batch_size": 128}, IMAGE_CLASSIFIER_SGD
    ),
    "resnet9": Architecture(networks.resnet9, _RESNET9),
    "points": Architecture(networks.points, _POINTS, binary=True),
    "points-conv": Architecture(networks.points_conv, _POINTS, binary=True),
}


def architecture_of(arch: str, *, binary: bool) -> Architecture:
    """The architecture of this name; of a user's own network, one that trains as `cnn3` does.

    On points it trains as `points`.

    binary: whether the data have it give one probability, if it is a user's own.
    """
    if arch in ARCHITECTURES:
        return ARCHITECTURES[arch]
    if binary:
        training = {name: value for name, value in _POINTS.items() if name != "data"}
        return Architecture(_no_other, training, binary=True)
    return Architecture(_no_other, IMAGE_CLASSIFIER, IMAGE_CLASSIFIER_SGD)


def _no_other(input_shape: Shape, classes: int) -> Layer:
    raise AssertionError("a network of the user's own is built by itself")


LOSSES = {"cross-entropy": "nats", "squared-error": "squared error"}
"""What can be minimized, and in what its values are."""


def unit_of(loss: str) -> str:
    """In what the values of a loss are, by its name among the settings of a run."""
    return LOSSES.get(loss, "own loss")


def loss_of(loss: str, *, binary: bool, label_smoothing: float = 0.0) -> Loss:
    """The loss of this name; its targets are the labels. binary: as of `Architecture`."""
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
