"""Folders that were written before the modules moved into rooms: read, gone on with, reported.

`old_folders.zip` has a run that was stopped, a sweep, the quick experiment `points` without figures
and reports, and two snapshots of the whole one. Nothing of them is made again by this code.
"""

import csv
import json
import shutil
import zipfile

import pytest
from commands import funcnn, parse
from helpers import ROOT, labs_here, need_weasyprint, run_all_here

from funcnn.experiments.hand_in import files
from funcnn.experiments.hand_in.notebook_runner import RunNotebook
from funcnn.experiments.sweep import sweep


@pytest.fixture
def old(tmp_path, monkeypatch):
    """The folders, unpacked into the current one."""
    with zipfile.ZipFile(ROOT / "tests/old_folders.zip") as packed:
        packed.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_that_was_stopped_goes_on_and_is_evaluated(old):
    before = (old / "stopped/metrics.csv").read_text("utf-8")
    funcnn("train", "--resume", "stopped", "--epochs", "2400", "--quiet")
    metrics = (old / "stopped/metrics.csv").read_text("utf-8")
    assert metrics.startswith(before)
    assert len(metrics) > len(before)
    summary = json.loads((old / "stopped/summary.json").read_text("utf-8"))
    assert summary["test_accuracy"] == 1
    assert parse(funcnn("evaluate", "stopped", "--json"))["test_accuracy"] == 1


def test_a_sweep_trains_only_what_is_missing(old, monkeypatch):
    monkeypatch.setattr(sweep, "run_all", run_all_here)
    with (old / "sweep/results.csv").open(newline="") as file:
        before = list(csv.DictReader(file))
    shutil.rmtree(old / "sweep/runs/lr=1_seed=1")
    grid = ["--grid", "lr=0.5,1", "--epochs", "200", "--seeds", "2"]
    funcnn("sweep", "points", *grid, "--out", "sweep", "--quiet")
    with (old / "sweep/results.csv").open(newline="") as file:
        after = list(csv.DictReader(file))
    kept = [row for row in before if row["run"] != "lr=1_seed=1"]
    assert len(before) == 4
    assert [row for row in after if row["run"] != "lr=1_seed=1"] == kept
    assert {row["run"] for row in after} == {row["run"] for row in before}


def test_an_experiment_is_gone_on_with_and_reported(old):
    need_weasyprint()
    lost = old / "experiment/trials/linear/numpy-seed-0"
    summary = json.loads((lost / "summary.json").read_text("utf-8"))
    shutil.rmtree(lost)
    with labs_here():
        funcnn("experiment", "run", "points", "--quick", "--out", "experiment", "--quiet")
    again = json.loads((lost / "summary.json").read_text("utf-8"))
    assert again.keys() == summary.keys()
    page = (old / "experiment/report.html").read_text("utf-8")
    xor = json.loads((old / "experiment/trials/xor/numpy-seed-0/summary.json").read_text("utf-8"))
    assert "The set xor" in page
    assert f"{100 * xor['test_accuracy']:.2f}" in page
    assert (old / "experiment/figures").is_dir()


def test_params_that_were_kept_after_epochs_are_held_to_the_record(old):
    kept = old / "experiment/trials/xor/numpy-seed-0/history"
    next(kept.glob("*.npz")).unlink()
    done = funcnn("experiment", "report", "points", "--quick", "--out", "experiment", code=1)
    assert "xor/numpy-seed-0 was changed since it was trained" in done.stderr


def test_snapshots_are_inspected_and_exported(old):
    snapshot = old / "experiment/trials/xor/numpy-seed-0/params.npz"
    assert parse(funcnn("inspect", snapshot, "--json"))["parameters"] == 37
    funcnn("export", snapshot, "--to", "pt", "--out", "xor.pt")
    assert (old / "xor.pt").exists()


RAN = {"cell_type": "code", "execution_count": 1, "outputs": [], "source": ["import numpy"]}


def test_snapshots_are_handed_in(old, monkeypatch):
    need_weasyprint()
    pytest.importorskip("torch", reason="both backends predict: pip install 'funcnn[torch]'")
    # How a notebook runs beside such params is seen in test_hand_in.
    ran = RunNotebook(json.dumps({"cells": [RAN]}).encode(), {}, {})
    monkeypatch.setattr(files, "run_notebook", lambda *args: ran)
    snapshots = [
        word for name in ("xor", "linear") for word in ("--snapshot", f"handed/{name}.npz")
    ]
    student = ["--student-id", "7", "--name", "Li"]
    result = funcnn("experiment", "submit", "points", *student, *snapshots, "--draft", "--json")
    done = json.loads(result.stdout)
    assert len(done["files"]) == 7
    assert [broken[:36] for broken in done["broken"]] == [
        "DL_LAB1_7_Li.pdf: has not the lab's s"[:36]
    ]
    rules = [rule for rule in done["rules"] if rule.startswith(("network.py", "xor", "linear"))]
    assert len(rules) == 5
    assert rules[0].endswith("(21 of 21)")  # alone, it predicts what the snapshot does
    assert all("(100.00 %" in rule for rule in rules[1:])
