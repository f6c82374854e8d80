"""What every reader of image files returns, and the checks that they share."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from funcnn._written import by_shapes
from funcnn.experiments.errors import InputError, expect_text, printable
from funcnn.types import Array

_NUMBER = re.compile(r"0|-?[1-9]\d{0,17}")

Examples = tuple[Array, Array]
Inputs = tuple[Array, Array | None]
"""Inputs, and their labels if they have any."""


@by_shapes
class ImageData(NamedTuple):
    """The images that were read: bytes `(N, 1, H, W)`, and labels `(N,)` from 0 on.

    train: None if no image has a label. test: None if no set of its own was set aside for it.
    validation: None if there is none beside the training images.
    """

    train: Examples | None
    test: Inputs | None
    class_names: tuple[str, ...]
    labels: tuple[str, ...]
    """How the data write the label of each class."""
    validation: Examples | None = None
    ids: Array | None = None
    """What the data call each of `inputs`, `(N,)`, integers or words; None: nothing."""
    files: tuple[str, ...] = ()
    """The pictures that `inputs` were read from, each by its name, or none."""

    @property
    def content(self) -> tuple[Inputs | tuple[str, ...] | None, ...]:
        """What a run can depend on."""
        return self.train, self.test, self.class_names, self.labels, self.validation

    @property
    def inputs(self) -> Array:
        """The images to predict: those of the test set, or all where there is none."""
        part = self.test or self.train
        assert part is not None  # a reader finds at least one image
        return part[0]


def check_images(images: Array, where: str) -> Array:
    """Images `(N, H, W)` with their channel, `(N, 1, H, W)`. Raises `InputError`."""
    if images.ndim != 3 or images.dtype != np.uint8 or 0 in images.shape:
        raise InputError(
            f"{where}: images must be bytes (uint8, 0 to 255) of shape (N, height, width), N at "
            f"least 1, got {images.dtype} of shape {images.shape}{_remedy(images)}"
        )
    return images[:, np.newaxis]


def _remedy(images: Array) -> str:
    """How images of another kind become bytes, if it is clear."""
    if images.ndim == 4 and 3 in (images.shape[1], images.shape[3]):
        return ": these are in colour; save their grey, (N, height, width)"
    if images.dtype == np.uint8 or images.dtype.kind not in "iufb" or not images.size:
        return ""
    if images.ndim == 1:
        return ""
    low, high = float(images.min()), float(images.max())
    if low >= 0 and high <= 1:
        return f", from {low:g} to {high:g}: save (255 * x).round().astype('uint8')"
    if low >= 0 and high <= 255 and (images.ndim > 2 or (images == np.floor(images)).all()):
        return f", from {low:g} to {high:g}: save x.round().astype('uint8')"
    return f", from {low:g} to {high:g}"


def check_pair(images: Array, labels: Array, where: str, labels_where: str) -> Examples:
    """Images `(N, H, W)` and labels `(N,)`, integers, truth values or words, as examples.

    Raises `InputError`, which says where the images are, or the labels.
    """
    if images.ndim == 1 and labels.ndim > 1:
        raise InputError(
            f"{where} has shape {images.shape}, and {labels_where} {labels.shape}: images and "
            "labels are exchanged"
        )
    with_channel = check_images(images, where)
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{labels_where}: labels are bytes that are no UTF-8 text") from None
    if labels.dtype.kind == "b":
        labels = labels.astype(str)
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise InputError(
            f"{labels_where}: labels are {labels.dtype} of shape {labels.shape}, "
            f"not integers or words (N,){_remedy_of_labels(labels)}"
        )
    if len(images) != len(labels):
        within = "" if labels_where == where else f" in {labels_where}"
        raise InputError(f"{where}: {len(images)} images but {len(labels)} labels{within}")
    return with_channel, labels


def _remedy_of_labels(labels: Array) -> str:
    """How labels of another kind become integers, if it is clear."""
    if labels.dtype.kind not in "iuf" or not labels.size:
        return ""
    if labels.ndim == 2 and ((labels != 0).sum(axis=1) == 1).all():
        return ": these are one-hot, save y.argmax(axis=1)"
    if labels.ndim == 1 and (labels == np.floor(labels)).all():
        return ": save y.astype(int)"
    return ""


def assemble(
    train: Examples | None,
    test: Inputs | None,
    where: str,
    class_names: tuple[str, ...] | None = None,
    validation: Examples | None = None,
    first_label: int = 0,
) -> ImageData:
    """A data set of checked parts, whose labels, as they are written, become indices of classes.

    class_names: of the labels `first_label` and those after it, or the words that the labels are.
    Without them the classes are what the training labels are: numbers by value, words by code
    point.
    Raises `InputError` if the parts do not fit together, a label has no class, or a class no name.
    """
    if train is None:
        return ImageData(None, test, class_names or (), ())
    images, written = train
    for part, other in (("validation", validation), ("test", test)):
        if other is not None and other[0].shape[1:] != images.shape[1:]:
            raise InputError(
                f"{where}: training images are {_size(images)} pixels, width x height, but {part} "
                f"images are {_size(other[0])}: resize them to one size"
            )
    if class_names is None:
        labels = _classes_of(written)
    elif written.dtype.kind == "U":
        labels = class_names
    else:
        labels = tuple(str(first_label + index) for index in range(len(class_names)))
    for name in class_names or labels:
        expect_text(name, f"{where}: the name of class {name[:40]!r}")
        if not name or printable(name) != name:
            shown = f"called {name[:40]!r}" if name else "called nothing"
            raise InputError(f"{where}: a class is {shown}: give it a name that can be printed")
    train = images, _indices(written, labels, f"{where}: training")
    if validation is not None:
        indices = _indices(validation[1], labels, f"{where}: validation")
        validation = validation[0], indices
    if test is not None and test[1] is not None:
        test = test[0], _indices(test[1], labels, f"{where}: test")
    return ImageData(train, test, class_names or labels, labels, validation)


def _size(images: Array) -> str:
    height, width = images.shape[2:]
    return f"{width} x {height}"


def _classes_of(labels: Array) -> tuple[str, ...]:
    """What the labels are, in order."""
    names = [str(label) for label in np.unique(labels)]
    if all(_NUMBER.fullmatch(label) for label in names):
        names.sort(key=int)
    return tuple(names)


def _indices(written: Array, labels: tuple[str, ...], part: str) -> Array:
    """Which of the classes each label is; the labels themselves if they are 0, 1, ... already."""
    values, which = np.unique(written, return_inverse=True)
    places = {label: index for index, label in enumerate(labels)}
    indices = [places.get(str(value)) for value in values]
    counted = are_counted(labels)
    if None in indices:
        unknown = values[[place is None for place in indices]][-1]
        shown = repr(str(unknown)[:40]) if written.dtype.kind == "U" else unknown
        few = counted or len(labels) > 12
        known = f"{labels[0]} .. {labels[-1]}" if few else ", ".join(labels)
        raise InputError(f"{part} label {shown} is not one of the {len(labels)} classes ({known})")
    if counted and written.dtype.kind in "iu":
        return written
    return np.array(indices, np.int64)[which]


def are_counted(labels: Sequence[str]) -> bool:
    """Whether labels are 0, 1, 2 and so on, the indices of their classes."""
    return all(label == str(index) for index, label in enumerate(labels))
