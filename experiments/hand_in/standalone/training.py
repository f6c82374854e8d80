"""What a network is trained with, as words of the modules `network` and `augmentations`.

Each function raises `InputError` for a setting that there are no words for.
"""

from collections.abc import Mapping

from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.augmentations import augmentation_numbers
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.settings import as_option, dashed

_CHANGES = ("flip", "shift", "affine", "erase")
"""The functions of `augmentations` that are named as those of the setting."""
_UNKNOWN = ("average", "class_weights", "drop_last", "patience")
"""Settings that `train` has none of."""


def loss_of(config: RunConfig) -> str:
    """The call of the loss that these settings minimize."""
    if config.binary:
        function = _known("loss", config.loss, {"cross-entropy": "binary_cross_entropy"})
        return f"{function}(outputs, labels)"
    losses = {"cross-entropy": "softmax_cross_entropy", "squared-error": "half_squared_error"}
    function = _known("loss", config.loss, losses)
    smoothing = f", smoothing={config.label_smoothing}" if config.label_smoothing else ""
    return f"{function}(outputs, labels{smoothing})"


def choices_of(config: RunConfig) -> tuple[str, str, str]:
    """The functions that update, give the learning rate, and tell the class."""
    optimizers = {"sgd": "sgd", "classical-momentum": "classical_momentum", "adam": "adam"}
    if config.optimizer == "adam" and config.weight_decay:
        raise InputError(
            f"--weight-decay {config.weight_decay:g} --optimizer adam: network.py has no words for "
            "it, only without weight decay"
        )
    if config.weight_decay:
        _known("decayed", config.decayed, {"all": ""})
    for name in _UNKNOWN:
        if (value := getattr(config, name)) != SETTINGS[name].default:
            raise InputError(f"--{dashed(name)} {as_option(value)}: network.py has no words for it")
    return (
        _known("optimizer", config.optimizer, optimizers),
        _known("schedule", config.schedule, {"constant": "steady", "cosine": "cosine"}),
        "likelier" if config.binary else "highest",
    )


def augmentations_of(config: RunConfig) -> list[str]:
    """The calls that change stored images x, one after the other; none: they stay as they are."""
    calls = []
    for name, numbers in augmentation_numbers(config.augment):
        if name not in _CHANGES:
            raise InputError(
                f"--augment {config.augment}: network.py has no words for {name}, only for "
                f"{', '.join(_CHANGES)}"
            )
        arguments = "".join(f", {key}={value}" for key, value in numbers.items())
        calls.append(f"{name}(x, rng{arguments})")
    return calls


def _known(setting: str, value: str, known: Mapping[str, str]) -> str:
    if value not in known:
        raise InputError(
            f"--{setting} {value}: network.py has no words for it, only for {', '.join(known)}"
        )
    return known[value]
