"""The options that give a network of one's own: `--model` and its `--set`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from funcnn.experiments.errors import InputError
from funcnn.experiments.sweep.plan import TRIAL
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.config import SETTINGS
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.references import read_own
from funcnn.experiments.tasks.settings import is_reference

if TYPE_CHECKING:
    from funcnn.experiments.training.target import Target

Command = TypeVar("Command", bound=Callable[..., Any])

model_option = click.option(
    "--model",
    metavar="FILE.py:NAME",
    help="A network of your own instead, or package.module:NAME: a layer, or a function "
    "(input_shape, classes) -> layer. The file is executed. [default: none]",
)
run_model_option = click.option(
    "--model",
    metavar="FILE.py:NAME",
    help="The network of a run of your own, where its layers or its loss are your own too; the "
    "file is executed. [default: built from what the run kept]",
)


def _pairs(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        keyword, equals, value = text.partition("=")
        if not equals or not keyword:
            raise click.BadParameter(f"{text!r}: give KEYWORD=VALUE, as width=64")
        if keyword in pairs:
            raise click.BadParameter(f"{keyword} is given twice")
        pairs[keyword.replace("-", "_")] = value
    return pairs


set_option = click.option(
    "--set",
    "sets",
    metavar="KEYWORD=VALUE",
    multiple=True,
    callback=_pairs,
    help="A setting of --model: a further keyword of its function. [default: what that has]",
)


def network_options(command: Command) -> Command:
    """`--model` and `--set`, of a command that trains."""
    return model_option(set_option(command))


def own_network(
    model: str | None, sets: dict[str, str], options: dict[str, Any]
) -> tuple[OwnModel | None, dict[str, Any]]:
    """The network of one's own, if one is given, and the options with it and its settings.

    Raises `InputError` if it is none, or there is `--arch` too.
    """
    if model is None:
        return None, options | own_settings(None, sets)
    if "arch" in options:
        raise InputError(f"--arch {options['arch']}: leave it out, --model is the network")
    own = read_own(model)
    return own, {"arch": model, **options, **own_settings(own, sets)}


def own_settings(own: OwnModel | None, sets: dict[str, str]) -> dict[str, Any]:
    """The settings that `--set` gives. Raises `InputError` if the network has no such."""
    if own is None and sets:
        raise InputError(f"--set {next(iter(sets))}: it is for a network of your own, FILE.py:NAME")
    return {} if own is None else {keyword: own.parse(keyword, sets[keyword]) for keyword in sets}


def network_named(
    name: str, model: str | None, sets: dict[str, str], settings: dict[str, Any]
) -> "Target":
    """The network that an argument names: an architecture, `FILE.py:NAME`, or a run's folder.

    model: of a run of one's own. Raises `InputError`.
    """
    from funcnn.experiments.training.target import Target

    own = read_own(name) if is_reference(name) and not Path(name).exists() else None
    if sets and own is None and Path(name).exists():
        raise InputError(f"the settings are those of {name}: leave out --set {next(iter(sets))}")
    settings = settings | own_settings(own, sets)
    if model is not None and (own is not None or name in ARCHITECTURES):
        raise InputError(f"--model {model}: it is for a run; {name} is a network itself")
    return Target.find(name, settings, None if model is None else read_own(model))


def own_values(own: OwnModel, keyword: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of a grid, of which those of the network's own settings are still texts."""
    if keyword in SETTINGS or keyword == TRIAL:
        return values
    return tuple(own.parse(keyword, text, "--grid") for text in values)
