"""Every notebook that is handed in runs from first to last, where funcnn cannot be imported."""

import csv
import importlib.util
import re
import sys

import numpy as np
import pytest
from notebooks import built_of, outputs, printed

from funcnn.experiments.data.datasets import Dataset, Normalization
from funcnn.experiments.data.formats.idx import read_idx
from funcnn.experiments.data.store import place_of
from funcnn.experiments.hand_in.deliverables import HAND_INS, plain
from funcnn.experiments.hand_in.files import modules
from funcnn.experiments.hand_in.notebook_builder import NOTEBOOKS
from funcnn.experiments.hand_in.notebook_runner import execute
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Task

pytestmark = pytest.mark.usefixtures("one_thread_in_notebooks")
DATA = place_of("mnist").parent
QUICK = {"epochs": 1, "images": 1000}

# name, settings, the lowest accuracies in its outputs, pictures, what is printed after an epoch,
# the file that it writes, with its rows and classes
RUNS = [
    ("points", {"epochs": 200}, [1, 1], 9, r"epoch 200 loss : 0\.\d{12}\n", None),
    ("fashion-numpy", QUICK, [0.35, 0.35], 3, None, ("DL-test-predicted.csv", 10_000, 10)),
    ("fashion-torch", QUICK, [0.35, 0.35], 3, None, None),
    (
        *("emnist47", QUICK, [0.35], 3),
        r"Epoch:  1 \|Train Loss: {2}\d\.\d{4} \|Train Acc:\d+\.\d{4} "
        r"\|Val Loss: {2}\d\.\d{4} \|Val Acc:\d+\.\d{4}",
        ("DLAD-test-predict.csv", 300, 47),
    ),
    ("mnist-numpy", QUICK, [0.35, 0.35], 8, None, None),
    ("mnist-torch", QUICK, [0.35, 0.35], 8, None, None),
    ("fashion-mlp", QUICK, [0.35, 0.35], 5, None, ("submission.csv", 10_000, 10)),
]
_ACCURACY = r"^(?:validation|test|NN +in \w+: test|CNN in \w+: test)? ?accuracy[ :]+(.+?)%"
_EPOCH = r"epoch  1  train loss \d\.\d{4} \d+\.\d\d%  val loss \d\.\d{4} \d+\.\d\d%"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "handed in"
    path.mkdir()
    return path


def hand_in(name, folder):
    """What lies beside a notebook: layer.py, network.py and a lab's program."""
    notebook, tasks = NOTEBOOKS[name], {}
    if notebook.backend == "torch":
        return
    for trial in notebook.trials.values():
        config = RunConfig.resolve(dict(trial.settings))
        points, letters = notebook.lab == "points", notebook.lab == "emnist47"
        classes = [str(number) for number in range(2 if points else 47 if letters else 10)]
        inputs = np.zeros((1, 2) if points else (1, 1, 28, 28), np.uint8)
        scale = Normalization(1.0, 0.0, 1.0) if points else Normalization(255.0, 0.2, 0.33)
        model = build_network(config, (1, 28, 28), len(classes))
        test = (inputs, None)
        data = Dataset(name, (inputs, np.zeros(1)), None, test, "", tuple(classes), scale)
        tasks[trial.name] = Task(config, data, model, (1, 28, 28), config.batch_size, 1)
    for file, content in modules(HAND_INS[notebook.lab], tasks, plain).items():
        (folder / file).write_bytes(content)


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """The lab's files: 9,000 rows, of which 1,000 to train with, and 300 without labels."""
    folder = tmp_path_factory.mktemp("emnist47")
    images, labels = (
        read_idx(DATA / "mnist" / f"t10k-{kind}-ubyte.gz")
        for kind in ("images-idx3", "labels-idx1")
    )
    rows = np.column_stack([labels, images.reshape(-1, 784)])
    np.savetxt(folder / "train.csv", rows[:9000], "%d", ",")
    np.savetxt(folder / "test.csv", rows[9000:9300, 1:], "%d", ",")
    return folder


def rows_of(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["Id", "Category"]
    assert [number for number, _ in rows] == [str(number) for number in range(len(rows))]
    return [category for _, category in rows]


@pytest.mark.parametrize(
    ("name", "settings", "floors", "pictures", "line", "file"), RUNS, ids=[run[0] for run in RUNS]
)
def test_a_notebook_runs_from_first_to_last(
    name, settings, floors, pictures, line, file, folder, letters
):
    hand_in(name, folder)
    (folder / "data").symlink_to(letters if name == "emnist47" else DATA)
    done = execute(built_of(name, **settings), folder, name=name)
    text = printed(done)
    kinds = [output["output_type"] for output in outputs(done)]
    assert set(kinds) == {"stream", "display_data"}
    assert kinds.count("display_data") == pictures
    assert re.search(line or _EPOCH, text)
    if name in ("fashion-numpy", "emnist47"):  # the loop of the sheet, of 10 batches
        learned = re.search(r"an epoch of the lab's loop: validation accuracy (.+)%", text)
        assert float(learned[1]) >= 30
        steps = re.findall(r"^(\S.+?) +of the images set aside, right after .+: (.+)%", text, re.M)
        assert [step for step, _ in steps][::4] == ["sigmoid, squared error", "two hidden layers"]
        assert len(steps) == 5
        assert float(steps[-1][1]) >= 20
    if name == "fashion-mlp":
        found = re.findall(r"^(.+?) +(\S+)% of the images set aside, \S+ parameters$", text, re.M)
        changes = {change: float(accuracy) for change, accuracy in found}
        # Nine activations, the momentum, images, labels, two sizes.
        assert len(changes) == 14
        assert (
            "unchanged: True\nwhere nothing is learned, they are taken as they are: True\n" in text
        )
        assert "where nothing is learned, it is the lab's loss: True\n" in text
        assert changes["as below"] > changes["binary step"]
    derivatives = re.findall(r"by backward (\S+), by a difference (\S+)$", text, re.M)
    measured_in = {"points": 12, "mnist-numpy": 2, "mnist-torch": 0, "fashion-torch": 0}
    assert len(derivatives) == measured_in.get(name, 1)
    for exact, measured in derivatives:
        assert float(measured) == pytest.approx(float(exact), rel=1e-4, abs=2e-6)
    apart = re.findall(r"largest difference (\S+)$", text, re.M)
    assert len(apart) == (11 if name == "fashion-mlp" else 0)  # nine activations, and two losses
    assert all(float(largest) < 1e-8 for largest in apart)
    found = re.findall(_ACCURACY, text, re.M)
    assert len(found) == len(floors)
    for accuracy, floor in zip(found, floors, strict=True):
        assert float(accuracy) / 100 >= floor
    if NOTEBOOKS[name].lab in ("fashion", "emnist47", "mnist"):
        trials = [trial.lower() for trial in NOTEBOOKS[name].trials]
        kind = "pt" if NOTEBOOKS[name].backend == "torch" else "npz"
        kept = {f"params_{trial}.{kind}" if trial else f"params.{kind}" for trial in trials}
        assert {path.name for path in folder.glob("params*")} == kept
    if file:
        path, count, classes = file
        categories = rows_of(folder / path)
        assert len(categories) == count
        assert set(categories) <= {str(number) for number in range(classes)}
        assert len(set(categories)) >= 9


def test_trained_params_beside_a_notebook_are_what_it_predicts_with(folder, letters):
    hand_in("emnist47", folder)
    spec = importlib.util.spec_from_file_location("network", folder / "network.py")
    network = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(network)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("layer", None)
    params = network.first_params(np.random.default_rng(5))
    network.save(folder / "params.npz", params)
    before = (folder / "params.npz").read_bytes()
    (folder / "data").symlink_to(letters)  # as the sheet has it: ./data/train.csv
    built = built_of("emnist47", images=200, trains=False)
    assert "Epoch:" not in printed(execute(built, folder, name="emnist47"))
    images = np.loadtxt(letters / "test.csv", np.uint8, delimiter=",").reshape(-1, 1, 28, 28)
    classes = network.predict(params, images).argmax(axis=1)
    assert rows_of(folder / "DLAD-test-predict.csv") == [str(number) for number in classes]
    assert (folder / "params.npz").read_bytes() == before
