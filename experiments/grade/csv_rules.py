"""Rules on the CSV file of predictions."""

import csv
import io
from collections import Counter
from collections.abc import Iterator

import numpy as np

from funcnn.experiments.errors import InputError
from funcnn.experiments.grade.floors import FLOORS
from funcnn.experiments.grade.sheet import Work
from funcnn.experiments.grade.verdicts import Verdict

_LONGEST = 4 << 20  # bytes; 12,800 rows have some 120,000


def csv_rules(work: Work) -> Iterator[Verdict]:
    """Header, rows, ids and classes; and how many are right, where the truth is known."""
    file, wanted = work.files.get("csv"), work.sheet.predictions
    if file is None or wanted is None:
        return
    name = file.name
    try:
        rows = _rows(file.read())
    except InputError as error:
        yield Verdict(name, "a CSV file", False, str(error))
        return
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    unsure = False if wanted.form_said else None
    is_header = header == ["Id", "Category"] or unsure
    yield Verdict(name, "the header is Id,Category", is_header, ",".join(header) or "nothing")
    if header and all(_is_whole(value) for value in header):  # it is the first row
        body = rows
    enough = len(body) == wanted.rows
    yield Verdict(name, f"{wanted.rows:,} rows", enough, f"{len(body):,} rows")
    wrong = next(
        (f"row {i + 1} has {row[:1]}" for i, row in enumerate(body) if row[:1] != [str(i)]), ""
    )
    yield Verdict(name, "Id counts from 0", not wrong or unsure, wrong)
    values = [row[1] if len(row) == 2 else ",".join(row) for row in body]
    yield _whole_classes(name, values, wanted.classes)
    if work.labels is not None:
        yield _score(name, values, work)


def _rows(content: bytes) -> list[list[str]]:
    if len(content) > _LONGEST:
        raise InputError(f"has {len(content):,} bytes, too many for predictions")
    text = content.decode("utf-8-sig", errors="backslashreplace")
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise InputError(f"is not CSV: {error}") from None
    while rows and not rows[-1]:
        rows.pop()
    return rows


def _whole_classes(name: str, values: list[str], classes: int) -> Verdict:
    rule = f"each class is an integer from 0 to {classes - 1}, no float"
    known = set(map(str, range(classes)))
    wrong = [value for value in values if value not in known]
    if wrong:
        row = next(i for i, value in enumerate(values) if value not in known)
        found = f"{len(wrong):,} are not, the first in row {row + 1}: {wrong[0][:40]!r}"
        return Verdict(name, rule, False, found)
    if not values:
        return Verdict(name, rule, False, "no rows")
    most, count = Counter(values).most_common(1)[0]
    found = f"{len(set(values))} classes"
    if count == len(values):
        found = f"every one is {most}"
    return Verdict(name, rule, True, found)


def _score(name: str, values: list[str], work: Work) -> Verdict:
    assert work.labels is not None
    floor = FLOORS[work.sheet.lab]
    rule, unsure = f"test accuracy {floor.words}", False
    if work.sheet.lab == "fashion":  # whose floor is the validation set's
        rule, unsure = "scored by accuracy on the test set", True
    if len(values) != len(work.labels):
        found = f"{len(values):,} predictions for {len(work.labels):,} labels"
        return Verdict(name, rule, None, found)
    classes = np.array(
        [int(v) if v.isascii() and v.isdigit() and len(v) < 9 else -1 for v in values]
    )
    accuracy = 100 * float((classes == work.labels).mean())
    holds = floor.met(accuracy) or (None if unsure else False)
    return Verdict(name, rule, holds, f"{accuracy:.2f} % of its classes are right")


def _is_whole(value: str) -> bool:
    return value.strip().isascii() and value.strip().isdigit()
