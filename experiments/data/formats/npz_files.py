"""Images in an `.npz` file: `x_train y_train x_test y_test`, as in Keras, or `images labels`.

And images alone, in a `.npy` file.
"""

import math
import re
import sys
import tokenize
from collections.abc import Collection
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import numpy as np

from funcnn._npy import read_array_header
from funcnn.experiments.data.formats.listings import open_file
from funcnn.experiments.data.formats.set_parts import part_of
from funcnn.experiments.data.formats.zip_files import open_zip
from funcnn.experiments.data.images import (
    Examples,
    ImageData,
    Inputs,
    assemble,
    check_images,
    check_pair,
)
from funcnn.experiments.errors import InputError
from funcnn.experiments.system.memory import expect_memory
from funcnn.types import Array

_WORDS = (
    ({"x", "images"}, {"y", "labels"}),
    ({"x", "images", "image", "imgs", "data"}, {"y", "labels", "label", "target", "targets"}),
)
"""What arrays of images and of labels are called; the latter ones where there are none such."""


def read_npz(path: Path) -> ImageData:
    """The data set of an `.npz` file: images and labels, in the arrays that people call so.

    `x_train y_train`, `x_val y_val`, `x_test y_test` (or `train_images train_labels` and so on), or
    `images labels`, or `X y`, alone. Images are bytes `(N, H, W)`, with a channel at either end or
    without, or rows of a square's pixels `(N, H*H)`; labels are integers, truth values or words.
    Validation and test set may be missing, and so may the labels of the latter.
    Raises `InputError` if the file is damaged, holds objects or other arrays, or claims more than
    it holds or than fits in memory.
    """
    with open_zip(path) as archive:
        members = archive.namelist()
        names = {name.removesuffix(".npy") for name in members if name.endswith(".npy")}
        pairs = _pairs(names, path)

        def part(images: str, labels: str | None) -> Inputs:
            pixels = _with_axes(_read(archive, images, path))
            if labels is None:
                return check_images(pixels, f"{path}: {images}"), None
            values = _read(archive, labels, path)
            if values.ndim == 2 and values.shape[1] == 1:
                values = values[:, 0]
            return check_pair(pixels, values, f"{path}: {images}", f"{path}: {labels}")

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
    shown = [
        name.removesuffix(".npy") if name.endswith(".npy") else f"{name} (no .npy file)"
        for name in sorted(members)
    ]
    raise InputError(
        f"{path} has neither arrays x_train and y_train nor images and labels; it has "
        f"{', '.join(shown[:8]) or 'nothing'}"
    )


def _pairs(names: set[str], path: Path) -> dict[str, tuple[str, str | None]]:
    """The names of the images and of the labels of each part that is there; `""`: of no part."""
    for of_images, of_labels in _WORDS:
        images, labels = _named(names, of_images, path), _named(names, of_labels, path)
        if "train" in images or "" in images:
            return {part: (name, labels.get(part)) for part, name in images.items()}
    return {}


def _named(names: set[str], words: Collection[str], path: Path) -> dict[str, str]:
    """The array of each part whose name is one of the words, and the part if it has one."""
    of_parts: dict[str, str] = {}
    by_lower = {name.lower(): name for name in sorted(names)}  # x_train, where X_train is too
    for lower, name in by_lower.items():
        all_words = re.split(r"[^a-z]+", lower)
        others = [word for word in all_words if word not in words]
        parts = {part_of(word) for word in others} or {""}
        if len(others) != len(all_words) - 1 or None in parts or len(parts) > 1:
            continue
        (part,) = parts
        assert part is not None
        if part in of_parts:
            kind = f"{part} images".strip() if "images" in words else f"{part} labels".strip()
            raise InputError(f"{path}: {of_parts[part]} and {name} are both {kind}")
        of_parts[part] = name
    return of_parts


def _with_axes(images: Array) -> Array:
    """Images `(N, H, W)` of images with a channel, or of rows of a square's pixels.

    What cannot be images stays as it is, to be shown so.
    """
    if images.dtype != np.uint8:
        return images
    if images.ndim == 4 and 1 in (images.shape[1], images.shape[3]):
        return images[..., 0] if images.shape[3] == 1 else images[:, 0]
    if images.ndim == 2:
        side = math.isqrt(images.shape[1])
        if side > 1 and side * side == images.shape[1]:
            return images.reshape(-1, side, side)  # (N, H, H)
    return images


def read_npy(path: Path) -> Array:
    """The images `(N, 1, H, W)` of an `.npy` file, in any form as in `read_npz`.

    Raises `InputError`.
    """
    with open_file(path) as (file, size):
        array = _array(file, size, str(path))
    return check_images(_with_axes(array), str(path))


def _read(archive: ZipFile, name: str, path: Path) -> Array:
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        return _array(file, info.file_size, f"{path}: {name}")


def _array(file: IO[bytes], size: int, where: str) -> Array:
    """The array in a file of so many bytes, whose claims are checked before it is made."""
    try:
        shape, _, dtype = read_array_header(file)
        if dtype.hasobject:
            raise InputError(
                f"{where} holds Python objects, which are never loaded; save x.astype(str) of words"
            )
        claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
        held = size - file.tell()
        if claimed != held:
            raise InputError(
                f"{where} claims {shape} {dtype} ({claimed:,} bytes), but holds {held:,}"
            )
        expect_memory(claimed, where)
        file.seek(0)
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
        if dtype.kind == "U":
            _expect_characters(array, where)
        return array
    except InputError:
        raise
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, MemoryError) as error:
        raise InputError(f"{where} is not an array: {_cause(error)}") from None


def _expect_characters(words: Array, where: str) -> None:
    """Raise `InputError` for numbers in words that no character has: Python cannot show them."""
    codes = np.frombuffer(words.tobytes(), np.dtype("u4").newbyteorder(words.dtype.byteorder))
    if codes.size and codes.max() > sys.maxunicode:
        raise InputError(f"{where} is not an array of words: {codes.max():#x} is no character")


def _cause(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
