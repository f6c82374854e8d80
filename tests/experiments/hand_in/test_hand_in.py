"""What is handed in: names, files, and the rules that they must keep."""

import copy
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import need_weasyprint, run_all_here

import funcnn as fn
from funcnn.cli import main
from funcnn.experiments.errors import InputError
from funcnn.experiments.export.tensor_files import write_tensors
from funcnn.experiments.hand_in import files, networks
from funcnn.experiments.hand_in import submit as submitting
from funcnn.experiments.hand_in.deliverables import (
    HAND_INS,
    Floor,
    HandIn,
    Piece,
    Student,
    find_trial,
    plain,
)
from funcnn.experiments.hand_in.files import make_files, pack
from funcnn.experiments.hand_in.mlp_rules import SheetCode
from funcnn.experiments.hand_in.networks import HandedNetwork
from funcnn.experiments.hand_in.notebook_builder import build, lab_configs
from funcnn.experiments.hand_in.notebook_runner import RunNotebook
from funcnn.experiments.hand_in.rules import Submission, check
from funcnn.experiments.labs import run as lab_run
from funcnn.experiments.labs.lab import Lab, Trial
from funcnn.experiments.labs.registry import LABS
from funcnn.experiments.labs.run import LabRun
from funcnn.experiments.pytorch.files import classes_of
from funcnn.experiments.pytorch.state_dicts import in_mlp
from funcnn.experiments.reports.document import Document, Section, Text, finding
from funcnn.experiments.system.lock import alone_in
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.model import load_model
from funcnn.experiments.training.predictions import predictions_text
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder

pytest.importorskip("torch", reason="a hand-in has networks of torch: pip install 'funcnn[torch]'")
for package in ("jupytext", "nbclient"):
    pytest.importorskip(package, reason="notebooks: pip install 'funcnn[notebooks]'")
need_weasyprint()

# lab, student's id and name, the files of its page
NAMES = [
    ("points", "0716001", "王小明", {"DL_LAB1_0716001_王小明.zip"}),
    (
        "fashion",
        "0716001",
        None,
        {
            "Lab01_task1_0716001.ipynb",
            "network_0716001.py",
            "layer_0716001.py",
            "Lab01_task2_0716001.ipynb",
            "Lab01_report_0716001.pdf",
            "kaggle/DL-test-predicted.csv",
        },
    ),
    (
        "emnist47",
        "310-55",
        None,
        {
            "Lab1_310-55.ipynb",
            "network.py",
            "layer.py",
            "Lab1_report_310-55.pdf",
            "kaggle/DLAD-test-predict.csv",
        },
    ),
    ("mnist", "2026-12345", "김철수", {"PA1_2026-12345_김철수.zip"}),
    ("fashion-mlp", "A1", None, {"A1_HW1.zip"}),
]
INSIDE = {
    "points": {
        *("DL_LAB1_0716001_王小明.pdf", "main.py", "optimizers.py", "layer.py", "network.py"),
        *("DL_LAB1_0716001.ipynb", "questions.md"),
    },
    "mnist": {
        "PA1_2026-12345_김철수.pdf",
        "layer.py",
        "network_nn.py",
        "network_cnn.py",
        "PA1_2026-12345_numpy.ipynb",
        "PA1_2026-12345_torch.ipynb",
    },
    "fashion-mlp": {"DL_HW1_A1.ipynb", "A1_submission.pt", "A1_submission.csv"},
}


@pytest.mark.parametrize(("lab", "student_id", "name", "files"), NAMES)
def test_files_are_called_as_the_lab_says(lab, student_id, name, files) -> None:
    hand_in = HAND_INS[lab]
    student = Student.of(student_id, name, hand_in)
    pieces = {student.fill(piece.name) for piece in hand_in.pieces}
    if hand_in.archive:
        assert {student.fill(hand_in.archive)} == files
        assert pieces == INSIDE[lab]
    else:
        assert pieces == files


def test_every_lab_is_handed_in() -> None:
    assert set(HAND_INS) == set(LABS) == {lab for lab, *_ in NAMES}
    for name, hand_in in HAND_INS.items():
        assert set(hand_in.trials) <= {trial.name for trial in LABS[name].trials}


WRONG_NAMES = [
    ("fashion", "", None, "--student-id '': letters, digits, - and _ only"),
    ("fashion", "../x", None, "--student-id '../x': letters"),
    ("fashion", "2026-1", None, "layer_2026-1.py is imported by this name"),
    ("points", "1", None, "--name is missing: the lab wants it in DL_LAB1_{id}_{name}.zip"),
    ("points", "1", "a/b", "--name 'a/b' cannot stand in the name of a file"),
    ("points", "1", "..", "--name '..' cannot stand"),
    ("points", "1", "a\nb", "cannot stand"),
    ("points", "1", "", "--name '' cannot stand"),
    ("points", "1", "王" * 82, "DL_LAB1_{id}_{name}.zip would have 260 bytes, more than 255"),
    ("fashion", "1" * 250, None, "would have 268 bytes, more than 255"),
]


@pytest.mark.parametrize(("lab", "student_id", "name", "message"), WRONG_NAMES)
def test_what_cannot_stand_in_a_name_is_refused(lab, student_id, name, message) -> None:
    with pytest.raises(InputError) as raised:
        Student.of(student_id, name, HAND_INS[lab])
    assert message in str(raised.value)


def test_hangul_is_written_a_sign_a_syllable() -> None:
    decomposed = "\u1100\u1175\u11b7"  # 김, as some systems type it
    assert Student.of("1", decomposed, HAND_INS["mnist"]).name == "\uae40"


def test_the_plain_name_is_without_a_student() -> None:
    names = {"network_{id}.py": "network.py", "{id}_submission.pt": "submission.pt"}
    names |= {"PA1_{id}_numpy.ipynb": "PA1_numpy.ipynb", "DL_LAB1_{id}_{name}.pdf": "DL_LAB1.pdf"}
    for pattern, name in names.items():
        assert plain(pattern) == name


# --- a small network of Fashion-MNIST, and its files -----------------------------------------

MLP = {"arch": "mlp3", "hidden": (48, 24), "epochs": 2, "optimizer": "classical-momentum"}
STUDENT = Student("A1", None)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunFolder:
    """A trained run of the lab `fashion-mlp`, but for its size and epochs."""
    path = tmp_path_factory.mktemp("run") / "run"
    TrainingRun.start(RunConfig.resolve(MLP), path).finish(draw=False)
    return RunFolder(path)


@pytest.fixture(scope="module")
def network(run) -> HandedNetwork:
    trained = load_model(run)
    worse = fn.tree.map(lambda leaf: leaf * np.float32(0.5), trained.params)
    by_backend = {"numpy": trained, "torch": trained._replace(params=worse)}
    task = Task.build(run.read_config())
    return HandedNetwork(task, by_backend, run.params.read_bytes())


# All kinds of files at once.
ALL = HandIn(
    (
        Piece("report_{id}.pdf", "report"),
        Piece("layer_{id}.py", "layer"),
        Piece("network_{id}.py", "network", "mlp"),
        Piece("{id}.ipynb", "notebook", "fashion-mlp"),
        Piece("{id}.csv", "predictions", "mlp"),
        Piece("{id}.pt", "weights", "mlp"),
    ),
    (Floor("mlp", "validation", 0.5), Floor("mlp", "test", 0.5, above=True)),
    "{id}.zip",
)
PRINTED = ["epoch  1  train loss 0.7 50.00%  val loss 0.6 90.50%\n"]
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# A"]},
        {
            "cell_type": "code",
            "execution_count": 1,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": PRINTED}],
            "source": ["print(1)"],
        },
    ]
}


@pytest.fixture(scope="module")
def good(network, tmp_path_factory) -> Submission:
    """Files that keep all rules, the report in little, and the notebook as if it had run."""
    kinds = ("report", "layer", "network")
    without = ALL._replace(pieces=tuple(p for p in ALL.pieces if p.kind in kinds))
    report = b"%PDF-1.7\n...\nstartxref\n9\n%%EOF\n"
    made = make_files(without, STUDENT, {"mlp": network}, lambda *said: report, lambda step: None)
    files, params = dict(made.files), {"mlp": network.snapshot}
    weights = tmp_path_factory.mktemp("weights") / "A1.pt"
    normalization = network.task.data.normalization
    write_tensors(weights, in_mlp(network.tensors("numpy"), normalization), {})
    files["A1.pt"] = weights.read_bytes()
    notebook = json.loads(build("fashion-mlp", lab_configs("fashion-mlp", hidden=MLP["hidden"])))
    code = [each for each in notebook["cells"] if each["cell_type"] == "code"]
    for number, each in enumerate(code, 1):
        each["execution_count"] = number
    files["A1.ipynb"] = json.dumps(notebook).encode()
    pixels = network.task.data.test[0] / np.float32(255)
    classes = classes_of(
        files["A1.pt"], SheetCode.of(files["A1.ipynb"]).definition(784, 10), pixels
    )
    files["A1.csv"] = predictions_text(classes).encode()
    files = {STUDENT.fill(piece.name): files[STUDENT.fill(piece.name)] for piece in ALL.pieces}
    return Submission(ALL, STUDENT, {"mlp": network}, files, pack(files), params)


def test_good_files_keep_every_rule(good) -> None:
    verdicts = check(good)
    assert [str(verdict) for verdict in verdicts if not verdict.holds] == []
    assert len(verdicts) == 20
    assert len({str(verdict) for verdict in verdicts}) == len(verdicts)


def change(text: bytes, before: str, after: str) -> bytes:
    assert before.encode() in text
    return text.replace(before.encode(), after.encode(), 1)


def rows(change_rows):
    def changed(text: bytes) -> bytes:
        return ("\n".join(change_rows(text.decode().splitlines())) + "\n").encode()

    return changed


def tensors(change_tensors):
    def changed(content: bytes) -> bytes:
        import torch

        found = change_tensors(torch.load(io.BytesIO(content), weights_only=True))
        buffer = io.BytesIO()
        torch.save(found, buffer)
        return buffer.getvalue()

    return changed


def counted_from_1(lines):
    return [lines[0], *(f"{i + 1},{line.split(',')[1]}" for i, line in enumerate(lines[1:]))]


def without_first(found):
    del found["mlp.0.weight"]
    return found


def padded(found):
    import torch

    return {**found, "more": torch.zeros(500_000)}


def cell(**changed):
    return lambda text: json.dumps({"cells": [NOTEBOOK["cells"][1] | changed]}).encode()


NOT_ALONE = (
    "network_A1.py: on NumPy alone it predicts the trained network's classes, "
    "and its derivative is right"
)
STRICTLY = (
    "A1.pt: torch.load(..., weights_only=True) reads it, and the notebook's myMLP loads it strictly"
)
BROKEN = [
    ("report_A1.pdf", lambda text: text[:-7], ["report_A1.pdf: a whole PDF"]),
    ("report_A1.pdf", lambda text: b"%PDF-%%EOF", ["report_A1.pdf: a whole PDF"]),
    (
        "network_A1.py",
        lambda text: change(text, "import math", "import math, pandas"),
        [f"{NOT_ALONE} (ModuleNotFoundError: No module named 'pandas')"],
    ),
    (
        "network_A1.py",
        lambda text: change(text, "MEAN, STD = 255.0", "MEAN, STD = -255.0"),
        [f"{NOT_ALONE} ("],
    ),
    (
        "layer_A1.py",
        lambda text: change(text, "np.maximum(x, 0)", "np.minimum(x, 0)"),
        [f"{NOT_ALONE} ("],
    ),
    (
        "layer_A1.py",
        lambda text: change(text, "dy * (x > 0)", "dy * 0"),
        [f"{NOT_ALONE} (backward gives a slope of "],
    ),
    ("A1.ipynb", cell(execution_count=2), ["A1.ipynb: ran from its first cell to its last"]),
    (
        "A1.ipynb",
        lambda text: b'{"cells": []}',
        ["A1.ipynb: ran from its first cell to its last (0 cells)"],
    ),
    (
        "A1.ipynb",
        lambda text: b"rubbish",
        ["A1.ipynb: ran from its first cell to its last (it is no notebook: JSONDecodeError"],
    ),
    ("A1.ipynb", cell(source=["import os, funcnn"]), ["A1.ipynb: does without funcnn"]),
    ("A1.ipynb", cell(source=["__import__('funcnn')"]), ["A1.ipynb: does without funcnn"]),
    ("A1.ipynb", cell(execution_count=None), ["A1.ipynb: ran from its first cell to its last"]),
    (
        "A1.ipynb",
        cell(outputs=[{"output_type": "error", "ename": "E"}]),
        ["A1.ipynb: ran from its first cell to its last"],
    ),
    (
        "A1.ipynb",
        cell(source=["import numpy\n", "from funcnn import tree\n"]),
        ["A1.ipynb: does without funcnn"],
    ),
    (
        "A1.csv",
        lambda text: change(text, "Id,Category", "id,label"),
        ["A1.csv: the header is Id,Category (id,label)"],
    ),
    (
        "A1.csv",
        rows(lambda lines: lines[:-1]),
        [
            "A1.csv: a row for each test image (9,999 rows)",
            "A1.csv: Id counts from 0",
            "A1.csv: the classes that A1.pt predicts (0 of 10,000)",
        ],
    ),
    (
        "A1.csv",
        rows(counted_from_1),
        ["A1.csv: Id counts from 0"],
    ),
    (
        "A1.csv",
        rows(lambda lines: [lines[0], f"{lines[1]}.0", *lines[2:]]),
        ["A1.csv: every class is an integer from 0 to 9 (found '"],
    ),
    (
        "A1.csv",
        rows(lambda lines: [*lines[:-1], "9999,10"]),
        ["A1.csv: every class is an integer from 0 to 9 (found '10')"],
    ),
    (
        "A1.csv",
        rows(lambda lines: [lines[0], *(f"{i},0" for i in range(10_000))]),
        ["A1.csv: the classes that A1.pt predicts ("],
    ),
    (
        "A1.csv",
        rows(lambda lines: [*lines[:-1], f"9999,{(int(lines[-1][-1]) + 1) % 10}"]),
        ["A1.csv: the classes that A1.pt predicts (9,999 of 10,000)"],
    ),
    ("A1.pt", tensors(without_first), [f"{STRICTLY} (Error(s) in loading state_dict for"]),
    ("A1.pt", tensors(padded), ["A1.pt: less than 2 MB (2.", f"{STRICTLY} ("]),
    ("A1.pt", lambda content: content[:100], [f"{STRICTLY} ("]),
    (
        "A1.pt",
        tensors(lambda found: {f"other.{name}": tensor for name, tensor in found.items()}),
        [f"{STRICTLY} (Error(s) in loading state_dict for myMLP: Missing key(s)"],
    ),
]


@pytest.mark.parametrize(("file", "change_file", "broken"), BROKEN)
def test_a_rule_that_does_not_hold_is_named(good, file, change_file, broken) -> None:
    files = good.files | {file: change_file(good.files[file])}
    suffixes = {Path(file).suffix}  # network.py is judged together with layer.py
    if suffixes == {".csv"}:  # and the table by the weights
        suffixes.add(".pt")
    pieces = tuple(piece for piece in ALL.pieces if Path(piece.name).suffix in suffixes)
    only = ALL._replace(pieces=pieces, floors=())
    verdicts = check(good._replace(hand_in=only, files=files, archive=None))
    found = [str(verdict) for verdict in verdicts if not verdict.holds]
    assert len(found) == len(broken)
    for said, expected in zip(found, broken, strict=True):
        assert said.startswith(expected)


def test_a_table_is_judged_by_the_params_that_the_notebook_trained(good, network) -> None:
    kinds = ("layer", "network", "predictions")
    only = ALL._replace(pieces=tuple(p for p in ALL.pieces if p.kind in kinds), floors=())
    rule = (
        "A1.csv: the classes that network_A1.py predicts with the params that its notebook trained"
    )

    def verdict(params):
        verdicts = check(good._replace(hand_in=only, archive=None, params={"mlp": params}))
        (found,) = [each for each in verdicts if str(each).startswith(rule)]
        return found

    assert verdict(network.snapshot).holds
    model = network.trained.model
    _, first = model.init(fn.random.key(7), (1, 28, 28))
    others = io.BytesIO()
    np.savez(others, **dict(fn.tree.leaves_with_path(first)))
    assert not verdict(others.getvalue()).holds


@pytest.mark.parametrize(("said", "holds"), [("60.00", True), ("50.00", False), ("4.00", False)])
def test_what_a_notebook_prints_must_be_enough(good, said, holds) -> None:
    text = f"validation accuracy 70.00%\ntest accuracy       {said}%; more\n"
    output = [{"output_type": "stream", "name": "stdout", "text": [text]}]
    notebook = cell(outputs=output)(b"")
    only = ALL._replace(pieces=tuple(p for p in ALL.pieces if p.kind == "notebook"))
    files = good.files | {"A1.ipynb": notebook}
    verdicts = check(good._replace(hand_in=only, archive=None, files=files))
    found = {str(each): each.holds for each in verdicts if each.of == "A1.ipynb"}
    assert found["A1.ipynb: at least 50 % on the validation set (70.00 %)"]
    assert found[f"A1.ipynb: above 50 % on the test set ({said} %)"] == holds


def test_other_weights_break_the_table_and_the_floor(good) -> None:
    changed = tensors(lambda found: {name: -tensor for name, tensor in found.items()})
    files = good.files | {"A1.pt": changed(good.files["A1.pt"])}
    found = [str(v) for v in check(good._replace(files=files, archive=None)) if not v.holds]
    assert len(found) == 2
    assert found[0].startswith("A1.csv: the classes that A1.pt predicts (")
    assert found[1].startswith("A1.pt: above 50 % on the test set (")


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [
        ("class myLoss(", "class Loss(", "defines myActivation, myMLP, myLoss and an optimizer"),
        ("(torch.optim.Optimizer)", "(object)", "defines myActivation, myMLP, myLoss and an opt"),
        ("from torch import nn", "from torch import nn\\nimport torch.nn.functional as F",
         "nn.Linear and tensor functions only (torch.nn.functional)"),
        ("criterion = myLoss()", "criterion = nn.CrossEntropyLoss()",
         "nn.Linear and tensor functions only (torch.nn.CrossEntropyLoss)"),
        ("optimizer = myOptimizer(", "optimizer = torch.optim.SGD(",
         "nn.Linear and tensor functions only (torch.optim.SGD)"),
        ("import re\\n", "from torch.nn import ReLU as f\\n",
         "nn.Linear and tensor functions only (torch.nn.ReLU)"),
        ("MOST = 480_000", "MOST, HIDDEN = 10**9, (256, 24)",
         "myMLP(3072, 10) has less than 2 MB (3."),
        ("def sizes(", "def other(", "myMLP(3072, 10) has less than 2 MB ('myMLP' object has no"),
    ],
)  # fmt: skip
def test_the_labs_classes_are_asked_for(good, before, after, broken) -> None:
    files = good.files | {"A1.ipynb": change(good.files["A1.ipynb"], before, after)}
    without_rest = {"layer", "network", "report", "predictions"}
    pieces = tuple(piece for piece in ALL.pieces if piece.kind not in without_rest)
    only = ALL._replace(pieces=pieces, floors=())
    found = check(good._replace(hand_in=only, files=files, archive=None))
    said = [str(verdict) for verdict in found if not verdict.holds and verdict.of == "A1.ipynb"]
    assert len(said) == 1
    assert said[0].startswith(f"A1.ipynb: {broken}")


def test_a_floor_is_of_both_backends_and_of_the_part_that_is_asked_for(good, network) -> None:
    floors = (Floor("mlp", "validation", 0.99), Floor("mlp", "test", 0.99, above=True))
    pieces = tuple(piece for piece in ALL.pieces if piece.kind == "report")
    verdicts = check(good._replace(hand_in=ALL._replace(floors=floors, pieces=pieces)))
    found = [str(verdict) for verdict in verdicts if not verdict.holds]
    accuracy = {
        (backend, part): f"{100 * network.accuracy(backend, part):.2f} %"
        for backend in ("numpy", "torch")
        for part in ("validation", "test")
    }
    assert len(set(accuracy.values())) == 4
    assert found == [
        f"mlp in NumPy: at least 99 % on the validation set ({accuracy['numpy', 'validation']})",
        f"mlp in PyTorch: at least 99 % on the validation set ({accuracy['torch', 'validation']})",
        f"mlp in NumPy: above 99 % on the test set ({accuracy['numpy', 'test']})",
        f"mlp in PyTorch: above 99 % on the test set ({accuracy['torch', 'test']})",
    ]


def test_an_accuracy_at_the_floor_is_not_above_it(good, network) -> None:
    exactly = network.accuracy("numpy", "test")
    floors = (Floor("mlp", "test", exactly), Floor("mlp", "test", exactly, above=True))
    found = check(good._replace(hand_in=ALL._replace(floors=floors)))
    held = [v.holds for v in found if v.of == "mlp in NumPy"]
    assert held == [True, False]


def test_an_archive_has_its_files_and_no_data(good) -> None:
    def broken(files) -> list[str]:
        return [str(v) for v in check(good._replace(archive=pack(files))) if not v.holds]

    rule = "A1.zip: holds exactly these files, and no data"
    assert broken({**good.files, "train.npz": b""}) == [f"{rule} (7 files)"]
    less = {name: content for name, content in good.files.items() if name != "A1.pt"}
    assert broken(less) == [f"{rule} (5 files)"]
    assert broken({**good.files, "A1.pt": b"rubbish"}) == [f"{rule} (6 files)"]


def test_equal_files_make_equal_archives_that_know_chinese_and_korean_names() -> None:
    files = {"王小明.py": b"x = 1\n", "김철수.pdf": bytes(100)}
    assert pack(files) == pack(files)
    with zipfile.ZipFile(io.BytesIO(pack(files))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
        assert all(member.flag_bits & 0x800 for member in archive.infolist())  # UTF-8


# --- the command -----------------------------------------------------------------------------


def submit(*arguments: str):
    return CliRunner().invoke(main, ["experiment", "submit", *arguments])


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


TINY = Lab(
    "tiny",
    "A tiny experiment",
    (Trial("one", {"arch": "points", "epochs": 2, "init": "shared"}, main=True),),
    {"epochs": 2},
    lambda row: "",
    lambda results: Document("Tiny", "", (), (Section("Nothing", (Text("at all"),)),)),
)
TINY_HAND_IN = HandIn(
    (
        Piece("report_{id}.pdf", "report"),
        Piece("layer.py", "layer"),
        Piece("network.py", "network", "one"),
    ),
    archive="{id}_{name}.zip",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of the finished tiny experiment."""
    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab_run, "run_all", run_all_here)
        LabRun.open(TINY, False, folder).finish()
    return folder


@pytest.fixture
def tiny(finished, place, monkeypatch):
    """A copy of it, where it is looked for."""
    monkeypatch.setitem(LABS, "tiny", TINY)
    monkeypatch.setitem(HAND_INS, "tiny", TINY_HAND_IN)
    shutil.copytree(finished, "runs/tiny")
    return Path("runs/tiny")


def first_page(path) -> str:
    """The text of a PDF's first page, without spaces; of Hangul its reader makes other signs."""
    reader = pytest.importorskip("pypdf", reason="it reads what was written").PdfReader(path)
    return re.sub(r"[\s\0]", "", reader.pages[0].extract_text())


def test_a_finished_experiment_is_handed_in(tiny) -> None:
    done = submit("tiny", "--student-id", "7", "--name", "김철수")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "hand-in/tiny-7/7_김철수.zip"
    with zipfile.ZipFile("hand-in/tiny-7/7_김철수.zip") as archive:
        archive.extractall("unpacked")
        assert archive.namelist() == ["report_7.pdf", "layer.py", "network.py"]
        for name in ("layer.py", "network.py"):
            assert archive.read(name).startswith('# Student id 7, Name 김철수\n"""'.encode())
    # The experiment's own report is nobody's; that which is handed in begins with the student.
    assert first_page(tiny / "report.pdf").startswith("TinyContents")
    assert first_page("unpacked/report_7.pdf").startswith("TinyStudentid7Name")
    script = "import network; print(len(network.first_params(__import__('numpy').random)))"
    code = f"import sys; sys.path.insert(0, 'unpacked'); {script}"
    assert (
        subprocess.run(
            [sys.executable, "-c", code.replace(".random)", ".random.default_rng(0))")],
            capture_output=True,
            check=True,
        ).stdout
        == b"6\n"
    )

    snapshot = tiny / "trials/one/numpy-seed-0/params.npz"
    words = ["--student-id", "7", "--name", "김철수", "--snapshot", str(snapshot), "--out", "again"]
    lacks = "report_7.pdf has not the lab's sections, for a snapshot has no record of how it was"
    refused = submit("tiny", *words)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"Error: {lacks} trained: funcnn experiment run tiny, or --dr")
    again = submit("tiny", *words, "--draft")
    assert again.exit_code == 0, again.stderr
    assert f"does not hold: {lacks.replace('pdf', 'pdf:', 1)}" in again.stdout
    assert Path("again/network.py").read_bytes() == Path("unpacked/network.py").read_bytes()
    assert "Studentid7Name" in first_page("again/report_7.pdf")


def nothing_to_report(results):
    raise InputError("nothing to report")


def test_a_draft_has_what_can_be_made_and_says_what_does_not_hold(tiny, monkeypatch) -> None:
    notebook = Piece("it_{id}.ipynb", "notebook", "points")
    broken = TINY_HAND_IN._replace(
        pieces=(*TINY_HAND_IN.pieces, Piece("kaggle/it.csv", "predictions", "one"), notebook),
        floors=(Floor("one", "test", 0.999),),
        archive=None,
    )
    run = RunFolder(tiny / "trials/one/numpy-seed-0")
    points, _ = Task.build(run.read_config()).data.test
    classes = fn.predicted_classes(load_model(run).predict(points))
    written = {"kaggle/it.csv": predictions_text(classes).encode()}
    params = {"one": run.params.read_bytes()}
    ran = RunNotebook(json.dumps(NOTEBOOK).encode(), written, params)
    monkeypatch.setattr(files, "run_notebook", lambda *args: ran)
    monkeypatch.setitem(HAND_INS, "tiny", broken)
    monkeypatch.setitem(LABS, "tiny", TINY._replace(report=nothing_to_report))
    said = submit("tiny", "--student-id", "7", "--draft").stdout.splitlines()
    folder = Path("hand-in/tiny-7-draft")
    assert {path.name for path in folder.iterdir()} == {
        *("layer.py", "network.py", "kaggle", "it_7.ipynb")
    }
    assert (folder / "kaggle/it.csv").read_text().startswith("Id,Category\n")
    lacking = [line for line in said if line.startswith("does not hold: ")]
    assert lacking[0] == "does not hold: report_7.pdf: nothing to report"
    assert [line[15:28] for line in lacking[1:]] == ["one in NumPy:", "one in PyTorc"]
    assert any(line.startswith("holds: network.py: on NumPy alone") for line in said)
    assert said[-1].startswith("it.csv goes to Kaggle, where the team's name must be 7: ")


def shown_whole(results):
    training = results.shown(results.lab.trials[0], "numpy")
    weights = fn.tree.leaves(training.model.params)[0].ravel()
    said = f"{training.whose}: epoch {training.kept}, {weights[0]:.4f}, {training.accuracies}"
    return Document("Tiny", "", (), (Section("It", (finding(said),)),))


def test_the_report_shows_the_training_that_the_notebook_made(tiny, monkeypatch) -> None:
    run = RunFolder(tiny / "trials/one/numpy-seed-0")
    twice = fn.tree.map(lambda leaf: 2 * leaf, load_model(run).params)
    first = fn.tree.leaves(twice)[0].ravel()[0]
    kept = io.BytesIO()
    np.savez(kept, **dict(fn.tree.leaves_with_path(twice)))
    cells = copy.deepcopy(NOTEBOOK)
    cells["cells"][1]["outputs"][0]["text"] = [*PRINTED, "validation accuracy 90.50%\n"]
    ran = RunNotebook(json.dumps(cells).encode(), {}, {"one": kept.getvalue()})
    monkeypatch.setattr(files, "run_notebook", lambda *args: ran)
    pieces = (*TINY_HAND_IN.pieces, Piece("it_{id}.ipynb", "notebook", "points"))
    monkeypatch.setitem(HAND_INS, "tiny", HandIn(pieces))
    monkeypatch.setitem(LABS, "tiny", TINY._replace(report=shown_whole))
    (tiny / "report.md").unlink()
    done = submit("tiny", "--student-id", "7")
    assert done.exit_code == 0, done.stderr
    said = first_page("hand-in/tiny-7/report_7.pdf")
    assert "it_7.ipynbprintsvalidationaccuracy90.50%" in said
    assert f"asthenotebooktrainedit:epoch1,{first:.4f},{{'validation':0.905}}" in said
    assert "seed 0: epoch 2, " in (tiny / "report.md").read_text()  # of the experiment's own


def test_a_draft_is_made_before_the_run_in_pytorch_is(tiny, monkeypatch) -> None:
    floors = (Floor("one", "test", 0.001),)
    monkeypatch.setitem(HAND_INS, "tiny", TINY_HAND_IN._replace(archive=None, floors=floors))
    shutil.rmtree("runs/tiny/trials/one/torch-seed-0")
    said = submit("tiny", "--student-id", "7", "--draft").stdout.splitlines()
    assert any(line.startswith("holds: network.py: on NumPy alone") for line in said)
    assert any(line.startswith("holds: one in NumPy") for line in said)
    assert "does not hold: one in PyTorch: is trained" in said
    assert "no name stands on these files, beside the id: --name NAME" in said


def test_a_report_whose_text_is_out_of_step_with_the_records_is_refused(tiny) -> None:
    (tiny / "report.md").write_text("# Tiny\n\n<!-- recorded: results-9 -->\n1\n<!-- end -->\n")
    done = submit("tiny", "--student-id", "7", "--name", "Li")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "Error: runs/tiny/report.md has not facts, which the report has by now: move it away, and "
        "it is begun anew"
    )
    assert not Path("hand-in").exists()


def test_if_a_rule_is_broken_nothing_is_written(tiny, monkeypatch) -> None:
    floor = TINY_HAND_IN._replace(floors=(Floor("one", "test", 0.999),))
    monkeypatch.setitem(HAND_INS, "tiny", floor)
    done = submit("tiny", "--student-id", "7", "--name", "Li")
    assert done.exit_code == 1
    start, _, broken = done.stderr.splitlines()[-1].partition(" hold: ")
    assert start == "Error: nothing was written, for 2 rules do not"
    for rule, backend in zip(broken.split("; "), ("NumPy", "PyTorch"), strict=True):
        assert rule.startswith(f"one in {backend}: at least 99.9 % on the training points")
    assert not Path("hand-in").exists()


REFUSED = [
    (["nothing"], "'nothing' is no experiment (known: "),
    (
        ["tiny", "--name", "Li", "--experiment", "other"],
        "other has no results yet: funcnn experiment run tiny --out other",
    ),
    (["tiny"], "--name is missing: the lab wants it in {id}_{name}.zip"),
    (
        ["tiny", "--name", "Li", "--experiment", "runs/tiny", "--snapshot", "a.npz"],
        "--snapshot hands in without an experiment: leave out --experiment",
    ),
    (
        ["tiny", "--name", "Li", "--snapshot", "a.npz", "--snapshot", "b.npz"],
        "--snapshot is given 2 times: tiny hands in one, in this order",
    ),
    (["tiny", "--name", "Li", "--snapshot", "a.npz"], "a.npz"),
    (["tiny", "--name", "Li", "--out", "runs"], "--out runs exists already"),
    (["tiny", "--name", "Li", "--out", "file/x"], "--out file/x: it cannot be written"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_what_cannot_be_handed_in_is_one_line(tiny, arguments, message) -> None:
    Path("file").touch()
    done = submit(*arguments, "--student-id", "7")
    assert done.exit_code == 1
    error = [line for line in done.stderr.splitlines() if not line.startswith("making ")]
    assert len(error) == 1
    assert error[0].startswith(f"Error: {message}")


def test_what_a_kill_left_beside_a_hand_in_goes_away(tiny) -> None:
    dead, alive = (Path("hand-in", f".funcnn-hand-in-{name}") for name in ("dead", "alive"))
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "half.pdf").touch()
    with alone_in(alive):
        assert submit("tiny", "--student-id", "7", "--name", "Li").exit_code == 0
    assert {*Path("hand-in").iterdir()} == {alive, Path("hand-in/tiny-7")}
    assert (alive / "half.pdf").exists()


def test_a_run_that_was_changed_is_named(tiny) -> None:
    (tiny / "trials/one/numpy-seed-0/params.npz").unlink()
    done = submit("tiny", "--student-id", "7", "--name", "Li")
    assert "was changed since it was trained: it has no params.npz" in done.stderr


OTHERS = [
    ({"arch": "mlp3", "val_size": 9_000}, "has another normalization or other class names"),
    ({"arch": "mlp3", "data": "mnist"}, "has another normalization or other class names"),
    (
        {"arch": "mlp3", "activation": "tanh"},
        "has Flatten-Dense-Tanh-Dense-Tanh-Dense: not the layers of the lab's mlp3",
    ),
    ({"arch": "cnn3", "channels": (2, 2)}, "has Conv-Relu-MaxPool-Conv-Relu-MaxPool-Flatten-Dro"),
    ({"arch": "mlp3", "seed": 3}, "has another normalization or other class names"),
    ({"arch": "points"}, "the model takes inputs of shape (2,), not (1, 28, 28)"),
]


@pytest.mark.parametrize(("settings", "message"), OTHERS)
def test_a_snapshot_of_another_network_or_data_is_refused(place, settings, message) -> None:
    task = Task.build(RunConfig.resolve(settings))
    fn.save(
        "other.npz",
        task.first_params(),
        model=task.model,
        input_shape=task.data.input_shape,
        normalization=dataclasses.asdict(task.data.normalization),
        class_names=list(task.data.class_names),
    )
    done = submit("fashion-mlp", "--student-id", "7", "--snapshot", "other.npz")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: other.npz")
    assert message in done.stderr


def test_the_last_bit_of_a_normalization_is_that_of_the_processor(run, network) -> None:
    data = network.task.data
    scale = data.normalization
    other = dataclasses.replace(scale, mean=float(np.nextafter(scale.mean, 1)))
    again = networks.read_model(run.params)._replace(prepare=other)
    (seed,) = {
        networks._task_learned(LABS["fashion-mlp"], find_trial(LABS["fashion-mlp"], "mlp"),
                                       again, run.params).config.seed
    }  # fmt: skip
    assert seed == 0


def test_snapshots_of_two_seeds_are_refused(place) -> None:
    for seed, (name, arch) in enumerate((("nn", "mlp3"), ("cnn", "cnn3"))):
        settings = find_trial(LABS["mnist"], name).settings
        assert settings["arch"] == arch
        task = Task.build(RunConfig.resolve({**settings, "seed": seed}))
        fn.save(
            f"{arch}.npz",
            task.first_params(),
            model=task.model,
            input_shape=task.data.input_shape,
            normalization=dataclasses.asdict(task.data.normalization),
            class_names=list(task.data.class_names),
        )
    done = submit("mnist", "--student-id", "7", "--name", "Li", "--snapshot", "mlp3.npz",
                  "--snapshot", "cnn3.npz")  # fmt: skip
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: --snapshot: all must be of runs of the same seed, not mlp3.npz of seed 0, "
        "cnn3.npz of seed 1\n"
    )


def test_the_notebooks_of_a_lab_come_with_their_modules(place) -> None:
    done = CliRunner().invoke(main, ["experiment", "notebook", "mnist", "--out", "begin"])
    assert done.exit_code == 0, done.stderr
    names = {"layer.py", "network_nn.py", "network_cnn.py", "PA1_numpy.ipynb", "PA1_torch.ipynb"}
    assert set(os.listdir("begin")) == names
    assert {Path(line).name for line in done.stdout.split()} == names
    again = CliRunner().invoke(main, ["experiment", "notebook", "mnist", "--out", "begin"])
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)


def test_notebooks_that_cannot_all_be_written_leave_none(place, monkeypatch) -> None:
    real = submitting.write_whole

    def full(path, content):
        real(path, content)
        if path.suffix == ".ipynb":
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(submitting, "write_whole", full)
    done = CliRunner().invoke(main, ["experiment", "notebook", "mnist", "--out", "begin"])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: begin/PA1_")
    assert done.stderr.endswith(".ipynb: No space left on device\n")
    assert os.listdir("begin") == []
    monkeypatch.setattr(submitting, "write_whole", real)
    done = CliRunner().invoke(main, ["experiment", "notebook", "mnist", "--out", "begin"])
    assert done.exit_code == 0, done.stderr
