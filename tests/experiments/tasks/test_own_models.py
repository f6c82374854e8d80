"""A network of one's own, with its settings and all else that its file brings: values and words."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from commands import funcnn
from image_files import image_folder
from own_networks import PARTS, SCALED, settings

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.changes import read_settings
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.model_records import as_recorded, read_own_model, write_own_model
from funcnn.experiments.tasks.references import own_as_told, read_own
from funcnn.experiments.tasks.rehearsal import rehearsed
from funcnn.experiments.tasks.task import Task

MANY = """
import funcnn as fn


def net(
    input_shape, classes, *,
    count=2, rate=0.5, deep=True, name="x", sizes=(3, 4), none=(), nothing=None, pair=(0.5, "a"),
):
    assert isinstance(sizes, tuple)
    return fn.serial(fn.Flatten(), fn.Dense(classes))


def wanting(input_shape, classes, *, width, depth=1):
    return fn.serial(fn.Flatten(), fn.Dense(width), fn.Dense(classes))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with data and files, and a run with a loss, an optimizer, ... of its own."""
    folder = tmp_path_factory.mktemp("made")
    image_folder(folder / "images")
    for name, text in {"many": MANY, "parts": PARTS, "scaled": SCALED}.items():
        (folder / f"{name}.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        funcnn("train", *settings("parts.py:net"), "--out", "run", "--quiet")
    return folder


@pytest.fixture(autouse=True)
def there(made, monkeypatch):
    monkeypatch.chdir(made)


# --- settings ----------------------------------------------------------------------------------

PARSED = {
    ("count", "7"): 7,
    ("count", "-7"): -7,
    ("rate", "1e-3"): 0.001,
    ("rate", "2"): 2.0,
    ("deep", "false"): False,
    ("deep", "TRUE"): True,
    ("name", "7"): "7",
    ("name", ""): "",
    ("name", "a=b"): "a=b",
    ("sizes", "8"): (8,),
    ("sizes", "8x16x32"): (8, 16, 32),
    ("sizes", "0"): (),
    ("none", "5x5"): (5, 5),
    ("nothing", "none"): None,
    ("nothing", "true"): True,
    ("nothing", "3"): 3,
    ("nothing", "0.5"): 0.5,
    ("nothing", "3x4"): (3, 4),
    ("nothing", "relu"): "relu",
}


@pytest.mark.parametrize(("keyword", "text"), PARSED)
def test_a_setting_is_of_the_kind_of_its_default(keyword, text):
    value = read_own("many.py:net").parse(keyword, text)
    assert (value, type(value)) == (PARSED[keyword, text], type(PARSED[keyword, text]))


@pytest.mark.parametrize(
    ("keyword", "text", "said"),
    [
        ("count", "2.5", "--set count=2.5: give a whole number, as 2"),
        ("count", "true", "--set count=true: give a whole number, as 2"),
        ("rate", "much", "--set rate=much: give a number, as 0.5"),
        ("deep", "1", "--set deep=1: give true or false"),
        ("sizes", "8,16", "--set sizes=8,16: '8,16': give sizes as 256x128, or 0 for none"),
        ("width", "3", "many.py:net has no setting 'width' (known: count=2, rate=0.5, deep=True,"),
    ],
)
def test_what_a_setting_cannot_be(keyword, text, said):
    with pytest.raises(InputError) as error:
        read_own("many.py:net").parse(keyword, text)
    assert str(error.value).startswith(said)


def test_a_setting_without_a_default_is_asked_for():
    own = read_own("many.py:wanting")
    with pytest.raises(InputError, match=r"^many\.py:wanting needs --set width=VALUE: it has no d"):
        own.resolved({})
    assert own.resolved({"width": own.parse("width", "5")}) == {"width": 5, "depth": 1}


UNFIT = [float("nan"), math.inf, {"a": 1}, {1}, fn.initializers.normal, np.ones(2), np.float32(1)]


@pytest.mark.parametrize("value", [*UNFIT, (1, np.ones(2))], ids=lambda value: type(value).__name__)
def test_a_setting_is_what_a_config_can_keep(value):
    with pytest.raises(InputError, match=r"^many\.py:5: the setting count is .*: give a finite n"):
        read_own("many.py:net").resolved({"count": value})


def test_a_config_of_ones_own_is_read_as_it_was_written(tmp_path):
    own = read_own("many.py:net")
    given = {"arch": own.name, "sizes": [5, 6], "nothing": (1, ("a", None)), "lr": 0.5}
    config = RunConfig.resolve(given, own)
    assert config.own_settings["sizes"] == (5, 6)
    (tmp_path / "config.json").write_text(config.to_json())
    again = RunConfig.resolve(read_settings(tmp_path / "config.json", own), own)
    assert again == config
    assert again.as_data() == config.as_data()
    with pytest.raises(InputError, match="is a network of a user's own: give --model"):
        read_settings(tmp_path / "config.json")
    values = config.as_data() | {"own_settings": 3}
    with pytest.raises(InputError, match="own_settings 3: must be an object"):
        RunConfig.resolve(values, own)
    with pytest.raises(InputError, match="unknown setting 'widht'"):
        RunConfig.resolve({"arch": own.name, "widht": 3}, own)


def test_settings_of_the_architectures_are_not_its_own():
    own = read_own("many.py:net")
    for name, value in (("hidden", (3,)), ("channels", (3,)), ("dropout", 0.5)):
        with pytest.raises(InputError, match=rf"^--{name} .*left out for your own network"):
            RunConfig.resolve({"arch": own.name, name: value}, own)


# --- what else a file brings -------------------------------------------------------------------


def test_every_value_of_a_run_is_that_of_its_file():
    """Recomputed from the definitions: one hot, plain gradient steps, shares, every other row."""
    config = RunConfig.resolve(
        {"arch": "parts.py:net", "data": "images", "val_size": 12, "epochs": 3, "batch_size": 8},
        read_own("parts.py:net"),
    )
    assert (config.loss, config.optimizer) == ("own", "own")
    assert (config.momentum, config.weight_decay, config.label_smoothing) == (0, 0, 0)
    task = Task.build(config)
    assert task.input_shape == (1, 2, 4)
    params = [{}, {name: leaf.astype(float) for name, leaf in task.first_params()[1].items()}]
    weight, bias = params[1]["weight"], params[1]["bias"]
    data = load_dataset("images", val_size=12, seed=0)

    def prepared(x):
        return (x[:, :, ::2] / 510).reshape(len(x), -1)

    def score(x, y):
        outputs = prepared(x) @ weight + bias
        return ((outputs - np.eye(3)[y]) ** 2).mean(), (outputs.argmax(1) == 0).mean()

    rows, step = [], 0
    for epoch in (1, 2, 3):
        for x, y in task.batches(epoch):
            inputs = x.reshape(len(x), -1).astype(float)  # (8, 8)
            error = inputs @ weight + bias - np.eye(3)[y]  # (8, 3)
            rate = config.lr * 0.5 * (1 + math.cos(math.pi * step / 18))
            weight = weight - rate * inputs.T @ error * 2 / error.size
            bias = bias - rate * error.sum(0) * 2 / error.size
            step += 1
        rows.append(score(*data.validation))
    with open("run/metrics.csv") as file:
        table = list(csv.DictReader(file))
    assert list(table[0])[-1] == "val_share_of_0"
    for row, (loss, share) in zip(table, rows, strict=True):
        assert float(row["val_loss"]) == pytest.approx(loss, rel=1e-5)
        assert float(row["val_share_of_0"]) == share
    kept = fn.load("run/params.npz")
    summary = json.loads(Path("run/summary.json").read_text())
    weight, bias = kept.params[1]["weight"], kept.params[1]["bias"]
    loss, share = score(*data.test)
    evaluated = json.loads(funcnn("evaluate", "run", "--model", "parts.py:net", "--json").stdout)
    for scores in (summary, evaluated):
        assert scores["test_loss"] == pytest.approx(loss, rel=1e-5)
        assert scores["test_share_of_0"] == share
        assert scores["val_share_of_0"] == float(
            table[summary["snapshot_epoch"] - 1][list(row)[-1]]
        )
    printed = funcnn("evaluate", "run", "--model", "parts.py:net").stdout
    assert f"share_of_0 {share:.4f}" in printed
    assert kept.normalization is None
    assert kept.input_shape == (1, 2, 4)


def test_preprocess_gives_floats_of_as_many_rows():
    own = read_own("parts.py:net")
    x = np.full((3, 1, 4, 4), 255, np.uint8)
    prepared = own.prepared(x)
    assert (prepared.dtype, prepared.shape) == (np.float32, (3, 1, 2, 4))
    assert (prepared == 0.5).all()
    assert x.flags.writeable


def test_a_metric_may_be_any_number_and_is_kept_as_one():
    Path("numbers.py").write_text(
        PARTS.partition("metrics")[0]
        + "metrics = {'a': lambda o, y: np.float32(0.5), 'b': lambda o, y: 3, 'c': lambda o, y: "
        "np.array(True), 'd': lambda o, y: float('nan')}\n"
    )
    own = read_own("numbers.py:net")
    measured = own.measured(np.zeros((2, 3)), np.zeros(2, int))
    assert {name: type(value) for name, value in measured.items()} == dict.fromkeys("abcd", float)
    assert [measured[name] for name in "abc"] == [0.5, 3, 1]
    funcnn("train", *settings("numbers.py:net"), "--out", "numbers", "--quiet", "--epochs", "2")
    with open("numbers/metrics.csv") as file:
        assert [row["val_d"] for row in csv.DictReader(file)] == ["", ""]
    evaluated = json.loads(
        funcnn("evaluate", "numbers", "--model", "numbers.py:net", "--json").stdout
    )
    assert (evaluated["test_a"], evaluated["test_d"]) == (0.5, None)
    Path("numbers.py").unlink()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"label_smoothing": 0.1}, "--label-smoothing 0.1: must be 0 for --loss own"),
        ({"momentum": 0.5}, "--momentum 0.5: must be 0 for --optimizer own"),
        ({"weight_decay": 0.5}, "--weight-decay 0.5: must be 0 for --optimizer own"),
        ({"backend": "torch"}, "PyTorch does not have your loss"),
        (
            {"backend": "torch", "loss": "cross-entropy"},
            "PyTorch does not have your optimizer: give --optimizer adam",
        ),
        ({"class_weights": "balanced"}, "--class-weights balanced: must be none: the own loss"),
    ],
)
def test_settings_that_do_not_go_with_what_a_file_brings(settings, said):
    own = read_own("parts.py:net")
    with pytest.raises(InputError) as error:
        RunConfig.resolve({"arch": own.name, "data": "images", **settings}, own)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("name", ["loss", "optimizer"])
def test_what_is_called_own_is_of_a_file_that_has_it(name):
    for given, own in (("mlp3", None), ("many.py:net", read_own("many.py:net"))):
        with pytest.raises(
            InputError, match=f"--{name} own: give --model .*, of a file with {name}"
        ):
            RunConfig.resolve({"arch": given, name: "own"}, own)


def test_others_may_be_given_in_their_place():
    own = read_own("parts.py:net")
    given = {"loss": "cross-entropy", "optimizer": "adam", "data": "images"}
    config = RunConfig.resolve({"arch": own.name, **given}, own)
    assert (config.loss, config.optimizer, config.momentum) == ("cross-entropy", "adam", 0.9)


def test_a_loss_that_takes_weights_has_the_classes_weighed():
    Path("weighing.py").write_text(
        PARTS.replace("def loss(outputs, targets):", "def loss(outputs, targets, *, weights=1.0):")
    )
    own = read_own("weighing.py:net")
    given = {"arch": own.name, "data": "images", "val_size": 12, "batch_size": 8}
    rehearsed(Task.build(RunConfig.resolve({**given, "class_weights": "balanced"}, own)))
    Path("weighing.py").unlink()


# --- what a run keeps --------------------------------------------------------------------------


def test_a_record_gives_the_network_again(tmp_path):
    own = read_own("many.py:net")
    model = own.build((1, 4, 4), 3, own.resolved({}))
    write_own_model(tmp_path, own, model)
    assert (tmp_path / "model.py.txt").read_text() == MANY
    kept = read_own_model(tmp_path, own.name, None)
    assert kept.build((1, 4, 4), 3, {"anything": 1}).spec == model.spec
    told = json.loads(json.dumps(kept.told))
    assert own_as_told(told).build((1, 4, 4), 3, {}).spec == model.spec
    assert own_as_told(None) is None
    assert as_recorded(own, model).recorded is not None
    with pytest.raises(InputError, match="does not fit the data: its outputs have the shape"):
        kept.build((1, 4, 4), 4, {})


def test_a_record_of_layers_of_ones_own_asks_for_the_file(tmp_path):
    own = read_own("scaled.py:scaled")
    model = own.build((1, 4, 4), 3, own.resolved({}))
    write_own_model(tmp_path, own, model)
    kept = read_own_model(tmp_path, own.name, None)
    with pytest.raises(InputError, match=r"layers of its own: give --model scaled\.py:scaled"):
        kept.build((1, 4, 4), 3, {})
    assert read_own_model(tmp_path, own.name, own) is own
    assert as_recorded(own, model) is own  # another process reads the file


HIDDEN = """
import funcnn as fn


def net(input_shape, classes):
    @fn.constructor()
    def Hidden():
        dense = fn.Dense(classes)
        return fn.Layer(dense.init, dense.apply)

    return fn.serial(fn.Flatten(), Hidden())
"""


def test_a_constructor_that_cannot_be_found_again_is_refused():
    Path("hidden.py").write_text(HIDDEN)
    own = read_own("hidden.py:net")
    given = {"arch": own.name, "data": "images", "val_size": 12, "batch_size": 8}
    with pytest.raises(InputError, match=r"^hidden\.py: the constructor Hidden is not at its top"):
        rehearsed(Task.build(RunConfig.resolve(given, own)))
    Path("hidden.py").unlink()


def test_constructors_of_modules_that_it_imports_are_found():
    Path("scales.py").write_text(SCALED)
    Path("user.py").write_text(
        "import scales\n\n\ndef net(input_shape, classes):\n"
        "    return scales.scaled(input_shape, classes)\n"
    )
    own = read_own("user.py:net")
    given = {"arch": own.name, "data": "images", "val_size": 12, "batch_size": 8}
    rehearsed(task := Task.build(RunConfig.resolve(given, own)))
    assert fn.from_spec(task.model.spec, own.layers).spec == task.model.spec
    for name in ("scales", "user"):
        Path(f"{name}.py").unlink()
