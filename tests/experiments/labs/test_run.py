"""Experiments: run to the end, gone on with, and reported again; and the labs' definitions."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from commands import funcnn, one_error
from helpers import need_weasyprint, run_all_here
from image_files import image_folder

from funcnn.experiments.data import emnist47
from funcnn.experiments.data.emnist47 import EMNIST47
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.hand_in.deliverables import HAND_INS, Floor, HandIn, Piece
from funcnn.experiments.labs import estimate, registry
from funcnn.experiments.labs import run as lab_run
from funcnn.experiments.labs.lab import Lab, Results, Trial
from funcnn.experiments.labs.registry import LABS
from funcnn.experiments.labs.run import LabRun
from funcnn.experiments.reports.document import Document, Section, finding
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.run import TrainingRun

pytest.importorskip("torch", reason="an experiment has runs of torch: pip install 'funcnn[torch]'")
need_weasyprint()

POINTS = {"arch": "points", "epochs": 4, "init": "shared"}


def report(results):
    trial = results.trials[0]
    said = [f"{backend} {results.spread(trial, backend, 'test_loss').mean:.6f}" for backend in
            trial.backends]  # fmt: skip
    return Document("Tiny", "", (), (Section("Results", tuple(map(finding, said))),))


TINY = Lab(
    "tiny",
    "A tiny experiment",
    (
        Trial("one", POINTS, main=True),
        Trial("two", {**POINTS, "lr": 0.1}, backends=("numpy",)),
    ),
    {"epochs": 2},
    lambda row: f"epoch {row.epoch} loss : {row.train_loss!r}",
    report,
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(LABS, "tiny", TINY)


@pytest.fixture
def here(monkeypatch):
    """Runs are done in this process."""
    monkeypatch.setattr(lab_run, "run_all", run_all_here)


class Told(Callback):
    """What was told; interrupts after so many results."""

    def __init__(self, most=None):
        self.begun, self.rows, self.results, self.most = None, [], [], most

    def begin(self, runs, finished):
        self.begun = runs, finished

    def epoch_end(self, run, row, epochs):
        self.rows.append((run, row.epoch, epochs))

    def run_end(self, run, folder, error):
        assert error is None
        self.results.append((run, len(folder.read_metrics()), folder.read_config().backend))
        if len(self.results) == self.most:
            raise KeyboardInterrupt


def finish():
    told = Told()
    page = LabRun.open(TINY, True).finish(told, at_once=1)
    return page, told


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder `runs/` with the finished experiment, what it returned, and what it told."""
    folder = tmp_path_factory.mktemp("once")
    with contextlib.chdir(folder):
        return folder / "runs", *finish()


@pytest.fixture
def finished(once, place):
    """A copy of it, here."""
    shutil.copytree(once[0], "runs")
    return once[1:]


def test_it_trains_every_seed_and_side_and_writes_the_report(finished):
    page, told = finished
    assert sorted(told.results) == [
        ("one/numpy-seed-0", 2, "numpy"),
        ("one/torch-seed-0", 2, "torch"),
        ("two/numpy-seed-0", 2, "numpy"),
    ]
    assert told.begun == (dict.fromkeys((name for name, *_ in told.results), 2), 0)
    assert sorted(told.rows) == [(name, epoch, 2) for name, *_ in sorted(told.results)
                                 for epoch in (1, 2)]  # fmt: skip
    assert page == Path("runs/tiny-quick/report.html")
    losses = [
        json.loads(Path(f"runs/tiny-quick/trials/one/{backend}-seed-0/summary.json").read_text())
        for backend in ("numpy", "torch")
    ]
    text = page.read_text()
    for summary in losses:
        assert f"{summary['backend']} {summary['test_loss']:.6f}" in text
    # The same first weights, the whole set as one batch: the two backends are one training.
    assert losses[0]["test_loss"] == pytest.approx(losses[1]["test_loss"], rel=1e-4)
    assert page.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.usefixtures("here")
def test_a_whole_one_has_three_seeds_and_its_own_epochs():
    LabRun.open(TINY, False).finish(told := Told(), at_once=1)
    assert [name for name, *_ in told.results] == [
        *(f"one/{backend}-seed-{seed}" for seed in range(3) for backend in ("numpy", "torch")),
        *(f"two/numpy-seed-{seed}" for seed in range(3)),
    ]
    results = Results(TINY, Path("runs/tiny"), False, {})
    found = results.spread(results.lab.trials[0], "numpy", "test_loss")
    assert len(set(found.values)) == 3
    assert results.config(results.lab.trials[0]).epochs == 4


def test_what_is_finished_is_used_and_what_is_begun_is_gone_on_with():
    before = threading.enumerate()
    with pytest.raises(KeyboardInterrupt):
        LabRun.open(TINY, True).finish(Told(most=1), at_once=1)
    assert [t for t in threading.enumerate() if t not in before and t.name != "funcnn"] == []
    results = Results(TINY, Path("runs/tiny-quick"), True, {})
    one, two = TINY.trials
    folder, torch_folder = results.folder(two, "numpy", 0), results.folder(one, "torch", 0)
    for each in (folder, torch_folder):  # how far they came before the interrupt is chance
        shutil.rmtree(each.path, ignore_errors=True)
    # A run that was begun: it has a config and its first state.
    TrainingRun.start(results.config(two), folder.path)
    state = folder.last.stat().st_mtime_ns
    # And one that was finished, though not yet recorded.
    TrainingRun.start(results.config(one, "torch"), torch_folder.path).finish()
    made = torch_folder.summary.stat().st_mtime_ns
    _, told = finish()
    assert told.begun == (dict.fromkeys(("one/torch-seed-0", "two/numpy-seed-0"), 2), 1)
    assert sorted(name for name, *_ in told.results) == ["one/torch-seed-0", "two/numpy-seed-0"]
    assert torch_folder.summary.stat().st_mtime_ns == made
    assert folder.last.stat().st_mtime_ns > state
    assert finish()[1].results == []


def test_settings_that_are_not_the_experiments_any_more_are_refused(finished):
    changed = TINY._replace(trials=(TINY.trials[0], TINY.trials[1]._replace(settings=POINTS)))
    with pytest.raises(InputError, match="two/numpy-seed-0 has other settings than the exper"):
        LabRun.open(changed, True).finish(Told())


def test_a_run_that_cannot_be_done_ends_the_others_and_is_named():
    bad = Trial("bad", {"arch": "mlp2", "data": "nowhere"})
    with pytest.raises(
        RunStoppedError, match=r"^bad/\w+-seed-0: --data nowhere: neither a data set"
    ):
        LabRun.open(TINY._replace(trials=(bad, *TINY.trials)), True).finish(Told(), at_once=2)


def test_a_process_that_is_killed_is_one_line(monkeypatch):
    class Kill(Callback):
        def epoch_end(self, run, row, epochs):
            found = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "training.worker"],
                                   capture_output=True, text=True, check=True)  # fmt: skip
            for pid in found.stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.1)

    slow = TINY._replace(quick={"epochs": 100_000})
    with pytest.raises(RunStoppedError, match=r"^one/\w+-seed-0: its process ended with exit code"):
        LabRun.open(slow, True).finish(Kill(), at_once=1)


def experiment(command, code=0):
    return funcnn("experiment", *command.split(), code=code)


# --- the command: how many runs, how long, and what next --------------------------------------


def run_tiny(*words):
    done = funcnn("experiment", "run", "tiny", *words)
    return done, sorted(re.findall(r"^(\w+/\w+-seed-\d): ", done.stdout, re.M))


BOTH = ["one/numpy-seed-0", "one/torch-seed-0"]


@pytest.mark.usefixtures("here")
def test_there_may_be_more_seeds_or_fewer_later():
    assert run_tiny("--seeds", "1")[1] == [*BOTH, "two/numpy-seed-0"]
    trained = run_tiny("--seeds", "2")[1]
    assert trained == [name.replace("-0", "-1") for name in (*BOTH, "two/numpy-seed-0")]
    page = Path("runs/tiny/report.html").read_text()
    assert run_tiny()[1] == []
    assert Path("runs/tiny/report.html").read_text() == page
    assert run_tiny("--seeds", "1")[1] == []
    assert Path("runs/tiny/report.html").read_text() != page
    assert "tiny: all 3 runs are finished" in run_tiny("--seeds", "1")[0].stderr


@pytest.mark.usefixtures("here")
def test_the_main_runs_alone_can_be_trained_and_the_others_follow(monkeypatch):
    monkeypatch.setitem(HAND_INS, "tiny", HandIn((Piece("report_{id}.pdf", "report"),)))
    done, trained = run_tiny("--main-only", "--seeds", "1")
    assert trained == BOTH
    assert done.stdout.splitlines()[-1] == (
        "a report of the main runs alone cannot be handed in: funcnn experiment run tiny"
    )
    experiment("report tiny")  # of what there is
    refused = experiment("submit tiny --student-id 7", code=1)
    assert one_error(refused).endswith(
        "runs/tiny has only the main runs, and the report nothing of what each choice changed: "
        "funcnn experiment run tiny"
    )
    assert run_tiny()[1] == ["two/numpy-seed-0"]


@pytest.mark.usefixtures("here")
def test_it_says_first_what_it_will_do():
    lab = TINY._replace(
        measure=lambda results, callback, at_once: {"of it": 1},
        measures=["of it"],
        measured_like=lambda results: [results.config(results.trials[0])] * 5,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LABS, "tiny", lab)
        said = run_tiny("--jobs", "1")[0].stderr
        assert said == (
            "tiny: 9 runs and 5 short ones for its report in runs/tiny, 1 at a time, less than 1 "
            "min here; Ctrl-C is safe, and the same command goes on\n"
        )
        assert run_tiny()[0].stderr == "tiny: all 9 runs are finished\n"
    assert re.match(
        r"tiny: 3 runs in runs/tiny-quick, \d+ at a time; Ctrl", run_tiny("--quick")[0].stderr
    )


def test_the_estimate_is_of_runs_beside_each_other_and_of_those_that_are_only_measured(monkeypatch):
    seconds = {"numpy": (20.0, 10.0), "torch": (40.0, 20.0)}
    measured = []

    def of(task):
        measured.append((task.config.backend, task.config.epochs))
        return seconds[task.config.backend]

    monkeypatch.setattr(estimate, "_seconds", of)
    jobs = LabRun.open(TINY, False).jobs()
    config = Results(TINY, Path("runs"), False, {}).config(TINY.trials[0])
    # 6 in NumPy and 3 in PyTorch
    assert estimate.seconds_of(jobs, [], 2) == (6 * 30 + 3 * 60) / 2
    assert estimate.seconds_of(jobs, [config] * 4, 3) == (6 * 30 + 3 * 60 + 4 * 20) / 3
    assert estimate.seconds_of([], [config], 3) == 20 / 3
    # Rates and seeds change nothing.
    assert sorted(measured[:2]) == [("numpy", 4), ("torch", 4)]
    assert len(measured) == 5


@pytest.mark.usefixtures("here")
def test_in_the_end_it_says_what_holds_and_how_to_hand_in(monkeypatch):
    floors = (Floor("one", "test", 0.001), Floor("one", "test", 0.999))
    hand_in = HandIn((Piece("report_{id}.pdf", "report"),), floors, archive="{id}_{name}.zip")
    monkeypatch.setitem(HAND_INS, "tiny", hand_in)
    said = run_tiny("--seeds", "1", "--out", "my runs")[0].stdout.splitlines()
    page = Path("my runs/report.html").absolute()
    assert [line.partition(" (")[0] for line in said[-7:]] == [
        "report: my runs/report.html and report.pdf",
        "holds: one in NumPy: at least 0.1 % on the training points, as the lab asks",
        "holds: one in PyTorch: at least 0.1 % on the training points, as the lab asks",
        "does not hold: one in NumPy: at least 99.9 % on the training points, as the lab asks",
        "does not hold: one in PyTorch: at least 99.9 % on the training points, as the lab asks",
        f"open it: {page.as_uri()}",
        "hand it in: funcnn experiment submit tiny --student-id ID --name NAME --experiment "
        "'my runs'",
    ]
    quick = run_tiny("--quick")[0].stdout.splitlines()
    assert quick[-1] == "a quick version cannot be handed in: funcnn experiment run tiny"


@pytest.mark.usefixtures("here")
def test_a_second_is_refused_while_the_first_is_at_work():
    class Two(Told):
        def begin(self, runs, finished):
            with pytest.raises(InputError, match=r"^runs/tiny-quick: another process is at work"):
                LabRun.open(TINY, True).finish(Told())

    LabRun.open(TINY, True).finish(told := Two(), at_once=1)
    assert len(told.results) == 3
    assert finish()[1].results == []


def test_the_report_is_written_again_without_training(finished, monkeypatch):
    page, _ = finished
    before = page.read_bytes()
    page.unlink()
    monkeypatch.setattr(lab_run, "run_all", None)
    monkeypatch.setattr(lab_run, "describe_machine", None)  # it names the one that trained
    LabRun.open(TINY, True).write_report()
    assert page.read_bytes() == before


def test_what_is_measured_beside_the_runs_is_measured_once_and_recorded(finished):
    measured = []

    def measure(results, callback, at_once):
        callback.note("measured")
        measured.append(results.config(results.trials[0]).epochs)
        return {"epochs": measured[-1]}

    lab = TINY._replace(measure=measure, measures=["epochs"])
    with pytest.raises(
        InputError, match="what is measured beside the runs is not finished: funcnn"
    ):
        LabRun.open(lab, True).write_report()
    for _ in range(2):
        run = LabRun.open(lab, True)
        run.finish(Told())
        assert run.results.measured == {"epochs": 2}
    assert measured == [2]
    more = lab._replace(measures=["epochs", "more"])  # a later version: it is measured anew
    with pytest.raises(InputError, match="what is measured beside the runs is not finished"):
        LabRun.open(more, True).write_report()
    LabRun.open(more, True).finish()
    assert measured == [2, 2]


@pytest.mark.usefixtures("here")
def test_a_run_that_was_killed_while_it_began_is_begun_again():
    folder = Path("runs/tiny-quick/trials/two/numpy-seed-0")
    LabRun.open(TINY, True)
    folder.mkdir(parents=True)
    (folder / ".funcnn-1-2").write_text("{")
    assert len(finish()[1].results) == 3


def test_what_a_kill_left_of_a_report_goes_away(finished):
    left = [Path("runs/tiny-quick", folder, ".funcnn-1-2") for folder in (".", "figures")]
    for path in left:
        path.write_text("half")
    LabRun.recorded(TINY, True).write_report()
    assert not any(path.exists() for path in left)


@pytest.mark.usefixtures("here")
def test_a_deleted_run_is_trained_again(finished):
    folder = Path("runs/tiny-quick/trials/two/numpy-seed-0")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(InputError, match="two/numpy-seed-0 is not finished"):
        LabRun.open(TINY, True).write_report()
    assert [name for name, *_ in finish()[1].results] == ["two/numpy-seed-0"]


@pytest.mark.parametrize("name", ["summary.json", "metrics.csv", "config.json", "params.npz"])
def test_results_that_were_changed_by_hand_are_refused(finished, name):
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


def test_the_list_has_every_lab():
    assert "\ntiny         A tiny experiment\n" in experiment("list").stdout
    names = [row["name"] for row in json.loads(experiment("list --json").stdout)]
    assert names == list(LABS)


def test_run_prints_the_labs_lines_and_where_the_report_is(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(lab_run, "run_all", run_all_here)
        lines = experiment("run tiny --quick --jobs 1").stdout.splitlines()
    shutil.rmtree("runs")
    beside = experiment("run tiny --quick --jobs 2").stdout.splitlines()
    seconds = re.compile(r"\d+\.\d s$")
    assert sorted(seconds.sub("", line) for line in beside) == sorted(
        seconds.sub("", line) for line in lines
    )
    assert lines[0] == "one/numpy-seed-0"  # the lines that follow are in the lab's form
    assert re.fullmatch(r"epoch 1 loss : 0\.\d+", lines[1])
    assert re.fullmatch(r"one/numpy-seed-0: test accuracy \d+\.\d\d%, \d+\.\d s", lines[3])
    assert len([line for line in lines if line.startswith("epoch")]) == 4  # of one, in both
    page = Path("runs/tiny-quick/report.html").resolve()
    assert lines[-2:] == [
        "report: runs/tiny-quick/report.html and report.pdf",
        f"open it: file://{page}",
    ]
    again = json.loads(experiment("report tiny --quick --json").stdout)
    assert again["report"] == "runs/tiny-quick/report.html"


BAD = {
    "run pionts": "'pionts' is no experiment (known: points, fashion, emnist47,",
    "report tiny": "runs/tiny has no results yet: funcnn experiment run tiny",
    "run tiny --out mine": "--out mine exists already, and is no experiment",
    "run points --quick --out old": "old is of the quick experiment tiny, not of points",
    "run tiny --out old": "old is of the quick experiment tiny, not of tiny",
    "report tiny --out damaged": "damaged/experiment.json is not the record of an",
    "run tiny --quick --data somewhere": "--data somewhere: tiny has data of its own",
    "report tiny --quick --out old": "funcnn experiment run tiny --quick --out old",
}


@pytest.mark.parametrize("command", BAD)
def test_a_bad_input_is_one_line(command):
    Path("mine").mkdir()
    Path("mine/it.txt").write_text("mine")
    LabRun.open(TINY, True, Path("old"))
    Path("damaged").mkdir()
    Path("damaged/experiment.json").write_text('{"experiment": "tiny"}')
    result = experiment(command, code=1)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert BAD[command] in line


# --- EMNIST, which may be missing ------------------------------------------------------------

LETTERS = TINY._replace(
    name="letters",
    trials=(
        Trial("letters", {"arch": "softmax", "data": EMNIST47, "epochs": 1}, main=True),
        TINY.trials[1],
    ),
    quick={"val_size": 12, "batch_size": 8},
)
ALSO = LETTERS._replace(
    name="also", trials=(LETTERS.trials[0]._replace(main=False), TINY.trials[1])
)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No EMNIST on this machine, but a set of its kind in the folder `elsewhere`."""
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(LABS, "letters", LETTERS)
    return image_folder(tmp_path / "elsewhere", train=120, test=50, classes=47)


def test_without_emnist_a_lab_that_needs_it_says_how_to_get_it(nowhere):
    said = "^letters needs EMNIST .* --data, put one at .FUNCNN_DATA/emnist47, or download the off"
    with pytest.raises(InputError, match=said):
        LabRun.open(LETTERS, True)
    assert not Path("runs").exists()


@pytest.mark.usefixtures("here")
def test_without_emnist_another_lab_leaves_its_trials_out_until_it_is_there(nowhere):
    run = LabRun.open(ALSO, True)
    run.finish(told := Told(), at_once=1)
    assert [name for name, *_ in told.results] == ["two/numpy-seed-0"]
    Path("data").mkdir()
    nowhere.rename("data/emnist47")
    assert emnist47.find_emnist() == EMNIST47
    assert LabRun.open(ALSO, True).results.emnist == EMNIST47
    assert LabRun.recorded(ALSO, True).results.emnist is None  # as it was trained


def test_emnist_is_found_under_its_official_names(monkeypatch):
    monkeypatch.setattr(emnist47, "data_folders", list)
    there = {"emnist-bymerge": Path("somewhere")}
    monkeypatch.setattr(emnist47.store, "find", there.get)
    assert emnist47.find_emnist() == "emnist-bymerge"
    there["emnist-balanced"] = Path("somewhere")
    assert emnist47.find_emnist() == "emnist-balanced"


@pytest.mark.usefixtures("here")
def test_emnist_is_taken_from_where_the_user_says_and_only_there(nowhere):
    run = LabRun.open(LETTERS, True, data="elsewhere")
    assert run.results.config(LETTERS.trials[0]).data == "elsewhere"
    again = LabRun.open(LETTERS, True)
    assert again.results.emnist == "elsewhere"
    image_folder(Path("other"), train=120, test=50, classes=47)
    assert LabRun.open(LETTERS, True, data="other").results.emnist == "other"  # not used yet
    again.finish(Told(), at_once=1)
    with pytest.raises(InputError, match=r"^--data other: .* was begun with elsewhere$"):
        LabRun.open(LETTERS, True, data="other")
    # As typed everywhere but in what a run notes for itself; the same place by its other name.
    for path in again.results.path.rglob("*"):
        if path.is_file() and path.name != "data.json":
            assert str(nowhere).encode() not in path.read_bytes(), path
    assert LabRun.open(LETTERS, True, data=str(nowhere)).results.emnist == "elsewhere"


@pytest.mark.parametrize(
    ("data", "said"),
    [("typo", "--data typo: neither a data set"), ("digits", "--data .*digits: it has 3 classes")],
)
def test_data_that_is_not_emnist_is_refused_before_anything_is_written(nowhere, data, said):
    image_folder(Path("digits"))
    for lab in (LETTERS, ALSO):
        with pytest.raises(InputError, match=said):
            LabRun.open(lab, True, data=data)
    assert not Path("runs").exists()


@pytest.mark.usefixtures("here")
def test_all_does_the_others_says_what_is_missing_and_fails(nowhere, monkeypatch):
    labs = {lab.name: lab for lab in (LETTERS, TINY._replace(name="late"))}
    monkeypatch.setattr(registry, "LABS", labs)
    result = experiment("run all --quick --jobs 1 --out here", code=1)
    line, begins = result.stderr.splitlines()
    assert line.startswith("Error: letters needs EMNIST with 47 classes, and it was not found")
    assert begins.startswith("late: 3 runs in here/late, 1 at a time; Ctrl-C is safe")
    assert result.stdout.splitlines()[-2] == "report: here/late/report.html and report.pdf"
    assert not Path("here/letters").exists()
    again = experiment("report all --quick --out here", code=1)
    assert again.stdout == "report: here/late/report.html and report.pdf\n"
    missing = "here/letters has no results yet"
    command = "funcnn experiment run letters --quick --out here/letters"
    assert again.stderr == f"Error: {missing}: {command}\n"
    said = json.loads(experiment("run all --quick --out here --json", code=1).stdout)
    assert said == [{"report": "here/late/report.html", "pdf": "here/late/report.pdf"}]
