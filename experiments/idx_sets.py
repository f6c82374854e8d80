"""Four IDX files that make a data set, in a folder or in a zip file."""

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from zipfile import ZipInfo

from funcnn.experiments import emnist, idx
from funcnn.experiments.archives import open_zip
from funcnn.experiments.errors import InputError
from funcnn.experiments.image_data import Examples, ImageData, assemble, check_pair
from funcnn.experiments.listings import DiskFolder, is_left
from funcnn.experiments.set_parts import is_validation

from funcnn.files import read_text
from funcnn.types import Array

_PARTS = {"train": ("train",), "test": ("t10k", "test")}


def is_idx_name(file: str) -> bool:
    """Whether a file is called as IDX files are; macOS's `._` file beside one is not."""
    return "ubyte" in file.lower() and not is_left(file)


def read_folder(folder: Path, prefix: str = "") -> ImageData:
    """The data set of a folder: an IDX file each of train and test images and labels.

    There may be two of validation images and labels. Of a file that is there gzipped and plain the
    plain one is read. prefix: how their names begin, where a folder has several sets.
    `mapping.txt`, a line `index name` for each class, names the classes; official EMNIST files need
    none.
    Raises `InputError` if a file is missing or damaged, or they do not fit together.
    """
    files = DiskFolder(folder).files
    names = _read_mapping(folder / "mapping.txt") if "mapping.txt" in files else None
    files = [file for file in files if file.startswith(prefix)]
    return read_set(files, str(folder), lambda file: idx.read_idx(folder / file), names)


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
    class_names: tuple[str, ...] | None = None,
) -> ImageData:
    """The data set of the four IDX files among `files`, each read with `read`; `where` they are.

    Official EMNIST files are known by their names, are turned upright and have names for classes.
    Raises `InputError`.
    """
    found = sorted(filter(is_idx_name, files))
    found = [file for file in found if file.removesuffix(".gz") == file or file[:-3] not in found]
    sets = emnist.official_sets(found)
    if len(sets) > 1:
        choices = ", ".join(f"{where}/{name}" for name in sets)
        raise InputError(f"{where} holds several sets; give one of {choices}")
    parts = ("train", "test", *["validation"] * any(map(is_validation, found)))
    chosen = {
        (part, kind): _only(found, where, part, kind)
        for part in parts
        for kind in ("images", "labels")
    }
    split = emnist.split_of(chosen.values(), where)

    def pair(part: str) -> Examples:
        file_of = {kind: chosen[part, kind] for kind in ("images", "labels")}
        images, labels = read(file_of["images"]), read(file_of["labels"])
        blame = f"{where}/{file_of['images']} and {where}/{file_of['labels']}"
        if split is not None:
            images, labels = emnist.upright(images), split.from_first(labels, blame)
        return check_pair(images, labels, blame)

    names = split.class_names if split is not None else class_names
    validation = pair("validation") if "validation" in parts else None
    return assemble(pair("train"), pair("test"), where, names, validation)


def _only(files: list[str], where: str, part: str, kind: str) -> str:
    found = [file for file in files if kind in file.lower() and _is_of(file.lower(), part, kind)]
    if len(found) != 1:
        seen = ", ".join(found) or "none"
        raise InputError(f"{where}: one IDX file of {part} {kind} is needed, found {seen}")
    return found[0]


def _is_of(file: str, part: str, kind: str) -> bool:
    before = file.split(kind)[0]
    if is_validation(before):
        return part == "validation"
    return any(word in before for word in _PARTS.get(part, ()))


def _read_mapping(path: Path) -> tuple[str, ...]:
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from None
    names = []
    for number, line in enumerate(lines):
        index, _, name = line.partition(" ")
        if index != str(number) or not name.strip():
            raise InputError(f"{path}, line {number + 1}: {line[:40]!r} is not '{number} NAME'")
        names.append(name.strip())
    if not names:
        raise InputError(f"{path} is empty")
    return tuple(names)
