"""EMNIST with its 47 classes: where it is, for it is too large to ship."""

from funcnn.experiments.data import store
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.data.formats import by_path
from funcnn.experiments.errors import InputError
from funcnn.experiments.paths import data_folders

EMNIST47 = "emnist47"
"""The folder in a data folder that has it; and, as the data of a trial, wherever it is."""
_OFFICIAL = ("emnist-balanced", "emnist-bymerge")
_CLASSES = 47


def find_emnist() -> str | None:
    """Its name for `--data`: a folder `emnist47` among the data folders, else an official set.

    The official ones are not downloaded for it; None: it is nowhere.
    """
    if any(by_path.find(folder / EMNIST47) for folder in data_folders()):
        return EMNIST47
    return next((name for name in _OFFICIAL if store.find(name)), None)


def expect_emnist(name: str) -> str:
    """The name or path of data with 47 classes, as it is given. Raises `InputError`."""
    classes = len(load_dataset(name, val_size=0, seed=0).class_names)
    if classes != _CLASSES:
        raise InputError(f"--data {name}: it has {classes} classes, and EMNIST here has {_CLASSES}")
    return name


def missing_emnist(lab: str) -> InputError:
    """What to say where a lab cannot do without it."""
    return InputError(
        f"{lab} needs EMNIST with 47 classes, and it was not found: give a folder of train.csv and "
        f"test.csv (or of IDX files) with --data, put one at $FUNCNN_DATA/{EMNIST47}, or download "
        "the official files (562 MB) with: funcnn data fetch emnist-balanced"
    )
