"""How good a model is on data that are named: of a run, of its params alone, and of a script."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from commands import funcnn, one_error, parse
from image_files import image_folder, write_idx, write_png

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.training.evaluation import evaluate_on
from funcnn.experiments.training.model import read_model

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
    return Path("run")


def save(images, *layers, file="own.npz", input_shape=(1, 4, 4), **about):
    """A snapshot as a script saves it, of random params; None leaves out what it says."""
    data = load_dataset(str(images), val_size=0, seed=0)
    layers = layers or (fn.Flatten(), fn.Dense(3))
    model = fn.serial(*layers)
    _, params = model.init(fn.random.key(1), input_shape)
    told = {"model": model, "input_shape": input_shape, "class_names": list(data.class_names)}
    told |= {"normalization": dataclasses.asdict(data.normalization)} | about
    fn.save(file, params, **told)
    return file


def test_the_params_of_a_run_are_as_good_as_the_run_says_to_the_last_digit(run, images):
    of_run = parse(funcnn("evaluate", run, "--json"))
    for place in (run, run / "params.npz"):
        alone = parse(funcnn("evaluate", place, "--data", images, "--json"))
        same = [name for name in of_run if name.startswith("test_")]
        assert {name: alone[name] for name in same} == {name: of_run[name] for name in same}
        assert (alone["run"], alone["test_is"]) == (str(place), "the test set")
        assert not any(name.startswith("val_") for name in alone)


def test_a_snapshot_of_a_script_goes_through_every_command_that_takes_a_run(images):
    own = save(images)
    lines = funcnn("evaluate", own, "--data", images).stdout.splitlines()
    assert lines[0].startswith("the test set  loss ")
    assert lines[0].endswith("of 20 examples")
    funcnn("predict", own, "--data", images, "--out", "own.csv", "--probabilities")
    table = np.loadtxt("own.csv", delimiter=",", skiprows=1)[:, 1:]
    x, y = load_dataset(str(images), val_size=0, seed=0).test
    expected = fn.load(own).predict(x)
    np.testing.assert_allclose(table, expected, rtol=1e-5)
    accuracy = parse(funcnn("evaluate", own, "--data", images, "--json"))["test_accuracy"]
    assert accuracy == (expected.argmax(1) == y).mean()
    assert "Dense" in funcnn("inspect", own).stdout
    funcnn("export", own, "--to", "safetensors")
    line = one_error(funcnn("compare", own, code=1))
    assert line.endswith(
        "give the folder of a run, or settings, as --arch mlp3 --data fashion-mnist"
    )


def test_the_folder_of_a_run_is_inspected_as_its_params(run):
    assert funcnn("inspect", run).stdout == funcnn("inspect", run / "params.npz").stdout


@pytest.mark.parametrize(
    ("last", "outputs"),
    [((), None), ((fn.LogSoftmax(),), None), ((fn.Softmax(),), None), ((), "logits")],
    ids=["logits", "log-softmax", "softmax", "said"],
)
def test_the_loss_is_the_cross_entropy_of_the_probabilities_however_they_are_given(
    images, last, outputs
):
    own = save(images, fn.Flatten(), fn.Dense(3), *last, outputs=outputs)
    x, y = load_dataset(str(images), val_size=0, seed=0).test
    shares = fn.load(own).predict(x).astype(np.float64)
    measured = evaluate_on(Path(own), str(images))
    expected = -np.log(shares[np.arange(20), y]).mean()
    assert measured["test_loss"] == pytest.approx(expected, rel=1e-5)
    error = fn.expected_calibration_error(np.log(shares), y)
    assert measured["test_calibration_error"] == pytest.approx(error, rel=1e-4)


def test_scores_have_an_accuracy_and_no_loss(images):
    own = save(images, outputs="scores")
    measured = evaluate_on(Path(own), str(images))
    assert {"test_accuracy", "test_precision"} <= set(measured)
    assert not {"test_loss", "test_calibration_error"} & set(measured)
    assert "loss" not in funcnn("evaluate", own, "--data", images).stdout


@pytest.mark.parametrize("outputs", ["logits", "probabilities", None])
def test_one_output_is_of_two_classes_if_it_says_what_it_is(tmp_path, outputs):
    images = image_folder(tmp_path / "two", classes=2)
    last = [fn.Sigmoid()] * (outputs == "probabilities")
    own = save(images, fn.Flatten(), fn.Dense(1), *last, outputs=outputs)
    if outputs is None:
        line = one_error(funcnn("evaluate", own, "--data", images, code=1))
        assert line.endswith("save it with fn.save(..., outputs='logits'), or 'probabilities'")
        assert "outputs='logits'" in one_error(
            funcnn("predict", own, "--data", images, "--out", "it.csv", code=1)
        )
        return
    x, y = load_dataset(str(images), val_size=0, seed=0).test
    p = fn.load(own).predict(x)[:, 0].astype(np.float64)
    measured = evaluate_on(Path(own), str(images))
    assert measured["test_accuracy"] == ((p > 0.5) == y).mean()
    expected = -np.log(np.where(y == 1, p, 1 - p)).mean()
    assert measured["test_loss"] == pytest.approx(expected, rel=1e-4)
    funcnn("predict", own, "--data", images, "--out", "it.csv")
    rows = Path("it.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == [str(int(each)) for each in p > 0.5]


@pytest.mark.parametrize("shape", [(16,), (4, 4)])
def test_a_model_of_rows_or_of_images_without_a_channel_takes_grey_images(images, shape):
    own, usual = save(images, fn.Flatten(), fn.Dense(3), input_shape=shape), "usual.npz"
    known = fn.load(own)._asdict()
    fn.save(usual, known.pop("params"), **known | {"input_shape": (1, 4, 4)})
    ours, theirs = (evaluate_on(Path(file), str(images)) for file in (own, usual))
    assert ours["test_loss"] == theirs["test_loss"]


# --- what the data are ------------------------------------------------------------------------


def test_data_without_a_test_set_are_measured_whole_and_it_is_said(images):
    write_idx(Path("x-images-idx3-ubyte"), np.zeros((7, 4, 4), "u1"))
    write_idx(Path("x-labels-idx1-ubyte"), np.arange(7, dtype="u1") % 3)
    pixels, labels = np.zeros((7, 4, 4), "u1"), np.arange(7) % 3
    np.savez("mine.npz", images=pixels, labels=labels)
    measured = parse(funcnn("evaluate", save(images), "--data", "mine.npz", "--json"))
    assert (measured["test_is"], measured["test_examples"]) == ("all the images", 7)


def test_classes_are_known_by_their_names_and_need_not_all_be_there(images):
    own = save(images, class_names=["cat", "dog", "bird"])
    generator = np.random.default_rng(0)
    for name in ("bird", "dog"):
        for index in range(3):
            write_png(Path("them", name, f"{index}.png"), generator.integers(0, 256, (4, 4), "u1"))
    pixels = read_model(Path(own)).predict(
        np.stack(
            [_read(Path("them", name, f"{i}.png")) for name in ("bird", "dog") for i in range(3)]
        )
    )
    truth = np.array([2, 2, 2, 1, 1, 1])
    result = funcnn("evaluate", own, "--data", "them", "--json")
    assert parse(result)["test_accuracy"] == (pixels.argmax(1) == truth).mean()
    assert parse(result)["test_recall"] == [
        pytest.approx((pixels.argmax(1) == k)[truth == k].mean() if k else 0) for k in range(3)
    ]


def _read(path):
    from PIL import Image

    return np.asarray(Image.open(path))[None]


def test_classes_without_the_models_names_are_known_as_they_are_written_which_is_said(images):
    own = save(images, class_names=["cat", "dog", "bird"])
    result = funcnn("evaluate", own, "--data", images, "--json")
    assert result.stderr == (
        f"the classes of {images} have other names than the model's: 0 is cat, and so on\n"
    )
    nameless = save(images, file="nameless.npz", class_names=None)
    assert parse(funcnn("evaluate", nameless, "--data", images, "--json"))["class_names"] == [
        *"012"
    ]


def test_a_class_that_the_model_does_not_know_is_named(tmp_path, images):
    more = image_folder(tmp_path / "more", classes=4)
    line = one_error(funcnn("evaluate", save(images), "--data", more, code=1))
    assert line == (
        f"Error: {more} has classes that the model does not know, such as 3: it knows 0, 1, 2"
    )


# --- what a snapshot does not say -------------------------------------------------------------


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("model", "own.npz does not say which model it is of: save it with fn.save('own.npz', "),
        ("input_shape", "own.npz does not say which model it is of: save it with fn.save("),
        ("normalization", "own.npz does not say how its inputs were normalised: save it with "),
    ],
)
def test_what_a_snapshot_does_not_say_is_asked_for(images, left_out, said):
    own = save(images)
    known = fn.load(own)._asdict()
    fn.save(own, known.pop("params"), **known | {left_out: None})
    for command in (("evaluate",), ("predict", "--out", "it.csv")):
        line = one_error(funcnn(command[0], own, "--data", images, *command[1:], code=1))
        assert line.startswith(f"Error: {said}"), line


def test_a_model_that_gives_no_number_a_class_is_refused(images):
    own = save(images, fn.Conv(3, 3), class_names=None)
    line = one_error(funcnn("evaluate", own, "--data", images, code=1))
    assert line == "Error: own.npz: its model gives outputs of shape (3, 2, 2), no number a class"


def test_a_model_of_several_inputs_is_refused(images):
    own = save(
        images, fn.parallel(fn.Dense(3), fn.Dense(3)), fn.FanInSum(), input_shape=((2,), (2,))
    )
    line = one_error(funcnn("evaluate", own, "--data", images, code=1))
    assert line == "Error: own.npz: its model has several inputs, and data have one"
