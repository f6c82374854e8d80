"""The rules of each sheet: a hand-in that keeps them all, and one fault after another."""

import json
import re

import hand_ins
import pytest
from hand_ins import GOOD, ID, LAYER, LOOP, MLP, MLP_LOOP, NETWORK, PDF, notebook

from funcnn.experiments.data import store
from funcnn.experiments.errors import InputError
from funcnn.experiments.grade import grading
from funcnn.experiments.grade.printed_rules import accuracies
from funcnn.experiments.grade.python_sources import parse_module
from funcnn.experiments.grade.sandbox import Sandbox
from funcnn.experiments.grade.sheets import SHEETS
from funcnn.experiments.labs.registry import LABS


@pytest.fixture(autouse=True)
def no_labels(monkeypatch):
    """The truth is nowhere, but where a test says otherwise: to read it takes a second."""
    monkeypatch.setattr(grading.store, "find", lambda name: None)


@pytest.fixture(scope="module")
def good():
    """The files of each lab's good hand-in, made once."""
    return {lab: make() for lab, make in GOOD.items()}


def graded(tmp_path, lab, files, name=None):
    """What does not hold, and what is not decided: pairs of the rule and what was found."""
    result = grading.grade(hand_ins.write(tmp_path, lab, files, name), lab)
    of = {kind: [v for v in result.verdicts if v.holds is kind] for kind in (False, None)}
    return of[False], of[None]


def test_every_lab_has_a_sheet():
    assert set(SHEETS) == set(LABS) == set(GOOD)
    with pytest.raises(InputError, match="'cifar' is no lab"):
        grading.grade("a.zip", "cifar")


@pytest.mark.parametrize("lab", GOOD)
def test_a_good_hand_in_keeps_every_rule(tmp_path, lab, good):
    if lab == "fashion-mlp":
        pytest.importorskip("torch")
    broken, unsure = graded(tmp_path, lab, good[lab])
    assert broken == []
    assert {verdict.found for verdict in unsure} <= {"not looked at: open it"}
    result = grading.grade(hand_ins.write(tmp_path, lab, good[lab]), lab)
    assert result.student_id == ID
    assert json.loads(json.dumps(result.as_data()))["verdicts"][0]["holds"] in (True, False, None)


@pytest.mark.parametrize("lab", GOOD)
def test_a_folder_is_graded_as_its_archive(tmp_path, lab, good):
    folder = tmp_path / "somebody"
    folder.mkdir()
    for name, content in good[lab].items():
        (folder / name).write_bytes(content)
    verdicts = grading.grade(folder, lab).verdicts
    assert [verdict.sheet for verdict in verdicts if verdict.holds is False] == []
    # Of `points` and `mnist` the id stands in the archive's name alone, or in the folder's.
    rule = "the student's id in the names, the same in all"
    (holds,) = [verdict.holds for verdict in verdicts if verdict.sheet == rule]
    assert holds is (None if lab in ("points", "mnist") else True)
    folder = folder.rename(tmp_path / hand_ins.ARCHIVES[lab].removesuffix(".zip"))
    result = grading.grade(folder, lab)
    assert (True, rule) in [(verdict.holds, verdict.sheet) for verdict in result.verdicts]
    assert result.student_id == ID


def changed(text, *pairs):
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


NB = {"emnist47": f"Lab1_{ID}.ipynb", "points": "points.ipynb"}
TASK1, TASK2 = f"Lab01_task1_{ID}.ipynb", f"Lab01_task2_{ID}.ipynb"
HW = f"DL_HW1_{ID}.ipynb"
CSV, DL_CSV = f"{ID}_submission.csv", "DL-test-predicted.csv"
NET10 = changed(NETWORK, ("CLASSES", "10"))


def csv_of(*rows):
    return "\n".join(rows).encode()


ROWS = [f"{i},{i % 10}" for i in range(10_000)]

# lab, the files that differ (None: missing), words of the rule, words of what was found
FAULTS = {
    "a file is missing": ("fashion", {TASK2: None}, "a file Lab01_task2_ID.ipynb", "missing"),
    "another name": (
        "fashion",
        {TASK2: None, "lab1-task2.ipynb": notebook(hand_ins.NET, ("v()", "val acc: 0.9"))},
        "a file Lab01_task2_ID.ipynb",
        "lab1-task2.ipynb",
    ),
    "two ids": (
        "fashion",
        {f"network_{ID}.py": None, "network_999.py": NET10.encode()},
        "the same in all",
        f"{ID}: .*999: network_999.py",
    ),
    "no id in the notebook": (
        "emnist47",
        {NB["emnist47"]: notebook((LOOP, hand_ins.EPOCH_LINE), note="# mine")},
        "id in the notebook",
        "does not stand there",
    ),
    "data": ("mnist", {"data/train-images-idx3-ubyte.gz": b"x"}, "without the data", "idx3-ubyte"),
    "the data as CSV": ("emnist47", {"data/train.csv": b"x"}, "without the data", "train.csv"),
    "half a PDF": ("mnist", {"report.pdf": PDF[:-20]}, "a whole PDF", "it is cut"),
    "no PDF": ("mnist", {"report.pdf": b"PK\3\4 docx"}, "a whole PDF", "does not begin"),
    "no header": (
        "fashion",
        {DL_CSV: csv_of(*ROWS)},
        "the header is Id,Category",
        "0,0",
    ),
    "another header": (
        "fashion",
        {DL_CSV: csv_of("id,label", *ROWS)},
        "the header is Id,Category",
        "id,label",
    ),
    "a row is missing": (
        "fashion-mlp",
        {CSV: csv_of("Id,Category", *ROWS[:-1])},
        "10,000 rows",
        "9,999 rows",
    ),
    "ids from 1": (
        "fashion",
        {DL_CSV: csv_of("Id,Category", *(f"{i + 1},0" for i in range(10_000)))},
        "Id counts from 0",
        "row 1 has \\['1'\\]",
    ),
    "floats": (
        "fashion-mlp",
        {CSV: csv_of("Id,Category", *ROWS[:9], "9,9.0", *ROWS[10:])},
        "an integer from 0 to 9, no float",
        "1 are not, the first in row 10: '9.0'",
    ),
    "a class too many": (
        "emnist47",
        {"DLAD-test-predict.csv": csv_of("Id,Category", *(f"{i},47" for i in range(12_800)))},
        "an integer from 0 to 46",
        "12,800 are not",
    ),
    "a binary CSV": ("fashion-mlp", {CSV: b"Id,Category\n\xff\0\n"}, "10,000 rows", "1 rows"),
    "did not run": (
        "emnist47",
        {
            NB["emnist47"]: notebook(LOOP).replace(
                b'"execution_count": 1', b'"execution_count": null'
            )
        },
        "ran from its first cell",
        "it has not run",
    ),
    "ran out of order": (
        "emnist47",
        {
            NB["emnist47"]: notebook(LOOP, ("1", hand_ins.EPOCH_LINE)).replace(
                b'"execution_count": 1', b'"execution_count": 7'
            )
        },
        "ran from its first cell",
        "cell 2 ran before cell 1",
    ),
    "ended with an error": (
        "emnist47",
        {
            NB["emnist47"]: notebook((LOOP, hand_ins.EPOCH_LINE), ("1 / 0", "!")).replace(
                b'"output_type": "stream", "name": "stdout", "text": ["!"]',
                b'"output_type": "error", "ename": "ZeroDivisionError"',
            )
        },
        "ran from its first cell",
        "cell 2: ZeroDivisionError",
    ),
    "no notebook": ("emnist47", {NB["emnist47"]: b"[" * 10**5}, "it can be read", "not a notebook"),
    "another form of line": (
        "emnist47",
        {NB["emnist47"]: notebook((LOOP, "Epoch 1: loss 0.5, val acc 0.85"))},
        "epochs print as: Epoch:%3d",
        "Epoch 1: loss 0.5",
    ),
    "too low": (
        "emnist47",
        {NB["emnist47"]: notebook((LOOP, hand_ins.EPOCH_LINE.replace("82.5", "80.0")))},
        "test accuracy above 80 %",
        "80.00 % last",
    ),
    "torch in the network from scratch": (
        "fashion",
        {f"layer_{ID}.py": b"import torch\n" + LAYER.encode()},
        "from scratch",
        f"torch at layer_{ID}.py line 1",
    ),
    "keras in a function": (
        "fashion",
        {TASK1: notebook(LOOP, "def f():\n    from keras import layers", ("v", "val acc 0.9"))},
        "from scratch",
        "keras at cell 2 line 2",
    ),
    "pandas in a layer": (
        "fashion",
        {f"layer_{ID}.py": b"import pandas as pd\n" + LAYER.encode()},
        "on NumPy alone",
        f"pandas at layer_{ID}.py line 1",
    ),
    "scikit-learn's network": (
        "emnist47",
        {"network.py": b"from sklearn.neural_network import MLPClassifier\n" + NETWORK.encode()},
        "no network of scikit-learn's",
        "sklearn.neural_network at",
    ),
    "pandas in points": (
        "points",
        {"more.py": b"import os, pandas.core\n"},
        "NumPy and the standard library only",
        "pandas at more.py line 1",
    ),
    "no Network": (
        "emnist47",
        {"network.py": changed(NETWORK, ("class Network", "class Net")).encode()},
        "class Network",
        "no class Network; classes: Net",
    ),
    "no update": (
        "emnist47",
        {"network.py": changed(NETWORK, ("def update(self, lr)", "def step(self, lr)")).encode()},
        "class Network",
        "no update",
    ),
    "forward of the wrong kind": (
        "emnist47",
        {
            "network.py": changed(
                NETWORK, ("def forward(self, input, target)", "def forward(self, x)")
            ).encode()
        },
        "class Network",
        "forward does not take 2 arguments",
    ),
    "a layer without backward": (
        "emnist47",
        {"layer.py": b"class A:\n    def forward(self, x): pass\n"},
        "each layer has forward and backward",
        "no class has both",
    ),
    "newer than Python 3.6": (
        "emnist47",
        {"layer.py": LAYER.encode() + b"\nif (n := 1):\n    pass\n"},
        "Python 3.6",
        "layer.py line",
    ),
    "no Python": ("points", {"more.py": b"def f(:\n"}, "parsed as Python", "more.py line 1"),
    "pip install": (
        "fashion",
        {TASK1: notebook(LOOP, "!pip install -q mylib", ("v", "val acc 0.9"))},
        "runs in Colab",
        "!pip install -q mylib",
    ),
    "no nn.Module": (
        "fashion",
        {TASK2: notebook("import torch\nclass Net:\n    pass\nnet = Net()", ("v", "val acc 0.9"))},
        r"class Net\(nn.Module\)",
        "classes: Net",
    ),
    "no torch in the second part": (
        "fashion",
        {TASK2: notebook("class Net(nn.Module):\n    pass\nnet = Net()", ("v", "val acc 0.9"))},
        "the same network in PyTorch",
        "",
    ),
    "nn.ReLU": (
        "fashion-mlp",
        {
            HW: notebook(
                changed(MLP, ("myActivation(), nn", "nn.ReLU(), nn")), (MLP_LOOP, "test acc: 88 %")
            )
        },
        "nn.Linear only",
        "nn.ReLU at cell 1 line",
    ),
    "torch's own loss and optimizer": (
        "fashion-mlp",
        {
            HW: notebook(
                MLP,
                (
                    MLP_LOOP + "\n    F.cross_entropy(a, b); torch.optim.SGD([], 1)",
                    "test acc: 88 %",
                ),
            )
        },
        "nn.Linear only",
        "functional.cross_entropy at .*torch.optim.SGD at",
    ),
    "no myLoss": (
        "fashion-mlp",
        {HW: notebook(changed(MLP, ("myLoss", "Loss")), (MLP_LOOP, "test acc: 88 %"))},
        "class myLoss",
        "no class myLoss; classes: Loss",
    ),
    "no optimizer": (
        "fashion-mlp",
        {HW: notebook(changed(MLP, ("def step", "def go")), (MLP_LOOP, "test acc: 88 %"))},
        "an optimizer of one's own",
        "no class has a step",
    ),
    "no generator": (
        "points",
        {
            NB["points"]: notebook(
                "import numpy as np", ("t", "epoch 1 loss : 0.1\nacc: 99 %\nacc: 99 %")
            )
        },
        "generate_linear as it was given",
        "no function of this name",
    ),
    "no side in NumPy": (
        "mnist",
        {"numpy_side.ipynb": notebook("import torch", ("1", "2"))},
        "a side in NumPy",
        "none",
    ),
}


@pytest.mark.parametrize(("lab", "files", "rule", "found"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found(tmp_path, lab, files, rule, found, good):
    whole = good[lab] | files
    broken, _ = graded(tmp_path, lab, {k: v for k, v in whole.items() if v is not None})
    said = [verdict.found for verdict in broken if re.search(rule, verdict.sheet)]
    assert said, [verdict.sheet for verdict in broken]
    assert any(re.search(found, each) for each in said), said


def test_a_name_that_the_sheet_does_not_say_is_found(tmp_path, good):
    broken, _ = graded(tmp_path, "points", good["points"], "lab1.zip")
    assert broken[0].found == "lab1.zip"


def test_what_only_an_example_says_is_not_decided(tmp_path, good):
    files = {"layer.py": changed(LAYER, ("FullyConnected", "Linear")).encode()}
    network = changed(NETWORK, ("FullyConnected", "Linear"), ("CLASSES", "47"))
    broken, unsure = graded(
        tmp_path, "emnist47", good["emnist47"] | files | {"network.py": network.encode()}
    )
    assert broken == []
    (said,) = [verdict.found for verdict in unsure if "FullyConnected" in verdict.sheet]
    assert said.startswith("no class FullyConnected; classes: Activation1, Linear")


def test_a_generator_in_other_words_is_not_decided_until_it_runs(tmp_path, good, monkeypatch):
    text = changed(hand_ins.GENERATORS, ("pt[0] > pt[1]", "pt[1] < pt[0]"))
    printed = ("t", "epoch 1 loss : 0.1\nacc: 99 %\nacc: 98 %")
    files = good["points"] | {NB["points"]: notebook(text, printed)}
    broken, unsure = graded(tmp_path, "points", files)
    assert broken == []
    (said,) = [verdict.sheet for verdict in unsure if "written otherwise" in verdict.found]
    assert said == "generate_linear as it was given"
    # Where it runs, its points are compared: see test_run_code.
    monkeypatch.setattr(grading, "run_rules", lambda *given: [])
    archive = hand_ins.write(tmp_path, "points", files)
    ran = grading.grade(archive, "points", sandbox=Sandbox("none"))
    assert not [each for each in ran.verdicts if "written otherwise" in each.found]


def test_predictions_may_go_to_kaggle_apart(tmp_path, good):
    files = {name: content for name, content in good["fashion"].items() if ".csv" not in name}
    broken, unsure = graded(tmp_path, "fashion", files)
    assert broken == []
    assert "not here; it may go to Kaggle apart" in [verdict.found for verdict in unsure]


def test_more_files_are_listed_and_no_fault(tmp_path, good):
    files = good["fashion"] | {"model/__init__.py": b""}
    broken, unsure = graded(tmp_path, "fashion", files)
    assert broken == []
    assert "also model/__init__.py" in [verdict.found for verdict in unsure]


def test_predictions_are_scored_where_the_truth_is_known(tmp_path, good, monkeypatch):
    monkeypatch.undo()  # the lab's own set is found by itself, too
    path = hand_ins.write(tmp_path, "fashion", good["fashion"])
    verdicts = grading.grade(path, "fashion", "fashion-mnist").verdicts
    assert (None, "9.42 % of its classes are right") in [(v.holds, v.found) for v in verdicts]
    images = store.read("fashion-mnist")
    monkeypatch.setattr(grading.store, "read", lambda name: images)
    rows = [f"{i},{label}" for i, label in enumerate(images.test[1])]
    files = good["fashion"] | {DL_CSV: csv_of("Id,Category", *rows)}
    verdicts = grading.grade(hand_ins.write(tmp_path, "fashion", files), "fashion").verdicts
    assert (True, "100.00 % of its classes are right") in [(v.holds, v.found) for v in verdicts]
    files = good["fashion"] | {DL_CSV: csv_of("Id,Category", *rows[:-1])}
    verdicts = grading.grade(hand_ins.write(tmp_path, "fashion", files), "fashion").verdicts
    assert (None, "9,999 predictions for 10,000 labels") in [(v.holds, v.found) for v in verdicts]


def test_a_damaged_set_that_nobody_asked_for_is_a_line(tmp_path, good, monkeypatch):
    def read(name):
        raise InputError(f"/data/{name} is damaged")

    monkeypatch.setattr(grading.store, "find", lambda name: tmp_path)
    monkeypatch.setattr(grading.store, "read", read)
    broken, unsure = graded(tmp_path, "fashion", good["fashion"])
    assert broken == []
    assert "/data/fashion-mnist is damaged" in [verdict.found for verdict in unsure]


def test_data_of_a_lab_without_predictions_is_refused(tmp_path, good):
    path = hand_ins.write(tmp_path, "points", good["points"])
    with pytest.raises(InputError, match="points hands in no predictions"):
        grading.grade(path, "points", "mnist")


# --- weights ----------------------------------------------------------------------------------

PT = f"{ID}_submission.pt"


def weights_of(tmp_path, good, content):
    files = good["fashion-mlp"] | {PT: content}
    broken, _ = graded(tmp_path, "fashion-mlp", files)
    return {verdict.sheet: verdict.found for verdict in broken}


@pytest.mark.parametrize(
    ("shapes", "names", "rule", "found"),
    [
        ([(512, 784), (512, 512), (10, 512)], "mlp.{}", "less than 2 MB", "2.681 MB"),
        ([(32, 784), (10, 32)], "fc{}", "the names mlp.0.weight", "fc0.weight, fc0.bias"),
        ([(32, 784), (10, 31)], "mlp.{}", "an MLP only", "784-32-10"),
        ([(32, 784), (47, 32)], "mlp.{}", "an MLP only", "784-32-47"),
        ([(8, 1, 3, 3)], "mlp.{}", "an MLP only", r"no dense layer: mlp.0.weight \(8, 1, 3, 3\)"),
    ],
)
def test_weights_that_break_a_rule(tmp_path, good, shapes, names, rule, found):
    pytest.importorskip("torch")
    broken = weights_of(tmp_path, good, hand_ins.weights(*shapes, names=names))
    (said,) = [text for sheet, text in broken.items() if sheet.startswith(rule)]
    assert re.match(found, said)


def test_weights_that_would_run_code_are_refused(tmp_path, good):
    pytest.importorskip("torch")
    evil = b"cos\nsystem\n(S'touch EVIL'\ntR."
    broken = weights_of(tmp_path, good, evil)
    assert "refused" in broken["torch.load(..., weights_only=True) reads it"]
    assert str(tmp_path) not in str(broken)


def test_without_torch_weights_are_not_decided(tmp_path, good, monkeypatch):
    monkeypatch.setattr("funcnn.experiments.grade.weight_rules.find_spec", lambda name: None)
    broken, unsure = graded(tmp_path, "fashion-mlp", good["fashion-mlp"])
    assert broken == []
    assert "torch is not installed: pip install 'funcnn[torch]'" in [v.found for v in unsure]


# --- what was printed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("val acc: 0.87", [(87.0, "validation")]),
        ("Validation Accuracy = 87.5%", [(87.5, "validation")]),
        ("|Train Acc:83.2 |Val Acc:82.5", [(83.2, "training"), (82.5, "validation")]),
        ("測試集準確率: 91.25 %", [(91.25, "validation")]),
        ("검증 정확도 0.8", [(80.0, "validation")]),
        ("accuracy: 100.0 %", [(100.0, "")]),
        ("Accuracy of the network: 8712/10000", []),
        ("Test set: Accuracy: 8712/10000 (87%)", [(87.0, "validation")]),
        ("account 12, accident 3", []),
        ("acc: 1e-05", []),
        ("acc" * 10_000, []),
        ("Test Accuracy of epoch 30: 88.3%", [(88.3, "validation")]),
        ("Test set: Accuracy: 8,831/10,000 (88.31%)", [(88.31, "validation")]),
        ("test accuracy after 10 epochs: 88.3 %", [(88.3, "validation")]),
        ("Accuracy (30 epochs): 88.3%", [(88.3, "")]),
        ("Accuracy of the network on the 10000 test images: 88 %", [(88.0, "validation")]),
        ("Accuracy on test set 0.8831", [(88.31, "validation")]),
        ("accuracy computed in 3.52 s", []),
        ("Acc@1 12.3 Acc@5: 50.5", [(12.3, ""), (50.5, "")]),
        ("train acc value: 0.9", [(90.0, "training")]),
        ("latest train acc 0.9", [(90.0, "training")]),
        ("val_acc=0.85, 100% done", [(85.0, "validation")]),
        ("testacc: 85 loss: 0.3", [(85.0, "validation")]),
        ("acc: tensor(0.88, device='cuda:0')", [(88.0, "")]),
        ("train acc 0.91 val loss: 0.40", [(91.0, "training")]),
        (
            "accuracy: 0.5 - val_loss: 1.2 - val_accuracy: 0.4 - lr: 0.1",
            [(50.0, ""), (40.0, "validation")],
        ),
    ],
)
def test_accuracies_are_found_in_what_was_printed(text, expected):
    assert [(round(a.percent, 6), a.kind) for a in accuracies(text)] == expected


def test_a_higher_accuracy_before_the_last_is_not_decided(tmp_path, good):
    printed = "val acc: 0.85\nval acc: 0.79"
    files = good["fashion"] | {TASK1: notebook(LOOP, ("v", printed))}
    broken, unsure = graded(tmp_path, "fashion", files)
    assert broken == []
    assert "it printed 79.00 % last, 85.00 % at its highest" in [v.found for v in unsure]


# --- Python that is hard to parse --------------------------------------------------------------

HARD = [b"\xff\xfe", b"a\0b", b"(" * 100_000, b"-" * 100_000 + b"1", b"# coding: nothing\nx = 1"]
HARD += [b"x" + b".a" * 50_000, b"1" * 10_000, b"if 1:\n" + b" " * 9 + b"x\n  y"]


@pytest.mark.parametrize("content", HARD, ids=range(len(HARD)))
def test_python_that_cannot_be_parsed_is_a_line(content):
    source = parse_module("a.py", content)
    assert len(source.faults) <= 1
    assert all("\n" not in fault.text for fault in source.faults)
    for use in (source.imports, source.classes, source.names, source.calls, source.uses):
        list(use())
