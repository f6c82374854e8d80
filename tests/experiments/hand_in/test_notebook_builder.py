"""The notebooks of the labs: built, and run where funcnn cannot be imported."""

import dataclasses
import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import web
from notebooks import built_of, code, printed

from funcnn.experiments.data.catalog import SETS
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.data.formats.idx import read_idx
from funcnn.experiments.data.store import place_of
from funcnn.experiments.errors import InputError
from funcnn.experiments.hand_in import notebook_builder
from funcnn.experiments.hand_in.notebook_builder import (
    NOTEBOOKS,
    build,
    lab_configs,
    layers_of,
)
from funcnn.experiments.hand_in.notebook_runner import execute
from funcnn.experiments.tasks.config import RunConfig

pytestmark = pytest.mark.usefixtures("one_thread_in_notebooks")
DATA = place_of("mnist").parent


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "handed in"
    path.mkdir()
    return path


def test_what_is_missing_beside_a_notebook_is_said_in_a_line(folder):
    with pytest.raises(InputError) as raised:
        execute(built_of("fashion-numpy"), folder, name="fashion-numpy")
    assert str(raised.value) == (
        "fashion-numpy, the cell that begins 'PACKAGE = Path(\"model\")': FileNotFoundError: "
        f"layer.py is missing: upload it to {folder}"
    )


def notebook_of(*sources):
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells)).encode()


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (
            ["1", "import numpy\nimport funcnn"],
            r"the cell that begins 'import numpy': Module.*funcnn",
        ),
        (
            ["1", "import time\ntime.sleep(60)"],
            r"the cell that begins 'import time': not done in 1 s",
        ),
        (["import os\nos._exit(1)"], r"'import os': its Python ended"),
    ],
)
def test_a_cell_that_fails_is_named_in_a_line(sources, said, folder):
    with pytest.raises(InputError, match=said) as raised:
        execute(notebook_of(*sources), folder, name="tried", timeout=1 if "1 s" in said else 600)
    assert "\n" not in str(raised.value)


def test_ctrl_c_ends_a_notebook_and_its_kernel(folder):
    cell = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)"
    script = f"""
from pathlib import Path
from funcnn.experiments.hand_in.notebook_runner import execute
try:
    execute({notebook_of(cell)!r}, Path({str(folder)!r}), name="it")
except KeyboardInterrupt:
    print("interrupted")
"""
    job = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    pid = folder / "pid"
    until = time.monotonic() + 30
    while not (pid.exists() and pid.read_text()):
        assert job.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    job.send_signal(signal.SIGINT)
    out, err = job.communicate(timeout=30)
    assert (out, "Traceback" in err) == ("interrupted\n", False)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_the_python_of_a_notebook_is_this_one(folder, tmp_path, monkeypatch):
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": ["/no/python", "{connection_file}"], "display_name": "x"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    cell = "import os, sys\nprint(sys.executable, os.environ['OPENBLAS_NUM_THREADS'])"
    done = execute(notebook_of(cell), folder, name="it")
    assert printed(done) == f"{sys.executable} 1\n"


# --- what is built ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_equal_settings_build_equal_bytes(name):
    built = built_of(name, seed=2)
    assert built == built_of(name, seed=2)
    text = built.decode()
    assert not re.search(r"<<|>>|MINUTES", text)
    assert json.loads(text)["metadata"]["kernelspec"]["name"] == "python3"
    for source in code(built):
        compile(source, name, "exec")
        assert "funcnn" not in re.findall(r"^\s*(?:import|from) (\w+)", source, re.M)
    assert (built != built_of(name)) == (NOTEBOOKS[name].lab != "points")


@pytest.mark.parametrize("name", [name for name, of in NOTEBOOKS.items() if of.backend == "torch"])
def test_a_notebook_changes_its_images_as_the_lab_does_or_is_not_built(name):
    configs = lab_configs(name)
    for trial in NOTEBOOKS[name].trials.values():
        changed = dataclasses.replace(configs[trial.name], augment="shift=3")
        if configs[trial.name].augment == "none":
            with pytest.raises(ValueError, match=f"no place for shift=3 of the trial {trial.name}"):
                build(name, configs | {trial.name: changed})
        else:
            text = "\n".join(code(build(name, configs | {trial.name: changed})))
            assert "shift(x, rng, most=3)" in text or "SHIFT = 3" in text


def test_every_source_is_of_a_notebook_or_in_one():
    sources = Path(notebook_builder.__file__).parent / "notebook_sources"
    assert {path.stem for path in sources.glob("*.md")} == set(NOTEBOOKS)
    used = {
        name
        for path in sources.glob("*.md")
        for name in re.findall("<<shared/(.+)>>", path.read_text())
    }
    assert {path.name for path in sources.glob("shared/*")} == used


def test_files_have_the_names_that_a_lab_gives_them():
    names = {"layer": "layer_310", "network": "network_310"}
    text = "\n".join(code(built_of("fashion-numpy", names=names)))
    assert set(re.findall(r"\w+_310\S*", text)) == {'layer_310.py"),', 'network_310.py")):'}
    assert {"from model.layer import", "from model.network import", "from .network import"} <= set(
        re.findall(r"from [\w.]+ import", text)
    )
    text = "\n".join(code(built_of("mnist-numpy", names=names)))
    assert "from layer_310 import" in text
    text = built_of("fashion-mlp", names={"submission": "310_submission"}).decode()
    assert set(re.findall(r"\w*submission\.\w+", text)) == {
        *("310_submission.pt", "310_submission.csv")
    }


@pytest.mark.parametrize("name", ["fashion-numpy", "fashion-torch", "emnist47"])
def test_the_names_are_those_of_the_sheet(name):
    text = "\n".join(code(built_of(name)))
    for setting in ("EPOCH", "Batch_size", "Learning_rate"):
        assert re.search(rf"^{setting} = [\d.e-]+$", text, re.M)
    assert not re.search(r"\b(EPOCHS|BATCH_SIZE|LEARNING_RATE)\b", text)
    if name == "fashion-torch":
        assert "class Net(nn.Module):" in text
        assert re.search(r"^net = Net\(\)$", text, re.M)
    else:
        assert re.search(r"^import model$", text, re.M)
        assert re.search(r"^net = model.Network\(\)$", text, re.M)


def test_a_package_that_is_there_already_is_used(folder, monkeypatch):
    monkeypatch.chdir(folder)
    cell = "import importlib, shutil\nfrom pathlib import Path\n" + cell_with(
        built_of("fashion-numpy", names={"layer": "layer_310"}), "PACKAGE.mkdir"
    )
    with pytest.raises(FileNotFoundError, match=f"layer_310.py is missing: upload it to {folder}"):
        exec(cell, {})
    for name in ("layer", "network", "__init__"):
        (folder / "model" / f"{name}.py").write_text(name)
    (folder / "layer_310.py").write_text("newer")
    exec(cell, {})
    texts = {path.name: path.read_text() for path in (folder / "model").iterdir()}
    assert texts == {"layer.py": "newer", "network.py": "network", "__init__.py": "__init__"}


def test_the_settings_are_those_of_the_lab():
    namespace = {}
    settings = cell_with(built_of("fashion-mlp"), "EPOCHS = ")
    exec(settings.partition("\n\n")[2].partition("\n\n")[0], namespace)
    config = RunConfig.resolve(dict(NOTEBOOKS["fashion-mlp"].trials[""].settings))
    assert (config.optimizer, config.activation, config.schedule) == (
        *("classical-momentum", "relu", "cosine"),
    )
    assert (config.loss, config.average, config.decayed) == ("cross-entropy", 0, "all")
    for name in NOTEBOOKS["fashion-mlp"].settings:
        assert namespace[{"lr": "learning_rate"}.get(name, name).upper()] == getattr(config, name)
    assert (namespace["SEED"], namespace["IMAGES"], namespace["TRAIN"]) == (0, None, True)
    network = cell_with(built_of("fashion-mlp"), "class myMLP")
    assert f"    HIDDEN = {config.hidden}\n" in network
    loss = cell_with(built_of("fashion-mlp"), "class myLoss")
    assert f"    SMOOTHING = {config.label_smoothing}\n" in loss
    for text in (network, loss):
        assert text.count("# <<") == 0


@pytest.mark.parametrize(
    ("augment", "shift", "erase"),
    [
        ("none", 0, None),
        ("shift=2", 2, None),
        ("erase=0.25", 0, (0.25, 0.02, 0.33)),
        ("shift=1+erase=0.5:0.02:0.2", 1, (0.5, 0.02, 0.2)),
    ],
)
def test_the_network_has_the_augmentation_of_the_settings(augment, shift, erase):
    network = cell_with(built_of("fashion-mlp", augment=augment), "class myMLP")
    assert f"\n    SHIFT = {shift!r}\n    ERASE = {erase!r}\n" in network


@pytest.mark.parametrize("augment", ["flip", "erase+shift=1", "shift=1+shift=1"])
def test_an_augmentation_that_the_network_has_not_is_refused(augment):
    with pytest.raises(ValueError, match=r"myMLP has no .+: shift, then erase"):
        built_of("fashion-mlp", augment=augment)


def test_what_a_notebook_imports_of_the_layers_is_handed_in():
    assert layers_of("points") == {"binary_cross_entropy", "conv", "linear", "sigmoid"}
    assert {"Sigmoid", "SquaredWithloss", "dropout"} < layers_of("fashion-numpy")
    assert layers_of("fashion-torch") == layers_of("fashion-mlp") == frozenset()


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        *(("points", "sgd"), ("fashion-numpy", "adam"), ("fashion-torch", "adam")),
        *(("emnist47", "adam"), ("mnist-numpy", "sgd"), ("mnist-torch", "sgd")),
    ],
)
def test_the_words_are_about_what_the_lab_trains_with(name, optimizer):
    for trial in NOTEBOOKS[name].trials.values():
        config = RunConfig.resolve(dict(trial.settings))
        assert config.optimizer == optimizer
        assert config.schedule == ("constant" if name == "points" else "cosine")
        assert (config.loss, config.label_smoothing) == ("cross-entropy", 0)


def cell_with(built, text):
    return next(source for source in code(built) if text in source)


@pytest.mark.parametrize("name", ["mnist-torch", "fashion-torch"])
def test_the_split_is_that_of_the_run(name):
    data = load_dataset(NOTEBOOKS[name].data, val_size=10_000, seed=3)
    images, labels = (
        read_idx(DATA / NOTEBOOKS[name].data / f"train-{kind}-ubyte.gz")
        for kind in ("images-idx3", "labels-idx1")
    )
    found = {"np": np, "images": images[:, None], "labels": labels, "test_labels": labels}
    exec(cell_with(built_of(name, seed=3), "def split"), found)
    np.testing.assert_array_equal(found["train_images"], data.train[0])
    np.testing.assert_array_equal(found["train_labels"], data.train[1])
    np.testing.assert_array_equal(found["val_images"], data.validation[0])
    np.testing.assert_array_equal(found["val_labels"], data.validation[1])


# --- how it finds and downloads data ---------------------------------------------------------


@pytest.fixture
def unpacked(folder, monkeypatch):
    """The cell that finds data, in an empty folder; what it downloads from is given."""
    monkeypatch.chdir(folder)

    def of(address):
        source = cell_with(built_of("mnist-torch"), "def unpacked")
        source = source.replace(SETS["mnist"].url, address)
        found = {"Path": Path, "gzip": gzip, "hashlib": hashlib}
        exec(f"import urllib.request\n{source}", found)
        return found["unpacked"]

    return of


NAME = "t10k-labels-idx1-ubyte"


def test_data_is_downloaded_once_and_compared_with_its_checksum(unpacked, folder):
    packed = (DATA / "mnist" / f"{NAME}.gz").read_bytes()
    site = web.Site({f"/{NAME}.gz": packed})
    with site.served() as address:
        read = unpacked(address)
        assert read(NAME) == read(NAME) == gzip.decompress(packed)
    assert len(site.requests) == 1
    assert [path.name for path in (folder / "data" / "mnist").iterdir()] == [f"{NAME}.gz"]
    (folder / f"{NAME}.gz").write_bytes(gzip.compress(b"other bytes"))
    with pytest.raises(ValueError, match=f"{NAME}.gz is not the published file of mnist"):
        read(NAME)


def test_data_that_cannot_be_had_is_named(unpacked, folder):
    with pytest.raises(
        FileNotFoundError, match=f"{NAME}.gz is missing, and downloading failed"
    ) as raised:
        unpacked("http://127.0.0.1:9")(NAME)
    assert f"upload it to {folder}" in str(raised.value)


@pytest.mark.parametrize("package", ["jupytext", "nbformat"])
def test_what_builds_a_notebook_may_be_missing(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError) as raised:
        built_of("points")
    assert str(raised.value) == f"{package} is not installed: pip install 'funcnn[notebooks]'"


@pytest.mark.parametrize("package", ["nbclient", "ipykernel"])
def test_what_executes_a_notebook_may_be_missing(package, monkeypatch, folder):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"^{package} is not installed: pip install"):
        execute(notebook_of("1"), folder, name="tried")
