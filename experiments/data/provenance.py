"""What a run read as its data: `data.json` in its folder, to be compared where it is used again.

{"data": "mine.csv", "path": "/home/ada/mine.csv", "sha256": "..."}

data: the name or path as it was typed. path: where that was, absolute; null for what has no file of
its own, a published set or points. sha256: of the images, labels and class names, however stored.
A run that was gone on with on other data has "changed" beside these: a list of
{"after_epoch": 3, "path": ..., "sha256": ...}, of which the last is what it is trained with now.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import NamedTuple

import numpy as np

from funcnn.experiments.data.images import Inputs
from funcnn.experiments.errors import InputError, printable
from funcnn.experiments.paths import data_folders
from funcnn.experiments.system import json_files

_FILE = "data.json"
_CHUNK = 5000  # images that may be copied at once


class DataRecord(NamedTuple):
    """Which data was read."""

    data: str
    path: str | None
    sha256: str

    @classmethod
    def read(cls, folder: Path) -> "DataRecord | None":
        """What a run's folder was trained with last; None if it says nothing.

        Raises `InputError` if its record is damaged.
        """
        first, changed = _read(folder)
        if first is None or not changed:
            return first
        return cls(first.data, changed[-1].path, changed[-1].sha256)


class Change(NamedTuple):
    """Other data that a run was gone on with."""

    after_epoch: int
    path: str | None
    sha256: str


def changes_in(folder: Path) -> list[Change]:
    """The other data that the run in a folder was gone on with, in turn; raises as `read`."""
    return _read(folder)[1]


def _read(folder: Path) -> tuple[DataRecord | None, list[Change]]:
    path, expected = folder / _FILE, "the record of a run's data"
    if not path.exists():
        return None, []
    values = json_files.read_record(path, expected)
    kinds = {"path": (str, NoneType), "sha256": (str,)}
    json_files.expect_kinds(path, expected, values, {"data": (str,), **kinds})
    changed = values.get("changed", [])
    if not isinstance(changed, list) or not all(isinstance(each, dict) for each in changed):
        raise InputError(f"{path} is not {expected}: its changed is no list of records")
    for each in changed:
        json_files.expect_kinds(path, expected, each, {"after_epoch": (int,), **kinds})
    first = DataRecord(*(values[name] for name in DataRecord._fields))
    return first, [Change(*(each[name] for name in Change._fields)) for each in changed]


def write_record(record: DataRecord | None, folder: Path) -> None:
    """Write the record, if there is one, to the folder of a run or a comparison."""
    if record is not None:
        json_files.write_record(folder / _FILE, record._asdict())


def note_change(folder: Path, after_epoch: int, read: DataRecord | None) -> None:
    """Have the record of a run's folder say if after an epoch it went on with other data."""
    first, changed = _read(folder)
    if first is None or read is None or read.sha256 == (changed[-1] if changed else first).sha256:
        return
    if after_epoch == 0:  # nothing was trained with those of before
        write_record(read, folder)
        return
    now = [each for each in changed if each.after_epoch < after_epoch]
    if read.sha256 != (now[-1] if now else first).sha256:
        now.append(Change(after_epoch, read.path, read.sha256))
    changes = {"changed": [each._asdict() for each in now]}
    json_files.write_record(folder / _FILE, first._asdict() | changes)


class Expected(NamedTuple):
    """The data that something was trained with, where it is wanted again."""

    record: DataRecord
    of: str
    """What was trained with it, for messages: a run's folder."""
    allow_changed: bool | None = None
    """Whether other content will do; None: nobody can say so here."""

    def allows(self, record: DataRecord) -> bool:
        """Whether what was found will do."""
        return bool(self.allow_changed) or record.sha256 == self.record.sha256

    def differs(self, place: str) -> InputError:
        """What to say where only other content was found."""
        option = "" if self.allow_changed is None else ", or go on with --allow-changed-data"
        return InputError(
            f"--data {self.record.data}: the content of {place} is not what {self.of} was trained "
            f"with: put that file back, or set FUNCNN_DATA to the folder that has it{option}"
        )

    @property
    def missing(self) -> str:
        """What to say beside that nothing was found."""
        if self.record.path is None:
            return ""
        return (
            f", and {self.of} read {self.record.path}, which is gone: put it back, or set "
            "FUNCNN_DATA to the folder that has it"
        )


def expected_data(folder: Path, *, allow_changed: bool | None = None) -> Expected | None:
    """What the run (or comparison) in a folder read; None if it was made before runs knew.

    Raises `InputError` if the record is damaged.
    """
    record = DataRecord.read(folder)
    return None if record is None else Expected(record, str(folder), allow_changed)


def same_place(data: str, other: str) -> bool:
    """Whether both are one name or path of data: sweeps once made paths absolute for their runs."""
    return data == other or (
        any(map(os.path.isabs, (data, other))) and os.path.realpath(data) == os.path.realpath(other)
    )


def known_data(folders: Iterable[Path]) -> dict[str, Expected]:
    """What the runs in these folders read, by its name; of each name the first that knows."""
    by_name: dict[str, Expected] = {}
    for folder in folders:
        expected = expected_data(folder)
        if expected is not None:
            by_name.setdefault(expected.record.data, expected)
    return by_name


def say_what_was_read(folder: Path, expected: Expected | None, read: DataRecord | None) -> None:
    """Have in the log what a user of the run in a folder should know of the data that was read."""
    lines = []
    if changed := changes_in(folder):
        epochs = ", ".join(str(each.after_epoch) for each in changed)
        lines.append(
            f"{folder} was gone on with on other data after epoch {epochs}: data.json says which"
        )
    if expected is None:
        lines.append(
            f"{folder} has no digest of its data (older runs have none, or its data.json was "
            "deleted): whether they are still those that it was trained with is not known"
        )
    elif read is not None and read.sha256 != expected.record.sha256:
        place = read.path or read.data
        lines.append(
            f"the content of {place} is not what {folder} was trained with: going on regardless"
        )
    elif read is not None and read.path is not None:
        usual = [folder / read.data for folder in (Path(), *data_folders())]
        if read.path not in [str(place.resolve()) for place in usual]:
            same = f"{read.path} has the content that {folder} was trained with"
            lines.append(f"--data {read.data}: {same}")
    for line in lines:
        logging.getLogger(__name__).warning("%s", printable(line))


def digest(parts: Iterable[Inputs | tuple[str, ...] | None]) -> str:
    """One SHA-256 of inputs with their labels, and of names; not of how they were stored."""
    hashed = hashlib.sha256()
    for part in parts:
        if part is None or not part or isinstance(part[0], str):
            hashed.update(json.dumps(part).encode())
            continue
        inputs, labels = part
        hashed.update(f"{inputs.shape} {labels is not None}".encode())
        for start in range(0, len(inputs), _CHUNK):
            hashed.update(np.ascontiguousarray(inputs[start : start + _CHUNK]).data)
        if labels is not None:
            hashed.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return hashed.hexdigest()
