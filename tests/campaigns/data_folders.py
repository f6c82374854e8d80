"""Zip files and folders of pictures, IDX and CSV files, with odd names, places and contents."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.damage import damaged_bytes
from campaigns.reading import ODD_NAMES, damaged_zip, outcome_of, use_data
from campaigns.watch import Watch
from image_files import PIXELS, TABLE, image_folder, png_folder, text_of


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Sets of a few kinds, each in a zip file or, the pictures, in a folder."""
    watch = Watch(folder)
    png_folder(folder / "pictures")
    image_folder(folder / "idx")
    pictures = _members(folder / "pictures")
    without_test = {n: data for n, data in pictures.items() if n.startswith("train/")}
    flat = {name.removeprefix("train/"): data for name, data in without_test.items()}
    table = text_of(TABLE, ["label", *PIXELS])
    tables = {"train.csv": table, "test.csv": table, "readme.txt": b"none"}
    sets = [pictures, without_test, flat, _members(folder / "idx"), tables]
    shutil.rmtree(folder / "pictures")
    shutil.rmtree(folder / "idx")

    def one_try(rng: np.random.Generator) -> str:
        if rng.integers(8) == 0:
            path = folder / "set"
            _write(path, sets[rng.integers(3)], rng)
            try:
                return f"folder {outcome_of(watch, path, lambda: use_data(path))}"
            finally:
                shutil.rmtree(path)
        path = folder / "set.zip"
        path.write_bytes(damaged_zip(sets[rng.integers(len(sets))], rng))
        return f"zip {outcome_of(watch, path, lambda: use_data(path))}"

    yield one_try


def _members(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _write(folder: Path, members: dict[str, bytes], rng: np.random.Generator) -> None:
    """A folder of these files, one of which is another, elsewhere, or a link."""
    which, kind = int(rng.integers(len(members))), rng.integers(5)
    for number, (name, data) in enumerate(members.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if number != which:
            path.write_bytes(data)
        elif kind == 0:
            path.write_bytes(damaged_bytes(data, rng))
        elif kind == 1:
            odd = ODD_NAMES[rng.integers(len(ODD_NAMES))].replace("/", "").replace("\0", "")
            odd = odd[:200].strip(".") or "a\udcffb"
            path = (path.with_name(odd), path.parent.with_name(odd) / "0.png")[rng.integers(2)]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        elif kind == 2:
            path.symlink_to(("nowhere", path.name, "..", "/dev/zero")[rng.integers(4)])
        elif kind == 3:
            path.mkdir()


DATA_FOLDERS = Campaign("data-folders", "odd zip files and folders of images", 1, begin)
