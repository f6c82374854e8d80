"""Sweeps: what is made of a grid, a sweep to its end, again, grown, with failures; refusals."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import context_of
from helpers import run_all_here
from image_files import PIXELS, TABLE, write_csv

from funcnn.cli import main
from funcnn.experiments.errors import InputError
from funcnn.experiments.sweep import sweep as module
from funcnn.experiments.sweep.figures import draw_sweep
from funcnn.experiments.sweep.plan import Plan, train_command
from funcnn.experiments.sweep.results import Outcome, best_of, summarise, write_table
from funcnn.experiments.sweep.sweep import Processes, Sweep
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.record import Record
from funcnn.experiments.training.run_folder import EpochRow, RunFolder

QUICK = ["sweep", "points", "--epochs", "4"]
GRID = ["--grid", "lr=0.01,0.1", "--grid", "hidden=4,8x8"]
# It leaves the numbers at once.
DIVERGES = ["sweep", "points", "--epochs", "4", "--activation", "exp", "--loss", "squared-error"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def funcnn(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def rows(folder="runs/sweep-points"):
    with Path(folder, "results.csv").open() as file:
        return list(csv.DictReader(file))


def made(folder="runs/sweep-points"):
    """When each finished run was finished."""
    found = Path(folder, "runs").glob("*/summary.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


# --- what is made of a grid ------------------------------------------------------------------


def test_every_combination_is_a_point_and_every_seed_a_run():
    grid = {"lr": (0.01, 1.0), "hidden": ((4,), (8, 8), ())}
    plan = Plan.make("points", grid, {"epochs": 3, "seed": 5}, 2)
    assert [point.label for point in plan.points][:2] == ["lr=0.01 hidden=4", "lr=0.01 hidden=8x8"]
    assert len(plan.points) == 6
    assert [run.name for run in plan.runs][:2] == [
        "lr=0.01_hidden=4_seed=5",
        "lr=0.01_hidden=4_seed=6",
    ]
    assert plan.runs[-1].name == "lr=1_hidden=0_seed=6"
    last = plan.runs[-1].config
    assert (last.arch, last.lr, last.hidden, last.epochs, last.seed) == ("points", 1.0, (), 3, 6)


def test_a_lab_brings_the_settings_of_its_main_trials_and_a_key_for_them():
    plan = Plan.make("lab:points", {"lr": (0.1, 0.2)}, {}, 1)
    assert list(plan.grid) == ["trial", "lr"]
    assert [run.config.data for run in plan.runs] == ["points-linear"] * 2 + ["points-xor"] * 2
    assert len(Plan.make("fashion", {"trial": ("cnn",), "channels": ((4,),)}, {}, 1).runs) == 1
    assert list(Plan.make("fashion-mlp", {"lr": (0.1,)}, {}, 1).grid) == ["lr"]
    assert Plan.make("points", {}, {}, 1).runs[0].config.init == "own"  # the architecture


def test_names_of_folders_are_safe_and_unique():
    paths = ("some/where", "some-where", "Some-Where", "x" * 300, "x" * 301, "a b,\n\0", "..")
    plan = Plan.make("mlp3", {"data": paths}, {}, 1)
    names = [run.name for run in plan.runs]
    assert len({name.lower() for name in names}) == len(paths)
    for name in names:
        assert len(name) < 200
        assert not set(name) & set("/\\ \n\0,:*?\"'")


def test_the_command_printed_trains_the_same_config():
    grid = {"hidden": ((), (8, 8)), "lr": (1 / 3,), "weight_decay": (1e-5,), "data": ("a 'b'",)}
    fixed = {"test_curve": True, "momentum": 0.5}
    for run in Plan.make("lab:fashion", {"trial": ("cnn",), **grid}, fixed, 2).runs:
        words = shlex.split(train_command(run.point.settings, run.seed))
        assert words[:2] == ["funcnn", "train"]
        context = context_of(words[1:])
        given = {
            name: value
            for name, value in context.params.items()
            if value is not None and name in run.config.__dataclass_fields__
        }
        assert type(run.config).resolve(given) == run.config


BAD = {
    "lr": "'lr': give a setting and values, as lr=0.01,0.1",
    "=1": "'=1': give a setting and values",
    "lr=": "lr=: a value is missing",
    "lr=0.1,,1": "lr=0.1,,1: a value is missing",
    "lr=0.1,0.10": "lr=0.1,0.10: 0.10 is there twice",
    "lr=fast": "lr=fast: 'fast' is not a valid float",
    "hidden=4,8y8": "hidden=8y8: '8y8': give sizes as 256x128",
    "activation=rulu": "activation=rulu: 'rulu' is not one of",
    "rate=0.1": "rate is no setting to try values of (known: activation, augment, average, backend",
    "jobs=1,2": "jobs is no setting to try values of",
    "arch=mlp2": "arch is no setting to try values of",
    "test-curve=1": "test-curve is no setting to try values of",
    "seed=1,2": "seed: give --seeds, and the first one with --seed",
    "epochs=3,0": "--epochs 0: must be an integer of at least 1 (epochs=0)",
    "momentum=0.9,1": "--momentum 1.0: must be at least 0 and below 1 (momentum=1)",
    "channels=4": "--channels 4: must be left out for --arch points",
    "trial=xor": "--grid trial=xor: no main trial of points (known: none, it is an architecture)",
    "batch_size=7,50": "--batch-size 50: there are 21 training examples",
    "data=points-xor,nowhere": "--data nowhere: must be one of points-linear, points-xor",
}


@pytest.mark.parametrize("grid", BAD)
def test_a_bad_grid_is_one_line_before_anything_is_made(grid):
    result = CliRunner().invoke(main, ["sweep", "points", "--grid", grid])
    assert result.exit_code in (1, 2)
    (line,) = result.stderr.splitlines()
    assert BAD[grid] in line
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pionts"], "'pionts' is neither an architecture nor an experiment, nor FILE.py:NAME"),
        (["lab:pionts"], "'lab:pionts' is neither"),
        (["points", "--grid", "lr=1", "--lr", "2"], "--grid lr: --lr fixes it already"),
        (["points", "--grid", "lr=1", "--grid", "lr=2"], "lr is given twice"),
        (["points", "--seeds", "0"], "0 is not in the range x>=1"),
        (["points", "--jobs", "1000"], "--jobs 1000: each needs a core, and there are"),
        (["points", "--jobs", "1", "--scheduler", "x:1"], "--jobs is for this machine"),
        (["lab:fashion", "--grid", "trial=mlp"], "no main trial of lab:fashion (known: cnn, fully"),
        (["points", "--out", "file"], "--out file exists already, and is no sweep"),
        (["points", "--out", "mine"], "--out mine exists already, and is no sweep"),
    ],
)
def test_other_bad_input_is_one_line(arguments, said):
    Path("file").write_text("")
    Path("mine").mkdir()
    Path("mine/it.txt").write_text("mine")
    result = CliRunner().invoke(main, ["sweep", *arguments])
    assert result.exit_code in (1, 2)
    (line,) = result.stderr.splitlines()
    assert said in line
    assert not Path("runs").exists()


# --- to the end, and again -------------------------------------------------------------------


def test_a_sweep_writes_its_table_figure_and_runs_and_only_the_rest_when_it_grows(monkeypatch):
    said = funcnn(*QUICK, *GRID, "--seeds", 2).stdout
    assert said.count(": train accuracy ") == 8
    assert "test" not in said
    found = rows()
    assert len(found) == 8
    assert list(found[0]) == [
        *("run", "lr", "hidden", "seed", "epochs", "snapshot_epoch", "train_loss"),
        *("train_accuracy", "val_loss", "val_accuracy", "parameters", "seconds", "error"),
    ]
    for row in found:
        folder = RunFolder(Path("runs/sweep-points/runs") / row["run"])
        kept = folder.read_metrics()[-1]
        assert float(row["train_loss"]) == kept.train_loss
        assert (row["val_loss"], row["error"], row["epochs"]) == ("", "", "4")
        assert folder.read_config().seed == int(row["seed"])
    assert Path("runs/sweep-points/sweep.png").read_bytes().startswith(b"\x89PNG")
    before = made()
    data = json.loads(funcnn(*QUICK, *GRID, "--seeds", 2, "--json").stdout)
    assert made() == before
    assert data["best"] == data["points"][:1]
    means = [point["train_accuracy"]["mean"] for point in data["points"]]
    assert means == sorted(means, reverse=True)
    monkeypatch.setattr(module, "run_all", run_all_here)
    # More values and more seeds: the finished runs stay as they are.
    grown = ["--grid", "lr=0.01,0.1,1", "--grid", "hidden=4,8x8", "--seeds", 3]
    funcnn(*QUICK, *grown)
    assert len(rows()) == 18
    assert before.items() <= made().items()
    # Fewer: those that are left out stay too.
    whole = made()
    funcnn(*QUICK, "--grid", "lr=1", "--grid", "hidden=4")
    assert len(rows()) == 1
    assert made() == whole
    # The command that it prints gives the best run again.
    best = data["best"][0]
    words = shlex.split(best["command"])
    funcnn(*words[1:], "--quiet", "--out", "again")
    name = f"lr={best['lr']}_hidden={best['hidden']}_seed=0"
    again = Path("again/params.npz").read_bytes()
    assert again == Path("runs/sweep-points/runs", name, "params.npz").read_bytes()


def test_a_grid_over_what_ends_weighs_and_leaves_out(monkeypatch):
    monkeypatch.setattr(module, "run_all", run_all_here)
    write_csv(Path("mine.csv"), TABLE, ["label", *PIXELS])
    sizes = ["--val-size", 3, "--batch-size", 4, "--epochs", 6]
    grid = ["--grid", "patience=1,9", "--grid", "class-weights=none,balanced"]
    grid += ["--grid", "drop-last=true,false"]
    printed = funcnn("sweep", "softmax", "--data", "mine.csv", *sizes, *grid, "--jobs", 1).stdout
    found = {}
    for row in rows("runs/sweep-softmax"):
        config = RunFolder(Path("runs/sweep-softmax/runs", row["run"])).read_config()
        key = (config.patience, config.class_weights, config.drop_last)
        assert key == (int(row["patience"]), row["class_weights"], row["drop_last"] == "True")
        found[key] = int(row["epochs"])
    assert len(found) == 8
    assert all(epochs == 6 for (patience, *_), epochs in found.items() if patience == 9)
    assert any(epochs < 6 for (patience, *_), epochs in found.items() if patience == 1)
    best = re.search(r"best: (.*)\n  (funcnn train .*)", printed)
    assert ("--drop-last" in best[2]) == ("drop-last=True" in best[1])
    refused = ["--val-size", 0, "--grid", "patience=0,2", "--out", "other"]
    said = funcnn("sweep", "softmax", "--data", "mine.csv", *refused, code=1).stderr
    assert said == "Error: --patience 0: must be an integer of at least 1 (patience=0)\n"


class Stop(Callback):
    """Interrupts after one result, as Ctrl-C."""

    def run_end(self, run, folder, error):
        raise KeyboardInterrupt


def test_an_interrupted_sweep_trains_the_rest_and_goes_on_with_what_is_begun(monkeypatch):
    plan = Plan.make("points", {"lr": (0.01, 0.1, 1.0)}, {"epochs": 4}, 1)
    out = Path("out")
    with pytest.raises(KeyboardInterrupt):
        Sweep.open(plan, Processes(1), out).finish(Stop())
    assert len(rows("out")) == 1
    first = made("out")
    asked = []
    run_all = module.run_all

    def noted(jobs, at_once):
        asked.extend(job.name for job in jobs)
        return run_all(jobs, at_once)

    monkeypatch.setattr(module, "run_all", noted)
    Sweep.open(plan, Processes(1), out).finish()
    assert asked == ["lr=0.1_seed=0", "lr=1_seed=0"]
    assert first.items() <= made("out").items()
    assert len(rows("out")) == 3
    whole = Sweep.open(plan, Processes(1), Path("whole"))
    whole.finish()
    for name in made("out"):
        assert (
            RunFolder(Path("out/runs", name)).params.read_bytes()
            == RunFolder(Path("whole/runs", name)).params.read_bytes()
        )


def test_a_sweep_that_was_killed_while_it_began_is_begun_again(monkeypatch):
    monkeypatch.setattr(module, "run_all", run_all_here)
    Path("runs/sweep-points").mkdir(parents=True)
    Path("runs/sweep-points/.funcnn-1-2").write_text("{")
    funcnn(*QUICK, "--grid", "lr=0.1")
    assert not Path("runs/sweep-points/.funcnn-1-2").exists()


def test_ctrl_c_in_a_real_process_keeps_what_is_finished():
    code = "from funcnn.cli import main; main()"
    command = [sys.executable, "-c", code, "sweep", "points", "--epochs", "60",
               "--jobs", "1", "--grid", "lr=0.01,0.1"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("lr=0.01 seed=0: train accuracy")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "stopped; what is finished is used when it runs again\n"
    before = made()
    assert len(before) == 1
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "lr=0.01 seed=0: train" not in done.stdout
    assert done.stderr == ""
    assert before.items() <= made().items()
    assert len(rows()) == 2


# --- failures --------------------------------------------------------------------------------


def test_a_run_that_diverges_is_a_row_and_ends_no_other():
    result = funcnn(*DIVERGES, "--grid", "lr=1e30,0.01", "--jobs", 1, code=1)
    assert result.stderr == "Error: 1 of 2 runs failed: lr=1e+30_seed=0\n"
    bad, good = rows()
    assert bad["error"].startswith("the loss ")
    assert (bad["train_loss"], good["error"]) == ("", "")
    assert "\nbest: lr=0.01\n" in result.stdout
    again = funcnn(*DIVERGES, "--grid", "lr=1e30,0.01", "--json", code=1)
    assert [point["failed"] for point in json.loads(again.stdout)["points"]] == [0, 1]


def test_without_any_result_there_is_no_best_and_no_figure(monkeypatch):
    monkeypatch.setattr(module, "run_all", run_all_here)
    result = funcnn(*DIVERGES, "--grid", "lr=1e30,1e31", code=1)
    assert "best" not in result.stdout
    assert not Path("runs/sweep-points/sweep.png").exists()


def test_a_process_that_is_killed_is_a_row_and_another_takes_its_place():
    class Kill(Callback):
        killed = False

        def epoch_end(self, run, row, epochs):
            if not self.killed:
                found = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "training.worker"],
                                       capture_output=True, text=True, check=True)  # fmt: skip
                self.killed = True
                os.kill(int(found.stdout), signal.SIGKILL)
                time.sleep(0.1)

    plan = Plan.make("points", {"lr": (0.01, 0.1)}, {"epochs": 100}, 1)
    _, outcomes = Sweep.open(plan, Processes(1), Path("out")).finish(Kill())
    first, second = (outcomes[run.name] for run in plan.runs)
    assert first.error.startswith("its process ended with exit code")
    assert second.error is None


def test_a_second_process_in_the_folder_is_one_line_until_the_first_is_killed():
    code = "from funcnn.cli import main; main()"
    quick = ["sweep", "points", "--epochs", "60", "--grid", "lr=0.01,0.1"]
    command = [sys.executable, "-c", code, *quick, "--jobs", "1"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline().startswith("lr=0.01 seed=0: train accuracy")
        os.kill(first.pid, signal.SIGSTOP)
        before = Path("runs/sweep-points/results.csv").read_bytes()
        result = funcnn(*quick, code=1)
        assert result.stderr == "Error: runs/sweep-points: another process is at work in it\n"
        assert Path("runs/sweep-points/results.csv").read_bytes() == before
    finally:
        first.kill()
        first.communicate()
    funcnn(*quick)
    assert [row["error"] for row in rows()] == ["", ""]


def test_a_second_process_that_began_before_the_first_was_at_work_is_refused_too():
    plan = Plan.make("points", {"lr": (0.01,)}, {"epochs": 4}, 1)
    second = Sweep.open(plan, Processes(1), Path("out"))

    class Two(Callback):
        def begin(self, runs, finished):
            with pytest.raises(InputError, match=r"^out: another process is at work in it$"):
                second.finish()

    Sweep.open(plan, Processes(1), Path("out")).finish(Two())
    assert made("out")


def test_the_same_weights_are_for_a_sweep_that_has_torch():
    fixed = {"init": "shared", "epochs": 1}
    both = Plan.make("softmax", {"backend": ("numpy", "torch")}, fixed, 1)
    assert [run.config.init for run in both.runs] == ["shared", "shared"]
    for grid, also in (({"init": ("own", "shared")}, {}), ({"lr": (0.1,)}, fixed)):
        with pytest.raises(InputError, match=r"^--init is for --backend torch: leave it out$"):
            Plan.make("softmax", grid, also, 1)


# --- refusals --------------------------------------------------------------------------------


def test_another_sweeps_folder_and_changed_runs_are_refused(monkeypatch):
    monkeypatch.setattr(module, "run_all", run_all_here)
    quick = [*QUICK, "--grid", "lr=0.01"]
    funcnn(*quick)
    other = "runs/sweep-points was begun with"
    for arguments, said in (
        (
            ["sweep", "points", "--epochs", 5, "--grid", "lr=0.01"],
            f"{other} --epochs 4, not 5: give ",
        ),
        (
            ["sweep", "points", "--grid", "lr=0.01"],
            f"{other} --epochs 4, which is left out now: give",
        ),
        ([*quick, "--momentum", 0], "runs/sweep-points was begun without --momentum: give another"),
        ([*QUICK, "--grid", "momentum=0.5"], "was begun as a grid of lr, not momentum: give anoth"),
        (
            ["sweep", "mlp3", "--grid", "lr=0.1", "--out", "runs/sweep-points"],
            f"{other} points, not mlp3",
        ),
    ):
        assert said in funcnn(*arguments, code=1).stderr
    folder = Path("runs/sweep-points/runs/lr=0.01_seed=0")
    params = folder / "params.npz"
    params.write_bytes(params.read_bytes() + b"\n")
    assert f"{folder} was changed since it was trained: del" in funcnn(*quick, code=1).stderr
    params.unlink()
    assert "it has no params.npz" in funcnn(*quick, code=1).stderr
    record = Path("runs/sweep-points/sweep.json")
    text = record.read_text()
    record.write_text(json.dumps({**json.loads(text), "sha256": {}}))
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"epochs": 4', '"epochs": 5'))
    assert "has other settings than the sweep has now" in funcnn(*quick, code=1).stderr
    for values in ({}, {**json.loads(text), "grid": [["lr"]]}):
        record.write_text(json.dumps(values))
        assert "is not the record of a sweep" in funcnn(*quick, code=1).stderr


def test_a_run_of_a_name_that_no_folder_has_is_as_one_that_was_deleted(tmp_path):
    path = tmp_path / "sweep.json"
    (tmp_path / "runs" / "a").mkdir(parents=True)
    names = ["a", "b", "x" * 5000, "x/" * 5000, "nul\0"]
    path.write_text(json.dumps({"sha256": dict.fromkeys(names, "0")}))
    record = Record(path, "a sweep", "runs")
    with record.read():
        pass
    assert record.digests == {"a": "0"}


def test_a_table_without_the_validation_that_its_config_has_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_config(RunConfig.resolve({"arch": "mlp3", "val_size": 5}))
    folder.write_metrics([EpochRow(1, 0.5, 0.5, None, None, 0.1, 1.0)])
    none = dict.fromkeys(("val_loss", "val_accuracy", "test_loss", "test_accuracy"))
    counts = dict.fromkeys(("parameters", "epochs", "snapshot_epoch"), 1)
    examples = {"train_examples": 9, "test_examples": 9, "test_is": "", "confusion_matrix": None}
    folder.write_summary(none | counts | examples | {"seconds": 1.0})
    with pytest.raises(InputError) as caught:
        Outcome.read(folder)
    assert str(caught.value) == f"{folder.metrics} has no validation loss, or accuracy"
    folder.write_config(RunConfig.resolve({"arch": "mlp3", "val_size": 0}))
    assert Outcome.read(folder).val_loss is None


# --- results ---------------------------------------------------------------------------------


def test_points_are_compared_on_validation_and_failed_ones_come_last(tmp_path):
    plan = Plan.make("mlp3", {"lr": (0.1, 0.2, 0.3)}, {}, 2)
    numbers = [(0.75, 0.3), (0.5, 0.3), (0.625, 0.1), (0.625, 0.2), (1.0, 0.1), None]
    outcomes = {
        run.name: Outcome(error="no")
        if each is None
        else Outcome(1, 1, 0.5, 0.5, each[1], each[0], 10, 1.0)
        for run, each in zip(plan.runs, numbers, strict=True)
    }
    results = summarise(plan, outcomes)
    # Of equal accuracies the lower loss; one with a failed run is no choice while others are whole.
    assert [result.point.label for result in results] == ["lr=0.2", "lr=0.1", "lr=0.3"]
    assert results[1].accuracy.mean == 0.625
    assert best_of(results) == results[:1]
    write_table(tmp_path / "some.csv", plan, {plan.runs[0].name: outcomes[plan.runs[0].name]})
    assert len((tmp_path / "some.csv").read_text().splitlines()) == 2
    with pytest.raises(InputError, match="neither an architecture"):
        Plan.make("", {}, {}, 1)


@pytest.mark.parametrize(
    "grid",
    [
        {"lr": (0.1,)},
        {"lr": (0.1, 0.01)},
        {"weight_decay": (0.0, 0.001, 0.1)},
        {"batch_size": tuple(range(10, 30))},
        {"activation": ("relu", "tanh")},
        {"lr": (0.1, 1.0), "hidden": ((4,), (8, 8))},
        {"activation": ("relu", "tanh"), "hidden": ((4,), (8, 8), ())},
        {"lr": (0.1, 1.0), "activation": ("relu", "tanh"), "hidden": ((4,), (8, 8), ())},
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("seeds", [1, 2])
def test_every_kind_of_grid_has_a_figure_with_gaps_for_what_failed(grid, seeds, tmp_path):
    plan = Plan.make("mlp3", grid, {}, seeds)
    good = Outcome(1, 1, 0.5, 0.5, 0.4, 0.6, 10, 1.0)
    outcomes = {run.name: good for run in plan.runs}
    draw_sweep(tmp_path / "whole.png", plan.grid, summarise(plan, outcomes), "val")
    assert (tmp_path / "whole.png").read_bytes().startswith(b"\x89PNG")
    if len(plan.points) > 1:
        for run in plan.runs[:seeds]:
            outcomes[run.name] = Outcome(error="no")
        draw_sweep(tmp_path / "gap.png", plan.grid, summarise(plan, outcomes), "val")
        gap = (tmp_path / "gap.png").read_bytes()
        assert gap.startswith(b"\x89PNG")
        assert gap != (tmp_path / "whole.png").read_bytes()
