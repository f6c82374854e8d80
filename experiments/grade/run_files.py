"""The files of a hand-in written to a folder as they lie, where its own code looks for them."""

import errno
import json
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from funcnn.experiments.errors import InputError
from funcnn.experiments.grade.hand_in import File

_MOST = 2_000
_LARGEST, _TOGETHER = 16 << 20, 64 << 20
"""Bytes of one, and of all."""
_OF_THE_MACHINE = {
    getattr(errno, name, None)  # Windows has not all
    for name in ("EACCES", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EROFS")
}
"""Why a file cannot be written of which its name is not the cause."""


def read_named(file: File) -> bytes:
    """Its content. Raises `InputError` with its name."""
    try:
        return file.read()
    except InputError as error:
        raise InputError(f"{file.name} {error}") from None


def write_task(folder: Path, task: Any) -> None:
    """What a driver is to do."""
    (folder / "task.json").write_text(json.dumps(task), "utf-8")


def write_file(folder: Path, path: str, content: bytes) -> None:
    """Write a file at its path in a folder.

    Raises `InputError` if no file can be there, `OSError` if it is the machine that cannot.
    """
    try:
        place = folder / path
        if not place.resolve().is_relative_to(folder.resolve()):
            raise ValueError
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise
        raise InputError(f"{posixpath.basename(path)!r} cannot be a file here") from None


def write_files(folder: Path, files: Iterable[File]) -> list[str]:
    """Write files at their paths; the names of those that cannot be, or are too many or large."""
    left, together = [], 0
    for count, file in enumerate(files):
        try:
            if count >= _MOST or file.size > min(_LARGEST, _TOGETHER - together):
                raise InputError("is not written")
            write_file(folder, file.path, file.read())
            together += file.size
        except InputError:
            left.append(file.name)
    return left


def write_packages(
    folder: Path, files: tuple[File, ...], network: File, layer: File
) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Write a hand-in's network so that it can be imported; the ways to do it, the sheet's first.

    A way is a module, and folders that are also looked into: the package `model`, made under the
    sheet's names of what lies beside the network, with what lies around its folder; then with what
    lies in its folder; then other modules. And the names of files that could not be written.
    """
    python = [file for file in files if file.name.endswith(".py")]
    left = write_files(folder / "beside", python)
    inside = posixpath.dirname(network.path)
    start = f"{inside}/" if inside else ""
    own = [file for file in python if file.path.startswith(start)]
    own = [file._replace(path=file.path.removeprefix(start)) for file in own]
    write_files(folder / "package/model", own)
    for name, file in (("network.py", network), ("layer.py", layer)):
        content = read_named(file)
        write_file(folder, f"package/model/{name}", content)
        write_file(folder, f"beside/{start}{name}", content)
    if not (folder / "package/model/__init__.py").exists():
        write_file(folder, "package/model/__init__.py", b"from .network import *\n")
    around = [f"beside/{posixpath.dirname(inside)}"] if inside else []
    ways = [("model", ["package", *around]), ("model", [f"beside/{inside}", "beside"])]
    return [*ways, ("model.network", []), ("network", [])], left
