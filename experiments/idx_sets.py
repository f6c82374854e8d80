"""IDX files that make a data set, two or four or six, in a folder or in a zip file."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from zipfile import ZipInfo

from funcnn.experiments import emnist, idx
from funcnn.experiments.archives import open_zip
from funcnn.experiments.errors import InputError
from funcnn.experiments.image_data import Examples, ImageData, assemble, check_pair
from funcnn.experiments.listings import DiskFolder, is_left
from funcnn.experiments.set_parts import PARTS, file_part
from funcnn.files import read_text
from funcnn.types import Array


def is_idx_name(file: str) -> bool:
    """Whether a file is called as IDX files are; macOS's `._` file beside one is not."""
    return "ubyte" in file.lower() and not is_left(file)


def read_folder(folder: Path, prefix: str = "") -> ImageData:
    """The data set of a folder: an IDX file each of train and test images and labels.

    There may be two of validation images and labels, and those of the test set may be missing. Of a
    file that is there gzipped and plain the plain one is read. prefix: how their names begin, where
    a folder has several sets.
    `mapping.txt`, a line `label name` for each class, names the classes; official EMNIST files need
    none.
    Raises `InputError` if a file is missing or damaged, or they do not fit together.
    """
    files = DiskFolder(folder).files
    classes = _read_mapping(folder / "mapping.txt") if "mapping.txt" in files else {}
    files = [file for file in files if file.startswith(prefix)]
    return read_set(files, str(folder), lambda file: idx.read_idx(folder / file), classes)


def read_zip(path: Path, prefix: str = "") -> ImageData:
    """The data set of a zip file, such as the official one of EMNIST; as `read_folder`.

    Its files may be in any folders, but not in macOS's `__MACOSX`.
    """
    with open_zip(path) as archive:
        members: dict[str, ZipInfo] = {}
        for info in archive.infolist():
            place = PurePosixPath(info.filename)
            file = place.name
            if info.is_dir() or any(map(is_left, place.parts[:-1])) or not is_idx_name(file):
                continue
            if not file.startswith(prefix):
                continue
            if file in members:
                both = f"{members[file].filename} and {info.filename}"
                raise InputError(f"{path} has two files of one name: {both}")
            members[file] = info

        def read(file: str) -> Array:
            info = members[file]
            with archive.open(info) as content:
                return idx.read_stream(content, info.file_size, f"{path}: {info.filename}")

        return read_set(members, str(path), read)


def read_set(
    files: Iterable[str],
    where: str,
    read: Callable[[str], Array],
    classes: Mapping[str, Any] = MappingProxyType({}),
) -> ImageData:
    """The data set of the IDX files among `files`, each read with `read`; `where` they are.

    classes: what `assemble` is told of them. Official EMNIST files are known by their names, are
    turned upright and have names for classes. Raises `InputError`.
    """
    packed_first = sorted(
        filter(is_idx_name, files), key=lambda file: (not file.endswith(".gz"), file)
    )
    found = sorted({_plain_name(file): file for file in packed_first}.values())
    sets = emnist.official_sets(found)
    if len(sets) > 1:
        choices = ", ".join(f"{where}/{name}" for name in sets)
        raise InputError(f"{where} holds several sets; give one of {choices}")
    # What is of no part may be meant to be the test set.
    there = {file_part(file) or "test" for file in found} | {"train"}
    parts = [part for part in PARTS if part in there]
    chosen = {
        (part, kind): _only(found, where, part, kind)
        for part in parts
        for kind in ("images", "labels")
    }
    split = emnist.split_of(chosen.values(), where)

    def pair(part: str) -> Examples:
        file_of = {kind: chosen[part, kind] for kind in ("images", "labels")}
        images, labels = read(file_of["images"]), read(file_of["labels"])
        of_images, of_labels = (f"{where}/{file_of[kind]}" for kind in ("images", "labels"))
        if split is not None:
            images = emnist.upright(images)
            split.expect_first(labels, of_labels)
        return check_pair(images, labels, of_images, of_labels)

    train, test, validation = (
        pair(part) if part in parts else None for part in ("train", "test", "validation")
    )
    if split is not None:
        classes = emnist.classes_of(split)
    return assemble(train, test, where, validation=validation, **classes)


def _plain_name(file: str) -> str:
    """The same for files that are there twice: gzipped and plain, with -idx3 and with .idx3."""
    return file.lower().removesuffix(".gz").replace(".idx", "-idx")


def _only(files: list[str], where: str, part: str, kind: str) -> str:
    found = [file for file in files if kind in file.lower() and file_part(file) == part]
    if len(found) != 1:
        seen = ", ".join(found) or "none"
        raise InputError(f"{where}: one IDX file of {part} {kind} is needed, found {seen}")
    return found[0]


def _read_mapping(path: Path) -> dict[str, Any]:
    """What `assemble` is told of the classes."""
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{path} cannot be read as text: it is not UTF-8") from None
    first = 1 if lines and lines[0].startswith("1 ") else 0
    names = []
    for number, line in enumerate(lines):
        label, _, name = line.partition(" ")
        if label != str(first + number) or not name.strip():
            wanted = f"'{first + number} NAME'"
            raise InputError(f"{path}, line {number + 1}: {line[:40]!r} is not {wanted}")
        names.append(name.strip())
    if not names:
        raise InputError(f"{path} is empty")
    return {"class_names": tuple(names), "first_label": first}
