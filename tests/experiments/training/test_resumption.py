"""What a run left is held against itself, and what more epochs make of it."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_files import image_folder
from training_runs import finished, resumed, tiny, without_seconds

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.changes import read_settings
from funcnn.experiments.training import run as training_run
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "images")


class StopAfter(Callback):
    """Ctrl-C after an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def epoch_end(self, run, row, epochs):
        if row.epoch == self.epoch:
            raise KeyboardInterrupt


def stopped(config, out, epoch=2):
    run = TrainingRun.start(config, out)
    with pytest.raises(KeyboardInterrupt):
        run.finish(StopAfter(epoch), draw=False)
    return run.folder


def needs(backend):
    if backend == "torch":
        pytest.importorskip("torch", reason="the backend is torch: pip install 'funcnn[torch]'")


@pytest.fixture(scope="module")
def left(images, tmp_path_factory):
    """Runs that were stopped after two epochs of three; the second was the best."""
    found = {}
    for backend in ("numpy", "torch"):
        folder = tmp_path_factory.mktemp("left") / backend
        config = tiny(images, backend=backend, optimizer="sgd", lr=0.05, dropout=0.0)
        if backend == "torch":
            pytest.importorskip("torch", reason="the backend is torch: pip install 'funcnn[torch]'")
        found[backend] = stopped(config, folder)
    return found


@pytest.fixture(params=["numpy", "torch"])
def folder(left, request, tmp_path):
    return RunFolder(shutil.copytree(left[request.param].path, tmp_path / "it"))


def change_config(folder, **values):
    config = json.loads(folder.config.read_text()) | values
    folder.config.write_text(json.dumps(config))


def change_notes(folder, change):
    state = fn.load(folder.last)
    notes = state.notes
    change(notes)
    fn.save(folder.last, state.params, notes=notes)


def refused(folder, *words):
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises((InputError, fn.SnapshotError)) as caught:
        TrainingRun.resume(folder)
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before
    said = str(caught.value)
    assert "\n" not in said
    for word in words:
        assert word in said


# --- what does not fit ------------------------------------------------------------------------


def test_a_summary_of_another_run_is_refused(folder, images, tmp_path, no_figures):
    other = finished(tiny(images), tmp_path / "other")
    shutil.copy(other.summary, folder.summary)
    words = f"{folder.summary} is of a run of 3 epochs, but {folder.last} has 2: delete "
    refused(folder, words)
    folder.summary.write_text("{" * 9)
    refused(folder, f"{folder.summary} is not the summary of a run")


def test_a_damaged_table_is_written_again_when_it_is_gone(folder, no_figures):
    folder.metrics.write_text(folder.metrics.read_text()[:-9])
    refused(folder, f"delete {folder.metrics} if the state is right: it is written again from that")
    folder.metrics.unlink()
    TrainingRun.resume(folder).finish()
    assert [row.epoch for row in folder.read_metrics()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "value", "was"),
    [("lr", 0.2, "0.05"), ("batch_size", 9, "8"), ("epochs", 7, "3"), ("seed", 4, "0")],
)
def test_a_config_that_was_changed_is_refused_by_name(folder, name, value, was):
    change_config(folder, **{name: value})
    option = name.replace("_", "-")
    words = f"{option} is {value}, but the run was begun with {was}; put that back"
    refused(folder, f"{folder.config} was changed: {words}")


@pytest.mark.parametrize("values", [{"optimizer": "adam"}, {"hidden": [6]}])
def test_a_state_of_another_network_or_optimizer_is_refused(folder, values):
    change_config(folder, **values)
    refused(folder, "last.npz")


def test_another_name_for_the_same_network_is_refused(folder):
    change_config(folder, arch="mlp3")
    refused(folder, "arch is mlp3, but the run was begun with mlp2; put that back")


def test_other_data_of_the_same_shape_is_refused(folder):
    data = Path(folder.read_config().data)
    shutil.copytree(data, folder.path.parent / "others")
    change_config(folder, data=str(folder.path.parent / "others"))
    refused(folder, f"data is {folder.path.parent / 'others'}", f"begun with {data}")


def test_a_state_of_before_is_held_to_its_steps(folder):
    change_notes(folder, lambda notes: [notes.pop("config"), notes.pop("extended")])
    change_config(folder, batch_size=16)
    refused(folder, "it has done 12 steps, not 6")


def test_a_state_of_before_goes_on(folder, images, tmp_path, no_figures):
    change_notes(folder, lambda notes: [notes.pop("config"), notes.pop("extended")])
    whole = finished(folder.read_config(), tmp_path / "whole")
    assert resumed(folder.path).params.read_bytes() == whole.params.read_bytes()


@pytest.mark.parametrize(
    ("row", "column", "value", "words"),
    [
        (1, 0, 25, "row 2, epoch 25 after 1"),
        (1, 0, 1, "row 2, epoch 1 after 1"),
        (0, 0, "1", "row 1, epoch '1' after 0"),
        (1, 1, None, "row 2, its train_loss is None"),
        (1, 4, None, "row 2, its val_accuracy is None"),
        (1, 3, "0.5", "row 2, its val_loss is '0.5'"),
        (0, 7, 0.5, "row 1, its test_loss is 0.5"),
        (0, 5, 10**400, f"row 1, its learning_rate is 1{'0' * 99}..."),
    ],
)
def test_rows_that_no_such_run_has_are_refused(folder, row, column, value, words):
    def change(notes):
        notes["rows"][row][column] = value

    change_notes(folder, change)
    refused(folder, words, f"begin again with: funcnn train --config {folder.config}")


@pytest.mark.parametrize(("config", "kind"), [("text", "a str"), ([1], "a list"), (3, "an int")])
def test_a_config_in_a_state_that_is_none_is_refused(folder, config, kind):
    snapshot = fn.load(folder.last)
    fn.save(folder.last, snapshot.params, notes=snapshot.notes | {"config": config})
    with pytest.raises(InputError) as caught:
        TrainingRun.resume(folder)
    said = f"{folder.last} is not the state of a run: its config is {kind}"
    assert str(caught.value) == said


@pytest.mark.parametrize("epoch", [[1], "1", None], ids=str)
def test_a_last_epoch_in_a_state_that_is_none_is_refused(folder, epoch):
    change_notes(folder, lambda notes: notes["rows"][-1].__setitem__(0, epoch))
    with pytest.raises(InputError, match="is not the state of a run: its last epoch is "):
        TrainingRun.resume(folder, epochs=9)


@pytest.mark.parametrize("extended", [[["1", 2, 3]], [[1, None, 3]], [[1, 2, [3]]]], ids=str)
def test_an_extension_in_a_state_that_is_none_is_refused(folder, extended):
    change_notes(folder, lambda notes: notes.update(extended=extended))
    refused(folder, "is not the state of a run: its extended is damaged")


def test_rows_beyond_the_last_epoch_are_refused(folder):
    def change(notes):
        notes["rows"] += [[epoch, *notes["rows"][1][1:]] for epoch in (3, 4)]

    change_notes(folder, change)
    refused(folder, "row 4, it is of epoch 4 of 3")


def test_another_table_than_the_states_is_refused(folder):
    rows = folder.read_metrics()
    folder.write_metrics([rows[0], rows[1]._replace(train_loss=0.5)])
    refused(folder, f"{folder.metrics} has other rows than {folder.last}")
    folder.metrics.unlink()
    TrainingRun.resume(folder)
    assert folder.read_metrics() == rows


def test_a_lost_model_is_made_again_if_it_is_the_last_and_else_refused(
    folder,
    images,
    tmp_path,
    no_figures,
):
    kept = folder.params.read_bytes()
    best = max(folder.read_metrics(), key=lambda row: row.val_accuracy).epoch
    folder.params.unlink()
    if best == 2:
        TrainingRun.resume(folder)
        assert folder.params.read_bytes() == kept
    else:
        refused(folder, f"{folder.params} is missing, the params of epoch {best}")

    def change(notes):
        notes["rows"][0][4], notes["rows"][1][4] = 1.0, 0.0

    change_notes(folder, change)
    folder.metrics.unlink()
    folder.params.unlink(missing_ok=True)
    refused(folder, f"{folder.params} is missing, the params of epoch 1")


def test_a_model_of_another_network_is_refused(folder, images, tmp_path, no_figures):
    other = finished(tiny(images, hidden=[6]), tmp_path / "other")
    folder.params.write_bytes(other.params.read_bytes())
    refused(folder, f"{folder.params} is of another network")


def test_what_a_kill_left_of_a_save_goes_away(folder, no_figures):
    (folder.path / ".funcnn-123-456").write_bytes(b"half")
    resumed(folder.path)
    assert not list(folder.path.glob(".funcnn-*"))


def test_a_file_that_is_gone_is_said_to_be_as_far_as_the_others_tell(left, tmp_path, no_figures):
    new = TrainingRun.start(left["numpy"].read_config(), tmp_path / "new").folder
    assert new.lacks(new.params) == f"{new} has no params.npz: no epoch was recorded yet"
    for begun in (left["numpy"], finished(left["numpy"].read_config(), tmp_path / "finished")):
        folder = RunFolder(shutil.copytree(begun.path, tmp_path / "copies" / begun.path.name))
        first = "summary.json" if folder.summary.exists() else "params.npz"
        folder.metrics.unlink()
        with pytest.raises(InputError) as caught:
            folder.read_metrics()
        gone = f"{folder.metrics} is missing, but {first} is there: it was moved or deleted"
        assert str(caught.value) == gone
        folder.last.unlink()
        if folder.summary.exists():
            with pytest.raises(InputError, match=f"epoch 3: without {folder.last}, which is miss"):
                TrainingRun.resume(folder)
            for name in ("params.npz", "none"):
                with pytest.raises(InputError, match=f"^{folder.last} is missing: without it"):
                    TrainingRun.resume(folder, epochs=9)
                (folder.path / name).unlink(missing_ok=True)
        else:
            with pytest.raises(InputError, match="it was imported, or the file was deleted"):
                folder.read_metrics()


# --- another number of epochs -----------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("stop", [1, 2])
def test_with_a_constant_rate_more_epochs_are_as_if_asked_for_from_the_start(
    images,
    tmp_path,
    no_figures,
    backend,
    stop,
):
    needs(backend)
    config = tiny(images, schedule="constant", backend=backend)
    whole = finished(config, tmp_path / "whole")
    fewer = dataclasses.replace(config, epochs=2)
    if stop == 2:
        folder = finished(fewer, tmp_path / "it")
    else:
        folder = stopped(fewer, tmp_path / "it", stop)
    run = TrainingRun.resume(folder, epochs=3)
    assert run.extension == (
        "3 epochs instead of 2: the result is as if --epochs 3 had been given from the start"
    )
    summary = run.finish()
    assert folder.params.read_bytes() == whole.params.read_bytes()
    assert folder.config.read_bytes() == whole.config.read_bytes()
    assert without_seconds(folder) == without_seconds(whole)
    assert summary["epochs"] == 3
    assert summary["extended"] == [{"after_epoch": stop, "from_epochs": 2, "to_epochs": 3}]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "exponential", "piecewise"])
def test_other_schedules_are_those_of_the_new_number_from_there_on(
    images,
    tmp_path,
    no_figures,
    backend,
    schedule,
):
    needs(backend)
    config = tiny(images, schedule=schedule, backend=backend)
    whole = finished(dataclasses.replace(config, epochs=5), tmp_path / "whole").read_metrics()
    folder = finished(dataclasses.replace(config, epochs=3), tmp_path / "it")
    before = folder.read_metrics()
    run = TrainingRun.resume(folder, epochs=5)
    assert f"from epoch 4 on the {schedule} schedule is that of 5 epochs" in run.extension
    with pytest.raises(KeyboardInterrupt):
        run.finish(StopAfter(4))
    assert not folder.summary.exists()
    resumed(folder.path)  # agrees without being told
    rows = folder.read_metrics()
    assert rows[:3] == before
    expected = [row.learning_rate for row in whole[3:]]
    assert [row.learning_rate for row in rows[3:]] == pytest.approx(expected, rel=1e-6)
    assert folder.read_config().epochs == 5


def test_fewer_epochs_end_a_run_earlier(left, tmp_path, no_figures):
    folder = RunFolder(shutil.copytree(left["numpy"].path, tmp_path / "it"))
    with pytest.raises(InputError, match=r"^--epochs 1: \S+ has done 2 epochs; give 2 or more$"):
        TrainingRun.resume(folder, epochs=1)
    run = TrainingRun.resume(folder, epochs=2)
    assert run.extension == (
        "2 epochs instead of 3: it ends after epoch 2, which is done, and is tested"
    )
    assert run.finish()["epochs"] == 2
    for epochs in (1, 2):
        words = rf"^--epochs {epochs}: \S+ is finished after epoch 2; give 3 or more$"
        with pytest.raises(InputError, match=words):
            TrainingRun.resume(folder, epochs=epochs)


@pytest.mark.parametrize("call", range(3))
def test_a_run_killed_while_it_is_extended_is_finished_or_can_be_resumed(
    left, tmp_path, monkeypatch, no_figures, call
):
    folder = RunFolder(shutil.copytree(left["numpy"].path, tmp_path / "it"))
    resumed(folder.path)
    whole = RunFolder(shutil.copytree(folder.path, tmp_path / "whole"))
    TrainingRun.resume(whole, epochs=4).finish()

    def die(*args, **keywords):
        raise OSError(28, "No space left on device", "it")

    with monkeypatch.context() as patch:
        if call == 0:
            patch.setattr(training_run.fn, "save", die)
        elif call == 1:
            patch.setattr(Path, "unlink", die)
        else:
            patch.setattr(RunFolder, "write_config", die)
        with pytest.raises(OSError, match="No space"):
            TrainingRun.resume(folder, epochs=4)
    if call < 2:
        assert folder.read_summary()["epochs"] == folder.read_config().epochs == 3
        TrainingRun.resume(folder, epochs=4).finish()
    else:
        resumed(folder.path)
    assert folder.params.read_bytes() == whole.params.read_bytes()
    assert folder.config.read_bytes() == whole.config.read_bytes()
    assert without_seconds(folder) == without_seconds(whole)


# --- patience ---------------------------------------------------------------------------------


def stopping_at(accuracies, patience):
    best = 0
    for epoch, accuracy in enumerate(accuracies):
        best = epoch if accuracy > accuracies[best] else best
        if epoch - best == patience:
            return epoch + 1
    return len(accuracies)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_patience_ends_a_run_when_validation_is_no_longer_better(
    images,
    tmp_path,
    no_figures,
    backend,
):
    needs(backend)
    config = tiny(images, epochs=12, schedule="constant", backend=backend)
    whole = finished(config, tmp_path / "whole").read_metrics()
    at = stopping_at([row.val_accuracy for row in whole], 2)
    assert at < 12, "it never stops: this proves nothing"
    patient = dataclasses.replace(config, patience=2)
    folder = finished(patient, tmp_path / "it")
    summary = folder.read_summary()
    assert (summary["epochs"], summary["stopped_early"]) == (at, True)
    assert [row._replace(seconds=0) for row in folder.read_metrics()] == [
        row._replace(seconds=0) for row in whole[:at]
    ]
    other = resumed(stopped(patient, tmp_path / "stopped", at - 1).path)
    assert other.params.read_bytes() == folder.params.read_bytes()
    assert other.read_summary()["epochs"] == at
    # Those that never ran are not counted.
    with pytest.raises(InputError, match=f"is finished after epoch {at}: to go on, give --epochs "):
        resumed(folder.path)
    with pytest.raises(InputError, match=f"finished after epoch {at}; give {at + 1} or more$"):
        TrainingRun.resume(folder, epochs=at)
    # Who asks for more has given new hope, for as many epochs.
    more = TrainingRun.resume(folder, epochs=12)
    assert more.extension == f"it goes on after epoch {at} of 12, with the schedule that it had"
    assert more.finish()["epochs"] > at


def test_patience_needs_a_validation_set(images, tmp_path):
    with pytest.raises(InputError, match=r"^--patience 2: there is no validation set; give --val"):
        TrainingRun.start(tiny(images, val_size=0, patience=2), tmp_path / "it")
    assert not (tmp_path / "it").exists()


# --- the last batch, and the weights of classes -------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_smaller_last_batch_can_be_left_out(images, tmp_path, no_figures, backend):
    needs(backend)
    run = TrainingRun.start(
        tiny(images, backend=backend, batch_size=20, drop_last=True), tmp_path / "it"
    )
    assert run._task.steps_per_epoch == 2
    seen = [len(y) for epoch in (1, 2) for _, y in run._learner.batches(epoch)]
    assert seen == [20] * 4
    (first, *_), (second, *_) = (list(run._learner.batches(epoch)) for epoch in (3, 4))
    assert not np.array_equal(first[0], second[0]), "each epoch has an order of its own"
    assert run.finish()["epochs"] == 3
    for row in run.folder.read_metrics():
        assert row.train_accuracy * 40 == pytest.approx(round(row.train_accuracy * 40))


def test_an_epoch_of_one_smaller_batch_is_shuffled(images, tmp_path):
    task = TrainingRun.start(tiny(images, batch_size=40, drop_last=True), tmp_path / "it")._task
    (first,), (second,) = (list(task.batches(epoch)) for epoch in (1, 2))
    assert not np.array_equal(first[0], second[0])


def test_balanced_weights_are_those_of_the_training_set(images, tmp_path, no_figures):
    run = TrainingRun.start(tiny(images, class_weights="balanced"), tmp_path / "it")
    y = run._task.data.train[1]
    counts = np.bincount(y)
    np.testing.assert_allclose(run._task.class_weights, 48 / (3 * counts))
    outputs = np.random.default_rng(0).standard_normal((48, 3))
    value, _ = run._task.loss(outputs, y)
    of_each, _ = fn.softmax_cross_entropy(outputs, y, label_smoothing=0.1, reduction="none")
    by_class = [of_each[y == k].mean() for k in range(3)]
    assert value == pytest.approx(np.mean(by_class)), "the mean over the classes of their means"
    assert run._task.plain_loss(outputs, y)[0] == fn.softmax_cross_entropy(outputs, y)[0]
    assert run.finish()["epochs"] == 3


def test_configs_of_before_read_as_ever(left):
    config = json.loads(left["numpy"].config.read_text())
    for name in ("patience", "class_weights", "drop_last"):
        config.pop(name)
    read = left["numpy"].read_config().resolve(config)
    assert read == left["numpy"].read_config()
    assert (read.patience, read.class_weights, read.drop_last) == (None, "none", False)


# --- two at once ------------------------------------------------------------------------------


def test_two_at_once_are_one_and_a_line(images, tmp_path, no_figures):
    config = tiny(images)
    first = TrainingRun.start(config, tmp_path / "it")
    busy = rf"^{re.escape(str(tmp_path / 'it'))}: another process is at work in it$"

    class Second(Callback):
        def epoch_end(self, run, row, epochs):
            with pytest.raises(InputError, match=r"^--out \S+ exists already"):
                TrainingRun.start(config, tmp_path / "it")
            with pytest.raises(InputError, match=busy):
                TrainingRun.resume(first.folder)

    second = TrainingRun.resume(first.folder)
    first.finish(Second())
    with pytest.raises(InputError, match="another process went on with it meanwhile"):
        second.finish()


def test_what_is_to_be_pasted_is_quoted(images, tmp_path, no_figures):
    run = TrainingRun.start(tiny(images), tmp_path / "my run")
    change_config(run.folder, epochs=7)
    refused(run.folder, f"or give --resume '{run.folder}' --epochs 7")
    with pytest.raises(InputError, match=f"give '{run.folder.config}'$"):
        read_settings(run.folder.path)
    with pytest.raises(InputError, match=f"give its folder, '{run.folder}'$"):
        RunFolder.open(run.folder.last)
