"""A network of one's own, by `--model` and FILE.py:NAME, through every command."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from commands import funcnn, one_error, parse, tree_digest
from helpers import run_all_here
from image_files import image_folder
from own_networks import BARE, OPERATOR, PARTS, RESIDUAL, SCALED, TWIN, settings
from training_runs import AfterTwo, without_seconds

import funcnn as fn
from funcnn.cli import main
from funcnn.experiments.compare import comparison
from funcnn.experiments.sweep import sweep as sweeps
from funcnn.experiments.tasks import model_records
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.references import read_own
from funcnn.experiments.training import pool
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


@pytest.mark.parametrize("write", ["write_record", "write_whole"])
def test_a_run_that_was_killed_while_it_began_is_begun_again(monkeypatch, write):
    """Killed before its network's spec, or its file's text, is kept."""

    def die(*args):
        raise KeyboardInterrupt

    command = ["train", *settings("res.py:res"), "--out", "new"]
    with monkeypatch.context() as patch:
        patch.setattr(model_records, write, die)
        funcnn(*command, code=130)
    funcnn(*command)
    assert Path("new/model.py.txt").read_text() == RESIDUAL
    assert not [path for path in Path("new").iterdir() if path.name.startswith(".")]


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


def test_its_settings_are_shown():
    printed = funcnn("train", "--model", "res.py:res", "--set", "width=3", "--show").stdout
    lines = [line.split() for line in printed.splitlines()]
    assert lines[-2:] == [["set", "width=3"], ["set", "drop=0"]]


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
    assert max(printed["lockstep"]["float64"]["largest"].values()) < 1e-9


def test_it_is_compared_with_torch_also_from_its_run():
    pytest.importorskip("torch")
    given = settings("res.py:res", "--set", "width=2", "--seeds", "1", "--steps", "4", "--json")
    printed = parse(funcnn("compare", *given, "--out", "both"))
    assert printed["free"].keys() >= {"sides"}
    gone()
    again = parse(funcnn("compare", "res", "--mode", "lockstep", "--steps", "4", "--json"))
    for each in (printed, again):
        expect_lockstep(each)


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
    assert line.endswith(" is of another res.py: delete it, and run again")
    assert tree_digest() == before


def test_a_config_runs_again_with_its_file():
    again = ["--config", "res/config.json", "--model", "res.py:res", "--quiet"]
    funcnn("train", *again, "--out", "again")
    expect_same_run("again", "res")
    funcnn("train", *again, "--set", "width=2", "--out", "narrow")
    assert json.loads(Path("narrow/config.json").read_text())["own_settings"]["width"] == 2
    Path("other.py").write_text(RESIDUAL)
    again[3] = "other.py:res"
    line = one_error(funcnn("train", *again, code=1))
    assert line == "Error: --arch other.py:res: res/config.json is of res.py:res"


def test_a_file_that_has_changed_is_said():
    Path("res.py").write_text(RESIDUAL + "# changed\n")
    result = funcnn("evaluate", "res", "--model", "res.py:res", "--json")
    assert result.stderr == "res.py has changed since: res/model.py.txt is what was trained\n"
    json.loads(result.stdout)
    result = funcnn("train", "--resume", "half", "--model", "res.py:res", "--quiet")
    assert result.stderr == "res.py has changed since: half/model.py.txt is what was trained\n"
    # What the record alone is needed for, it does.
    parse(funcnn("evaluate", "res", "--json"))


def test_another_network_is_refused():
    """Its file is another one, which is said before."""
    for command in ("evaluate", "train --epochs 4 --resume"):
        given = [*command.split(), "res", "--model", "parts.py:net"]
        changed, line = funcnn(*given, code=1).output.splitlines()
        assert changed.startswith("parts.py has changed since: ")
        assert line.startswith("Error: ")
        assert line.endswith("parts.py:net has no setting 'width' (known: none)")


def test_a_run_goes_on_from_another_place(monkeypatch):
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    funcnn("train", "--resume", "../half-scaled", "--model", "../scaled.py:scaled", "--quiet")
    expect_same_run("../half-scaled", "../scaled")
    for command in ("evaluate", "check"):
        result = funcnn(command, "../scaled", "--model", "../scaled.py:scaled")
        assert "has changed" not in result.output


def test_a_stopped_comparison_goes_on():
    pytest.importorskip("torch")

    def stopped(*given):
        raise KeyboardInterrupt

    for run, model in (("res", ()), ("scaled", ("--model", "scaled.py:scaled"))):
        given = ["--mode", "lockstep", "--steps", "2", "--out", f"cmp-{run}"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(comparison.Comparison, "_locksteps", stopped)
            funcnn("compare", run, *model, *given, code=130)
        gone() if run == "res" else None
        if model:
            line = one_error(funcnn("compare", "--resume", f"cmp-{run}", code=1))
            assert "give --model scaled.py:scaled" in line
        funcnn("compare", "--resume", f"cmp-{run}", *model)


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


@pytest.mark.parametrize("command", sorted({*LATER} - {"figure"}))
@pytest.mark.parametrize("run", ["scaled", "bare", "parts"])
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
    "compare parts --model parts.py:net": "PyTorch does not have your loss",
    "train --backend torch --model parts.py:net": "PyTorch does not have your loss",
    "train --backend torch --model alone.py:scaled": "give its file torch_modules['Scale']",
    "inspect scaled/params.npz": "'Scale' is not a layer of this library: give --model",
    "train --config res/config.json": "give --model",
    "train --model res.py:res --arch mlp3": "--arch mlp3: leave it out",
    "train --set width=3": "--set width: it is for a network of your own",
    "train --resume res --epochs 4 --set width=3": "--set width",
    "evaluate res --model nowhere.py:net": "nowhere.py: it cannot be read",
    "check mlp3 --model res.py:res": "mlp3 is a network itself",
    "bench --model res.py:res": "--model: it is for --profile",
    "compare res --set width=3": "--set width",
    "import nothing.pt --data images": "--arch or --model",
    "sweep res.py:res --grid nothing=1,2": "res.py:res has no setting 'nothing'",
    "sweep mlp3 --set width=1": "--set width",
    "sweep res.py:res --grid width=2,3 --set width=4": "--set width fixes it already",
    "sweep res.py:res --grid width=2,x": "--grid width=x: give a whole number, as 4",
    "sweep nowhere.py:res --grid width=2": "nowhere.py: it cannot be read",
}


@pytest.mark.parametrize("command", WITHOUT)
def test_what_is_wanting_is_one_line_and_changes_nothing(command):
    before = tree_digest()
    given = command.split()
    if given[:2] == ["train", "--backend"]:
        given += settings("")[2:]
    *notes, line = funcnn(*given, code=1).output.splitlines()
    assert all("has changed since" in note for note in notes)
    assert line.startswith("Error: ")
    assert WITHOUT[command] in line
    assert tree_digest() == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--set width=3 --set width=4", "Error: Invalid value for '--set': width is given twice"),
        ("--set width", "Error: Invalid value for '--set': 'width': give KEYWORD=VALUE, as width="),
        ("--set =3", "Error: Invalid value for '--set': '=3': give KEYWORD=VALUE, as width=64"),
    ],
)
def test_what_is_no_setting_is_one_line(given, said):
    line = one_error(funcnn("train", "--model", "res.py:res", *given.split(), code=2))
    assert line.startswith(said)


def test_dashes_in_a_keyword_are_those_of_options():
    Path("dashed.py").write_text(RESIDUAL.replace("width", "my_width"))
    given = settings("dashed.py:res", "--set", "my-width=2", "--epochs", "1", "--quiet")
    funcnn("train", *given, "--out", "dashed")
    config = json.loads(Path("dashed/config.json").read_text())
    assert config["own_settings"] == {"my_width": 2, "drop": 0.0}


# --- what a run kept ---------------------------------------------------------------------------

PLANTED = """
import pathlib
pathlib.Path("executed").touch()
raise SystemExit
"""


@pytest.mark.parametrize("run", ["res", "scaled", "bare", "parts"])
def test_the_text_that_a_run_kept_is_never_executed(run):
    """Nor is anything that its record names."""
    for folder in (run, {"res": "half"}.get(run, f"half-{run}")):
        Path(folder, "model.py.txt").write_text(PLANTED)
        Path(folder, "model.py").write_text(PLANTED)
    Path(f"{run}.py").write_text(PLANTED)
    for command in LATER.values():
        given = command.format(run=run).replace("half-res", "half").split()
        CliRunner().invoke(main, given)
    for form in ("pt", "onnx"):
        CliRunner().invoke(main, ["export", run, "--to", form])
    CliRunner().invoke(main, ["inspect", f"{run}/params.npz"])
    CliRunner().invoke(main, ["compare", run, "--mode", "lockstep", "--steps", "1"])
    CliRunner().invoke(main, ["train", "--config", f"{run}/config.json"])
    assert not Path("executed").exists()


DAMAGED = {
    "gone": (None, "cannot be read"),
    "empty": ("", "is not the record of a network"),
    "list": ("[]", "is not the record of a network: it holds a list"),
    "another": ({"name": "other.py:net"}, "is of other.py:net, but the config is of res.py:res"),
    "no parts": ({"parts": 3}, "its parts is 3"),
    "a text": ({"spec": "os.system"}, "its spec is 'os.system'"),
    "unknown": ({"spec": {"layer": "os.system"}}, "give --model res.py:res"),
    "no layer": ({"spec": {}}, "res"),
    "other layers": ({"spec": fn.Flatten().spec}, "does not fit the data"),
    "huge": ({"spec": fn.serial(fn.Flatten(), fn.Dense(10**9)).spec}, "does not fit the data"),
    "a number": ({"name": 3}, "its name is 3"),
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("command", ["train --resume half", "evaluate res", "predict", "check res"])
def test_a_damaged_record_is_one_line(command, damage):
    content, said = DAMAGED[damage]
    for run in ("half", "res"):
        path = Path(run, "model.json")
        if content is None:
            path.unlink()
        elif isinstance(content, str):
            path.write_text(content)
        else:
            path.write_text(json.dumps(json.loads(path.read_text()) | content))
    given = LATER["predict"].format(run="res") if command == "predict" else command
    before = tree_digest()
    result = CliRunner().invoke(main, given.split())
    if result.exit_code == 0:  # the snapshot says which model it is of
        assert command == "predict" or damage in ("other layers", "huge")
        return
    assert said in one_error(result)
    assert tree_digest() == before


# --- bad files, as the command says them -------------------------------------------------------

HEAD = "import funcnn as fn\n"
NET = "def net(input_shape, classes):\n    return fn.serial(fn.Flatten(), fn.Dense(classes))\n"
BAD = {
    "loss raises": ("def loss(outputs, targets):\n    raise KeyError('no')\n", "bad.py:5: in a"),
    "loss of one": ("def loss(outputs, targets):\n    return 1.0\n", "loss gives a float, not ("),
    "loss of an array": (
        "def loss(outputs, targets):\n    return outputs, lambda dvalue=1.0: outputs\n",
        "the value of loss is a ndarray, not a number",
    ),
    "gradient of another shape": (
        "def loss(outputs, targets):\n    return 1.0, lambda dvalue=1.0: outputs[:1]\n",
        "the vjp of loss gives float32 of shape (1, 3) for outputs, float32 of (8, 3)",
    ),
    "loss of a text": ("loss = 'cross-entropy'\n", "bad.py: loss is a str: give a function"),
    "optimizer raises": ("def optimizer(rate):\n    1 / 0\n", "bad.py:5: optimizer: ZeroDivi"),
    "no optimizer": ("def optimizer(rate): ...\n", "bad.py: optimizer returns a NoneType, not"),
    "an optimizer": ("optimizer = fn.adam(0.1)\n", "bad.py: optimizer is an Optimizer: give a"),
    "a metric raises": ("metrics = {'m': lambda outputs, y: 1 / 0}\n", "bad.py:4: the metric m: "),
    "a metric of text": ("metrics = {'m': lambda outputs, y: '3'}\n", "metric m gives a str, not"),
    "a metric of many": ("metrics = {'m': lambda outputs, y: y}\n", "metric m gives a ndarray, n"),
    "a metric twice": ("metrics = {'loss': lambda outputs, y: 1}\n", "metrics has 'loss', which"),
    "a metric's name": ("metrics = {'a,b': lambda outputs, y: 1}\n", "metrics has 'a,b': give a"),
    "a list of metrics": ("metrics = [fn.accuracy]\n", "bad.py: metrics is a list: give a dict"),
    "integers": ("def preprocess(x):\n    return x\n", "preprocess gives uint8 of shape (2, 1, 4"),
    "other rows": ("def preprocess(x):\n    return x[1:] / 2\n", "shape (1, 1, 4, 4) for 2 inputs"),
    "no array": ("def preprocess(x): ...\n", "preprocess gives object of shape ()"),
    "preprocess raises": ("def preprocess(x):\n    1 / 0\n", "bad.py:5: preprocess: ZeroDivision"),
    "the data": ("def preprocess(x):\n    x[:] = 0\n    return x / 1\n", "bad.py:5: preprocess: "),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_a_file_brings_is_tried_before_there_is_a_folder(bad):
    text, said = BAD[bad]
    Path("bad.py").write_text(HEAD + NET + text)
    before = tree_digest()
    assert said in one_error(funcnn("train", *settings("bad.py:net"), code=1))
    assert tree_digest() == before


LAYERS = {
    "apply": ("raise KeyError('k')", "return y, vjp", "bad.py:7: in a first step, on 8 examples"),
    "vjp": ("y, vjp = dense.apply(params, x)", "return y, lambda dy: 1 / 0", "bad.py:8: in a"),
    "structure": (
        "y, vjp = dense.apply(params, x)",
        "return y, lambda dy: ({}, None)",
        "differ at",
    ),
    "dtype": (
        "y, vjp = dense.apply(params, x)",
        "return y.astype('f8'), vjp",
        "dy must be float32",
    ),
}


@pytest.mark.parametrize("wrong", LAYERS)
def test_a_layer_is_tried_before_there_is_a_folder(wrong):
    *lines, said = LAYERS[wrong]
    body = "".join(f"        {line}\n" for line in lines)
    Path("bad.py").write_text(
        f"{HEAD}def net(input_shape, classes):\n    dense = fn.Dense(classes)\n\n"
        f"    def apply(params, x, *, rng=None, train=False):\n\n{body}\n"
        "    return fn.serial(fn.Flatten(), fn.Layer(dense.init, apply))\n"
    )
    before = tree_digest()
    for command in ("train", "compare", "sweep"):
        given = settings("bad.py:net")
        if command == "sweep":
            given = [given[1], *given[2:], "--grid", "lr=0.1,0.2"]
        assert said in one_error(funcnn(command, *given, code=1))
        assert tree_digest() == before


def test_preprocess_gives_the_shape_that_it_gave_first():
    image_folder(Path("large"), side=8)
    given = ["parts", "--data", "large", "--out", "new.csv", "--model", "parts.py:net"]
    line = one_error(funcnn("predict", *given, code=1))
    assert line == (
        "Error: parts.py: preprocess makes (1, 4, 8) of 20 inputs of shape (1, 8, 8), and the "
        "network takes (1, 2, 4)"
    )
    Path("parts.py").write_text(PARTS.replace("::2]", ": 2 if len(x) < 9 else 4]"))
    line = one_error(funcnn("train", *settings("parts.py:net"), "--quiet", code=1))
    assert "preprocess makes (1, 4, 4) of 12 inputs of shape (1, 4, 4), and the ne" in line


def test_a_layer_that_gives_another_shape_than_it_says_is_refused():
    Path("bad.py").write_text(
        f"{HEAD}def net(input_shape, classes):\n"
        "    def apply(params, x, *, rng=None, train=False):\n"
        "        return x, lambda dy: ({}, dy)\n\n"
        "    said = fn.Layer(lambda rng, shape: ((classes,), {}), apply)\n"
        "    return fn.serial(fn.Flatten(), fn.Dense(4), said)\n"
    )
    line = one_error(funcnn("train", *settings("bad.py:net"), code=1))
    assert line == (
        "Error: bad.py:2: for 8 inputs its outputs have the shape (8, 4), but by its init (8, 3)"
    )


def test_what_goes_wrong_later_is_one_line_too():
    """A layer that takes whole batches of 8 alone: the validation set is of 12."""
    Path("bad.py").write_text(
        f"{HEAD}def net(input_shape, classes):\n    dense = fn.Dense(classes)\n\n"
        "    def apply(params, x, *, rng=None, train=False):\n"
        "        assert len(x) == 8, 'not 8'\n"
        "        return dense.apply(params, x)\n\n"
        "    return fn.serial(fn.Flatten(), fn.Layer(dense.init, apply))\n"
    )
    line = one_error(funcnn("train", *settings("bad.py:net"), "--quiet", code=1))
    assert line == "Error: bad.py:6: AssertionError: not 8"
    given = [*settings("bad.py:net")[1:], "--grid", "lr=0.1,0.2"]
    assert "bad.py:6: AssertionError" in funcnn("sweep", *given, code=1).output


TWINS = {
    "lambda": ("torch_modules = {'Scale': lambda shape, start: 1}\n", "which have names of their"),
    "raises": ("def f(shape, start):\n    1 / 0\n", "tw.py:27: torch_modules['Scale']: ZeroDi"),
    "no module": ("def f(shape, start):\n    return 3\n", "torch_modules['Scale'] gives an int, n"),
    "arguments": ("def f(shape):\n    return 3\n", "torch_modules['Scale']: TypeError: f() got"),
    "names": (TWIN.replace("factor", "weight"), "there is no 2.factor; the model has no 2.weight"),
    "shape": (TWIN.replace("zeros(input_shape[-1:])", "zeros(2)"), "2.offset has shape (2,) inste"),
    "forward": (
        TWIN.replace("return x *", "raise KeyError(x) *"),
        "the twin in torch of a layer: ",
    ),
    "outputs": (TWIN.replace("return x *", "return x[:, :2] *"), "the twin in torch of a layer: "),
}


@pytest.mark.parametrize("wrong", TWINS)
def test_a_twin_is_tried_before_there_is_a_folder(wrong):
    pytest.importorskip("torch")
    text, said = TWINS[wrong]
    named = "" if "torch_modules" in text else "torch_modules = {'Scale': f}\n"
    Path("tw.py").write_text(SCALED + text + named)
    before = tree_digest()
    for command in (["compare"], ["train", "--backend", "torch"]):
        assert said in one_error(funcnn(*command, *settings("tw.py:scaled"), code=1))
        assert tree_digest() == before


OPERATORS = {
    "raises": ("1 / 0", "op.py:27: onnx_operators['Scale']: ZeroDivisionError"),
    "a number": ("return 3", "onnx_operators['Scale']: it gives an int, not the name of a value"),
    "nowhere": ("return 'nowhere'", "with onnx_operators it is no ONNX: "),
    "no param": ("return graph.add('Mul', x, graph.param('slope'))", "the model has no 2.slope"),
    "unknown": ("return graph.add('NoSuchOperator', x)", "with onnx_operators it is no ONNX: "),
}


@pytest.mark.parametrize("wrong", OPERATORS)
def test_an_operator_is_tried_before_there_is_a_file(wrong):
    pytest.importorskip("onnx")
    text, said = OPERATORS[wrong]
    operator = f"def f(graph, spec, x, shape):\n    {text}\n\n\nonnx_operators = {{'Scale': f}}\n"
    Path("op.py").write_text(f"{SCALED}{operator}")
    before = tree_digest()
    given = ["export", "scaled", "--to", "onnx", "--model", "op.py:scaled"]
    changed, line = funcnn(*given, code=1).output.splitlines()
    assert changed == "op.py has changed since: scaled/model.py.txt is what was trained"
    assert line.startswith("Error: ")
    assert said in line
    assert tree_digest() == before


def test_what_it_prints_is_not_in_the_json():
    Path("loud.py").write_text(
        HEAD + "print('read')\n" + NET.replace("    return", "    print('made')\n    return")
    )
    given = settings("loud.py:net", "--json", "--out", "loud")
    result = funcnn("train", *given)
    assert json.loads(result.stdout)["run"] == "loud"
    first, *others = result.stderr.splitlines()
    assert first == "loud.py:2 prints when it is read, which is left out"
    assert set(others) == {"made"}


def test_what_it_prints_in_a_process_of_a_sweep_is_no_answer(monkeypatch):
    monkeypatch.setattr(sweeps, "run_all", pool.run_all)
    Path("loud.py").write_text(
        HEAD + "print('read')\n" + NET.replace("    return", "    print('made')\n    return")
    )
    given = [*settings("loud.py:net")[1:], "--grid", "lr=0.1,0.2", "--jobs", "1", "--json"]
    result = funcnn("sweep", *given)
    assert [point["failed"] for point in json.loads(result.stdout)["points"]] == [0, 0]


# --- what a first user types -------------------------------------------------------------------


def test_what_trains_while_it_is_read_is_told_where_that_belongs():
    call = "experiments.train('{}', data='images', epochs=1, progress=False)\n"
    for name, first in (("itself", "itself.py:net"), ("other", "res.py:res")):
        text = f"from funcnn import experiments\n{HEAD}{NET}{call.format(first)}"
        Path(f"{name}.py").write_text(text)
        before = tree_digest()
        line = one_error(funcnn("check", f"{name}.py:net", "--data", "images", code=1))
        place = f"{name}.py:{len(text.splitlines())}"
        assert line == (
            f"Error: {place}: it trains while it is read: put that under if __name__ == '__main__':"
        )
        assert tree_digest() == before


def test_a_config_knows_its_file_by_another_path():
    Path("elsewhere").mkdir()
    given = ["--model", f"{Path.cwd()}/res.py:res", "--quiet", "--out", "again"]
    funcnn("train", "--config", "res/config.json", *given)
    assert Path("again/params.npz").read_bytes() == Path("res/params.npz").read_bytes()


def test_on_points_a_network_of_ones_own_trains_as_points_does():
    network = "net = fn.serial(fn.Dense(3), fn.Tanh(), fn.Dense(1), fn.Sigmoid())\n"
    Path("two.py").write_text(HEAD + network)
    given = ["--model", "two.py:net", "--data", "points-xor"]
    funcnn("train", *given, "--epochs", "2", "--out", "two", "--quiet")
    config = json.loads(Path("two/config.json").read_text())
    usual = RunConfig.resolve({"arch": "points"})
    names = ("val_size", "batch_size", "optimizer", "lr", "schedule", "weight_decay")
    assert {name: config[name] for name in names} == {name: getattr(usual, name) for name in names}
    given = ["--profile", "two.py:net", "--data", "points-xor"]
    assert parse(funcnn("bench", *given, "--json"))["arch"] == "two.py:net"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("train --arch res.py:res", "res.py:res is a network of your own: give --model res.py:res"),
        ("check res --set width=4", "the settings are those of res: leave out --set width"),
        ("train --resume parts --epochs 4 --model res.py:res", "res.py:res has no "),
        (
            "evaluate scaled/params.npz --data images --model res.py:res",
            "'Scale' is not a layer of this library, nor of res.py: give --model of the file",
        ),
    ],
)
def test_what_does_not_belong_is_said(command, said):
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code in (1, 2)
    *_, line = result.output.splitlines()
    assert line.startswith("Error: ")
    assert said in line


def test_another_network_of_the_same_name_is_said():
    Path("res.py").write_text(RESIDUAL.replace("fn.Relu(), block", "fn.Tanh(), block"))
    for given in (("evaluate", "res"), ("train", "--resume", "res", "--epochs", "4")):
        *_, line = funcnn(*given, "--model", "res.py:res", code=1).output.splitlines()
        assert line.startswith("Error: res.py makes another network now than res has: leave out")
    funcnn("evaluate", "res")


def test_check_finds_a_loss_whose_vjp_is_wrong_and_a_layer_that_changes_its_input():
    wrong = "def loss(outputs, targets):\n"
    wrong += "    value, vjp = fn.softmax_cross_entropy(outputs, targets)\n"
    wrong += "    return value, lambda dvalue=1.0: 2 * vjp(dvalue)\n"
    Path("wrong.py").write_text(HEAD + NET + wrong)
    line = one_error(funcnn("check", "wrong.py:net", "--data", "images", code=1))
    assert line.startswith("Error: wrong.py:net: the vjp of loss is wrong: the derivative by ")
    doubling = """
import funcnn as fn


def Double():
    def apply(params, x, *, rng=None, train=False):
        x *= 2
        return x, lambda dy: ({}, 2 * dy)

    return fn.Layer(lambda rng, input_shape: (input_shape, {}), apply)


def net(input_shape, classes):
    return fn.serial(Double(), fn.Flatten(), fn.Dense(classes))
"""
    Path("doubling.py").write_text(doubling)
    line = one_error(funcnn("check", "doubling.py:net", "--data", "images", code=1))
    assert "doubling.py:7" in line
    assert "read-only" in line


def test_inspect_says_which_file_a_run_is_of():
    assert one_error(funcnn("inspect", "scaled", code=1)).endswith("give --model scaled.py:scaled")


def test_both_that_torch_lacks_are_said_at_once():
    line = one_error(funcnn("train", "--backend", "torch", *settings("parts.py:net"), code=1))
    assert line.endswith("your loss and optimizer: give --loss cross-entropy --optimizer adam")


def test_a_module_of_torch_is_told():
    torch = pytest.importorskip("torch")
    Path("module.py").write_text("from torch import nn\n\nnet = nn.Sequential(nn.Flatten())\n")
    line = one_error(funcnn("check", "module.py:net", code=1))
    assert "module.py:3: net is a Sequential, not a network" in line
    assert line.endswith("(a module of PyTorch is not: write it of funcnn's layers)")
    assert torch


def test_a_layer_without_a_spec_goes_on_points_too():
    Path("bits.py").write_text(
        BARE.replace("fn.Flatten(), fn.Dense(5)", "fn.Dense(4)")
        .replace("fn.Relu(), fn.Dense(classes)", "fn.Tanh(), fn.Dense(1), fn.Sigmoid()")
        .replace("bare", "net")
    )
    given = ["--model", "bits.py:net"]
    funcnn("train", *given, "--data", "points-xor", "--epochs", "3", "--out", "bits", "--quiet")
    summary = json.loads(Path("bits/summary.json").read_text())
    scores = parse(funcnn("evaluate", "bits", *given, "--json"))
    assert scores["test_accuracy"] == summary["test_accuracy"]
    funcnn("check", "bits", *given)
    funcnn("train", "--resume", "bits", *given, "--epochs", "5", "--quiet")


def test_a_snapshot_of_a_layer_without_a_spec_says_that_it_needs_the_classes():
    model = read_own("bare.py:bare").build((1, 12, 12), 4, {})
    _, params = model.init(fn.random.key(0), (1, 12, 12))
    about = {"input_shape": (1, 12, 12), "normalization": {"scale": 255, "mean": 0, "std": 1}}
    fn.save("unnamed.npz", params, model=model, **about)
    given = ["unnamed.npz", "--data", "images", "--model", "bare.py:bare"]
    line = one_error(funcnn("evaluate", *given, code=1))
    assert "does not say which classes its model tells apart: save it with fn.save(" in line
