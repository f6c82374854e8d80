"""Data sets by name or path: where they are, whether they are whole, how they are split."""

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from funcnn.experiments import idx
from funcnn.experiments.errors import InputError
from funcnn.experiments.points import generate_XOR_easy, linear_points

from funcnn import random
from funcnn.random import Key
from funcnn.types import Array, Shape

Examples = tuple[Array, Array]


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
        inputs = x.astype(np.float32)
        inputs *= 1 / (self.scale * self.std)
        inputs -= self.mean / self.std
        return inputs


class Dataset(NamedTuple):
    """A data set, split. Inputs are as stored (bytes, for images); `normalization` makes floats."""

    name: str
    train: Examples
    validation: Examples | None
    test: Examples
    test_is: str
    """What the test set is, in words."""
    class_names: tuple[str, ...]
    normalization: Normalization

    @property
    def input_shape(self) -> Shape:
        """The shape of one input."""
        return tuple(self.train[0].shape[1:])


class ImageFiles(NamedTuple):
    """A set of four IDX files. A file is its name without `.gz`, and the SHA-256 of its bytes."""

    title: str
    licence: str
    class_names: tuple[str, ...]
    train_images: tuple[str, str]
    train_labels: tuple[str, str]
    test_images: tuple[str, str]
    test_labels: tuple[str, str]
    packaged: tuple[str, ...] = ()
    """Folders where a package of the operating system keeps it."""


IMAGE_SETS = {
    "fashion-mnist": ImageFiles(
        "Fashion-MNIST: 70,000 pictures of clothing, 28 x 28 grey, 10 classes",
        "MIT, Zalando SE",
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        (
            "train-images-idx3-ubyte",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        (
            "train-labels-idx1-ubyte",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        (
            "t10k-images-idx3-ubyte",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        (
            "t10k-labels-idx1-ubyte",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        ("/usr/share/datasets/fashion-mnist",),
    ),
    "mnist": ImageFiles(
        "MNIST: 70,000 handwritten digits, 28 x 28 grey, 10 classes",
        "CC BY-SA 3.0, LeCun, Cortes, Burges",
        tuple("0123456789"),
        (
            "train-images-idx3-ubyte",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            "train-labels-idx1-ubyte",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            "t10k-images-idx3-ubyte",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            "t10k-labels-idx1-ubyte",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
}

_POINT_CLASSES = ("0", "1")
POINT_SETS: dict[str, tuple[str, Callable[[Key], Examples]]] = {
    "points-linear": ("100 random points, on either side of the diagonal", linear_points),
    "points-xor": ("21 points on the two diagonals", lambda rng: generate_XOR_easy()),
}
NAMES = (*IMAGE_SETS, *POINT_SETS)


DEFAULT_VAL_SIZE = 10_000
"""How many training images are set aside for validation unless the user says otherwise."""


def load_dataset(name: str, *, val_size: int, seed: int) -> Dataset:
    """The data set of a name in `NAMES`, or of a folder of IDX files, split by the seed.

    val_size: how many training examples become the validation set, the same share of each class.
    Raises `InputError` if it is unknown, not found, damaged, or too small.
    """
    split_rng, points_rng = random.split(random.fold_in(random.key(seed), 0))
    if name in POINT_SETS:
        points = POINT_SETS[name][1](points_rng)
        train, test = points, points
        test_is = "all the points" if val_size else "the training points, as the lab asks"
        class_names: tuple[str, ...] = _POINT_CLASSES
        normalization: Normalization | None = Normalization(1.0, 0.0, 1.0)
    else:
        train, test, class_names = _load_images(name)
        test_is = "the test set"
        normalization = None
    chosen, left = stratified_split(split_rng, train[1].ravel(), val_size)
    validation = (train[0][chosen], train[1][chosen]) if val_size else None
    if val_size:
        train = train[0][left], train[1][left]
    if normalization is None:
        normalization = _measure_pixels(train[0])
    return Dataset(name, train, validation, test, test_is, class_names, normalization)


def load_inputs(name: str) -> Array:
    """Inputs to predict: the test inputs of a named set, or an IDX file of images.

    Returns `(N, 1, height, width)` bytes, or points `(N, 2)`. Raises `InputError`.
    """
    if name in POINT_SETS or name in IMAGE_SETS:
        return load_dataset(name, val_size=0, seed=0).test[0]
    return _with_channel(_check_images(idx.read_idx(name), name))


def stratified_split(rng: Key, labels: Array, size: int) -> tuple[Array, Array]:
    """Indices of `size` examples with each class's share of them, and of the rest; both ascending.

    The shares are rounded so that they add up, largest remainder first.
    Raises `InputError` unless 0 <= size < the number of labels.
    """
    if not 0 <= size < len(labels):
        raise InputError(
            f"--val-size {size} leaves nothing to train on: there are {len(labels)} examples"
        )
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * size / len(labels)
    quotas = np.floor(shares).astype(int)
    by_remainder = np.argsort(quotas - shares, kind="stable")
    quotas[by_remainder[: size - quotas.sum()]] += 1
    chosen = np.zeros(len(labels), bool)
    for index, (label, quota) in enumerate(zip(classes, quotas, strict=True)):
        members = np.flatnonzero(labels == label)
        order = random.permutation(random.fold_in(rng, index), len(members))
        chosen[members[order[:quota]]] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


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


# --- image files -----------------------------------------------------------------------------


def search_places(name: str) -> list[Path]:
    """The folders where a named image set may be, in the order in which they are tried."""
    places = []
    if os.environ.get("FUNCNN_DATA"):
        places.append(Path(os.environ["FUNCNN_DATA"]) / name)
    places.append(Path(__file__).resolve().parent.parent / "data" / name)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    places.append(Path(cache) / "funcnn" / name)
    return places + [Path(folder) for folder in IMAGE_SETS[name].packaged]


def find_folder(name: str) -> Path | None:
    """The first folder that has all four files of a named image set, or None."""
    files = IMAGE_SETS[name]
    names = [files.train_images, files.train_labels, files.test_images, files.test_labels]
    for place in search_places(name):
        if all(_packed_or_plain(place, file) for file, _ in names):
            return place
    return None


def _packed_or_plain(folder: Path, name: str) -> Path | None:
    for candidate in (folder / f"{name}.gz", folder / name):
        if candidate.exists():
            return candidate
    return None


def _load_images(name: str) -> tuple[Examples, Examples, tuple[str, ...]]:
    if name in IMAGE_SETS:
        return _load_named(name)
    if not Path(name).exists():
        raise InputError(
            f"--data {name}: neither a data set ({', '.join(NAMES)}) nor an existing folder"
        )
    return _load_folder(Path(name))


def _load_named(name: str) -> tuple[Examples, Examples, tuple[str, ...]]:
    files = IMAGE_SETS[name]
    folder = find_folder(name)
    if folder is None:
        tried = ", ".join(str(place) for place in search_places(name))
        raise InputError(
            f"the data set {name} was not found (looked in {tried}); put its four IDX files in one "
            "of these folders, or set FUNCNN_DATA to the folder above it"
        )

    def read(file: tuple[str, str]) -> Array:
        path = _packed_or_plain(folder, file[0])
        assert path is not None  # find_folder saw it
        content = idx.read_bytes(path)
        array = idx.parse(content, str(path))
        if hashlib.sha256(content).hexdigest() != file[1]:
            raise InputError(f"{path} is not the published file: its SHA-256 differs")
        return array

    train = _pair(read(files.train_images), read(files.train_labels), f"{folder} (train)")
    test = _pair(read(files.test_images), read(files.test_labels), f"{folder} (test)")
    return train, test, files.class_names


def _load_folder(folder: Path) -> tuple[Examples, Examples, tuple[str, ...]]:
    if not folder.is_dir():
        raise InputError(f"--data {folder} is a file; give the folder of the four IDX files")
    train = _read_pair(folder, ("train",))
    test = _read_pair(folder, ("t10k", "test"))
    if train[0].shape[1:] != test[0].shape[1:]:
        sizes = f"{train[0].shape[2:]}, but test images are {test[0].shape[2:]}"
        raise InputError(f"{folder}: training images are {sizes}")
    classes = int(train[1].max()) + 1
    missing = np.flatnonzero(np.bincount(train[1], minlength=classes) == 0)
    if missing.size:  # a damaged label, most likely, which would make the network larger
        raise InputError(
            f"{folder}: there is a training label {classes - 1}, but none of class {missing[0]}"
        )
    if int(test[1].max()) >= classes:
        raise InputError(
            f"{folder}: test label {int(test[1].max())} is not a class of the training labels "
            f"(0 .. {classes - 1})"
        )
    return train, test, tuple(str(label) for label in range(classes))


def _read_pair(folder: Path, parts: tuple[str, ...]) -> Examples:
    def only(kind: str) -> Path:
        found = sorted(path for part in parts for path in folder.glob(f"*{part}*{kind}*ubyte*"))
        if len(found) != 1:
            seen = ", ".join(path.name for path in found) or "none"
            raise InputError(
                f"{folder}: one IDX file of {parts[-1]} {kind} is needed, found {seen}"
            )
        return found[0]

    images, labels = only("images"), only("labels")
    return _pair(idx.read_idx(images), idx.read_idx(labels), f"{images} and {labels}")


def _pair(images: Array, labels: Array, where: str) -> Examples:
    images = _check_images(images, where)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(f"{where}: labels are {labels.dtype} of shape {labels.shape}, not (N,)")
    if len(images) != len(labels):
        raise InputError(f"{where}: {len(images)} images but {len(labels)} labels")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= max(len(labels), 256):  # or a damaged label would mean a huge network
        raise InputError(f"{where}: label {low if low < 0 else high} is out of range")
    return _with_channel(images), labels


def _check_images(images: Array, where: str) -> Array:
    if images.ndim != 3 or images.dtype != np.uint8 or 0 in images.shape:
        raise InputError(
            f"{where}: images must be bytes (N, height, width) with N at least 1, "
            f"got {images.dtype} of shape {images.shape}"
        )
    return images


def _with_channel(images: Array) -> Array:
    return images[:, np.newaxis]  # (N, 1, H, W)
