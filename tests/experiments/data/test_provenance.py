"""A run knows its data: found from anywhere, never taken for another, said where it changed."""

import json
import re
import shutil

import numpy as np
import pytest
from commands import funcnn, one_error, parse
from helpers import run_all_here
from image_files import PIXELS, write_csv

from funcnn.experiments.compare import comparison
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.data.formats import by_path
from funcnn.experiments.data.provenance import (
    DataRecord,
    changes_in,
    digest,
    expected_data,
    note_change,
)
from funcnn.experiments.errors import InputError
from funcnn.experiments.sweep import sweep
from funcnn.experiments.sweep.plan import Plan
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.record import digest_of
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder

TINY = ["--arch", "softmax", "--val-size", "10", "--epochs", "2", "--batch-size", "8"]
TABLE = np.random.default_rng(0).integers(0, 256, (50, 17))
TABLE[:, 0] = np.arange(50) % 3
OTHER = np.array(TABLE)
OTHER[7, 3] ^= 1  # one pixel, by one
NEEDED = ("config.json", "data.json", "metrics.csv", "params.npz", "last.npz")
REFUSED = "content of .*mine.csv is not what run was trained with: .*--allow-changed-data"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, no_figures):
    """A folder with `mine.csv`, of another name than the one the command is used in later."""
    folder = tmp_path / "home"
    write_csv(folder / "mine.csv", TABLE, ["label", *PIXELS])
    monkeypatch.chdir(folder)
    monkeypatch.delenv("FUNCNN_DATA", raising=False)
    return folder


def train(*arguments, **keywords):
    return funcnn("train", *TINY, "--data", "mine.csv", "--out", "run", *arguments, **keywords)


@pytest.fixture
def run(home):
    train()
    return home / "run"


def stopped(folder):
    """A run that was stopped after its first epoch."""

    class Stop(Callback):
        def epoch_end(self, run, row, epochs):
            raise KeyboardInterrupt

    settings = {"arch": "softmax", "val_size": 10, "epochs": 2, "batch_size": 8}
    config = RunConfig.resolve(settings | {"data": "mine.csv"})
    with pytest.raises(KeyboardInterrupt):
        TrainingRun.start(config, folder).finish(Stop())
    return folder


def change(home, table=OTHER):
    write_csv(home / "mine.csv", table, ["label", *PIXELS])


# --- the record ------------------------------------------------------------------------------


def test_a_run_records_what_it_read_and_where(run, home):
    data = load_dataset("mine.csv", val_size=0, seed=1)
    assert json.loads((run / "data.json").read_text()) == {
        "data": "mine.csv",
        "path": str(home / "mine.csv"),
        "sha256": data.record.sha256,
    }
    assert re.fullmatch("[0-9a-f]{64}", data.record.sha256)


def test_no_absolute_path_is_in_anything_else_that_a_run_holds_or_gives(run, home):
    funcnn("export", "run", "--to", "safetensors", "--out", "net.safetensors")
    files = [file for file in run.iterdir() if file.name != "data.json"]
    for file in (*files, home / "net.safetensors"):
        assert str(home).encode() not in file.read_bytes(), file
    assert RunFolder(run).read_config().data == "mine.csv"


def test_the_digest_is_of_the_content_and_not_of_how_it_is_stored(home):
    data = by_path.read(home / "mine.csv")
    images, labels = data.train
    of = load_dataset("mine.csv", val_size=0, seed=0).record.sha256
    assert of == digest(data.content)
    write_csv(home / "again.csv", TABLE, ["label", *PIXELS], end="\r\n")
    assert of == load_dataset("again.csv", val_size=0, seed=5).record.sha256
    train = np.asfortranarray(images), labels.astype("u1")
    assert of == digest(data._replace(train=train).content)
    different = [
        data._replace(class_names=("0", "1", "x")),
        data._replace(test=(images, None)),
        data._replace(test=(images, labels)),
        data._replace(train=(images[::-1], labels)),
        data._replace(train=(images, labels[::-1])),
        data._replace(train=(images.reshape(-1, 1, 2, 8), labels)),
    ]
    assert len({of, *(digest(each.content) for each in different)}) == 7


def test_points_and_published_sets_have_a_digest_and_no_path():
    points = [load_dataset("points-linear", val_size=0, seed=seed).record for seed in (0, 1)]
    assert points[0] == points[1]  # of the set, from which the seed draws
    assert points[0].path is None
    assert points[0].sha256 != load_dataset("points-xor", val_size=0, seed=0).record.sha256
    records = [load_dataset(name, val_size=0, seed=0).record for name in ("mnist", "fashion-mnist")]
    assert [record.path for record in records] == [None, None]
    assert records[0].sha256 != records[1].sha256


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"data": "a", "path": 1, "sha256": "b"}',
        '{"x": 1}',
        '{"data": "a", "path": null, "sha256": "b", "changed": [{"after_epoch": "1"}]}',
        "\xff",
    ],
)
def test_a_damaged_record_is_one_line(run, text):
    (run / "data.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"data.json is not the record of a run's data: "):
        expected_data(run)
    assert "data.json is not the record" in one_error(funcnn("evaluate", "run", code=1))


# --- evaluate --------------------------------------------------------------------------------


def test_evaluate_finds_the_data_from_another_folder(run, home, tmp_path, monkeypatch):
    here = parse(funcnn("evaluate", "run", "--json"))
    monkeypatch.chdir(tmp_path)
    result = funcnn("evaluate", run, "--json")
    assert json.loads(result.stdout) == here | {"run": str(run)}
    assert result.stderr == (
        f"--data mine.csv: {home / 'mine.csv'} has the content that {run} was trained with\n"
    )


def test_another_file_of_the_same_name_is_not_measured(run, tmp_path, monkeypatch):
    here = parse(funcnn("evaluate", "run", "--json"))
    write_csv(tmp_path / "there" / "mine.csv", OTHER, ["label", *PIXELS])
    monkeypatch.chdir(tmp_path / "there")
    there = json.loads(funcnn("evaluate", run, "--json").stdout)
    assert there == here | {"run": str(run)}


def test_a_damaged_file_of_the_same_name_is_passed_over(run, tmp_path, monkeypatch):
    (tmp_path / "mine.csv").write_text("no,images\n")
    monkeypatch.chdir(tmp_path)
    funcnn("evaluate", run)


@pytest.mark.parametrize("under", ["mine.csv", "sets/mine.csv"])
def test_data_that_moved_are_found_under_funcnn_data(home, tmp_path, monkeypatch, under):
    write_csv(home / under, TABLE, ["label", *PIXELS])
    funcnn("train", *TINY, "--data", under, "--out", "run")
    (tmp_path / "moved").mkdir()
    (home / under).rename(tmp_path / "moved" / "mine.csv")
    (home / "mine.csv").unlink(missing_ok=True)
    gone = f"--data {under}: neither .*run read {home / under}, which is gone: .*set FUNCNN_DATA"
    assert re.search(gone, one_error(funcnn("evaluate", "run", code=1)))
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path / "moved"))
    funcnn("evaluate", "run")


def test_evaluate_of_changed_data_is_refused_and_goes_on_with_the_option(run, home):
    change(home)
    assert re.search(REFUSED, one_error(funcnn("evaluate", "run", code=1)))
    result = funcnn("evaluate", "run", "--allow-changed-data", "--json")
    assert json.loads(result.stdout)["test_examples"] == 10
    assert result.stderr.splitlines() == [
        f"the content of {home / 'mine.csv'} is not what run was trained with: going on regardless"
    ]


def test_a_class_that_the_model_lacks_is_one_line(run, home):
    more = np.array(TABLE)
    more[:, 0] = np.arange(50) % 4
    change(home, more)
    line = one_error(funcnn("evaluate", "run", code=1))
    assert re.search(REFUSED, line)
    result = funcnn("evaluate", "run", "--allow-changed-data", code=1)
    assert "mine.csv has 4 classes that are not the 3 of the model" in result.output


def test_a_run_of_before_says_that_it_has_no_digest_and_is_measured(run, home):
    with_record = parse(funcnn("evaluate", "run", "--json"))
    (run / "data.json").unlink()
    result = funcnn("evaluate", "run", "--json")
    assert json.loads(result.stdout) == with_record
    (line,) = result.stderr.splitlines()
    assert line.startswith("run has no digest of its data (older runs have none, or its data.json")


# --- train -----------------------------------------------------------------------------------


def test_a_run_is_resumed_on_its_data_from_another_folder(run, home, tmp_path, monkeypatch):
    folder = stopped(home / "second")
    write_csv(tmp_path / "mine.csv", OTHER, ["label", *PIXELS])
    monkeypatch.chdir(tmp_path)
    funcnn("train", "--resume", folder, "--quiet")
    assert (folder / "params.npz").read_bytes() == (run / "params.npz").read_bytes()


def test_a_run_is_not_resumed_on_changed_data_but_with_the_option(home):
    folder = stopped(home / "run")
    change(home)
    before = {name: (folder / name).read_bytes() for name in NEEDED}
    refused = one_error(funcnn("train", "--resume", "run", code=1))
    assert re.search(REFUSED, refused)
    assert {name: (folder / name).read_bytes() for name in NEEDED} == before
    result = funcnn("train", "--resume", "run", "--allow-changed-data", "--quiet")
    assert "is not what run was trained with: going on regardless" in result.stderr
    # That is kept: beside the first digest, in the summary, and said wherever the run is used.
    now = load_dataset("mine.csv", val_size=0, seed=0).record
    assert json.loads((folder / "data.json").read_text()) == json.loads(before["data.json"]) | {
        "changed": [{"after_epoch": 1, "path": now.path, "sha256": now.sha256}]
    }
    assert DataRecord.read(folder) == now
    assert RunFolder(folder).read_summary()["changed_data"] == [
        {"after_epoch": 1, "sha256": now.sha256}
    ]
    said = "run was gone on with on other data after epoch 1: data.json says which"
    assert funcnn("evaluate", "run").stderr.splitlines() == [said]
    change(home, TABLE)
    assert re.search(REFUSED, one_error(funcnn("evaluate", "run", code=1)))
    assert funcnn("evaluate", "run", "--allow-changed-data").stderr.splitlines()[0] == said


def test_data_are_changed_by_an_epoch_and_not_by_the_wish(home):
    first = (folder := stopped(home / "run")) / "data.json"
    before = first.read_bytes()
    change(home)
    TrainingRun.resume(RunFolder(folder), allow_changed=True)  # and stopped at once
    assert first.read_bytes() == before
    change(home, TABLE)
    funcnn("train", "--resume", "run", "--epochs", 4, "--quiet")
    assert first.read_bytes() == before
    assert "changed_data" not in RunFolder(folder).read_summary()
    for table, epochs in ((OTHER, 5), (TABLE, 6)):
        change(home, table)
        more = ["--epochs", epochs, "--allow-changed-data", "--quiet"]
        funcnn("train", "--resume", "run", *more)
    assert [each.after_epoch for each in changes_in(folder)] == [4, 5]
    assert DataRecord.read(folder).sha256 == json.loads(before)["sha256"]


def test_of_a_kill_between_the_record_and_the_state_nothing_stays(home):
    folder = stopped(home / "run")
    old, other = DataRecord.read(folder), DataRecord("mine.csv", None, "0" * 64)
    note_change(folder, 1, other)
    note_change(folder, 1, old)
    assert (DataRecord.read(folder), changes_in(folder)) == (old, [])
    note_change(folder, 0, other)  # nothing was trained with the first
    assert (DataRecord.read(folder), changes_in(folder)) == (other, [])


def test_a_run_of_before_is_resumed_with_a_line(run, home):
    folder = stopped(home / "second")
    (folder / "data.json").unlink()
    result = funcnn("train", "--resume", "second", "--quiet")
    assert result.stderr.startswith("second has no digest of its data")
    assert (folder / "params.npz").read_bytes() == (run / "params.npz").read_bytes()
    assert not (folder / "data.json").exists()  # nobody knows what it read


def test_a_run_that_was_killed_before_its_first_state_records_what_it_reads(home):
    folder = stopped(home / "run")
    for name in ("data.json", "metrics.csv", "params.npz", "last.npz"):
        (folder / name).unlink()
    assert funcnn("train", "--resume", "run", "--quiet").stderr == ""
    assert DataRecord.read(folder) == load_dataset("mine.csv", val_size=0, seed=0).record


def test_a_config_makes_a_new_run_which_records_anew(run, home):
    change(home)
    funcnn("train", "--config", "run/config.json", "--out", "second", "--quiet")
    old, new = (DataRecord.read(home / name) for name in ("run", "second"))
    assert new == load_dataset("mine.csv", val_size=0, seed=0).record
    assert (new.path, new.data) == (old.path, old.data)
    assert new.sha256 != old.sha256


def test_a_new_run_has_no_data_that_could_have_changed():
    line = one_error(train("--allow-changed-data", code=1))
    assert line == "Error: --allow-changed-data is for --resume: a new run records what it reads"


def test_an_imported_run_knows_its_data(run, home):
    funcnn("export", "run", "--to", "safetensors", "--out", "net.safetensors")
    funcnn(
        *("import", "net.safetensors", "--arch", "softmax", "--data", "mine.csv"),
        *("--val-size", "10", "--out", "back"),
    )
    assert (home / "back" / "data.json").read_bytes() == (run / "data.json").read_bytes()
    shutil.copy(home / "mine.csv", home / "kept.csv")
    change(home)
    assert "is not what back was trained with" in one_error(funcnn("evaluate", "back", code=1))


# --- what is made of several runs ------------------------------------------------------------


@pytest.fixture
def comparison_here(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(comparison, "run_all", run_all_here)


def test_a_comparison_reads_what_its_run_read_and_goes_on_from_anywhere(
    run, home, tmp_path, monkeypatch, comparison_here
):
    write_csv(tmp_path / "mine.csv", OTHER, ["label", *PIXELS])
    monkeypatch.chdir(tmp_path)
    funcnn("compare", run, "--mode", "free", "--seeds", 1, "--threads", 1, "--out", "both")
    assert DataRecord.read(tmp_path / "both") == DataRecord.read(run)
    for backend in ("numpy", "torch"):
        assert DataRecord.read(tmp_path / "both" / f"{backend}-seed-0") == DataRecord.read(run)
    for name in ("comparison.json", "comparison.md"):
        assert str(home) not in (tmp_path / "both" / name).read_text()


def test_a_comparison_does_not_go_on_with_changed_data(run, home, comparison_here):
    asked = ("compare", "run", "--mode", "free", "--seeds", 1, "--threads", 1)
    change(home)
    result = funcnn(*asked, "--out", "both", code=1)
    assert re.search("content of .*mine.csv is not what run was trained with", one_error(result))
    assert "--allow-changed-data" not in result.output
    assert not (home / "both").exists()


def test_a_sweep_trains_no_more_runs_on_changed_data(home, monkeypatch):
    monkeypatch.setattr(sweep, "run_all", run_all_here)
    settings = [*TINY[2:], "--data", "mine.csv", "--out", "swept", "--jobs", "1"]
    funcnn("sweep", "softmax", *settings, "--grid", "lr=0.1")
    change(home)
    again = funcnn("sweep", "softmax", *settings, "--grid", "lr=0.1,0.2", code=1)
    assert re.search("content of .*mine.csv is not what .*lr=0.1_seed=0 was trained", again.output)


SWEPT = ["sweep", "softmax", "--epochs", "2", "--data", "mine.csv", "--out", "swept", "--jobs", "1"]


@pytest.fixture
def sweep_here(monkeypatch):
    monkeypatch.setattr(sweep, "run_all", run_all_here)


def test_a_sweep_on_changed_data_is_refused_once_and_before_anything_is_trained(home, sweep_here):
    funcnn(*SWEPT, "--grid", "lr=0.1")
    written = (home / "swept/results.csv").read_bytes()
    change(home)
    again = funcnn(*SWEPT, "--grid", "lr=0.1,0.2,0.3", code=1)
    assert again.output.count("Error") == 1
    assert (home / "swept/results.csv").read_bytes() == written
    assert [path.name for path in (home / "swept/runs").iterdir()] == ["lr=0.1_seed=0"]
    # What is finished is shown all the same, for nothing is read for it.
    assert "best: lr=0.1" in funcnn(*SWEPT, "--grid", "lr=0.1").output


def test_data_that_change_while_a_sweep_trains_are_refused(home, sweep_here):
    plan = Plan.make("softmax", {"lr": (0.1,)}, {"epochs": 1, "data": "mine.csv"}, 1)
    begun = sweep.Sweep.open(plan, sweep.Processes(1), home / "swept")
    change(home)
    _, outcomes = begun.finish()
    assert re.search("content of .* is not what .*swept was", outcomes["lr=0.1_seed=0"].error)


def test_paths_of_a_sweep_stay_as_typed_and_its_runs_are_found_from_anywhere(
    home, tmp_path, monkeypatch, sweep_here
):
    sizes = ["--val-size", "10", "--batch-size", "8"]
    shown = funcnn(*SWEPT, *sizes, "--grid", "lr=0.1")
    assert "--data mine.csv" in shown.output
    for path in (home / "swept").rglob("*"):
        if path.is_file() and path.name != "data.json":
            assert str(home).encode() not in path.read_bytes(), path
    monkeypatch.chdir(tmp_path)
    elsewhere = [home / "swept" if word == "swept" else word for word in SWEPT]
    funcnn(*elsewhere, *sizes, "--grid", "lr=0.1,0.2")
    read = [DataRecord.read(path) for path in (home / "swept/runs").iterdir()]
    assert read == [DataRecord("mine.csv", str(home / "mine.csv"), read[0].sha256)] * 2


def test_a_sweep_of_before_whose_runs_have_absolute_paths_goes_on(home, sweep_here):
    sizes = ["--val-size", "10", "--batch-size", "8"]
    shown = funcnn(*SWEPT, *sizes, "--grid", "lr=0.1")
    run = RunFolder(home / "swept/runs/lr=0.1_seed=0")
    for path in (run.config, run.summary):
        path.write_text(path.read_text().replace('"mine.csv"', f'"{home / "mine.csv"}"'))
    (run.path / "data.json").unlink()
    record = json.loads((home / "swept/sweep.json").read_text())
    record["sha256"] = {run.path.name: digest_of(run)}
    (home / "swept/sweep.json").write_text(json.dumps(record))
    again = funcnn(*SWEPT, *sizes, "--grid", "lr=0.1").stdout
    assert again.splitlines()[1:] == shown.stdout.splitlines()[1:]
    funcnn(*SWEPT, *sizes, "--grid", "lr=0.1,0.2")
    assert len(list((home / "swept/runs").iterdir())) == 2


def test_a_sweep_has_smaller_sizes_for_few_examples_and_says_so_once(home, sweep_here):
    write_csv(home / "mine.csv", TABLE[:10], ["label", *PIXELS])
    first = funcnn(*SWEPT, "--grid", "lr=0.1,0.2", "--seeds", 2)
    said = "too few examples for the usual sizes, so: --val-size 2 --batch-size 6\n"
    assert first.stderr == said
    for path in (home / "swept/runs").iterdir():
        config = RunFolder(path).read_config()
        assert (config.val_size, config.batch_size) == (2, 6)
    assert "val accuracy" in first.stdout
    again = funcnn(*SWEPT, "--grid", "lr=0.1,0.2", "--seeds", 2)
    assert again.stderr == said
    assert "4 of 4 runs were finished before" in again.stdout
    # The best point's command chooses the same.
    command = re.search(r"funcnn (train .*)", first.stdout)[1].split()
    assert funcnn(*command, "--out", "run").stderr == said
    other = funcnn(*SWEPT, "--val-size", 3, "--grid", "lr=0.1,0.2", code=1)
    assert "swept was begun without --val-size: give another --out" in other.output
