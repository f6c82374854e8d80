"""What is installed: every file of the three folders as one tree, whose imports run one way."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from helpers import ROOT

import funcnn as fn

FOLDERS = {"funcnn": "funcnn", "funcnn/cli": "cli", "funcnn/experiments": "experiments"}
NEEDED = ["LICENSE", "README.md", "pyproject.toml", "setup.py"]


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A folder with the package as a wheel installs it; the wheel is made from the source archive.

    All in a copy, for a build leaves files behind, and a later one puts them into its wheel.
    """
    copy, out, unpacked = (tmp_path_factory.mktemp(name) for name in ("copy", "out", "unpacked"))
    for folder in FOLDERS.values():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for name in NEEDED:
        shutil.copy(ROOT / name, copy)
    build = [sys.executable, "-m", "build", "--no-isolation", f"--outdir={out}", copy]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked


def files_in(folder, called=""):
    """The paths of all files in a folder, as if the folder were `called` so."""
    paths = (path for path in folder.rglob("*") if path.is_file())
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
