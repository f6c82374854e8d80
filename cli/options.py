"""Options that several commands share, and how numbers are printed."""

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from funcnn.experiments.data.datasets import SPLITS
from funcnn.experiments.errors import printable
from funcnn.experiments.sweep.plan import TRIAL
from funcnn.experiments.tasks.architectures import ACTIVATIONS, ARCHITECTURES, LOSSES, WEIGHT_INITS
from funcnn.experiments.tasks.config import CLASS_WEIGHTS, INITS, RunConfig
from funcnn.experiments.tasks.optimizers import OPTIMIZERS, SCHEDULES
from funcnn.experiments.tasks.sizes import unsaid

_NO_KEYS = ("seed", "test_curve")  # one has an option of its own, the other changes no result

Command = TypeVar("Command", bound=Callable[..., Any])


def _parse_sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    if value is None or value == "0":
        return None if value is None else ()
    if not re.fullmatch(r"[0-9]+(x[0-9]+)*", value):
        raise click.BadParameter(f"{value!r}: give sizes as 256x128, or 0 for none")
    return tuple(int(size) for size in value.split("x"))


def by_arch(setting: str) -> str:
    """The defaults of a setting, in words for a help text."""
    groups: dict[str, list[str]] = {}
    for name, architecture in ARCHITECTURES.items():
        value = architecture.defaults[setting]
        if isinstance(value, tuple):
            value = "x".join(str(size) for size in value) or "none"
        if value is None:
            value = "the whole set" if setting == "batch_size" else "none"
        groups.setdefault(str(value), []).append(name)
    if len(groups) == 1:
        return f"[default: {next(iter(groups))}]"
    commonest = max(groups, key=lambda value: len(groups[value]))
    if len(groups[commonest]) == 1:
        return "[default: " + ", ".join(f"{v} ({', '.join(n)})" for v, n in groups.items()) + "]"
    others = [
        f"{value} for {', '.join(names)}" for value, names in groups.items() if value != commonest
    ]
    return f"[default: {commonest}; {'; '.join(others)}]"


def by_choice(setting: str) -> str:
    """The defaults of a setting that an optimizer or an activation brings, for a help text."""
    groups: dict[str, list[str]] = {}
    for name, choice in OPTIMIZERS.items():
        if setting in choice.defaults:
            groups.setdefault(f"{choice.defaults[setting]:g}", []).append(name)
    for name, activation in ACTIVATIONS.items():
        if setting == "lr" and activation.lr is not None:
            limit = f"at most {activation.lr:g} and a tenth of these"
            groups.setdefault(limit, []).append(name)
    return "; ".join(f"{value} for {', '.join(names)}" for value, names in groups.items())


arch_choice = click.Choice(list(ARCHITECTURES))

channels_option = click.option(
    "--channels",
    metavar="SIZES",
    callback=_parse_sizes,
    help=f"Channels of the convolutions, as 16x32. {by_arch('channels')}",
)
kernel_size_option = click.option(
    "--kernel-size", type=int, help=f"Side of their kernels. {by_arch('kernel_size')}"
)
hidden_option = click.option(
    "--hidden",
    metavar="SIZES",
    callback=_parse_sizes,
    help=f"Sizes of the dense hidden layers, as 256x128, or 0 for none. {by_arch('hidden')}",
)
weight_init_option = click.option(
    "--weight-init",
    type=click.Choice(list(WEIGHT_INITS)),
    help="How all weights begin (biases: 0); normal is N(0, 0.01^2), auto what suits the "
    f"activation. {by_arch('weight_init')}",
)
activation_option = click.option(
    "--activation",
    type=click.Choice(list(ACTIVATIONS)),
    help=f"After each hidden layer. {by_arch('activation')}",
)
val_size_option = click.option(
    "--val-size",
    type=int,
    help="Training examples set aside for validation, where the data have no validation set of "
    "their own. [default: 10000, or a tenth of few examples; 0 for points]",
)
split_option = click.option(
    "--split",
    type=click.Choice(SPLITS),
    help="Which ones those are: of each class its share, by the seed, or the last of the file. "
    f"{by_arch('split')}",
)
dropout_option = click.option(
    "--dropout", type=float, help=f"Rate after each hidden layer. {by_arch('dropout')}"
)
seed_option = click.option("--seed", type=int, help=f"Every random choice. {by_arch('seed')}")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
allow_changed_option = click.option(
    "--allow-changed-data",
    is_flag=True,
    help="Go on although the data are not what the run was trained with.",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Same result (torch's to rounding), other speed. [default: all cores]",
)
arch_option = click.option("--arch", type=arch_choice, help="The network. [default: mlp3]")
run_argument = click.argument("run", type=click.Path(path_type=Path))

_SETTINGS = (
    channels_option,
    kernel_size_option,
    hidden_option,
    activation_option,
    weight_init_option,
    click.option(
        "--data",
        help="A name of funcnn data list, or a path: a folder of four IDX files, of train.csv and "
        "test.csv, or of pictures by class; a .csv, an .npz, a .zip of such a folder. "
        f"{by_arch('data')}",
    ),
    val_size_option,
    split_option,
    click.option("--epochs", type=int, help=f"Passes over the training set. {by_arch('epochs')}"),
    click.option(
        "--batch-size",
        type=int,
        help=f"Examples in a step. {by_arch('batch_size')[:-1]}; all, where there are fewer]",
    ),
    click.option(
        "--optimizer",
        type=click.Choice(list(OPTIMIZERS)),
        help=f"How gradients become steps. {by_arch('optimizer')}",
    ),
    click.option(
        "--lr", type=float, help=f"Highest learning rate. {by_arch('lr')[:-1]}; {by_choice('lr')}]"
    ),
    click.option(
        "--momentum",
        type=float,
        help="How much of earlier gradients stays in a step, the b1 of adam, adamw and adamax. "
        f"{by_arch('momentum')[:-1]}; {by_choice('momentum')}]",
    ),
    click.option(
        "--weight-decay",
        type=float,
        help="Pull of every weight to 0. "
        f"{by_arch('weight_decay')[:-1]}; {by_choice('weight_decay')}]",
    ),
    click.option(
        "--schedule",
        type=click.Choice(list(SCHEDULES)),
        help="The learning rate over time: cosine and polynomial (a line) fall to 0, exponential "
        "and inverse-time to a tenth; warmup-cosine first rises for a twentieth, one-cycle for "
        f"three tenths; piecewise drops tenfold at 1/2 and 3/4. {by_arch('schedule')}",
    ),
    click.option(
        "--loss",
        type=click.Choice(list(LOSSES)),
        help="What is minimized: the cross-entropy of the labels, or half the squared error of "
        f"outputs and one-hot labels (for points the squared error). {by_arch('loss')}",
    ),
    click.option(
        "--label-smoothing",
        type=float,
        help="Share of each label spread over all classes. "
        f"{by_arch('label_smoothing')[:-1]}; 0 for squared-error]",
    ),
    dropout_option,
    click.option(
        "--class-weights",
        type=click.Choice(CLASS_WEIGHTS),
        help="How much an example counts in training: all the same, or balanced, N / (K n) for one "
        f"of K classes that n of N examples are of. {by_arch('class_weights')}",
    ),
    click.option(
        "--drop-last",
        is_flag=True,
        default=None,
        help="Leave out an epoch's last batch if it is smaller than the others.",
    ),
    click.option(
        "--patience",
        type=int,
        help="Stop when so many recorded epochs in turn had no better validation accuracy. "
        "[default: never]",
    ),
    seed_option,
    click.option(
        "--test-curve",
        is_flag=True,
        default=None,  # left out, it is what the config file says
        help="Measure the test set after every epoch too, for the curve; never used to choose.",
    ),
    click.option(
        "--init",
        type=click.Choice(INITS),
        help="First weights on PyTorch's side: its own, or shared with funcnn's. [default: own]",
    ),
)


def settings_options(command: Command) -> Command:
    """Give a command an option for each setting of a run; None is one that the user left out."""
    return arch_option(settings_but_arch(command))


def settings_but_arch(command: Command) -> Command:
    """The same, for a command that has its architecture from elsewhere."""
    for option in reversed(_SETTINGS):  # as decorators are applied
        command = option(command)
    return command


def _parse_grid(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> Any:
    grid: dict[str, tuple[Any, ...]] = {}
    for text in given:
        key, equals, listed = text.partition("=")
        name = key.replace("-", "_")
        if not equals or not key:
            raise click.BadParameter(f"{text!r}: give a setting and values, as lr=0.01,0.1")
        if name in grid:
            raise click.BadParameter(f"{key} is given twice; give all its values at once")
        values: list[Any] = []
        for each in listed.split(","):
            if not each:
                raise click.BadParameter(f"{text}: a value is missing")
            value = _parse_value(ctx, name, key, each)
            if value in values:
                raise click.BadParameter(f"{text}: {each} is there twice")
            values.append(value)
        grid[name] = tuple(values)
    return grid


def _parse_value(ctx: click.Context, name: str, key: str, text: str) -> Any:
    """A value of a grid, as the command's own option of this name would take it."""
    if name == TRIAL:
        return text
    if name == "seed":
        raise click.BadParameter("seed: give --seeds, and the first one with --seed")
    options = {
        option.name: option
        for option in ctx.command.params
        if option.name in RunConfig.__dataclass_fields__ and option.name not in _NO_KEYS
    }
    if name not in options:
        known = ", ".join(sorted(option.replace("_", "-") for option in options if option))
        raise click.BadParameter(f"{key} is no setting to try values of (known: {known})")
    try:
        return options[name].process_value(ctx, text)
    except click.BadParameter as error:
        raise click.BadParameter(f"{key}={text}: {error.message}") from None


grid_option = click.option(
    "--grid",
    multiple=True,
    metavar="SETTING=VALUES",
    callback=_parse_grid,
    help="Values to try of an option below, as lr=0.01,0.1 or hidden=4,8x8; once for each option. "
    "[default: none, one point]",
)


def print_json(value: Any) -> None:
    """Print a result as JSON; a number that is not finite, which JSON has no word for, as null."""
    finite = json.loads(json.dumps(value), parse_constant=lambda constant: None)
    click.echo(json.dumps(finite, indent=2, allow_nan=False))


def echo(line: object, *, err: bool = False) -> None:
    """Print a line, which may hold paths and names from anywhere."""
    click.echo(printable(line), err=err)


def echo_path(path: Path) -> None:
    """Print a path on its own as it is, for a program to read."""
    text = str(path)
    click.echo(text if text.isprintable() else os.fsencode(text))


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The options that the user gave."""
    return {name: value for name, value in values.items() if value is not None}


def say_chosen(usual: Sequence[RunConfig], used: Sequence[RunConfig], quiet: bool) -> None:
    """Say on stderr which sizes were chosen smaller than the usual ones, if any were, once each.

    usual, used: the configs of runs before and after.
    """
    lines: dict[str, None] = {}  # each once, in order
    for before, after in zip(usual, used, strict=True):
        smaller = [
            f"--{name.replace('_', '-')} {getattr(after, name)}"
            for name in unsaid(())
            if getattr(after, name) != getattr(before, name)
        ]
        if smaller and not quiet:
            lines[f"too few examples for the usual sizes, so: {' '.join(smaller)}"] = None
    for line in lines:
        click.echo(line, err=True)
