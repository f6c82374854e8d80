"""EMNIST as its authors published it: the names of its files, its classes, its transposed images.

G. Cohen et al., EMNIST: an extension of MNIST to handwritten letters, 2017, arXiv:1702.05373. Every
image of the official files (IDX, and the CSV made from them) has rows and columns exchanged.
"""

import re
import string
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from funcnn.experiments.errors import InputError
from funcnn.types import Array

_MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"


class Split(NamedTuple):
    """One of the six official sets: a character for each class, and the label of the first."""

    characters: str
    first_label: int = 0

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in order."""
        return tuple(self.characters)

    def expect_first(self, labels: Array, where: str) -> None:
        """Raise `InputError` for a label below the first, as those of other files may be."""
        numbers = labels.dtype.kind in "iu" and labels.size  # whoever checks them says it of others
        if numbers and int(labels.min()) < self.first_label:
            raise InputError(
                f"{where}: label {int(labels.min())}, but these begin at {self.first_label}"
            )


SPLITS = {
    "balanced": Split(_MERGED),
    "bymerge": Split(_MERGED),
    "byclass": Split(string.digits + string.ascii_uppercase + string.ascii_lowercase),
    "letters": Split(string.ascii_uppercase, first_label=1),
    "digits": Split(string.digits),
    "mnist": Split(string.digits),
}
_OFFICIAL = re.compile(rf"emnist-({'|'.join(SPLITS)})-(train|test)[-.]")


def official_set(file: str) -> str | None:
    """The set that an official file belongs to, as `emnist-balanced`; None for any other file."""
    match = _OFFICIAL.match(file)
    return f"emnist-{match[1]}" if match else None


def official_sets(files: Iterable[str]) -> list[str]:
    """The official sets that some of the files belong to, sorted."""
    return sorted({name for file in files if (name := official_set(file)) is not None})


def split_of(files: Iterable[str], where: str) -> Split | None:
    """The split that all the files are official files of, or None if none of them is one.

    Raises `InputError` if they are of different sets, for then their labels differ in meaning.
    """
    sets = {official_set(file) for file in files}
    if len(sets) > 1:
        names = ", ".join(sorted(name or "another" for name in sets))
        raise InputError(f"{where}: the files are of different sets ({names})")
    (name,) = sets
    return None if name is None else SPLITS[name.removeprefix("emnist-")]


def classes_of(split: Split | None) -> dict[str, Any]:
    """What `assemble` is to be told of the classes of a split; of other files, nothing."""
    if split is None:
        return {}
    return {"class_names": split.class_names, "first_label": split.first_label}


def upright(images: Array) -> Array:
    """Official images `(N, H, W)` as one reads them, `(N, W, H)`."""
    return np.ascontiguousarray(images.swapaxes(1, 2)) if images.ndim == 3 else images
