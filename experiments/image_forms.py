"""Data sets of images by their path, in any form that is known: which reader a path is for."""

from pathlib import Path

from funcnn.experiments import csv_files, idx, idx_sets, npz_files, png_folders
from funcnn.experiments.errors import InputError
from funcnn.experiments.image_data import ImageData, assemble, check_images

FORMS = (
    "a folder of four IDX files, of train.csv and test.csv or of PNGs by class, "
    "or a .csv, .npz or .zip file"
)


def find(path: Path) -> bool:
    """Whether there is something to read at a path, or in a folder or zip file one above it."""
    return path.exists() or _holds_sets(path.parent)


def read(path: Path) -> ImageData:
    """The images at a path: in one of `FORMS`, or an IDX file of images without labels.

    One of several sets in a folder or zip file is `gzip.zip/emnist-letters`, for instance.
    Raises `InputError` if it is in none of these forms, damaged, or too large.
    """
    if not path.exists():
        if not _holds_sets(path.parent):
            raise InputError(f"{path}: no such file or folder")
        read_sets = idx_sets.read_folder if path.parent.is_dir() else idx_sets.read_zip
        return read_sets(path.parent, f"{path.name}-")
    if path.is_dir():
        return _read_folder(path)
    readers = {".csv": csv_files.read_file, ".npz": npz_files.read_npz, ".zip": idx_sets.read_zip}
    if path.suffix.lower() in readers:
        return readers[path.suffix.lower()](path)
    return assemble(None, (check_images(idx.read_idx(path), str(path)), None), str(path))


def _holds_sets(place: Path) -> bool:
    if place.is_file():
        return place.suffix.lower() == ".zip"
    return place.is_dir() and any(idx_sets.is_idx_name(file.name) for file in place.iterdir())


def _read_folder(folder: Path) -> ImageData:
    if _holds_sets(folder):
        return idx_sets.read_folder(folder)
    if any(folder.glob("*.csv")):
        return csv_files.read_folder(folder)
    if png_folders.has_classes(folder):
        return png_folders.read_folder(folder)
    raise InputError(f"{folder} is no data set: give {FORMS}")
