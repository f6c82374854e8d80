"""Where EMNIST with its 47 classes is, which is too large to ship."""

from funcnn.experiments import image_forms, published
from funcnn.experiments.errors import InputError
from funcnn.experiments.lab import EMNIST47
from funcnn.experiments.places import data_folders

_OFFICIAL = ("emnist-balanced", "emnist-bymerge")


def find_emnist() -> str | None:
    """Its name for `--data`: a folder `emnist47` among the data folders, else an official set.

    The official ones are not downloaded for it; None: it is nowhere.
    """
    if any(image_forms.find(folder / EMNIST47) for folder in data_folders()):
        return EMNIST47
    return next((name for name in _OFFICIAL if published.find(name)), None)


def missing_emnist(lab: str) -> InputError:
    """What to say where a lab cannot do without it."""
    return InputError(
        f"{lab} needs EMNIST with 47 classes, and it was not found: give a folder of train.csv and "
        f"test.csv (or of IDX files) with --data, put one at $FUNCNN_DATA/{EMNIST47}, or download "
        "the official files (562 MB) with: funcnn data fetch emnist-balanced"
    )
