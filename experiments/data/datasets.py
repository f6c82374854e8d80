"""Data sets by name or path, split and normalised."""

import difflib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from funcnn import random
from funcnn._written import by_shapes
from funcnn.experiments.data import store
from funcnn.experiments.data.catalog import SETS
from funcnn.experiments.data.formats import by_path, listings
from funcnn.experiments.data.formats.image_folders import PictureFiles
from funcnn.experiments.data.images import Examples, ImageData, Inputs
from funcnn.experiments.data.points import generate_XOR_easy, linear_points
from funcnn.experiments.data.provenance import DataRecord, Expected, digest
from funcnn.experiments.data.splits import fitting_size, last_split, stratified_split
from funcnn.experiments.errors import InputError, expect_nameable
from funcnn.experiments.paths import data_folders
from funcnn.inference import normalized
from funcnn.random import Key
from funcnn.types import Array, Shape


@dataclass(frozen=True)
class Normalization:
    """Stored values to network inputs: (x / scale - mean) / std, float32.

    Raises `InputError` unless scale and std are above 0 and all three are finite.
    """

    scale: float
    mean: float
    std: float

    def __post_init__(self) -> None:
        """Check the numbers, which may come from a file."""
        finite = all(map(math.isfinite, (self.scale, self.mean, self.std)))
        if not (finite and self.scale > 0 and self.std > 0):
            raise InputError(f"no normalization can have these numbers: {self}")

    def __call__(self, x: Array) -> Array:
        """The inputs of a batch of stored values, of the same shape."""
        return normalized(x, self.scale, self.mean, self.std)


@by_shapes
class Dataset(NamedTuple):
    """A data set, split. Inputs are as stored (bytes, for images); `normalization` makes floats."""

    name: str
    train: Examples
    validation: Examples | None
    test: Inputs
    """Its labels are None where the test set has none."""
    test_is: str
    """What the test set is, in words."""
    class_names: tuple[str, ...]
    normalization: Normalization
    labels: tuple[str, ...] = ()
    """How the data write the label of each class; none: by its index."""
    record: DataRecord | None = None
    """What was read; None if it was not read by `load_dataset`."""

    @property
    def input_shape(self) -> Shape:
        """The shape of one input."""
        return tuple(self.train[0].shape[1:])


_ALWAYS_FEW = 10  # classes that any number of examples may have
_POINT_CLASSES = ("0", "1")
POINT_SETS: dict[str, tuple[str, Callable[[Key], Examples]]] = {
    "points-linear": ("100 random points, on either side of the diagonal", linear_points),
    "points-xor": ("21 points on the two diagonals", lambda rng: generate_XOR_easy()),
}
NAMES = (*SETS, *POINT_SETS)


DEFAULT_VAL_SIZE = 10_000
"""How many training images are set aside for validation unless the user says otherwise."""


SPLITS = ("stratified", "last")
"""Which training examples are set aside for validation: some by the seed, or the last ones."""


def load_dataset(
    name: str,
    *,
    val_size: int | None,
    seed: int,
    split: str = SPLITS[0],
    expected: Expected | None = None,
    fit: bool = False,
) -> Dataset:
    """A data set by its name in `NAMES`, its path, or its name in a data folder; split by the seed.

    val_size: how many training examples become the validation set. split: `stratified`, the same
    share of each class, or `last`, the last of them as they are stored. A set that brings its own
    validation set has that one, with the default size, its size or None, and none with 0.
    expected: what was read when this was used before; then its path is looked at too, and other
    content is passed over. fit: choose a smaller val_size where this one leaves too few examples
    to train on.
    Where there are labelled images but no test set, a fifth of each class is set aside as one, the
    same for every seed. A published set that is nowhere is downloaded.
    Raises `InputError` if it is unknown, not found, damaged, without labels, too small, or not what
    was expected.
    """
    split_rng, points_rng = random.split(random.fold_in(random.key(seed), 0))
    if name in POINT_SETS:
        train = POINT_SETS[name][1](points_rng)
        test: Inputs = train
        test_is = "all the points" if val_size else "the training points, as the lab asks"
        class_names: tuple[str, ...] = _POINT_CLASSES
        labels = class_names
        normalization: Normalization | None = Normalization(1.0, 0.0, 1.0)
        always = POINT_SETS[name][1](random.key(0))  # the record is of the set, whatever the seed
        record = DataRecord(name, None, digest([always, class_names]))
        if expected is not None and not expected.allows(record):
            raise expected.differs(name)
        own = None
    else:
        images, record = _load_images(name, expected)
        train, test, test_is = _split_off_test(images, name)
        class_names, labels, normalization = images.class_names, images.labels, None
        own = images.validation
    if len(class_names) < 2:  # a column of pixels taken for labels, for instance
        raise InputError(f"--data {name}: every label is {class_names[0]}, nothing to tell apart")
    if own is not None and val_size not in (None, 0, DEFAULT_VAL_SIZE, len(own[1])):
        raise InputError(
            f"--val-size {val_size}: {name} has a validation set of its own, of {len(own[1])}; "
            "leave the option out, or give 0 for none"
        )
    val_size, own = (0, own) if own is not None and val_size != 0 else (val_size or 0, None)
    if fit and own is None:
        val_size = fitting_size(val_size, train[1])
    if split == "last":
        chosen, left = last_split(len(train[1]), val_size)
    else:
        chosen, left = stratified_split(split_rng, train[1].ravel(), val_size)
    validation = (train[0][chosen], train[1][chosen]) if val_size else own
    if val_size:
        lost = np.setdiff1d(train[1], train[1][left])
        if len(lost):
            other = " or --split stratified" if split == "last" else ""
            raise InputError(
                f"--val-size {val_size} leaves no training example of class "
                f"{class_names[int(lost[0])]}: give a smaller one{other}"
            )
        train = train[0][left], train[1][left]
    if normalization is None:
        normalization = _measure_pixels(train[0])
    return Dataset(
        name, train, validation, test, test_is, class_names, normalization, labels, record
    )


def load_inputs(name: str) -> ImageData:
    """What has `inputs` to predict: those of a test set, or all of a file or folder without one.

    They are `(N, 1, height, width)` bytes, or points `(N, 2)`. Raises `InputError`.
    """
    if name in POINT_SETS:
        test = load_dataset(name, val_size=0, seed=0).test
        return ImageData(None, test, _POINT_CLASSES, _POINT_CLASSES)
    if name in SETS:
        return store.read(name)
    places = _places(name)
    if not places:
        raise _missing(name)
    return by_path.read(places[0])


def find_pictures(name: str) -> PictureFiles | None:
    """The pictures that a path means, of a folder those in it; None: it means a data set.

    Raises `InputError` if it is nowhere.
    """
    if name in NAMES:
        return None
    places = _places(name)
    if not places:
        raise _missing(name)
    return by_path.pictures(places[0])


def _load_images(name: str, expected: Expected | None) -> tuple[ImageData, DataRecord]:
    """The images of this name, and what was read: the first that have the expected content.

    Where none have, but others are allowed, the first that there are.
    """
    if name in SETS:
        record = DataRecord(name, None, store.digest(name))
        if expected is not None and not expected.allows(record):
            raise expected.differs(name)
        return store.read(name), record
    others: list[Path] = []
    unreadable: InputError | None = None
    for place in _places(name, expected):
        try:
            images, record = _read(name, place)
        except InputError as error:
            if expected is None:
                raise
            unreadable = unreadable or error
            continue
        if expected is None or record.sha256 == expected.record.sha256:
            return images, record
        others.append(place)
    if expected is not None and others:
        if not expected.allow_changed:
            raise expected.differs(str(others[0]))
        return _read(name, others[0])
    raise unreadable or _missing(name, "" if expected is None else expected.missing)


def _read(name: str, place: Path) -> tuple[ImageData, DataRecord]:
    images = by_path.read(place)
    return images, DataRecord(name, str(place.resolve()), digest(images.content))


def _places(name: str, expected: Expected | None = None) -> list[Path]:
    """Where there is something of this name, in the order in which it is looked for."""
    expect_nameable(name, f"--data {name}")
    path = Path(name)
    places = [path]
    if path.parts == (name,):
        places += [folder / name for folder in data_folders()]
    if expected is not None and expected.record.path is not None:
        expect_nameable(expected.record.path, f"{expected.of} read {expected.record.path}, which")
        recorded = Path(expected.record.path)
        places.append(recorded)
        if folder := os.environ.get("FUNCNN_DATA"):
            places += [Path(folder) / name, Path(folder) / recorded.name]
    return [place for place in dict.fromkeys(places) if by_path.find(place)]


def _missing(name: str, also: str = "") -> InputError:
    return InputError(
        f"--data {name}: neither a data set ({', '.join(NAMES)}) nor an existing file or folder"
        f"{also}{_suggestion(Path(name))}"
    )


def _suggestion(path: Path) -> str:
    """What may have been meant instead of a path that is nowhere, or what it can be of."""
    if path.is_symlink():
        return "; it is a link to what is not there"
    alone = path.parts == (path.name,)
    if not alone and not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    known = {_letters(name): name for name in NAMES} if alone else {}
    for folder in (Path(), *data_folders()) if alone else (path.parent,):
        if folder.is_dir():
            names = (*listings.DiskFolder(folder).folders, *listings.DiskFolder(folder).files)
            for name in names:
                known.setdefault(_letters(name), name if alone else str(folder / name))
    near = difflib.get_close_matches(_letters(path.name), known, n=1, cutoff=0.75)
    if near:
        return f"; did you mean {known[near[0]]}?"
    return f" ({by_path.FORMS})"


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _split_off_test(data: ImageData, name: str) -> tuple[Examples, Inputs, str]:
    """Training and test set, and what the latter is in words."""
    if data.train is None:
        missing = by_path.label_missing(name)
        raise InputError(f"--data {name} has images without labels: {missing}")
    images, labels = data.train
    classes = len(data.labels)
    # Of published classes some may be rare; of labels that are numbers of another kind all are.
    if data.class_names == data.labels and classes > max(_ALWAYS_FEW, len(labels) // 2):
        raise InputError(
            f"--data {name}: {classes} different labels ({data.labels[0]}, {data.labels[1]}, ...) "
            f"of {len(labels)} images are too many to be classes"
        )
    if data.test is not None:
        return data.train, data.test, "the test set"
    spare = len(labels) - len(np.unique(labels))  # one of each class is left to train on
    chosen, left = stratified_split(random.key(0), labels, min(len(labels) // 5, spare))
    if not len(chosen):
        raise InputError(
            f"--data {name}: {len(labels)} images are too few to set some aside to test"
        )
    test = images[chosen], labels[chosen]
    return (images[left], labels[left]), test, "a fifth of each class, set aside"


def _measure_pixels(images: Array) -> Normalization:
    """Mean and standard deviation of bytes as fractions of 255, exactly and in little memory."""
    counts = sum(
        np.bincount(chunk.ravel(), minlength=256)
        for chunk in np.array_split(images, max(1, len(images) // 5000))
    )
    values = np.arange(256) / 255
    mean = float(counts @ values / images.size)
    variance = float(counts @ (values - mean) ** 2 / images.size)
    return Normalization(255.0, mean, math.sqrt(variance) or 1.0)
