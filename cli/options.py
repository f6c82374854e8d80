"""Options that several commands share, and how numbers are printed."""

import json
import re
from pathlib import Path
from typing import Any

import click
from funcnn.experiments.architectures import ACTIVATIONS, ARCHITECTURES
from funcnn.experiments.config import OPTIMIZERS


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
activation_option = click.option(
    "--activation",
    type=click.Choice(list(ACTIVATIONS)),
    help=f"After each hidden layer. {by_arch('activation')}",
)
seed_option = click.option("--seed", type=int, help=f"Every random choice. {by_arch('seed')}")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
run_argument = click.argument("run", type=click.Path(path_type=Path))


def print_json(value: Any) -> None:
    """Print a result as JSON; a number that is not finite, which JSON has no word for, as null."""
    finite = json.loads(json.dumps(value), parse_constant=lambda constant: None)
    click.echo(json.dumps(finite, indent=2, allow_nan=False))


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The options that the user gave."""
    return {name: value for name, value in values.items() if value is not None}
