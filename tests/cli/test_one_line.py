"""One line is one line: of names from anywhere, and where the output cannot be written."""

import errno
import json
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from funcnn.cli import main
from funcnn.experiments.data import overview
from funcnn.experiments.data.datasets import load_dataset, load_inputs
from funcnn.experiments.data.images import assemble
from funcnn.experiments.data.provenance import DataRecord, Expected
from funcnn.experiments.errors import InputError, kind_of, printable
from funcnn.experiments.figures import plots
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.run_folder import loss_text

UGLY = "a\nb\r\x1b[31m\0\u202e\u2028\udcff"
READ = r"a\nb\r\x1b[31m\x00\u202e\u2028\udcff"
SCRIPT = [sys.executable, "-c", "from funcnn.cli import main; main()"]


def funcnn(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café 数据\u3000집", "café 数据\u3000집"),
        (UGLY, READ),
        ("\u200cnim\u200dfasele", "\u200cnim\u200dfasele"),
        (Path("a\tb"), r"a\tb"),
        (ValueError("a\x7fb"), r"a\x7fb"),
    ],
)
def test_what_no_terminal_can_have_is_written_as_python_writes_it(text, shown):
    assert printable(text) == shown


def test_a_long_text_loses_its_middle():
    assert printable("a" * 10_000_000 + "b" * 10) == "a" * 1495 + " ... " + "a" * 490 + "b" * 10
    assert printable("a" * 2000) == "a" * 2000


COMMANDS = [
    ("evaluate", UGLY),
    ("inspect", UGLY),
    ("compare", UGLY),
    ("figure", "curves", UGLY),
    ("train", "--data", UGLY),
    ("train", "--arch", UGLY),
    ("train", "--config", UGLY),
    ("train", "--resume", UGLY),
    ("data", "show", UGLY),
    ("data", "duplicates", UGLY),
    ("data", "path", UGLY),
    ("sweep", UGLY),
    ("experiment", "report", UGLY),
    (UGLY,),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:-1]) or "none")
def test_an_error_is_one_line_whatever_was_typed(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = UGLY.replace("\0", "")  # which no system has in a name
    result = funcnn(*command[:-1], name)
    assert result.exit_code in (1, 2)
    (line,) = result.stderr.split("\n")[:-1]
    assert line.startswith("Error: ")
    assert line.isprintable()
    assert r"\x1b[31m" in line


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_a_config_with_a_name_that_no_file_has_is_one_line(name, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"arch": "mlp3", "data": name}))
    result = funcnn("train", "--config", config, "--out", tmp_path / "it")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert printable(name) in result.stderr


def test_a_megabyte_of_a_name_is_a_line_that_can_be_read():
    result = funcnn("data", "path", "a" * 1_000_000)
    assert len(result.stderr) < 2100
    assert result.stderr.endswith("aaa: File name too long\n")


def test_a_line_with_a_path_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = "a\nb\x1b[31m"
    result = funcnn("train", "--arch", "points", "--epochs", "1", "--quiet", "--out", run)
    assert result.exit_code == 0
    _, last = result.stdout.splitlines()
    assert last.endswith(r"all in a\nb\x1b[31m")
    assert Path(run, "summary.json").exists()


def test_a_folder_on_its_own_is_printed_as_it_is(tmp_path, monkeypatch):
    place = tmp_path / "a\nb" / "mine"
    monkeypatch.setenv("FUNCNN_DATA", str(place.parent))
    monkeypatch.setattr("funcnn.experiments.data.overview.place_of", lambda name: place)
    assert funcnn("data", "path", "mine").stdout == f"{place}\n"


def test_a_figure_has_names_that_can_be_drawn(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(plots, "write_figure", lambda figure, path: kept.append(figure))
    plots.confusion(tmp_path / "a.png", np.eye(2, dtype=int), ["a\nb\udcff", "c"])
    overview.contact_sheet(tmp_path / "b.png", [[np.zeros((4, 4))]], ("a\nb\udcff",))
    for figure in kept:
        assert figure.axes[0].get_yticklabels()[0].get_text() == r"a\nb\udcff"
        figure.draw_without_rendering()


# --- output that cannot be written ------------------------------------------------------------

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@FULL
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command", ["--version", "train --help", "data list --json", "train --arch points --epochs 2"]
)
def test_a_full_disk_is_named_with_and_without_a_buffer(command, unbuffered, tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*SCRIPT, *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            cwd=tmp_path,
        )
    said = "Error: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@FULL
def test_a_disk_that_is_full_for_everything_ends_a_command():
    with open("/dev/full", "w") as full:
        assert subprocess.run([*SCRIPT, "data", "list"], stdout=full, stderr=full).returncode != 0


def test_an_error_of_a_file_is_not_taken_for_one_of_the_output(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device", "a.csv")

    monkeypatch.setattr("funcnn.experiments.data.overview.list_datasets", full)
    assert funcnn("data", "list").stderr == "Error: a.csv: No space left on device\n"


@pytest.mark.parametrize(
    ("name", "encoding", "remedy"),
    [
        ("\udcc4pfel", "utf-8", "is no UTF-8 text: rename it"),
        ("\udcc4pfel", "ascii", "is no UTF-8 text: rename it"),
        ("\ud800", "utf-8", "is no UTF-8 text: rename it"),
        ("\udcc3\udc84pfel", "ascii", "is not ascii, this locale's encoding: set PYTHONUTF8=1"),
    ],
)
def test_a_name_that_no_text_file_can_hold_is_refused_before_training(
    name, encoding, remedy, monkeypatch
):
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: encoding)
    with pytest.raises(InputError) as caught:
        RunConfig.resolve({"arch": "mlp3", "data": name})
    assert str(caught.value) == printable(f"--data {name} {remedy}")
    images, labels = np.zeros((2, 1, 4, 4), np.uint8), np.array([0, 1])
    with pytest.raises(InputError) as caught:
        assemble((images, labels), None, "it", ("a", name))
    assert str(caught.value) == f"it: the name of class {name!r} {remedy}"
    assert RunConfig.resolve({"arch": "mlp3", "data": "Äpfel"}).data == "Äpfel"


def test_data_that_cannot_be_called_so_in_this_locale_are_not_said_to_be_gone(monkeypatch):
    expected = Expected(DataRecord("data", "/home/äda/data", "0"), "runs/it")
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    remedy = "is not ascii, this locale's encoding: set PYTHONUTF8=1"
    with pytest.raises(InputError) as caught:
        load_dataset("Äpfel", val_size=0, seed=0)
    assert str(caught.value) == f"--data Äpfel {remedy}"
    with pytest.raises(InputError) as caught:
        load_dataset("no-such-data", val_size=0, seed=0, expected=expected)
    assert str(caught.value) == f"runs/it read /home/äda/data, which {remedy}"


@pytest.mark.parametrize("name", ["x" * 5000, "x/" * 5000, f"{'x' * 300}.csv"], ids=len)
def test_data_of_a_longer_name_than_a_file_may_have_are_one_line(name):
    said = "is longer than a name of a file may be"
    for data, expected in ((name, None), ("gone", Expected(DataRecord("gone", name, "0"), "it"))):
        with pytest.raises(InputError, match=f"{said}$"):
            load_dataset(data, val_size=0, seed=0, expected=expected)
    with pytest.raises(InputError, match=f"^--data x.*{said}$"):
        load_inputs(name)


def test_a_kind_has_its_article():
    kinds = [kind_of(value) for value in (1, [], {}, OSError(), None)]
    assert kinds == ["an int", "a list", "a dict", "an OSError", "a NoneType"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("train k.npz", "(k.npz): did you mean --data k.npz?"),
        ("train 'my own.npz'", "(my own.npz): did you mean --data 'my own.npz'?"),
        ("train mlp3", "(mlp3): did you mean --arch mlp3?"),
        ("train mine.py:cnn", "(mine.py:cnn): did you mean --model mine.py:cnn?"),
        ("train -data k.npz", "No such option '-d'. Did you mean --data?"),
        ("train -data=k.npz", "No such option '-d'. Did you mean --data?"),
        ("train -x", "No such option '-x'."),
        ("inspect a b", "Got unexpected extra argument (b)"),
        ("train a b", "Got unexpected extra arguments (a b)"),
    ],
)
def test_a_value_without_its_option_is_told_which_it_is(typed, meant):
    result = CliRunner().invoke(main, shlex.split(typed))
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.endswith(f"{meant}\n")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "evaluate mine.py:cnn",
            "mine.py:cnn is a network, no run: what trains takes it as",
        ),
        (
            "compare mine.py:cnn",
            "mine.py:cnn is a network, no run: what trains takes it as",
        ),
        ("check mine.py", "mine.py is no run: give a network in it, mine.py:NAME"),
    ],
)
def test_a_network_where_a_run_should_be_is_told_where_it_goes(typed, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").touch()
    result = CliRunner().invoke(main, shlex.split(typed))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {said}")


@pytest.mark.parametrize(
    ("loss", "text"), [(0.12345, "0.1235"), (99999.5, "99999.5000"), (4.6185e29, "4.618e+29")]
)
def test_a_loss_of_any_size_is_short(loss, text):
    assert loss_text(loss) == text


def test_a_run_whose_reader_left_ends_without_a_word_and_can_be_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = ["train", "--arch", "points", "--data", "points-xor", "--epochs", "2", "--out", "it"]
    reader, writer = os.pipe()
    os.close(reader)  # as head does once it has its lines
    done = subprocess.run([*SCRIPT, *run], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
    assert not Path("it/summary.json").exists()
    assert funcnn("train", "--resume", "it", "--quiet").exit_code == 0
    assert json.loads(Path("it/summary.json").read_text())["epochs"] == 2


SWEEP = ["sweep", "points", "--grid", "lr=1", "--epochs", "1", "--out"]


def test_a_process_or_a_thread_that_cannot_begin_is_one_line(tmp_path, monkeypatch):
    def no_process(*given, **keywords):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    def no_thread(thread):
        raise RuntimeError("can't start new thread")  # as Python says it

    out = tmp_path / "swept"
    with monkeypatch.context() as failing:
        failing.setattr(subprocess, "Popen", no_process)
        failed = funcnn(*SWEEP, out)
    said = "Error: no process could be started: Resource temporarily unavailable\n"
    assert (failed.exit_code, failed.stderr) == (1, said)
    with monkeypatch.context() as failing:
        failing.setattr(threading.Thread, "start", no_thread)
        failed = funcnn(*SWEEP, out)
    said = "Error: can't start new thread: this user has as many as may run\n"
    assert (failed.exit_code, failed.stderr) == (1, said)
    assert funcnn(*SWEEP, out).exit_code == 0
