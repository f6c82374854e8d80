"""Images as CSV: a row an image, of pixels from 0 to 255 and a label or none; see `csv_columns`.

Empty lines at the begin and the end do not count. A file that begins as gzip's do is unpacked.
A table that was read is kept beside its file as `NAME.csv.funcnn.npy`, because reading the text
takes seconds; the copy is used only if it is whole and of this very text.
"""

import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from funcnn.experiments.data import emnist
from funcnn.experiments.data.formats.csv_columns import (
    LONGEST_LINE,
    PICTURES,
    WHOLE,
    Form,
    as_ids,
    as_labels,
    expect_first,
    is_label,
    is_plain,
    is_whole,
    read_form,
    split_line,
)
from funcnn.experiments.data.formats.csv_copies import Table, key_of, read_copy, write_copy
from funcnn.experiments.data.formats.listings import Folder
from funcnn.experiments.data.formats.set_parts import PARTS, file_part
from funcnn.experiments.data.images import (
    Examples,
    ImageData,
    Inputs,
    assemble,
    check_images,
    check_pair,
)
from funcnn.experiments.errors import InputError
from funcnn.experiments.system.memory import DEFLATE_AT_MOST, expect_memory

_ROWS_AT_ONCE = 4096
_PIECE = 1 << 16
_UNPACKED = 1 << 24


def is_csv_name(file: str) -> bool:
    """Whether a file is called as CSV files are; macOS's `._` file beside one is not."""
    return file.lower().endswith((".csv", ".csv.gz")) and not file.startswith(".")


def read_file(folder: Folder, file: str) -> ImageData:
    """The images of one CSV file: examples if it has labels, inputs to predict otherwise.

    Raises `InputError`, naming the line, for anything but a table of pixels.
    """
    inputs, labels, ids = _read(folder, file)
    train = None if labels is None else (inputs, labels)
    test = (inputs, None) if labels is None else None
    where = str(Path(folder.where, file))
    classes = emnist.classes_of(emnist.split_of([file], where))
    return assemble(train, test, where, **classes)._replace(ids=ids)


def read_folder(folder: Folder, prefix: str = "") -> ImageData:
    """The data set of a folder with `train.csv` and, perhaps, `test.csv` with labels or without.

    `val.csv`, with labels, is the validation set. The names may be longer
    (`emnist-balanced-train.csv`); `prefix`: how they begin, where a folder has several sets.
    Raises `InputError`.
    """
    where, file_of = folder.where, {part: _only(folder, part, prefix) for part in PARTS}
    if file_of["train"] is None:
        others = list(filter(is_csv_name, folder.files))
        instead = f" called train, found {', '.join(others[:4])}" if others else ", found none"
        raise InputError(f"{where}: a CSV file of train images is needed{instead}")
    inputs, labels, ids = _read(folder, file_of["train"])
    if labels is None:
        side = inputs.shape[-1]
        raise InputError(
            f"{where}/{file_of['train']}: {side * side} columns are {side} x {side} pixels and no "
            "label to train on (or a column is missing)"
        )
    train: Examples = (inputs, labels)
    test: Inputs | None = None
    if file_of["test"] is not None:
        inputs, labels, ids = _read(folder, file_of["test"])
        test = inputs, labels
    validation: Examples | None = None
    if file_of["validation"] is not None:
        inputs, labels, _ = _read(folder, file_of["validation"])
        if labels is None:
            raise InputError(f"{where}/{file_of['validation']} has no labels to validate with")
        validation = inputs, labels
    files = [file for file in file_of.values() if file is not None]
    classes = emnist.classes_of(emnist.split_of(files, where))
    return assemble(train, test, where, validation=validation, **classes)._replace(ids=ids)


def _only(folder: Folder, part: str, prefix: str) -> str | None:
    named = [file for file in folder.files if is_csv_name(file) and file.startswith(prefix)]
    fitting = [file for file in named if file_part(file) == part]
    fitting = [file for file in fitting if PurePath(file).stem not in fitting]  # packed as well
    if len(fitting) > 1:
        fitting = [file for file in fitting if file.removesuffix(".gz") == f"{part}.csv"] or fitting
    if len(fitting) > 1:
        seen = ", ".join(fitting)
        raise InputError(f"{folder.where}: one CSV file of {part} images is needed, found {seen}")
    return fitting[0] if fitting else None


def _read(folder: Folder, name: str) -> Table:
    """The table, with images `(N, 1, H, H)`."""
    path = Path(folder.where, name)
    try:
        with folder.open(name) as file:
            table = _cached(file, path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path} is a truncated or damaged gzip file ({error})") from None
    images, labels, ids = table
    split = emnist.split_of([path.name], str(path))
    if split is not None:
        images = emnist.upright(images)
        if labels is not None:
            split.expect_first(labels, str(path))
    if labels is None:
        return Table(check_images(images, str(path)), None, ids)
    return Table(*check_pair(images, labels, str(path), str(path)), ids)


# --- from text to a table ----------------------------------------------------------------------


class _WithoutEmptyEnd(io.RawIOBase):
    """A text up to its last character that is no space and no end of a line."""

    def __init__(self, file: io.BufferedIOBase) -> None:
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


def _parse(file: io.BufferedIOBase, path: Path, form: Form) -> Table:
    """The images as bytes `(N, H, H)`, and what their labels say."""
    import pandas as pd  # half a second, and only here

    # Words among labels or ids need another kind of column, which takes longer.
    words = dict.fromkeys(form.pixels, np.int64) | dict.fromkeys(form.texts, str)
    every: list[Any] = [np.int64, words] if form.texts else [np.int64]
    for kinds in every[len(every) - 1 if _starts_with_words(file, path, form) else 0 :]:
        pieces: list[Table] = []
        try:
            pieces += _pieces(file, form, kinds)
        except pd.errors.EmptyDataError:
            raise InputError(f"{path} has no rows of pixels") from None
        except (ValueError, TypeError, OverflowError) as error:
            if kinds is every[-1]:
                _blame_line(file, path, form, sum(len(piece.images) for piece in pieces))
                reason = str(error).splitlines()[0]
                raise InputError(f"{path} is not a table of pixels: {reason}") from None
        else:
            break
    images = np.concatenate([piece.images for piece in pieces])
    images = images.reshape(-1, form.side, form.side)
    labels = ids = None
    if form.id is not None:
        ids = as_ids(np.concatenate([p.ids for p in pieces if p.ids is not None]), path)
    if form.label is not None:
        labels = np.concatenate([p.labels for p in pieces if p.labels is not None])
        labels = as_labels(labels, form, path)
        if not form.named:
            expect_first(labels, images[:, -1, -1], path)
    return Table(images, labels, ids)


def _starts_with_words(file: io.BufferedIOBase, path: Path, form: Form) -> bool:
    """Whether the first row has some among its label and ids; of True, pandas would make a 1.

    And of the id 007 a 7.
    """
    file.seek(0)
    lines = [file.readline(LONGEST_LINE) for _ in range(form.before + 1)]
    fields = split_line(lines[-1], path, form.before + 1)
    return not all(
        is_plain(fields[index]) if index == form.id else is_whole(fields[index])
        for index in form.texts
        if index < len(fields)
    )


def _pieces(file: io.BufferedIOBase, form: Form, kinds: Any) -> Iterator[Table]:
    """Some rows after the other, pixels `(n, H*H)`, of columns of these kinds."""
    import pandas as pd

    first, last = form.pixels[0], form.pixels[-1] + 1
    columns: Any = list(form.pixels)
    if columns == list(range(first, last)):
        columns = slice(first, last)  # which takes no copy
    with (
        np.errstate(invalid="ignore"),  # a number beyond integers is an error soon enough
        pd.read_csv(
            io.BufferedReader(_WithoutEmptyEnd(file), _PIECE),
            header=None,
            skiprows=form.before,
            dtype=kinds,
            na_filter=False,  # an empty field is an error then, not a missing number
            skip_blank_lines=False,
            encoding="utf-8",
            chunksize=_ROWS_AT_ONCE,
        ) as reader,
    ):
        for piece in reader:
            if piece.shape[1] != form.columns:
                raise ValueError(f"{piece.shape[1]} columns")
            labels, ids = (
                None if column is None else piece[column].to_numpy()
                for column in (form.label, form.id)
            )
            if kinds is np.int64:
                values = piece.to_numpy()[:, columns]
            else:
                values = piece.iloc[:, columns].to_numpy()
                if labels is not None and not all(map(is_label, set(labels))):
                    raise ValueError("a label is missing")
            if not 0 <= values.min() <= values.max() <= 255:
                raise ValueError("a value is not from 0 to 255")
            yield Table(values.astype(np.uint8, order="C"), labels, ids)


def _blame_line(file: io.BufferedIOBase, path: Path, form: Form, good: int) -> None:
    """Raise `InputError` for the first line that is no row, after so many good rows."""
    before = form.before + good
    for number, line in enumerate(io.BufferedReader(_WithoutEmptyEnd(file), _PIECE), 1):
        if number <= before:
            continue
        fields = split_line(line, path, number)
        if not line.strip():
            raise InputError(f"{path}, line {number}: empty; take it out, or what is below it")
        if len(fields) != form.columns:
            raise InputError(
                f"{path}, line {number}: {len(fields)} values, where line {form.line} has "
                f"{form.columns}"
            )
        for index, field in enumerate(fields):
            where = f"{path}, line {number}, column {index + 1}: {field[:40]!r} is not"
            also = _remedy(field, pixel=index != form.label)
            if index == form.label and not is_label(field):
                raise InputError(f"{where} a label, a whole number or a word{also}")
            if index not in form.texts and not (WHOLE.fullmatch(field) and float(field) <= 255):
                raise InputError(f"{where} a whole number from 0 to 255{also}")


def _remedy(field: str, *, pixel: bool) -> str:
    """What to do with a number that is no pixel, or no label, if it is one."""
    if not re.fullmatch(r"(?ai)\s*[+-]?(\d+\.?|\d*\.\d+)(e[+-]?\d+)?\s*", field):
        return ""
    if pixel and 0 < float(field) < 1:
        return "; of pixels from 0 to 1, save 255 times them, rounded"
    return f"; {PICTURES}"


def _cached(file: Any, path: Path) -> Table:
    """The table from its copy, or from the text; then a copy is left, if the folder takes one.

    file: one on disk, or a member of a zip file, which has no copy.
    """
    packed = file.read(2) == b"\x1f\x8b"
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not isinstance(file, io.BufferedReader):
        return _from_text(file, path, packed, length)
    size = length * (DEFLATE_AT_MOST if packed else 1)
    key = key_of(file)
    table = read_copy(path, key, size)
    if table is not None:
        return table
    table = _from_text(file, path, packed, length)
    if key_of(file) == key:  # or somebody wrote to it while it was read
        write_copy(path, table, key, size)
    return table


def _from_text(file: io.BufferedIOBase, path: Path, packed: bool, size: int) -> Table:
    if packed:
        with gzip.GzipFile(fileobj=file) as unpacked:
            form = read_form(unpacked, path)
            unpacked.seek(0)
            text = io.BytesIO()
            while piece := unpacked.read(_UNPACKED):
                # It may have to be moved to grow.
                expect_memory(text.tell() + 2 * len(piece), str(path))
                text.write(piece)
        expect_memory(text.tell(), str(path))  # as below
        return _parse(text, path, form)
    form = read_form(file, path)
    # A value is two bytes of text at least; the pieces and the table of them are there at once.
    expect_memory(size, str(path))
    return _parse(file, path, form)
