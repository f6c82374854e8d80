"""Predictions as a table: classes or probabilities, under the names that are wanted."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from commands import funcnn, one_error, parse
from image_files import image_folder, write_png

import funcnn as fn
from funcnn.experiments.data.datasets import load_inputs
from funcnn.experiments.training.model import load_model
from funcnn.experiments.training.run_folder import RunFolder

SMALL = ["--arch", "softmax", "--val-size", "12", "--epochs", "1", "--batch-size", "8"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, no_figures):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(images):
    funcnn("train", *SMALL, "--data", images, "--out", "run")
    return "run"


def table():
    with open("out.csv", newline="") as text:
        header, *rows = csv.reader(text)
    return header, rows


def predict(run, data, *arguments, **keywords):
    return funcnn("predict", run, "--data", data, "--out", "out.csv", *arguments, **keywords)


def outputs_of(run, data):
    return load_model(RunFolder(Path(run))).predict(load_inputs(str(data)).inputs)


def test_a_header_and_a_first_id_are_as_a_competition_demands_them(run, images):
    result = predict(run, images, "--header", "ImageId,Label", "--first-id", 1, "--json")
    printed = parse(result)
    assert (printed["columns"], printed["first_id"]) == (["ImageId", "Label"], 1)
    header, rows = table()
    assert header == ["ImageId", "Label"]
    labels = outputs_of(run, images).argmax(1)
    assert rows == [[str(i), str(k)] for i, k in enumerate(labels, start=1)]


def test_probabilities_are_the_softmax_of_logits_a_column_for_each_class(run, images):
    result = predict(run, images, "--probabilities", "--header", "id", "--first-id", 5, "--json")
    assert parse(result)["columns"] == ["id", "0", "1", "2"]
    header, rows = table()
    assert header == ["id", "0", "1", "2"]
    assert [row[0] for row in rows] == [str(i) for i in range(5, 25)]
    logits = outputs_of(run, images).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(np.array(rows, float)[:, 1:], expected, rtol=1e-5, atol=1e-8)


def test_probabilities_have_an_id_without_a_header_too(run, images):
    predict(run, images, "--probabilities")
    assert table()[0] == ["Id", "0", "1", "2"]


@pytest.mark.parametrize("loss", ["cross-entropy", "squared-error"])
def test_one_probability_becomes_two_columns(loss):
    funcnn("train", "--arch", "points", "--epochs", 5, "--loss", loss, "--out", "it", "--quiet")
    predict("it", "points-xor", "--probabilities")
    header, rows = table()
    assert header == ["Id", "0", "1"]
    found, p = np.array(rows, float)[:, 1:], outputs_of("it", "points-xor")
    np.testing.assert_allclose(found, np.hstack([1 - p, p]), rtol=1e-6)


def test_outputs_that_are_no_logits_have_no_probabilities(images):
    funcnn("train", *SMALL, "--loss", "squared-error", "--data", images, "--out", "it")
    line = one_error(predict("it", images, "--probabilities", code=1))
    assert line == (
        "Error: --probabilities: the network gives scores, as one trained with --loss "
        "squared-error does, and no probabilities: train with --loss cross-entropy"
    )
    assert not Path("out.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--header", "ImageId"], "--header ImageId: give two names, as ImageId,Label"),
        (["--header", "a,b,c"], "--header a,b,c: give two names, as ImageId,Label"),
        (["--header", ""], "--header : give two names, as ImageId,Label"),
        (["--header", "a,"], "--header a,: give names that differ and are not empty"),
        (["--header", "a,a"], "--header a,a: give names that differ and are not empty"),
        (
            ["--header", "Id,0", "--probabilities"],
            "--header Id,0: give the name of the ids alone, as Id with --probabilities, whose "
            "columns are called by the class",
        ),
        (
            ["--header", "1", "--probabilities"],
            "--header 1: a class is called so too, give the ids another name",
        ),
    ],
)
def test_a_header_that_fits_no_table_is_one_line(run, images, arguments, said):
    assert one_error(predict(run, images, *arguments, code=1)) == f"Error: {said}"
    assert not Path("out.csv").exists()


@pytest.mark.parametrize("first", ["-1", "x", "1.5", str(2**63)])
def test_a_first_id_that_is_none_is_one_line(run, images, first):
    assert "--first-id" in one_error(predict(run, images, "--first-id", first, code=2))


# --- params that are not finite --------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_params_that_are_not_finite_are_refused_and_named(run, images, value):
    file = Path(run, "params.npz")
    snapshot = fn.load(file)

    def spoilt(path, leaf):
        leaf = leaf.copy()
        if path == "1/weight":
            leaf.flat[0] = value
        return leaf

    params = fn.tree.map_with_path(spoilt, snapshot.params)
    fn.save(
        file,
        params,
        model=snapshot.model,
        input_shape=snapshot.input_shape,
        normalization=snapshot.normalization,
        class_names=snapshot.class_names,
    )
    for result in (
        funcnn("evaluate", run, code=1),
        predict(run, images, code=1),
        funcnn("export", run, "--to", "safetensors", code=1),
    ):
        line = one_error(result)
        assert line.startswith("Error: run/params.npz holds values that are not finite (1/weight):")
    assert not Path("out.csv").exists()
    assert "\nnot finite: 1/weight\n" in funcnn("inspect", file).stdout
    assert json.loads(funcnn("inspect", file, "--json").stdout)["parameters"] == 51


def write_table(path, ids, *, name="ImageId", label=None):
    """Images of 4 x 4 with ids, and labels if they are to have some."""
    pixels = np.random.default_rng(0).integers(0, 256, (len(ids), 16)).astype(str)
    header, columns = [name, *(f"pixel{i}" for i in range(16))], [np.array(ids)[:, None], pixels]
    if label is not None:
        header, columns = [*header, "label"], [*columns, np.array(label)[:, None]]
    rows = np.hstack([column.astype(str) for column in columns])
    path.write_text("\n".join(map(",".join, [header, *rows])) + "\n")
    return path


@pytest.mark.parametrize(
    ("name", "ids", "label"),
    [
        ("ImageId", ["1003", "1000", "-2", "7"], None),
        ("id", ["a.png", "b.png", "c 1.png", "7"], None),
        ("image_id", ["007", "008", "010", "1000"], None),
        ("Id", ["12", "10", "11", "19"], ["0", "1", "0", "1"]),
        ("Id", ["12", "10", "11", "19"], ["cat", "dog", "cat", "dog"]),
    ],
)
def test_the_ids_of_a_table_are_the_ids_of_its_predictions(run, tmp_path, name, ids, label):
    data = write_table(tmp_path / "it.csv", ids, name=name, label=label)
    for out in ("first.csv", "again.csv"):  # of the text, and of its copy
        printed = parse(funcnn("predict", run, "--data", data, "--out", out, "--json"))
        assert printed["first_id"] is None
        lines = Path(out).read_text().splitlines()
        assert lines[0] == "Id,Category"
        assert [line.split(",")[0] for line in lines[1:]] == ids
    assert Path(f"{data}.funcnn.npy").exists()
    predict(run, data, "--probabilities")
    assert [row[0] for row in table()[1]] == ids
    Path("out.csv").unlink()
    assert parse(predict(run, data, "--first-id", 0, "--json"))["first_id"] == 0
    assert [row[0] for row in table()[1]] == ["0", "1", "2", "3"]


def test_the_ids_are_those_of_the_test_file(run, tmp_path):
    write_table(tmp_path / "train.csv", ["1", "2", "3"], label=[0, 1, 2])
    write_table(tmp_path / "test.csv", ["31", "22"])
    predict(run, tmp_path)
    assert [row[0] for row in table()[1]] == ["31", "22"]
    write_table(tmp_path / "test.csv", ["31", "22"], name="")
    Path("out.csv").unlink()
    assert parse(predict(run, tmp_path, "--json"))["first_id"] == 0, "pandas counts without a name"
    assert [row[0] for row in table()[1]] == ["0", "1"]


def test_the_order_of_pictures_is_said(run, tmp_path):
    for name in ("10", "9"):
        write_png(tmp_path / "them" / f"{name}.png", np.zeros((4, 4), "u1"))
    result = predict(run, tmp_path / "them")
    assert result.stderr == "the rows are of the pictures by name: first 9.png, last 10.png\n"
    assert [row[0] for row in table()[1]] == ["0", "1"]
