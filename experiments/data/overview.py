"""The data sets on show: a list of them, and a figure of one."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from funcnn.experiments.data import store
from funcnn.experiments.data.catalog import SETS
from funcnn.experiments.data.datasets import POINT_SETS, Dataset, load_dataset
from funcnn.experiments.data.formats import by_path
from funcnn.experiments.errors import InputError
from funcnn.experiments.figures import plots, style
from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.paths import data_folders, expect_new, new_file
from funcnn.types import Array

_PER_CLASS = 12
_ROWS_OF_A_BLOCK = 16
_ALMOST_BLACK = 16


def list_datasets() -> list[dict[str, Any]]:
    """Name, title, licence, place and bytes of every named data set; where is None if not found.

    After the known ones come the other folders of images in the data folders, by their names.
    """
    rows: list[dict[str, Any]] = []
    for name, described in SETS.items():
        place = store.find(name)
        rows.append(
            {
                "name": name,
                "title": described.title,
                "licence": described.licence,
                "where": None if place is None else str(place),
                "bytes": None if place is None else store.size_of(name, place),
                "download_bytes": described.download,
            }
        )
    for name, (title, _) in POINT_SETS.items():
        row = {"name": name, "title": title, "licence": None, "where": "generated"}
        rows.append(row | {"bytes": 0, "download_bytes": 0})
    for folder in filter(Path.is_dir, data_folders()):
        for place in sorted(filter(by_path.is_set, folder.iterdir())):
            if all(place.name != known["name"] for known in rows):
                row = {"name": place.name, "title": "a folder of images", "licence": None}
                rows.append(row | {"where": str(place), "bytes": None, "download_bytes": None})
    return rows


def place_of(name: str) -> Path:
    """Where a named data set is. Raises `InputError` if it is unknown, generated or nowhere."""
    own = [] if name in SETS else [folder / name for folder in data_folders()]
    place = next(filter(by_path.is_set, own), None)
    return place or store.place_of(_expect_published(name))


def fetch_dataset(name: str, into: Path | None) -> Path:
    """Download a named data set to a folder in `into`, or to the cache. Raises `InputError`."""
    return store.fetch(_expect_published(name), into)


def verify_datasets(name: str | None) -> list[dict[str, Any]]:
    """For each file of a named set, or of all that are found: whether it is the published one.

    Raises `InputError` if the named set is unknown or nowhere.
    """
    names = [name for name in SETS if store.find(name)] if name is None else [name]
    return [
        {"name": each, "file": verdict.file, "ok": verdict.wrong is None, "wrong": verdict.wrong}
        for each in names
        for verdict in store.verify(_expect_published(each))
    ]


def _expect_published(name: str) -> str:
    if name in POINT_SETS:
        raise InputError(f"{name} is generated: it has no files")
    if name not in SETS:
        raise InputError(f"{name} is no published data set (known: {', '.join(SETS)})")
    return name


def show_dataset(name: str, out: Path) -> dict[str, Any]:
    """Sizes and class counts of a data set; its figure goes to `out`, a new file.

    Raises `InputError` if the data set cannot be used, or `out` exists already.
    """
    expect_new(out, ".png")
    data = load_dataset(name, val_size=None, seed=0)
    with new_file(out):
        if name in POINT_SETS:
            plots.points(out, data.train, None)
        else:
            _draw_images(data, out)
    train = np.bincount(data.train[1].ravel(), minlength=len(data.class_names))
    labels = data.test[1]
    test = None if labels is None else np.bincount(labels.ravel(), minlength=len(train))
    own = data.validation
    validation = None if own is None else np.bincount(own[1].ravel(), minlength=len(train))
    return {
        "name": name,
        "input_shape": list(data.input_shape),
        "train": len(data.train[0]),
        **({} if own is None else {"validation": len(own[0])}),
        "test": len(data.test[0]),
        "test_is": data.test_is,
        "classes": [
            {
                "name": label,
                "train": int(train[index]),
                **({} if validation is None else {"validation": int(validation[index])}),
                "test": None if test is None else int(test[index]),
            }
            for index, label in enumerate(data.class_names)
        ],
        "picture": str(out),
    }


def _draw_images(data: Dataset, out: Path) -> None:
    """The first training images of every class, a row a class."""
    x, labels = data.train
    firsts = [np.flatnonzero(labels == i)[:_PER_CLASS] for i in range(len(data.class_names))]
    rows = [[x[index, 0] for index in indices] for indices in firsts]
    contact_sheet(out, rows, data.class_names)


@figure_file
def contact_sheet(path: Path, rows: list[list[Array]], titles: tuple[str, ...]) -> None:
    """Grey images `(H, W)` of bytes, all of one size: a row for each title, in several columns.

    Where most of their pixels are almost 0 that is drawn white, as paper; else black, as in a
    photograph. The title says which.
    """
    gap = max(1, max(next(image.shape for row in rows for image in row)) // 16)
    ink = np.median([image for row in rows for image in row]) < _ALMOST_BLACK
    white = 0 if ink else 255
    cells = [
        [np.pad(image, ((0, gap), (0, gap)), constant_values=white) for image in row]
        for row in rows
    ]
    height, width = next(cell.shape for row in cells for cell in row)
    longest = max(len(row) for row in rows)
    blocks = math.ceil(len(rows) / _ROWS_OF_A_BLOCK)
    lines = math.ceil(len(rows) / blocks)
    side = 0.45  # inches
    names = style.short_names(titles, 40)
    words = max(0.9, 0.115 * max(map(len, names)))  # inches
    size = (blocks * (longest * side * width / height + words), lines * side + 0.5)
    figure, (axes,) = style.new_figure(1, blocks, size)
    for block, axis in enumerate(axes):
        first = block * lines
        sheet = np.full((lines * height, longest * width), white, np.uint8)
        for row, images in enumerate(cells[first : first + lines]):
            for column, image in enumerate(images):
                top, left = row * height, column * width
                sheet[top : top + height, left : left + width] = image
        axis.imshow(sheet, cmap="gray_r" if ink else "gray", vmin=0, vmax=255)
        shown = names[first : first + lines]
        axis.set_yticks(
            [(row + 0.5) * height for row in range(len(shown))], shown, parse_math=False
        )
        axis.set_xticks([])
        axis.tick_params(length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
    figure.suptitle("0 is white, 255 black" if ink else "0 is black, 255 white", fontsize=8)
    style.write_figure(figure, path)
