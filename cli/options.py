"""Options that several commands share, and how numbers are printed."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from funcnn.experiments.errors import printable, sizes_text
from funcnn.experiments.sweep.plan import TRIAL
from funcnn.experiments.tasks.architectures import ARCHITECTURES, HIGHEST_LR
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.optimizers import OPTIMIZERS
from funcnn.experiments.tasks.settings import (
    Choice,
    Flag,
    NameOrReference,
    Number,
    Sizes,
    Whole,
    dashed,
    is_reference,
    parse_sizes,
)
from funcnn.experiments.tasks.sizes import usual_sizes

_NO_KEYS = ("seed", "test_curve")  # one has an option of its own, the other changes no result

Command = TypeVar("Command", bound=Callable[..., Any])


def _parse_sizes(ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
    try:
        return None if text is None else parse_sizes(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_TYPES: dict[type, dict[str, Any]] = {
    Flag: {"is_flag": True, "default": None},  # left out, it is what the config file says
    Number: {"type": float},
    Sizes: {"metavar": "SIZES", "callback": _parse_sizes},
    Whole: {"type": int},
}


class _Architecture(click.Choice[str]):
    """One of the architectures; who gives a network of their own is told where it goes."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The name. Raises `click.BadParameter`."""
        if is_reference(str(value)):
            self.fail(f"{value} is a network of your own: give --model {value}", param, ctx)
        return super().convert(value, param, ctx)


def setting_option(name: str, about: str | None = None) -> Callable[[Command], Command]:
    """The option of a setting of a run; None is what the user left out. about: another help."""
    setting = SETTINGS[name]
    kind, about = setting.kind, about or setting.about
    taking = _TYPES.get(type(kind), {})
    if isinstance(kind, (Choice, NameOrReference)):  # a network of one's own is for --model
        choice = _Architecture if isinstance(kind, NameOrReference) else click.Choice
        taking = {"type": choice(list(kind.names))}
    if not isinstance(kind, Flag):
        brought = "; ".join(filter(None, (_by_arch(name), _by_choice(name))))
        about += f" [default: {setting.defaults.format(brought)}]"
    return click.option(f"--{dashed(name)}", help=about, **taking)


def setting_options(*names: str) -> Callable[[Command], Command]:
    """The options of several settings, in this order."""
    options = [setting_option(name) for name in reversed(names)]  # as decorators are applied

    def decorate(command: Command) -> Command:
        for option in options:
            command = option(command)
        return command

    return decorate


def _by_arch(name: str) -> str:
    """The defaults of a setting that the architectures bring, in words."""
    setting = SETTINGS[name]
    groups: dict[str, list[str]] = {}
    for arch, architecture in ARCHITECTURES.items():
        value = architecture.defaults.get(name, setting.default)
        if isinstance(value, tuple):
            value = sizes_text(value, empty="none")
        groups.setdefault(setting.none if value is None else str(value), []).append(arch)
    if len(groups) == 1:
        return next(iter(groups))
    commonest = max(groups, key=lambda value: len(groups[value]))
    if len(groups[commonest]) == 1:
        return ", ".join(f"{value} ({', '.join(names)})" for value, names in groups.items())
    others = [
        f"{value} for {', '.join(names)}" for value, names in groups.items() if value != commonest
    ]
    return "; ".join([commonest, *others])


def _by_choice(name: str) -> str:
    """The defaults of a setting that an optimizer or an activation brings, in words."""
    groups: dict[str, list[str]] = {}
    for optimizer, choice in OPTIMIZERS.items():
        if name in choice.defaults:
            groups.setdefault(f"{choice.defaults[name]:g}", []).append(optimizer)
    for activation, highest in HIGHEST_LR.items():
        if name == "lr":
            limit = f"at most {highest:g} and a tenth of these"
            groups.setdefault(limit, []).append(activation)
    return "; ".join(f"{value} for {', '.join(names)}" for value, names in groups.items())


_OUTPUT = "funcnn.output"


def _alone_on_stdout(ctx: click.Context, param: click.Parameter, as_json: bool) -> bool:
    """Have the JSON alone there: what a user's own network prints goes to stderr."""
    if as_json:
        ctx.meta[_OUTPUT] = sys.stdout
        ctx.with_resource(contextlib.redirect_stdout(sys.stderr))
    return as_json


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_alone_on_stdout,
    help="Print JSON instead of text.",
)
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
run_argument = click.argument("run", type=click.Path(path_type=Path))

# In the order of a config file, but what many leave alone comes last; each command says itself what
# a backend is for it.
_LAST = ("seed", "test_curve", "init")
_FIRST = [name for name in SETTINGS if name not in ("arch", "backend", *_LAST)]
every_setting = setting_options("arch", *_FIRST, *_LAST)
every_setting_but_arch = setting_options(*_FIRST, *_LAST)


def _parse_grid(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> Any:
    grid: dict[str, tuple[Any, ...]] = {}
    for text in texts:
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
        if option.name in SETTINGS and option.name not in _NO_KEYS
    }
    if name not in options and is_reference(ctx.params["target"]):
        return text  # for the network's own keyword, once that is read
    if name not in options:
        known = ", ".join(sorted(map(dashed, options)))
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
    output = click.get_current_context().meta[_OUTPUT]
    click.echo(json.dumps(finite, indent=2, allow_nan=False), file=output)


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
            f"--{dashed(name)} {getattr(after, name)}"
            for name in usual_sizes(())
            if getattr(after, name) != getattr(before, name)
        ]
        if smaller and not quiet:
            lines[f"too few examples for the usual sizes, so: {' '.join(smaller)}"] = None
    for line in lines:
        click.echo(line, err=True)
