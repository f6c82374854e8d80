"""Data sets of images by their path, in any form that is known: which reader a path is for."""

from collections.abc import Callable
from pathlib import Path

from funcnn.experiments.data.formats import csv_files, idx, image_folders, npz_files
from funcnn.experiments.data.formats.csv_columns import NO_LABEL
from funcnn.experiments.data.formats.image_files import is_image_name
from funcnn.experiments.data.formats.listings import DiskFolder, Folder, zipped
from funcnn.experiments.data.formats.set_parts import file_part
from funcnn.experiments.data.formats.zip_files import open_zip
from funcnn.experiments.data.images import ImageData, assemble, check_images
from funcnn.experiments.errors import InputError
from funcnn.types import Array

FORMS = (
    "a folder of four IDX files, of train.csv and test.csv or of pictures by class, "
    "or a .csv, .csv.gz, .npz or .zip file"
)
_UNPACKED = (".csv", ".csv.gz", ".npz", ".npy")  # are not read inside a zip file
_DEEPEST = 2
"""How many folders a set may be below the one that is given."""


def label_missing(name: str) -> str:
    """Why images that were read from a path of this name have no labels, or what has some."""
    return NO_LABEL if csv_files.is_csv_name(Path(name).name) else f"give {FORMS}"


def find(path: Path) -> bool:
    """Whether there is something to read at a path, one of several sets in a folder included."""
    return path.exists() or _in_zip(path) or bool(_files(path.parent, f"{path.name}-"))


def _in_zip(path: Path) -> bool:
    """Whether it names one of several sets in a zip file."""
    return path.parent.suffix.lower() == ".zip" and path.parent.is_file()


def is_set(place: Path) -> bool:
    """Whether a place looks like a folder of images in one of `FORMS`; nothing is read."""
    return place.is_dir() and len(_sets_in(DiskFolder(place), _is_set)) == 1


def read(path: Path) -> ImageData:
    """The images at a path: in one of `FORMS`, or images without labels.

    Those are an IDX file of images, an `.npy` file, a picture, or a folder of pictures, in order of
    their names.
    A folder may also be the one above a set, as `data/MNIST` is above torchvision's `raw`.
    One of several sets in a folder or zip file is `gzip.zip/emnist-letters`, for instance.
    Raises `InputError` if it is in none of these forms, damaged, or too large.
    """
    if not path.exists():
        if _in_zip(path):
            return idx.read_zip(path.parent, f"{path.name}-")
        return _read_files(path.parent, f"{path.name}-")
    if path.is_dir():
        return _read_folder(path)
    if path.name.lower().endswith((".csv", ".csv.gz")):
        return csv_files.read_file(DiskFolder(path.parent), path.name)
    readers = {".npz": npz_files.read_npz, ".zip": _read_zip}
    if path.suffix.lower() in readers:
        return readers[path.suffix.lower()](path)
    if path.suffix.lower() == ".npy":
        return _unlabelled(npz_files.read_npy(path), path)
    if is_image_name(path.name):
        return _unlabelled(image_folders.read_one(DiskFolder(path.parent), path.name), path)
    try:
        return _unlabelled(check_images(idx.read_idx(path), str(path)), path)
    except idx.NoIdxError:
        if idx.is_idx_name(path.name):
            raise
        raise InputError(f"{path} is in no form that is read: give {FORMS}") from None


def pictures(path: Path) -> image_folders.PictureFiles | None:
    """The picture at a path, or those in a folder in order of their names; None: it is a data set.

    That is what `read` would read from it. Raises `InputError` if it cannot be listed.
    """
    if not path.is_dir():
        named = is_image_name(path.name) and path.exists()
        return [(DiskFolder(path.parent), path.name)] if named else None
    folder = DiskFolder(path)
    if _sets_in(folder, _is_set) or _files(path, "") or not image_folders.has_images(folder):
        return None
    return image_folders.in_order(folder)


def _read_folder(path: Path) -> ImageData:
    folder = DiskFolder(path)
    set_folder = _only(_sets_in(folder, _is_set), path)
    if set_folder is not None and not _has_train_file(set_folder):
        return image_folders.read_classes(set_folder)
    if set_folder is not None or _files(path, ""):
        return _read_files(path if set_folder is None else Path(set_folder.where), "")
    if image_folders.has_images(folder):
        return image_folders.read_flat(folder)
    raise InputError(f"{path} is no data set: give {FORMS}")


def _read_zip(path: Path) -> ImageData:
    with open_zip(path) as archive:
        if any(idx.is_idx_name(Path(name).name) for name in archive.namelist()):
            return idx.read_zip(path)
        folder = zipped(archive, path)
        set_folder = _only(_sets_in(folder, image_folders.has_classes), path)
        if set_folder is not None:
            return image_folders.read_classes(set_folder)
        if image_folders.has_images(folder):
            return image_folders.read_flat(folder)
        set_folder = _only(_sets_in(folder, _has_train_file), path)
        if set_folder is not None:
            return csv_files.read_folder(set_folder)
        tables = [file for file in folder.files if csv_files.is_csv_name(file)]
        if folder.files == [path.stem]:  # as pandas calls it in x.zip
            tables = folder.files
        if len(tables) == 1:
            return csv_files.read_file(folder, tables[0])
        inside = [name for name in archive.namelist() if name.lower().endswith(_UNPACKED)]
    raise InputError(
        f"{path} has neither IDX files of train images nor folders of pictures, one for each "
        "class, nor train.csv"
        + (f"; unpack it, and give {inside[0]} or the folder that has it" if inside else "")
    )


def _read_files(folder: Path, prefix: str) -> ImageData:
    if any(map(idx.is_idx_name, _files(folder, prefix))):
        return idx.read_folder(folder, prefix)
    return csv_files.read_folder(DiskFolder(folder), prefix)


def _unlabelled(images: Array, path: Path) -> ImageData:
    return assemble(None, (images, None), str(path))


def _is_set(folder: Folder) -> bool:
    return _has_train_file(folder) or image_folders.has_classes(folder)


def _has_train_file(folder: Folder) -> bool:
    """Whether it is a folder of IDX or CSV files, not one that has some other table in it."""
    files = filter(idx.is_idx_name, folder.files)
    tables = (
        name for name in folder.files if csv_files.is_csv_name(name) and file_part(name) == "train"
    )
    return any(files) or any(tables)


def _sets_in(
    folder: Folder, is_set: Callable[[Folder], bool], deepest: int = _DEEPEST
) -> list[Folder]:
    """The folder if it is a set, or the sets below it."""
    if is_set(folder):
        return [folder]
    below = folder.folders.values() if deepest else ()
    return [set_folder for inner in below for set_folder in _sets_in(inner, is_set, deepest - 1)]


def _only(folders: list[Folder], path: Path) -> Folder | None:
    if len(folders) > 1:
        choices = ", ".join(folder.where for folder in folders[:8])
        raise InputError(f"{path} holds several data sets; give one of {choices}")
    return folders[0] if folders else None


def _files(folder: Path, prefix: str) -> list[str]:
    """The IDX and CSV files of a folder whose names begin so."""
    return [
        name
        for name in (DiskFolder(folder).files if folder.is_dir() else ())
        if name.startswith(prefix) and (idx.is_idx_name(name) or csv_files.is_csv_name(name))
    ]
