"""What a network is trained with, in the words of a report."""

import math

from funcnn.experiments.labs.layers_in_words import activation_in_words
from funcnn.experiments.reports.document import Block, Table, finding
from funcnn.experiments.tasks.augmentations import augmentation_numbers
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.networks import ACTIVATIONS, WEIGHT_INITS
from funcnn.experiments.tasks.task import Task

_OPTIMIZERS = {
    "sgd": "gradient descent",
    "classical-momentum": "gradient descent, the rate inside the velocity",
    "adam": "Adam",
}
_SCHEDULES = {
    "constant": "constant",
    "cosine": "falls to 0 along half a cosine",
    "warmup-cosine": "rises for a twentieth of the steps, then falls to 0 along half a cosine",
    "one-cycle": "rises for three tenths of the steps, then falls",
    "piecewise": "a tenth of it from the half on, a hundredth from three quarters on",
    "exponential": "falls to a tenth, in each step by the same factor",
    "inverse-time": "falls to a tenth, as 1 / (1 + 9 t)",
    "polynomial": "falls to 0 along a line",
}
_AUGMENTATIONS = {
    "shift": "moved by whole pixels, -{most:g} to {most:g} along each axis",
    "flip": "mirrored, {p:.0%} of them",
    "affine": "turned by up to {degrees:g}°, scaled by up to {scale:.0%}, sheared by up to "
    "{shear:g}°, moved by up to {shift:g} pixels",
    "elastic": "deformed by {alpha:g} pixels, smoothed over {sigma:g}",
    "erase": "of {p:.0%} of them a rectangle of {least:.0%} to {most:.0%} of the image filled",
}
_LOSSES = {
    "cross-entropy": "cross-entropy of the softmax",
    "squared-error": "half squared error of the outputs",
}
_FIRST_WEIGHTS = {
    "normal": "N(0, 0.01²)",
    "glorot-uniform": "Glorot's, uniform with the variance 2 / (inputs + outputs)",
    "he-normal": "He's, N(0, 2 / inputs)",
    "lecun-normal": "LeCun's, N(0, 1 / inputs)",
}


def trained_with(task: Task, backend: str) -> list[Block]:
    """A table of a task's settings, for its training in this backend, and how many steps it has."""
    config = task.config
    images = len(task.data.train[0])
    batch = config.batch_size or images
    rows = [
        ("epochs", str(config.epochs)),
        ("images in a batch", str(batch)),
        ("optimizer", _optimizer(config)),
        ("learning rate", f"{config.lr:g}, {_SCHEDULES.get(config.schedule, config.schedule)}"),
        ("loss", _loss(config)),
        ("activation", activation_in_words(config.activation)),
        ("first weights", _first_weights(config, backend)),
        ("dropout", f"{config.dropout:g}" if config.dropout else "none"),
        ("augmentation of the images", _augmentation(config)),
        ("average of the params", _average(config)),
    ]
    steps = math.ceil(images / batch)
    return [
        Table(("setting", "value"), tuple(rows), "What it is trained with."),
        finding(
            f"An epoch is {steps:,} steps, a training {config.epochs * steps:,}: "
            f"{config.epochs * images:,} images go through it."
        ),
    ]


def _optimizer(config: RunConfig) -> str:
    said = _OPTIMIZERS.get(config.optimizer, config.optimizer)
    if config.optimizer == "adam":
        said += f", β1 {config.momentum:g}, β2 0.999"
    elif config.momentum:
        said += f", momentum {config.momentum:g}"
    if not config.weight_decay:
        return said
    spared = "" if config.decayed == "all" else " without biases and norms"
    return f"{said}, weight decay {config.weight_decay:g}{spared}"


def _augmentation(config: RunConfig) -> str:
    said = [
        _AUGMENTATIONS[name].format(**numbers)
        for name, numbers in augmentation_numbers(config.augment)
    ]
    return f"{'; '.join(said)}; anew in every epoch" if said else "none"


def _average(config: RunConfig) -> str:
    return f"over the steps, decay {config.average:g}" if config.average else "none"


def _loss(config: RunConfig) -> str:
    smoothing = f", label smoothing {config.label_smoothing:g}" if config.label_smoothing else ""
    return _LOSSES[config.loss] + smoothing


def _first_weights(config: RunConfig, backend: str) -> str:
    if backend == "torch":
        if config.init == "shared":
            return "drawn as in NumPy; in the runs of the tables the same numbers"
        return "PyTorch's own: weights and biases uniform within ±1 / √inputs"
    if config.weight_init != "auto":
        return f"{_FIRST_WEIGHTS[config.weight_init]}; biases 0"
    _, suits = ACTIVATIONS[config.activation]
    auto = next(name for name, begins in WEIGHT_INITS.items() if begins is suits)
    last = "" if auto == "glorot-uniform" else "; Glorot's in the last layer"
    return f"{_FIRST_WEIGHTS[auto]}{last}; biases 0"
