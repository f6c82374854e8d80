"""What a run keeps of a network of the user's own, and the network that this describes.

`model.json` has the spec, and the digest of the file whose text lies beside it as `model.py.txt`,
to be read and compared. That text is never executed: whoever needs more than the spec asks the user
for the file.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import funcnn as fn
from funcnn._files import write_whole
from funcnn.experiments.errors import InputError, printable
from funcnn.experiments.system.json_files import expect_kinds, read_record, write_record
from funcnn.experiments.tasks.own_models import OwnModel, Record, Source
from funcnn.spec import own_constructors
from funcnn.types import Layer, Shape

_RECORD, _TEXT = "model.json", "model.py.txt"
_PARTS = ("loss", "optimizer", "metrics", "preprocess")


def write_own_model(folder: Path, own: OwnModel, model: Layer) -> None:
    """Keep, in a run's folder, what its network is."""
    record = own.recorded or _record_of(own, model)
    write_record(folder / _RECORD, record._asdict())
    if own.source is not None:
        write_whole(folder / _TEXT, own.source.text.encode())


def _record_of(own: OwnModel, model: Layer) -> Record:
    parts = [name for name in _PARTS if getattr(own, name)]
    file, digest = (None, None) if own.source is None else (own.source.file, own.source.sha256)
    return Record(own.name, model.spec, parts, file, digest)


def as_recorded(own: OwnModel, model: Layer) -> OwnModel:
    """The network as its record alone gives it, if it needs no more: no process reads its file.

    That is, if all its layers are of the library, and it brings nothing else.
    """
    record = own.recorded or _record_of(own, model)
    if own.recorded or record.parts or record.spec is None or any(own_constructors(model)):
        return own
    return recorded_model(record, own.where, own.source)


def read_own_model(folder: Path, name: str, own: OwnModel | None) -> OwnModel:
    """The network of a run's folder, as it is recorded, or as the user has it now (`own`).

    Raises `InputError` if the record is not there, damaged, or of a network of another name.
    """
    record = _read(folder)
    if record.name != name:
        raise InputError(f"{folder / _RECORD} is of {record.name}, but the config is of {name}")
    if own is None:
        return recorded_model(record, str(folder))
    for part in record.parts:
        if not own.brings(part):
            raise InputError(f"{own.name} has no {part}, and {folder} was trained with one")
    return own


def recorded_model(record: Record, where: str, source: Source | None = None) -> OwnModel:
    """The network that a record describes. where: what has the record, for messages."""
    make = _maker(where, record)
    return OwnModel(name=record.name, make=make, where=where, source=source, recorded=record)


def another_network(own: OwnModel, folder: object) -> str:
    """What to say where a file makes another network than a run has."""
    return (
        f"{own.file} makes another network now than {folder} has: leave out --model, if all its "
        "layers are of the library"
    )


def tell_change(folder: Path, own: OwnModel) -> None:
    """Say in a warning that a network's file is not the one that a run's folder recorded."""
    if is_changed(folder, own):
        where = folder / _TEXT
        line = f"{own.file} has changed since: {where} is what was trained"
        logging.getLogger(__name__).warning("%s", printable(line))


def is_changed(folder: Path, own: OwnModel | None) -> bool:
    """Whether the file of a network is another one than that which a run's folder recorded."""
    if own is None or own.source is None:
        return False
    return _read(folder).sha256 != own.source.sha256


def _read(folder: Path) -> Record:
    path, expected = folder / _RECORD, "the record of a network"
    values = read_record(path, expected)
    kinds: dict[str, tuple[type, ...]] = {
        "name": (str,),
        "spec": (dict, type(None)),
        "parts": (list,),
        "file": (str, type(None)),
        "sha256": (str, type(None)),
    }
    expect_kinds(path, expected, values, kinds)
    return Record(*(values[key] for key in Record._fields))


def _maker(where: str, record: Record) -> Callable[..., Layer]:
    """What builds the network that is recorded, for the data that it was trained with."""

    def make(input_shape: Shape, classes: int, **settings: Any) -> Layer:
        if record.spec is None:
            raise InputError(
                f"{where} has a network with layers that have no spec: give --model {record.name}"
            )
        try:
            return fn.from_spec(record.spec)
        except ValueError as error:
            why = str(error).partition(" of this library")[0]
            raise InputError(
                f"{where} has a network with layers of its own: give --model {record.name} ({why})"
            ) from None

    return make
