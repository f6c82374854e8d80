"""What is installed: every file of the three folders as one tree, whose imports run one way.

With the file in C compiled, where there is a compiler, and working without it.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers import ROOT

import funcnn as fn

FOLDERS = {"funcnn": "funcnn", "funcnn/cli": "cli", "funcnn/experiments": "experiments"}
NEEDED = ["LICENSE", "README.md", "pyproject.toml", "setup.py"]


def run(*command, cwd=None, **environment):
    """What a command printed."""
    mine = {name: os.environ[name] for name in {*os.environ} - {"FUNCNN_NATIVE", "PYTHONPATH"}}
    done = subprocess.run(command, cwd=cwd, env=mine | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A folder with the source archive, and the wheel that is made from it.

    All in a copy, for a build leaves files behind, and a later one puts them into its wheel.
    """
    copy, out = (tmp_path_factory.mktemp(name) for name in ("copy", "out"))
    for folder in FOLDERS.values():
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for name in NEEDED:
        shutil.copy(ROOT / name, copy)
    run(sys.executable, "-m", "build", "--no-isolation", f"--outdir={out}", copy)
    return out


@pytest.fixture(scope="session")
def built_without_compiler(built, tmp_path_factory):
    """A folder with a wheel of the same archive, made where nothing compiles."""
    sources, out = (tmp_path_factory.mktemp(name) for name in ("sources", "plain"))
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(sources, filter="data")
    (folder,) = sources.iterdir()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", f"--outdir={out}"]
    run(*command, folder, CC="/bin/false")
    return out


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory):
    """A folder with the package as the wheel installs it."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        archive.extractall(unpacked)
    return unpacked


def files_in(folder, called=""):
    """The paths of all files in a folder, as if it were `called` so; but for compiled ones."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".so")
    return {
        f"{called}/{path.relative_to(folder).as_posix()}"
        for path in paths
        if "__pycache__" not in path.parts
    }


def test_a_wheel_has_every_file_of_the_three_folders_and_no_other(installed):
    expected = set.union(*(files_in(ROOT / here, there) for there, here in FOLDERS.items()))
    assert files_in(installed / "funcnn", "funcnn") == expected
    others = {path.name for path in installed.iterdir()} - {"funcnn"}
    assert [name.rpartition(".")[2] for name in others] == ["dist-info"]


def test_a_source_archive_has_what_the_file_in_c_needs(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"funcnn/compiled/_native.c", "setup.py"} <= names
    assert not [name for name in names if name.endswith(".so")]


TRAINS = """
import numpy as np
import funcnn as fn
from funcnn.compiled.proof import same_bits

model = fn.serial(fn.Dense(16), fn.Relu(), fn.Dense(3))
_, params = model.init(fn.random.key(0), (4,))
optimizer = fn.adam(0.01)
steps = [
    fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer, compile=compile)
    for compile in (False, True)
]
batch = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32), np.arange(8) % 3
states = [fn.TrainState.create(params, optimizer)] * 2
for _ in range(3):
    states = [step(state, batch)[0] for step, state in zip(steps, states)]
assert same_bits(*states)
assert steps[1].why is None
(kind,) = steps[1]._recordings._kinds.values()
print(kind.programs[0].is_native, fn.__file__)
"""


@pytest.fixture
def trained(tmp_path):
    """Of a folder with a wheel: how a recorded step is replayed where that is installed.

    In a new environment, which finds what funcnn needs where the tests do.
    """

    def of(folder):
        environment = tmp_path / "env"
        run(sys.executable, "-m", "venv", "--without-pip", environment)
        python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
        install = ["-m", "pip", f"--python={python}", "install", "--no-deps", "--no-index"]
        run(sys.executable, *install, next(folder.glob("*.whl")))
        place = Path(
            run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")[:-1]
        )
        others = [path for path in sys.path if path.endswith("site-packages")]
        (place / "others.pth").write_text("\n".join(others), "utf-8")
        is_native, where = run(python, "-P", "-c", TRAINS, cwd=tmp_path).split(maxsplit=1)
        assert Path(where).is_relative_to(environment)
        said = run(python.parent / "funcnn", "--version", "--verbose", cwd=tmp_path)
        return is_native, said.splitlines()[-1]

    return of


def compiles():
    """Whether there is what an extension of Python needs."""
    compiler = (sysconfig.get_config_var("CC") or "none").split()[0]
    header = Path(sysconfig.get_path("include"), "Python.h")
    return os.name == "posix" and shutil.which(compiler) is not None and header.exists()


@pytest.mark.skipif(not compiles(), reason="needs a C compiler")
def test_an_installed_wheel_replays_steps_in_c(built, trained):
    is_native, said = trained(built)
    assert is_native == "True"
    assert said.startswith("recorded steps: in C, on ")


def test_a_wheel_that_was_made_without_a_compiler_replays_them_by_numpy(
    built_without_compiler, trained
):
    said = "recorded steps: by NumPy (the file in C was not compiled)"
    assert trained(built_without_compiler) == ("False", said)


def lint_imports(folder):
    """What import-linter says of the tree in this folder."""
    # Without the editable install that the tests use (-S), which would be found first.
    run = "from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-S", "-c", run, "--no-cache", "--no-logo", ROOT / "pyproject.toml"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


def test_no_import_runs_against_the_plan(installed):
    done = lint_imports(installed)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "planted", "broken"),
    [
        (
            "experiments/system/machine",
            "from funcnn.experiments.bench import peers",
            "Rooms import only rooms below them",
        ),
        (
            "losses",
            "from funcnn.layers import core",
            "Training is built on layers and optimizers, these on functions, these on arrays",
        ),
        (
            "layers/core",
            "from funcnn.experiments import errors",
            "The library needs neither the experiments nor the commands",
        ),
        ("optimizers/base", "from funcnn.spec import constructor", "Optimizers never see a layer"),
        (
            "experiments/labs/lab",
            "from funcnn.experiments.labs import registry",
            "No imports run in a circle",
        ),
        ("layers/core", "import funcnn", "What a package exports is not imported inside it"),
    ],
    ids=["rooms", "library", "alone", "optimizers", "circles", "doors"],
)
def test_an_import_that_runs_against_the_plan_is_found(
    installed, tmp_path, module, planted, broken
):
    shutil.copytree(installed / "funcnn", tmp_path / "funcnn")
    path = tmp_path / f"funcnn/{module}.py"
    path.write_text(f"{path.read_text('utf-8')}\n{planted}\n", "utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{broken} BROKEN" in done.stdout


def test_a_folder_called_funcnn_beside_a_script_does_not_hide_the_library(tmp_path):
    (tmp_path / "funcnn/funcnn").mkdir(parents=True)  # as a clone, which may be another one
    script = tmp_path / "script.py"
    script.write_text("import funcnn as fn, funcnn.cli\nprint(fn.serial.__name__, fn.__file__)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}\nAfter a change of setup.py, install again."
    assert done.stdout == f"serial {fn.__file__}\n"
