"""Images as CSV: a row an image, of whole numbers from 0 to 255, the label first or none at all.

A header is told by itself: a column is called label, or no name is a number, or the names are the
columns' own numbers from 0 on, which pandas writes where there are none (so that an image with the
pixels 0, 1, 2 and so on cannot be the first row). Empty lines at the end do not count.
A table that was read is kept beside its file as `NAME.csv.funcnn.npy`, because reading the text
takes seconds; the copy is used only if it is whole and of this very text.
"""

import contextlib
import csv
import hashlib
import io
import math
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from funcnn.experiments import emnist
from funcnn.experiments.errors import InputError
from funcnn.experiments.image_data import (
    Examples,
    ImageData,
    Inputs,
    assemble,
    check_images,
    check_pair,
)
from funcnn.experiments.room import expect_memory
from funcnn.experiments.set_parts import is_validation

from funcnn.files import write_whole
from funcnn.types import Array

_LONGEST_LINE = 1 << 24
_ROWS_AT_ONCE = 4096
_PIECE = 1 << 16
_WHOLE = re.compile(r"\s*\+?\d+(\.0*)?\s*")


def is_csv_name(file: str) -> bool:
    """Whether a file is called as CSV files are; macOS's `._` file beside one is not."""
    return file.endswith(".csv") and not file.startswith(".")


def read_file(path: Path) -> ImageData:
    """The images of one CSV file: examples if it has labels, inputs to predict otherwise.

    Raises `InputError`, naming the line, for anything but a table of pixels.
    """
    inputs, labels = _read(path)
    train = None if labels is None else (inputs, labels)
    test = (inputs, None) if labels is None else None
    return assemble(train, test, str(path), _official_names(path))


def read_folder(folder: Path, prefix: str = "") -> ImageData:
    """The data set of a folder with `train.csv` and, perhaps, `test.csv` with labels or without.

    `val.csv`, with labels, is the validation set. The names may be longer
    (`emnist-balanced-train.csv`); `prefix`: how they begin, where a folder has several sets.
    Raises `InputError`.
    """
    found = {part: _only(folder, part, prefix) for part in ("train", "test", "validation")}
    if found["train"] is None:
        raise InputError(f"{folder}: a CSV file of train images is needed, found none")
    inputs, labels = _read(found["train"])
    if labels is None:
        side = inputs.shape[-1]
        raise InputError(
            f"{found['train']}: {side * side} columns are {side} x {side} pixels and no label to "
            "train on (or a column is missing)"
        )
    train: Examples = (inputs, labels)
    test: Inputs | None = None if found["test"] is None else _read(found["test"])
    validation = None if found["validation"] is None else _read_validation(found["validation"])
    files = [path for path in found.values() if path is not None]
    split = emnist.split_of([path.name for path in files], str(folder))
    names = None if split is None else split.class_names
    return assemble(train, test, str(folder), names, validation)


def _read_validation(path: Path) -> Examples:
    inputs, labels = _read(path)
    if labels is None:
        raise InputError(f"{path} has no labels to validate with")
    return inputs, labels


def _only(folder: Path, part: str, prefix: str) -> Path | None:
    found = sorted(
        path
        for path in folder.iterdir()
        if is_csv_name(path.name) and path.name.startswith(prefix) and _is_of(path.name, part)
    )
    if len(found) > 1 and folder / f"{part}.csv" in found:
        return folder / f"{part}.csv"
    if len(found) > 1:
        seen = ", ".join(path.name for path in found)
        raise InputError(f"{folder}: one CSV file of {part} images is needed, found {seen}")
    return found[0] if found else None


def _is_of(file: str, part: str) -> bool:
    return is_validation(file) if part == "validation" else part in file


def _official_names(path: Path) -> tuple[str, ...] | None:
    split = emnist.split_of([path.name], str(path))
    return None if split is None else split.class_names


def _read(path: Path) -> Inputs:
    """Images `(N, 1, H, H)` and labels `(N,)`, if there are any."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file")
    try:
        with open(path, "rb") as file:
            form = _read_form(file, path)
            table = _cached(file, path, form)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if form.label is None:
        labels, pixels = None, table
    else:
        labels = np.ascontiguousarray(table[:, form.label])
        pixels = np.delete(table, form.label, 1) if form.label else table[:, 1:]
    images = pixels.reshape(-1, form.side, form.side)  # (N, H, H)
    split = emnist.split_of([path.name], str(path))
    if split is not None:
        images = emnist.upright(images)
        labels = None if labels is None else split.from_first(labels, str(path))
    if labels is None:
        return check_images(images, str(path)), None
    return check_pair(images, labels, str(path))


# --- what a table looks like -------------------------------------------------------------------


class _Form(NamedTuple):
    header: bool
    columns: int
    label: int | None
    """The column that has the label."""
    side: int


def _read_form(file: io.BufferedReader, path: Path) -> _Form:
    """What the first line tells."""
    first = file.readline(_LONGEST_LINE)
    if not first:
        raise InputError(f"{path} is empty")
    if len(first) == _LONGEST_LINE:
        raise InputError(
            f"{path}, line 1: longer than {_LONGEST_LINE:,} bytes, not a row of pixels"
        )
    fields = [field.strip().lower() for field in _split(first, path, 1)]
    named = [index for index, field in enumerate(fields) if field == "label"]
    columns = len(fields)
    numbered = fields == [str(index) for index in range(columns)]
    header = bool(named) or numbered or not any(_WHOLE.fullmatch(field) for field in fields)
    labels = named[:1] if named else [None, 0]
    for label in labels:
        pixels = columns - (label is not None)
        side = math.isqrt(pixels)
        if side > 1 and side * side == pixels:
            return _Form(header, columns, label, side)
    square = "a label and a square of pixels" if named else "a square of pixels, or a label and one"
    raise InputError(f"{path}, line 1: {columns} columns are not {square} (785, 784, ...)")


def _split(line: bytes, path: Path, number: int) -> list[str]:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        return next(csv.reader([text]), [])
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}, line {number}: not comma-separated UTF-8 text") from None


# --- from text to a table ----------------------------------------------------------------------


class _WithoutEmptyEnd(io.RawIOBase):
    """A text up to its last character that is no space and no end of a line."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self._end, text = file, file.seek(0, os.SEEK_END), b""
        while self._end and not text:
            start = max(0, self._end - _PIECE)
            file.seek(start)
            text = file.read(self._end - start).rstrip()
            self._end = start + len(text)
        file.seek(0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._end - self._file.tell()
        return self._file.readinto(memoryview(buffer)[:left])


def _parse(file: io.BufferedReader, path: Path, form: _Form) -> Array:
    """The table as bytes `(rows, columns)`."""
    import pandas as pd  # half a second, and only here

    # A value is two bytes of text at least; the pieces and the table of them are there at once.
    expect_memory(os.fstat(file.fileno()).st_size, str(path))
    pieces: list[Array] = []
    try:
        with (
            np.errstate(invalid="ignore"),  # a number beyond integers is an error soon enough
            pd.read_csv(
                io.BufferedReader(_WithoutEmptyEnd(file), _PIECE),
                header=None,
                skiprows=int(form.header),
                dtype=np.int64,
                na_filter=False,  # an empty field is an error then, not a missing number
                skip_blank_lines=False,
                encoding="utf-8",
                chunksize=_ROWS_AT_ONCE,
            ) as reader,
        ):
            for piece in reader:
                values = piece.to_numpy()
                if values.shape[1] != form.columns:
                    raise ValueError(f"{values.shape[1]} columns")
                if not 0 <= values.min() <= values.max() <= 255:
                    raise ValueError("a value is not from 0 to 255")
                pieces.append(values.astype(np.uint8, order="C"))
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} has no rows of pixels") from None
    except (ValueError, TypeError, OverflowError) as error:
        rows = sum(len(piece) for piece in pieces)
        _blame_line(file, path, form, rows)
        raise InputError(f"{path} is not a table of pixels: {str(error).splitlines()[0]}") from None
    return np.concatenate(pieces)


def _blame_line(file: io.BufferedReader, path: Path, form: _Form, good: int) -> None:
    """Raise `InputError` for the first line that is no row, after so many good rows."""
    before = good + form.header
    for number, line in enumerate(io.BufferedReader(_WithoutEmptyEnd(file), _PIECE), 1):
        if number <= before:
            continue
        fields = _split(line, path, number)
        if not line.strip():
            raise InputError(f"{path}, line {number}: empty")
        if len(fields) != form.columns:
            raise InputError(
                f"{path}, line {number}: {len(fields)} values, where line 1 has {form.columns}"
            )
        for column, field in enumerate(fields, 1):
            if not _WHOLE.fullmatch(field) or float(field) > 255:
                raise InputError(
                    f"{path}, line {number}, column {column}: {field[:40]!r} is not a whole number "
                    "from 0 to 255"
                )


# --- the copy beside the file --------------------------------------------------------------------

_MARK = b"funcnn-csv-2"  # another number whenever the same text gives another table
_SEAL = len(_MARK) + hashlib.sha256().digest_size
_HEADER = 256  # bytes of the array's file before its values, at most


def _cached(file: io.BufferedReader, path: Path, form: _Form) -> Array:
    """The table from its copy, or from the text; then a copy is left, if the folder takes one."""
    copy = path.with_name(f"{path.name}.funcnn.npy")
    key = _key(file)
    # A value is two bytes of text at least, but for the last.
    most = _HEADER + (os.fstat(file.fileno()).st_size + 1) // 2 + _SEAL
    table = _read_copy(copy, key, most)
    if table is not None and table.shape[1:] == (form.columns,):
        return table
    table = _parse(file, path, form)
    if _key(file) == key:  # or somebody wrote to it while it was read
        with contextlib.suppress(OSError):
            buffer = io.BytesIO()
            np.save(buffer, table)
            content = buffer.getbuffer()
            write_whole(copy, b"".join((content, _seal(content, key))))
    return table


def _key(file: io.BufferedReader) -> bytes:
    """What changes whenever the text does: its length, and when it, or its inode, was written."""
    status = os.fstat(file.fileno())
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}".encode()


def _seal(content: bytes | memoryview, key: bytes) -> bytes:
    """What follows the array in its file, where NumPy does not look."""
    return _MARK + hashlib.sha256(key + hashlib.sha256(content).digest()).digest()


def _read_copy(copy: Path, key: bytes, most: int) -> Array | None:
    """The table in a copy, read-only, if it is whole, has this key and is of `most` bytes."""
    try:
        length = copy.stat().st_size
        if length > most:
            return None
        expect_memory(length, str(copy))
        content = memoryview(copy.read_bytes())
    except (OSError, InputError):
        return None
    held, seal = content[:-_SEAL], content[-_SEAL:]
    if bytes(seal) != _seal(held, key):
        return None
    source = io.BytesIO(held[:_HEADER])
    np.lib.format.read_magic(source)
    shape, _, dtype = np.lib.format.read_array_header_1_0(source)
    return np.frombuffer(held, dtype, offset=source.tell()).reshape(shape)
