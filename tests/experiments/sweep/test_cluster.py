"""Sweeps on a Dask cluster: a real scheduler and workers on loopback, one of them killed."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from image_files import PIXELS, TABLE, image_folder, write_csv
from own_networks import RESIDUAL, SCALED

from funcnn.cli import main
from funcnn.experiments.data.provenance import DataRecord, Expected
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.sweep import cluster as sweep_cluster
from funcnn.experiments.sweep.cluster import connect
from funcnn.experiments.sweep.plan import Plan
from funcnn.experiments.sweep.sweep import Processes, Sweep
from funcnn.experiments.training.callback import Callback

pytest.importorskip("distributed", reason="a cluster needs Dask: pip install 'funcnn[cluster]'")

GRID = {"lr": (0.01, 0.1), "hidden": ((4,), (8, 8))}
FILES = ("config.json", "params.npz")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Dask:
    """A scheduler, and workers that it is told to have."""

    def __init__(self, closing, log):
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        self._closing, self._log = closing, log
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
        self.scheduler = self._start("dask_scheduler", *arguments)

    def worker(self, before=""):
        """A worker of one thread; before: what its Python does first."""
        arguments = [self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard"]
        return self._start("dask_worker", *arguments, before=before)

    @contextlib.contextmanager
    def for_a_while(self, before):
        """The same, the only one, and gone again in the end."""
        worker = self.worker(before)
        self.wait_for(1)
        yield
        worker.kill()
        self.wait_for(0)

    def _start(self, module, *arguments, before=""):
        code = f"import sys; {before}\nfrom distributed.cli.{module} import main; main()"
        command = [sys.executable, "-c", code, *arguments]
        process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self._closing.callback(process.wait)
        self._closing.callback(process.kill)
        return process

    def wait_for(self, workers):
        """Until it has so many workers."""
        from distributed import Client

        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), Client(self.address, timeout=30) as client:
                while len(client.scheduler_info()["workers"]) != workers:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                return
            assert time.monotonic() < deadline


@contextlib.contextmanager
def dask_in(folder):
    with (folder / "dask.log").open("w") as log, contextlib.ExitStack() as closing:
        yield Dask(closing, log)


@pytest.fixture
def dask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with dask_in(tmp_path) as dask:
        yield dask


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """One for all tests that leave it as it was."""
    with dask_in(tmp_path_factory.mktemp("dask")) as dask:
        dask.wait_for(0)
        yield dask


class Noted(Callback):
    """What was told; does something after the first result."""

    def __init__(self, then=lambda: None):
        self.results, self._then = [], then

    def run_end(self, run, folder, error):
        self.results.append((run, error))
        if len(self.results) == 1:
            self._then()


def test_with_a_worker_killed_every_result_is_there_once_and_as_it_is_here(dask):
    doomed, _ = dask.worker(), dask.worker()
    dask.wait_for(2)
    plan = Plan.make("points", GRID, {"epochs": 40}, 1)
    noted = Noted(doomed.kill)
    with connect(dask.address) as cluster:
        _, outcomes = Sweep.open(plan, cluster, Path("there")).finish(noted)
    assert doomed.wait() != 0
    assert sorted(noted.results) == sorted((run.name, None) for run in plan.runs)
    assert sorted(outcomes) == sorted(run.name for run in plan.runs)
    Sweep.open(plan, Processes(), Path("here")).finish()
    for run in plan.runs:
        here, there = (Path(place, "runs", run.name) for place in ("here", "there"))
        assert {path.name for path in here.iterdir()} == {path.name for path in there.iterdir()}
        for name in FILES:
            assert (here / name).read_bytes() == (there / name).read_bytes()
    # What is wrong on a worker is a line, what diverges a row.
    with connect(dask.address) as cluster:
        nowhere = Plan.make("mlp3", {"data": ("nowhere",)}, {}, 1)
        with pytest.raises(InputError, match=r"worker tcp://\S+: --data nowhere: neither a data"):
            Sweep.open(nowhere, cluster, Path("nowhere"))
        assert not Path("nowhere").exists()
        write_csv(Path("few.csv"), TABLE[:10], ["label", *PIXELS])
        small = Plan.make("softmax", {}, {"data": "few.csv", "epochs": 1}, 1)
        sweep = Sweep.open(small, cluster, Path("few"))
        assert sweep.finish()[1]["seed=0"].error is None
        assert sweep.plan.runs[0].config.batch_size == 6
        record = DataRecord.read(Path("few/runs/seed=0"))
        assert record[:2] == ("few.csv", str(Path("few.csv").resolve()))
        exploding = {"activation": "exp", "loss": "squared-error", "epochs": 4, "lr": 1e30}
        plan = Plan.make("points", {}, exploding, 1)
        _, outcomes = Sweep.open(plan, cluster, Path("bad")).finish()
        assert "is kept in bad/runs/seed=0/last.npz" in outcomes["seed=0"].error
    # A scheduler that vanishes: what is finished stays.
    plan = Plan.make("points", GRID, {"epochs": 41}, 1)
    with (
        pytest.raises(RunStoppedError, match=f"^the scheduler {dask.address} is gone;"),
        connect(dask.address) as cluster,
    ):
        Sweep.open(plan, cluster, Path("gone")).finish(Noted(dask.scheduler.kill))
    assert len(list(Path("gone/runs").glob("*/summary.json"))) == 1


def test_workers_train_networks_of_ones_own(dask):
    """Told of: of the library's layers by what is known of it, else by their own copy of a file."""
    image_folder(Path("images"))
    dask.worker()
    dask.wait_for(1)
    Path("res.py").write_text(RESIDUAL)
    Path("scaled.py").write_text(SCALED)
    given = {"data": "images", "val_size": 12, "epochs": 2, "batch_size": 8}
    for name, grid in (("res.py:res", {"width": (2, 3)}), ("scaled.py:scaled", {"lr": (0.1, 0.2)})):
        plan = Plan.make(name, grid, given, 1)
        with connect(dask.address) as cluster:
            _, outcomes = Sweep.open(plan, cluster, Path("there", name)).finish()
        assert [each.error for each in outcomes.values()] == [None, None]
        Sweep.open(plan, Processes(), Path("here", name)).finish()
        for run in plan.runs:
            here, there = (Path(place, name, "runs", run.name) for place in ("here", "there"))
            assert {path.name for path in here.iterdir()} == {path.name for path in there.iterdir()}
            for file in (*FILES, "model.json", "model.py.txt"):
                assert (here / file).read_bytes() == (there / file).read_bytes()
    # A file that is another one there is a line.
    Path("scaled.py").write_text(SCALED + "# changed\n")
    said = r"worker tcp://\S+: scaled\.py is not the one that this began with"
    with connect(dask.address) as cluster, pytest.raises(InputError, match=said):
        Sweep.open(plan, cluster, Path("other"))
    assert not Path("other").exists()


def test_a_scheduler_whose_last_worker_dies_is_one_line_and_what_is_finished_stays(
    dask, monkeypatch
):
    monkeypatch.setattr(sweep_cluster, "_WITHOUT", 1)
    doomed = dask.worker()
    dask.wait_for(1)
    plan = Plan.make("points", {"lr": (0.01, 0.1, 1.0)}, {"epochs": 40}, 1)
    said = f"^the scheduler {dask.address} has no workers any more; what is finished is used when "
    with pytest.raises(RunStoppedError, match=said), connect(dask.address) as cluster:
        Sweep.open(plan, cluster, Path("out")).finish(Noted(doomed.kill))
    assert len(list(Path("out/runs").glob("*/summary.json"))) == 1
    dask.worker()
    dask.wait_for(1)
    noted = Noted()
    with connect(dask.address) as cluster:
        _, outcomes = Sweep.open(plan, cluster, Path("out")).finish(noted)
    assert [error for _, error in noted.results] == [None, None]
    assert sorted(outcomes) == sorted(run.name for run in plan.runs)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (None, "it has no workers"),
        ("sys.modules['funcnn'] = None", "it has no funcnn (ModuleNotFoundError"),
        ("import funcnn; funcnn.__version__ = '0.0.1'", "it has funcnn 0.0.1, and here is"),
    ],
    ids=["no worker", "no funcnn", "another version"],
)
def test_workers_that_cannot_train_are_one_line(scheduler, before, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["sweep", "points", "--grid", "lr=0.1,1", "--scheduler", scheduler.address]
    with contextlib.nullcontext() if before is None else scheduler.for_a_while(before):
        result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: --scheduler {scheduler.address}: ")
    assert said in line
    assert not Path("runs").exists()


def test_the_address_of_a_worker_is_one_line(scheduler, tmp_path, monkeypatch):
    from distributed import Client

    monkeypatch.chdir(tmp_path)
    with scheduler.for_a_while(""), Client(scheduler.address) as client:
        (address,) = client.scheduler_info()["workers"]
        result = CliRunner().invoke(main, ["sweep", "points", "--scheduler", address])
    assert result.exit_code == 1
    assert result.stderr == f"Error: --scheduler {address}: it is a worker, not a scheduler\n"
    assert not Path("runs").exists()


@pytest.mark.parametrize("address", ["tls://127.0.0.1:9", "http://127.0.0.1:9", "://"])
def test_an_address_that_is_not_of_tcp_is_one_line(address):
    result = CliRunner().invoke(main, ["sweep", "points", "--scheduler", address])
    assert result.exit_code == 1
    assert result.stderr == f"Error: --scheduler {address}: give it as tcp://HOST:PORT\n"


@pytest.mark.parametrize("listens", [True, False], ids=["silent", "closed"])
def test_a_scheduler_that_does_not_answer_is_one_line(listens, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep_cluster, "_PATIENCE", 1)
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        if listens:
            place.listen()
        address = f"tcp://127.0.0.1:{place.getsockname()[1]}"
        result = CliRunner().invoke(main, ["sweep", "points", "--scheduler", address])
    assert result.exit_code == 1
    assert result.stderr == f"Error: --scheduler {address}: no Dask scheduler answers\n"
    assert not Path("runs").exists()


class Machines(sweep_cluster.Cluster):
    """Workers that each stand in a folder of their own, in this process."""

    def __init__(self, *folders):
        super().__init__(self, "tcp://here")
        self._folders = {f"tcp://{folder.name}": folder for folder in folders}

    def run(self, function, *given, **named):
        return dict.fromkeys(self._folders, function(*given))

    def submit(self, function, *given, workers, pure):
        with contextlib.chdir(self._folders[workers[0]]):
            return workers[0], json.dumps(function(*given))

    def _answers(self, futures):
        for worker, answer in futures:
            answer = json.loads(answer)
            if isinstance(answer, list):
                answer = [
                    (config, own, usual, Expected(DataRecord(*record), of))
                    for config, own, usual, (record, of, _) in answer
                ]
            yield (worker, json.dumps(answer)), answer


def test_workers_with_other_data_are_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changed = TABLE.copy()
    changed[3, 3] ^= 1
    for name, table in (("a", TABLE), ("b", TABLE), ("c", changed)):
        write_csv(tmp_path / name / "few.csv", table, ["label", *PIXELS])
    plan = Plan.make("softmax", {}, {"data": "few.csv", "epochs": 1}, 1)
    folders = [tmp_path / name for name in "abc"]
    made = Sweep.open(plan, Machines(*folders[:2]), Path("made"))
    assert [run.config.val_size for run in made.plan.runs] == [2]
    with pytest.raises(InputError) as refused:
        Sweep.open(plan, Machines(*folders), Path("out"))
    assert str(refused.value) == (
        f"--scheduler tcp://here: worker tcp://c: --data few.csv: the content of "
        f"{folders[2] / 'few.csv'} is not what the other workers have under this name"
    )
    assert not Path("out").exists()
    # Where they are here too, those are meant, wherever a worker stands.
    write_csv(Path("few.csv"), changed, ["label", *PIXELS])
    Sweep.open(plan, Machines(folders[0]), Path("out"))
