"""Images in an `.npz` file: `x_train y_train x_test y_test`, as in Keras, or `images labels`."""

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

from funcnn.types import Array


def read_npz(path: Path) -> ImageData:
    """The data set of an `.npz` file: bytes `(N, H, W)` or `(N, H, W, 1)` and integer labels.

    `y_test` or `labels` may be missing. Raises `InputError` if the file is damaged, holds objects
    or other arrays, or claims more than it holds or than fits in memory.
    """
    with open_zip(path) as archive:
        members = archive.namelist()
        names = {name.removesuffix(".npy") for name in members if name.endswith(".npy")}

        def part(images: str, labels: str) -> Inputs:
            found = _read(archive, images, path)
            if found.ndim == 4 and found.shape[3] == 1:
                found = found[..., 0]
            if labels not in names:
                return check_images(found, f"{path}: {images}"), None
            values = _read(archive, labels, path)
            if values.ndim == 2 and values.shape[1] == 1:
                values = values[:, 0]
            return check_pair(found, values, f"{path}: {images} and {labels}")

        if {"x_train", "y_train"} <= names:
            train = _labelled(part("x_train", "y_train"))
            return assemble(
                train, part("x_test", "y_test") if "x_test" in names else None, str(path)
            )
        if "images" in names:
            inputs, labels = part("images", "labels")
            if labels is None:
                return assemble(None, (inputs, None), str(path))
            return assemble((inputs, labels), None, str(path))
    seen = ", ".join(sorted(members)[:8]) or "nothing"
    raise InputError(
        f"{path} has neither x_train.npy and y_train.npy nor images.npy; it has {seen}"
    )


def _labelled(part: Inputs) -> Examples:
    inputs, labels = part
    assert labels is not None  # y_train is there
    return inputs, labels


def _read(archive: ZipFile, name: str, path: Path) -> Array:
    """One array, whose claims are checked before it is made."""
    where = f"{path}: {name}"
    info = archive.getinfo(f"{name}.npy")
    try:
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"format {version}")
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
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
        raise InputError(f"{where} is not an array: {str(error).splitlines()[0]}") from None
