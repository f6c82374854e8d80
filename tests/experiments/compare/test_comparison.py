"""`funcnn compare`: what it leaves, what it says of its numbers, that it can be stopped."""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from commands import FUNCNN, funcnn, parse
from helpers import run_all_here
from image_files import image_folder

from funcnn.cli import main
from funcnn.experiments import extras
from funcnn.experiments.compare import comparison, findings
from funcnn.experiments.compare.comparison import Comparison
from funcnn.experiments.compare.lockstep_table import read_steps
from funcnn.experiments.compare.results import (
    chance_beyond,
    compare_means,
    free_results,
)
from funcnn.experiments.errors import InputError
from funcnn.experiments.figures.plots import share_of_class
from funcnn.experiments.system.process import ModuleProcess, ProcessEndedError
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.model import load_model
from funcnn.experiments.training.pool import Job, run_all
from funcnn.experiments.training.run_folder import RunFolder
from funcnn.experiments.training.spread import spread

TINY = ["--arch", "mlp2", "--hidden", "5", "--val-size", "12", "--epochs", "2", "--batch-size", "8"]
OPTIONS = ["--seeds", "2", "--threads", "1"]
NEEDS_TORCH = "a comparison is with torch: pip install 'funcnn[torch]'"
RUNS = [f"{backend}-seed-{seed}" for seed in (0, 1) for backend in ("numpy", "torch")]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def here(monkeypatch, no_figures):
    """Runs are done in this process."""
    monkeypatch.setattr(comparison, "run_all", run_all_here)


@pytest.fixture(scope="module")
def compared(images, tmp_path_factory):
    """A finished comparison, and what the command printed; torch's second run was done here."""
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    folder = tmp_path_factory.mktemp("compared") / "it"

    def run_there_or_here(jobs, at_once):
        second = [job.name for job in jobs] == ["torch-seed-1"]
        return (run_all_here if second else run_all)(jobs, at_once)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "run_all", run_there_or_here)
        result = funcnn("compare", *TINY, *OPTIONS, "--data", images, "--out", folder)
    return folder, result.stdout


def record_of(folder):
    return json.loads((folder / "comparison.json").read_text(), parse_constant=pytest.fail)


# --- what a comparison leaves --------------------------------------------------------------------


def test_a_comparison_writes_its_files_and_no_others(compared):
    folder, _ = compared
    pictures = {"curves.png", "confusion.png", "disagreements.png", "lockstep.png"}
    tables = {"lockstep-float64.csv", "lockstep-float32.csv"}
    found = {file.name for file in folder.iterdir()}
    assert found == {"comparison.json", "comparison.md", "data.json", *tables, *pictures, *RUNS}
    for picture in pictures:
        assert (folder / picture).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_runs_are_ordinary_runs_of_the_same_settings(compared, images):
    folder, _ = compared
    for name in RUNS:
        backend, _, seed = name.split("-")
        run = RunFolder.open(folder / name)
        summary = json.loads(run.summary.read_text())
        assert summary["backend"] == backend
        expected = RunConfig.resolve(
            {"arch": "mlp2", "hidden": [5], "val_size": 12, "epochs": 2, "batch_size": 8}
            | {"data": str(images), "backend": backend, "seed": int(seed)}
        )
        assert run.read_config() == expected
        assert load_model(run).predict(np.zeros((2, 1, 4, 4), np.uint8)).shape == (2, 3)


def test_a_run_of_a_comparison_is_the_run_that_train_makes(compared, images):
    folder, _ = compared
    funcnn("train", *TINY, "--data", images, "--seed", 1, "--out", "alone")
    alone = Path("alone/params.npz").read_bytes()
    assert alone == (folder / "numpy-seed-1" / "params.npz").read_bytes()


def test_the_record_has_the_numbers_of_the_runs(compared):
    folder, _ = compared
    record = record_of(folder)
    assert record["seeds"] == [0, 1]
    assert [row["run"] for row in record["free"]["runs"]] == sorted(RUNS)
    for backend in ("numpy", "torch"):
        of_backend = record["free"]["sides"][backend]
        summaries = [
            json.loads((folder / f"{backend}-seed-{seed}" / "summary.json").read_text())
            for seed in (0, 1)
        ]
        for name in ("test_accuracy", "test_loss", "val_accuracy", "val_loss"):
            values = [summary[name] for summary in summaries]
            assert of_backend[name]["values"] == values
            assert of_backend[name]["mean"] == pytest.approx(np.mean(values))
            assert of_backend[name]["std"] == pytest.approx(np.std(values, ddof=1))
        counts = np.sum([summary["confusion_matrix"] for summary in summaries], 0)
        assert record["free"]["confusion"][backend] == counts.tolist()
        assert of_backend["parameters"] == summaries[0]["parameters"] == 103
        assert of_backend["peak_memory"] > 0
    ours, theirs = (np.array(record["free"]["confusion"][name]) for name in ("numpy", "torch"))
    apart = share_of_class(theirs) - share_of_class(ours)
    np.testing.assert_allclose(record["free"]["confusion"]["difference"], apart)


def test_the_agreement_is_that_of_the_predictions(compared, images):
    folder, _ = compared
    record = record_of(folder)
    pairs = record["free"]["agreement"]["pairs"]
    assert [pair["runs"] for pair in pairs] == [
        ["numpy-seed-0", "torch-seed-0"],
        ["numpy-seed-0", "numpy-seed-1"],
        ["torch-seed-0", "torch-seed-1"],
    ]
    funcnn("predict", folder / "numpy-seed-0", "--data", images, "--out", "0.csv")
    funcnn("predict", folder / "numpy-seed-1", "--data", images, "--out", "1.csv")
    first, second = (Path(f"{seed}.csv").read_text().splitlines() for seed in (0, 1))
    expected = sum(a != b for a, b in zip(first, second, strict=True))
    assert pairs[1]["different"] == expected
    assert 0 < expected < record["free"]["agreement"]["inputs"] == 20
    funcnn("predict", folder / "torch-seed-0", "--data", images, "--out", "torch.csv")
    theirs = Path("torch.csv").read_text().splitlines()
    assert pairs[0]["different"] == sum(a != b for a, b in zip(first, theirs, strict=True))


def test_the_initial_weights_are_those_that_each_side_begins_with(compared):
    (first, last) = record_of(compared[0])["free"]["first_weights"]
    assert (first["path"], first["layer"]) == ("1/weight", "Dense")
    assert first["numpy"] == pytest.approx(math.sqrt(2 / 16), rel=0.2)  # he_normal
    assert first["torch"] == pytest.approx(1 / math.sqrt(16 * 3), rel=0.2)  # uniform to 1/sqrt(n)
    assert last["path"] == "3/weight"


def test_the_steps_of_the_lockstep_are_there_and_said(compared):
    folder, _ = compared
    record = record_of(folder)
    assert record["steps"] == 12  # the whole run
    for dtype in ("float64", "float32"):
        steps = read_steps(folder / f"lockstep-{dtype}.csv")
        assert len(steps) == 12
        found = record["lockstep"][dtype]["largest"]
        assert found["params"] == max(step.params for step in steps)
    assert record["lockstep"]["float64"]["below_rounding"]
    assert not record["lockstep"]["float32"]["below_rounding"]


def test_the_command_prints_the_runs_the_tables_and_the_sentences(compared):
    folder, printed = compared
    lines = printed.splitlines()
    for name, line in zip(RUNS, lines, strict=False):
        assert re.match(rf"{name}: test accuracy [\d.]+%, 2 epochs in [\d.]+ s$", line)
    assert re.match(r"lockstep in float64: after 12 steps [\d.e-]+ of the params$", lines[4])
    assert re.search(r"^\| test accuracy \(%\) +\| [\d.]+ ± [\d.]+ +\| [\d.]+ ±", printed, re.M)
    assert "Lockstep in float64, 12 steps: below 1e-09 holds" in printed
    assert lines[-1] == f"report: {folder / 'comparison.md'}"


def test_the_report_has_the_sentences_and_links_that_lead_somewhere(compared):
    folder, printed = compared
    text = (folder / "comparison.md").read_text()
    for sentence in record_of(folder)["statements"]:
        assert f"- {sentence}\n" in text
        assert sentence in printed
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == 8
    assert all((folder / link).exists() for link in links)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("mode", ["free", "lockstep"])
def test_one_mode_alone_makes_its_part(images, mode):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    options = ["--seeds", 1] if mode == "free" else ["--steps", 3]
    tiny = [*TINY, "--data", images, "--threads", 1, "--out", "it"]
    record = parse(funcnn("compare", *tiny, "--mode", mode, *options, "--json"))
    assert record.pop("run") == "it"
    assert record == record_of(Path("it"))
    assert ("free" in record, "lockstep" in record) == (mode == "free", mode == "lockstep")
    if mode == "free":
        assert record["free"]["difference"]["larger"] is None
        assert "one seed has no spread" in record["statements"][0]
        assert not list(Path("it").glob("lockstep*"))
    else:
        assert record["lockstep"]["float32"]["steps"] == 3
        assert not list(Path("it").glob("*-seed-*"))


@pytest.mark.usefixtures("here")
def test_sides_of_one_start_and_of_the_squared_error(images):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    tiny = [*TINY, "--data", images, "--threads", 1, "--weight-init", "he-normal"]
    tiny += ["--loss", "squared-error"]
    funcnn("compare", *tiny, "--mode", "lockstep", "--steps", 3, "--out", "lockstep")
    printed = funcnn("compare", *tiny, "--init", "shared", "--seeds", 1, "--out", "it").stdout
    assert "test loss (squared error)" in printed
    assert "nats" not in printed
    weights = record_of(Path("it"))["free"]["first_weights"]
    assert all(row["numpy"] == row["torch"] for row in weights)
    assert weights[0]["numpy"] == pytest.approx((2 / 16) ** 0.5, rel=0.25)


@pytest.mark.usefixtures("here")
def test_a_run_gives_its_settings_and_points_have_no_picture_of_images():
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    funcnn("train", "--arch", "points", "--epochs", 20, "--quiet")
    run = "runs/points-points-xor-001"
    funcnn("compare", run, "--seeds", 1, "--threads", 1, "--quiet")
    folder = Path("runs/compare-points-points-xor-001")
    config = record_of(folder)["config"]
    assert config == json.loads(Path(run, "config.json").read_text())
    assert not (folder / "disagreements.png").exists()
    assert "There is no figure" in (folder / "comparison.md").read_text()


# --- stopped and gone on with ----------------------------------------------------------------


class Stops(Callback):
    """Interrupts at the first step of the run of this name."""

    def __init__(self, name):
        self._name = name

    def step_end(self, run, done, steps, loss):
        if run == self._name:
            raise KeyboardInterrupt


def unfinished(whole, folder, *lost):
    """A copy of a finished comparison in which some runs or tables are not done yet."""
    shutil.copytree(whole, folder)
    for name in ("comparison.md", *lost):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    record = record_of(folder)
    for name in ("free", "lockstep", "statements", "figures"):
        del record[name]
    (folder / "comparison.json").write_text(json.dumps(record))


def test_what_is_finished_stays_and_the_result_is_that_of_one_go(compared, monkeypatch):
    whole, _ = compared
    folder = Path("stopped")
    unfinished(whole, folder, "torch-seed-1", "lockstep-float32.csv")
    kept = {path: path.read_bytes() for path in folder.glob("*-seed-*/*")}
    assert len(kept) == 3 * 8
    with pytest.raises(KeyboardInterrupt):
        Comparison.resume(folder).finish(Stops("torch-seed-1"))
    assert not (folder / "comparison.md").exists()
    (folder / "numpy-seed-0/.funcnn-1-2").write_text("half a figure")
    monkeypatch.setattr(comparison, "run_all", run_all_here)
    result = funcnn("compare", "--resume", folder)
    assert [line.split(":")[0] for line in result.stdout.splitlines()[:2]] == [
        "torch-seed-1",
        "lockstep in float32",
    ]
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert not (folder / "numpy-seed-0/.funcnn-1-2").exists()
    for file in ("torch-seed-1/params.npz", "lockstep-float32.csv"):
        assert (folder / file).read_bytes() == (whole / file).read_bytes()
    assert record_of(folder)["statements"] == record_of(whole)["statements"]
    again = funcnn("compare", "--resume", folder, code=1)
    assert again.stderr == f"Error: {folder} is finished: there is nothing to resume\n"


@pytest.mark.usefixtures("here")
def test_sides_that_lose_patience_at_different_epochs_are_compared(images):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    tiny = [*TINY, "--epochs", 9, "--patience", 1, "--class-weights", "balanced", "--drop-last"]
    tiny += ["--data", images, "--threads", 1, "--seeds", 1, "--steps", 4, "--out", "it"]
    record = parse(funcnn("compare", *tiny, "--json"))
    for name in ("numpy-seed-0", "torch-seed-0"):
        summary = RunFolder(Path("it", name)).read_summary()
        assert summary["epochs"] == len(RunFolder(Path("it", name)).read_metrics())
        assert summary["stopped_early"] == (summary["epochs"] < 9)
    assert record["lockstep"]["float64"]["below_rounding"]


@pytest.mark.usefixtures("here")
def test_what_another_process_did_meanwhile_is_not_done_again(images):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    settings = {"arch": "mlp2", "hidden": (5,), "val_size": 12, "epochs": 2, "batch_size": 8}
    config = RunConfig.resolve({**settings, "data": str(images)})
    first = Comparison.start(config, ("lockstep",), steps=2, threads=1, out=Path("it"))
    second = Comparison.resume(Path("it"))
    first.finish()
    with pytest.raises(InputError, match=r"^it: another process went on with it meanwhile$"):
        second.finish()


def test_a_comparison_that_was_killed_while_it_began_is_begun_again(images):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    settings = {"arch": "mlp2", "data": str(images), "val_size": 12, "batch_size": 8, "epochs": 1}
    config = RunConfig.resolve(settings)
    Path("it").mkdir()
    for name in (".funcnn-begun", "data.json"):  # what a kill leaves
        Path("it", name).touch()
    Comparison.start(config, out=Path("it"))
    assert sorted(path.name for path in Path("it").iterdir()) == ["comparison.json", "data.json"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_ctrl_c_ends_the_run_and_says_how_to_go_on(images):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    options = [*TINY, "--epochs", "100000", "--data", images, "--seeds", "1", "--out", "an it"]
    command = [*FUNCNN, "compare", *map(str, options)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not Path("an it/numpy-seed-0/metrics.csv").exists():
        assert process.poll() is None
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == (
        "stopped; what is finished is kept; go on with: funcnn compare --resume 'an it'\n"
    )
    assert children
    for child in children:
        assert not Path(f"/proc/{child}").exists()


# --- what is said of the numbers --------------------------------------------------------------


def test_the_spread_is_that_of_a_sample():
    assert spread([0.8, 0.9]) == (
        pytest.approx(0.85),
        pytest.approx(0.1 / math.sqrt(2)),
        [0.8, 0.9],
    )
    assert spread([0.8]).std is None


@pytest.mark.parametrize(
    ("ours", "theirs", "larger"),
    [
        # s = 0.01 in both backends: the standard error is 0.01 sqrt(2 / 3) = 0.008165
        pytest.param([0.80, 0.81, 0.82], [0.816, 0.826, 0.836], False, id="just below two"),
        pytest.param([0.80, 0.81, 0.82], [0.817, 0.827, 0.837], True, id="just above two"),
        pytest.param([0.817, 0.827, 0.837], [0.80, 0.81, 0.82], True, id="the other way round"),
        pytest.param([0.8, 0.8], [0.8, 0.8], False, id="no spread, no difference"),
        pytest.param([0.8, 0.8], [0.81, 0.81], True, id="no spread, a difference"),
        pytest.param([0.8], [0.9], None, id="one seed"),
    ],
)
def test_a_difference_is_larger_than_the_spread_above_two_standard_errors(ours, theirs, larger):
    found = compare_means(spread(ours), spread(theirs))
    assert found.larger is larger
    assert found.difference == pytest.approx(np.mean(theirs) - np.mean(ours))
    assert found.seeds == len(ours)
    if len(ours) == 3:
        assert found.standard_error == pytest.approx(0.01 * math.sqrt(2 / 3))


@pytest.mark.parametrize(
    ("t", "freedom", "expected"),  # tables of Student's t
    [(4.303, 2, 0.05), (2.776, 4, 0.05), (2.447, 6, 0.05), (3.169, 10, 0.01), (2.042, 30, 0.05)],
)
def test_the_chance_of_a_t_is_that_of_the_tables(t, freedom, expected):
    assert chance_beyond(t, freedom) == pytest.approx(expected, rel=1e-3)


def free_of(ours, theirs):
    """What the sentences need, of accuracies by hand."""
    means = spread(ours), spread(theirs)
    by_backend = {
        name: {"test_accuracy": each._asdict()}
        for name, each in zip(("numpy", "torch"), means, strict=True)
    }
    most = {"true": "Shirt", "predicted": "Coat", "difference": -0.012}
    pairs = [{"runs": ["numpy-seed-0", "torch-seed-0"], "different": 50}]
    return {
        "sides": by_backend,
        "difference": {"of": "test_accuracy", **compare_means(*means)._asdict()},
        "confusion": {"largest": most},
        "agreement": {"inputs": 1000, "pairs": pairs},
    }


def test_a_small_difference_is_not_called_one():
    first, confusion, agreement = findings.of_free(free_of([0.80, 0.82], [0.81, 0.83]))
    assert first == (
        "Test accuracy: numpy 81.00%, torch 82.00%, the means of 2 seeds each. The difference of "
        "1.00 points is not larger than twice its standard error over the seeds, 2.83 points: "
        "these runs show no difference beyond the spread."
    )
    assert "Shirt is taken for Coat: torch's runs do so 1.2 points of that class less" in confusion
    assert agreement == (
        "Of 1,000 test inputs numpy-seed-0 and torch-seed-0 put 50 (5.0%) into different classes."
    )


@pytest.mark.parametrize(
    ("predicted", "difference", "expected"),
    [
        ("Coat", 0.021, "where Shirt is taken for Coat: torch's runs do so 2.1 points of that"),
        ("Shirt", -0.021, "where Shirt is recognised: torch's runs do so 2.1 points of that"),
        ("Shirt", 0.0, "The confusion matrices are equal."),
    ],
)
def test_where_the_confusion_matrices_differ_most(predicted, difference, expected):
    most = {"true": "Shirt", "predicted": predicted, "difference": difference}
    free = free_of([0.8], [0.9]) | {"confusion": {"largest": most}}
    assert expected in findings.of_free(free)[1]


def test_a_large_difference_is_said_with_the_chance_that_it_is_none():
    first, *_ = findings.of_free(free_of([0.80, 0.81, 0.82], [0.90, 0.91, 0.92]))
    assert "is larger than twice its standard error over the seeds, 1.63 points" in first
    # t = 0.1 / (0.01 sqrt(2 / 3)) = 12.247, and P(|T| > t) of 4 degrees of freedom is 0.000255.
    assert "is 0.00026 for 3 seeds" in first


def test_one_seed_says_that_it_has_no_spread():
    first, *_ = findings.of_free(free_of([0.80], [0.90]))
    assert first.startswith("Test accuracy: numpy 80.00%, torch 90.00%, one run each. ")
    assert "10.00 points apart; one seed has no spread" in first


def test_without_labels_there_is_nothing_to_compare():
    free = free_of([0.8], [0.9]) | {"difference": None, "confusion": None}
    assert "no accuracy to compare" in findings.of_free(free)[0]


def lockstep_of(dtype, **changes):
    growth = {"first": "1", "level": 1e-4, "step": 7, "largest_at_end": "3", "share_at_end": 2e-2}
    small = dtype == "float64"
    return {
        "steps": 9,
        "largest": dict.fromkeys(("loss", "grads", "params"), 1e-14 if small else 1e-2),
        "last": dict.fromkeys(("loss", "grads", "params"), 1e-14 if small else 1e-2),
        "below_rounding": small,
        "first_apart": dict.fromkeys(("loss", "grads", "params"), None if small else 8),
        "first_switch": None if small else {"step": 6, "params_before": 3e-7},
        "params_by_layer": growth,
    } | changes


LAYERS = {"1": "Dense", "3": "Conv"}


def test_what_is_said_of_a_lockstep():
    both = {dtype: lockstep_of(dtype) for dtype in ("float64", "float32")}
    double, single, layer, switch = findings.of_lockstep(both, LAYERS)
    assert "9 steps: below 1e-09 holds; " in double
    assert "the params is above 0.001 first at step 8" in single
    assert "layer 1 (Dense) was the first above 0.0001, at step 7" in layer
    assert "layer 3 (Conv) is the largest, 2.0e-02" in layer
    assert "switched in float32 at step 6, when the params were 3.0e-07 apart" in switch
    assert switch.endswith("In float64 none switched.")


def test_a_lockstep_that_does_not_hold_says_so():
    both = {
        "float64": lockstep_of("float64", below_rounding=False),
        "float32": lockstep_of(
            "float32", first_apart=dict.fromkeys(("grads", "params")), first_switch=None
        ),
    }
    double, single, _, switch = findings.of_lockstep(both, LAYERS)
    assert "below 1e-09 does NOT hold" in double
    assert "compute the same" not in double
    assert "the params is above 0.001 at no step" in single
    assert switch.startswith("No ReLU (or its kin) switched in float32")


# --- bad input -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    funcnn("train", *TINY, "--data", images, "--quiet", "--out", folder)
    return folder


@pytest.fixture
def prepared(trained):
    """A run, a file, a folder that is none, in the folder where the command runs."""
    shutil.copytree(trained, "run")
    Path("taken").mkdir()
    Path("taken/it.txt").write_text("mine")
    Path("damaged").mkdir()
    Path("damaged/comparison.json").write_text("[1")
    Path("other").mkdir()
    Path("other/comparison.json").write_text("{}")
    Path("edited").mkdir()
    settings = {"config": {}, "modes": [], "seeds": [], "steps": 3, "threads": "1"}
    settings |= {"machine": {}, "peak_memory": {}}
    Path("edited/comparison.json").write_text(json.dumps(settings))


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


SUMMARY = "counts other classes than"
CHANGED = {
    "scores": (0, "summary.json", {"val_loss": None}, "some have a val_loss, others none"),
    "size": (1, "summary.json", {"confusion_matrix": [[1]]}, SUMMARY),
    "sizes": (None, "summary.json", {"confusion_matrix": [[1]]}, SUMMARY),
    "network": (2, "config.json", {"hidden": [7]}, "is of another network than"),
    "of torch": (1, "config.json", {"hidden": [7]}, "is of another network than"),
}


@pytest.mark.parametrize("changed", CHANGED)
def test_runs_that_were_changed_are_one_line(compared, tmp_path, changed):
    shutil.copytree(compared[0], tmp_path / "it")
    which, file, values, said = CHANGED[changed]
    for name in RUNS if which is None else [RUNS[which]]:
        change(tmp_path / "it" / name / file, **values)
    folders = [RunFolder(tmp_path / "it" / name) for name in RUNS]
    with pytest.raises(InputError, match=said) as caught:
        free_results({"numpy": folders[::2], "torch": folders[1::2]}, {})
    assert str(tmp_path) in str(caught.value)


BAD = {
    "compare taken": r"taken is not the folder of a run: it has no config\.json",
    "compare nowhere": r"nowhere is not the folder of a run: it has no config\.json",
    "compare run --arch mlp3": r"the settings are those of run: leave out --arch",
    "compare run --seeds 0": r"Invalid value for '--seeds': 0 is not in the range x>=1\.",
    "compare run --steps 0": r"Invalid value for '--steps': 0 is not in the range x>=1\.",
    "compare run --steps 13": r"--steps 13: give at most 12, which the whole run has, or .*",
    "compare run --out taken": r"--out taken exists already, and a run never overwrites one",
    "compare run --mode both": r"Invalid value for '--mode': 'both' is not one of .*",
    "compare run --mode free --steps 9": r"--steps is for --mode lockstep: leave it out",
    "compare run --mode lockstep --seeds 9": r"--seeds is for --mode free: leave it out",
    "compare --resume taken": r"taken is no comparison: it has no comparison\.json",
    "compare --resume damaged": r"damaged/comparison\.json is not the record of a comparison: .*",
    "compare --resume other/comparison.json": r"other/comparison\.json is a file: give .*",
    "compare --resume other": r"other/comparison\.json is not the record of a .*it has no config",
    "compare --resume edited": r"edited/comparison\.json is not the record .*its threads is '1'",
    "compare --resume taken --seeds 2": r"--resume takes .* from taken: leave out --seeds",
    "compare run --resume taken": r"--resume takes .* from taken: leave out RUN",
    "compare --weight-init normal": (
        r"--weight-init normal: needs --init shared for --backend torch, whose modules .*"
    ),
    "compare --data nowhere": r"--data nowhere: neither a data set .*",
}


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("command", BAD)
def test_a_bad_input_is_one_line_and_leaves_nothing(command):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    before = sorted(path for path in Path().rglob("*"))
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert re.fullmatch(rf"Error: {BAD[command]}\n", result.stderr), result.stderr
    assert sorted(path for path in Path().rglob("*")) == before


def test_a_run_that_diverges_is_one_line_that_names_it(images):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    options = ["--data", images, "--lr", "1e30", "--seeds", 1, "--mode", "free", "--out", "it"]
    result = funcnn("compare", *TINY, *options, code=1)
    assert re.fullmatch(
        r"Error: numpy-seed-0: the loss \S* ?.*became (nan|inf) at step \d+; .*\n", result.stderr
    )


def test_without_torch_it_says_what_to_install(monkeypatch, images):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    result = funcnn("compare", *TINY, "--data", images, code=1)
    assert result.stderr == "Error: torch is not installed: pip install 'funcnn[torch]'\n"
    assert not Path("runs").exists()


def test_a_process_that_was_asked_after_its_end_can_be_closed():
    process = ModuleProcess("training.worker")
    process.end()
    with pytest.raises(ProcessEndedError, match=r"^its process ended with exit code "):
        process.ask({"config": "x" * 100_000})
    process.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_worker_that_waits_ends_at_once_and_one_at_work_puts_away(tmp_path):
    def handles_sigterm():
        status = Path(f"/proc/{process._process.pid}/status").read_text()
        return int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) >> (signal.SIGTERM - 1) & 1

    for epochs, last, code in ((1, "peak_memory", -signal.SIGTERM), (10**6, "row", 1)):
        config = RunConfig.resolve({"arch": "points", "epochs": epochs})
        folder = tmp_path / str(epochs)
        process = ModuleProcess("training.worker")
        answer = process.ask(Job("", config, folder).request)
        while last not in answer:
            answer = process.answer()
        end = time.monotonic() + 10
        while last == "peak_memory" and handles_sigterm() and time.monotonic() < end:
            time.sleep(0.01)  # it has said its last word, and is about to wait
        process.close()
        assert process._process.returncode == code
        assert (folder / "last.npz").exists()
        assert not list(folder.glob(".*"))


@pytest.fixture
def says(tmp_path, monkeypatch):
    """Make every process say this, and no more."""

    def make(said):
        prints = tmp_path / "prints"
        prints.write_text(f"#!/bin/sh\nprintf '{said}\\n'\nexec cat > {os.devnull}\n")
        prints.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(prints))

    return make


@pytest.mark.parametrize("said", ["a warning", "[1]", "3", "null"])
def test_a_process_that_says_something_else_is_one_line(says, said):
    says(said)
    expected = f"^its process said {re.escape(repr(said))}$"
    with (
        contextlib.closing(ModuleProcess("training.worker")) as process,
        pytest.raises(ProcessEndedError, match=expected),
    ):
        process.answer()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("[1]", "its process said '[1]'"),
        (
            "\\377",
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start "
            "byte",
        ),
    ],
)
def test_whatever_a_process_says_is_the_end_of_its_run_and_another_has_its_turn(
    says, said, error, tmp_path
):
    says(said)
    config = RunConfig.resolve({"arch": "points"})
    jobs = [Job(name, config, tmp_path / name) for name in ("a", "b")]
    with contextlib.closing(run_all(jobs, at_once=1)) as told:
        assert list(told) == [(job, {"error": error}) for job in jobs]


def test_a_process_that_ends_says_why_in_one_line():
    process = ModuleProcess("training.worker")
    try:
        with pytest.raises(
            ProcessEndedError, match=r"^its process ended with exit code 1 \(KeyErr"
        ):
            process.ask({})
    finally:
        process.close()
