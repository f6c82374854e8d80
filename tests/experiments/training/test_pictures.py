"""Pictures of one's own, as a model takes them: classes, where they come from, and the figure."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import funcnn, one_error, parse
from image_files import image_folder, write_png
from PIL import Image, ImageDraw

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.figures import seen
from funcnn.experiments.training.model import TrainedModel, read_model
from funcnn.experiments.training.pictures import evidence, predict_pictures

NORMALIZATION = {"scale": 255.0, "mean": 0.13, "std": 0.31}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def panels(monkeypatch):
    """What was drawn, instead of a file."""
    kept = []
    monkeypatch.setattr(seen, "seen", lambda path, panels, unit: kept.extend(panels))
    return kept


def save(*layers, input_shape=(1, 28, 28), classes=10, file="own.npz", **about):
    layers = layers or (fn.Flatten(), fn.Dense(classes))
    model = fn.serial(*layers)
    _, params = model.init(fn.random.key(1), input_shape)
    told = {"normalization": NORMALIZATION, "class_names": list(range(classes))} | about
    fn.save(file, params, model=model, input_shape=input_shape, **told)
    return file


def draw(path="seven.png", mode="RGB", size=(200, 150), paper="#e8e4d8"):
    """A seven in blue on paper."""
    image = Image.new(mode, size, paper)
    line = ((60, 30), (120, 30), (80, 120))
    ImageDraw.Draw(image).line(line, fill="#203080", width=10, joint="curve")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


# --- what is said -----------------------------------------------------------------------------


def test_a_picture_is_predicted_and_drawn_without_more_than_its_name():
    result = funcnn("predict", save(), "--data", draw())
    line, last = result.stdout.splitlines()
    assert last == "figure: runs/predicted-001.png"
    with Image.open("runs/predicted-001.png") as figure:
        assert figure.width == 1200
    printed = parse(funcnn("predict", "own.npz", "--data", "seven.png", "--json"))
    assert printed["out"] == "runs/predicted-002.png", "nothing is overwritten"
    (picture,) = printed["pictures"]
    values = list(picture["probabilities"].values())
    assert values == sorted(values, reverse=True)
    assert len(values) == 5
    assert next(iter(picture["probabilities"])) == picture["class"]
    assert line.split()[:3] == ["seven.png", picture["class"], f"{round(100 * values[0], 1):g}%"]


def test_the_probabilities_are_those_of_what_the_figure_shows(panels):
    result = predict_pictures(Path(save()), [draw()], None)
    (panel,) = panels
    shares = fn.load("own.npz").predict(panel.prepared[None])[0]
    assert result["pictures"][0]["class"] == str(shares.argmax())
    np.testing.assert_allclose(panel.values, np.sort(shares)[:4:-1], rtol=1e-6)
    assert (panel.given.shape, panel.prepared.shape) == ((150, 200, 3), (1, 28, 28))
    assert panel.evidence.shape == (28, 28)


def test_several_pictures_and_a_folder_are_one_list(panels):
    for name in ("10", "9"):
        draw(f"them/{name}.png")
    (Path("them") / "notes.txt").write_text("not a picture")
    result = predict_pictures(Path(save()), [draw("a.png"), "them"], Path("it.png"))
    files = [picture["file"] for picture in result["pictures"]]
    assert files == ["a.png", "them/9.png", "them/10.png"]
    assert [panel.name for panel in panels] == files


def test_the_figure_shows_the_first_ones_and_says_so(panels):
    for index in range(seen.MOST + 1):
        draw(f"them/{index}.png")
    result = funcnn("predict", save(), "--data", "them", "--out", "it.png")
    assert result.stderr == "the figure shows the first 12 of 13 pictures\n"
    assert len(result.stdout.splitlines()) == 14
    assert len(panels) == 12


def test_pictures_of_any_size_become_a_table_too():
    draw("them/a.png")
    draw("them/b.png", size=(400, 300), paper="white")
    result = funcnn("predict", save(), "--data", "them", "--out", "them.csv")
    assert result.stdout == "2 predictions in them.csv\n"
    printed = parse(funcnn("predict", "own.npz", "--data", "them", "--out", "it.png", "--json"))
    rows = [row.split(",")[1] for row in Path("them.csv").read_text().splitlines()[1:]]
    assert rows == [picture["class"] for picture in printed["pictures"]]


def test_pictures_of_the_models_own_size_are_the_data_set_that_they_were(panels):
    images, _ = load_dataset("mnist", val_size=0, seed=0).test
    for index in range(3):
        write_png(Path("them", f"{index}.png"), images[index, 0])
    predict_pictures(Path(save()), ["them"], None)
    for panel, image in zip(panels, images, strict=False):
        np.testing.assert_array_equal(panel.prepared, image)


def test_a_run_knows_its_pictures_in_a_bad_light(no_figures):
    images, labels = load_dataset("mnist", val_size=0, seed=0).train
    np.savez(
        "few.npz",
        x_train=images[:2000, 0],
        y_train=labels[:2000],
        x_test=images[2000:2100, 0],
        y_test=labels[2000:2100],
    )
    options = ["--val-size", 0, "--epochs", 5, "--hidden", 64, "--quiet"]
    funcnn("train", "--arch", "mlp2", "--data", "few.npz", *options, "--out", "run")
    tests, truth = load_dataset("mnist", val_size=0, seed=0).test
    y, x = np.mgrid[0:150, 0:200]
    light = 0.4 + 0.6 * np.exp(-(((x / 200 - 0.8) ** 2) + (y / 150 - 0.2) ** 2) / 0.7)
    for index in range(50):
        sheet = np.full((150, 200), 230.0)
        large = Image.fromarray(tests[index, 0]).resize((98, 98), Image.Resampling.BICUBIC)
        sheet[20:118, 70:168] -= 0.8 * np.asarray(large)
        write_png(Path("them", f"{index}.png"), (sheet * light).astype("u1"))
    funcnn("predict", "run", "--data", "them", "--out", "it.csv")
    found = np.loadtxt("it.csv", delimiter=",", skiprows=1)[:, 1]
    as_stored = read_model(Path("run/params.npz"))
    usual = (as_stored.predict(tests[:50]).argmax(1) == truth[:50]).mean()
    assert usual > 0.8
    assert (found == truth[:50]).mean() > usual - 0.1


# --- models of other kinds --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "about"),
    [
        ((fn.Flatten(), fn.Dense(2)), {"classes": 2}),
        ((fn.Flatten(), fn.Dense(1)), {"classes": 2, "outputs": "logits"}),
        ((fn.Flatten(), fn.Dense(1), fn.Sigmoid()), {"classes": 2}),
        ((fn.Dense(10),), {"input_shape": (784,)}),
        ((fn.Flatten(), fn.Dense(10)), {"input_shape": (20, 30)}),
        ((fn.Conv(4, 3), fn.Relu(), fn.Flatten(), fn.Dense(47)), {"classes": 47}),
        ((fn.Conv(4, 3), fn.Flatten(), fn.Dense(3)), {"classes": 3, "input_shape": (3, 16, 16)}),
        ((fn.Flatten(), fn.Dense(10), fn.Softmax()), {}),
        ((fn.Flatten(), fn.Dense(10), fn.BinaryStep()), {"outputs": "scores"}),
    ],
    ids=["2", "logit", "sigmoid", "rows", "no channel", "47", "colours", "softmax", "scores"],
)
def test_any_model_that_takes_pictures_takes_them(layers, about):
    own = save(*layers, **about)
    result = funcnn("predict", own, "--data", draw(), "--out", "it.png", "--json")
    (picture,) = parse(result)["pictures"]
    kind = "scores" if about.get("outputs") == "scores" else "probabilities"
    values = picture[kind]
    assert len(values) == min(5, about.get("classes", 10))
    assert picture["class"] == max(values, key=values.get)
    if len(values) == 2:
        assert sum(values.values()) == pytest.approx(1)
    assert Path("it.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(2,), (5, 28, 28)])
def test_a_model_that_takes_no_pictures_says_what_it_takes(shape):
    own = save(fn.Flatten(), fn.Dense(10), input_shape=shape)
    line = one_error(funcnn("predict", own, "--data", draw(), code=1))
    assert line.startswith(f"Error: the model takes inputs of shape {shape}, and pictures are ")


@pytest.mark.parametrize("outputs", [None, "scores"])
def test_one_output_that_is_no_probability_is_of_no_class(outputs):
    own = save(fn.Flatten(), fn.Dense(1), classes=2, outputs=outputs)
    line = one_error(funcnn("predict", own, "--data", draw(), code=1))
    assert "probabilities" in line
    assert not Path("runs").exists()


# --- where the class comes from ---------------------------------------------------------------


def trained(*layers, input_shape=(1, 6, 6), classes=4):
    model = fn.serial(*layers)
    _, params = model.init(fn.random.key(3), input_shape, dtype=np.float64)
    own = save(*layers, input_shape=input_shape, classes=classes, outputs="logits")
    return read_model(Path(own))._replace(params=params)


@pytest.mark.parametrize("one", [False, True], ids=["two outputs", "one output"])
def test_what_the_pixels_add_is_the_lead_that_the_class_has(one):
    outputs = 1 if one else 4
    layers = (fn.Conv(3, 3), fn.Tanh(), fn.Flatten(), fn.Dense(outputs))
    model: TrainedModel = trained(*layers, classes=max(2, outputs))
    x = np.random.default_rng(0).integers(0, 256, (1, 1, 6, 6), np.uint8)

    def lead(x):
        y = model.predict(x)[0]
        return -y[0] if one else y[2] - y[0]

    added = evidence(model, x, 0 if one else 2, 1 if one else 0)
    assert added.shape == x.shape
    assert added.sum() == pytest.approx(lead(x) - lead(np.zeros_like(x)), rel=2e-3)
    assert abs(added.sum()) > 0.01


def test_of_a_linear_model_they_are_the_weights_times_what_differs_from_black():
    model = trained(fn.Flatten(), fn.Dense(4))
    x = np.random.default_rng(0).integers(0, 256, (1, 1, 6, 6), np.uint8)
    weight = model.params[1]["weight"]  # (36, 4)
    expected = x.ravel() / (255 * 0.31) * (weight[:, 1] - weight[:, 3])
    np.testing.assert_allclose(evidence(model, x, 1, 3).ravel(), expected, rtol=1e-6, atol=1e-7)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--data", "mnist"], 1, "--data mnist is no picture: give --out predicted.csv for the"),
        (["--data", "mnist", "--out", "it.png"], 1, "--data mnist is no picture: give --out "),
        (
            ["--data", "seven.png", "--data", "mnist"],
            1,
            "--data mnist is no picture: a data set is given alone",
        ),
        (["--data", "eight.png"], 1, "--data eight.png: neither a data set"),
        (["--data", "seven.png", "--out", "own.npz"], 1, "--out own.npz exists already"),
        (["--data", "seven.png", "--out", "seven.png"], 1, "--out seven.png exists already"),
        (
            ["--data", "seven.png", "own.npz", "bad.jpg"],
            2,
            "Got unexpected extra arguments (own.npz bad.jpg): did you mean the folder that they "
            "are in? Or give --data before each",
        ),
        (["--data", "seven.png", "--header", "a,b"], 2, "--header is for a CSV: give --out "),
        (["--data", "seven.png", "--first-id", "0"], 2, "--first-id is for a CSV: give --out "),
        (["--data", "seven.png", "--probabilities"], 2, "--probabilities is for a CSV: give --out"),
        (["--data", "blank.png"], 1, "blank.png shows nothing that stands out from its border"),
        (["--data", "bad.jpg"], 1, "bad.jpg cannot be read as a picture"),
        (["--data", "blank.png", "--data", "bad.jpg"], 1, "bad.jpg cannot be read as a picture"),
        (["--data", "empty"], 1, "--data empty is no picture: give --out predicted.csv"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(arguments, code, said):
    save()
    draw()
    Image.new("L", (50, 50), 200).save("blank.png")
    Path("bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    Path("empty").mkdir()
    before = sorted(Path().rglob("*"))
    line = one_error(funcnn("predict", "own.npz", *arguments, code=code))
    assert line.startswith(f"Error: {said}"), line
    assert sorted(Path().rglob("*")) == before


def test_what_shows_nothing_among_others_is_left_out_and_said():
    draw()
    Image.new("L", (50, 50), 200).save("blank.png")
    Path("bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    given = [word for name in ("blank.png", "seven.png", "bad.jpg") for word in ("--data", name)]
    result = funcnn("predict", save(), *given, "--out", "it.png", "--json")
    assert [each["file"] for each in json.loads(result.stdout)["pictures"]] == ["seven.png"]
    first, second = result.stderr.splitlines()
    assert first.startswith("left out: blank.png shows nothing")
    assert second.startswith("left out: bad.jpg cannot be read as a picture")


def test_a_folder_by_class_is_a_data_set(no_figures):
    folder = image_folder(Path("images"), side=28)
    for name in ("a", "b"):
        draw(f"them/{name}/1.png")
    for data in (folder, "them"):
        line = one_error(funcnn("predict", save(), "--data", data, code=1))
        assert line.startswith(f"Error: --data {data} is no picture")


def test_names_of_pictures_are_printed_on_one_line():
    result = funcnn("predict", save(), "--data", draw("a\x1b[31mb.png"), "--out", "it.png")
    assert "\x1b" not in result.stdout
    assert json.loads(json.dumps(result.stdout)).count("\n") == 2
