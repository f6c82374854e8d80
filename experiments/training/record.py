"""What is recorded of work in a folder, and the refusal of what was changed by hand since.

A lab, a sweep or a comparison is a folder with a record: a JSON file that says what it is. That of
labs and sweeps has in `sha256` the name of each finished run, with one digest of its files.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from funcnn._files import is_temporary, open_regular
from funcnn.experiments.errors import InputError
from funcnn.experiments.system.json_files import expect_kinds, read_record, write_record
from funcnn.experiments.system.lock import alone_in
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.run_folder import RunFolder

_RESULT = ("config.json", "metrics.csv", "summary.json", "params.npz")
_Run = TypeVar("_Run")


class Record:
    """The record in a folder: `read` it, or `begin` it, and `write` it whenever there is more.

    kind: what it is of, as "a sweep". runs: the folder beside it of its runs, if it has digests of
    them.
    """

    def __init__(self, path: Path, kind: str, runs: str | None = None) -> None:
        self.path, self.folder = path, path.parent
        self.digests: dict[str, str] = {}
        """Of the finished runs, by name."""
        self._article, _, self._noun = kind.partition(" ")
        self._runs = runs
        self._identity: tuple[int, ...] | None = None

    def run(self, name: str) -> RunFolder:
        """The folder of a run."""
        return RunFolder(self.folder / (self._runs or "") / name)

    def is_begun(self) -> bool:
        """Whether there is one. Raises `InputError` if its folder holds anything else."""
        if self.path.is_file():
            return True
        folder = self.folder
        if folder.exists() and not (folder.is_dir() and all(map(is_temporary, folder.iterdir()))):
            raise InputError(f"--out {self.folder} exists already, and is no {self._noun}")
        return False

    @contextlib.contextmanager
    def read(self, kinds: Mapping[str, tuple[type, ...]] | None = None) -> Iterator[dict[str, Any]]:
        """What it says, to be taken apart in the `with` block. kinds: as `expect_kinds`.

        Raises `InputError` as `read_record`, and for what the block meets: a `KeyError`,
        `TypeError`, `AttributeError` or `ValueError` there says what is wrong with the record.
        """
        expected = f"the record of {self._article} {self._noun}"
        values = read_record(self.path, expected)
        self._identity = identity(self.path)
        expect_kinds(self.path, expected, values, kinds or {})
        try:
            yield values
            digests = values["sha256"] if self._runs else {}
            if not all(isinstance(part, str) for pair in digests.items() for part in pair):
                raise ValueError("a digest is no text")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{self.path} is not {expected}: {error}") from None
        # A run that was deleted is trained again.
        there = (name for name in digests if os.path.exists(self.run(name).path))  # of any length
        self.digests = {name: digests[name] for name in there}

    def begin(self, values: Mapping[str, Any]) -> None:
        """Write it to its folder, which is made if it is not there.

        Raises `InputError` if that cannot be, or another process is at work in it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with alone_in(self.folder):
                self.write(values)
        except OSError as error:
            message = f"--out {self.folder}: it cannot be written ({error.strerror})"
            raise InputError(message) from None

    def write(self, values: Mapping[str, Any]) -> None:
        """Write these values, and the digests, whole. Raises `OSError`."""
        write_record(self.path, {**values, "sha256": self.digests} if self._runs else values)
        self._identity = identity(self.path)

    def expect_latest(self) -> None:
        """Raise `InputError` if another process wrote it since it was read or written here."""
        if identity(self.path) != self._identity:
            raise InputError(f"{self.folder}: another process went on with it meanwhile")

    def add(self, name: str, values: Mapping[str, Any]) -> None:
        """Have it, with these values, say that a run is finished."""
        self.digests[name] = digest_of(self.run(name))
        self.write(values)

    def check(self, runs: Mapping[str, _Run], fits: Callable[[RunConfig, _Run], bool]) -> None:
        """Raise `InputError` for the first of these runs that is not as it was, or as it should be.

        fits: whether a run that has this config is that one.
        """
        for name, run in runs.items():
            folder = self.run(name)
            if name in self.digests and digest_of(folder) != self.digests[name]:
                wrong = "was changed since it was trained"
            elif folder.config.exists() and not fits(folder.read_config(), run):
                wrong = f"has other settings than the {self._noun} has now"
            else:
                continue
            raise InputError(f"{folder} {wrong}: delete it, and run again")


def digest_of(run: RunFolder) -> str:
    """One SHA-256 over the files of a finished run. Raises `InputError` if one is missing."""
    for name in _RESULT:
        if not (run.path / name).is_file():
            raise InputError(f"{run} was changed since it was trained: it has no {name}")
    digest = hashlib.sha256()
    history = sorted((run.path / "history").glob("*.npz"))  # which runs of points had before
    for path in (*(run.path / name for name in _RESULT), *history):
        with open_regular(path) as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def identity(path: Path) -> tuple[int, ...] | None:
    """What tells a file from another one of its name; None: there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
