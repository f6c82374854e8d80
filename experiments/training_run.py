"""One training run: from a config to a folder of results, to stop and to resume at will.

Everything that happens is a function of the config. The state after each recorded epoch is in
`last.npz`; a run that was killed anywhere goes on from there and gives the same bits.
"""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from funcnn.experiments import figures
from funcnn.experiments.architectures import ARCHITECTURES, loss_of
from funcnn.experiments.config import (
    RunConfig,
    build_network,
    build_optimizer,
    network_that_fits,
)
from funcnn.experiments.datasets import Dataset, load_dataset
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.memory import keep_freed_memory
from funcnn.experiments.run_folder import EpochRow, RunFolder
from funcnn.experiments.trained_model import TrainedModel, load_model

import funcnn as fn
from funcnn.training import Metric
from funcnn.types import Array, Layer, Loss, Tree


class Progress:
    """What a run tells whoever watches it; this one keeps it to itself."""

    def begin(self, steps: int, done: int) -> None:
        """The run has so many steps, and so many of them are done already."""

    def step(self, loss: float) -> None:
        """One more step is done."""

    def row(self, row: EpochRow, epochs: int) -> None:
        """An epoch of `epochs` was recorded."""


class _Experiment(NamedTuple):
    """What a config stands for, built."""

    config: RunConfig
    data: Dataset
    model: Layer
    loss: Loss
    steps_per_epoch: int
    optimizer: fn.Optimizer

    @classmethod
    def build(cls, config: RunConfig) -> "_Experiment":
        data = load_dataset(config.data, val_size=config.val_size, seed=config.seed)
        examples = len(data.train[0])
        batch_size = config.batch_size or examples
        if batch_size > examples:
            raise InputError(f"--batch-size {batch_size}: there are {examples} training examples")
        model = build_network(config, len(data.class_names))
        steps_per_epoch = math.ceil(examples / batch_size)
        optimizer = build_optimizer(config, config.epochs * steps_per_epoch)
        loss = loss_of(config.arch, config.label_smoothing)
        return cls(config, data, model, loss, steps_per_epoch, optimizer)

    def key(self, index: int) -> fn.random.Key:
        """The key for one purpose; `load_dataset` uses index 0."""
        return fn.random.fold_in(fn.random.key(self.config.seed), index)

    @property
    def plain_loss(self) -> Loss:
        """The loss that is reported, of training and validation alike: without label smoothing."""
        return loss_of(self.config.arch, 0.0)

    def train_step(self) -> Callable[..., tuple[fn.TrainState, dict[str, float]]]:
        """The step, whose metrics are what it minimizes (`loss`), `plain_loss` and `accuracy`."""
        plain_loss = self.plain_loss
        metrics: dict[str, Metric] = {
            "accuracy": fn.accuracy,
            "plain_loss": lambda outputs, targets: plain_loss(outputs, targets)[0],
        }
        return fn.make_train_step(self.model.apply, self.loss, self.optimizer, metrics)

    def first_state(self) -> fn.TrainState:
        with network_that_fits(self.config):
            _, params = self.model.init(self.key(1), self.data.input_shape)
            return fn.TrainState.create(params, self.optimizer, rng=self.key(2))

    def batches(self, epoch: int) -> Iterable[tuple[Array, Array]]:
        """The batches of one epoch, in an order of its own; one whole batch needs none."""
        examples = len(self.data.train[0])
        return fn.batches(
            self.data.train,
            self.config.batch_size or examples,
            rng=fn.random.fold_in(self.key(3), epoch) if self.steps_per_epoch > 1 else None,
            preprocess=self.data.normalization,
        )

    def trained(self, params: Tree) -> TrainedModel:
        data = self.data
        return TrainedModel(
            self.model, params, data.input_shape, data.normalization, data.class_names
        )

    def recorded(self, epoch: int) -> bool:
        """Whether an epoch gets a row and a checkpoint; of thousands of single steps not all do."""
        every = min(max(1, self.config.epochs // 100), 1000) if self.steps_per_epoch == 1 else 1
        return epoch % every == 0 or epoch == self.config.epochs


class TrainingRun:
    """A run on its way from a config to a summary; `start` or `resume` one, then `finish` it."""

    def __init__(
        self, folder: RunFolder, experiment: _Experiment, state: fn.TrainState, rows: list[EpochRow]
    ) -> None:
        self.folder = folder
        self._experiment = experiment
        self._state = state
        self._rows = rows

    @classmethod
    def start(cls, config: RunConfig, out: Path | None = None) -> "TrainingRun":
        """A run at its beginning, in a new folder (by default the next one under `runs/`).

        Raises `InputError` if the data cannot be used, or the folder not be made.
        """
        experiment = _Experiment.build(config)  # before a folder is made for it
        state = experiment.first_state()
        run = cls(RunFolder.create(config, out), experiment, state, [])
        _save_state(run.folder, run._state, run._rows)
        return run

    @classmethod
    def resume(cls, folder: RunFolder) -> "TrainingRun":
        """A run that was stopped, where it was; its result is that of a run that was not.

        Raises `InputError` if it is finished or was imported, `SnapshotError` if what it left is
        damaged.
        """
        if folder.summary.exists():
            raise InputError(f"{folder} is finished: there is nothing to resume")
        if folder.params.exists() and not folder.last.exists():
            raise InputError(f"{folder} was imported: there is no training to resume")
        experiment = _Experiment.build(folder.read_config())
        first = experiment.first_state()
        if not folder.last.exists():  # killed before the first checkpoint
            return cls(folder, experiment, first, [])
        snapshot = fn.load(folder.last, like=first)
        try:
            rows = [EpochRow(*row) for row in snapshot.notes["rows"]]
        except (TypeError, KeyError):
            raise InputError(f"{folder.last} is not the state of a run: it has no rows") from None
        return cls(folder, experiment, snapshot.params, rows)

    @property
    def epochs_done(self) -> int:
        """The last epoch that `last.npz` has."""
        return self._rows[-1].epoch if self._rows else 0

    def finish(self, progress: Progress | None = None) -> dict[str, Any]:
        """Train to the end, test, and write the summary, which it returns.

        Raises `RunStoppedError` if the loss is no longer finite, and `KeyboardInterrupt` on
        Ctrl-C; what was done until then can be resumed.
        """
        keep_freed_memory()
        progress = progress or Progress()
        experiment, epochs = self._experiment, self._experiment.config.epochs
        step = experiment.train_step()
        steps = self.epochs_done * experiment.steps_per_epoch
        progress.begin(epochs * experiment.steps_per_epoch, steps)
        # A loss that leaves the numbers is reported as what it is, not as a warning of NumPy's.
        with fn.threads.single_threaded_blas(), np.errstate(all="ignore"):
            since = time.perf_counter()
            state = self._state
            for epoch in range(self.epochs_done + 1, epochs + 1):
                sums = {"plain_loss": 0.0, "accuracy": 0.0}
                for x, y in experiment.batches(epoch):
                    try:
                        state, metrics = step(state, (x, y))
                    except ValueError as error:  # such as BatchNorm's, of a batch of one
                        raise InputError(f"in a batch of {len(y)}: {error}") from None
                    steps += 1
                    self._expect_finite("loss", metrics["loss"], steps)
                    for name in sums:
                        sums[name] += metrics[name] * len(y)
                    progress.step(metrics["loss"])
                if experiment.recorded(epoch):
                    now = time.perf_counter()
                    rate = metrics["learning_rate"]  # of the epoch's last step
                    row, loss = _measure(experiment, state, epoch, sums, rate, now - since)
                    self._expect_finite("loss after the update", loss, steps)
                    self._record(row, state)
                    since = now
                    progress.row(row, epochs)
            return _conclude(experiment, self.folder, self._rows)

    def _record(self, row: EpochRow, state: fn.TrainState) -> None:
        # `last.npz` comes last: killed before it, the run repeats this epoch with the same result.
        rows = [*self._rows, row]
        if row is _best(rows):
            self._experiment.trained(state.params).save(self.folder)
        self.folder.write_metrics(rows)
        _save_state(self.folder, state, rows)
        self._state, self._rows = state, rows

    def _expect_finite(self, name: str, value: float, step: int) -> None:
        if not math.isfinite(value):
            kept = f"epoch {self.epochs_done}" if self._rows else "the beginning"
            raise RunStoppedError(
                f"the {name} became {value} at step {step}; the state of {kept} is kept in "
                f"{self.folder.last} (a smaller --lr may help)"
            )


def _measure(
    experiment: _Experiment,
    state: fn.TrainState,
    epoch: int,
    sums: dict[str, float],
    learning_rate: float,
    seconds: float,
) -> tuple[EpochRow, float]:
    """The row of an epoch, and a loss after its last update (of training examples, if need be)."""
    (x, y), validation = experiment.data.train, experiment.data.validation
    model = experiment.trained(state.params)
    measured = model.evaluate(experiment.plain_loss, validation or (x[:1000], y[:1000]))
    row = EpochRow(
        epoch,
        sums["plain_loss"] / len(x),
        sums["accuracy"] / len(x),
        measured["loss"] if validation else None,
        measured["accuracy"] if validation else None,
        learning_rate,
        round(seconds, 3),
    )
    return row, measured["loss"]


def _best(rows: list[EpochRow]) -> EpochRow:
    """The first row with the best validation accuracy, or the last where there is none."""
    if rows[-1].val_accuracy is None:
        return rows[-1]
    return max(rows, key=lambda row: row.val_accuracy or 0.0)


def _save_state(folder: RunFolder, state: fn.TrainState, rows: list[EpochRow]) -> None:
    fn.save(folder.last, state, notes={"rows": [list(row) for row in rows]})


def _conclude(experiment: _Experiment, folder: RunFolder, rows: list[EpochRow]) -> dict[str, Any]:
    """Test the kept model (if there are labels), draw, write the summary: the run is finished."""
    config, data = experiment.config, experiment.data
    model = load_model(folder)
    best = _best(rows)
    x, y = data.test
    tested: dict[str, Any] = {"test_loss": None, "test_accuracy": None, "confusion_matrix": None}
    if y is not None:
        outputs = model.predict(x)
        measured = model.evaluate(experiment.plain_loss, (x, y))
        if not math.isfinite(measured["loss"]):
            raise RunStoppedError(
                f"the test loss of {folder.params} is {measured['loss']} (a smaller --lr may help)"
            )
        confusion = fn.confusion_matrix(outputs, y)
        figures.confusion(folder.path / "confusion_matrix.png", confusion, data.class_names)
        if ARCHITECTURES[config.arch].binary:
            figures.points(folder.path / "predictions.png", (x, y), outputs)
        tested = {
            "test_loss": measured["loss"],
            "test_accuracy": measured["accuracy"],
            "confusion_matrix": confusion.tolist(),
        }
    figures.learning_curve(folder.path / "learning_curve.png", rows)
    summary = {
        "arch": config.arch,
        "data": config.data,
        "backend": "numpy",
        "parameters": sum(leaf.size for leaf in fn.tree.leaves(model.params)),
        "snapshot": folder.params.name,
        "snapshot_is": "last" if best.val_accuracy is None else "best on validation",
        "epochs": config.epochs,
        "snapshot_epoch": best.epoch,
        "train_examples": len(data.train[0]),
        "val_examples": len(data.validation[0]) if data.validation else 0,
        "val_loss": best.val_loss,
        "val_accuracy": best.val_accuracy,
        "test_examples": len(x),
        "test_is": data.test_is,
        **tested,
        "seconds": round(sum(row.seconds for row in rows), 3),
    }
    folder.write_summary(summary)
    return summary
