"""What every reader of image files returns, and the checks that they share."""

from typing import NamedTuple

import numpy as np
from funcnn.experiments.errors import InputError

from funcnn.types import Array

Examples = tuple[Array, Array]
Inputs = tuple[Array, Array | None]
"""Inputs, and their labels if they have any."""


class ImageData(NamedTuple):
    """The images that were read: bytes `(N, 1, H, W)`, and labels `(N,)` from 0 on.

    train: None if no image has a label. test: None if no set of its own was set aside for it.
    validation: None if there is none beside the training images.
    """

    train: Examples | None
    test: Inputs | None
    class_names: tuple[str, ...]
    validation: Examples | None = None

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
    low, high = float(images.min()), float(images.max())
    if low >= 0 and high <= 1:
        return f", from {low:g} to {high:g}: save (255 * x).round().astype('uint8')"
    if low >= 0 and high <= 255:
        return f", from {low:g} to {high:g}: save x.round().astype('uint8')"
    return f", from {low:g} to {high:g}"


def check_pair(images: Array, labels: Array, where: str) -> Examples:
    """Images `(N, H, W)` and labels `(N,)` as examples. Raises `InputError`."""
    with_channel = check_images(images, where)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(f"{where}: labels are {labels.dtype} of shape {labels.shape}, not (N,)")
    if len(images) != len(labels):
        raise InputError(f"{where}: {len(images)} images but {len(labels)} labels")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= max(len(labels), 256):  # or a damaged label would mean a huge network
        raise InputError(f"{where}: label {low if low < 0 else high} is out of range")
    return with_channel, labels


def assemble(
    train: Examples | None,
    test: Inputs | None,
    where: str,
    class_names: tuple[str, ...] | None = None,
    validation: Examples | None = None,
) -> ImageData:
    """A data set of checked parts; without names the classes are called by their numbers.

    Raises `InputError` if the parts do not fit together, or a label has no class.
    """
    if train is None:
        return ImageData(None, test, class_names or ())
    images, labels = train
    for part, other in (("validation", validation), ("test", test)):
        if other is not None and other[0].shape[1:] != images.shape[1:]:
            raise InputError(
                f"{where}: training images are {images.shape[2:]}, "
                f"but {part} images are {other[0].shape[2:]}"
            )
    if class_names is None:
        classes = int(labels.max()) + 1
        missing = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
        if missing.size:  # a damaged label, most likely, which would make the network larger
            raise InputError(
                f"{where}: there is a training label {classes - 1}, but none of class {missing[0]}"
            )
        class_names = tuple(str(label) for label in range(classes))
    parts = {"training": train, "validation": validation, "test": test}
    for part, found in ((part, None if both is None else both[1]) for part, both in parts.items()):
        if found is not None and int(found.max()) >= len(class_names):
            raise InputError(
                f"{where}: {part} label {int(found.max())} is not one of the "
                f"{len(class_names)} classes (0 .. {len(class_names) - 1})"
            )
    return ImageData(train, test, class_names, validation)
