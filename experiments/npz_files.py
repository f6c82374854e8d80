"""Images in an `.npz` file: `x_train y_train x_test y_test`, as in Keras, or `images labels`."""

import math
import tokenize
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from funcnn.experiments.archives import open_zip
from funcnn.experiments.errors import InputError
from funcnn.experiments.image_data import (
    Examples,
    ImageData,
    Inputs,
    assemble,
    check_images,
    check_pair,
)
from funcnn.experiments.room import expect_memory
from funcnn.experiments.set_parts import part_of

from funcnn.stored_trees import read_array_header
from funcnn.types import Array


def read_npz(path: Path) -> ImageData:
    """The data set of an `.npz` file: images and labels, in the arrays that people call so.

    `x_train y_train`, `x_val y_val`, `x_test y_test` (or `train_images train_labels` and so on), or
    `images labels` alone. Images are bytes `(N, H, W)`, with a channel at either end or without, or
    rows of a square's pixels `(N, H*H)`; labels are integers. Validation and test set may be
    missing, and so may the labels of the latter. Raises `InputError` if the file is damaged, holds
    objects or other arrays, or claims more than it holds or than fits in memory.
    """
    with open_zip(path) as archive:
        members = archive.namelist()
        names = {name.removesuffix(".npy") for name in members if name.endswith(".npy")}
        pairs = _pairs(names, path)

        def part(images: str, labels: str | None) -> Inputs:
            found = _with_axes(_read(archive, images, path))
            if labels is None:
                return check_images(found, f"{path}: {images}"), None
            values = _read(archive, labels, path)
            if values.ndim == 2 and values.shape[1] == 1:
                values = values[:, 0]
            return check_pair(found, values, f"{path}: {images} and {labels}")

        def labelled(images: str, labels: str | None) -> Examples:
            inputs, values = part(images, labels)
            if values is None:
                raise InputError(f"{path}: {images} has no labels")
            return inputs, values

        if "train" in pairs:
            train = labelled(*pairs["train"])
            test = part(*pairs["test"]) if "test" in pairs else None
            chosen = pairs.get("validation")
            validation = None if chosen is None else labelled(*chosen)
            return assemble(train, test, str(path), validation=validation)
        if "" in pairs:
            inputs, values = part(*pairs[""])
            if values is None:
                return assemble(None, (inputs, None), str(path))
            return assemble((inputs, values), None, str(path))
    seen = ", ".join(sorted(members)[:8]) or "nothing"
    raise InputError(
        f"{path} has neither x_train.npy and y_train.npy nor images.npy; it has {seen}"
    )


def _pairs(names: set[str], path: Path) -> dict[str, tuple[str, str | None]]:
    """The names of the images and of the labels of each part that is there; `""`: of no part."""
    by_lower = {name.lower(): name for name in sorted(names)}  # x_train, where X_train is too
    found: dict[str, tuple[str, str | None]] = {}
    for lower, name in by_lower.items():
        if lower == "images":
            word, labels = "", "labels"
        elif lower.startswith("x_"):
            word, labels = lower[2:], f"y_{lower[2:]}"
        elif lower.endswith("_images"):
            word = lower.removesuffix("_images")
            labels = f"{word}_labels"
        else:
            continue
        part = part_of(word) if word else ""
        if part in found:
            raise InputError(f"{path}: {found[part][0]} and {name} are both {part} images")
        if part is not None:
            found[part] = name, by_lower.get(labels)
    return found


def _with_axes(images: Array) -> Array:
    """Images `(N, H, W)` of images with a channel, or of rows of a square's pixels."""
    if images.ndim == 4 and 1 in (images.shape[1], images.shape[3]):
        return images[..., 0] if images.shape[3] == 1 else images[:, 0]
    if images.ndim == 2:
        side = math.isqrt(images.shape[1])
        if side > 1 and side * side == images.shape[1]:
            return images.reshape(-1, side, side)  # (N, H, H)
    return images


def _read(archive: ZipFile, name: str, path: Path) -> Array:
    """One array, whose claims are checked before it is made."""
    where = f"{path}: {name}"
    info = archive.getinfo(f"{name}.npy")
    try:
        with archive.open(info) as file:
            shape, _, dtype = read_array_header(file)
            if dtype.hasobject:
                raise InputError(f"{where} holds Python objects, which are never loaded")
            claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
            held = info.file_size - file.tell()
        if claimed != held:
            raise InputError(
                f"{where} claims {shape} {dtype} ({claimed:,} bytes), but holds {held:,}"
            )
        expect_memory(claimed, where)
        with archive.open(info) as file:
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
            return array
    except InputError:
        raise
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, MemoryError) as error:
        raise InputError(f"{where} is not an array: {_cause(error)}") from None


def _cause(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
