"""`funcnn export`, `import` and `inspect` as a user runs them, and who else reads the files."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from commands import expect_one_line, tree_digest
from helpers import assert_same_bits
from image_files import image_folder

import funcnn as fn
from funcnn.cli import main
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.export.describe import ForeignDescription
from funcnn.experiments.pytorch.state_dicts import to_state_dict
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.model import load_model, save_model
from funcnn.experiments.training.run_folder import RunFolder
from funcnn.spec import constructor

torch = pytest.importorskip("torch", reason="it reads the exports: pip install 'funcnn[torch]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="it runs what was exported")
package = pytest.importorskip("safetensors.numpy", reason="pip install 'funcnn[safetensors]'")

SUFFIXES = ("pt", "safetensors", "onnx")


def settings(arch):
    """Options of a small net, but for its data."""
    small = {"mlp3": "--hidden 6x5", "mlp2": "--hidden 5 --activation prelu"}
    small |= {"cnn3": "--channels 3x4 --dropout 0.3", "resnet": "--channels 3x4 --hidden 5"}
    return f"--arch {arch} {small.get(arch, '')}"


def data_of(arch):
    return "points-xor" if ARCHITECTURES[arch].binary else "images"


def make_run(arch, path):
    """A run's folder as if trained: random params, statistics included."""
    options = settings(arch).split()
    names = [name.removeprefix("--").replace("-", "_") for name in options[::2]]
    given = dict(zip(names, options[1::2], strict=True)) | {"data": data_of(arch)}
    for name in ("hidden", "channels"):
        if name in given:
            given[name] = tuple(map(int, given[name].split("x")))
    if "dropout" in given:
        given["dropout"] = float(given["dropout"])
    if not ARCHITECTURES[arch].binary:
        given["val_size"] = 12
    config = RunConfig.resolve(given)
    data = load_dataset(config.data, val_size=config.val_size, seed=config.seed)
    model = build_network(config, data.input_shape, len(data.class_names))
    _, params = model.init(fn.random.key(3), data.input_shape)
    generator = np.random.default_rng(0)
    params = fn.tree.map(
        lambda leaf: leaf + generator.uniform(0.01, 0.2, leaf.shape).astype(np.float32), params
    )
    save_model(RunFolder.create(config, path), config, data, model, params)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A run of every architecture, and files that are none."""
    folder = tmp_path_factory.mktemp("prepared")
    image_folder(folder / "images", side=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for arch in ARCHITECTURES:
            make_run(arch, Path(arch))
        shutil.copy("mlp3/params.npz", "net.npz")
        for suffix in SUFFIXES:
            done = CliRunner().invoke(main, f"export net.npz --to {suffix}")
            assert done.exit_code == 0, done.output
        state = fn.TrainState.create(load_model(RunFolder(Path("mlp3"))).params, fn.sgd(0.1))
        fn.save("state.npz", state)
        torch.save(torch.nn.Linear(2, 3), "module.pt")
        torch.save({"epoch": 3}, "checkpoint.pt")
        torch.save({"1.weight": torch.zeros(3)}, "other.pt")
        state = torch.load("net.pt", weights_only=True)
        torch.save(state | {"3.bias": torch.full_like(state["3.bias"], torch.nan)}, "nan.pt")
        for suffix in (*SUFFIXES, "txt"):
            Path(f"note.{suffix}").write_text("not what you look for\n")
        Path("folder.pt").mkdir()
    return folder


@pytest.fixture(autouse=True)
def place(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(prepared, tmp_path / "place"))


def funcnn(command):
    """What the command printed, in this process."""
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    return result


def kept(arch):
    return load_model(RunFolder(Path(arch)))


def some_inputs(model):
    """A few stored inputs."""
    generator = np.random.default_rng(5)
    return generator.integers(0, 256, (7, *model.input_shape)).astype(np.uint8)


# --- export ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_torch_loads_an_export_into_the_printed_module_with_the_same_outputs(arch):
    printed = funcnn(f"export {arch} --to pt")
    space = {}
    exec(printed.stdout, space)
    module = space["model"].eval()
    state = torch.load(f"{arch}/params.pt", weights_only=True)
    assert str(module.load_state_dict(state, strict=True)) == "<All keys matched successfully>"
    model = kept(arch)
    x = some_inputs(model)
    with torch.inference_mode():
        outputs = module(torch.from_numpy(model.normalization(x))).numpy()
    np.testing.assert_allclose(outputs, model.predict(x), rtol=1e-5, atol=1e-5)
    assert f"load_state_dict(torch.load('{arch}/params.pt', weights_only=True))" in printed.stderr


@pytest.mark.parametrize("arch", ["mlp3", "points"])
def test_a_serial_net_is_a_plain_sequential(arch):
    definition = funcnn(f"export {arch} --to pt").stdout
    assert definition.startswith("import torch\nfrom torch import nn\n\n\nmodel = nn.Sequential(\n")
    assert "class" not in definition


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_safetensors_loads_an_export(arch):
    assert funcnn(f"export {arch} --to safetensors").stdout == ""
    model = kept(arch)
    found = package.load_file(f"{arch}/params.safetensors")
    expected = to_state_dict(model.model, model.params)
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_onnxruntime_runs_an_export_with_the_same_outputs(arch):
    funcnn(f"export {arch} --to onnx")
    session = onnxruntime.InferenceSession(
        f"{arch}/params.onnx", providers=["CPUExecutionProvider"]
    )
    said = session.get_modelmeta().custom_metadata_map
    model = kept(arch)
    assert json.loads(said["class_names"]) == list(model.class_names)
    numbers = json.loads(said["normalization"])
    x = some_inputs(model)
    inputs = ((x / numbers["scale"] - numbers["mean"]) / numbers["std"]).astype(np.float32)
    (outputs,) = session.run(None, {"input": inputs})
    np.testing.assert_allclose(outputs, model.predict(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_export_of_a_snapshot_stands_beside_it_or_where_it_is_told_to(suffix):
    beside = Path(f"net.{suffix}").read_bytes()
    Path(f"net.{suffix}").unlink()
    for out in ("", f"--out second.{suffix}", f"--out upper.{suffix.upper()}"):
        funcnn(f"export net.npz --to {suffix} {out}")
    funcnn(f"export mlp3 --to {suffix}")
    for path in ("net", "second", "mlp3/params"):
        assert Path(f"{path}.{suffix}").read_bytes() == beside
    assert Path(f"upper.{suffix.upper()}").read_bytes() == beside


def test_an_export_as_json():
    printed = json.loads(funcnn("export mlp3 --to pt --json").stdout)
    assert printed["definition"].startswith("import torch\nfrom torch import nn\n")
    del printed["definition"]
    parameters = sum(leaf.size for leaf in fn.tree.leaves(kept("mlp3").params))
    expected = {"run": "mlp3", "to": "pt", "out": "mlp3/params.pt", "parameters": parameters}
    assert printed == expected
    printed = json.loads(funcnn("export mlp3 --to onnx --json").stdout)
    assert printed == expected | {"to": "onnx", "out": "mlp3/params.onnx"}


def test_a_snapshot_without_normalization_is_exported_without():
    model = fn.serial(fn.Dense(2))
    _, params = model.init(fn.random.key(0), (3,))
    fn.save("plain.npz", params, model=model, input_shape=(3,))
    funcnn("export plain.npz --to onnx")
    session = onnxruntime.InferenceSession("plain.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {"input_shape": "[3]"}


# --- import ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pt", "safetensors"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_an_export_comes_back_as_the_same_run(arch, form):
    funcnn(f"export {arch} --to {form}")
    split = "" if ARCHITECTURES[arch].binary else "--val-size 12"
    funcnn(
        f"import {arch}/params.{form} {settings(arch)} --data {data_of(arch)} {split} --out back"
    )
    for name in ("params.npz", "config.json"):
        assert Path("back", name).read_bytes() == Path(arch, name).read_bytes()
    assert {path.name for path in Path("back").iterdir()} == {
        "params.npz",
        "config.json",
        "data.json",
    }


def test_an_import_draws_no_weights(monkeypatch):
    def draw(*arguments):
        raise AssertionError("weights were drawn")

    for name in ("uniform", "normal"):
        monkeypatch.setattr(fn.random, name, draw)
    funcnn(f"import net.pt {settings('mlp3')} --data images --val-size 12 --out undrawn")


def test_an_imported_run_is_used_as_any_other():
    printed = funcnn(f"import net.pt {settings('mlp3')} --data images --val-size 12 --out back")
    assert printed.stdout == "1,595 parameters in back\n"
    evaluated = [json.loads(funcnn(f"evaluate {run} --json").stdout) for run in ("back", "mlp3")]
    for results in evaluated:
        del results["run"]
    assert evaluated[0] == evaluated[1]
    funcnn("predict back --data images --out predicted.csv")
    assert len(Path("predicted.csv").read_text().splitlines()) == 21
    assert "Dense" in funcnn("inspect back/params.npz").stdout
    for suffix in SUFFIXES:
        funcnn(f"export back --to {suffix}")
        assert Path(f"back/params.{suffix}").read_bytes() == Path(f"net.{suffix}").read_bytes()
    before = tree_digest()
    expect_one_line(
        CliRunner().invoke(main, "train --resume back"),
        ["back was imported: there is no training to resume"],
    )
    assert tree_digest() == before
    funcnn("train --config back/config.json --epochs 1 --batch-size 24 --quiet --out trained")


def test_the_labels_of_the_data_come_back_with_the_weights():
    data = load_dataset("images", val_size=0, seed=0)
    for name, written in (("gaps", [5, 7, 24]), ("others", [5, 7, 23])):
        (x, y), (test_x, test_y) = data.train, data.test
        labels = np.array(written)
        np.savez(f"{name}.npz", x_train=x, y_train=labels[y], x_test=test_x, y_test=labels[test_y])
    options = f"{settings('mlp3')} --val-size 12 --data"
    funcnn(f"import net.pt {options} gaps.npz --out gaps")
    funcnn("predict gaps --data gaps.npz --out predicted.csv")
    rows = Path("predicted.csv").read_text().splitlines()[1:]
    assert {row.split(",")[1] for row in rows} <= {"5", "7", "24"}
    for suffix in SUFFIXES:
        funcnn(f"export gaps --to {suffix} --out gaps.{suffix}")
        if suffix != "pt":
            said = json.loads(funcnn(f"inspect gaps.{suffix} --json").stdout)["metadata"]
            assert json.loads(said["labels"]) == ["5", "7", "24"]
    funcnn(f"import gaps.safetensors {options} gaps.npz --out back")
    assert load_model(RunFolder(Path("back"))).labels == ("5", "7", "24")
    result = CliRunner().invoke(main, f"import gaps.safetensors {options} others.npz --out no")
    expect_one_line(result, ["gaps.safetensors has another class names than --data others.npz"])


def test_what_torch_trained_is_imported_with_its_own_names_and_dtypes():
    """In float64, with the counter that torch's BatchNorm keeps, saved by torch itself."""
    space = {}
    exec(funcnn("export resnet --to pt").stdout, space)
    module = space["model"].double()
    for _ in range(3):
        module(torch.rand(8, 1, 16, 16, dtype=torch.float64))
    torch.save(module.state_dict(), "trained.pth")
    options = f"{settings('resnet')} --data images --val-size 12"
    printed = json.loads(funcnn(f"import trained.pth {options} --json").stdout)
    assert printed["file"] == "trained.pth"
    assert printed["run"] == "runs/resnet-images-001"
    model = load_model(RunFolder(Path(printed["run"])))
    arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    assert arrays["1.num_batches_tracked"] == 3
    found = to_state_dict(model.model, model.params)
    assert_same_bits(
        {name: array for name, array in found.items() if array.ndim},
        {name: array.astype(np.float32) for name, array in arrays.items() if array.ndim},
    )


# --- inspect ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_inspect_shows_names_shapes_dtypes_and_the_number_of_parameters(suffix):
    text = funcnn(f"inspect net.{suffix}").stdout
    size = Path(f"net.{suffix}").stat().st_size
    assert text.startswith(f"net.{suffix}: {size:,} bytes\n")
    assert "  1.weight                 float32  (6, 256)\n" in text
    assert "  5.bias                   float32  (3,)\n" in text
    assert "  1,595 parameters\n" in text + "\n"
    if suffix != "pt":
        assert "class names: 0, 1, 2" in text
    if suffix == "onnx":
        assert "opset 18: Gemm 3, Relu 2, Flatten 1, Identity 1\n" in text
        assert "  input                    float32  (N, 1, 16, 16)\n" in text
        assert "  output                   float32  (N, 3)\n" in text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_inspect_json_has_the_same(suffix):
    printed = json.loads(funcnn(f"inspect net.{suffix} --json").stdout)
    assert printed["parameters"] == 1595
    assert {"path": "3.weight", "shape": [5, 6], "dtype": "float32"} in printed["arrays"]
    if suffix == "onnx":
        assert (printed["opset"], printed["operators"]["Gemm"]) == (18, 3)
    if suffix != "pt":
        assert json.loads(printed["metadata"]["input_shape"]) == [1, 16, 16]


def test_inspect_counts_no_counters():
    funcnn("export resnet --to pt")
    printed = json.loads(funcnn("inspect resnet/params.pt --json").stdout)
    counters = [row for row in printed["arrays"] if row["dtype"] == "int64"]
    assert len(counters) == 6
    in_snapshot = json.loads(funcnn("inspect resnet/params.npz --json").stdout)
    assert printed["parameters"] == in_snapshot["parameters"]


# --- bad input -------------------------------------------------------------------------------


def nothing():
    pass


def cut(file):
    return lambda: Path(file).write_bytes(Path(file).read_bytes()[:-9])


def with_an_own_layer():
    """A snapshot of a model with a layer of somebody's own."""

    @constructor(per_sample="always")
    def Strange():
        return fn.elementwise(fn.activations.tanh)

    model = fn.serial(fn.Dense(2), Strange())
    fn.save("strange.npz", model.init(fn.random.key(0), (3,))[1], model=model, input_shape=(3,))


def unknown_to_torch():
    model = fn.serial(fn.Flatten())
    fn.save("scalar.npz", model.init(fn.random.key(0), ())[1], model=model, input_shape=())


def import_of(file, options="--arch mlp3 --hidden 6x5", more="--data images --val-size 12"):
    return f"import {file} {options} {more} --out new"


EXPORTS = [
    ("export none --to pt", ["none is neither the folder of a run nor a snapshot"], nothing),
    ("export images --to pt", ["images is not the folder of a run"], nothing),
    (
        "export mlp3 --to onnx",
        ["mlp3 has no params.npz: no epoch was recorded yet"],
        lambda: Path("mlp3/params.npz").unlink(),
    ),
    ("export mlp3 --to pt", ["mlp3/params.npz", "not a snapshot"], cut("mlp3/params.npz")),
    ("export state.npz --to pt", ["state.npz does not say which model it is of"], nothing),
    ("export note.txt --to pt", ["note.txt: not a snapshot"], nothing),
    ("export net.npz --to pt", ["net.pt exists already; give the name of a new file"], nothing),
    ("export net.npz --to onnx --out new.pt", ["new.pt: give a name that ends in .onnx"], nothing),
    ("export net.npz --to pt --out net.npz/new.pt", ["net.npz is a file, not a fol"], nothing),
    ("export net.npz --to jpg", ["'jpg' is not one of 'pt', 'safetensors', 'onnx'"], nothing),
    ("export net.npz", ["Missing option '--to'"], nothing),
    (
        "export strange.npz --to onnx",
        ["strange.npz: 'Strange' is not a layer of this library: give --model FILE.py:NAME"],
        with_an_own_layer,
    ),
    (
        "export scalar.npz --to pt",
        ["layer 0 (Flatten): torch has no such module"],
        unknown_to_torch,
    ),
]
IMPORTS = [
    (import_of("none.pt"), ["none.pt: No such file"], nothing),
    (import_of("folder.pt"), ["folder.pt: Is a directory"], nothing),
    (import_of("net.npz"), ["net.npz: give a file called .pt, .pth or .safetensors"], nothing),
    (import_of("note.pt"), ["note.pt is not a file of torch's, or damaged"], nothing),
    (import_of("note.safetensors"), ["note.safetensors is not a safetensors file"], nothing),
    (import_of("net.pt"), ["net.pt is not a file of torch's, or damaged"], cut("net.pt")),
    (
        import_of("net.safetensors"),
        ["net.safetensors is not a safetensors file, or damaged"],
        cut("net.safetensors"),
    ),
    (import_of("module.pt"), ["module.pt needs torch.nn.modules", "is refused"], nothing),
    (import_of("checkpoint.pt"), ["checkpoint.pt: 'epoch' is an int, not a tensor"], nothing),
    (
        import_of("other.pt"),
        ["other.pt: the tensors do not fit", "there is no 1.bias", "1.weight has shape (3,) inst"],
        nothing,
    ),
    (
        import_of("net.safetensors", "--arch mlp2 --hidden 6"),
        ["the model has no 5.bias, 5.weight", "3.weight has shape (5, 6) instead of (3, 6)"],
        nothing,
    ),
    (
        import_of("net.safetensors", f"{settings('mlp3')} --data images --val-size 12 --seed 1"),
        [
            "net.safetensors has another normalization than --data images --val-size 12 "
            "--split stratified --seed 1"
        ],
        nothing,
    ),
    (import_of("nan.pt"), ["nan.pt: 3.bias holds numbers that are not finite"], nothing),
    (import_of("net.pt", "--arch mlp3 --channels 3"), ["--channels 3: must be left out"], nothing),
    (import_of("net.pt", "--arch none"), ["'none' is not one of"], nothing),
    (import_of("net.pt", ""), ["give the network that they are of, --arch or --model"], nothing),
    (import_of("net.pt", more="--data none"), ["--data none: neither a data set"], nothing),
    (import_of("net.pt", more="--data images --val-size 60"), ["--val-size 60 leaves"], nothing),
    (
        import_of("net.pt") + " --out mlp3",
        ["--out mlp3 exists already, and a run never overwrites one"],
        nothing,
    ),
]
INSPECTS = [
    ("inspect none.onnx", ["none.onnx: No such file"], nothing),
    ("inspect folder.pt", ["folder.pt is not the folder of a run"], nothing),
    *(
        (f"inspect note.{suffix}", [f"note.{suffix} is not a", "or damaged"], nothing)
        for suffix in SUFFIXES
    ),
    *(
        (f"inspect net.{suffix}", [f"net.{suffix} is not a", "or damaged"], cut(f"net.{suffix}"))
        for suffix in SUFFIXES
    ),
    ("inspect module.pt", ["module.pt needs torch.nn.modules", "is refused"], nothing),
]


@pytest.mark.parametrize(("command", "said", "damage"), EXPORTS + IMPORTS + INSPECTS)
def test_bad_input_gives_one_clear_line_and_changes_nothing(command, said, damage):
    damage()
    before = tree_digest()
    expect_one_line(CliRunner().invoke(main, command), said)
    assert tree_digest() == before


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("export mlp3 --to pt", "torch"),
        ("export mlp3 --to safetensors", "safetensors"),
        ("export mlp3 --to onnx", "onnx"),
        (import_of("net.pt"), "torch"),
        (import_of("net.safetensors"), "safetensors"),
        ("inspect net.pt", "torch"),
        ("inspect net.safetensors", "safetensors"),
        ("inspect net.onnx", "onnx"),
    ],
)
def test_a_package_that_is_not_installed_is_one_line_that_says_what_to_install(
    monkeypatch, command, missing
):
    monkeypatch.setitem(sys.modules, missing, None)
    before = tree_digest()
    expect_one_line(
        CliRunner().invoke(main, command),
        [f"{missing} is not installed: pip install 'funcnn[{missing}]'"],
    )
    assert tree_digest() == before


# --- other names ---------------------------------------------------------------------------------


def import_of(names, options):
    """The result of importing net.pt with its names changed."""
    tensors = torch.load("net.pt", weights_only=True)
    torch.save({names(name): tensor for name, tensor in tensors.items()}, "other.pt")
    command = (
        f"import other.pt {settings('mlp3')} --data images --val-size 12 --out named {options}"
    )
    return CliRunner().invoke(main, command)


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (lambda name: f"module.{name}", "--prefix module."),
        (lambda name: name.replace("1.", "first."), "--map first=1"),
        (lambda name: name.replace("1.", "first."), "--map first.=1."),
        (lambda name: "w" if name == "1.weight" else name, "--map w=1.weight"),
        (
            lambda name: f"module.net.{name}".replace("net.5", "head"),
            "--prefix module. --map net.1=1 --map net.3=3 --map head=5",
        ),
        (
            lambda name: f"module.net.{name}",
            "--prefix module. --map net.1=1 --map net.=",
        ),
    ],
)
def test_other_names_are_imported_by_prefix_and_map(names, options):
    result = import_of(names, options)
    assert result.exit_code == 0, result.output
    assert Path("named/params.npz").read_bytes() == Path("mlp3/params.npz").read_bytes()


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (lambda name: f"module.{name}", "", ["--prefix module. takes off"]),
        (lambda name: name.replace("1.", "first."), "", ["--map OLD=NEW renames"]),
        (lambda name: name, "--prefix module.", ["--prefix module.: ", "without it: 1.weight"]),
        (lambda name: name, "--map first=1", ["--map first=1: no tensor is called first"]),
        (lambda name: name, "--map 1=3", ["two tensors would have the name '3.weight'"]),
        (lambda name: name, "--map first", ["give OLD=NEW, such as features.0=0, not 'first'"]),
        (lambda name: name, "--map =1", ["give OLD=NEW"]),
    ],
)
def test_names_that_do_not_fit_say_what_helps(names, options, said):
    expect_one_line(import_of(names, options), said)
    assert not Path("named").exists()


@pytest.mark.parametrize(
    ("arch", "loss", "outputs"),
    [
        ("mlp3", "cross-entropy", None),
        ("mlp3", "squared-error", "scores"),
        ("points", "squared-error", None),
    ],
)
def test_a_run_says_where_its_outputs_are_no_probabilities(tmp_path, arch, loss, outputs):
    config = RunConfig.resolve({"arch": arch, "loss": loss, "data": data_of(arch), "val_size": 0})
    data = load_dataset(config.data, val_size=0, seed=0)
    model = build_network(config, data.input_shape, len(data.class_names))
    _, params = model.init(fn.random.key(0), data.input_shape)
    save_model(RunFolder.create(config, tmp_path / "run"), config, data, model, params)
    assert fn.load(tmp_path / "run/params.npz").outputs == outputs


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('["b", "\\u00c4pfel"]', "b, Äpfel"),
        ('{"scale": 255.0, "mean": 0.25, "of": 7}', "scale 255, mean 0.25, of 7"),
        ("[1, 8, 8]", "[1, 8, 8]"),
        ("pt", "pt"),
        ("12", "12"),
        ("true", "true"),
        ("{", "{"),
        ("[" * 100_000, "[" * 1495 + " ... " + "[" * 500),
        ('{"n": 1' + "0" * 999 + "}", "n 1" + "0" * 999),
    ],
)
def test_inspect_shows_metadata_as_words(text, shown):
    described = ForeignDescription("it", 0, [], {"class_names": text}, {})
    assert str(described).splitlines()[-1] == f"class names: {shown}"
