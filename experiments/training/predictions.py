"""Predictions of a trained model, in the labs' CSV format."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from funcnn._files import write_whole
from funcnn.experiments.data.datasets import load_inputs
from funcnn.experiments.data.images import are_counted
from funcnn.experiments.errors import InputError, printable
from funcnn.experiments.paths import expect_new, new_file
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.training.model import TrainedModel, model_of
from funcnn.experiments.training.pictures import pictures_in, prepared
from funcnn.types import Array

_HEADER = ("Id", "Category")


def write_predictions(
    run: Path,
    data: Sequence[str],
    out: Path,
    own: OwnModel | None = None,
    *,
    probabilities: bool = False,
    mirrored: bool = False,
    header: str | None = None,
    first_id: int | None = None,
) -> dict[str, Any]:
    """The predicted class of every input in the data, as `Id,Category` rows.

    run: a run's folder, or a snapshot. data: a data set (see `load_inputs`), or pictures, which are
    prepared for the model. own: its network, if it is a user's own. Ids count from `first_id`; if
    it is None they are those of the data, if these have some, or count from 0. Classes are as the
    training data write them. probabilities: of each class a column, called by its name, instead of
    the class. mirrored: as `TrainedModel.mirrored`. header: other names for the two columns, as
    `ImageId,Label`; for the ids alone with probabilities. Raises `InputError` if the inputs do not
    fit the model, it has no probabilities, a name cannot be one, or `out` exists already.
    """
    names = _names_of(header, 1 if probabilities else 2)
    expect_new(out)
    model = model_of(run, own)
    if pictures_in(data) is not None and out.suffix.lower() != ".csv":
        raise InputError(f"--out {out}: give a name in .png for a figure, in .csv for the table")
    inputs, ids, files = _inputs(model, data)
    if first_id is not None:
        ids = None
    if ids is None:
        first_id = first_id or 0
        ids = np.arange(first_id, first_id + len(inputs))
    outputs = (model.mirrored() if mirrored else model).predict(inputs)
    if probabilities:
        table = probability_table(model, outputs)
        if names[0] in table:
            raise InputError(
                f"--header {names[0]}: a class is called so too, give the ids another name"
            )
        table.insert(0, names[0], ids)
        with new_file(out):
            write_whole(out, table.to_csv(index=False, lineterminator="\n").encode())
        columns = list(table.columns)
    else:
        classes = model.classes(outputs)
        with new_file(out):
            save_predictions(out, classes, model.labels, columns=names, ids=ids)
        columns = list(names)
    if len(files) > 1:
        line = f"the rows are of the pictures by name: first {files[0]}, last {files[-1]}"
        logging.getLogger(__name__).warning("%s", printable(line))
    named = list(data) if len(data) > 1 else data[0]
    made = {"run": str(run), "data": named, "out": str(out), "rows": len(outputs)}
    return {**made, "columns": columns, "first_id": first_id}


def _inputs(model: TrainedModel, data: Sequence[str]) -> tuple[Array, Array | None, Sequence[str]]:
    """The stored inputs `(N, ...)`, what the data call them if anything, and names of pictures."""
    files = pictures_in(data)
    if files is None:
        loaded = load_inputs(data[0])
        return model.as_inputs(loaded.inputs, data[0]), loaded.ids, loaded.files
    pixels = np.stack([pixels for _, pixels in prepared(model, files)])  # (N, C, H, W)
    return pixels.reshape(-1, *model.input_shape), None, [file for _, file in files]


def _names_of(header: str | None, count: int) -> tuple[str, ...]:
    """The names of the columns that a header gives. Raises `InputError` if it gives others."""
    if header is None:
        return _HEADER[:count]
    names = tuple(name.strip() for name in header.split(","))
    if len(names) != count:
        wanted = "two names, as ImageId,Label" if count == 2 else "the name of the ids alone, as Id"
        also = "" if count == 2 else " with --probabilities, whose columns are called by the class"
        raise InputError(f"--header {header}: give {wanted}{also}")
    if not all(name and name.isprintable() for name in names) or len(set(names)) < count:
        raise InputError(f"--header {header}: give names that differ and are not empty")
    return names


def probability_table(model: TrainedModel, outputs: Array) -> pd.DataFrame:
    """The probability of each class for outputs `(N, K)` or `(N, 1)`, a column for each class.

    Raises `InputError` if the outputs stand for none.
    """
    try:
        shares = model.probabilities(outputs)
    except InputError as error:
        raise InputError(f"--probabilities: {error}") from None
    return pd.DataFrame(shares, columns=list(model.class_names))


def predictions_text(
    classes: Array,
    labels: Sequence[str] = (),
    *,
    columns: Sequence[str] = _HEADER,
    ids: Array | None = None,
) -> str:
    """The table of predicted classes `(N,)`, by their labels, or by their indices without them.

    ids: of the rows; None: they are counted from 0.
    """
    written = classes if are_counted(labels) else np.array(labels, object)[classes]
    ids = np.arange(len(classes)) if ids is None else ids
    table = pd.DataFrame(dict(zip(columns, (ids, written), strict=True)))
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text


def save_predictions(
    out: Path,
    classes: Array,
    labels: Sequence[str] = (),
    *,
    columns: Sequence[str] = _HEADER,
    ids: Array | None = None,
) -> None:
    """Write the table of predicted classes `(N,)`, as `predictions_text`."""
    write_whole(out, predictions_text(classes, labels, columns=columns, ids=ids).encode())
