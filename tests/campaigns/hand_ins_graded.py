"""Odd archives and folders, graded by their lab's sheet; nothing in them is run."""

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.damage import damaged_bytes, damaged_value
from campaigns.reading import damaged_directory, damaged_zip, outcome_of, zip_of
from campaigns.watch import Watch
from hand_ins import ARCHIVES, GOOD, PDF, raw_zip

from funcnn.experiments.grade.grading import Grading
from funcnn.experiments.grade.hand_in import open_hand_in
from funcnn.experiments.grade.sheet import look_through
from funcnn.experiments.grade.sheets import find_sheet


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """A good hand-in of each lab, with something in it changed."""
    watch = Watch(folder)
    good = {lab: files() for lab, files in GOOD.items()}
    labs = [*good]
    labels = dict.fromkeys(("fashion", "fashion-mlp"), np.arange(10_000) % 10)

    def one_try(rng: np.random.Generator) -> str:
        lab = labs[rng.integers(len(labs))]
        path = folder / ARCHIVES[lab]
        path.write_bytes(_damaged(good[lab], rng))

        def read() -> None:
            sheet = find_sheet(lab)
            with open_hand_in(path, sheet.code_page) as handed:
                work = look_through(sheet, handed, labels.get(lab))
                verdicts = tuple(verdict for rule in sheet.rules for verdict in rule(work))
                json.dumps(Grading(lab, str(path), work.student_id, verdicts).as_data())
            assert verdicts

        try:
            return outcome_of(watch, path, read).replace("read", "graded")
        finally:
            path.unlink()

    yield one_try


def _damaged(files: dict[str, bytes], rng: np.random.Generator) -> bytes:
    kind = rng.integers(8)
    if kind < 4:
        return damaged_zip(files, rng, _damaged_file)
    if kind == 4:  # in a folder, in another archive, with what is no file
        inner = damaged_zip(files, rng)
        return zip_of([("hand-in/all.zip", inner), *files.items()][: int(rng.integers(1, 9))])
    if kind == 5:
        return raw_zip(
            [rng.bytes(int(rng.integers(4, 40))) for _ in range(4)], int(rng.integers(4096))
        )
    if kind == 6:
        return _bomb_or_link(files, rng)
    return damaged_directory(zip_of(files.items(), zipfile.ZIP_DEFLATED), rng)


def _damaged_file(data: bytes, rng: np.random.Generator) -> bytes:
    """Of a notebook a value within it, of all else its bytes."""
    if data.startswith(b"{") and data.endswith(b"}") and rng.integers(2):
        with contextlib.suppress(ValueError):  # it was damaged before
            return json.dumps(damaged_value(json.loads(data), rng)).encode("utf-8", "replace")
    if rng.integers(4) == 0:
        deep = (
            b"(" * 5000,
            b"x = 1\n" * 5000,
            b"-" * 9000 + b"1",
            b"x." * 3000 + b"x",
            b"[" * 90,
            PDF,
        )
        return deep[rng.integers(len(deep))]
    return damaged_bytes(data, rng)


def _bomb_or_link(files: dict[str, bytes], rng: np.random.Generator) -> bytes:
    """An archive with a member that unpacks to much, or a link."""
    buffer = io.BytesIO()
    names = [*files]
    name = names[rng.integers(len(names))]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in files.items():
            if each != name:
                archive.writestr(each, data)
        if rng.integers(4) == 0:
            archive.writestr(name, b" " * (1 << 20))
        else:
            link = zipfile.ZipInfo(name)
            link.create_system, link.external_attr = 3, 0o120777 << 16
            archive.writestr(link, "../../../etc/passwd")
    return buffer.getvalue()


HAND_INS = Campaign("hand-ins", "odd archives that are graded", 1, begin)
