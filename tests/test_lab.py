"""Experiments: run to the end, gone on with, and reported again; and the labs' definitions."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from funcnn.cli import main
from funcnn.experiments import lab_run, labs, training_run
from funcnn.experiments.document import Document, Section, Text
from funcnn.experiments.errors import InputError
from funcnn.experiments.lab import Lab, Results, Trial
from funcnn.experiments.lab_run import LabRun, Watch
from funcnn.experiments.labs import LABS
from funcnn.experiments.training_run import TrainingRun
from helpers import need_weasyprint

import funcnn as fn

pytest.importorskip(
    "torch", reason="an experiment has a side in torch: pip install 'funcnn[torch]'"
)
need_weasyprint()

POINTS = {"arch": "points", "epochs": 4, "init": "shared"}


def report(results):
    trial = results.lab.trials[0]
    said = [f"{backend} {results.spread(trial, backend, 'test_loss').mean:.6f}" for backend in
            trial.backends]  # fmt: skip
    return Document("Tiny", "", (), (Section("Results", tuple(map(Text, said))),))


TINY = Lab(
    "tiny",
    "A tiny experiment",
    (Trial("one", POINTS, main=True), Trial("two", {**POINTS, "lr": 0.1}, backends=("numpy",))),
    {"epochs": 2},
    lambda row: f"epoch {row.epoch} loss : {row.train_loss!r}",
    report,
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("learning_curve", "confusion", "points")
    none = SimpleNamespace(**dict.fromkeys(names, lambda *args: None))
    monkeypatch.setattr(training_run, "figures", none)  # of each run; those of reports are drawn
    monkeypatch.setitem(LABS, "tiny", TINY)
    with fn.threads.use_threads(1):
        yield


class Told(Watch):
    def __init__(self, stop_before=None):
        self.runs, self.stop_before = [], stop_before

    def run(self, name, number, runs, main):
        if name == self.stop_before:
            raise KeyboardInterrupt
        self.runs.append((name, number, runs, main))


def finished(**keywords):
    told = Told()
    page = LabRun.open(TINY, True, **keywords).finish(told)
    return page, told.runs


def test_it_trains_every_seed_and_side_and_writes_the_report():
    page, runs = finished()
    assert runs == [
        ("one/numpy-seed-0", 1, 3, True),
        ("one/torch-seed-0", 2, 3, True),
        ("two/numpy-seed-0", 3, 3, False),
    ]
    assert page == Path("runs/tiny-quick/report.html")
    losses = [
        json.loads(Path(f"runs/tiny-quick/trials/one/{side}-seed-0/summary.json").read_text())
        for side in ("numpy", "torch")
    ]
    text = page.read_text()
    for side in losses:
        assert f"{side['backend']} {side['test_loss']:.6f}" in text
    # The same first weights, the whole set as one batch: the two sides are one training.
    assert losses[0]["test_loss"] == pytest.approx(losses[1]["test_loss"], rel=1e-4)
    assert page.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_a_whole_one_has_three_seeds_and_its_own_epochs():
    LabRun.open(TINY, False).finish(told := Told())
    assert len(told.runs) == 9
    results = Results(TINY, Path("runs/tiny"), False, {})
    found = results.spread(results.lab.trials[0], "numpy", "test_loss")
    assert len(set(found.values)) == 3
    assert results.config(results.lab.trials[0]).epochs == 4


def test_the_params_of_the_main_network_are_kept_after_every_recorded_epoch():
    finished()
    results = Results(TINY, Path("runs/tiny-quick"), True, {})
    history = results.history(results.lab.trials[0])
    assert [epoch for epoch, _ in history] == [1, 2]
    last = fn.load(history[-1][1]).params
    assert fn.tree.all_close(last, results.model(results.lab.trials[0]).params)
    assert results.history(results.lab.trials[1]) == []


def test_what_is_finished_is_used_and_what_is_begun_is_gone_on_with(monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        LabRun.open(TINY, True).finish(Told("two/numpy-seed-0"))
    # A run that was begun: it has a config and its first state.
    config = TINY.config(TINY.trials[1], "numpy", 0, True)
    TrainingRun.start(config, Path("runs/tiny-quick/trials/two/numpy-seed-0"))
    monkeypatch.setattr(TrainingRun, "start", None)
    _, runs = finished()
    assert [name for name, *_ in runs] == ["two/numpy-seed-0"]
    assert finished()[1] == []


def test_the_report_is_written_again_without_training(monkeypatch):
    page, _ = finished()
    before = page.read_bytes()
    page.unlink()
    monkeypatch.setattr(lab_run, "TrainingRun", None)
    monkeypatch.setattr(lab_run, "describe_machine", None)  # it names the one that trained
    LabRun.open(TINY, True).write_report()
    assert page.read_bytes() == before


def test_a_deleted_run_is_trained_again():
    finished()
    folder = Path("runs/tiny-quick/trials/two/numpy-seed-0")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(InputError, match="two/numpy-seed-0 is not finished"):
        LabRun.open(TINY, True).write_report()
    assert [name for name, *_ in finished()[1]] == ["two/numpy-seed-0"]


@pytest.mark.parametrize("name", ["summary.json", "metrics.csv", "config.json", "params.npz"])
def test_results_that_were_changed_by_hand_are_refused(name):
    finished()
    file = Path("runs/tiny-quick/trials/one/torch-seed-0") / name
    file.write_bytes(file.read_bytes() + b"\n")
    said = r"^runs/tiny-quick/trials/one/torch-seed-0 was changed since it was trained: delete it"
    for again in (lambda run: run.write_report(), lambda run: run.finish(Told())):
        with pytest.raises(InputError, match=said):
            again(LabRun.open(TINY, True))
    file.unlink()
    with pytest.raises(InputError, match=f"it has no {name}"):
        LabRun.open(TINY, True).write_report()


# --- the command -----------------------------------------------------------------------------


def funcnn(command, code=0):
    result = CliRunner().invoke(main, command)
    assert result.exit_code == code, result.output
    return result


def test_the_list_has_every_lab():
    assert "tiny    A tiny experiment\n" in funcnn("experiment list").stdout
    names = [row["name"] for row in json.loads(funcnn("experiment list --json").stdout)]
    assert names == list(LABS)


def test_run_prints_the_labs_lines_and_where_the_report_is():
    lines = funcnn("experiment run tiny --quick --threads 1").stdout.splitlines()
    assert re.fullmatch(r"epoch 1 loss : 0\.\d+", lines[0])
    assert re.fullmatch(r"one/numpy-seed-0: test accuracy \d+\.\d\d%, \d+\.\d s", lines[2])
    assert len([line for line in lines if line.startswith("epoch")]) == 4  # of one, on both sides
    assert lines[-1] == "report: runs/tiny-quick/report.html and report.pdf"
    again = json.loads(funcnn("experiment report tiny --quick --json").stdout)
    assert again["report"] == "runs/tiny-quick/report.html"


BAD = {
    "experiment run pionts": "'pionts' is no experiment (known: points, tiny)",
    "experiment report tiny": "runs/tiny has no results yet: funcnn experiment run tiny",
    "experiment run tiny --out mine": "--out mine exists already, and is no experiment",
    "experiment run points --quick --out old": "old is of the quick experiment tiny, not of points",
    "experiment run tiny --out old": "old is of the quick experiment tiny, not of tiny",
    "experiment report tiny --out damaged": "damaged/experiment.json is not the record of an",
    "experiment report tiny --quick --out old": "one/numpy-seed-0 is not finished: funcnn experim",
}


@pytest.mark.parametrize("command", BAD)
def test_a_bad_input_is_one_line(command):
    Path("mine").mkdir()
    Path("mine/it.txt").write_text("mine")
    LabRun.open(TINY, True, Path("old"))
    Path("damaged").mkdir()
    Path("damaged/experiment.json").write_text('{"experiment": "tiny"}')
    result = funcnn(command, code=1)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert BAD[command] in line


# --- the labs --------------------------------------------------------------------------------

DEFINED = [lab for name, lab in labs.LABS.items() if name != "tiny"]


@pytest.mark.parametrize("lab", DEFINED, ids=lambda lab: lab.name)
def test_every_trial_has_a_name_of_its_own_and_settings_that_are_good(lab):
    names = [trial.name for trial in lab.trials]
    assert len(set(names)) == len(names)
    configs = {lab.config(trial, "numpy", 0, False).to_json() for trial in lab.trials}
    own = [trial for trial in lab.trials if trial.settings.get("init") == "own"]
    assert len(configs) == len(lab.trials), own  # none is trained twice
    assert any(trial.main for trial in lab.trials)


def test_points_from_data_to_report(monkeypatch):
    lab = LABS["points"]._replace(quick={"epochs": 3})
    page = LabRun.open(lab, True).finish(Watch())
    text = page.read_text()
    for title in ("Introduction", "Set-up", "Results", "Discussion", "Extra", "Learning rates"):
        assert f"{title}</h" in text
    assert len(re.findall("<figure", text)) >= 12
    assert "<td>classical-momentum</td>" in text or "classical-momentum" in text
    assert "epoch 3 loss : 0." in text
    assert "(21, 1)" in text
    assert "(100, 1)" in text
