"""Pictures in a folder for each class, perhaps in `train`, `val` and `test`; or in one folder."""

import re

import numpy as np

from funcnn.experiments.data.formats.idx import is_idx_name
from funcnn.experiments.data.formats.image_files import (
    eight_bits,
    is_image_name,
    is_note,
    read_image,
    refuse_bombs,
)
from funcnn.experiments.data.formats.listings import Folder
from funcnn.experiments.data.formats.set_parts import part_of
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

PictureFiles = list[tuple[Folder, str]]
_DEEPEST = 2  # folders below a class where pictures are looked for, to say that they are not read
_FEWER_BITS = 12


def has_classes(folder: Folder) -> bool:
    """Whether this looks like a folder that `read_classes` is for."""
    return any(
        (part_of(name) == "train" and bool(inner.folders)) or any(map(_may_be_image, inner.files))
        for name, inner in folder.folders.items()
    )


def has_images(folder: Folder) -> bool:
    """Whether there are pictures in the folder itself."""
    return any(map(is_image_name, folder.files))


def read_classes(folder: Folder) -> ImageData:
    """The data set of `train/CLASS/*`, `val/CLASS/*` and `test/CLASS/*`, or of `CLASS/*` alone.

    Classes are called as their folders, in order (of numbers, if all are numbers); pictures are in
    the order of their names. `val` and `test` may be missing, and `test` may have its pictures in
    itself, then without labels. Raises `InputError` if a picture cannot be read, or they are not
    all of one size, or are where they would not be read.
    """
    parts = _parts(folder)
    if parts is None:
        names = _class_names(folder)
        return assemble(_read(folder, names), None, folder.where, names)
    names = _class_names(parts["train"])
    for part, inner in parts.items():
        if inner.folders and has_images(inner):
            raise InputError(
                f"{inner.where} has pictures beside the folders of its classes, which would not be "
                "read: move them into one of these, or away"
            )
        for name in () if part == "train" else _class_names(inner):
            if name not in names:
                raise InputError(f"{inner.where}/{name}: there is no class {name} in train")
    train = _read(parts["train"], names)
    validation = _read(parts["validation"], names) if "validation" in parts else None
    test: Inputs | None = None
    if "test" in parts:
        inner = parts["test"]
        if not inner.folders:
            flat = read_flat(inner)
            data = assemble(train, flat.test, folder.where, names, validation)
            return data._replace(files=flat.files)
        test = _read(inner, names)
    return assemble(train, test, folder.where, names, validation)


def read_flat(folder: Folder) -> ImageData:
    """The pictures in the folder itself, without labels, in order of their names.

    Numbers in the names are compared by value: `2.png` comes before `10.png`. Raises `InputError`.
    """
    ordered = in_order(folder)
    images = check_images(_images(ordered, folder.where), folder.where)
    files = tuple(file for _, file in ordered)
    return assemble(None, (images, None), folder.where)._replace(files=files)


def read_one(folder: Folder, file: str) -> Array:
    """A picture as the only image, `(1, 1, H, W)`. Raises `InputError`."""
    return check_images(_images([(folder, file)], folder.where), folder.where)


def _parts(folder: Folder) -> dict[str, Folder] | None:
    """The folders of the parts of a set; None where the folders are classes."""
    parts: dict[str, Folder] = {}
    for name, inner in folder.folders.items():
        part = part_of(name)
        if part is None:
            continue
        if part in parts:
            raise InputError(f"{parts[part].where} and {inner.where} are both {part} images")
        parts[part] = inner
    classes = len(folder.folders) > len(parts)
    if classes and not ("train" in parts and parts["train"].folders):
        return None  # a class may well be called test, or train
    if "train" not in parts:
        if parts and any(inner.folders for inner in parts.values()):
            raise InputError(f"{folder.where} has {', '.join(parts)} but no train folder")
        return None
    return parts


def _class_names(folder: Folder) -> tuple[str, ...]:
    names = list(folder.folders)
    if names and all(name.isdecimal() for name in names):
        names.sort(key=_value)
    for name in names:
        _expect_no_deeper(folder.folders[name], folder.folders[name])
        if not _files(folder.folders[name]):
            raise InputError(f"{folder.where}/{name} has no images")
    return tuple(names)


def _expect_no_deeper(folder: Folder, to: Folder, deepest: int = _DEEPEST) -> None:
    for inner in folder.folders.values():
        if has_images(inner):
            raise InputError(
                f"{inner.where} has pictures, but is inside the folder of a class: move "
                f"them to {to.where}"
            )
        if deepest > 1:
            _expect_no_deeper(inner, to, deepest - 1)


def _files(folder: Folder) -> list[str]:
    return [file for file in folder.files if not is_note(file)]


def _may_be_image(file: str) -> bool:
    named = "." in file or is_note(file) or is_idx_name(file)
    return is_image_name(file) or not named


def _value(digits: str) -> tuple[int, str]:
    """What orders numbers by their value, also those of more digits than Python reads."""
    significant = digits.lstrip("0")
    return len(significant), significant


def in_order(folder: Folder) -> PictureFiles:
    """The pictures in the folder itself, as `read_flat` reads them."""

    def key(name: str) -> list[tuple[int, str, str]]:
        words = re.split(r"(\d+)", name)
        return [(*_value(word), word) if word.isdecimal() else (-1, word, "") for word in words]

    return [(folder, file) for file in sorted(_files(folder), key=key)]


def _read(folder: Folder, names: tuple[str, ...]) -> Examples:
    files: PictureFiles = []
    labels: list[int] = []
    for label, name in enumerate(names):
        inner = folder.folders.get(name)
        of_class = [] if inner is None else [(inner, file) for file in _files(inner)]
        files += of_class
        labels += [label] * len(of_class)
    if not files:
        raise InputError(f"{folder.where} has no folders of images, one for each class")
    images = _images(files, folder.where)
    return check_pair(images, np.array(names)[labels], folder.where, folder.where)


def _images(files: PictureFiles, where: str) -> Array:
    """The pictures `(N, H, W)`, all as large as the first."""
    if not files:
        raise InputError(f"{where} has no images")
    deepest = 0  # of the pictures of 16 bits
    images = shape = None
    with refuse_bombs():
        for index, (folder, file) in enumerate(files):
            image = _image(folder, file, shape)
            if images is None:
                shape = image.shape[0], image.shape[1]
                expect_memory(len(files) * image.size, f"{where} ({len(files):,} images)")
                images = np.empty((len(files), *shape), np.uint8)
            if image.dtype == np.uint16:
                deepest = max(deepest, int(image.max()))
                image = eight_bits(image)
            images[index] = image
    if 0 < deepest < 1 << _FEWER_BITS:  # as cameras and scanners write 12 bits: almost black
        raise InputError(
            f"{where}: no pixel of its 16-bit pictures is above {deepest}, as if of "
            f"{_FEWER_BITS} bits or fewer; save them with 8 bits a pixel"
        )
    assert images is not None
    return images


def _image(folder: Folder, file: str, shape: tuple[int, int] | None) -> Array:
    with folder.open(file) as stream:
        return read_image(stream, f"{folder.where}/{file}", shape)
