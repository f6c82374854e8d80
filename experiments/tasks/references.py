"""From what a user calls a network of their own to the network."""

from collections.abc import Mapping
from typing import Any

from funcnn.experiments.tasks.config import SETTINGS
from funcnn.experiments.tasks.model_files import read_model
from funcnn.experiments.tasks.model_records import recorded_model
from funcnn.experiments.tasks.own_models import OwnModel, Record

OPTION_NAMES = frozenset(
    (
        *SETTINGS,
        *("config", "distributed", "draw", "grid", "jobs", "json", "mode", "model", "on_epoch"),
        *("out", "own_settings", "progress", "quiet", "resume", "scheduler", "seeds", "set"),
        *("steps", "threads", "trial"),
    )
)
"""What no setting of a network can be called: names of options, and of arguments in a script."""


def read_own(reference: str) -> OwnModel:
    """The network of `FILE.py:NAME` or `package.module:NAME`, as `model_files.read_model`.

    Raises `InputError`.
    """
    return read_model(reference, OPTION_NAMES)


def own_as_told(told: Mapping[str, Any] | None) -> OwnModel | None:
    """The network that another process told of, `OwnModel.told`."""
    if told is None:
        return None
    if told["record"] is None:
        return read_own(told["name"])
    return recorded_model(Record(**told["record"]), told["name"])
