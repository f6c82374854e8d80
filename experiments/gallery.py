"""The data sets on show: a list of them, and a picture of one."""

from pathlib import Path
from typing import Any

import numpy as np
from funcnn.experiments import figures
from funcnn.experiments.datasets import IMAGE_SETS, POINT_SETS, Dataset, find_folder, load_dataset
from funcnn.experiments.errors import InputError

_PER_CLASS = 12


def list_datasets() -> list[dict[str, Any]]:
    """Name, title, licence and place of every named data set; the place is None if not found."""
    rows = []
    for name, files in IMAGE_SETS.items():
        folder = find_folder(name)
        rows.append(
            {
                "name": name,
                "title": files.title,
                "licence": files.licence,
                "where": None if folder is None else str(folder),
            }
        )
    for name, (title, _) in POINT_SETS.items():
        rows.append({"name": name, "title": title, "licence": None, "where": "generated"})
    return rows


def show_dataset(name: str, out: Path) -> dict[str, Any]:
    """Sizes and class counts of a data set; its picture goes to `out`, a new file.

    Raises `InputError` if the data set cannot be used, or `out` exists already.
    """
    if out.exists():
        raise InputError(f"--out {out} exists already; give the name of a new file")
    data = load_dataset(name, val_size=0, seed=0)
    if name in POINT_SETS:
        figures.points(out, data.train, None)
    else:
        _draw_images(data, out)
    classes = len(data.class_names)
    counts = {
        part: np.bincount(labels.ravel(), minlength=classes)
        for part, (_, labels) in (("train", data.train), ("test", data.test))
    }
    return {
        "name": name,
        "input_shape": list(data.input_shape),
        "train": len(data.train[0]),
        "test": len(data.test[0]),
        "classes": [
            {"name": label, "train": int(counts["train"][i]), "test": int(counts["test"][i])}
            for i, label in enumerate(data.class_names)
        ],
        "picture": str(out),
    }


def _draw_images(data: Dataset, out: Path) -> None:
    """The first training images of every class, a row a class."""
    x, labels = data.train
    firsts = [np.flatnonzero(labels == i)[:_PER_CLASS] for i in range(len(data.class_names))]
    rows = [[x[index, 0] for index in indices] for indices in firsts]
    figures.contact_sheet(out, rows, data.class_names)
