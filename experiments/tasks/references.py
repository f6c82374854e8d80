"""From what a user calls a network of their own to the network."""

from collections.abc import Mapping
from typing import Any

from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.config import SETTINGS
from funcnn.experiments.tasks.model_files import PARTS, read_model
from funcnn.experiments.tasks.model_records import recorded_model
from funcnn.experiments.tasks.own_models import OwnModel, Record

OPTION_NAMES = frozenset(
    (
        *SETTINGS,
        *PARTS,
        *(
            "compile",
            "config",
            "distributed",
            "draw",
            "grid",
            "jobs",
            "json",
            "mode",
            "model",
            "modes",
        ),
        *(
            "network",
            "no_compile",
            "on_epoch",
            "out",
            "own_settings",
            "path",
            "progress",
            "quiet",
            "recipe",
            "resume",
        ),
        *("scheduler", "seeds", "set", "show", "steps", "threads", "trial"),
    )
)
"""What no setting of a network can be called: names of options, and of arguments in a script."""


def read_own(reference: str) -> OwnModel:
    """The network of `FILE.py:NAME` or `package.module:NAME`, as `model_files.read_model`.

    Raises `InputError`.
    """
    return read_model(reference, OPTION_NAMES)


def own_as_told(told: Mapping[str, Any] | None) -> OwnModel | None:
    """The network that another process told of, `OwnModel.told`.

    Raises `InputError` as `read_own`, and if its file is another one here, or by now.
    """
    if told is None:
        return None
    if told["record"] is not None:
        return recorded_model(Record(**told["record"]), told["name"])
    own = read_own(told["name"])
    if own.source is None or own.source.sha256 != told["sha256"]:
        raise InputError(f"{own.file} is not the one that this began with: it has another text")
    return own
