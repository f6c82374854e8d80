"""Files and folders as they are read; the latter in order, without what systems leave in them."""

import contextlib
import functools
import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from funcnn._files import open_regular
from funcnn.experiments.errors import InputError

_LEFT = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "__pycache__")


def is_left(name: str) -> bool:
    """Whether a file or folder is hidden, or one that Windows or macOS leaves beside others."""
    return name.startswith(".") or name.lower() in _LEFT


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[tuple[io.BufferedReader, int]]:
    """A file, open to be read, and its length.

    Raises `InputError` for a folder, and where it cannot be read, now or later.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file")
    try:
        with open_regular(path) as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


class Folder(Protocol):
    """A folder to read. Its entries are sorted by name; `where` is what messages call it."""

    where: str

    @property
    def folders(self) -> Mapping[str, "Folder"]:
        """The folders in it, by their names."""

    @property
    def files(self) -> list[str]:
        """The names of all else in it."""

    def open(self, file: str) -> IO[bytes]:
        """One of its files, to read and seek. Raises `InputError` if it is no regular file."""


class DiskFolder:
    """A folder on disk, listed when it is first asked. Raises `InputError` if it cannot be."""

    def __init__(self, path: Path) -> None:
        self.path, self.where = path, str(path)

    @functools.cached_property
    def _entries(self) -> list[tuple[str, bool]]:
        try:
            with os.scandir(self.path) as entries:
                return sorted((e.name, _is_folder(e)) for e in entries if not is_left(e.name))
        except OSError as error:
            raise InputError(f"{self.where} cannot be read: {error.strerror}") from None

    @functools.cached_property
    def folders(self) -> Mapping[str, Folder]:
        """The folders in it, links to folders included."""
        return {name: DiskFolder(self.path / name) for name, is_dir in self._entries if is_dir}

    @functools.cached_property
    def files(self) -> list[str]:
        """The names of all else in it."""
        return [name for name, is_dir in self._entries if not is_dir]

    def open(self, file: str) -> IO[bytes]:
        """One of its files. Raises `InputError` if it cannot be read, or is a pipe or a device."""
        path = self.path / file
        try:
            return open_regular(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None


class ZippedFolder:
    """A folder in an open zip file."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.where = where
        self.folders: dict[str, ZippedFolder] = {}
        self._archive = archive
        self._members: dict[str, zipfile.ZipInfo] = {}

    @functools.cached_property
    def files(self) -> list[str]:
        """The names of the files in it."""
        return sorted(self._members)

    def open(self, file: str) -> IO[bytes]:
        """One of its files, unpacked in memory; `open_zip` has compared what it claims."""
        return io.BytesIO(self._archive.read(self._members[file]))

    def add(self, place: PurePosixPath, member: zipfile.ZipInfo) -> None:
        """Put a member where its path says. Raises `InputError` if there is one already."""
        folder = self
        for name in place.parts[:-1]:
            if name not in folder.folders:
                folder.folders[name] = ZippedFolder(self._archive, f"{folder.where}/{name}")
            folder = folder.folders[name]
        if place.name in folder._members:
            raise InputError(f"{self.where} has two files of one name: {member.filename}")
        folder._members[place.name] = member


def zipped(archive: zipfile.ZipFile, path: Path) -> ZippedFolder:
    """The outermost folder of an open zip file. Raises `InputError` if two files have one path."""
    top = ZippedFolder(archive, str(path))
    # Some programs on Windows write paths in its own way.
    members = [
        (PurePosixPath(info.filename.replace("\\", "/")), info) for info in archive.infolist()
    ]
    for place, info in sorted(members, key=lambda member: member[0].parts):
        if not info.is_dir() and place.name and not any(map(is_left, place.parts)):
            top.add(place, info)
    return top


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
