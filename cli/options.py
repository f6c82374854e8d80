"""Options that several commands share, and how numbers are printed."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from funcnn.experiments.architectures import ACTIVATIONS, ARCHITECTURES

F = TypeVar("F", bound=Callable[..., Any])


class HiddenSizes(click.ParamType):
    """Sizes of hidden layers, as `256x128`; `0` or an empty string for none."""

    name = "SIZES"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The sizes as a tuple."""
        if isinstance(value, tuple):
            return value
        if value in ("", "0"):
            return ()
        if not re.fullmatch(r"[0-9]+(x[0-9]+)*", value):
            self.fail(f"{value!r}: give the hidden layers' sizes as 256x128", param, ctx)
        return tuple(int(size) for size in value.split("x"))


def by_arch(setting: str) -> str:
    """The defaults of a setting, in words for a help text."""
    groups: dict[str, list[str]] = {}
    for name, architecture in ARCHITECTURES.items():
        value = architecture.defaults[setting]
        if isinstance(value, tuple):
            value = "x".join(str(size) for size in value) or "none"
        groups.setdefault("the whole set" if value is None else str(value), []).append(name)
    if len(groups) == 1:
        return f"[default: {next(iter(groups))}]"
    commonest = max(groups, key=lambda value: len(groups[value]))
    if len(groups[commonest]) == 1:
        return "[default: " + ", ".join(f"{v} ({', '.join(n)})" for v, n in groups.items()) + "]"
    others = [
        f"{value} for {', '.join(names)}" for value, names in groups.items() if value != commonest
    ]
    return f"[default: {commonest}; {'; '.join(others)}]"


arch_choice = click.Choice(list(ARCHITECTURES))

hidden_option = click.option(
    "--hidden", type=HiddenSizes(), help=f"Sizes of the hidden layers. {by_arch('hidden')}"
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
    """Print a result as JSON."""
    click.echo(json.dumps(value, indent=2))


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The options that the user gave."""
    return {name: value for name, value in values.items() if value is not None}
