"""What the commands do, from a script: `train`, `resume` and `compare_with_torch`.

    from funcnn import experiments

    run = experiments.train(model, data="fashion-mnist", epochs=5, lr=1e-3)
    run.summary["test_accuracy"], run.path
    run = experiments.resume(run.path, epochs=10)
    experiments.compare_with_torch(model, data="fashion-mnist", epochs=5, seeds=3)

Each writes the folder that the command writes, with its figures, and shows its bar. Settings are
the options of `funcnn train`, with `_` for `-`, and those of one's own function.
"""

import contextlib
import dataclasses
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.compare.comparison import MODES, SEEDS, Comparison
from funcnn.experiments.compare.progress import CompareBar
from funcnn.experiments.data.provenance import expected_data
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.executed import expect_not_being_read
from funcnn.experiments.tasks.model_files import PARTS, own_model_of
from funcnn.experiments.tasks.own_models import OwnModel, Source
from funcnn.experiments.tasks.references import OPTION_NAMES, read_own
from funcnn.experiments.tasks.settings import is_reference
from funcnn.experiments.tasks.sizes import usual_sizes
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.model import load_model
from funcnn.experiments.training.progress import TrainBar
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import EpochRow, RunFolder
from funcnn.types import Layer, Tree

Network = str | Layer | Callable[..., Layer]
"""An architecture's name or `FILE.py:NAME`; a layer; or `(input_shape, classes) -> layer`."""
OnEpoch = Callable[[EpochRow], object]
Folder = str | os.PathLike[str]
"""A path, or the `Run` that is in it."""


class Run(NamedTuple):
    """A finished run.

    path: its folder, as of the commands. summary: what came out, as `funcnn train --json` prints
    it. history: a row for each recorded epoch, with `epoch`, `train_loss`, `val_accuracy` and so
    on. model: the network. params: best on validation, or the last without a validation set.
    """

    path: Path
    summary: dict[str, Any]
    history: list[EpochRow]
    model: Layer
    params: Tree

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        tested = self.summary["test_accuracy"]
        said = "no test labels" if tested is None else f"test accuracy {tested:.2%}"
        return f"<run in {self.path}: {said}, {self.summary['epochs']} epochs>"


def train(
    network: Network,
    *,
    out: Folder | None = None,
    on_epoch: OnEpoch | None = None,
    threads: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Train a network, and write what came out to a folder, as `funcnn train`.

    network: an architecture's name, `FILE.py:NAME`, a layer, or a function that makes one,
    `(input_shape, classes) -> layer`. settings: as the options of the command, `data="mnist"`,
    `epochs=5`, `hidden=(64,)`; the keywords of a function of one's own; `loss`, `optimizer`,
    `metrics` and `preprocess`, functions as in a file for `--model`. out: a new folder, by default
    the next under `runs/`. on_epoch: called with each recorded epoch; if it returns True, the
    training ends there, and is tested. threads: None: all cores. progress: a bar, if stderr is
    a terminal, and a line for each epoch. Raises `InputError` (a `ValueError`) for what cannot be
    used, `RunStoppedError` if the loss is no longer finite. Ctrl-C leaves a run to `resume`.
    """
    expect_not_being_read()
    config, values = _config(network, settings)
    with fn.threads.use_threads(threads):
        run = TrainingRun.start(config, _path(out), usual=usual_sizes(values))
        return _finished(run, on_epoch, progress)


def resume(
    path: Folder,
    network: Network | None = None,
    *,
    epochs: int | None = None,
    on_epoch: OnEpoch | None = None,
    threads: int | None = None,
    progress: bool = True,
    **parts: Any,
) -> Run:
    """Go on with a run in its folder, to the bits of one that was not stopped.

    network: only where that was a network with layers of one's own; with `loss`, `optimizer`,
    `metrics` and `preprocess` as in `train`. epochs: how many it is to have, also if it is
    finished. Else as `train`.
    """
    expect_not_being_read()
    if network is None and parts:
        raise InputError(f"{next(iter(parts))}: give the network, too")
    own = None if network is None else _own(network, parts)
    with fn.threads.use_threads(threads):
        run = TrainingRun.resume(RunFolder.open(Path(path), own), epochs=epochs)
        return _finished(run, on_epoch, progress)


def compare_with_torch(
    network: Network | os.PathLike[str],
    *,
    modes: Sequence[str] = MODES,
    seeds: int = SEEDS,
    steps: int | None = None,
    out: Folder | None = None,
    threads: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> dict[str, Any]:
    """The same network in NumPy and in PyTorch, as `funcnn compare`; what `--json` prints.

    network: as of `train`, or a run or its folder (a `Path`), whose settings are taken. modes: some
    of "free" and "lockstep". The free runs have processes of their own, so that a network with
    layers of one's own is given as `FILE.py:NAME`. settings, out, threads, progress: as `train`;
    seeds and steps as the options. Raises as `train`, and if torch is not installed.
    """
    expect_not_being_read()
    usual: list[str] = []
    expected = None
    if isinstance(modes, str) or not set(modes) <= set(MODES):
        raise InputError(f"modes {modes!r}: give some of {MODES}")
    for name, number in (("seeds", seeds), ("steps", 1 if steps is None else steps)):
        if type(number) is not int or number < 1:
            raise InputError(f"{name} {number!r}: give a number of at least 1")
    if isinstance(network, os.PathLike):
        if settings:
            name = next(iter(settings))
            raise InputError(f"the settings are those of {network}: leave out {name}")
        path = Path(network)
        config, expected = RunFolder.open(path).read_config(), expected_data(path)
    else:
        config, values = _config(network, settings)
        usual = usual_sizes(values)
    comparison = Comparison.start(
        config, tuple(modes), seeds, steps, threads, _path(out), usual, expected
    )
    bar = CompareBar(bar=progress, lines=progress)
    with contextlib.closing(bar):
        return comparison.finish(bar)


class _Watched(Callback):
    """A bar, and whoever asked for each epoch."""

    def __init__(self, bar: TrainBar, on_epoch: OnEpoch | None) -> None:
        self._bar, self._on_epoch = bar, on_epoch

    def run_begin(self, run: str, steps: int | None, done: int) -> None:
        self._bar.run_begin(run, steps, done)

    def step_end(self, run: str, done: int, steps: int, loss: float | None) -> None:
        self._bar.step_end(run, done, steps, loss)

    def epoch_end(self, run: str, row: EpochRow, epochs: int) -> bool:
        self._bar.epoch_end(run, row, epochs)
        ends = self._on_epoch is not None and self._on_epoch(row)
        if not isinstance(ends, (bool, np.bool_)) or not ends:
            return False
        if row.epoch < epochs:
            self._bar.note(f"on_epoch ends it after epoch {row.epoch} of {epochs}")
        return True


def _finished(run: TrainingRun, on_epoch: OnEpoch | None, progress: bool) -> Run:
    bar = TrainBar(bar=progress, lines=progress)
    with contextlib.closing(bar):
        summary = run.finish(_Watched(bar, on_epoch))
    trained = load_model(run.folder)
    return Run(run.folder.path, summary, run.folder.read_metrics(), trained.model, trained.params)


def _path(out: Folder | None) -> Path | None:
    return None if out is None else Path(out)


def _config(network: Network, settings: Mapping[str, Any]) -> tuple[RunConfig, dict[str, Any]]:
    """The config of a network with settings, and the values that were given."""
    given = {name: settings[name] for name in PARTS if name in settings}
    parts = {name: part for name, part in given.items() if not isinstance(part, str)}
    values = {name: value for name, value in settings.items() if name not in parts}
    if isinstance(network, str) and network in ARCHITECTURES:
        if parts:
            raise InputError(f"{next(iter(parts))}: it is for a network of your own, not {network}")
        return RunConfig.resolve({"arch": network, **values}), values
    own = _own(network, parts)
    return RunConfig.resolve({"arch": own.name, **values}, own), values


def _own(network: Network, parts: Mapping[str, Any]) -> OwnModel:
    """The network as one of the user's own, with parts of a script."""
    if isinstance(network, str):
        if not is_reference(network):
            known = ", ".join(ARCHITECTURES)
            raise InputError(f"{network!r} is no network: give {known}, FILE.py:NAME, or a layer")
        if parts:
            raise InputError(f"{next(iter(parts))}: put it into the file of {network}")
        return read_own(network)
    name, source = _named(network)
    namespace = {**getattr(network, "__globals__", {}), **dict.fromkeys(PARTS), **parts}
    own = own_model_of(name, network, namespace, source, OPTION_NAMES)
    return dataclasses.replace(own, importable=False)


def _named(network: Any) -> tuple[str, Source | None]:
    """What a network of a script is called, and the script's text, if it has one."""
    name = getattr(network, "__name__", "model")
    name = name if name.isidentifier() else "model"  # of a lambda
    try:
        file = inspect.getsourcefile(network) if inspect.isfunction(network) else None
    except TypeError:
        file = None
    file = file or getattr(sys.modules.get("__main__"), "__file__", None)
    if file is None or not file.endswith(".py") or not Path(file).is_file():
        return f"__main__:{name}", None
    source = Source(Path(file).name, Path(file).read_text(encoding="utf-8"))
    return f"{source.file}:{name}", source
