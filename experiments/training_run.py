"""One training run: from a config to a folder of results, to stop and to resume at will.

Everything that happens is a function of the config. The state after each recorded epoch is in
`last.npz`; a run that was killed anywhere goes on from there and gives the same bits.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from funcnn.experiments import figures
from funcnn.experiments.architectures import ARCHITECTURES, LOSSES
from funcnn.experiments.config import RunConfig
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.learners import Learner, make_learner
from funcnn.experiments.memory import keep_freed_memory
from funcnn.experiments.run_folder import EpochRow, RunFolder
from funcnn.experiments.tasks import Task
from funcnn.experiments.trained_model import load_model, save_model

import funcnn as fn
from funcnn.types import Array, Tree


class Progress:
    """What a run tells whoever watches it; this one keeps it to itself."""

    def begin(self, steps: int, done: int) -> None:
        """The run has so many steps, and so many of them are done already."""

    def step(self, loss: float) -> None:
        """One more step is done."""

    def row(self, row: EpochRow, epochs: int) -> None:
        """An epoch of `epochs` was recorded."""

    def params(self, epoch: int, params: Tree) -> None:
        """The params after an epoch that is going to be recorded."""


class TrainingRun:
    """A run on its way from a config to a summary; `start` or `resume` one, then `finish` it."""

    def __init__(
        self, folder: RunFolder, task: Task, learner: Learner, rows: list[EpochRow]
    ) -> None:
        self.folder = folder
        self._task = task
        self._learner = learner
        self._rows = rows

    @classmethod
    def start(
        cls,
        config: RunConfig,
        out: Path | None = None,
        learner_of: Callable[[Task], Learner] = make_learner,
    ) -> "TrainingRun":
        """A run at its beginning, in a new folder (by default the next one under `runs/`).

        learner_of: what makes the steps, by default in this process alone.
        Raises `InputError` if the data cannot be used, or the folder not be made.
        """
        task = Task.build(config)  # before a folder is made for it
        learner = learner_of(task)
        run = cls(RunFolder.create(config, out), task, learner, [])
        run._save_state([])
        return run

    @classmethod
    def resume(
        cls, folder: RunFolder, learner_of: Callable[[Task], Learner] = make_learner
    ) -> "TrainingRun":
        """A run that was stopped, where it was; its result is that of a run that was not.

        Raises `InputError` if it is finished, was imported or has lost its state, `SnapshotError`
        if what it left is damaged.
        """
        if folder.summary.exists():
            raise InputError(f"{folder} is finished: there is nothing to resume")
        if folder.params.exists() and not folder.last.exists():
            if folder.metrics.exists():
                raise InputError(f"{folder.last} is missing: without it there is no going on")
            raise InputError(f"{folder} was imported: there is no training to resume")
        task = Task.build(folder.read_config())
        learner = learner_of(task)
        if not folder.last.exists():  # killed before the first checkpoint
            return cls(folder, task, learner, [])
        notes = learner.load(folder.last)
        try:
            rows = [EpochRow(*row) for row in notes["rows"]]
        except (TypeError, KeyError):
            raise InputError(f"{folder.last} is not the state of a run: it has no rows") from None
        return cls(folder, task, learner, rows)

    @property
    def epochs_done(self) -> int:
        """The last epoch that `last.npz` has."""
        return self._rows[-1].epoch if self._rows else 0

    def finish(self, progress: Progress | None = None, *, draw: bool = True) -> dict[str, Any]:
        """Train to the end, test, and write the summary, which it returns. draw: figures too.

        Raises `RunStoppedError` if the loss is no longer finite, and `KeyboardInterrupt` on
        Ctrl-C; what was done until then can be resumed.
        """
        keep_freed_memory()
        progress = progress or Progress()
        task, learner, epochs = self._task, self._learner, self._task.config.epochs
        steps = self.epochs_done * task.steps_per_epoch
        progress.begin(task.total_steps, steps)
        # A loss that leaves the numbers is reported as what it is, not as a warning of NumPy's.
        with learner.limits(), np.errstate(all="ignore"):
            since = time.perf_counter()
            for epoch in range(self.epochs_done + 1, epochs + 1):
                sums = {"plain_loss": 0.0, "accuracy": 0.0}
                for x, y in learner.batches(epoch):
                    try:
                        metrics = learner.step((x, y))
                    except ValueError as error:  # such as BatchNorm's, of a batch of one
                        raise InputError(f"in a batch of {len(y)}: {error}") from None
                    steps += 1
                    self._expect_finite("loss", metrics["loss"], steps)
                    for name in sums:
                        sums[name] += metrics[name] * len(y)
                    progress.step(metrics["loss"])
                if _recorded(task, epoch):
                    rate = metrics["learning_rate"]  # of the epoch's last step
                    params = learner.params
                    row, loss = self._measure(params, epoch, sums, rate)
                    self._expect_finite("loss after the update", loss, steps)
                    if row.test_loss is not None:
                        self._expect_finite("test loss", row.test_loss, steps)
                    now = time.perf_counter()
                    row = row._replace(seconds=round(now - since, 3))
                    progress.params(epoch, params)
                    self._record(row, params)
                    since = now
                    progress.row(row, epochs)
            return self._conclude(draw)

    def _measure(
        self, params: Tree, epoch: int, sums: dict[str, float], learning_rate: float
    ) -> tuple[EpochRow, float]:
        """The row of an epoch but for its seconds, and a loss after its last update.

        The loss is of training examples where there is no validation set.
        """
        (x, y), validation = self._task.data.train, self._task.data.validation
        loss, accuracy, _ = self._evaluate(params, validation or (x[:1000], y[:1000]))
        tested: tuple[float, ...] = ()
        x_test, y_test = self._task.data.test
        if self._task.config.test_curve and y_test is not None:
            tested = self._evaluate(params, (x_test, y_test))[:2]
        row = EpochRow(
            epoch,
            sums["plain_loss"] / len(x),
            sums["accuracy"] / len(x),
            loss if validation else None,
            accuracy if validation else None,
            learning_rate,
            0.0,  # seconds
            *tested,
        )
        return row, loss

    def _evaluate(self, params: Tree, examples: tuple[Array, Array]) -> tuple[float, float, Array]:
        """Loss, accuracy and outputs over stored examples."""
        x, y = examples
        outputs = self._learner.predict(params, x)
        return self._task.plain_loss(outputs, y)[0], fn.accuracy(outputs, y), outputs

    def _record(self, row: EpochRow, params: Tree) -> None:
        # `last.npz` comes last: killed before it, the run repeats this epoch with the same result.
        rows = [*self._rows, row]
        config = self._task.config
        if row is _best(rows):
            save_model(self.folder, self._task.model, params, self._task.data, config.loss)
        self.folder.write_metrics(rows)
        self._save_state(rows)
        self._rows = rows

    def _save_state(self, rows: list[EpochRow]) -> None:
        self._learner.save(self.folder.last, {"rows": [list(row) for row in rows]})

    def _expect_finite(self, name: str, value: float, step: int) -> None:
        if not math.isfinite(value):
            kept = f"epoch {self.epochs_done}" if self._rows else "the beginning"
            raise RunStoppedError(
                f"the {name} became {value} at step {step}; the state of {kept} is kept in "
                f"{self.folder.last} (a smaller --lr may help)"
            )

    def _conclude(self, draw: bool) -> dict[str, Any]:
        """Test the kept model (if there are labels), draw, write the summary: it is finished."""
        folder, rows = self.folder, self._rows
        config, data = self._task.config, self._task.data
        params = load_model(folder).params
        best = _best(rows)
        x, y = data.test
        tested: dict[str, Any] = {
            "test_loss": None,
            "test_accuracy": None,
            "confusion_matrix": None,
        }
        if y is not None:
            loss, accuracy, outputs = self._evaluate(params, (x, y))
            if not math.isfinite(loss):
                raise RunStoppedError(
                    f"the test loss of {folder.params} is {loss} (a smaller --lr may help)"
                )
            confusion = fn.confusion_matrix(outputs, y)
            if draw:
                path = folder.path / "confusion_matrix.png"
                figures.confusion(path, confusion, data.class_names)
            if draw and ARCHITECTURES[config.arch].binary:
                figures.points(folder.path / "predictions.png", (x, y), outputs)
            tested = {
                "test_loss": loss,
                "test_accuracy": accuracy,
                "confusion_matrix": confusion.tolist(),
            }
        if draw:
            figures.learning_curve(folder.path / "learning_curve.png", rows, LOSSES[config.loss])
        summary = {
            "arch": config.arch,
            "data": config.data,
            "backend": config.backend,
            "parameters": self._learner.parameters,
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


def _recorded(task: Task, epoch: int) -> bool:
    """Whether an epoch gets a row and a checkpoint; of thousands of single steps not all do."""
    epochs = task.config.epochs
    every = min(max(1, epochs // 100), 1000) if task.steps_per_epoch == 1 else 1
    return epoch % every == 0 or epoch == epochs


def _best(rows: list[EpochRow]) -> EpochRow:
    """The first row with the best validation accuracy, or the last where there is none."""
    if rows[-1].val_accuracy is None:
        return rows[-1]
    return max(rows, key=lambda row: row.val_accuracy or 0.0)
