"""What the columns of a CSV file of images are: by their names, or by what is in them.

Names: label, class, target, y or category is the label; id, ImageId, row_id or index says what the
rows are called; the column without a name that pandas writes is left out; else the label is the
only name without a digit.
Pixels whose names differ by a number, or two, are in the order of these numbers.
Without names the label is the first column, as in the labs' files. If the last one may as well be
it, or the first counts the rows, then names are asked for.
"""

import csv
import io
import itertools
import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from funcnn.experiments.errors import InputError, printable
from funcnn.experiments.system.memory import expect_memory
from funcnn.types import Array

LONGEST_LINE = 1 << 24
WHOLE = re.compile(r"\s*\+?\d+(\.0*)?\s*", re.ASCII)
_LABEL = re.compile(r"[+-]?\d{1,18}(\.0*)?")
_PLAIN = re.compile(r"0|-?[1-9]\d{0,17}")
_LABEL_NAMES = "label", "class", "target", "y", "category"
NO_LABEL = f"no column is called {', '.join(_LABEL_NAMES[:-1])} or {_LABEL_NAMES[-1]}"
PICTURES = "funcnn reads pictures, in a row a square of whole numbers from 0 to 255"
_ID_NAME = re.compile(
    r"(unnamed: 0|((image|img|row|sample|example|picture)[ _-]?)?(id|idx|index))?"
)
_NO_NAMES = "", "unnamed: 0"  # of the column that pandas adds
_LONGEST_LABEL = 100
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
    pixels: tuple[int, ...]
    """The columns of the pixels, row by row of the image."""
    named: bool
    """Whether the names say which column is the label."""
    id: int | None = None
    """The column that says what the rows are called."""

    @property
    def side(self) -> int:
        """How high and wide an image is."""
        return math.isqrt(len(self.pixels))

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
    ids = [i for i, field in enumerate(fields) if header and _ID_NAME.fullmatch(field)]
    if len(labels) > 1:
        names = " and ".join(repr(fields[index]) for index in labels[:2])
        raise InputError(f"{where}: {names} may both be the label; give one of them another name")
    own = next((i for i in ids if fields[i] not in _NO_NAMES), None)
    form = Form(number, header, columns, None, tuple(ids), (), bool(labels), own)
    label: int | None = 0
    odd = [i for i, name in enumerate(fields) if i not in ids and not re.search(r"\d", name)]
    if labels:
        label = labels[0]
    elif header:
        if len(odd) == 1:
            label, form = odd[0], form._replace(named=True)
        elif ids == [0]:
            label = 1
    elif WHOLE.fullmatch(fields[0]) and not WHOLE.fullmatch(fields[-1]):
        label = columns - 1
    for choice in [label] if labels else [None, label]:
        pixels = [index for index in range(columns) if index not in (choice, *ids)]
        if len(pixels) > 1 and math.isqrt(len(pixels)) ** 2 == len(pixels):
            if header:
                pixels = _in_order(pixels, fields, where)
            return form._replace(label=choice, pixels=tuple(pixels))
    square = "a square of pixels, or a label and one"
    if labels:
        square = "a label and a square of pixels"
    left_out = f", besides {fields[ids[0]] or 'one without a name'}" if ids else ""
    strange = [fields[index] for index in odd if index not in labels]
    side, colours, more = math.isqrt(max(0, columns - 2)), (columns - 1) // 3, f"; {PICTURES}"
    there = columns - len(ids) - len(labels)
    nearest = round(math.sqrt(there))
    if header and 0 < len(strange) < columns // 2:
        names = " and ".join(repr(name[:40]) for name in strange[:2])
        more = f"; what is {names}? Take such columns out, or call one of them id"
        if not labels:
            more = f"; which of {names} is the label? Call it so, and take the other out"
    elif not header and side > 1 and side**2 + 2 == columns:
        more = f"; if they have an id and a label, {_HOW}"
    elif columns == 1 and fields[0]:
        more = f"; there is no comma in {fields[0][:40]!r}"
    elif colours > 15 and math.isqrt(colours) ** 2 == colours and columns - 3 * colours < 2:
        more = "; if they are in colour, save their grey"
    elif labels and nearest > 3 and abs(nearest**2 - there) < nearest:
        more = f"; they have {there} pixels, where {nearest} x {nearest} are {nearest**2}"
    raise InputError(f"{where}: {columns} columns are not {square} (785, 784, ...){left_out}{more}")


def _in_order(pixels: list[int], fields: list[str], where: str) -> list[int]:
    """The columns by the numbers in their names, which may be sorted as words: 1, 10, 2.

    Of two, as in 3x14, the first is the row; but where columns are as if it were not, they stay.
    """
    names = [fields[index] for index in pixels]
    numbers = [re.findall(r"\d+", name) for name in names]
    if any(len(number) > 9 for digits in numbers for number in digits):
        return pixels
    values = [tuple(map(int, digits)) for digits in numbers]
    alike = len({re.sub(r"\d+", "", name) for name in names}) == 1
    columns_first = values == sorted(values, key=lambda pair: pair[::-1])  # x0y0, x1y0, ...
    if not alike or len(values[0]) not in (1, 2):
        return pixels
    order = sorted(range(len(values)), key=values.__getitem__)
    for one, other in itertools.pairwise(order):
        if values[one] == values[other]:
            raise InputError(f"{where}: two columns are called {names[other][:40]!r}")
    return pixels if columns_first else [pixels[index] for index in order]


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
    where = f"{path}, line {number}"
    try:
        text = line.decode("utf-8-sig")
        if "\r" in text.rstrip("\r\n"):
            raise InputError(f"{where}: lines end as on old Macs (CR); save them with LF or CR LF")
        return next(csv.reader([text]), [])
    except UnicodeDecodeError:
        wide = ": it is UTF-16" * line.startswith((b"\xff\xfe", b"\xfe\xff"))
        raise InputError(f"{where}: not comma-separated UTF-8 text{wide}") from None
    except csv.Error as error:
        raise InputError(f"{where}: not comma-separated UTF-8 text ({error})") from None


def is_whole(text: str) -> bool:
    """Whether this is a whole number, as a label may be."""
    return bool(_LABEL.fullmatch(text.strip()))


def is_plain(text: str) -> bool:
    """Whether this is a whole number that is written as it usually is: 7, not 007."""
    return bool(_PLAIN.fullmatch(text.strip()))


def is_label(text: str) -> bool:
    """Whether this may be a label: a whole number, or a word; no fraction and nothing missing."""
    text = text.strip()
    if is_whole(text):
        return True
    try:
        float(text)
    except ValueError:
        return bool(text) and printable(text, _LONGEST_LABEL) == text
    return False


def as_labels(texts: Array, form: Form, path: Path) -> Array:
    """The label of each row, `(N,)`, of integers, or of texts (objects): the words, if any is one.

    Integers are in as few bytes as will do.
    Raises `InputError` for one that is none, and for numbers among words in a column without name.
    """
    if texts.dtype != object:
        return _small(texts)
    unique, rows, which = np.unique(texts, return_index=True, return_inverse=True)
    written = [text.strip() for text in unique.tolist()]
    whole = list(map(is_whole, written))
    if all(whole):
        return _small(np.array([int(text.partition(".")[0]) for text in written]))[which]
    for row, text, number in sorted(zip(rows.tolist(), written, whole, strict=True)):
        mixed = not form.named and number != whole[which[0]]
        if mixed or not is_label(text):
            expected = "a label, a whole number or a word"
            if not form.named:
                expected = "a label as those before"
            raise InputError(
                f"{path}, line {form.before + row + 1}, column {form.texts[-1] + 1}: "
                f"{text[:40]!r} is not {expected}"
            )
    words = np.array(written)
    expect_memory(words.itemsize * len(texts), str(path))
    return words[which]


def as_ids(texts: Array, path: Path) -> Array:
    """What each row is called, `(N,)`, of integers, or of texts (objects)."""
    if texts.dtype != object:
        return _small(texts)
    longest = max(map(len, texts))
    expect_memory(4 * longest * len(texts), str(path))
    return np.char.strip(texts.astype(str))


def _small(labels: Array) -> Array:
    least, most = (np.min_scalar_type(value) for value in (labels.min(), labels.max()))
    return labels.astype(np.promote_types(least, most))


def expect_first(labels: Array, last: Array, path: Path) -> None:
    """Raise `InputError` unless the first of columns without names has the labels, not the last."""
    if labels.dtype.kind == "U":
        return
    if len(labels) > 3 and (np.diff(labels.astype(np.int64)) == 1).all():
        raise InputError(f"{path}: the first column counts the rows, as an id does; {_HOW}")
    if labels.min() >= 0 and labels.max() <= 255 and _may_be_labels(last):
        raise InputError(f"{path}: the label may be the first column or the last one; {_HOW}")


def _may_be_labels(column: Array) -> bool:
    """Whether a column looks like labels: almost without gaps, no class rare.

    A column of pixels has one value almost everywhere, or very many. Few rows say less.
    """
    if len(column) < _FEW:
        return bool(column.any() and column.max() < _MOST_CLASSES)
    values, counts = np.unique(column, return_counts=True)
    gaps = int(values[-1]) - int(values[0]) + 1 - len(values)
    few = 1 < len(values) <= min(_MOST_CLASSES, max(_FEW, len(column) // 2))
    return bool(few and gaps <= 1 + len(values) // 10 and counts.max() <= 0.9 * len(column))
