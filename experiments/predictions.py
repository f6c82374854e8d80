"""Predictions of a trained model, in the labs' CSV format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from funcnn.experiments.datasets import load_inputs
from funcnn.experiments.image_data import are_counted
from funcnn.experiments.places import expect_new
from funcnn.experiments.run_folder import RunFolder
from funcnn.experiments.trained_model import load_model

import funcnn as fn
from funcnn.files import write_whole
from funcnn.types import Array


def write_predictions(folder: RunFolder, data: str, out: Path) -> dict[str, Any]:
    """The predicted class of every input in `data` (see `load_inputs`), as `Id,Category` rows.

    Ids count from 0, classes are as the training data write them. Raises `InputError` if the inputs
    do not fit the model, or `out` exists already.
    """
    expect_new(out)
    model = load_model(folder)
    inputs = load_inputs(data)
    model.check_inputs(inputs, data)
    classes = fn.predicted_classes(model.predict(inputs))
    save_predictions(out, classes, model.labels)
    return {"run": str(folder), "data": data, "out": str(out), "rows": len(classes)}


def predictions_text(classes: Array, labels: Sequence[str] = ()) -> str:
    """The table of predicted classes `(N,)`, by their labels, or by their indices without them."""
    written = classes if are_counted(labels) else np.array(labels, object)[classes]
    table = pd.DataFrame({"Id": np.arange(len(classes)), "Category": written})
    text: str = table.to_csv(index=False)
    return text


def save_predictions(out: Path, classes: Array, labels: Sequence[str] = ()) -> list[str]:
    """Write the table of predicted classes `(N,)`, as `predictions_text`; its lines."""
    text = predictions_text(classes, labels)
    write_whole(out, text.encode())
    return text.splitlines()
