"""What the settings of a run may be where its network, loss or optimizer is the user's own."""

import inspect
from collections.abc import Mapping
from typing import Any

from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.architectures import KEYWORDS
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.settings import as_option, dashed
from funcnn.types import Loss

OWN = "own"
"""What a loss or an optimizer is called that is of the user's own file."""
_INSTEAD = {  # of what has no meaning beside one's own
    "loss": ("label_smoothing",),
    "optimizer": ("momentum", "weight_decay"),
}


_OF_TORCH = {"loss": "cross-entropy", "optimizer": "adam"}


def check_own(values: Mapping[str, Any], own: OwnModel | None, usual: Mapping[str, Any]) -> None:
    """Raise `InputError` for the first value that does not go with what is the user's own.

    values: all settings of a run. own: its network, if it is a user's own. usual: the values of
    settings of a network that nobody chose.
    """
    for part, without in _INSTEAD.items():
        if values[part] != OWN:
            continue
        if own is None or not own.brings(part):
            raise InputError(f"--{part} own: give --model FILE.py:NAME, of a file with {part}")
        if values["backend"] == "torch":
            yours = [name for name in _INSTEAD if values[name] == OWN]
            options = " ".join(f"--{name} {_OF_TORCH[name]}" for name in yours)
            raise InputError(f"PyTorch does not have your {' and '.join(yours)}: give {options}")
        for name in without:
            if values[name]:
                _refuse(name, values[name], f"0 for --{part} own")
    if values["optimizer"] == OWN and values["decayed"] != "all":
        _refuse("decayed", values["decayed"], "all for --optimizer own")
    weighted = values["loss"] == OWN and values["class_weights"] != "none"
    if weighted and own is not None and own.loss is not None and not _takes_weights(own.loss):
        _refuse("class_weights", values["class_weights"], "none: the own loss takes no weights=")
    for name in KEYWORDS if own is not None else ():
        if values[name] != usual[name]:
            known = ", ".join(own.settings if own else ()) or "none"
            _refuse(name, values[name], f"left out for your own network (its settings: {known})")


def _takes_weights(loss: Loss) -> bool:
    parameters = inspect.signature(loss).parameters.values()
    return any(it.name == "weights" or it.kind is it.VAR_KEYWORD for it in parameters)


def _refuse(name: str, value: Any, expected: str) -> None:
    raise InputError(f"--{dashed(name)} {as_option(value)}: must be {expected}")
