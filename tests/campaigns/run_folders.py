"""Damaged folders of runs, as `train`, `evaluate`, `predict`, `inspect` and sweeps read them."""

import contextlib
import copy
import functools
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from campaigns.archives import members_of
from campaigns.campaign import Campaign, Try
from campaigns.damage import TEXTS, damaged_bytes, damaged_value, nested
from campaigns.snapshots import archive_with, damaged_snapshot
from campaigns.watch import Watch, assert_tells_of, no_warnings

import funcnn as fn
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.export.describe import describe_file
from funcnn.experiments.sweep.results import Outcome
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.evaluation import evaluate_run
from funcnn.experiments.training.learner import make_learner
from funcnn.experiments.training.predictions import write_predictions
from funcnn.experiments.training.record import digest_of
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder

FEW = 20
"""So many epochs are trained to their end, if that is what a damaged folder asks for."""
SETTINGS = {"arch": "mlp2", "hidden": [4], "val_size": 6, "epochs": 3, "batch_size": 8}
SETTINGS |= {"optimizer": "adamw", "lr": 0.01, "dropout": 0.2}
OTHERS: dict[str, dict[str, Any]] = {
    "averaged": {"average": 0.9, "patience": 1, "test_curve": True},
    "unmeasured": {"val_size": 0, "optimizer": "sgd", "augment": "flip"},
}


_learner_of = functools.partial(make_learner, compile_step=False)  # to record takes its time


class _Stop(Callback):
    """The end of a run after its second epoch."""

    def epoch_end(self, run: str, row: Any, epochs: int) -> bool:
        if row.epoch == 2:
            raise KeyboardInterrupt
        return False


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Folders of runs that are finished, or were stopped, as the bytes of their files."""
    data, run, out = folder / "data.npz", folder / "run", folder / "out/out.csv"
    write_data(data)
    out.parent.mkdir()
    with (
        mock.patch("os.fsync"),
        mock.patch("logging.lastResort", logging.NullHandler()),
    ):  # both take time
        folders = [*_folders(data, run)]
        read = _readers(run, data, out)
        watch = Watch(folder)

        def one_try(rng: np.random.Generator) -> str:
            files = damaged_folder(folders[rng.integers(len(folders))], rng)
            _empty(run)
            out.unlink(missing_ok=True)
            for name, content in files.items():
                (run / name).write_bytes(content)
            name = [*read][rng.integers(len(read))]
            with watch.trying(), no_warnings():
                try:
                    read[name]()
                except (InputError, fn.SnapshotError, RunStoppedError) as error:
                    assert_tells_of(run, error)
                    return f"{name} refused"
            return f"{name} done"

        yield one_try


def write_data(path: Path) -> None:
    """A few images of three classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (39, 3, 3), np.uint8)
    labels = np.arange(39) % 3
    np.savez(path, x_train=pixels[:30], y_train=labels[:30], x_test=pixels[30:], y_test=labels[30:])


def _folders(data: Path, run: Path) -> Iterator[dict[str, bytes]]:
    """What runs leave that were stopped after an epoch, went on to their end, and beyond it."""
    for other in ({}, *OTHERS.values()):
        config = RunConfig.resolve(SETTINGS | {"data": str(data)} | other)
        started = TrainingRun.start(config, run, _learner_of)
        with contextlib.suppress(KeyboardInterrupt):
            started.finish(_Stop(), draw=False)
        yield {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
        TrainingRun.resume(RunFolder.open(run), _learner_of).finish(draw=False)
        yield {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
        TrainingRun.resume(RunFolder.open(run), _learner_of, 4).finish(draw=False)
        yield {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
        evaluate_run(RunFolder.open(run))  # whole, it can be; and what it imports is imported
        _empty(run)


def _empty(run: Path) -> None:
    for path in run.iterdir():
        path.unlink()


def _readers(run: Path, data: Path, out: Path) -> dict[str, Callable[[], object]]:
    """What is done with the folder, by name."""

    def resume(epochs: int | None = None) -> None:
        resumed = TrainingRun.resume(RunFolder.open(run), _learner_of, epochs)
        if resumed.config.epochs <= FEW:
            resumed.finish(draw=False)

    def compare() -> None:
        folder = RunFolder.open(run)
        Outcome.read(folder)
        digest_of(folder)

    def inspect(name: str) -> None:
        described = describe_file(run / name)
        json.dumps(described.as_data(), indent=2)
        assert str(described)

    return {
        "resume": resume,
        "extend": functools.partial(resume, 5),
        "evaluate": lambda: evaluate_run(RunFolder.open(run)),
        "predict": lambda: write_predictions(run, [str(data)], out),
        "inspect": lambda: inspect("params.npz"),
        "inspect state": lambda: inspect("last.npz"),
        "compare": compare,
    }


def damaged_folder(files: dict[str, bytes], rng: np.random.Generator) -> dict[str, bytes]:
    """The files of a run with one of them damaged; or a setting, wherever it is written."""
    files = dict(files)
    kind = rng.integers(8)
    if kind == 0:
        config = json.loads(files["config.json"])
        name = [*config][rng.integers(len(config))]
        damaged = damaged_value({name: config[name]}, rng)
        config = {key: value for key, value in config.items() if key != name} | damaged
        files["config.json"] = json.dumps(config).encode()
        return files | _with_notes(files, lambda notes: notes | {"config": config})
    if kind == 1:
        return files | _with_notes(files, lambda notes: damaged_value(notes, rng))
    names = sorted({*files} - {"lock"})
    name = names[rng.integers(len(names))]
    files[name] = _damaged(name, files[name], rng)
    return files


def _with_notes(files: dict[str, bytes], change: Callable[[Any], Any]) -> dict[str, bytes]:
    """The state of a run, with other notes."""
    if "last.npz" not in files:
        return {}
    members = _members(files["last.npz"])
    header = json.loads(members["header.json"])
    header["notes"] = change(copy.deepcopy(header["notes"]))
    return {"last.npz": archive_with(members, header)}


@functools.lru_cache(100)
def _members(content: bytes) -> dict[str, bytes]:
    return members_of(content)


def _damaged(name: str, content: bytes, rng: np.random.Generator) -> bytes:
    """A file of a run with something changed."""
    kind = rng.integers(10)
    if kind == 0:
        return damaged_bytes(content, rng)
    if name.endswith(".npz"):
        return damaged_snapshot(_members(content), rng)
    if name.endswith(".json"):
        value = json.loads(content)
        return json.dumps((nested if kind == 1 else damaged_value)(value, rng)).encode()
    return damaged_table(content, rng)


def damaged_table(content: bytes, rng: np.random.Generator) -> bytes:
    """A CSV with one of its values, or of its names, changed; or a row."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    row = int(rng.integers(len(rows)))
    kind = rng.integers(6)
    if kind == 0:
        rows.insert(int(rng.integers(len(rows))), rows.pop(row))
    elif kind == 1:
        rows[row].append(rows[row][0])
    elif kind == 2:
        del rows[row]
    else:
        texts = (*TEXTS, "-1", "0", "1e999", "9" * 400, "1_0", "0x1", "٣", '"', "\r", "\u2028")
        rows[row][rng.integers(len(rows[row]))] = texts[rng.integers(len(texts))]
    return "".join(",".join(each) + "\n" for each in rows).encode("utf-8", "replace")


RUN_FOLDERS = Campaign("run-folders", "damaged folders of runs that are read", 1, begin)
