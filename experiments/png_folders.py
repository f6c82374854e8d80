"""Images as PNG files, in a folder for each class: 8-bit grey, 0 background, 255 ink or cloth."""

import warnings
from pathlib import Path

import numpy as np
from funcnn.experiments.errors import InputError
from funcnn.experiments.image_data import Examples, ImageData, assemble, check_pair
from funcnn.experiments.room import expect_memory

from funcnn.files import open_regular
from funcnn.types import Array


def has_classes(folder: Path) -> bool:
    """Whether this looks like a folder that `read_folder` is for."""
    return any(_folders(place) or _files(place) for place in _folders(folder))


def read_folder(folder: Path) -> ImageData:
    """The data set of `train/CLASS/*.png` and `test/CLASS/*.png`, or of `CLASS/*.png` alone.

    Classes are called as their folders, in order (of numbers, if all are numbers).
    Raises `InputError` if a file is no grey PNG, or they are not all of one size.
    """
    places = {place.name: place for place in _folders(folder)}
    if "train" not in places:
        names = _class_names(folder)
        return assemble(_read(folder, names), None, str(folder), names)
    names = _class_names(places["train"])
    train = _read(places["train"], names)
    if "test" not in places:
        return assemble(train, None, str(folder), names)
    for name in _class_names(places["test"]):
        if name not in names:
            raise InputError(f"{places['test'] / name}: there is no class {name} in train")
    return assemble(train, _read(places["test"], names), str(folder), names)


def _class_names(folder: Path) -> tuple[str, ...]:
    names = []
    for place in _folders(folder):
        if not _files(place):
            raise InputError(f"{place} has no images")
        names.append(place.name)
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    return tuple(names)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _read(folder: Path, names: tuple[str, ...]) -> Examples:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = _files(folder / name) if (folder / name).is_dir() else []
        files += found
        labels += [label] * len(found)
    if not files:
        raise InputError(f"{folder} has no folders of images")
    first = _read_png(files[0], None)
    expect_memory(len(files) * first.size, f"{folder} ({len(files):,} images)")
    images = np.empty((len(files), *first.shape), np.uint8)
    for index, file in enumerate(files):
        images[index] = _read_png(file, (first.shape[0], first.shape[1]))
    return check_pair(images, np.array(names)[labels], str(folder))


def _read_png(file: Path, shape: tuple[int, int] | None) -> Array:
    """The pixels `(H, W)` of a PNG file, which must have this shape if one is given."""
    from PIL import Image  # matplotlib needs it too

    try:
        with warnings.catch_warnings():  # of a picture whose size can only be an attack
            warnings.simplefilter("error")
            with open_regular(file) as content, Image.open(content, formats=["PNG"]) as image:
                if image.mode not in ("L", "1"):
                    raise InputError(
                        f"{file} has pixels of kind {image.mode}; only 8-bit grey is read"
                    )
                size = image.size[::-1]
                if shape is not None and size != shape:
                    raise InputError(f"{file} has {size} pixels, but the first image {shape}")
                expect_memory(size[0] * size[1], str(file))
                return np.asarray(image.convert("L"))
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Warning, Image.DecompressionBombError) as error:
        raise InputError(f"{file} cannot be read as a PNG: {str(error).splitlines()[0]}") from None
