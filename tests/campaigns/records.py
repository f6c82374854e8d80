"""Damaged records of networks, data, sweeps, comparisons and experiments, read to go on with."""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.damage import damaged_bytes, damaged_value, nested
from campaigns.run_folders import SETTINGS, damaged_table, write_data
from campaigns.watch import Watch, assert_tells_of, no_warnings

import funcnn as fn
from funcnn.experiments.bench.peers import PACKAGES
from funcnn.experiments.compare.comparison import Comparison
from funcnn.experiments.compare.lockstep import Step
from funcnn.experiments.compare.lockstep_table import read_steps, summarise, write_steps
from funcnn.experiments.compare.results import free_results
from funcnn.experiments.data.provenance import (
    changes_in,
    expected_data,
    note_change,
    say_what_was_read,
)
from funcnn.experiments.errors import InputError
from funcnn.experiments.labs.registry import LABS
from funcnn.experiments.labs.run import LabRun
from funcnn.experiments.sweep import results
from funcnn.experiments.sweep.plan import Plan
from funcnn.experiments.sweep.sweep import Sweep
from funcnn.experiments.system.machine import describe_machine
from funcnn.experiments.tasks.build import network_that_fits
from funcnn.experiments.tasks.config import BACKENDS, RunConfig
from funcnn.experiments.training.pool import Answers, Job
from funcnn.experiments.training.record import digest_of
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder

NETWORK = fn.serial(fn.Conv(2, 2), fn.BatchNorm(), fn.Relu(), fn.Flatten(), fn.Dense(3))


class Kept(NamedTuple):
    """Files in a folder of their own that are read to go on with."""

    files: dict[str, bytes]
    """Those that are damaged."""
    read: Callable[[], object]


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """A folder for each kind of record."""
    write_data(data := folder / "data.npz")
    with mock.patch("os.fsync"), mock.patch("logging.lastResort", logging.NullHandler()):
        kept = {}
        for make in (_network, _data, _lockstep, _comparison, _results, _experiment, _sweep):
            (place := folder / make.__name__.strip("_")).mkdir()
            kept[place.name] = made = make(place, data)
            for name, content in made.files.items():
                (place / name).write_bytes(content)
            made.read()  # whole, it can be; and what it imports is imported
        watch = Watch(folder)

        def one_try(rng: np.random.Generator) -> str:
            kind = [*kept][rng.integers(len(kept))]
            place, (files, read) = folder / kind, kept[kind]
            damaged = [*files][rng.integers(len(files))]
            for name, content in files.items():
                (place / name).write_bytes(
                    _damaged(name, content, rng) if name == damaged else content
                )
            if kind == "sweep" and damaged != "sweep.json":
                _with_digest(place, Path(damaged).parent)
            with watch.trying(), no_warnings():
                try:
                    read()
                except (InputError, fn.SnapshotError) as error:
                    assert_tells_of(place, error)
                    return f"{kind} refused"
            return f"{kind} done"

        yield one_try


def _damaged(name: str, content: bytes, rng: np.random.Generator) -> bytes:
    """A record with something changed."""
    kind = rng.integers(12)
    if kind == 0:
        return damaged_bytes(content, rng)
    if name.endswith(".csv"):
        return damaged_table(content, rng)
    value = json.loads(content)
    if kind == 1:
        return json.dumps(nested(value, rng)).encode()
    inner = [key for key in value if isinstance(value[key], (dict, list)) and value[key]]
    if inner and kind < 7:  # as often as what is beside it
        key = inner[rng.integers(len(inner))]
        return json.dumps(value | {key: damaged_value(value[key], rng)}).encode()
    return json.dumps(damaged_value(value, rng)).encode()


def _network(place: Path, data: Path) -> Kept:
    """A network of a user's own, built from what is kept of it, and applied."""
    config = {"arch": "mine.py:net", "own_settings": {"width": 3}, "epochs": 2}
    values = {"name": "mine.py:net", "spec": NETWORK.spec, "parts": ["metrics"]}
    values |= {"file": "mine.py", "sha256": "0" * 64}

    def read() -> None:
        config = RunFolder.open(place).read_config()
        assert config.own is not None
        model = config.own.build((1, 4, 4), 3, config.own_settings)
        inputs = np.zeros((2, 1, 4, 4), np.float32)
        with network_that_fits(config):
            _, params = model.init(fn.random.SHAPES_ONLY, (1, 4, 4))
        if sum(leaf.size for leaf in fn.tree.leaves(params)) < 1000:
            with network_that_fits(config):
                _, params = model.init(fn.random.key(0), (1, 4, 4))
            params = fn.tree.map(lambda leaf: leaf + 0.5, params)  # running statistics are some
            assert fn.predict(model.apply, params, inputs).shape[0] == 2

    files = {"config.json": config, "model.json": values}
    return Kept({name: json.dumps(each).encode() for name, each in files.items()}, read)


def _data(place: Path, data: Path) -> Kept:
    """Which data were read, and what a run says and writes of them."""
    change = {"after_epoch": 1, "path": str(data), "sha256": "1" * 64}
    values = {"data": "data.npz", "path": str(data), "sha256": "0" * 64, "changed": [change]}

    def read() -> None:
        expected = expected_data(place, allow_changed=True)
        assert expected is not None
        assert expected.allows(expected.record)
        assert isinstance(expected.missing, str)
        changes_in(place)
        say_what_was_read(place, expected, expected.record._replace(sha256="2"))
        note_change(place, 1, expected.record._replace(sha256="2"))
        changes_in(place)

    return Kept({"data.json": json.dumps(values).encode()}, read)


def _lockstep(place: Path, data: Path) -> Kept:
    """The steps of a lockstep, and what they say."""
    path, name = place / "lockstep-float64.csv", "lockstep-float64.csv"
    shares = {"0/weight": 0.1, "0/bias": 0.2}
    numbers = dict.fromkeys(Step._fields[:-2], 0.5) | {"switched": 0}
    steps = [Step(**numbers | {"step": n + 1}, **_shares(shares)) for n in range(4)]
    write_steps(path, steps)
    return Kept({name: path.read_bytes()}, lambda: json.dumps(summarise(read_steps(path))))


def _shares(shares: dict[str, float]) -> dict[str, Any]:
    return dict.fromkeys(Step._fields[-2:], shares)


def _comparison(place: Path, data: Path) -> Kept:
    """A comparison that was begun."""
    config = RunConfig.resolve({"arch": "mlp2", "hidden": [3], "data": str(data), "val_size": 3})
    values = {
        "config": config.as_data(),
        "modes": ["free", "lockstep"],
        "seeds": [0, 1],
        "steps": 20,
        "threads": 1,
        "machine": describe_machine(PACKAGES),
        "peak_memory": {"numpy-seed-0": 10**6},
    }

    def read() -> None:
        comparison = Comparison.resume(place)
        json.dumps(comparison.config.as_data())

    return Kept({"comparison.json": json.dumps(values).encode()}, read)


def _experiment(place: Path, data: Path) -> Kept:
    """A lab that was begun."""
    lab = next(iter(LABS.values()))
    LabRun.open(lab, True, place)
    content = (place / "experiment.json").read_bytes()
    return Kept({"experiment.json": content}, lambda: LabRun.recorded(lab, True, place))


def _results(place: Path, data: Path) -> Kept:
    """The runs of a comparison, which are finished, and what they say together."""
    runs, files = {}, {}
    settings = SETTINGS | {"data": str(data), "epochs": 2}
    for backend in BACKENDS:
        runs[backend] = [RunFolder(place / f"{backend}-seed-{seed}") for seed in range(2)]
        for seed, folder in enumerate(runs[backend]):
            config = RunConfig.resolve(settings | {"backend": backend, "seed": seed})
            TrainingRun.start(config, folder.path).finish(draw=False)
            for path in (folder.config, folder.metrics, folder.summary, folder.path / "data.json"):
                files[f"{folder.path.name}/{path.name}"] = path.read_bytes()
    return Kept(files, lambda: json.dumps(free_results(runs, {})))


class _NoPool:
    """What trains nothing, as all is trained."""

    def make_ready(self, jobs: Sequence[Job], of: str) -> list[Job]:
        return [*jobs]

    def run(self, jobs: Sequence[Job]) -> Answers[Job]:
        raise NotImplementedError


def _sweep(place: Path, data: Path) -> Kept:
    """A sweep whose runs are finished, and what they came to."""
    fixed = {"hidden": (3,), "data": str(data), "val_size": 6, "epochs": 1, "batch_size": 8}
    plan = Plan.make("mlp2", {"lr": (0.1, 0.2)}, fixed, 1)
    Sweep.open(plan, _NoPool(), place)
    files = {}
    for run in plan.runs:
        TrainingRun.start(run.config, place / "runs" / run.name).finish(draw=False)
        for name in ("config.json", "metrics.csv", "summary.json", "data.json"):
            at = f"runs/{run.name}/{name}"
            files[at] = (place / at).read_bytes()
    for run in plan.runs:
        _with_digest(place, Path("runs", run.name))
    files["sweep.json"] = (place / "sweep.json").read_bytes()

    def read() -> None:
        sweep = Sweep.open(plan, _NoPool(), place)
        outcomes = {
            run.name: results.Outcome.read(RunFolder(place / "runs" / run.name))
            for run in sweep.plan.runs
        }
        results.write_table(sweep.table, sweep.plan, outcomes)
        found = results.summarise(sweep.plan, outcomes)
        json.dumps(results.as_data(sweep.plan, found))
        results.table(sweep.plan, found)

    return Kept(files, read)


def _with_digest(place: Path, run: Path) -> None:
    """Have the record of a sweep say that a run is as it is now."""
    record = json.loads((place / "sweep.json").read_bytes())
    record["sha256"][run.name] = digest_of(RunFolder(place / run))
    (place / "sweep.json").write_text(json.dumps(record))


RECORDS = Campaign("records", "damaged records that are read to go on with", 1, begin)
