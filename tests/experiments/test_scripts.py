"""`experiments.train`, `resume` and `compare_with_torch`, as a script calls them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import funcnn
from helpers import run_all_here
from image_files import image_folder
from own_networks import PARTS, RESIDUAL, SCALED, TWIN, settings
from training_runs import without_seconds

import funcnn as fn
from funcnn import experiments
from funcnn.experiments.compare import comparison
from funcnn.experiments.errors import InputError
from funcnn.experiments.training.run_folder import EpochRow, RunFolder

TRAINING = {"data": "images", "val_size": 12, "epochs": 3, "batch_size": 8, "progress": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with data, files, and the runs of the command."""
    folder = tmp_path_factory.mktemp("made")
    image_folder(folder / "images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, text in {"res": RESIDUAL, "scaled": SCALED + TWIN, "parts": PARTS}.items():
            Path(f"{name}.py").write_text(text)
        for name, network in {"res": "res", "scaled": "scaled", "parts": "net"}.items():
            funcnn("train", *settings(f"{name}.py:{network}"), "--out", name, "--quiet")
    return folder


@pytest.fixture(autouse=True)
def elsewhere(made, tmp_path, monkeypatch, no_figures):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "run_all", run_all_here)


def names_in(file):
    namespace = {"__name__": "there"}
    exec(compile(Path(file).read_text(), file, "exec"), namespace)
    return namespace


def same_params(run, name):
    return (run.path / "params.npz").read_bytes() == Path(name, "params.npz").read_bytes()


PART_NAMES = ("loss", "optimizer", "metrics", "preprocess")


@pytest.mark.parametrize("name", ["res", "scaled"])
def test_a_function_trains_to_the_bits_of_the_command(name):
    network = names_in(f"{name}.py")[name]
    run = experiments.train(network, out="mine", **TRAINING)
    assert same_params(run, name)
    assert run.path == Path("mine")
    assert run.summary == json.loads(Path("mine/summary.json").read_text())
    assert [row.epoch for row in run.history] == [1, 2, 3]
    assert without_seconds(RunFolder(run.path)) == without_seconds(RunFolder(Path(name)))
    x = np.zeros((2, 1, 4, 4), np.float32)
    assert run.model.apply(run.params, x)[0].shape == (2, 3)
    # As it is named, it does as well.
    again = experiments.train(f"{name}.py:{name}", out="again", **TRAINING)
    assert same_params(again, name)


def test_a_layer_and_an_architecture_train():
    layer = names_in("res.py")["res"]((1, 4, 4), 3)
    assert same_params(experiments.train(layer, **TRAINING), "res")
    funcnn("train", *settings("")[2:], "--arch", "mlp2", "--hidden", "5", "--out", "command")
    run = experiments.train("mlp2", hidden=(5,), **TRAINING)
    assert same_params(run, "command")
    assert run.path == Path("runs/mlp2-images-001")


def test_the_keywords_of_a_function_are_settings():
    run = experiments.train("res.py:res", width=2, drop=0.25, **TRAINING)
    assert json.loads((run.path / "config.json").read_text())["own_settings"] == {
        "width": 2,
        "drop": 0.25,
    }
    with pytest.raises(InputError, match="'wdith'"):
        experiments.train("res.py:res", wdith=2, **TRAINING)


def test_parts_are_functions_of_the_script():
    there = names_in("parts.py")
    parts = {name: there[name] for name in PART_NAMES}
    run = experiments.train(there["net"], **parts, **TRAINING)
    assert same_params(run, "parts")
    assert run.history[0].own.keys() == {"share_of_0"}
    with pytest.raises(InputError, match="give --model"):
        experiments.resume(run.path, epochs=4, progress=False)
    on = experiments.resume(run.path, there["net"], epochs=4, progress=False, **parts)
    assert [row.epoch for row in on.history] == [1, 2, 3, 4]
    with pytest.raises(InputError, match="loss: give the network, too"):
        experiments.resume(run.path, epochs=5, loss=there["loss"])
    with pytest.raises(InputError, match=r"metrics: put it into the file of res\.py:res"):
        experiments.train("res.py:res", metrics=there["metrics"], **TRAINING)
    with pytest.raises(InputError, match="metrics: it is for a network of your own, not mlp2"):
        experiments.train("mlp2", metrics=there["metrics"], **TRAINING)
    with pytest.raises(InputError, match="loss is an int: give a function"):
        experiments.train(there["net"], loss=3, **TRAINING)


def test_on_epoch_sees_every_epoch_and_ends_the_training():
    seen = []

    def stop(row):
        seen.append(row)
        return row.epoch == 2

    run = experiments.train("res.py:res", on_epoch=stop, **TRAINING)
    assert [row.epoch for row in seen] == [1, 2]
    assert all(isinstance(row, EpochRow) for row in seen)
    assert run.summary["epochs"] == 2
    assert run.history == seen
    assert run.summary["test_accuracy"] is not None


def test_an_interrupted_run_goes_on_to_the_same_bits():
    def interrupt(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        experiments.train("scaled.py:scaled", out="half", on_epoch=interrupt, **TRAINING)
    network = names_in("scaled.py")["scaled"]
    assert same_params(experiments.resume("half", network, progress=False), "scaled")


def test_nothing_is_printed_without_progress(capfd):
    experiments.train("res.py:res", **TRAINING)
    assert capfd.readouterr() == ("", "")
    experiments.train("res.py:res", **(TRAINING | {"progress": True}))
    printed = capfd.readouterr().out.splitlines()
    assert [line[:9] for line in printed] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_a_network_of_a_script_is_compared():
    pytest.importorskip("torch")
    network = names_in("res.py")["res"]
    given = {"seeds": 1, "steps": 3} | TRAINING
    result = experiments.compare_with_torch(network, **given)
    folder = Path(result["run"])
    assert same_params(experiments.Run(folder / "numpy-seed-0", {}, [], None, None), "res")
    assert max(result["lockstep"]["float64"]["largest"].values()) < 1e-9
    again = experiments.compare_with_torch(Path("res"), modes=["lockstep"], steps=3, progress=False)
    assert again["lockstep"]["float64"] == result["lockstep"]["float64"]
    with pytest.raises(InputError, match="leave out epochs"):
        experiments.compare_with_torch(Path("res"), epochs=3)


def test_layers_of_a_script_are_compared_in_lockstep_alone():
    """The processes of the free runs do not have them."""
    pytest.importorskip("torch")
    there = names_in("scaled.py")
    given = {"torch_modules": there["torch_modules"], "steps": 3, **TRAINING}
    result = experiments.compare_with_torch(there["scaled"], modes=["lockstep"], **given)
    assert max(result["lockstep"]["float64"]["largest"].values()) < 1e-9
    before = sorted(Path("runs").iterdir())
    with pytest.raises(InputError, match=r"is of a script, .*: put it into a file, and give FILE"):
        experiments.compare_with_torch(there["scaled"], seeds=1, **given)
    assert sorted(Path("runs").iterdir()) == before


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("mlp9", "'mlp9' is no network: give softmax, "),
        (3, "is an int, not a network"),
        (fn.Dense, "makes layers, and is none: call it"),
        (lambda input_shape: None, "takes (input_shape, classes), and then settings"),
        (lambda input_shape, classes: None, "returns a NoneType, not a layer"),
        ("nowhere.py:net", "nowhere.py: it cannot be read"),
    ],
)
def test_what_is_no_network_is_one_line_and_leaves_nothing(network, said):
    with pytest.raises(InputError) as error:
        experiments.train(network, **TRAINING)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not Path("runs").exists()


def test_a_lambda_is_a_network():
    run = experiments.train(
        lambda input_shape, classes: fn.serial(fn.Flatten(), fn.Dense(classes)), **TRAINING
    )
    assert run.path == Path("runs/model-images-001")


SCRIPT = """
import funcnn as fn
from funcnn import experiments


def net(input_shape, classes, *, width=3):
    return fn.serial(fn.Flatten(), fn.Dense(width), fn.Relu(), fn.Dense(classes))


if __name__ == "__main__":
    given = dict(data="images", val_size=12, epochs=2, batch_size=8, progress=False)
    run = experiments.train(net, width=5, **given)
    print(run.path, run.summary["test_accuracy"])
"""


def test_a_script_keeps_its_text_and_is_a_model_file():
    Path("script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True)
    assert done.stderr == ""
    path = Path("runs/net-images-001")
    assert done.stdout.startswith(f"{path} 0.")
    assert (path / "model.py.txt").read_text() == SCRIPT
    assert json.loads((path / "config.json").read_text())["arch"] == "script.py:net"
    funcnn("evaluate", path)
    funcnn("evaluate", path, "--model", "script.py:net")
    given = ["--set", "width=5", *settings("")[2:], "--epochs", "2"]
    funcnn("train", "--model", "script.py:net", *given, "--out", "command")
    assert Path("command/params.npz").read_bytes() == (path / "params.npz").read_bytes()


def test_only_true_ends_a_run_and_it_is_said(capsys):
    def talks(row):
        return "epoch done"

    given = TRAINING | {"progress": True}
    assert experiments.train("res.py:res", on_epoch=talks, **given).summary["epochs"] == 3
    capsys.readouterr()
    run = experiments.train("res.py:res", on_epoch=lambda row: np.bool_(row.epoch == 2), **given)
    assert run.summary["epochs"] == 2
    assert run.summary["stopped_early"]
    assert capsys.readouterr().out.splitlines()[-1] == "on_epoch ends it after epoch 2 of 3"


def test_a_run_is_the_path_of_its_folder_and_is_shown_in_a_line():
    run = experiments.train("res.py:res", **TRAINING)
    assert Path(run) == run.path
    assert repr(run).startswith(f"<run in {run.path}: test accuracy ")
    assert len(repr(run)) < 100
    assert len(experiments.resume(run, epochs=4, progress=False).history) == 4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: experiments.train("mlp2", learning_rate=0.1), "did you mean 'lr'"),
        (lambda: experiments.train("mlp2", epoch=1), "did you mean 'epochs'"),
        (lambda: experiments.train("mlp2", lr="0.1"), "--lr '0.1': must be a finite number"),
        (lambda: experiments.train("mlp2", data=np.zeros((99, 9))), "--data a ndarray: must be"),
        (lambda: experiments.train(fn.Dense(3).apply), "is a function of funcnn"),
        (lambda: experiments.compare_with_torch("mlp2", modes="lockstep"), "modes 'lockstep'"),
        (lambda: experiments.compare_with_torch("mlp2", modes=("lock",)), "give some of"),
        (lambda: experiments.compare_with_torch("mlp2", seeds=[0, 1]), "seeds [0, 1]: give a num"),
    ],
)
def test_what_is_typed_from_habit_is_answered_in_a_line(call, said):
    with pytest.raises(InputError) as caught:
        call()
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
