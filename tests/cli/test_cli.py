"""The `funcnn` command as a user runs it."""

import csv
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from commands import FUNCNN, HEARS_CTRL_C, context_of, funcnn, parse, tree_digest
from image_files import emnist_members, image_folder, png_folder, write_csv, write_idx, write_zip
from web import Site

import funcnn as fn
from funcnn import activations
from funcnn.cli import main
from funcnn.experiments.data.datasets import load_inputs
from funcnn.experiments.system import machine
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.networks import ACTIVATIONS
from funcnn.experiments.tasks.optimizers import OPTIMIZERS
from funcnn.experiments.tasks.recipes import RECIPES
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.model import load_model
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder

STEPS_PER_EPOCH = 6  # 48 training images in batches of 8
TINY = [
    *("--arch", "mlp2", "--hidden", "5", "--val-size", "12", "--epochs", "3"),
    *("--batch-size", "8", "--dropout", "0.2"),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, no_figures):
    monkeypatch.chdir(tmp_path)


WITH_FIGURES = pytest.mark.parametrize("no_figures", [None])  # in the place of the fixture


def train(images, *arguments, code=0):
    return funcnn("train", *TINY, "--data", images, *arguments, code=code)


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(images, "--out", folder)
    return folder


# --- help ------------------------------------------------------------------------------------


def commands(group=main, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


def test_these_are_the_commands():
    assert {" ".join(path) for path in COMMANDS} == {
        *("train", "compare", "evaluate", "predict", "inspect", "export", "import", "check"),
        *("range-test", "bench", "grade"),
        *(f"data {name}" for name in ("list", "path", "fetch", "verify", "show", "duplicates")),
        *("figure activations", "figure augmentations", "figure curves"),
        *("experiment list", "experiment run", "experiment report"),
        *("experiment notebook", "experiment submit", "sweep"),
    }


@pytest.mark.parametrize(
    "path", [(), ("data",), ("figure",), ("experiment",), *COMMANDS], ids=" ".join
)
def test_h_and_help_say_the_same(path):
    short, long = funcnn(*path, "-h"), funcnn(*path, "--help")
    assert short.stdout == long.stdout
    assert short.stdout.startswith("Usage: ")
    assert short.stderr == ""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_has_an_example_that_its_options_allow(path):
    examples = re.findall(r"^ +funcnn (.*)$", COMMANDS[path].help, re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example)
        assert tuple(words[: len(path)]) == path
        context_of(words)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_is_explained_and_says_its_default(path):
    for option in COMMANDS[path].params:
        if not isinstance(option, click.Option):
            continue
        assert option.help, option.name
        if not (option.is_flag or option.required or option.name in ("config_file", "resume_run")):
            assert "[default: " in option.help, option.name


def test_the_defaults_that_the_help_names_are_those_of_a_run(images):
    text = " ".join(funcnn("train", "--help").stdout.split())
    funcnn("train", "--data", images, "--val-size", 12, "--batch-size", 48, "--epochs", 1)
    config = json.loads(Path("runs/mlp3-images-001/config.json").read_text())
    assert config["hidden"] == [256, 128]
    assert "256x128 for mlp3" in text
    for name in ("activation", "lr", "momentum", "optimizer", "schedule", "seed", "dropout"):
        assert re.search(rf"--{name} .*?\[default: {config[name]}[;\]]", text), name


def test_the_learning_rates_that_the_help_names_are_those_of_a_run():
    text = " ".join(funcnn("train", "--help").stdout.split())
    usual = RunConfig.resolve({"arch": "mlp3"}).lr
    for name in OPTIMIZERS:
        lr = RunConfig.resolve({"arch": "mlp3", "optimizer": name}).lr
        assert lr == usual or re.search(rf"; {lr:g} for [a-z0-9, ]*\b{name}[,;]", text), name
        exp = RunConfig.resolve({"arch": "mlp3", "optimizer": name, "activation": "exp"}).lr
        assert exp == min(0.001, lr / 10)
    assert "; at most 0.001 and a tenth of these for exp]" in text


def test_version_is_the_packages():
    assert funcnn("--version").stdout == f"funcnn, version {fn.__version__}\n"


def test_without_a_command_there_is_the_help():
    assert "Commands:" in CliRunner().invoke(main, []).output


def test_the_installed_command_runs():
    done = subprocess.run(
        [Path(sys.executable).with_name("funcnn"), "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert fn.__version__ in done.stdout


# --- train -----------------------------------------------------------------------------------


def test_train_prints_a_line_for_each_epoch_and_the_result(images):
    result = train(images)
    lines = result.stdout.splitlines()
    assert len(lines) == 5
    for epoch, line in enumerate(lines[:3], 1):
        assert re.match(
            rf"epoch {epoch}/3  train loss [\d.]+ accuracy [\d.]+%  "
            r"val loss [\d.]+ accuracy [\d.]+%  lr [\d.e-]+  [\d.]+ s$",
            line,
        )
    assert re.match(r"test accuracy [\d.]+% on 20 examples \(the test set\), ", lines[3])
    assert re.match(r"103 parameters, [\d.]+ s, all in runs/mlp2-images-001$", lines[4])
    assert result.stderr == ""


def test_the_default_folder_is_a_new_one_each_time(images):
    for number in (1, 2, 3):
        assert f"runs/mlp2-images-00{number}" in train(images).stdout
    assert len(list(Path("runs").iterdir())) == 3


def test_quiet_prints_only_the_result(images):
    result = train(images, "--quiet")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["test", "103"]
    assert result.stderr == ""


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_train_json_is_the_summary_and_where_it_is(images, quiet):
    printed = parse(train(images, "--json", "--out", "it", *quiet))
    assert printed.pop("run") == "it"
    assert printed == json.loads(Path("it/summary.json").read_text())


def test_settings_given_as_options_are_in_the_config(images):
    options = {"hidden": "4x3", "activation": "tanh", "optimizer": "nesterov", "lr": 0.02}
    options |= {"momentum": 0.8, "weight_decay": 0.001, "schedule": "warmup-cosine"}
    options |= {"label_smoothing": 0.0, "dropout": 0.3, "seed": 7, "epochs": 2, "batch_size": 16}
    options |= {"loss": "squared-error", "weight_init": "lecun-normal"}
    options |= {"backend": "numpy", "split": "last"}
    options |= {"class_weights": "balanced", "patience": 2}
    options |= {"augment": "flip+shift=1", "average": 0.9, "decayed": "weights"}
    words = [w for k, v in options.items() for w in ("--" + k.replace("_", "-"), v)]
    train(images, *words, "--test-curve", "--drop-last", "--out", "it")
    config = json.loads(Path("it/config.json").read_text())
    assert config.pop("hidden") == [4, 3]
    del options["hidden"]
    others = {"arch": "mlp2", "data": str(images), "val_size": 12, "test_curve": True}
    others |= {"drop_last": True, "init": "own"}
    assert config == options | others | {"channels": [], "kernel_size": None}


def test_a_network_that_convolves_trains_with_its_own_options(images):
    options = ("--arch", "cnn3", "--channels", "3x4", "--kernel-size", 5, "--batch-size", 16)
    train(images, *options, "--out", "it")
    config = json.loads(Path("it/config.json").read_text())
    assert (config["arch"], config["channels"], config["kernel_size"]) == ("cnn3", [3, 4], 5)
    assert "Conv" in funcnn("inspect", "it/params.npz").stdout


@pytest.mark.parametrize(("given", "hidden"), [("0", []), ("7", [7]), ("7x6x5", [7, 6, 5])])
def test_hidden_sizes_are_written_with_an_x(images, given, hidden):
    train(images, "--hidden", given, "--out", "it")
    assert json.loads(Path("it/config.json").read_text())["hidden"] == hidden


def test_config_runs_a_run_again_to_the_same_bytes(images, run):
    funcnn("train", "--config", run / "config.json", "--out", "again")
    for file in ("params.npz", "config.json"):
        assert Path("again", file).read_bytes() == (run / file).read_bytes()


def test_other_options_change_what_config_says(run):
    funcnn("train", "--config", run / "config.json", "--seed", 3, "--epochs", 1, "--out", "other")
    ours, theirs = (json.loads((Path(f) / "config.json").read_text()) for f in ("other", run))
    assert ours == theirs | {"seed": 3, "epochs": 1}
    assert Path("other/params.npz").read_bytes() != (run / "params.npz").read_bytes()


def test_a_recipe_is_settings_that_other_options_change(images):
    said = funcnn("train", "--recipe", "fashion-mlp", "--show", "--json", "--lr", 0.5).stdout
    config = RunConfig.resolve({**RECIPES["fashion-mlp"].settings, "lr": 0.5})
    assert RunConfig.resolve(json.loads(said)) == config
    first = funcnn("train", "--recipe", "fashion-mlp", "--show").stdout.splitlines()[0]
    assert first.split(maxsplit=1) == ["recipe", f"fashion-mlp: {RECIPES['fashion-mlp'].about}"]
    assert not Path("runs").exists()
    funcnn("train", "--recipe", "fashion-mlp", "--data", images, "--epochs", 1, "--hidden", 5)
    trained = json.loads(Path("runs/mlp3-images-001/config.json").read_text())
    sizes = trained["val_size"], trained["batch_size"]  # as without a recipe, of few examples
    assert sizes == (6, 54)
    assert trained["augment"] == RECIPES["fashion-mlp"].settings["augment"]
    assert trained["hidden"] == [5]


def test_a_recipe_of_emnist_says_where_that_belongs(tmp_path, monkeypatch):
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path / "data"))
    said = parse(funcnn("train", "--recipe", "emnist-cnn", "--show", "--json"))
    if said["data"] == "emnist47":  # not among the downloads here either
        refused = funcnn("train", "--recipe", "emnist-cnn", code=1).stderr
        assert "--recipe emnist-cnn needs EMNIST with 47 classes" in refused
    image_folder(tmp_path / "data" / "emnist47")
    funcnn("train", "--recipe", "emnist-cnn", "--epochs", 1, "--channels", "2x2", "--out", "it")
    assert json.loads(Path("it/config.json").read_text())["data"] == "emnist47"


def test_settings_are_shown_by_their_options(images):
    lines = funcnn("train", "--arch", "cnn3", "--seed", 7, "--show").stdout.splitlines()
    shown = dict(line.split(maxsplit=1) for line in lines)
    assert (shown["channels"], shown["seed"], shown["patience"]) == ("16x32", "7", "never")
    assert set(shown) == {name.replace("_", "-") for name in SETTINGS}


@pytest.mark.parametrize("other", [("--out", "it"), ("--distributed",)], ids=" ".join)
def test_nothing_is_trained_where_settings_are_shown(other):
    refused = funcnn("train", "--show", *other, code=1)
    assert refused.stderr == f"Error: --show trains nothing: leave out {other[0]}\n"


def test_the_mirror_images_count_as_much_as_the_images(images, run):
    plain, both = (
        json.loads(funcnn("evaluate", run, "--json", *more).stdout)
        for more in ((), ("--mirrored",))
    )
    assert plain["test_loss"] != both["test_loss"]
    words = ("predict", run, "--data", images, "--probabilities", "--mirrored", "--out", "p.csv")
    funcnn(*words)
    shares = pd.read_csv("p.csv").iloc[:, 1:].to_numpy()
    model = load_model(RunFolder(run)).mirrored()
    x, _ = Task.build(RunFolder(run).read_config()).data.test
    np.testing.assert_allclose(shares, model.probabilities(model.predict(x)), rtol=1e-4)
    own = load_model(RunFolder(run))
    mean = (own.predict(x) + own.predict(x[..., ::-1])) / 2
    np.testing.assert_allclose(model.predict(x), mean, rtol=1e-4, atol=1e-6)


def test_a_flag_that_is_left_out_is_what_config_says(images):
    train(images, "--test-curve", "--epochs", 1, "--out", "it")
    funcnn("train", "--config", "it/config.json", "--seed", 3, "--out", "other")
    assert json.loads(Path("other/config.json").read_text())["test_curve"] is True


def test_threads_do_not_show_in_the_result(images, run):
    train(images, "--threads", 1, "--out", "one")
    assert Path("one/params.npz").read_bytes() == (run / "params.npz").read_bytes()


@WITH_FIGURES
def test_points_are_trained_without_any_file(no_figures):
    result = funcnn("train", "--arch", "points", "--data", "points-linear", "--epochs", 20)
    assert "(the training points, as the lab asks)" in result.stdout
    assert Path("runs/points-points-linear-001/predictions.png").exists()


def test_a_terminal_sees_a_progress_bar_on_stderr_and_none_on_stdout(images):
    arguments = ["train", *TINY, "--data", str(images), "--out", "it"]
    bar, stdout = on_a_terminal(arguments, os.environ)
    assert b" steps" in bar
    assert stdout.startswith(b"epoch 1/3  train loss")
    assert b" steps" not in stdout
    assert b"\r" not in stdout


def on_a_terminal(arguments, environment):
    """What a command wrote to the terminal that its stderr was, and to stdout."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    command = [*FUNCNN, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        bar = b""
        while chunk := _read(ours):
            bar += chunk
        stdout = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    return bar, stdout


def _read(descriptor):
    try:
        return os.read(descriptor, 4096)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


# --- output that cannot be written ------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["data list", "train --arch points --epochs 2"])
def test_a_full_disk_is_one_line(command, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # or nothing is left for Python's end
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*FUNCNN, *command.split()], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "Error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_without_any_output_it_trains(closed):
    command = shlex.join([*FUNCNN, "train", "--arch", "points", "--epochs", "2", "--out", "it"])
    done = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (closed == "2>&-")
    assert Path("it/params.npz").exists()


# --- Ctrl-C ----------------------------------------------------------------------------------


INTERRUPTS_ITSELF = (
    HEARS_CTRL_C
    + """
import itertools, os, sys
import funcnn as fn
from funcnn.cli import main

stop_at, make = int(sys.argv.pop(1)), fn.make_train_step

def make_interrupted(*args, **options):
    step, count = make(*args, **options), itertools.count(1)
    def interrupted(state, batch):
        if next(count) == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return step(state, batch)
    return interrupted

fn.make_train_step = make_interrupted
main()
"""
)


def interrupt_at_step(step, *arguments):
    command = [sys.executable, "-c", INTERRUPTS_ITSELF, str(step), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("step", "epochs_done"),
    [
        pytest.param(2, 0, id="before the first epoch ends"),
        pytest.param(STEPS_PER_EPOCH + 3, 1, id="in the middle of an epoch"),
    ],
)
@pytest.mark.parametrize("out", ["it", "a folder with a space"])
def test_ctrl_c_stops_with_one_line_that_says_how_to_go_on_and_that_works(
    images, run, step, epochs_done, out
):
    done = interrupt_at_step(step, "train", *TINY, "--data", images, "--out", out)
    assert done.returncode == 130
    assert len(done.stdout.splitlines()) == epochs_done
    assert len(done.stderr.splitlines()) == 1
    assert f"{out}/last.npz" in done.stderr
    advice = shlex.split(done.stderr.split("go on with: funcnn ")[1])
    resumed = funcnn(*advice)
    assert resumed.stdout.startswith(f"epoch {epochs_done + 1}/3")
    assert Path(out, "params.npz").read_bytes() == (run / "params.npz").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_from_outside_stops_a_long_run(images, number):
    arguments = [*TINY, "--epochs", "1000000", "--data", str(images), "--out", "it"]
    process = subprocess.Popen(
        [*FUNCNN, "train", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not Path("it/params.npz").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    try:
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()  # if it did not hear
    assert process.returncode == 130
    assert len(stderr.splitlines()) == 1
    assert stderr.endswith("go on with: funcnn train --resume it\n")
    assert not list(Path("it").glob(".*")), "a temporary file was left"


def test_ctrl_c_before_there_is_a_run_is_one_word(monkeypatch):
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "start", interrupted)
    assert funcnn("train", "--arch", "points", code=130).stderr == "stopped\n"


class Destroyed:
    """Whose end a Ctrl-C comes in."""

    def __del__(self):
        raise KeyboardInterrupt


def test_ctrl_c_while_an_object_is_destroyed_is_not_lost(monkeypatch):
    def interrupted(*arguments, **named):
        Destroyed()
        for _ in range(1000):
            time.sleep(0.01)
        pytest.fail("it was lost")

    monkeypatch.setattr(TrainingRun, "start", interrupted)
    hook = sys.unraisablehook
    assert funcnn("train", "--arch", "points", code=130).stderr == "stopped\n"
    assert sys.unraisablehook is hook


def test_ctrl_c_with_json_leaves_stdout_empty(images):
    done = interrupt_at_step(9, "train", *TINY, "--data", images, "--out", "it", "--json")
    assert (done.returncode, done.stdout) == (130, "")


def test_a_finished_run_goes_on_to_more_epochs_and_says_what_the_schedule_does(images):
    train(images, "--epochs", 1, "--out", "it")
    result = funcnn("train", "--resume", "it", "--epochs", 2)
    said, *lines = result.stdout.splitlines()
    assert re.fullmatch(
        r"2 epochs instead of 1: from epoch 2 on the cosine schedule is that of 2 epochs, so the "
        r"learning rate goes from [\d.e-]+ to [\d.e-]+; --epochs 2 from the start would give "
        "another result",
        said,
    )
    assert lines[0].startswith("epoch 2/2")
    printed = funcnn("train", "--resume", "it", "--epochs", 3, "--json")
    assert json.loads(printed.stdout)["epochs"] == 3
    assert printed.stderr.startswith("3 epochs instead of 2: ")


def test_a_run_that_stops_by_itself_says_so(images):
    settings = ["--epochs", 30, "--patience", 1, "--lr", 1e-9, "--schedule", "constant"]
    lines = train(images, *settings).stdout.splitlines()
    assert lines[2] == (
        "stopped after epoch 2 of 30: --patience 1 has seen no better validation accuracy"
    )


def test_no_compile_gives_the_same_params_and_is_for_numpy(images):
    for options in ((), ("--no-compile",)):
        train(images, "--epochs", 1, *options, "--out", f"it{len(options)}")
    assert Path("it0/params.npz").read_bytes() == Path("it1/params.npz").read_bytes()
    result = funcnn("train", "--no-compile", "--backend", "torch", code=1)
    assert result.stderr == "Error: --no-compile is for --backend numpy, not for torch\n"


def test_no_compile_is_not_for_a_run_of_torch_that_is_resumed(images):
    pytest.importorskip("torch")
    train(images, "--epochs", 1, "--backend", "torch", "--out", "it")
    before = tree_digest()
    for more in ((), ("--epochs", 2)):
        result = funcnn("train", "--resume", "it", "--no-compile", *more, code=1)
        assert result.stderr == "Error: --no-compile is for --backend numpy, not for torch\n"
    assert tree_digest() == before


def test_a_finished_run_is_not_resumed(run):
    result = funcnn("train", "--resume", run, code=1)
    assert result.stderr == (
        f"Error: {run} is finished after epoch 3: to go on, give --epochs 4 or more\n"
    )


# --- what can be done with a run -------------------------------------------------------------


def test_evaluate_prints_what_the_summary_says(run):
    summary = json.loads((run / "summary.json").read_text())
    printed = parse(funcnn("evaluate", run, "--json"))
    for name in ("val_loss", "val_accuracy", "test_loss", "test_accuracy"):
        assert printed[name] == summary[name]
    lines = funcnn("evaluate", run).stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["validation", "test"]
    error = f"ECE {printed['test_calibration_error']:.4f}"
    assert f"accuracy {summary['test_accuracy']:.2%}  {error}  of 20 examples" in lines[1]


def test_evaluate_prints_precision_and_recall_of_each_class(run):
    matrix = np.array(json.loads((run / "summary.json").read_text())["confusion_matrix"])
    printed = parse(funcnn("evaluate", run, "--json"))
    assert printed["class_names"] == ["0", "1", "2"]
    hits = np.diag(matrix)
    assert printed["test_recall"] == pytest.approx(hits / matrix.sum(1))
    assert printed["test_precision"] == pytest.approx(hits / np.maximum(matrix.sum(0), 1))
    _, _, _, header, *rows = funcnn("evaluate", run).stdout.splitlines()
    assert header.split() == ["class", "precision", "recall"]
    for row, name, precision, recall in zip(
        rows, "012", printed["test_precision"], printed["test_recall"], strict=True
    ):
        assert row.split() == [name, f"{precision:.2%}", f"{recall:.2%}"]


def test_evaluate_of_a_run_without_validation_prints_the_test_set_alone(images):
    train(images, "--val-size", 0, "--out", "it")
    lines = funcnn("evaluate", "it").stdout.splitlines()
    assert [line.split()[0] for line in lines[: lines.index("")]] == ["test"]


def test_evaluate_of_one_probability_has_two_classes_and_no_calibration():
    funcnn("train", "--arch", "points", "--epochs", 3, "--out", "points", "--quiet")
    printed = parse(funcnn("evaluate", "points", "--json"))
    assert len(printed["test_precision"]) == len(printed["test_recall"]) == 2
    assert not {"test_calibration_error", "test_top_5_accuracy"} & set(printed)
    assert "ECE" not in funcnn("evaluate", "points").stdout


def test_predict_writes_a_row_for_every_image_of_the_last_smaller_batch_too(run, tmp_path):
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (1003, 4, 4)).astype("u1")  # evaluated 1,000 at a time
    file = write_idx(tmp_path / "unlabelled.gz", images)
    result = funcnn("predict", run, "--data", file, "--out", "predicted.csv")
    assert result.stdout == "1,003 predictions in predicted.csv\n"
    with open("predicted.csv", newline="") as text:
        header, *rows = csv.reader(text)
    assert header == ["Id", "Category"]
    assert [row[0] for row in rows] == [str(i) for i in range(1003)]
    outputs = load_model(RunFolder(run)).predict(load_inputs(str(file)).inputs)
    assert [row[1] for row in rows] == [str(k) for k in outputs.argmax(1)]
    assert len({row[1] for row in rows}) > 1


def test_predict_takes_the_test_images_of_a_data_set_by_name():
    images = image_folder(Path("images"), side=28, classes=10)
    train(images, "--out", "it")
    printed = parse(funcnn("predict", "it", "--data", "mnist", "--out", "predicted.csv", "--json"))
    assert printed == {
        "run": "it",
        "data": "mnist",
        "out": "predicted.csv",
        "rows": 10_000,
        "columns": ["Id", "Category"],
        "first_id": 0,
    }
    assert len(Path("predicted.csv").read_text().splitlines()) == 10_001


def test_predict_of_points_gives_classes_0_and_1():
    funcnn("train", "--arch", "points", "--epochs", 1000, "--out", "it", "--quiet")
    funcnn("predict", "it", "--data", "points-xor", "--out", "predicted.csv")
    lines = Path("predicted.csv").read_text().splitlines()
    assert len(lines) == 22
    assert {line.split(",")[1] for line in lines[1:]} == {"0", "1"}


@pytest.fixture
def tables(tmp_path):
    """The lab's form: train.csv with labels first, test.csv without labels."""
    table = np.random.default_rng(0).integers(0, 256, (60, 17))
    table[:, 0] = np.arange(60) % 3
    write_csv(tmp_path / "tables" / "train.csv", table)
    write_csv(tmp_path / "tables" / "test.csv", table[:21, 1:])
    return tmp_path / "tables"


@WITH_FIGURES
def test_a_test_set_without_labels_has_no_test_accuracy_but_predictions(no_figures, tables):
    lines = train(tables, "--out", "it").stdout.splitlines()
    said = "no test accuracy, for the 21 test examples have no labels"
    assert lines[3].startswith(f"{said} (the test set), with the params of epoch ")
    summary = json.loads(Path("it/summary.json").read_text())
    for name in ("test_loss", "test_accuracy", "confusion_matrix"):
        assert summary[name] is None
    assert summary["test_examples"] == 21
    assert not Path("it/confusion_matrix.png").exists()
    assert json.loads(Path("it/config.json").read_text())["data"] == str(tables)
    evaluated = filter(None, funcnn("evaluate", "it").stdout.splitlines())
    assert [line.split()[0] for line in evaluated] == ["validation", "class", "0", "1", "2"]
    predicted = []
    for data in (tables, tables / "test.csv"):
        out = f"predicted-{data.stem}.csv"
        assert funcnn("predict", "it", "--data", data, "--out", out).stdout.startswith("21 ")
        predicted.append(Path(out).read_text())
    assert predicted[0] == predicted[1]


def test_a_run_without_any_labels_to_evaluate_with_says_so(tables):
    train(tables, "--val-size", 0, "--out", "it")
    result = funcnn("evaluate", "it", code=1)
    assert result.stderr == f"Error: {tables} has no labels to evaluate it with\n"


def test_inspect_shows_layers_shapes_counts_bytes_and_header(run):
    text = funcnn("inspect", run / "params.npz").stdout
    size = (run / "params.npz").stat().st_size
    assert text.startswith(f"{run / 'params.npz'}: {size:,} bytes\n")
    for said in ("input (1, 4, 4)", "Dense", "1/weight", "(16, 5)", "float32", "103", "412"):
        assert said in text
    assert "normalization: scale 255, mean " in text
    assert "class names: 0, 1, 2" in text


def test_inspect_keeps_the_columns_of_a_state_and_says_nothing_that_it_has_not(run):
    text = funcnn("inspect", run / "last.npz").stdout
    rows = text.split("\narrays\n")[1].splitlines()[:-1]
    assert len({row.index(row.split()[1]) for row in rows}) == 1
    assert max(len(row.split()[0]) for row in rows) > 24
    assert "none" not in text


def test_inspect_json_has_the_same_and_the_spec(run):
    printed = parse(funcnn("inspect", run / "params.npz", "--json"))
    assert printed["parameters"] == 103
    assert printed["parameter_bytes"] == 412
    assert printed["bytes_on_disk"] == (run / "params.npz").stat().st_size
    assert {"path": "1/weight", "shape": [16, 5], "dtype": "float32"} in printed["arrays"]
    assert printed["header"]["spec"]["layer"] == "serial"
    assert printed["header"]["input_shape"] == [1, 4, 4]
    assert printed["header"]["class_names"] == ["0", "1", "2"]


def test_inspect_shows_a_training_state_too(run):
    assert "params/1/weight" in funcnn("inspect", run / "last.npz").stdout
    assert parse(funcnn("inspect", run / "last.npz", "--json"))["layers"] is None


# --- range-test ------------------------------------------------------------------------------

SWEEP = ("range-test", "--arch", "mlp2", "--hidden", 5, "--val-size", 12, "--batch-size", 8)


@WITH_FIGURES
def test_range_test_says_which_rates_are_good_and_draws_the_sweep(no_figures, images):
    lines = funcnn(*SWEEP, "--data", images, "--steps", 60).stdout.splitlines()
    assert re.fullmatch(r"the loss falls fastest from a learning rate of \S+ on", lines[0])
    assert re.fullmatch(
        r"it diverges at \S+, a tenth of which is \S+|it does not diverge up to 10", lines[1]
    )
    assert lines[2:] == [f"figure: {Path('runs/range-test-mlp2-001.png')}"]
    assert Path("runs/range-test-mlp2-001.png").read_bytes().startswith(b"\x89PNG")


@WITH_FIGURES
def test_range_test_as_json_is_the_sweep_of_the_library(no_figures, images):
    given = ("--data", images, "--lowest", 1e-4, "--highest", 1e-3, "--steps", 10, "--seed", 3)
    arguments = (*SWEEP, *given, "--out", "rates.png", "--json")
    printed = parse(funcnn(*arguments))
    assert (printed["arch"], printed["data"], printed["out"]) == ("mlp2", str(images), "rates.png")
    np.testing.assert_allclose(printed["learning_rates"], np.geomspace(1e-4, 1e-3, 10))
    assert len(printed["losses"]) == 10
    assert printed["diverged"] is printed["tenth"] is None
    Path("rates.png").unlink()
    assert parse(funcnn(*arguments, "--threads", 1)) == printed


# --- check -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["softmax", "mlp2", "mlp3", "cnn3", "lenet5", "points"])
def test_check_proves_the_gradients_of_every_architecture(arch):
    result = funcnn("check", arch)
    assert re.search(r"^worst: \d\.\de-\d+ at \S+ \(limit 1e-06\)$", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_check_takes_hidden_sizes_activation_and_seed(activation):
    arguments = ("--hidden", "6x5", "--activation", activation, "--seed", 3, "--json")
    printed = parse(funcnn("check", "mlp2", *arguments))
    assert printed["ok"] is True
    assert len(printed["leaves"]) == (8 if activation == "prelu" else 6)
    assert printed["worst"]["error"] == max(leaf["error"] for leaf in printed["leaves"]) < 1e-6
    assert printed["worst"]["path"] in {leaf["path"] for leaf in printed["leaves"]}


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_check_exits_1_for_a_wrong_gradient_and_names_the_leaf(monkeypatch, as_json):
    right = activations.relu
    monkeypatch.setattr(activations, "relu", lambda x: (right(x)[0], lambda dy: dy))
    result = funcnn("check", "mlp2", "--hidden", 5, *as_json, code=1)
    if as_json:
        printed = parse(result)
        assert printed["ok"] is False
        assert printed["worst"]["error"] > 1e-3
        assert printed["worst"]["path"] in ("1/weight", "1/bias")
    else:
        assert re.search(r"^worst: \S+ at 1/(weight|bias) ", result.stdout, re.MULTILINE)


@pytest.fixture
def no_other_places(monkeypatch, tmp_path):
    """Only the shipped data can be found, whatever this machine has."""
    monkeypatch.delenv("FUNCNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# --- data ------------------------------------------------------------------------------------


def test_data_list_says_where_each_set_was_found(no_other_places):
    rows = {row["name"]: row for row in parse(funcnn("data", "list", "--json"))}
    sets = ["fashion-mnist", "mnist", "emnist-balanced", "emnist-bymerge"]
    assert list(rows) == [*sets, "points-linear", "points-xor"]
    assert Path(rows["mnist"]["where"], "train-images-idx3-ubyte.gz").exists()
    assert 11_000_000 < rows["mnist"]["bytes"] < 13_000_000
    assert rows["points-xor"]["where"] == "generated"
    assert rows["emnist-balanced"]["where"] is None
    text = funcnn("data", "list").stdout
    for row in rows.values():
        assert row["title"] in text
        if row["where"] is None:
            assert f"not found; funcnn data fetch {row['name']} downloads 562 MB" in text
        else:
            assert row["where"] in text
    assert f"{rows['mnist']['where']} (11 MB)" in text


def test_data_path_prints_the_folder():
    folder = funcnn("data", "path", "mnist").stdout.removesuffix("\n")
    assert Path(folder, "t10k-labels-idx1-ubyte.gz").exists()
    assert parse(funcnn("data", "path", "mnist", "--json")) == {"name": "mnist", "path": folder}


def test_data_fetch_downloads_to_a_folder_where_the_set_is_found_then(monkeypatch, tmp_path):
    shipped = Path(funcnn("data", "path", "mnist").stdout.strip())
    site = Site({f"/mnist/{file.name}": file.read_bytes() for file in shipped.glob("*.gz")})
    with site.served() as address:
        monkeypatch.setenv("FUNCNN_MIRROR", address)
        result = funcnn("data", "fetch", "mnist", "--to", tmp_path / "sets")
    assert result.stdout == f"{tmp_path / 'sets' / 'mnist'}\n"
    assert result.stderr.startswith(f"downloading mnist (12 MB) from {address}/mnist/ to ")
    assert len(result.stderr.splitlines()) == 1
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path / "sets"))
    assert funcnn("data", "path", "mnist").stdout == result.stdout
    again = parse(funcnn("data", "fetch", "mnist", "--to", tmp_path / "sets", "--json"))
    assert again == {"name": "mnist", "path": str(tmp_path / "sets" / "mnist")}
    assert len(parse(funcnn("data", "verify", "mnist", "--json"))) == 4


def test_data_fetch_shows_a_bar_on_a_terminal(tmp_path):
    shipped = Path(funcnn("data", "path", "mnist").stdout.strip())
    site = Site({f"/mnist/{file.name}": file.read_bytes() for file in shipped.glob("*.gz")})
    with site.served() as address:
        bar, stdout = on_a_terminal(
            ["data", "fetch", "mnist", "--to", "sets"], os.environ | {"FUNCNN_MIRROR": address}
        )
    assert b"B/s" in bar
    assert stdout == b"sets/mnist\n"


def test_data_duplicates_says_how_many_which_and_of_which_label(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).integers(9, 240, (1030, 6, 6)).astype("u1")
    x[[1020, 1021]] = x[[1001, 1002]]
    x[1022:1029] = x[3:10] + (np.indices((6, 6)).sum(axis=0) % 2).astype("u1")
    y = np.arange(1030) % 2
    np.savez("set.npz", x_train=x[:1020], y_train=y[:1020], x_test=x[1020:], y_test=y[1020:])
    text = funcnn("data", "duplicates", "set.npz").stdout.splitlines()
    assert text == [
        "train 1,020 inputs of 1 x 6 x 6",
        "test  10 inputs of 1 x 6 x 6",
        "test in train, exactly: 2, 2 with another label",
        "  0 (0) as 1,001 (1)",
        "  1 (1) as 1,002 (0)",
        "test in train, nearly (nearer than 0.1): 7, 7 with another label",
        *(f"  {i} ({i % 2}) as {i + 1} ({(i + 1) % 2})" for i in range(2, 7)),
        "  and 2 more: --json",
        "test in test, exactly: 0",
        "test in test, nearly (nearer than 0.1): 0",
        "train in train, exactly: 0",
        "train in train, nearly (nearer than 0.1): 0",
        "picture: set.npz-duplicates.png",
    ]
    assert Path("set.npz-duplicates.png").read_bytes().startswith(b"\x89PNG")
    found = parse(funcnn("data", "duplicates", "set.npz", "--out", "it.png", "--json"))
    assert len(found["found"]["test in train"]["near"]["pairs"]) == 7
    assert found["picture"] == "it.png"
    np.savez("once.npz", x_train=x[:9], y_train=y[:9], x_test=x[9:12], y_test=y[9:12])
    assert funcnn("data", "duplicates", "once.npz").stdout.endswith(
        "picture: none, nothing is twice\n"
    )


def test_data_verify_compares_all_that_is_found(no_other_places):
    rows = parse(funcnn("data", "verify", "--json"))
    assert [row["ok"] for row in rows] == [True] * 8
    lines = funcnn("data", "verify", "fashion-mnist").stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("ok     ") for line in lines)


def test_data_verify_exits_1_if_a_file_differs(monkeypatch, tmp_path):
    image_folder(tmp_path / "sets" / "mnist", suffix=".gz")
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path / "sets"))
    result = funcnn("data", "verify", "mnist", code=1)
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line.startswith(f"WRONG  {tmp_path / 'sets' / 'mnist'}")
        assert "is not the published file" in line
    assert [row["ok"] for row in parse(funcnn("data", "verify", "mnist", "--json", code=1))] == (
        [False] * 4
    )


def test_data_show_counts_and_draws():
    printed = parse(funcnn("data", "show", "fashion-mnist", "--json"))
    assert (printed["train"], printed["test"]) == (60_000, 10_000)
    assert printed["input_shape"] == [1, 28, 28]
    assert printed["classes"][9] == {"name": "Ankle boot", "train": 6000, "test": 1000}
    assert Path("fashion-mnist.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["points-linear", "points-xor"])
def test_data_show_draws_points(name):
    assert "picture: it.png" in funcnn("data", "show", name, "--out", "it.png").stdout
    assert Path("it.png").read_bytes().startswith(b"\x89PNG")


def test_data_show_draws_47_classes_of_a_zip_file(tmp_path):
    write_zip(tmp_path / "gzip.zip", emnist_members())
    text = funcnn("data", "show", tmp_path / "gzip.zip", "--out", "it.png").stdout
    assert "  t  2 train  1 test" in text
    assert Path("it.png").read_bytes().startswith(b"\x89PNG")


def test_data_show_counts_no_test_labels_where_there_are_none(tables):
    assert "  0  20 train  without labels" in funcnn("data", "show", tables).stdout
    assert parse(funcnn("data", "show", tables, "--json", "--out", "x.png"))["classes"][0] == {
        "name": "0",
        "train": 20,
        "test": None,
    }


def test_data_show_takes_a_folder(images):
    text = funcnn("data", "show", images).stdout
    assert "train 60 inputs of 1 x 4 x 4" in text
    assert Path("images.png").exists()


def test_a_validation_folder_is_shown_trained_with_and_a_flat_folder_predicted():
    folder = png_folder(Path("animals"), parts=("Training", "valid", "TEST"))
    text = funcnn("data", "show", folder, "--out", "it.png").stdout
    assert "validation 10 inputs of 1 x 3 x 4" in text
    assert "  cat  5 train  5 validation  5 test" in text
    options = ["--arch", "mlp2", "--data", folder, "--batch-size", 5, "--epochs", 1]
    funcnn("train", *options, "--out", "it", "--quiet")
    summary = json.loads(Path("it/summary.json").read_text())
    examples = [summary[f"{part}_examples"] for part in ("train", "val", "test")]
    assert examples == [10, 10, 10]
    assert summary["test_is"] == "the test set"
    place = folder / "TEST" / "cat"
    assert funcnn("predict", "it", "--data", place, "--out", "p.csv").stdout.startswith("5 ")


# --- figures ---------------------------------------------------------------------------------


def test_figure_activations_draws_them():
    assert funcnn("figure", "activations").stdout == "figure: activations.png\n"
    assert Path("activations.png").read_bytes().startswith(b"\x89PNG")


def test_figure_augmentations_draws_them():
    assert funcnn("figure", "augmentations").stdout == "figure: augmentations.png\n"
    assert Path("augmentations.png").read_bytes().startswith(b"\x89PNG")


def test_figure_curves_draws_several_runs(images, run):
    train(images, "--activation", "gelu", "--out", "gelu", "--quiet")
    result = funcnn("figure", "curves", run, "gelu", "--out", "both.png")
    assert result.stdout == "figure: both.png\n"
    assert Path("both.png").read_bytes().startswith(b"\x89PNG")


# --- pipes -----------------------------------------------------------------------------------


def test_a_reader_that_leaves_early_causes_no_traceback():
    process = subprocess.Popen(
        [*FUNCNN, "data", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait()
    process.stderr.close()


def test_a_set_of_one_s_own_in_a_data_folder_is_listed_and_has_a_path(tables, monkeypatch):
    mine = tables.parent / "data"
    (mine / "empty").mkdir(parents=True)
    place = tables.rename(mine / "lab3")
    monkeypatch.setenv("FUNCNN_DATA", str(mine))
    rows = {row["name"]: row for row in json.loads(funcnn("data", "list", "--json").stdout)}
    assert rows["lab3"]["where"] == str(place)
    assert "empty" not in rows
    listed = funcnn("data", "list").stdout
    assert re.search(rf"^lab3 +a folder of images\n +{re.escape(str(place))}$", listed, re.M)
    assert funcnn("data", "path", "lab3").stdout == f"{place}\n"
    for other in ("nothing", "data", "empty"):  # a folder here is no data set by name
        assert "known: fashion-mnist" in funcnn("data", "path", other, code=1).stderr


def test_verbose_says_what_it_works_with_and_only_beside_version():
    said = funcnn("--version", "--verbose")
    assert said.stdout.startswith("funcnn, version ")
    assert all(f" {name} " in said.stdout for name in ("Python", "numpy", "BLAS"))
    assert "the same bits again" in said.stdout
    alone = funcnn("--verbose", "check", "points", code=2)
    assert "--verbose goes with --version" in alone.stderr


@pytest.mark.parametrize(
    ("reason", "threads", "said"),
    [
        (None, 2, "in C, on several threads"),
        (None, 1, "in C, on one thread"),
        ("FUNCNN_NATIVE=0", 2, "by NumPy (FUNCNN_NATIVE=0)"),
        ("the file in C was not compiled", 2, "by NumPy (the file in C was not compiled)"),
    ],
)
def test_verbose_says_how_recorded_steps_are_replayed_and_why(reason, threads, said, monkeypatch):
    monkeypatch.setattr(machine, "why_not", lambda: reason)
    with fn.threads.use_threads(threads):
        lines = funcnn("--version", "--verbose").stdout.splitlines()
    assert lines[-1] == f"recorded steps: {said}"


def test_the_environment_has_recorded_steps_replayed_by_numpy():
    done = subprocess.run(
        [*FUNCNN, "--version", "--verbose"],
        env=os.environ | {"FUNCNN_NATIVE": "0"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "recorded steps: by NumPy (FUNCNN_NATIVE=0)"
