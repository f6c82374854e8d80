"""The settings of a training run: all of them, checked, as one value that JSON can hold."""

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import funcnn as fn
from funcnn.experiments.data.datasets import (
    DEFAULT_VAL_SIZE,
    NAMES,
    POINT_SETS,
    SPLITS,
    Dataset,
    load_dataset,
)
from funcnn.experiments.data.record import Expected
from funcnn.experiments.errors import InputError, expect_text, quoted
from funcnn.experiments.system.json_files import read_record
from funcnn.experiments.tasks.architectures import (
    ACTIVATIONS,
    ARCHITECTURES,
    LOSSES,
    WEIGHT_INITS,
    NetworkShape,
    build_model,
    loss_of,
)
from funcnn.experiments.tasks.optimizers import OF_OPTIMIZER, OPTIMIZERS, SCHEDULES
from funcnn.types import Layer, Loss

BACKENDS = ("numpy", "torch")
"""What can train: funcnn, and PyTorch."""
INITS = ("own", "shared")
"""What torch begins with: the usual weights of its modules, or funcnn's for this seed."""
CLASS_WEIGHTS = ("none", "balanced")
"""How much an example counts in the loss: all the same, or all classes together the same."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run's result depends on. Raises `InputError` for a value out of range."""

    arch: str
    backend: str
    """What trains: `numpy`, which is funcnn, or `torch`."""
    init: str
    """The first weights of torch's side: its `own`, or `shared` with NumPy's."""
    channels: tuple[int, ...]
    kernel_size: int | None
    """None, and no channels: the network has no convolutions."""
    hidden: tuple[int, ...]
    activation: str
    weight_init: str
    data: str
    val_size: int
    split: str
    epochs: int
    batch_size: int | None
    """None: the whole training set."""
    optimizer: str
    lr: float
    momentum: float
    weight_decay: float
    schedule: str
    loss: str
    label_smoothing: float
    dropout: float
    seed: int
    class_weights: str
    """In the loss: `none`, or `balanced`, by how rare a class is in the training set."""
    drop_last: bool
    """Whether an epoch ends before its last batch if that is smaller than the others."""
    patience: int | None
    """Recorded epochs without a better validation accuracy, after which it stops; None: never."""
    test_curve: bool
    """Whether the test set is measured after every recorded epoch too."""

    def __post_init__(self) -> None:
        """Check every value."""
        for name, known in (
            ("arch", ARCHITECTURES),
            ("backend", BACKENDS),
            ("init", INITS),
            ("activation", ACTIVATIONS),
            ("weight_init", WEIGHT_INITS),
            ("split", SPLITS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("loss", LOSSES),
            ("class_weights", CLASS_WEIGHTS),
        ):
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in known:
                _refuse(name, getattr(self, name), f"one of {', '.join(known)}")
        if not isinstance(self.data, str) or not self.data:
            _refuse("data", self.data, f"one of {', '.join(NAMES)}, or a path")
        expect_text(self.data, f"--data {self.data}")
        for name, least in (
            ("val_size", 0),
            ("epochs", 1),
            ("batch_size", 1),
            ("seed", 0),
            ("patience", 1),
        ):
            value = getattr(self, name)
            if value is None and name in ("batch_size", "patience"):
                continue
            if (wrong := _wrong_whole(value, least, 63)) is not None:
                _refuse(name, value, f"an integer {wrong}")
        for name, example in (("hidden", "256x128"), ("channels", "16x32")):
            sizes = getattr(self, name)
            for size in sizes:
                if (wrong := _wrong_whole(size, 1, 31)) is not None:
                    _refuse(name, sizes, f"sizes {wrong}, as {example}")
        if ARCHITECTURES[self.arch].convolves:
            if not self.channels:
                _refuse("channels", "0", "one size at least, as 16x32")
            if (wrong := _wrong_whole(self.kernel_size, 1, 31)) is not None:
                _refuse("kernel_size", self.kernel_size, f"an integer {wrong}")
        else:
            for name in ("channels", "kernel_size"):
                if getattr(self, name):
                    expected = f"left out for --arch {self.arch}, which has no convolutions"
                    _refuse(name, getattr(self, name), expected)
        for name in ("test_curve", "drop_last"):
            if type(getattr(self, name)) is not bool:
                _refuse(name, getattr(self, name), "true or false")
        _check_number(self, "lr", 0, math.inf, "a finite number of at least 0")
        _check_number(self, "weight_decay", 0, math.inf, "a finite number of at least 0")
        for name in ("momentum", "dropout", "label_smoothing"):
            _check_number(self, name, 0, 1, "at least 0 and below 1")
        if self.label_smoothing and ARCHITECTURES[self.arch].binary:
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
        if (self.data in POINT_SETS) != (ARCHITECTURES[self.arch].binary):
            binary = next(name for name, known in ARCHITECTURES.items() if known.binary)
            wanted = f"of images for --arch {self.arch}; points are for --arch {binary}"
            if ARCHITECTURES[self.arch].binary:
                wanted = f"one of {', '.join(POINT_SETS)} for --arch {self.arch}"
            _refuse("data", self.data, wanted)

    @classmethod
    def resolve(cls, given: Mapping[str, Any]) -> "RunConfig":
        """The config of the values given, and the architecture's defaults for the others.

        An optimizer brings defaults that suit it, an activation a limit to the learning rate; with
        the squared error there is no label smoothing.
        Raises `InputError` for an unknown name or a value out of range.
        """
        settings = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(given) - settings)
        if unknown:
            names = ", ".join(sorted(settings))
            raise InputError(f"unknown setting {unknown[0]!r} (known: {names})")
        arch = given.get("arch")
        if not isinstance(arch, str) or arch not in ARCHITECTURES:
            _refuse("arch", arch, f"one of {', '.join(ARCHITECTURES)}")
        architecture = ARCHITECTURES[str(arch)]
        defaults = architecture.defaults
        optimizer = given.get("optimizer", defaults["optimizer"])
        known = isinstance(optimizer, str) and optimizer in OPTIMIZERS
        if known and optimizer != defaults["optimizer"]:
            defaults = defaults | dict(architecture.sgd) | OPTIMIZERS[optimizer].defaults
        activation = given.get("activation", defaults["activation"])
        known = isinstance(activation, str) and activation in ACTIVATIONS
        if known:
            defaults = defaults | {"lr": ACTIVATIONS[activation].default_lr(defaults["lr"])}
        if given.get("loss") == "squared-error":
            defaults = defaults | {"label_smoothing": 0.0}
        values: dict[str, Any] = {"arch": arch, "backend": BACKENDS[0], "init": INITS[0]}
        values |= defaults | dict(given)
        values.setdefault("val_size", 0 if architecture.binary else DEFAULT_VAL_SIZE)
        for name in ("hidden", "channels"):
            if not isinstance(values[name], (list, tuple)):
                _refuse(name, values[name], "a list of sizes")
            values[name] = tuple(values[name])
        return cls(**values)

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """The values in a config file, every one good. Raises `InputError`, naming the file."""
        if (path / "config.json").is_file():
            raise InputError(f"{path} is a folder: give {quoted(path / 'config.json')}")
        values = read_record(path, "a config file")
        try:
            cls.resolve(values)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        return values

    @classmethod
    def changed(cls, path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a config file, with the given ones in their place.

        Where nothing else is given, a change of optimizer or loss takes the defaults of the new
        one, and a change from or to an activation that limits the lr the lr that suits the new one.
        Raises `InputError`, as `read`, and for another architecture.
        """
        values = cls.read(path)
        if options.get("arch", values["arch"]) != values["arch"]:
            raise InputError(f"--arch {options['arch']}: {path} is of {values['arch']}")
        before = cls.resolve(values)
        stale: tuple[str, ...] = ()
        activations = {before.activation, options.get("activation", before.activation)}
        if len(activations) > 1 and any(
            known.lr is not None for name, known in ACTIVATIONS.items() if name in activations
        ):
            stale = ("lr",)
        if options.get("optimizer", before.optimizer) != before.optimizer:
            stale = OF_OPTIMIZER
        if options.get("loss", before.loss) != before.loss:
            stale = (*stale, "label_smoothing")
        return {k: v for k, v in values.items() if k not in stale} | dict(options)

    def to_json(self) -> str:
        """The text of a config file: `resolve` of what it holds is this config again."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def _refuse(name: str, value: Any, expected: str) -> None:
    if isinstance(value, tuple):
        value = _by(value)
    raise InputError(f"--{name.replace('_', '-')} {value}: must be {expected}")


def _wrong_whole(value: Any, least: int, bits: int) -> str | None:
    """What is asked of an integer that this is not; None: it is one."""
    if type(value) is not int or value < least:
        return f"of at least {least}"
    return None if value < 2**bits else f"below 2**{bits}"


def _by(sizes: tuple[Any, ...]) -> str:
    return "x".join(map(repr, sizes))


def _check_number(config: RunConfig, name: str, least: float, below: float, words: str) -> None:
    value = getattr(config, name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value < below or value > sys.float_info.max:
        _refuse(name, value, words)


# --- from names to functions -----------------------------------------------------------------


def load_data(
    config: RunConfig, expected: Expected | None = None, *, usual: Collection[str] = ()
) -> Dataset:
    """The data of a run, split. usual: as `small_data.unsaid`. Else as `load_dataset`."""
    return load_dataset(
        config.data,
        val_size=config.val_size,
        seed=config.seed,
        split=config.split,
        expected=expected,
        fit="val_size" in usual,
    )


def build_network(config: RunConfig, classes: int) -> Layer:
    """The network of a run on data of so many classes."""
    shape = NetworkShape(
        config.channels,
        config.kernel_size,
        config.hidden,
        config.activation,
        config.dropout,
        config.weight_init,
    )
    return build_model(config.arch, shape, classes)


@contextlib.contextmanager
def network_that_fits(config: RunConfig) -> Iterator[None]:
    """Turn what is wrong with a network that is being made into the `InputError` that it is.

    It may be too large for the memory, or the images too small for its convolutions.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise  # of torch, it is the same
        sizes = {"channels": _by(config.channels), "hidden": _by(config.hidden)}
        if config.channels:
            sizes["kernel-size"] = str(config.kernel_size)
        given = " ".join(f"--{name} {size}" for name, size in sizes.items() if size)
        raise InputError(f"{given}: the network does not fit in memory") from None
    except ValueError as error:
        raise InputError(f"--arch {config.arch} does not fit the data: {error}") from None


def build_loss(config: RunConfig) -> Loss:
    """The loss that a run minimizes."""
    return loss_of(config.arch, config.loss, config.label_smoothing)


def build_plain_loss(config: RunConfig) -> Loss:
    """The loss that a run reports: the same, without label smoothing."""
    return loss_of(config.arch, config.loss)


def build_optimizer(config: RunConfig, total_steps: int) -> fn.Optimizer:
    """The optimizer of a run of so many steps, which its learning rate depends on."""
    schedule = SCHEDULES[config.schedule](config.lr, total_steps)
    choice = OPTIMIZERS[config.optimizer]
    return choice.build(schedule, config.momentum, config.weight_decay)
