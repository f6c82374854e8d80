"""A network of one's own, by `--model` and FILE.py:NAME, through every command."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import funcnn, one_error, parse
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
    given = [*settings("")[2:], "--epochs", "1", "--out", "sweep", "--json"]
    grid = ("--grid", "width=2,3", "--grid", "lr=0.01,0.02", "--set", "drop=0.5")
    printed = parse(funcnn("sweep", "res.py:res", *grid, *given))
    assert [point["width"] for point in printed["points"]].count("2") == 2
    folders = [path.parent for path in Path("sweep/runs").glob("*/summary.json")]
    assert len(folders) == 4
    own = {path: json.loads((path / "config.json").read_text())["own_settings"] for path in folders}
    assert all(f"width={each['width']}" in path.name for path, each in own.items())
    assert all(each["drop"] == 0.5 for each in own.values())
    # The command that it names has its bits.
    command = printed["best"][0]["command"]
    assert command.startswith("funcnn train --model res.py:res ")
    funcnn(*command.split()[1:], "--out", "again", "--quiet")
    config = Path("again/config.json").read_bytes()
    (same,) = [path for path in folders if (path / "config.json").read_bytes() == config]
    assert (same / "params.npz").read_bytes() == Path("again/params.npz").read_bytes()
    # What is there goes on only with the file that it was made with.
    assert parse(funcnn("sweep", "res.py:res", *grid, *given)) == printed
    Path("res.py").write_text(RESIDUAL + "# another\n")
    before = tree_digest()
    line = one_error(funcnn("sweep", "res.py:res", *grid, *given, code=1))
    assert "res.py" in line, line
    assert tree_digest() == before


# --- of layers of one's own --------------------------------------------------------------------

LATER = {
    "resume": "train --resume half-{run} --quiet",
    "evaluate": "evaluate {run}",
    "predict": "predict {run} --data images --out predicted.csv",
    "safetensors": "export {run} --to safetensors",
    "check": "check {run}",
    "profile": "bench --profile {run} --threads 1",
    "figure": "figure curves {run} --out curves.png",
}


@pytest.mark.parametrize("command", {*LATER} - {"figure"})
@pytest.mark.parametrize("run", ["scaled", "alone", "bare", "parts"])
def test_a_later_command_says_that_it_needs_the_file_and_works_with_it(run, command):
    name = {"bare": "bare", "parts": "net"}.get(run, "scaled")
    given = LATER[command].format(run=run).split()
    if (run, command) == ("parts", "safetensors"):  # it has the library's layers alone
        funcnn(*given)
        return
    before = tree_digest()
    line = one_error(funcnn(*given, code=1))
    assert f"give --model {run}.py:{name}" in line
    assert tree_digest() == before
    if (run, command) == ("bare", "safetensors"):
        line = one_error(funcnn(*given, "--model", f"{run}.py:{name}", code=1))
        assert "layer 2 (layer) has no spec" in line
        return
    funcnn(*given, "--model", f"{run}.py:{name}")
    if command == "resume":
        expect_same_run(f"half-{run}", run)


def test_curves_need_no_file():
    for run in ("scaled", "bare", "parts"):
        Path(f"{run}.py").unlink()
    funcnn("figure", "curves", "scaled", "bare", "parts", "--out", "curves.png")


def test_a_layer_of_ones_own_is_exported_by_its_twin_and_its_operator():
    expect_exports("scaled", "scaled.py:scaled")


def test_the_definition_that_is_printed_is_of_its_twin():
    torch = pytest.importorskip("torch")
    printed = funcnn("export", "scaled", "--to", "pt", "--model", "scaled.py:scaled").stdout
    namespace = {}
    exec(printed, namespace)
    module = namespace["model"].eval()
    module.load_state_dict(torch.load("scaled/params.pt", weights_only=True))
    with torch.no_grad():
        np.testing.assert_allclose(
            module(torch.from_numpy(X)), outputs_of("scaled", X, "scaled.py:scaled"), atol=1e-5
        )


def test_a_layer_of_ones_own_is_in_lockstep_with_its_twin():
    pytest.importorskip("torch")
    given = ["scaled", "--model", "scaled.py:scaled", "--mode", "lockstep", "--steps", "12"]
    expect_lockstep(parse(funcnn("compare", *given, "--json")))


WITHOUT = {
    "compare alone --model alone.py:scaled": "give its file torch_modules['Scale']",
    "compare bare --model bare.py:bare": "decorate its constructor with fn.constructor",
    "export alone --to pt --model alone.py:scaled": "give its file torch_modules['Scale']",
    "export alone --to onnx --model alone.py:scaled": "give its file onnx_operators['Scale']",
    "compare parts --model parts.py:net": "--loss own: PyTorch does not have it",
    "train --backend torch --model parts.py:net": "--loss own: PyTorch does not have it",
    "train --backend torch --model alone.py:scaled": "give its file torch_modules['Scale']",
    "inspect scaled/params.npz": "'Scale' is not a layer of this library: give --model",
    "train --config res/config.json": "give --model",
    "train --model res.py:res --arch mlp3": "--arch mlp3: leave it out",
    "train --set width=3": "--set width: it is for a network of your own",
    "train --resume res --epochs 4 --set width=3": "--set width",
    "evaluate res --model nowhere.py:net": "nowhere.py: it cannot be read",
    "check mlp3 --model res.py:res": "mlp3 is a network itself",
    "bench --model res.py:res": "--model: it is for --profile",
    "compare res --set width=3": "leave out",
    "import nothing.pt --data images": "--arch or --model",
    "sweep res.py:res --grid nothing=1,2": "res.py:res has no setting 'nothing'",
    "sweep mlp3 --set width=1": "--set width",
    "evaluate res --model parts.py:net": "",
}


@pytest.mark.parametrize("command", WITHOUT)
def test_what_is_wanting_is_one_line_and_changes_nothing(command):
    before = tree_digest()
    given = command.split()
    if given[:2] == ["train", "--backend"]:
        given += settings("")[2:]
    line = one_error(funcnn(*given, code=1))
    assert WITHOUT[command] in line
    assert tree_digest() == before
