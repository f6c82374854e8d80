"""A network of one's own, by `--model` and FILE.py:NAME, through every command."""

import csv
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import funcnn, one_error, parse, tree_digest
from helpers import run_all_here
from image_files import image_folder
from own_networks import BARE, OPERATOR, PARTS, RESIDUAL, SCALED, TWIN, settings
from training_runs import AfterTwo, without_seconds

import funcnn as fn
from funcnn.experiments.compare import comparison
from funcnn.experiments.sweep import sweep as sweeps
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.references import read_own
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder

TRAINING = {"data": "images", "val_size": 12, "epochs": 3, "batch_size": 8}
FILES = {
    "res.py": RESIDUAL,
    "scaled.py": SCALED + TWIN + OPERATOR,
    "alone.py": SCALED,
    "bare.py": BARE,
    "parts.py": PARTS,
}


def interrupted(model, out, **more):
    own = read_own(model)
    run = TrainingRun.start(RunConfig.resolve({"arch": model, **TRAINING, **more}, own), Path(out))
    with pytest.raises(KeyboardInterrupt):
        run.finish(AfterTwo())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the files, a finished run of each network, and one that was stopped."""
    folder = tmp_path_factory.mktemp("made")
    image_folder(folder / "images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, text in FILES.items():
            Path(name).write_text(text)
        funcnn("train", *settings("res.py:res", "--set", "width=3"), "--out", "res")
        interrupted("res.py:res", "half", width=3)
        for model in ("scaled.py:scaled", "alone.py:scaled", "bare.py:bare", "parts.py:net"):
            name = model.partition(".")[0]
            funcnn("train", *settings(model), "--out", name)
            interrupted(model, f"half-{name}")
    return folder


@pytest.fixture(autouse=True)
def elsewhere(made, tmp_path, monkeypatch):
    """A copy of that folder to work in."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "run_all", run_all_here)
    monkeypatch.setattr(sweeps, "run_all", run_all_here)


def outputs_of(run, x, model=None):
    """What the model of a run gives for prepared inputs."""
    layers = () if model is None else read_own(model).layers
    snapshot = fn.load(Path(run, "params.npz"), layers=layers)
    return fn.predict(snapshot.model.apply, snapshot.params, x)


X = np.random.default_rng(1).standard_normal((5, 1, 4, 4)).astype(np.float32)
SAME = {"params.npz", "config.json", "model.json", "model.py.txt"}


def expect_same_run(run, other):
    for name in SAME:
        assert Path(run, name).read_bytes() == Path(other, name).read_bytes(), name
    state, other_state = (np.load(Path(folder, "last.npz")) for folder in (run, other))
    assert state.files == other_state.files
    for name in set(state.files) - {"header.json"}:  # which has seconds
        np.testing.assert_array_equal(state[name], other_state[name])
    assert without_seconds(RunFolder(Path(run))) == without_seconds(RunFolder(Path(other)))


# --- of the library's layers -------------------------------------------------------------------


def test_a_run_keeps_what_its_network_is():
    config = json.loads(Path("res/config.json").read_text())
    assert config["arch"] == "res.py:res"
    assert config["own_settings"] == {"width": 3, "drop": 0.0}
    record = json.loads(Path("res/model.json").read_text())
    assert record["name"] == "res.py:res"
    assert record["parts"] == []
    assert record["spec"] == read_own("res.py:res").make((1, 4, 4), 3, width=3).spec
    assert Path("res/model.py.txt").read_text() == RESIDUAL


def gone():
    Path("res.py").unlink()


def changed():
    Path("res.py").write_text("raise RuntimeError('it was read')\n")


@pytest.mark.parametrize("happens", [lambda: None, gone, changed], ids=["nothing", "gone", "other"])
def test_a_stopped_run_goes_on_to_the_same_bits_without_its_file(happens):
    happens()
    funcnn("train", "--resume", "half", "--quiet")
    expect_same_run("half", "res")


def test_a_stopped_run_goes_on_with_its_file():
    funcnn("train", "--resume", "half", "--model", "res.py:res", "--quiet")
    expect_same_run("half", "res")


def test_its_later_commands_work_without_its_file():
    gone()
    scores = parse(funcnn("evaluate", "res", "--json"))
    summary = json.loads(Path("res/summary.json").read_text())
    assert scores["test_loss"] == pytest.approx(summary["test_loss"])
    funcnn("predict", "res", "--data", "images", "--out", "predicted.csv")
    with open("predicted.csv") as file:
        classes = [int(row["Category"]) for row in csv.DictReader(file)]
    confusion = np.array(summary["confusion_matrix"])
    assert np.bincount(classes, minlength=3).tolist() == confusion.sum(0).tolist()
    assert parse(funcnn("inspect", "res/params.npz", "--json"))["parameters"] == 246
    funcnn("figure", "curves", "res", "scaled", "--out", "curves.png")
    assert Path("curves.png").stat().st_size > 1000
    errors = parse(funcnn("check", "res", "--json"))
    assert errors["worst"]["error"] < 1e-6
    profile = parse(funcnn("bench", "--profile", "res", "--threads", "1", "--json"))
    assert profile["batch_size"] == 8
    assert [part["name"] for part in profile["parts"]][:3] == ["serial", "Relu", "residual"]


def expect_exports(run, model=None):
    """All three forms give what the run's model gives."""
    torch = pytest.importorskip("torch")
    runtime = pytest.importorskip("onnxruntime")
    safetensors = pytest.importorskip("safetensors.torch")
    from funcnn.experiments.pytorch.mirror import mirror

    again = () if model is None else ("--model", model)
    for form in ("pt", "safetensors", "onnx"):
        funcnn("export", run, "--to", form, *again)
    own = None if model is None else read_own(model)
    snapshot = fn.load(Path(run, "params.npz"), layers=own.layers if own else ())
    module = mirror(snapshot.model, (1, 4, 4), twins=own.torch_modules if own else {}).eval()
    wanted = outputs_of(run, X, model)
    state = torch.load(f"{run}/params.pt", weights_only=True)
    for tensors in (state, safetensors.load_file(f"{run}/params.safetensors")):
        module.load_state_dict(tensors)
        with torch.no_grad():
            np.testing.assert_allclose(module(torch.from_numpy(X)), wanted, atol=1e-5)
    session = runtime.InferenceSession(f"{run}/params.onnx")
    np.testing.assert_allclose(session.run(None, {"input": X})[0], wanted, atol=1e-5)


def test_its_exports_have_its_outputs_and_come_back():
    gone()
    expect_exports("res")
    Path("res.py").write_text(RESIDUAL)
    given = ["--set", "width=3", "--data", "images", "--val-size", "12"]
    for form in ("pt", "safetensors"):
        funcnn("import", f"res/params.{form}", "--model", "res.py:res", *given, "--out", form)
        assert Path(form, "params.npz").read_bytes() == Path("res/params.npz").read_bytes()
        assert Path(form, "model.json").read_bytes() == Path("res/model.json").read_bytes()
    result = funcnn("import", "res/params.pt", "--model", "res.py:res", *given[2:], code=1)
    assert "has shape" in one_error(result)


def expect_lockstep(printed):
    assert printed["lockstep"]["float64"]["params"]["worst"] < 1e-9


def test_it_is_compared_with_torch_also_from_its_run():
    pytest.importorskip("torch")
    given = settings("res.py:res", "--set", "width=2", "--seeds", "1", "--steps", "4", "--json")
    printed = parse(funcnn("compare", *given, "--out", "both"))
    assert printed["free"].keys() >= {"sides"}
    gone()
    again = parse(funcnn("compare", "res", "--mode", "lockstep", "--steps", "4", "--json"))
    for each in (printed, again):
        assert each["lockstep"]["float64"]["steps"] == 4


def test_a_sweep_has_a_grid_of_its_own_keywords():
    given = "--data images --val-size 12 --epochs 1 --batch-size 8 --out sweep --json".split()
    grid = ("--grid", "width=2,3", "--grid", "lr=0.01,0.02", "--set", "drop=0.5")
    printed = parse(funcnn("sweep", "res.py:res", *grid, *given))
    assert [point["width"] for point in printed["points"]].count("2") == 2
    made = {path.parent.name: path for path in Path("sweep/runs").glob("*/config.json")}
    assert len(made) == 4
    for path in made.values():
        own = json.loads(path.read_text())["own_settings"]
        assert own["drop"] == 0.5
        assert f"width={own['width']}" in path.parent.name
    command = printed["best"][0]["command"]
    assert command.startswith("funcnn train --model res.py:res ")
    assert "--set drop=0.5" in command
    # The command that it names has its bits.
    funcnn(*command.split()[1:], "--out", "again", "--quiet")
    best = next(p for p in made if f"width={printed['best'][0]['width']}" in p)
    folder = next(p.parent for n, p in made.items() if Path("again/config.json").read_text() == p.read_text())
    assert best
    assert (folder / "params.npz").read_bytes() == Path("again/params.npz").read_bytes()
    # Its file has changed: what is there is not of it.
    Path("res.py").write_text(RESIDUAL + "# another\n")
    result = funcnn("sweep", "res.py:res", *grid, *given, code=1)
    print(one_error(result))
