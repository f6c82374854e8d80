"""The published data sets on this machine: found, verified, read, and downloaded if need be."""

import contextlib
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from funcnn._files import open_regular
from funcnn.experiments.data.catalog import SETS, Archive, PublishedFile, url_of
from funcnn.experiments.data.formats import idx
from funcnn.experiments.data.formats.listings import open_file
from funcnn.experiments.data.formats.zip_files import open_zip
from funcnn.experiments.data.images import ImageData, assemble
from funcnn.experiments.errors import InputError
from funcnn.experiments.paths import cache_folder, data_folders
from funcnn.types import Array

_SPARE = 1 << 20  # what gzip may add to a file, generously


class Verdict(NamedTuple):
    """Whether a file is the published one; `wrong` says what it is otherwise."""

    file: str
    wrong: str | None


def search_places(name: str) -> list[Path]:
    """Where a published set may be, in the order in which it is looked for: folders, zip files.

    Those of torchvision only where there are such.
    """
    archive, places = SETS[name].archive, []
    for folder in data_folders():
        raw = folder / SETS[name].torchvision
        places += [folder / name, *[raw] * raw.is_dir()]
        if archive is not None:
            places.append(folder / archive.folder / archive.file)
            places += [raw / archive.file] * raw.is_dir()
    return places + [Path(folder) for folder in SETS[name].packaged]


def find(name: str) -> Path | None:
    """The first place that has all four files of a published set, or None."""
    for place in search_places(name):
        if place.suffix == ".zip":
            if place.is_file():
                return place
        elif all(_kept(name, place, file) for file in SETS[name].files):
            return place
    return None


def place_of(name: str) -> Path:
    """As `find`. Raises `InputError`, with all the places, if it is nowhere."""
    place = find(name)
    if place is None:
        raise InputError(
            f"the data set {name} was not found (looked in {_listed(search_places(name))}); "
            f"funcnn data fetch {name} downloads it, or set FUNCNN_DATA to the folder above it"
        )
    return place


def size_of(name: str, place: Path) -> int:
    """How many bytes the files of a published set take, where they are."""
    if place.suffix == ".zip":
        return place.stat().st_size
    kept = (_kept(name, place, file) for file in SETS[name].files)
    return sum(path.stat().st_size for path in kept if path is not None)


def read(name: str) -> ImageData:
    """A published set, each file verified; downloaded to the user's cache if it is nowhere.

    Raises `InputError` if it is damaged, or neither found nor to be had.
    """
    place = find(name) or _fetch_missing(name)
    files = {f"{file.name}.gz": file for file in SETS[name].files}
    data = idx.read_set(files, str(place), lambda key: _read(name, place, files[key]))
    return assemble(data.train, data.test, str(place), SETS[name].class_names)


def digest(name: str) -> str:
    """One SHA-256 of a published set, by its files' checksums, which `read` compares."""
    return hashlib.sha256("".join(file.sha256 for file in SETS[name].files).encode()).hexdigest()


def verify(name: str) -> list[Verdict]:
    """Compare every file of a set with its checksum. Raises `InputError` if the set is nowhere."""
    place = place_of(name)
    verdicts = []
    for file in SETS[name].files:
        try:
            _read(name, place, file)
        except InputError as error:
            verdicts.append(Verdict(f"{place / file.name}", str(error)))
        else:
            verdicts.append(Verdict(f"{place / file.name}", None))
    return verdicts


def fetch(name: str, into: Path | None = None) -> Path:
    """Download a set, even if another place has it, to a folder of its name in `into` or the cache.

    What is there already is verified and kept. Returns the place, a folder or a zip file.
    Raises `InputError` if it cannot be had, is not the published one, or cannot be written.
    """
    from funcnn.experiments.data.download import download  # ssl and http take as long as NumPy

    published, folder = SETS[name], into or cache_folder()
    if published.archive is not None:
        archive = published.archive
        place = folder / archive.folder / archive.file
        if not place.exists():
            download(
                url_of(name, archive.file),
                place,
                functools.partial(_wrong_archive, archive=archive),
                archive.size,
                _note(name, url_of(name, archive.file), place),
            )
        elif wrong := _wrong_archive(place, archive):
            raise InputError(f"{place} is there already, but {wrong}; move it away")
        return place
    place = folder / name
    note = _note(name, url_of(name, ""), place)
    for file in published.files:
        if _kept(name, place, file):
            _read(name, place, file)
            continue
        target = place / f"{file.name}.gz"
        download(
            url_of(name, target.name),
            target,
            functools.partial(_wrong_file, file=file),
            file.size + _SPARE,
            note,
        )
        note = ""
    return place


def _fetch_missing(name: str) -> Path:
    try:
        return fetch(name)
    except InputError as error:
        raise InputError(
            f"the data set {name} was not found (looked in {_listed(search_places(name))}) and not "
            f"downloaded: {error}. With a connection, funcnn data fetch {name} does it; or set "
            "FUNCNN_DATA to the folder above it"
        ) from None


def _note(name: str, url: str, place: Path) -> str:
    return f"downloading {name} ({SETS[name].download / 1e6:.0f} MB) from {url} to {place}"


def _listed(places: list[Path]) -> str:
    return ", ".join(str(place) for place in places)


# --- files -----------------------------------------------------------------------------------


def _kept(name: str, folder: Path, file: PublishedFile) -> Path | None:
    """The file in a folder, packed or, where its checksum is that of the unpacked bytes, plain."""
    names = [f"{file.name}.gz"] + [file.name] * (not SETS[name].packed_sums)
    return next((folder / kept for kept in names if (folder / kept).exists()), None)


@contextlib.contextmanager
def _opened(name: str, place: Path, file: PublishedFile) -> Iterator[tuple[IO[bytes], int, str]]:
    """A file of a set in its folder or zip file: the stream, its length, and what to call it."""
    if place.suffix == ".zip":
        with open_zip(place) as archive:
            for info in archive.infolist():
                if PurePosixPath(info.filename).name == f"{file.name}.gz":
                    with archive.open(info) as member:
                        yield member, info.file_size, f"{place}: {info.filename}"
                    return
            raise InputError(f"{place} has no {file.name}.gz")
    path = _kept(name, place, file)
    if path is None:
        raise InputError(f"{place / file.name} is missing")
    with open_file(path) as (stream, size):
        yield stream, size, str(path)


def _read(name: str, place: Path, file: PublishedFile) -> Array:
    """The array in a file. Raises `InputError` unless it is the published one."""
    with _opened(name, place, file) as (stream, size, where):
        array = idx.read_stream(stream, size, where)
        if SETS[name].packed_sums:
            stream.seek(0)
            # `readinto`, which it asks for, is none of IO's methods, but both streams have it.
            digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        else:
            digest = idx.sha256(array)
    if digest != file.sha256:
        raise InputError(f"{where} is not the published file: its SHA-256 differs ({digest})")
    return array


def _wrong_file(part: Path, file: PublishedFile) -> str | None:
    """What is wrong with a downloaded file whose checksum is that of its unpacked bytes."""
    try:
        digest = idx.sha256(idx.read_idx(part))
    except InputError as error:
        return str(error)
    return _difference(f"{file.name}, unpacked", file.sha256, digest)


def _wrong_archive(path: Path, archive: Archive) -> str | None:
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _difference(archive.file, archive.sha256, digest)


def _difference(name: str, expected: str, digest: str) -> str | None:
    return (
        None if digest == expected else f"the SHA-256 of {name} is {digest} instead of {expected}"
    )
