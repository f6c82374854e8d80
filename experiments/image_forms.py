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
    """Whether there is something to read at a path, one of several sets in a folder included."""
    return path.exists() or path.parent.is_file() or bool(_files(path.parent, f"{path.name}-"))


def is_set(place: Path) -> bool:
    """Whether a place looks like a folder of images in one of `FORMS`; nothing is read."""
    return place.is_dir() and (bool(_files(place, "")) or png_folders.has_classes(place))


def read(path: Path) -> ImageData:
    """The images at a path: in one of `FORMS`, or an IDX file of images without labels.

    One of several sets in a folder or zip file is `gzip.zip/emnist-letters`, for instance.
    Raises `InputError` if it is in none of these forms, damaged, or too large.
    """
    if not path.exists():
        if path.parent.is_file():
            return idx_sets.read_zip(path.parent, f"{path.name}-")
        return _read_folder(path.parent, f"{path.name}-")
    if path.is_dir():
        return _read_folder(path, "")
    if path.name.lower().endswith((".csv", ".csv.gz")):
        return csv_files.read_file(path)
    readers = {".npz": npz_files.read_npz, ".zip": idx_sets.read_zip}
    if path.suffix.lower() in readers:
        return readers[path.suffix.lower()](path)
    return assemble(None, (check_images(idx.read_idx(path), str(path)), None), str(path))


def _read_folder(folder: Path, prefix: str) -> ImageData:
    files = _files(folder, prefix)
    if any(map(idx_sets.is_idx_name, files)):
        return idx_sets.read_folder(folder, prefix)
    if files:
        return csv_files.read_folder(folder, prefix)
    if not prefix and png_folders.has_classes(folder):
        return png_folders.read_folder(folder)
    raise InputError(f"{folder} is no data set: give {FORMS}")


def _files(folder: Path, prefix: str) -> list[str]:
    """The IDX and CSV files of a folder whose names begin so."""
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    return [
        name
        for name in names
        if name.startswith(prefix) and (idx_sets.is_idx_name(name) or csv_files.is_csv_name(name))
    ]
