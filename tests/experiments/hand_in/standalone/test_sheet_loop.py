"""The sheets' own loop drives what is handed in, unchanged, however it is imported."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from standalone_files import of_lab

from funcnn.experiments.data.datasets import Normalization
from funcnn.experiments.data.formats.idx import pack_idx, read_idx
from funcnn.experiments.data.store import place_of
from funcnn.experiments.hand_in.notebook_builder import build, lab_configs

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # others test beside it
LOOP = Path(__file__).with_name("sheet_loop.py")
DIGITS = Normalization(255.0, 0.1307, 0.3081)
CLASSES = {"fashion": 10, "emnist47": 47, "mnist": 10}
FLOOR = 0.6  # after 20 batches; a step along the mean gradient leaves it below 0.3


# lab, how a teacher uses what is handed in, what the network is called
LEARN = [
    ("emnist47", "package", "network"),
    ("fashion", "as handed in", "network_310"),
    ("mnist", "as handed in", "network_nn"),
]
DRIVEN = [
    ("emnist47", "as handed in", "network"),
    ("fashion", "renamed", "network_310"),
    ("fashion", "package", "network_310"),
    ("mnist", "as handed in", "network_cnn"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The sheet's two files, of MNIST's digits, twice: 22 batches of 100, and 4."""
    place = tmp_path_factory.mktemp("sheet")
    images, labels = (
        read_idx(place_of("mnist") / f"t10k-{kind}-ubyte.gz")
        for kind in ("images-idx3", "labels-idx1")
    )
    rows = np.column_stack([labels, images.reshape(-1, 784)])
    for name, count in (("long", 2200), ("short", 400)):
        (place / name).mkdir()
        np.savetxt(place / name / "train.csv", rows[5000 : 5000 + count], "%d", ",")
        np.savetxt(place / name / "test.csv", rows[7500:7600, 1:], "%d", ",")
    np.save(place / "labels.npy", labels[7500:7600])
    return place


@functools.cache
def handed_in(lab: str) -> dict[str, bytes]:
    return of_lab(lab, "310", DIGITS)


def laid_out(lab: str, way: str, folder: Path, network: str) -> str:
    """Write what is handed in to a folder, in a way that a teacher uses it; what is imported."""
    inside = folder / "model" if way.startswith("package") else folder
    inside.mkdir(exist_ok=True)
    for name, content in handed_in(lab).items():
        plain = name if way.endswith("as handed in") else name.replace("_310", "")
        (inside / plain).write_bytes(content)
    if inside == folder:
        return network if way == "as handed in" else network.replace("_310", "")
    line = re.search(r"^ +(from \.network import .+)$", (inside / "network.py").read_text(), re.M)
    (inside / "__init__.py").write_text(f"{line[1]}\n")
    return "model"


def loop(python: str, folder: Path, data: Path, module: str, classes: int) -> dict:
    """What the sheet's loop prints, run where only the files are, and the data."""
    (folder / "data").symlink_to(data)
    shutil.copy(LOOP, folder / "notebook.py")
    done = subprocess.run(
        [python, "-s", "-W", "error", "notebook.py", module, str(classes)],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | ONE_THREAD,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_with_the_loop_of_the_sheet_what_is_handed_in_learns(tmp_path, data) -> None:
    labels = np.load(data / "labels.npy")
    for lab, way, network in LEARN:
        (folder := tmp_path / lab).mkdir()
        module = laid_out(lab, way, folder, network)
        printed = loop(sys.executable, folder, data / "long", module, CLASSES[lab])
        assert printed["validation"] >= FLOOR
        assert np.mean(np.array(printed["predicted"]) == labels) >= FLOOR


@pytest.mark.parametrize(("lab", "way", "network"), DRIVEN)
def test_the_loop_of_the_sheet_drives_what_is_handed_in(tmp_path, data, lab, way, network) -> None:
    (folder := tmp_path / "place").mkdir()
    module = laid_out(lab, way, folder, network)
    printed = loop(sys.executable, folder, data / "short", module, CLASSES[lab])
    assert printed["shapes"] == [[100, CLASSES[lab]], "float"]
    assert 0 < printed["loss"] < 50
    assert len(printed["predicted"]) == 100


def old_python() -> str | None:
    """A Python of 3.6 to 3.8 with NumPy, of FUNCNN_OLD_PYTHON or on the PATH."""
    named = [os.environ.get("FUNCNN_OLD_PYTHON"), *(f"python3.{minor}" for minor in (6, 7, 8))]
    check = "import sys, numpy; assert (3, 6) <= sys.version_info < (3, 9)"
    for python in filter(None, map(shutil.which, filter(None, named))):
        if subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0:
            return python
    return None


def test_the_loop_of_the_sheet_runs_on_the_python_of_the_lab(tmp_path, data) -> None:
    if (python := old_python()) is None:
        pytest.skip("no Python of 3.6 to 3.8 with NumPy: FUNCNN_OLD_PYTHON names one")
    (folder := tmp_path / "place").mkdir()
    module = laid_out("emnist47", "package", folder, "network")
    printed = loop(python, folder, data / "short", module, 47)
    again = tmp_path / "again"
    again.mkdir()
    laid_out("emnist47", "package", again, "network")
    ours = loop(sys.executable, again, data / "short", module, 47)
    assert printed["loss"] == pytest.approx(ours["loss"], rel=1e-3)


def test_the_notebook_of_emnist47_runs_on_the_python_of_the_lab(tmp_path) -> None:
    if (python := old_python()) is None:
        pytest.skip("no Python of 3.6 to 3.8 with NumPy: FUNCNN_OLD_PYTHON names one")
    images, labels = (
        read_idx(place_of("mnist") / f"t10k-{kind}-ubyte.gz")
        for kind in ("images-idx3", "labels-idx1")
    )
    for name, array in {
        "train-images-idx3": images[:8200],  # the last 8,000 are set aside
        "train-labels-idx1": labels[:8200],
        "test-images-idx3": images[8200:8300],
    }.items():
        (tmp_path / f"emnist47-{name}-ubyte.gz").write_bytes(pack_idx(array))
    for name, content in handed_in("emnist47").items():
        (tmp_path / name).write_bytes(content)
    built = build("emnist47", lab_configs("emnist47", epochs=1), images=200)
    cells = (each for each in json.loads(built)["cells"] if each["cell_type"] == "code")
    (tmp_path / "cells.py").write_text("\n".join("".join(each["source"]) for each in cells))
    command = [python, "-s", "-W", "error", "cells.py"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Epoch: {2}1 \|Train Loss: {2}\d\.\d{4} \|Train Acc:", done.stdout, re.M)
    rows = (tmp_path / "DLAD-test-predict.csv").read_text().splitlines()
    assert rows[0] == "Id,Category"
    assert len(rows) == 101


# What NumPy has only since 1.20, of what an array program would use.
NEWER = re.compile(
    r"sliding_window_view|broadcast_shapes|permuted|\bbitwise_count|\bnp\.(concat|astype|pow|unstack"
    r"|trapezoid|matrix_transpose|acos|asin|atan|isdtype|vecdot|exceptions)\b|numpy\.typing"
)


@pytest.mark.parametrize("lab", ["emnist47", "points", "mnist"])
def test_what_is_handed_in_is_python_3_6(tmp_path, lab) -> None:
    notebook = "mnist-numpy" if lab == "mnist" else lab
    cells = json.loads(build(notebook, lab_configs(notebook)))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    texts = {name: content.decode() for name, content in handed_in(lab).items()}
    for name, text in (texts | {"cells.py": "\n".join(code)}).items():
        (tmp_path / name).write_text(text)
        assert not NEWER.search(text)
    assert lab != "points" or {"main.py", "optimizers.py"} < set(texts)

    def judge(*files: Path) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            "import vermin; vermin.main()",
            "--target=3.6-",
            "--no-tips",
        ]
        return subprocess.run([*command, *files], capture_output=True, text=True, check=False)

    judged = judge(*tmp_path.glob("*.py"))
    assert judged.returncode == 0, judged.stdout
    (tmp_path / "newer.py").write_text("if (n := 3) > 2:\n    print(f'{n=}')\n")
    assert judge(tmp_path / "newer.py").returncode == 1
