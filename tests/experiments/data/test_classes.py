"""Data as people have them, from the file to the predictions: labels of any kind, few examples."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from image_files import PIXELS, png_folder, write_csv

import funcnn as fn
from funcnn.cli import main
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.model import load_model, read_model
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def funcnn(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def table_of(labels, name="mine.csv"):
    """A CSV with a header, whose images are bright where their label's place is."""
    order = sorted(set(labels))
    generator = np.random.default_rng(0)
    table = generator.integers(0, 30, (len(labels), 17)).astype(object)
    for row, label in zip(table, labels, strict=True):
        row[1 + 4 * order.index(label) :][:4] += 200
    table[:, 0] = labels
    return write_csv(Path(name), table, ["label", *PIXELS])


def categories(file):
    with open(file, newline="", encoding="utf-8") as text:
        return [row["Category"] for row in csv.DictReader(text)]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        pytest.param(["dog", "Cat, tame", "a$x_^{$"], ["Cat, tame", "a$x_^{$", "dog"], id="words"),
        pytest.param([8, 10, -1], ["-1", "8", "10"], id="a gap, and below 0"),
        pytest.param([1, 2, 3], ["1", "2", "3"], id="from 1"),
        pytest.param([0, 1, 2], ["0", "1", "2"], id="from 0"),
    ],
)
def test_a_run_knows_its_classes_from_the_data_to_the_predictions(labels, classes, request):
    drawn = isinstance(labels[0], str)
    if not drawn:
        request.getfixturevalue("no_figures")
    quoted = [f'"{label}"' if isinstance(label, str) else label for label in labels]
    data = table_of(quoted * 20)
    network = "--arch", "mlp2", "--hidden", 32, "--batch-size", 8
    funcnn("train", "--data", data, *network, "--epochs", 30, "--out", "run")
    if drawn:
        shown = json.loads(funcnn("data", "show", data, "--out", "a.png", "--json").stdout)
        assert [row["name"] for row in shown["classes"]] == classes
        assert Path("run/confusion_matrix.png").is_file()
    measured = json.loads(funcnn("evaluate", "run", "--json").stdout)
    assert measured["class_names"] == classes
    summary = json.loads(Path("run/summary.json").read_text())
    assert measured["test_accuracy"] == summary["test_accuracy"] == 1.0
    model = load_model(RunFolder(Path("run")))
    assert list(model.labels) == list(model.class_names) == classes
    funcnn("predict", "run", "--data", data, "--out", "predicted.csv")
    assert categories("predicted.csv") == [str(label) for label in labels] * 20


def test_a_folder_of_pictures_predicts_the_names_of_its_folders(no_figures):
    png_folder(Path("pictures"), parts=[""])
    data = load_dataset("pictures", val_size=0, seed=0)
    assert data.labels == data.class_names == ("cat", "dog")
    funcnn("train", "--data", "pictures", "--epochs", 1, "--out", "run", "--quiet")
    funcnn("predict", "run", "--data", "pictures", "--out", "predicted.csv")
    assert set(categories("predicted.csv")) <= {"cat", "dog"}


def test_a_snapshot_of_before_has_the_indices_of_its_classes_for_labels():
    model = fn.serial(fn.Flatten(), fn.Dense(2))
    _, params = model.init(fn.random.key(0), (1, 2, 2))
    header = {
        "model": model,
        "input_shape": (1, 2, 2),
        "normalization": {"scale": 255.0, "mean": 0.0, "std": 1.0},
        "class_names": ["cat", "dog"],
    }
    fn.save("old.npz", params, **header)
    assert read_model(Path("old.npz")).labels == ("0", "1")
    fn.save("odd.npz", params, **header, notes={"labels": ["cat"]})
    with pytest.raises(InputError, match=r"odd\.npz: its labels are not those of 2 classes"):
        read_model(Path("odd.npz"))


# --- few examples ------------------------------------------------------------------------------


def test_ten_images_of_two_classes_train_with_no_option_and_what_was_chosen_is_said(no_figures):
    data = table_of(["cat", "dog"] * 5)
    result = funcnn("train", "--data", data, "--out", "run")
    said = "too few examples for the usual sizes, so: --val-size 2 --batch-size 6\n"
    assert result.stderr == said
    config = RunFolder(Path("run")).read_config()
    assert (config.val_size, config.batch_size) == (2, 6)
    summary = json.loads(Path("run/summary.json").read_text())
    assert [summary[f"{part}_examples"] for part in ("train", "val", "test")] == [6, 2, 2]
    again = funcnn("train", "--config", "run/config.json", "--out", "again")
    assert again.stderr == ""
    assert Path("run/params.npz").read_bytes() == Path("again/params.npz").read_bytes()
    assert funcnn("train", "--data", data, "--out", "quiet", "--quiet").stderr == ""


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--val-size", 8), "--val-size 8 leaves nothing to train on: there are 8 examples"),
        (("--val-size", 7), "--val-size 7 leaves no training example of class cat"),
        (("--batch-size", 7), "--batch-size 7: there are 6 training examples"),
    ],
)
def test_a_size_that_was_typed_is_refused_not_changed(option, said):
    data = table_of(["cat", "dog"] * 5)
    result = funcnn("train", "--data", data, *option, "--out", "run", code=1)
    assert said in result.stderr
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("labels", "val_size"),
    [
        pytest.param([0, 1] * 4, 2, id="one of each class"),
        pytest.param([0, 1] * 300, 60, id="a tenth"),
        pytest.param([0, 1], 0, id="one of each is all there is"),
        pytest.param([0] * 6 + [1, 2, 3], 2, id="at most a quarter"),
        pytest.param([0, 1] * 5001, 10_000, id="just enough"),
        pytest.param([0, 1] * 5000 + [1], 1000, id="not quite"),
    ],
)
def test_the_usual_validation_set_is_smaller_where_there_are_few(labels, val_size):
    images = np.zeros((len(labels), 2, 2), np.uint8)
    np.savez("mine.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    config = RunConfig.resolve({"arch": "mlp2", "data": "mine.npz"})
    task = Task.build(config, usual=["val_size", "batch_size"])
    assert task.config.val_size == val_size
    assert task.config.batch_size == min(128, len(labels) - val_size)
    assert np.unique(task.data.train[1]).tolist() == np.unique(labels).tolist()


def test_a_run_of_few_examples_goes_on_with_the_sizes_that_were_chosen():
    data = table_of(["cat", "dog"] * 10)
    config = RunConfig.resolve({"arch": "mlp2", "hidden": (4,), "data": str(data), "epochs": 2})
    run = TrainingRun.start(config, Path("run"), usual=["val_size", "batch_size"])
    resumed = TrainingRun.resume(run.folder)
    assert resumed.config == run.config != config
