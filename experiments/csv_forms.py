"""What the columns of a CSV file of images are: by their names, or by what is in them.

Names: label, class, target, y or category is the label; id, ImageId, index and the column without
a name that pandas writes are left out; else the label is the only name without a digit.
Without names the label is the first column, as in the labs' files. If the last one may as well be
it, or the first counts the rows, then names are asked for.
"""

import csv
import io
import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from funcnn.experiments.errors import InputError

from funcnn.types import Array

LONGEST_LINE = 1 << 24
WHOLE = re.compile(r"\s*\+?\d+(\.0*)?\s*")
_LABEL = re.compile(r"[+-]?\d{1,18}(\.0*)?")
_LABEL_NAMES = "label", "class", "target", "y", "category"
_ID_NAMES = "id", "imageid", "image_id", "index", "unnamed: 0"
_MOST_CLASSES = 100  # of columns without names; what has more values are pixels
_FEW = 8  # rows that do not say enough about their columns
_HOW = "name the columns in a first line, as label,pixel0,pixel1,..."


class Form(NamedTuple):
    """Which lines and columns of a table are what."""

    line: int
    """The first line that is not empty, from 1 on."""
    header: bool
    """Whether that is a line of names."""
    columns: int
    label: int | None
    """The column that has the label."""
    ids: tuple[int, ...]
    """The columns that are left out."""
    side: int
    named: bool
    """Whether the names say which column is the label."""

    @property
    def before(self) -> int:
        """The lines before the first row."""
        return self.line - 1 + self.header

    @property
    def texts(self) -> tuple[int, ...]:
        """The columns that are no pixels."""
        return self.ids if self.label is None else (*self.ids, self.label)


def read_form(file: io.BufferedIOBase, path: Path) -> Form:
    """What the first line that is not empty tells. Raises `InputError`."""
    number, first = 1, file.readline(LONGEST_LINE)
    while first and not first.removeprefix(b"\xef\xbb\xbf").strip():
        number, first = number + 1, file.readline(LONGEST_LINE)
    where = f"{path}, line {number}"
    if not first:
        raise InputError(f"{path} is empty")
    if len(first) == LONGEST_LINE:
        raise InputError(f"{where}: longer than {LONGEST_LINE:,} bytes, not a row of pixels")
    fields = [field.strip().lower() for field in split_line(first, path, number)]
    columns = len(fields)
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if columns == 1 and mark in fields[0]:
            raise InputError(f"{where}: values are separated by {name}; save them with commas")
    header = "label" in fields or _are_names(fields)  # or else y may be the label of a row
    labels = [i for i, field in enumerate(fields) if header and field in _LABEL_NAMES]
    ids = [i for i, field in enumerate(fields) if header and field in ("", *_ID_NAMES)]
    if len(labels) > 1:
        names = " and ".join(repr(fields[index]) for index in labels[:2])
        raise InputError(f"{where}: {names} may both be the label; give one of them another name")
    form = Form(number, header, columns, None, tuple(ids), 0, bool(labels))
    label: int | None = 0
    if labels:
        label = labels[0]
    elif header:
        odd = [i for i, name in enumerate(fields) if i not in ids and not re.search(r"\d", name)]
        if len(odd) == 1:
            label, form = odd[0], form._replace(named=True)
        elif ids == [0]:
            label = 1
    elif WHOLE.fullmatch(fields[0]) and not WHOLE.fullmatch(fields[-1]):
        label = columns - 1
    for choice in [label] if labels else [None, label]:
        pixels = columns - len(ids) - (choice is not None)
        side = math.isqrt(max(0, pixels))
        if side > 1 and side * side == pixels:
            return form._replace(label=choice, side=side)
    square = "a square of pixels, or a label and one"
    if labels:
        square = "a label and a square of pixels"
    left_out = f", besides {fields[ids[0]] or 'one without a name'}" if ids else ""
    side, more = math.isqrt(max(0, columns - 2)), ""
    if not header and side > 1 and side**2 + 2 == columns:
        more = f"; if they have an id and a label, {_HOW}"
    raise InputError(f"{where}: {columns} columns are not {square} (785, 784, ...){left_out}{more}")


def _are_names(fields: list[str]) -> bool:
    """Whether the first line names its columns, by words or by their numbers, as pandas does."""
    numbers = [field for field in fields if WHOLE.fullmatch(field)]
    if not numbers:
        return True
    first = 0 if len(numbers) == len(fields) or numbers[0] != "1" else 1
    counted = numbers == [str(index) for index in range(first, first + len(numbers))]
    return counted and len(fields) - len(numbers) <= 3 < len(numbers)


def split_line(line: bytes, path: Path, number: int) -> list[str]:
    """The fields of a line. Raises `InputError` if it is none."""
    try:
        return next(csv.reader([line.decode("utf-8-sig")]), [])
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}, line {number}: not comma-separated UTF-8 text") from None


def is_label(text: str) -> bool:
    """Whether this may be a label: a whole number, or a word; no fraction and nothing missing."""
    text = text.strip()
    if _LABEL.fullmatch(text):
        return True
    try:
        float(text)
    except ValueError:
        return bool(text) and text.isprintable()
    return False


def as_labels(texts: Array, form: Form, path: Path) -> Array:
    """The label of each row, `(N,)`: integers if all are, else the words.

    Raises `InputError` for one that is none, and for numbers among words in a column without name.
    """
    written, rows, which = np.unique(np.char.strip(texts), return_index=True, return_inverse=True)
    whole = np.array([bool(_LABEL.fullmatch(text)) for text in written.tolist()])
    if whole.all():
        values = np.array([int(text.partition(".")[0]) for text in written.tolist()])
        small = np.promote_types(np.min_scalar_type(values.min()), np.min_scalar_type(values.max()))
        return values.astype(small)[which]
    for text, row, number in sorted(
        zip(written.tolist(), rows, whole, strict=True), key=lambda x: x[1]
    ):
        mixed = not form.named and number != whole[which[0]]
        if mixed or not is_label(text):
            expected = (
                "a label, a whole number or a word" if form.named else "a label as those before"
            )
            raise InputError(
                f"{path}, line {form.before + int(row) + 1}, column {form.texts[-1] + 1}: "
                f"{text[:40]!r} is not {expected}"
            )
    return written[which]


def expect_first(labels: Array, last: Array, path: Path) -> None:
    """Raise `InputError` unless the first of columns without names has the labels, not the last."""
    if len(labels) < _FEW or labels.dtype.kind == "U":
        return
    if len(labels) > 10 and (np.diff(labels.astype(np.int64)) == 1).all():
        raise InputError(f"{path}: the first column counts the rows, as an id does; {_HOW}")
    if _classes(last) >= max(2, _classes(labels)):
        raise InputError(f"{path}: the label may be the first column or the last one; {_HOW}")


def _classes(column: Array) -> int:
    """How many classes a column has if it looks like labels: almost without gaps, none rare; or 0.

    A column of pixels has one value almost everywhere, or very many.
    """
    values, counts = np.unique(column, return_counts=True)
    gaps = int(values[-1]) - int(values[0]) + 1 - len(values)
    few = len(values) <= min(_MOST_CLASSES, len(column) // 2)
    return len(values) * bool(
        few and gaps <= 1 + len(values) // 10 and counts.max() <= 0.9 * len(column)
    )
