"""Files of JSON that somebody edited or damaged: one line each, whoever reads them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from funcnn.cli import main
from funcnn.experiments.errors import InputError
from funcnn.experiments.system.json_files import read_record
from funcnn.experiments.tasks.changes import read_settings
from funcnn.experiments.training.run_folder import EpochRow, RunFolder

SUMMARY = {
    **dict.fromkeys(("val_loss", "val_accuracy", "test_loss", "test_accuracy")),
    **dict.fromkeys(("parameters", "epochs", "snapshot_epoch"), 3),
    **dict.fromkeys(("train_examples", "test_examples"), 3),
    "seconds": 1.5,
    "test_is": "the test set",
    "confusion_matrix": [[1, 0], [0, 2]],
}
BAD = {
    "empty": b"",
    "cut off": b'{"a": 1',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and whole": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge float": b'{"a": 1e999}',
    "a huge int": b'{"a": ' + b"9" * 5000 + b"}",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": [-Infinity]}',
    "twice": b'{"a": 1, "b": {"c": 1, "c": 2}}',
    "a list": b"[1]",
    "a number": b"1",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "NUL": b"\0\0\0",
}


def funcnn(*arguments):
    result = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture(params=BAD.values(), ids=BAD)
def bad(request):
    return request.param


def test_a_record_that_is_none_is_one_line(bad, tmp_path):
    path = tmp_path / "it.json"
    path.write_bytes(bad)
    with pytest.raises(InputError) as caught:
        read_record(path, "the record of a thing")
    said = str(caught.value)
    assert said.startswith(f"{path} is not the record of a thing: ")
    assert len(said) < 400
    assert said.isprintable()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BAD["deep lists"], "it is nested too deeply"),
        (BAD["twice"], "it says 'c' twice"),
        (BAD["a huge float"], "1e999 is not a finite number"),
        (BAD["NaN"], "NaN is not a finite number"),
        (BAD["a list"], "it holds a list"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(content, said, tmp_path):
    path = tmp_path / "it.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"is not a thing: {said}$"):
        read_record(path, "a thing")


def test_a_record_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "it.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, true, null, "\xc3\xa9"]}')
    assert read_record(path, "a thing") == {"a": [1, 2.5, True, None, "é"]}
    path.write_bytes(b'\xef\xbb\xbf{"arch": "mlp2"}')
    assert read_settings(path) == {"arch": "mlp2"}


def test_a_record_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"it\.json cannot be read: No such file"):
        read_record(tmp_path / "it.json", "a thing")


COMMANDS = {
    "config.json": [
        ("evaluate", "here"),
        ("train", "--resume", "here"),
        ("train", "--config", "here/config.json"),
    ],
    "sweep.json": [("sweep", "points", "--out", "here")],
    "experiment.json": [
        ("experiment", "report", "points", "--out", "here"),
        ("experiment", "run", "points", "--out", "here"),
    ],
    "comparison.json": [("compare", "--resume", "here")],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_so_in_one_line(name, bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "comparison.json":
        pytest.importorskip("torch")
    Path("here").mkdir()
    Path("here", name).write_bytes(bad)
    for command in COMMANDS[name]:
        assert funcnn(*command).startswith(f"Error: here/{name} is not "), command


def test_a_summary_is_read_as_it_was_written(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_summary(SUMMARY)
    assert folder.read_summary() == SUMMARY


@pytest.mark.parametrize("name", SUMMARY)
@pytest.mark.parametrize("value", [[], {}, "three", True, 10**400, ...], ids=repr)
def test_a_summary_with_something_else_in_it_is_none(name, value, tmp_path):
    folder = RunFolder(tmp_path)
    changed = {**SUMMARY, name: value}
    if value is ...:
        del changed[name]
    if (name, value) in [("confusion_matrix", []), ("test_is", "three")]:
        return
    folder.summary.write_text(json.dumps(changed))
    with pytest.raises(InputError, match=rf"is not the summary of a run: it.* {name}"):
        folder.read_summary()


@pytest.mark.parametrize(
    "counts", [[[1]] * 2, [1, 2], [[1, 2.5], [0, 1]], [[True, 1], [0, 1]], [[-1]], [[10**30]]]
)
def test_a_summary_whose_confusion_matrix_is_no_table_is_none(counts, tmp_path):
    folder = RunFolder(tmp_path)
    folder.summary.write_text(json.dumps({**SUMMARY, "confusion_matrix": counts}))
    with pytest.raises(InputError, match="its confusion_matrix is no table"):
        folder.read_summary()


@pytest.mark.parametrize("epochs", [(1, 1), (2, 1), (0,), (-1,), (2**63,)], ids=str)
def test_a_table_whose_epochs_do_not_follow_each_other_is_none(epochs, tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_metrics([EpochRow(epoch, 0.5, 0.5, None, None, 0.1, 1.0) for epoch in epochs])
    with pytest.raises(InputError, match=rf"not the table of a run: it has epoch {epochs[-1]} aft"):
        folder.read_metrics()


def test_what_a_file_says_is_printable_in_the_error_about_it(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"arch": "a\n\x1b[31m\u202e\ud800"}))
    with pytest.raises(InputError) as caught:
        read_settings(path)
    assert str(caught.value).startswith(rf"{path}: --arch a\n\x1b[31m\u202e\ud800: must be one of ")
    assert str(caught.value).isprintable()


RECORD = {
    "config": {"arch": "points", "data": "points-xor"},
    "modes": ["lockstep"],
    "seeds": [0],
    "steps": 1,
    "threads": 1,
    "machine": {"cpu": "a", "cores": 2, "system": "b", "load": None},
    "peak_memory": {},
}


@pytest.mark.parametrize(
    "change",
    [
        {"modes": ["free", "other"]},
        {"modes": [["free"]]},
        {"seeds": [True]},
        {"seeds": []},
        {"peak_memory": {"numpy-seed-0": "much"}},
        {"steps": 0},
        {"threads": 10**400},
        {"threads": -1},
        {"machine": {}},
        {"config": {"arch": "none"}},
        {"config": {"arch": ["points"]}},
    ],
    ids=repr,
)
def test_a_comparison_that_was_edited_is_one_line(change, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    Path("here/comparison.json").write_text(json.dumps(RECORD | change))
    line = funcnn("compare", "--resume", "here")
    assert line.startswith("Error: here/comparison.json is not the record of a comparison: ")
