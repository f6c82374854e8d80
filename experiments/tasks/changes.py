"""Settings that begin with those of an earlier run or of a recipe, and change some of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from funcnn.experiments.errors import InputError, quoted
from funcnn.experiments.system.json_files import read_record
from funcnn.experiments.tasks.architectures import HIGHEST_LR
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.optimizers import OF_OPTIMIZER
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.settings import is_of_same_name


def read_settings(path: Path, own: OwnModel | None = None) -> dict[str, Any]:
    """The values in a config file, every one good. Raises `InputError`, naming the file.

    own: the network, if it is of a user's own.
    """
    if (path / "config.json").is_file():
        raise InputError(f"{path} is a folder: give {quoted(path / 'config.json')}")
    values = read_record(path, "a config file")
    try:
        RunConfig.resolve(values, own)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return values


def changed(
    values: Mapping[str, Any],
    options: Mapping[str, Any],
    whose: object,
    own: OwnModel | None = None,
) -> dict[str, Any]:
    """Good values, such as `read_settings` gives, with the given ones in their place.

    Where nothing else is given, a change of optimizer or loss takes the defaults of the new
    one, and a change from or to an activation that limits the lr the lr that suits the new one.
    whose: what has those values. Raises `InputError` for another architecture.
    """
    values = dict(values)
    if own is not None and is_of_same_name(own.name, values["arch"]):
        values["arch"] = own.name  # by another path
    if options.get("arch", values["arch"]) != values["arch"]:
        raise InputError(f"--arch {options['arch']}: {whose} is of {values['arch']}")
    before = RunConfig.resolve(values, own)
    stale: tuple[str, ...] = ()
    activations = {before.activation, options.get("activation", before.activation)}
    if len(activations) > 1 and not activations.isdisjoint(HIGHEST_LR):
        stale = ("lr",)
    if options.get("optimizer", before.optimizer) != before.optimizer:
        stale = OF_OPTIMIZER
    if options.get("loss", before.loss) != before.loss:
        stale = (*stale, "label_smoothing")
    return {k: v for k, v in values.items() if k not in stale} | dict(options)
