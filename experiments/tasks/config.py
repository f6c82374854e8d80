"""The settings of a training run: all of them, checked, as one value that JSON can hold."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from funcnn.experiments.data.datasets import DEFAULT_VAL_SIZE, NAMES, POINT_SETS, SPLITS
from funcnn.experiments.errors import InputError, expect_text
from funcnn.experiments.tasks.architectures import (
    ARCHITECTURES,
    HIGHEST_LR,
    LOSSES,
    Architecture,
    architecture_of,
)
from funcnn.experiments.tasks.augmentations import NONE, Augmentations
from funcnn.experiments.tasks.networks import ACTIVATIONS, WEIGHT_INITS
from funcnn.experiments.tasks.optimizers import DECAYED, OPTIMIZERS, SCHEDULES
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.own_settings import OWN, check_own
from funcnn.experiments.tasks.settings import (
    Choice,
    Flag,
    NameOrPath,
    NameOrReference,
    Number,
    Setting,
    Sizes,
    Whole,
    dashed,
    is_reference,
    setting,
    unknown_name,
    written,
)

BACKENDS = ("numpy", "torch")
"""What can train: funcnn, and PyTorch."""
INITS = ("own", "shared")
"""What torch begins with: the usual weights of its modules, or funcnn's for this seed."""
CLASS_WEIGHTS = ("none", "balanced")
"""How much an example counts in the loss: all the same, or all classes together the same."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run's result depends on. Raises `InputError` for a value out of range."""

    arch: str = setting(NameOrReference(ARCHITECTURES), "mlp3", "The network.")
    backend: str = setting(
        Choice(BACKENDS),
        "numpy",
        "What trains: funcnn, or PyTorch with its own initialisation and order.",
    )
    init: str = setting(
        Choice(INITS), "own", "First weights on PyTorch's side: its own, or shared with funcnn's."
    )
    channels: tuple[int, ...] = setting(
        Sizes("16x32"), (), "Channels of the convolutions, as 16x32."
    )
    kernel_size: int | None = setting(Whole(1, bits=31), None, "Side of their kernels.")
    """None, and no channels: the network has no convolutions."""
    hidden: tuple[int, ...] = setting(
        Sizes("256x128"), (), "Sizes of the dense hidden layers, as 256x128, or 0 for none."
    )
    activation: str = setting(Choice(ACTIVATIONS), "relu", "After each hidden layer.")
    weight_init: str = setting(
        Choice(WEIGHT_INITS),
        "auto",
        "How all weights begin (biases: 0); normal is N(0, 0.01^2), auto what suits the "
        "activation.",
    )
    data: str = setting(
        NameOrPath(NAMES),
        "fashion-mnist",
        "A name of funcnn data list, or a path: a folder of four IDX files, of train.csv and "
        "test.csv, or of pictures by class; a .csv, an .npz, a .zip of such a folder.",
    )
    val_size: int = setting(
        Whole(0),
        DEFAULT_VAL_SIZE,
        "Training examples set aside for validation, where the data have no validation set of "
        "their own.",
        defaults=f"{DEFAULT_VAL_SIZE}, or a tenth of few examples; 0 for points",
    )
    split: str = setting(
        Choice(SPLITS),
        "stratified",
        "Which ones those are: of each class its share, by the seed, or the last of the file.",
    )
    epochs: int = setting(Whole(1), 40, "Passes over the training set.")
    batch_size: int | None = setting(
        Whole(1, optional=True),
        128,
        "Examples in a step.",
        defaults="{}; all, where there are fewer",
        none="the whole set",
    )
    optimizer: str = setting(Choice((*OPTIMIZERS, OWN)), "sgd", "How gradients become steps.")
    lr: float = setting(Number(), 0.05, "Highest learning rate.")
    momentum: float = setting(
        Number(below=1),
        0.9,
        "How much of earlier gradients stays in a step, the b1 of adam, adamw and adamax.",
    )
    weight_decay: float = setting(Number(), 5e-4, "Pull of every weight to 0.")
    decayed: str = setting(
        Choice(DECAYED), "all", "What that pulls: all params, or weights but no biases and norms."
    )
    average: float = setting(
        Number(below=1),
        0.0,
        "Measure and keep a running average of the params, of this decay d for each step, in a run "
        "of many times 1 / (1 - d) steps, as 0.999; 0: the params themselves.",
    )
    schedule: str = setting(
        Choice(SCHEDULES),
        "cosine",
        "The learning rate over time: cosine and polynomial (a line) fall to 0, exponential and "
        "inverse-time to a tenth; warmup-cosine first rises for a twentieth, one-cycle for three "
        "tenths; piecewise drops tenfold at 1/2 and 3/4.",
    )
    loss: str = setting(
        Choice((*LOSSES, OWN)),
        "cross-entropy",
        "What is minimized: the cross-entropy of the labels, or half the squared error of outputs "
        "and one-hot labels (for points the squared error).",
    )
    label_smoothing: float = setting(
        Number(below=1),
        0.1,
        "Share of each label spread over all classes.",
        defaults="{}; 0 for squared-error",
    )
    dropout: float = setting(Number(below=1), 0.0, "Rate after each hidden layer.")
    augment: str = setting(
        Augmentations(),
        NONE,
        "What is done to the images of each batch, each drawn anew: some of shift (pixels), flip, "
        "affine (degrees, scale, shear, pixels), elastic (pixels, their smoothness) and erase (of "
        "how many, least and most of their area), as flip+shift=2+affine=10:0.1.",
    )
    seed: int = setting(Whole(0), 0, "Every random choice.")
    class_weights: str = setting(
        Choice(CLASS_WEIGHTS),
        "none",
        "How much an example counts in training: all the same, or balanced, N / (K n) for one of K "
        "classes that n of N examples are of.",
    )
    drop_last: bool = setting(
        Flag(), False, "Leave out an epoch's last batch if it is smaller than the others."
    )
    patience: int | None = setting(
        Whole(1, optional=True),
        None,
        "Stop when so many recorded epochs in turn had no better validation accuracy.",
        none="never",
    )
    test_curve: bool = setting(
        Flag(),
        False,
        "Measure the test set after every epoch too, for the curve; never used to choose.",
    )
    own: OwnModel | None = field(default=None, compare=False, repr=False)
    """The network, if it is the user's own; `arch` is what they call it."""
    own_settings: Mapping[str, Any] = field(default_factory=dict)
    """What that was made with, by the keywords of its function."""

    def __post_init__(self) -> None:
        """Check every value, and that they go together."""
        for name in ("arch", "data"):  # what the architecture depends on
            _check(name, getattr(self, name))
        architecture = self.architecture
        for name in SETTINGS:
            if name != "kernel_size" or architecture.convolves:  # else, see below
                _check(name, getattr(self, name))
        expect_text(self.data, f"--data {self.data}")
        self._check_network()
        if self.augment != NONE and architecture.binary:
            _refuse("augment", self.augment, f"{NONE} for --arch {self.arch}, which is for points")
        if self.label_smoothing and architecture.binary:
            _refuse("label_smoothing", self.label_smoothing, f"0 for --arch {self.arch}")
        if self.label_smoothing and self.loss == "squared-error":
            _refuse("label_smoothing", self.label_smoothing, "0 for --loss squared-error")
        if self.optimizer == "nesterov" and self.momentum == 0:
            _refuse("momentum", self.momentum, "above 0 for --optimizer nesterov")
        if self.optimizer == "adagrad" and self.momentum:
            _refuse("momentum", self.momentum, "0 for --optimizer adagrad, which has none")
        if self.weight_init != "auto" and (self.backend, self.init) == ("torch", "own"):
            raise InputError(
                f"--weight-init {self.weight_init}: needs --init shared for --backend torch, "
                "whose modules else begin with weights of their own"
            )
        usual = {name: each.default for name, each in SETTINGS.items()}
        check_own(self.as_data(), self.own, usual)
        if (self.data in POINT_SETS) != architecture.binary:
            binary = next(name for name, known in ARCHITECTURES.items() if known.binary)
            wanted = f"of images for --arch {self.arch}; points are for --arch {binary}"
            if architecture.binary:
                wanted = f"one of {', '.join(POINT_SETS)} for --arch {self.arch}"
            _refuse("data", self.data, wanted)

    def _check_network(self) -> None:
        """Check what is chosen about the network."""
        convolves = self.architecture.convolves
        if self.own is not None:
            return
        if convolves and not self.channels:
            _refuse("channels", self.channels, "one size at least, as 16x32")
        for name in ("channels", "kernel_size"):
            if getattr(self, name) and not convolves:
                expected = f"left out for --arch {self.arch}, which has no convolutions"
                _refuse(name, getattr(self, name), expected)

    @property
    def architecture(self) -> Architecture:
        """The architecture; of a network of the user's own, one that trains as `cnn3` does."""
        return architecture_of(self.arch, binary=str(self.data) in POINT_SETS)

    @property
    def short_arch(self) -> str:
        """The architecture's name, of one's own without its file, as a folder can be called."""
        return self.arch.rpartition(":")[2]

    @property
    def binary(self) -> bool:
        """Whether the network gives one probability, and not one number a class."""
        return self.architecture.binary

    @classmethod
    def resolve(cls, settings: Mapping[str, Any], own: OwnModel | None = None) -> "RunConfig":
        """The config of these settings, and the architecture's defaults for the others.

        An optimizer brings defaults that suit it, an activation a limit to the learning rate; with
        the squared error there is no label smoothing. own: the network, where `arch` is a user's
        own; its settings may stand beside the others.
        Raises `InputError` for an unknown name or a value out of range.
        """
        settings = dict(settings) if own is None else own.apart(settings)
        unknown = sorted(set(settings) - {*SETTINGS, "own_settings"})
        if unknown:
            names = [*(own.settings if own else ()), *sorted(SETTINGS)]
            raise InputError(unknown_name(unknown[0], names))
        _check("arch", settings.get("arch"))
        if own is None and is_reference(settings["arch"]):
            raise InputError(f"{settings['arch']} is a network of a user's own: give --model")
        binary = str(settings.get("data")) in POINT_SETS
        architecture = architecture_of(settings["arch"], binary=binary)
        defaults = {name: each.default for name, each in SETTINGS.items()}
        defaults |= architecture.defaults
        if own is not None:
            defaults |= {name: OWN for name in ("loss", "optimizer") if own.brings(name)}
        optimizer = settings.get("optimizer", defaults["optimizer"])
        if str(optimizer) in OPTIMIZERS and optimizer != defaults["optimizer"]:
            defaults = defaults | dict(architecture.sgd) | OPTIMIZERS[optimizer].defaults
        activation = settings.get("activation", defaults["activation"])
        if str(activation) in HIGHEST_LR:
            defaults = defaults | {"lr": min(HIGHEST_LR[activation], defaults["lr"] / 10)}
        if optimizer == OWN:
            defaults |= {"momentum": 0.0, "weight_decay": 0.0}
        if settings.get("loss") == "squared-error":
            defaults = defaults | {"label_smoothing": 0.0}
        values = defaults | dict(settings)
        for name in ("hidden", "channels"):
            if isinstance(values[name], list):  # of JSON
                values[name] = tuple(values[name])
        return cls(**values, own=own)

    def as_data(self) -> dict[str, Any]:
        """All settings, as JSON can hold them: `resolve` of them is this config again."""
        values = {name: getattr(self, name) for name in SETTINGS}
        return values if self.own is None else values | {"own_settings": dict(self.own_settings)}

    def to_json(self) -> str:
        """The text of a config file."""
        return json.dumps(self.as_data(), indent=2) + "\n"


SETTINGS: dict[str, Setting] = {
    each.name: each.metadata["setting"]
    for each in dataclasses.fields(RunConfig)
    if "setting" in each.metadata
}
"""What every setting may be, by its name."""


def _check(name: str, value: Any) -> None:
    if (expected := SETTINGS[name].kind.wrong(value)) is not None:
        _refuse(name, value, expected)


def _refuse(name: str, value: Any, expected: str) -> None:
    raise InputError(f"--{dashed(name)} {written(value, SETTINGS[name].kind)}: must be {expected}")
