"""Every command as on Windows and on a Mac, which lack what Linux has; and text in a code page."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from commands import names_of_commands
from helpers import ROOT
from PIL import Image
from web import Site

from funcnn import threads
from funcnn.cli import main
from funcnn.experiments.system import machine

OTHER_SYSTEMS = ROOT / "tests/whole/other_systems"

TRAIN = "train --arch mlp2 --hidden 3 --data pictures --epochs 2 --out runs/été"
COMMANDS = [
    "data list",
    "data path fashion-mnist",
    "data fetch mnist --to fetched",
    "data verify mnist",
    "data show pictures --out shown.png",
    "data duplicates pictures --out duplicates.png",
    TRAIN,
    "train --resume runs/été --epochs 3",
    "evaluate runs/été",
    "predict runs/été --data pictures --out predicted.csv",
    "inspect runs/été/params.npz",
    "export runs/été --to safetensors",
    "import runs/été/params.safetensors --arch mlp2 --hidden 3 --data pictures --out runs/in",
    "figure activations --out activations.png",
    "figure augmentations --out augmentations.png",
    "figure curves runs/été --out curves.png",
    "check points",
    "range-test --arch mlp2 --hidden 3 --data pictures --steps 4 --out rates.png",
    "bench --net tiny --peer funcnn --rounds 1 --out bench",
    "sweep points --grid lr=1,2 --epochs 2",
    "compare --arch points --mode lockstep --steps 2 --out compared",
    "experiment list",
    "experiment run tiny",
    "experiment report tiny",
    "experiment notebook points --out notebooks",
    "experiment submit tiny --student-id 1 --name 王 "
    "--snapshot runs/tiny/trials/one/numpy-seed-0/params.npz --draft",
    "grade notebooks --lab points",
    "--version --verbose",
]


@pytest.fixture
def place(tmp_path):
    """A folder with pictures of two classes, with names of which each code page lacks one."""
    for shade, name in enumerate(("été", "貓")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(12):
            picture = Image.new("L", (4, 4), 100 * shade + index)
            picture.save(tmp_path / "pictures" / name / f"{index}.png")
    return tmp_path


def test_the_commands_that_are_tried_are_all_that_there_are():
    tried = {" ".join(["funcnn", *command.split()]) for command in COMMANDS}
    for command in names_of_commands(main):
        assert any(f"{each} ".startswith(f"{command} ") for each in tried), command


def run_all_on(system, code_page, place):
    """By command: the exit code, and what came to stdout and to stderr."""
    files = {f"/mnist/{path.name}": path.read_bytes() for path in (ROOT / "data/mnist").iterdir()}
    with Site(files).served() as address:
        more = {
            "PYTHONPATH": str(OTHER_SYSTEMS),
            "FUNCNN_TEST_SYSTEM": system,
            "FUNCNN_MIRROR": address,
            "PYTHONWARNDEFAULTENCODING": "1",
            "PYTHONUTF8": "0",
        }
        done = subprocess.run(
            [sys.executable, "-P", OTHER_SYSTEMS / "every_command.py", code_page],
            input=json.dumps([command.split() for command in COMMANDS]),
            cwd=place,
            env=os.environ | more,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return dict(zip(COMMANDS, json.loads(done.stdout), strict=True))


SURE = "the same bits again, with any number of threads, stopped and resumed: "


# A Mac has UTF-8; each code page is tried with a system, so that both are tried.
@pytest.mark.parametrize(
    ("system", "code_page", "shown", "sure"),
    [
        ("windows", "cp1252", ["été", "\\u8c93"], "yes"),
        ("mac", "cp950", ["\\xe9t\\xe9", "貓"], "only if "),  # its BLAS is none that can be set
    ],
)
def test_every_command_runs_on_another_system(place, system, code_page, shown, sure):
    results = run_all_on(system, code_page, place)
    for command, (code, _, err) in results.items():
        assert (code, "Traceback" in err, "Error" in err) == (0, False, False), f"{command}: {err}"

    for command in ("data show pictures --out shown.png", "evaluate runs/été"):
        assert all(name in results[command][1] for name in shown), command
    assert f"{SURE}{sure}" in results["--version --verbose"][1]
    predicted = (place / "predicted.csv").read_text("utf-8").splitlines()
    assert predicted[0] == "Id,Category"
    assert {line.split(",")[1] for line in predicted[1:]} <= {"été", "貓"}
    assert len(predicted) == 25

    # What is written is the same on every system, the ends of lines among it.
    kinds = {".csv", ".html", ".ipynb", ".json", ".md", ".py", ".txt"}
    texts = [path for path in place.rglob("*") if path.suffix in kinds]
    assert kinds == {path.suffix for path in texts}
    assert [path for path in texts if b"\r" in path.read_bytes()] == []


# --- a BLAS that cannot be set -----------------------------------------------------------------


class Library(NamedTuple):
    """As threadpoolctl describes one."""

    internal_api: str
    version: str = "1.2"


@pytest.mark.parametrize(
    ("libraries", "sure"),
    [
        ([Library("openblas")], "yes"),
        ([Library("blis")], "yes"),
        ([Library("mkl")], "only if MKL_CBWR is set"),
        ([], "only if accelerate 3.4 multiplies alike each time: its threads cannot be set"),
    ],
)
def test_the_bits_that_are_promised_are_those_that_the_blas_allows(monkeypatch, libraries, sure):
    built = {"Build Dependencies": {"blas": {"name": "accelerate", "version": "3.4"}}}
    monkeypatch.setattr(np, "show_config", lambda mode: built)
    monkeypatch.setattr(threads, "blas_libraries", lambda: libraries)
    assert machine.same_bits()[0].startswith(f"{SURE}{sure}")
    described = machine.describe_machine(())["BLAS"]
    assert described == (f"{libraries[0].internal_api} 1.2" if libraries else "accelerate 3.4")


def test_no_product_is_divided_by_a_blas_that_cannot_be_set(monkeypatch):
    with threads.use_threads(2), threads.single_threaded_blas():
        monkeypatch.setattr(threads, "blas_libraries", lambda: [Library("openblas")])
        assert threads.spare_blas_threads() == 2
        monkeypatch.setattr(threads, "blas_libraries", list)
        assert threads.spare_blas_threads() == 1


# --- processes ---------------------------------------------------------------------------------

SPAWN = """
import multiprocessing

import funcnn as fn


def train(seed):
    model = fn.serial(fn.Dense(4), fn.Tanh(), fn.BatchNorm(), fn.Dropout(0.5), fn.Dense(3))
    _, params = model.init(fn.random.key(seed), (2,))
    optimizer = fn.chain(fn.add_decayed_weights(1e-4), fn.adam(0.1))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer, fn.random.key(seed))
    x = fn.random.normal(fn.random.key(1), (64, 2))
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
    for batch in fn.batches((x, y), 16, rng=fn.random.key(2)):
        state, _ = step(state, batch)
    return model, optimizer, state


if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        trained = pool.map(train, [0, 1])
    for seed, (model, optimizer, state) in enumerate(trained):
        _, _, mine = train(seed)
        same = fn.tree.map(lambda a, b: (a == b).all(), mine.params, state.params)
        x = fn.random.normal(fn.random.key(3), (5, 2))
        y, _ = model.apply(state.params, x)
        print(all(fn.tree.leaves(same)), y.shape)
"""


def test_a_script_that_spawns_processes_gets_the_same_bits_from_them(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SPAWN, "utf-8")
    done = subprocess.run(
        [sys.executable, "-P", script], capture_output=True, encoding="utf-8", check=False
    )
    assert (done.stdout, done.stderr) == ("True (5, 3)\nTrue (5, 3)\n", "")
