"""Damaged CSV files, plain and gzipped, and damaged copies of what was read from them."""

import contextlib
import gzip
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.damage import ODD, damaged_bytes
from campaigns.reading import outcome_of, use_data
from campaigns.watch import Watch
from image_files import PIXELS, TABLE, text_of

from funcnn.experiments.data.formats import csv_copies
from funcnn.experiments.data.formats.by_path import read

WORDS = [[*row] for row in TABLE.astype(object)]
for _row in WORDS:
    _row[0] = ("cat", "dog", "a house")[_row[0]]
ROWS = [*range(len(TABLE))]
TEXTS = [
    text_of(TABLE),
    text_of(TABLE, ["label", *PIXELS]),
    text_of(TABLE[:, 1:], PIXELS),
    text_of(WORDS, ["label", *PIXELS]),
    text_of(np.column_stack([ROWS, TABLE]), ["id", "label", *PIXELS], end="\r\n"),
]
CELLS = (
    "",
    " ",
    "-1",
    "256",
    "3.0",
    "3.5",
    "1e2",
    "nan",
    "True",
    '"',
    '"a,b"',
    "\r",
    "9" * 30,
    "007",
)
CELLS = *CELLS, "\x1b[2J", "é", "\0", "inf", "0x10", "1_0", "+5", "\u0663", "a" * 200, "\u202e"


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Tables of a few kinds; each is read twice, from the text and from its copy."""
    watch = Watch(folder)

    def one_try(rng: np.random.Generator) -> str:
        path, copy = folder / "train.csv", folder / "train.csv.funcnn.npy"
        data = _damaged(TEXTS[rng.integers(len(TEXTS))], rng)
        if packed := rng.integers(3) == 0:
            data = gzip.compress(data, 1, mtime=0)
            if rng.integers(4) == 0:
                data = damaged_bytes(data, rng)
        path.write_bytes(data)
        copy.unlink(missing_ok=True)

        def read_twice() -> None:
            first, second = read(path), read(path)
            assert repr(first) == repr(second)
            for one, other in zip(first.content, second.content, strict=True):
                assert _equal(one, other)
            assert _equal(first.ids, second.ids)
            use_data(path)

        said = outcome_of(watch, path, read_twice)
        if said == "refused" and copy.exists():
            said = "refused as data"
        return f"gzip {said}" if packed else said

    yield one_try


def _equal(one: object, other: object) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else one == other


def _damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A table with something changed: in its bytes, or one field or some lines of it."""
    kind = rng.integers(4)
    if kind == 0:
        return damaged_bytes(data, rng)
    lines = data.decode().split("\n")
    at = int(rng.integers(len(lines)))
    if kind == 3:
        columns = lines[at].split(",")
        lines[at] = ",".join(columns[:: int(rng.integers(-1, 3)) or 1])
        return "\n".join(lines).encode()
    if kind == 1:
        fields = lines[at].split(",")
        odd = ODD[rng.integers(len(ODD))]
        cells = *CELLS, str(odd)
        fields[(0, 0, 1, -1, rng.integers(len(fields)))[rng.integers(5)] % len(fields)] = cells[
            rng.integers(len(cells))
        ]
        lines[at] = ",".join(fields)
    else:
        end = int(rng.integers(at, len(lines) + 1))
        part = lines[at:end]
        lines[at:end] = [[], part * 3, part[::-1], [""] * len(part)][rng.integers(4)]
    return "\n".join(lines).encode()


@contextlib.contextmanager
def begin_copies(folder: Path) -> Iterator[Try]:
    """Copies that are damaged and then sealed again, as no accident does it."""
    watch = Watch(folder)
    path, copy = folder / "train.csv", folder / "train.csv.funcnn.npy"
    copies = []
    for text in TEXTS:
        path.write_bytes(text)
        read(path)
        copies.append(copy.read_bytes()[: -csv_copies._SEAL])
        copy.unlink()

    def one_try(rng: np.random.Generator) -> str:
        which = int(rng.integers(len(TEXTS)))
        path.write_bytes(TEXTS[which])
        held = _damaged_copy(copies[which], rng)
        with path.open("rb") as file:
            key = csv_copies.key_of(file)
        seal = csv_copies._seal(held, key)
        broken = rng.integers(20) == 0
        copy.write_bytes(held + (damaged_bytes(seal, rng) if broken else seal))
        taken = csv_copies.read_copy(path, key, os.path.getsize(path)) is not None
        return f"{outcome_of(watch, path, lambda: use_data(path))} {'' if taken else 'not '}by copy"

    yield one_try


def _damaged_copy(held: bytes, rng: np.random.Generator) -> bytes:
    """The arrays of a copy with a byte changed, or one of them another."""
    if rng.integers(2):
        return damaged_bytes(held, rng)
    source = io.BytesIO(held)
    arrays = [np.load(source) for _ in csv_copies.Table._fields]
    which = int(rng.integers(len(arrays)))
    array = arrays[which]
    others = [
        array[:-1],
        array[:0],
        array[:, None],
        array.ravel(),
        np.array(3),
        array.astype("S2"),
        array.T,
        np.array([b"\xff\xfe"] * len(array)),
        np.zeros(len(array), "V3"),
        np.zeros(len(array), [("a", "i4")]),
        np.arange(len(array)) - 5,
        np.array(["a", "b"]),
        np.zeros(len(array), "M8[s]"),
        np.zeros(len(array), bool),
        np.zeros((len(array), 0), "u1"),
        array[:1],
        np.full(len(array), 2**63, "u8"),
        np.full(len(array), b"\n"),
    ]
    if array.dtype.kind in "iu":
        others += [array.astype(">i8"), array.astype(float), -array.astype("i4")]
    arrays[which] = others[rng.integers(len(others))]
    buffer = io.BytesIO()
    for array in arrays:
        np.save(buffer, array)
    return buffer.getvalue()


CSV_TABLES = Campaign("csv", "damaged CSV files that are read, twice", 1, begin)
CSV_COPIES = Campaign("csv-copies", "damaged and sealed copies of tables", 1, begin_copies)
