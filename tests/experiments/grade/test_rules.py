"""Rules where they once judged wrongly: of each a hand-in that keeps it, and one that does not."""

import json
import sys
import tracemalloc
import zlib

import hand_ins
import pytest
from hand_ins import GOOD, ID, LOOP, MLP, NET, NETWORK, notebook

from funcnn.experiments.data import store
from funcnn.experiments.grade import class_rules, file_rules, grading, sheet
from funcnn.experiments.grade.classes import Classes
from funcnn.experiments.grade.notebooks import read_notebook
from funcnn.experiments.grade.python_sources import parse_module, parse_notebook


@pytest.fixture(autouse=True)
def no_labels(monkeypatch):
    monkeypatch.setattr(grading.store, "find", lambda name: None)


@pytest.fixture(scope="module")
def good():
    """The files of each lab's good hand-in, made once; weights are what is looked at elsewhere."""
    made = {lab: make() for lab, make in GOOD.items() if lab != "fashion-mlp"}
    rows = hand_ins.predictions(10_000, 10)
    made["fashion-mlp"] = {HW: notebook(MLP), CSV: rows}
    return made


HW, CSV = f"DL_HW1_{ID}.ipynb", f"{ID}_submission.csv"
TASK1, TASK2 = f"Lab01_task1_{ID}.ipynb", f"Lab01_task2_{ID}.ipynb"
NB = f"Lab1_{ID}.ipynb"
NET10 = NETWORK.replace("CLASSES", "10")


def judged(tmp_path, lab, files, rule):
    """Whether the rules hold whose words begin so, and what was found."""
    verdicts = grading.grade(hand_ins.write(tmp_path, lab, files), lab).verdicts
    return [(v.holds, v.found) for v in verdicts if v.sheet.startswith(rule)]


def verdict_of(tmp_path, lab, files, rule):
    """The same, of the only rule that is about more than one file together."""
    (only,) = judged(tmp_path, lab, files, rule)
    return only


# --- notebooks ---------------------------------------------------------------------------------

PERCENT = "print('Epoch:%3d |Train Loss:%8.4f'\n      % (epoch, loss))\n"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (PERCENT, PERCENT),
        (PERCENT + "!ls", PERCENT + "pass"),
        ("a = 7 \\\n    % 3", "a = 7 \\\n    % 3"),
        ("torch.load?", "pass"),
        ("?torch", "pass"),
        ("files = !ls", "files = None"),
        ("if a:\n    %cd x\n", "if a:\n    pass\n"),
        ("%%time\na = 1", "pass\na = 1"),
        ("pip install a", "pass"),
        ("!pip install a \\\n  b\nc = 1", "pass\n\nc = 1"),
    ],
)
def test_lines_of_ipythons_and_no_others_are_left_out(text, plain):
    source = parse_notebook("a.ipynb", read_notebook(notebook(text)), (3, 6))
    assert source.faults == ()
    assert [piece.text for piece in source.pieces] == [plain]


def test_what_is_neither_python_nor_ipythons_is_a_fault():
    source = parse_notebook("a.ipynb", read_notebook(notebook("a = % b", "x = 1")))
    assert [fault.text for fault in source.faults] == ["cell 1 line 1: invalid syntax"]
    assert len(source.pieces) == 1


@pytest.mark.parametrize("text", ["\n" * 10**5, " \t" * 10**5, "!" + "\\" * 10**5, "a, " * 10**5])
def test_long_stretches_of_nothing_take_no_time(text):
    cell = read_notebook(notebook("x"))[0][0]._replace(source=f"!ls\n{text}\n%cd x")
    assert cell.plain_python.startswith("pass\n")


def test_of_long_outputs_the_end_is_kept():
    bars = "\r".join(f"{index:7} of 200000 val acc: 0.1" for index in range(50_000))
    (cell,) = read_notebook(notebook(("train()", f"{bars}\nval acc: 0.9"))).cells
    assert cell.printed.endswith("val acc: 0.9")
    assert len(cell.printed) == 1 << 20


def test_a_notebook_of_millions_of_values_is_not_read(tmp_path, good):
    many = b'{"cells": [' + b"[]," * 2_500_000 + b"[]]}"
    found = verdict_of(tmp_path, "emnist47", good["emnist47"] | {NB: many}, "it can be read")
    assert found == (False, "has more than 4,000,000 values in it: clear its large outputs")


def test_outputs_without_numbers_are_not_decided(tmp_path, good):
    def ran(saved):
        files = good["emnist47"] | {NB: json.dumps(saved).encode()}
        return verdict_of(tmp_path, "emnist47", files, "ran from")

    saved = json.loads(good["emnist47"][NB])
    saved["cells"][1]["execution_count"] = None  # as Colab may save it
    assert ran(saved)[0] is None
    saved["cells"][1]["outputs"] = []
    assert ran(saved) == (False, "it has not run")
    saved["cells"][1]["outputs"] = [{"output_type": "error", "ename": "ValueError"}]
    assert ran(saved)[0] is False


# --- how much is looked at ----------------------------------------------------------------------


def test_python_without_end_is_left_out_and_what_the_sheet_names_comes_first(tmp_path, good):
    files = {f"lib/{index}.py": b"a;" * 200_000 for index in range(5)} | good["fashion"]
    files = {f"lib/x/{index}.py": b"" for index in range(50)} | files
    result = grading.grade(hand_ins.write(tmp_path, "fashion", files), "fashion")
    found = {v.of: (v.holds, v.found) for v in result.verdicts if v.sheet == "it can be read"}
    assert found == {
        f"{i}.py": (None, "is left out: there is more Python than is looked at") for i in range(5)
    }
    assert "59, of which 40 were looked at" in [v.found for v in result.verdicts]
    assert (f"network_{ID}.py", True) in [(v.of, v.holds) for v in result.verdicts]


def test_many_large_files_are_left_out(tmp_path, good, monkeypatch):
    monkeypatch.setattr(sheet, "_MOST_BYTES", 10_000)
    files = good["mnist"] | {f"{index}.py": b"#" * 4_000 for index in range(4)}
    found = judged(tmp_path, "mnist", files, "it can be read")
    assert found == [(None, "is left out: more than 10,000 bytes with the others")] * 2


def test_what_may_stand_in_a_file_that_is_left_out_is_not_decided(tmp_path, good):
    files = {k: v for k, v in good["points"].items() if not k.endswith(".ipynb")}
    rule = "generate_linear as"
    assert verdict_of(tmp_path, "points", files | {"a.py": b""}, rule)[0] is False
    assert verdict_of(tmp_path, "points", files | {"a.py": b"def f(:"}, rule)[0] is None
    many = {f"{index}.py": b"" for index in range(41)}
    assert verdict_of(tmp_path, "points", files | many, rule)[0] is None


def test_thousands_of_classes_take_no_time():
    text = "".join(f"class A{i + 1}(A{i}):\n x = 1\n" for i in range(2_500))
    layer = parse_module("layer.py", f"class A0:\n def forward(self): pass\n{text}".encode())
    classes = Classes(layer)
    assert classes.having("forward") == [f"A{index}" for index in range(50)]  # bases of one
    assert classes.having("forward", "backward") == []


def test_pages_are_counted_in_a_pdf_and_in_its_streams():
    packed = zlib.compress(b"<</Type/Pages>> <</Type/Page>> <</Type /Page /Parent 1>>")
    assert file_rules._pages(hand_ins.PDF) == 2
    assert file_rules._pages(hand_ins.PDF + b"/ObjStm /N 3>>\nstream\r\n" + packed + b"x") == 4


def test_a_pdf_of_a_million_streams_takes_no_memory():
    content = b"/ObjStm stream\n" * 10**6
    tracemalloc.start()
    try:
        assert file_rules._pages(content) == 0
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", ["-" * 1_500 + "1", f"0x{'f' * 9_000}"], ids=["deep", "long"])
def test_a_generator_that_cannot_be_written_out_is_not_decided(tmp_path, good, value):
    program = {"main.py": f"def generate_linear(n=100):\n    return {value}\n".encode()}
    files = {k: v for k, v in good["points"].items() if not k.endswith(".ipynb")} | program
    assert verdict_of(tmp_path, "points", files, "generate_linear as")[0] is None


# --- what a hand-in stands on --------------------------------------------------------------------

BY_TORCH = [
    "import torch.nn.functional as F\nF.relu(x)",
    "nn.functional.cross_entropy(x, y)",
    "from torch.nn.functional import relu\nrelu(x)",
    "from torch.nn.functional import relu as act\nact(x)",
    "import torch.nn as tnn\ntnn.ReLU()",
    "import torch.optim as o\no.SGD([], 1)",
    "from torch import optim\noptim.Adam([])",
    "nn.modules.activation.ReLU()",
    "from torch.nn import *\nReLU()",
    "model(x).relu()",
    "x.log_softmax(1)",
    "torch.relu(x)",
    "import torchvision\ntorchvision.models.resnet18()",
    "from torchvision.models import resnet18",
    "nn.Dropout(0.5)",
]
BY_HAND = [
    "optim = myOptimizer([], 1)\noptim.zero_grad()\noptim.step()",
    "from torch import optim\nscheduler = optim.lr_scheduler.StepLR(optimizer, 9)",
    "class Own(nn.Module):\n    def relu(self, x):\n        return x\nOwn().relu(1)",
    "def relu(x):\n    return x.clamp(min=0)\nrelu(x)",
    "class Own:\n    def f(self):\n        self.relu = 1\n        self.relu(x)",
    "def f(x, softmax):\n    return softmax(x)",
    "nn.init.kaiming_normal_(w, nonlinearity='relu')",
    "torch.tanh(x) + x.sigmoid()",
    "import torch.nn.functional as F\nF.one_hot(y, 10)",
    "from torch.nn import Linear, Module",
    "from torch.nn.modules.linear import Linear\nLinear(1, 2)",
    "from scipy.special import softmax\nsoftmax(x)",
    "from utils import relu\nrelu(x)",
]


@pytest.mark.parametrize(
    ("cell", "holds"), [(each, False) for each in BY_TORCH] + [(each, True) for each in BY_HAND]
)
def test_what_torch_brings_is_told_from_what_is_by_hand(tmp_path, good, cell, holds):
    files = {HW: notebook(MLP, cell)}
    assert verdict_of(tmp_path, "fashion-mlp", files, "tensor functions")[0] is holds


def test_files_of_ones_own_may_be_imported_and_are_looked_at(tmp_path, good):
    name = f"network_{ID}.py"
    files = good["fashion"] | {name: f"from utils import f\n{NET10}".encode()}
    rule = "from scratch: on NumPy alone"
    held = judged(tmp_path, "fashion", files | {"utils.py": b"import numpy"}, rule)
    assert [holds for holds, _ in held] == [True] * 3
    held = judged(tmp_path, "fashion", files | {"utils.py": b"from . import deep"}, rule)
    assert [holds for holds, _ in held] == [True] * 3
    deep = {"utils.py": b"from . import deep", "deep.py": b"import torch"}
    held = judged(tmp_path, "fashion", files | deep, rule)
    assert held[-1] == (False, "torch at deep.py line 1")
    # What only the second part imports may be torch.
    second = notebook(f"{NET}\n    import train2\n", ("v()", "val acc: 0.9"))
    alone = good["fashion"] | {TASK2: second, "train2.py": b"import torch"}
    assert all(holds for holds, _ in judged(tmp_path, "fashion", alone, "from scratch"))


def test_a_folder_called_as_a_framework_does_not_permit_it(tmp_path, good):
    files = good["points"] | {"torch/main.py": b"import torch"}
    rule = "NumPy and the standard library"
    assert (False, "torch at main.py line 1") in judged(tmp_path, "points", files, rule)
    files = good["points"] | {"nets/main.py": b"import nets.a, mpl_toolkits.mplot3d"}
    assert all(holds for holds, _ in judged(tmp_path, "points", files, rule))


@pytest.mark.parametrize(
    ("cell", "holds"),
    [
        ("!python -m pip install a", False),
        ("!{sys.executable} -m pip install a", False),
        ("%%bash\ncd x\npip install a", False),
        ("pip install a", False),
        ("%pip install --quiet a", False),
        ("import os\nos.system('pip install a')", False),
        ("subprocess.run([sys.executable, '-m', 'pip', 'install', 'a'])", False),
        ("# !pip install a", True),
        ("print('pip install a')", True),
        ("!pip list", True),
        ("%%bash\n# pip install a\nls", True),
    ],
)
def test_what_is_installed_is_seen(tmp_path, good, cell, holds):
    files = {TASK1: notebook(cell)}
    assert verdict_of(tmp_path, "fashion", files, "runs in Colab")[0] is holds


def test_both_sides_in_one_notebook_are_not_decided(tmp_path, good):
    def sides(**files):
        of = {name.replace("_", "."): text.encode() for name, text in files.items()}
        held = judged(tmp_path, "mnist", good["mnist"] | drop | of, "a side in")
        return [holds for holds, _ in held]

    drop = {"numpy_side.ipynb": notebook("1"), "torch_side.py": b""}
    assert sides(a_py="import numpy, torch") == [None, True]
    assert sides(a_py="import torch") == [False, True]
    assert sides(a_py="import numpy") == [True, False]
    assert sides(a_py="import numpy", b_py="import torch, numpy") == [True, True]
    both = {"numpy/main.py": b"import numpy", "torch/main.py": b"import torch"}
    held = judged(tmp_path, "mnist", good["mnist"] | drop | both, "a side in")
    assert held == [(True, "numpy/main.py"), (True, "torch/main.py")]


# --- classes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "module", "made"),
    [
        ("net = Net()", "net = Net()", True, True),
        ("net = Net()", "model = Net()", True, None),
        ("class Net(nn.Module)", "class Base(nn.Module): pass\n    class Net(Base)", True, True),
        ("class Net(nn.Module)", "from base import Base\n    class Net(Base)", None, True),
        ("Net(", "Other(", None, None),
        ("class Net(nn.Module)", "class Net(object)", False, True),
    ],
)
def test_names_of_the_second_part_may_be_altered(tmp_path, good, old, new, module, made):
    assert old in NET
    files = {TASK2: notebook(NET.replace(old, new))}
    assert verdict_of(tmp_path, "fashion", files, "class Net(nn.Module)")[0] is module
    assert verdict_of(tmp_path, "fashion", files, "net = Net()")[0] is made


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="it is Python there")
@pytest.mark.parametrize(
    "cell",
    [
        "print(f'{a['b']}')",
        'print(f"{"\\n".join(a)}")',
        "print(f'{\"\\n\".join(a)}')",
        "type A = int",
        "def f[T](a): pass",
        "class A[T]: pass",
    ],
)
def test_python_that_is_newer_than_here_is_not_decided(tmp_path, good, cell):
    files = {TASK2: notebook(NET, cell)}
    holds, found = verdict_of(tmp_path, "fashion", files, "parsed as Python")
    assert holds is None
    assert found.endswith(f": no Python {class_rules._HERE}, but perhaps of a later one")
    wrong = {TASK2: notebook(NET, "print(f'{a}'")}
    assert verdict_of(tmp_path, "fashion", wrong, "parsed as Python")[0] is False
    held = judged(tmp_path, "emnist47", {NB: notebook(LOOP, cell)}, "Python 3.6")
    assert held[0][0] is False


# --- tables and prints --------------------------------------------------------------------------


def test_a_form_that_the_sheet_does_not_say_is_not_decided(tmp_path, good):
    files = {CSV: "\n".join(["label", *(str(i % 10) for i in range(10_000))]).encode()}
    for rule in ("the header is", "Id counts"):
        assert verdict_of(tmp_path, "fashion-mlp", files, rule)[0] is None
    for rule in ("10,000 rows", "each class is an integer"):
        assert verdict_of(tmp_path, "fashion-mlp", files, rule)[0] is True


def test_a_test_accuracy_below_the_floor_of_validation_is_not_decided(tmp_path, monkeypatch):
    monkeypatch.undo()
    images = store.read("fashion-mnist")
    truth = images.test[1]
    monkeypatch.setattr(grading.store, "read", lambda name: images)
    for right, fashion, mlp in ((7_960, None, False), (8_510, True, True)):
        labels = [*truth[:right], *((truth[right:] + 1) % 10)]
        rows = ["Id,Category", *(f"{index},{label}" for index, label in enumerate(labels))]
        content = "\n".join(rows).encode()
        files = {"DL-test-predicted.csv": content}
        assert verdict_of(tmp_path, "fashion", files, "scored by accuracy")[0] is fashion
        assert verdict_of(tmp_path, "fashion-mlp", {CSV: content}, "test accuracy")[0] is mlp


def test_epochs_are_looked_for_where_the_sheet_wants_them(tmp_path, good):
    figures = notebook("plot()", note=f"# {ID}")
    files = good["emnist47"] | {"figures.ipynb": figures}
    assert verdict_of(tmp_path, "emnist47", files, "epochs print")[0] is True
    assert verdict_of(tmp_path, "emnist47", files | {NB: figures}, "epochs print")[0] is False
    files = good["points"] | {"figures.ipynb": figures}
    assert verdict_of(tmp_path, "points", files, "epochs print")[0] is True
    files = {"figures.ipynb": figures}
    assert verdict_of(tmp_path, "points", files, "epochs print")[0] is False
    assert verdict_of(tmp_path, "points", files | {"main.py": b""}, "epochs print")[0] is None


# --- weights --------------------------------------------------------------------------------------

PT = f"{ID}_submission.pt"


def test_a_slope_is_no_layer(tmp_path):
    torch = pytest.importorskip("torch")

    def judged_as(**shapes):
        path = tmp_path / "it.pt"
        torch.save({f"mlp.{k.replace('_', '.')}": torch.zeros(v) for k, v in shapes.items()}, path)
        return verdict_of(tmp_path, "fashion-mlp", {PT: path.read_bytes()}, "an MLP only")

    shapes = {"0_weight": (32, 784), "1_slope": (1, 32), "2_weight": (10, 32)}
    assert judged_as(**shapes) == (True, "784-32-10")
    assert judged_as(**shapes | {"1_slope": (32, 32)}) == (True, "784-32-32-10")
    assert judged_as(**shapes | {"2_weight": (10, 31)})[0] is False


def test_the_teachers_own_torch_is_no_fault_of_the_students(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    files, rule = {PT: hand_ins.weights((10, 784))}, "torch.load("
    assert verdict_of(tmp_path, "fashion-mlp", files, rule)[0] is True
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    holds, found = verdict_of(tmp_path, "fashion-mlp", files, rule)
    assert holds is None
    assert "torch 2.10 or later" in found
