"""The rules of the labs for what is handed in, checked on the very bytes."""

import ast
import csv
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from funcnn.experiments.errors import InputError
from funcnn.experiments.hand_in import floors
from funcnn.experiments.hand_in.deliverables import HandIn, Piece, Student
from funcnn.experiments.hand_in.files import Files
from funcnn.experiments.hand_in.mlp_rules import SheetCode
from funcnn.experiments.hand_in.networks import HandedNetwork
from funcnn.experiments.hand_in.notebook_output import printed_in
from funcnn.experiments.hand_in.standalone.probe import predict_alone
from funcnn.experiments.hand_in.verdict import Verdict
from funcnn.experiments.labs.fashion_mlp import SIZE_LIMIT
from funcnn.types import Array

_ALIKE = 0.999
"""The share of equal predictions from which on two networks are one but for rounding."""


class Submission(NamedTuple):
    """What is going to be handed in, and what it was made from."""

    hand_in: HandIn
    student: Student
    networks: Mapping[str, HandedNetwork]
    files: Files
    archive: bytes | None
    params: Mapping[str, bytes]
    """A file of NumPy's params for each trial, which its notebook predicted with."""
    printed: str | None = None
    """What the lab wants printed in the end, as the report says it."""
    draft: bool = False
    """Whether files may be missing."""

    def file(self, piece: Piece) -> bytes:
        """The content of a piece."""
        return self.files[self.student.fill(piece.name)]


def check(submission: Submission) -> list[Verdict]:
    """Every rule, in the order of the files; then those of the networks, and of the archive."""
    rules = {
        "report": _report,
        "layer": lambda submission, piece: iter(()),  # network.py stands on it
        "questions": lambda submission, piece: iter(()),  # made of the lines of the others
        "network": _network,
        "program": _program,
        "notebook": _notebook,
        "predictions": _predictions,
        "weights": _weights,
    }
    verdicts = [
        verdict
        for piece in submission.hand_in.pieces
        if not submission.draft or submission.student.fill(piece.name) in submission.files
        for verdict in rules[piece.kind](submission, piece)
    ]
    for floor in submission.hand_in.floors:
        verdicts += floors.of_network(submission.networks[floor.trial], floor)
    if submission.archive is not None:
        verdicts += _archive(submission, submission.archive)
    return verdicts


def _report(submission: Submission, piece: Piece) -> Iterator[Verdict]:
    content = submission.file(piece)
    ends = content[-64:]
    whole = content.startswith(b"%PDF-") and b"startxref" in ends and b"%%EOF" in ends
    yield Verdict(submission.student.fill(piece.name), "a whole PDF", whole)


def _network(submission: Submission, piece: Piece) -> Iterator[Verdict]:
    name, network = submission.student.fill(piece.name), submission.networks[piece.of]
    rule = "on NumPy alone it predicts the trained network's classes, and its derivative is right"
    try:
        classes = _alone(submission, piece, network.snapshot)
    except InputError as error:
        yield Verdict(name, rule, False, str(error))
        return
    yield _alike(name, rule, classes, network.classes)


def _alone(submission: Submission, piece: Piece, params: bytes) -> Array:
    """The classes that `network.py` predicts with these params. Raises as `predict_alone`."""
    data = submission.networks[piece.of].task.data
    modules = {name: each for name, each in submission.files.items() if name.endswith(".py")}
    name = submission.student.fill(piece.name)
    return predict_alone(modules, name, params, data.test[0], data.train[1])


def _program(submission: Submission, piece: Piece) -> Iterator[Verdict]:
    name = submission.student.fill(piece.name)
    beside = {file.removesuffix(".py") for file in submission.files if file.endswith(".py")}
    allowed = {"numpy", "matplotlib", *beside, *sys.stdlib_module_names}
    rule = "imports NumPy, matplotlib and the files beside it alone"
    try:
        imported = _imported(submission.files[name])
    except KeyError:
        yield Verdict(name, rule, False, "it is missing")
        return
    except (SyntaxError, ValueError) as error:
        yield Verdict(name, rule, False, f"it is no Python: {error}")
        return
    others = ", ".join(sorted(imported - allowed))
    yield Verdict(name, rule, not others, others)


def _imported(source: bytes) -> set[str]:
    """The packages that a file of Python imports anywhere in it; "." for what is relative."""
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0] if not node.level else ".")
    return imported


def _alike(name: str, rule: str, classes: Array, expected: Array, share: float = _ALIKE) -> Verdict:
    equal = int((classes == expected).sum()) if classes.shape == expected.shape else 0
    holds = equal >= share * len(expected)
    return Verdict(name, rule, holds, f"{equal:,} of {len(expected):,}")


def _notebook(submission: Submission, piece: Piece) -> Iterator[Verdict]:
    name = submission.student.fill(piece.name)
    rule = "ran from its first cell to its last"
    try:
        cells = json.loads(submission.file(piece))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        counts = [cell["execution_count"] for cell in code]
        kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
        source = "\n".join("".join(cell["source"]) for cell in code)
        lines = printed_in(submission.file(piece))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield Verdict(name, rule, False, f"it is no notebook: {error!r}")
        return
    in_turn = bool(code) and counts == list(range(1, len(code) + 1))
    yield Verdict(name, rule, in_turn and "error" not in kinds, f"{len(code)} cells")
    # It ran where funcnn cannot be imported; what is said in a branch that did not run counts too.
    alone = not re.search(r"import.*\bfuncnn\b|\bfuncnn\b.*import", source)
    yield Verdict(name, "does without funcnn", alone)
    if any(each.kind == "weights" for each in submission.hand_in.pieces):
        yield from _sheet(name, submission.file(piece))
    if submission.printed is not None:
        other = next((line for line in submission.printed.splitlines() if line not in lines), "")
        yield Verdict(name, "prints the numbers of the report", not other, other and f"not {other}")
    for floor in submission.hand_in.floors:
        network = submission.networks[floor.trial]
        yield from floors.printed_by(name, submission.file(piece), network, floor)


def _sheet(name: str, notebook: bytes) -> Iterator[Verdict]:
    """The lab's classes in a notebook."""
    from funcnn.experiments.pytorch.files import size_of

    code = SheetCode.of(notebook)
    missing, others = code.missing(), code.not_allowed()
    rule = "defines myActivation, myMLP, myLoss and an optimizer"
    yield Verdict(name, rule, not missing, f"no {', '.join(missing)}" if missing else "")
    yield Verdict(name, "nn.Linear and tensor functions only", not others, ", ".join(others))
    rule = f"myMLP(3072, 10) has less than {SIZE_LIMIT / 1e6:g} MB"
    try:
        size = size_of(code.definition(3072, 10))
    except InputError as error:
        yield Verdict(name, rule, False, str(error))
        return
    yield Verdict(name, rule, size < SIZE_LIMIT, f"{size / 1e6:.2f} MB")


def _predictions(submission: Submission, piece: Piece) -> Iterator[Verdict]:
    name, network = submission.student.fill(piece.name), submission.networks[piece.of]
    rows = list(csv.reader(io.StringIO(submission.file(piece).decode())))
    header, body = rows[0] if rows else [], rows[1:]
    count = len(network.task.data.test[0])
    classes = len(network.trained.class_names)
    yield Verdict(name, "the header is Id,Category", header == ["Id", "Category"], ",".join(header))
    yield Verdict(name, "a row for each test image", len(body) == count, f"{len(body):,} rows")
    ids = [row[0] for row in body if row]
    yield Verdict(name, "Id counts from 0", ids == list(map(str, range(count))))
    values = [row[1] if len(row) == 2 else "" for row in body]
    known = set(map(str, range(classes)))
    wrong = next((f"found {value!r}" for value in values if value not in known), "")
    yield Verdict(name, f"every class is an integer from 0 to {classes - 1}", not wrong, wrong)
    if wrong:
        return
    by = next(
        each
        for kind in ("weights", "network")
        for each in submission.hand_in.pieces
        if each.kind == kind and each.of == piece.of
    )
    rule, share = f"the classes that {submission.student.fill(by.name)} predicts", 1.0
    try:
        if by.kind == "weights":
            expected = _by_weights(submission, by)
        else:
            rule += " with the params that its notebook trained"
            share = _ALIKE  # its batches are of another size, and so is the rounding
            expected = _alone(submission, by, submission.params[piece.of])
    except InputError:  # which is said where that file is checked
        return
    yield _alike(name, rule, np.array(values, int), expected, share)


def _weights(submission: Submission, piece: Piece) -> Iterator[Verdict]:
    name, network = submission.student.fill(piece.name), submission.networks[piece.of]
    content = submission.file(piece)
    size = f"{len(content) / 1e6:.2f} MB"
    yield Verdict(name, f"less than {SIZE_LIMIT / 1e6:g} MB", len(content) < SIZE_LIMIT, size)
    rule = "torch.load(..., weights_only=True) reads it, and the notebook's myMLP loads it strictly"
    try:
        classes = _by_weights(submission, piece)
    except InputError as error:
        yield Verdict(name, rule, False, str(error))
        return
    yield Verdict(name, rule, True)
    if network.one_training:
        yield _alike(name, "it predicts the classes of NumPy's", classes, network.classes)
    _, labels = network.task.data.test
    for floor in submission.hand_in.floors:
        if floor.trial == piece.of and floor.part == "test" and labels is not None:
            accuracy = float((classes == labels).mean())
            yield floors.enough(name, floor, network.task.data.test_is, accuracy)


def _by_weights(submission: Submission, piece: Piece) -> Array:
    """The classes of the test images, by the `myMLP` of the notebook. Raises `InputError`."""
    from funcnn.experiments.pytorch.files import classes_of

    network = submission.networks[piece.of]
    notebook = next(name for name in submission.files if name.endswith(".ipynb"))
    pixels = network.task.data.test[0] / np.float32(network.trained.normalization.scale)
    sizes = pixels[0].size, len(network.trained.class_names)
    definition = SheetCode.of(submission.files[notebook]).definition(*sizes)
    return classes_of(submission.file(piece), definition, pixels)


def _archive(submission: Submission, content: bytes) -> Iterator[Verdict]:
    name = submission.student.fill(submission.hand_in.archive or "")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        held = {each: archive.read(each) for each in archive.namelist()}
    exactly = held == submission.files
    yield Verdict(name, "holds exactly these files, and no data", exactly, f"{len(held)} files")
