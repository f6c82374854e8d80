"""One training run: from a config to a folder of results, to stop and to resume at will.

Everything that happens is a function of the config. The state after each recorded epoch is in
`last.npz`; a run that was killed anywhere goes on from there and gives the same bits.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

import funcnn as fn
from funcnn.experiments.data import provenance
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.system.lock import alone_in
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.model_records import write_own_model
from funcnn.experiments.tasks.rehearsal import rehearsed
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.figures import draw_run
from funcnn.experiments.training.learner import Learner, make_learner
from funcnn.experiments.training.model import load_model, save_model
from funcnn.experiments.training.record import identity
from funcnn.experiments.training.resumption import (
    Left,
    best,
    describe_schedule,
    expect_unfinished,
    is_patient,
    left_in_summary,
)
from funcnn.experiments.training.run_folder import EpochRow, RunFolder
from funcnn.types import Array, Tree


class TrainingRun:
    """A run on its way from a config to a summary; `start` or `resume` one, then `finish` it."""

    def __init__(self, folder: RunFolder, task: Task, learner: Learner, left: Left) -> None:
        self.folder = folder
        self.extension: str | None = None
        """What became of the schedule, if it was resumed with another number of epochs."""
        self._task = task
        self._learner = learner
        self._left = left
        self._state = identity(folder.last)

    @classmethod
    def start(
        cls,
        config: RunConfig,
        out: Path | None = None,
        learner_of: Callable[[Task], Learner] = make_learner,
        *,
        expected: provenance.Expected | None = None,
        usual: Collection[str] = (),
    ) -> "TrainingRun":
        """A run at its beginning, in a new folder (by default the next one under `runs/`).

        learner_of: what makes the steps, by default in this process alone. expected: the data.
        usual: as `Task.build`.
        Raises `InputError` if the data cannot be used, or the folder not be made.
        """
        task = rehearsed(Task.build(config, expected, usual=usual))  # before there is a folder
        learner = learner_of(task)

        left = Left([], [], task.config)

        def write_first(folder: RunFolder) -> None:
            provenance.write_record(task.data.record, folder.path)
            if task.config.own is not None:
                write_own_model(folder.path, task.config.own, task.model)
            learner.save(folder.last, left.notes)

        return cls(RunFolder.create(task.config, out, write_first), task, learner, left)

    @classmethod
    def resume(
        cls,
        folder: RunFolder,
        learner_of: Callable[[Task], Learner] = make_learner,
        epochs: int | None = None,
        *,
        allow_changed: bool | None = None,
    ) -> "TrainingRun":
        """A run that was stopped, where it was; its result is that of a run that was not.

        epochs: how many it is to have from now on, even if it is finished.
        allow_changed: whether it may go on with other data; None: nobody can say so.
        Raises `InputError` if it is finished, was imported, has lost its state, or its files do
        not fit each other, or if another process is at work in it; `SnapshotError` if what it left
        is damaged.
        """
        with alone_in(folder.path):
            return cls._resume(folder, learner_of, epochs, allow_changed)

    @classmethod
    def _resume(
        cls,
        folder: RunFolder,
        learner_of: Callable[[Task], Learner],
        epochs: int | None,
        allow_changed: bool | None,
    ) -> "TrainingRun":
        if epochs is None:
            expect_unfinished(folder)
        begun = folder.last.exists()  # or killed before the first checkpoint
        if not begun and (folder.metrics.exists() or folder.summary.exists()):
            raise InputError(f"{folder.last} is missing: without it there is no going on")
        if not begun and folder.params.exists():
            raise InputError(f"{folder} was imported: there is no training to resume")
        left = Left.read(folder) if begun else Left([], [], None)
        config = left.config_of(folder)
        if epochs is not None:
            before, config = config.epochs, dataclasses.replace(config, epochs=epochs)
            if epochs != before or folder.summary.exists():
                left = left.extend(folder, before, epochs)
        expected = provenance.expected_data(folder.path, allow_changed=allow_changed)
        learner = learner_of(task := rehearsed(Task.build(config, expected)))
        if begun:
            learner.load(folder.last)
            left.check(folder, task, learner.steps_done, epochs)
            provenance.say_what_was_read(folder.path, expected, task.data.record)
        run = cls(folder, task, learner, left := left._replace(config=config))
        if not begun:  # as in `start`
            if expected is None:
                provenance.write_record(task.data.record, folder.path)
            run._save_state(left)
        if left.rows:
            run._mend()
        if config != folder.read_config() or folder.summary.exists():
            run._begin_again_with(config)
        if epochs is not None and left.extended:
            run.extension = describe_schedule(task, left)
        return run

    def _mend(self) -> None:
        """Write what the state has and the folder has lost."""
        if not self.folder.params.exists():
            self._keep(self._learner.params)
        self.folder.write_metrics(self._left.rows)

    def _begin_again_with(self, config: RunConfig) -> None:
        """Have it unfinished with another config; killed anywhere it is finished or resumable."""
        self._save_state(self._left)
        self.folder.summary.unlink(missing_ok=True)
        self.folder.write_config(config)

    @property
    def config(self) -> RunConfig:
        """The settings that it is trained with."""
        return self._task.config

    @property
    def epochs_done(self) -> int:
        """The last epoch that `last.npz` has."""
        return self._left.epochs_done

    def finish(self, callback: Callback | None = None, *, draw: bool = True) -> dict[str, Any]:
        """Train to the end, test, and write the summary, which it returns. draw: figures too.

        Raises `RunStoppedError` if the loss is no longer finite, and `KeyboardInterrupt` on
        Ctrl-C; what was done until then can be resumed. `InputError` if another process is at work
        in the folder, or went on with the run.
        """
        with alone_in(self.folder.path):
            if identity(self.folder.last) != self._state or self.folder.summary.exists():
                raise InputError(f"{self.folder}: another process went on with it meanwhile")
            return self._finish(callback or Callback(), draw)

    def _finish(self, callback: Callback, draw: bool) -> dict[str, Any]:
        task, learner, epochs = self._task, self._learner, self._task.config.epochs
        run, steps = self.folder.path.name, self.epochs_done * task.steps_per_epoch
        callback.run_begin(run, task.total_steps, steps)
        # A loss that leaves the numbers is reported as what it is, not as a warning of NumPy's.
        with learner.limits(), np.errstate(all="ignore"):
            since = time.perf_counter()
            for epoch in range(self.epochs_done + 1, epochs + 1):
                if not is_patient(task.config, self._left):
                    break
                sums = {"plain_loss": 0.0, "accuracy": 0.0}
                seen = 0
                for x, y in learner.batches(epoch):
                    try:
                        metrics = learner.step((x, y))
                    except ValueError as error:  # such as BatchNorm's, of a batch of one
                        raise InputError(f"in a batch of {len(y)}: {error}") from None
                    steps, seen = steps + 1, seen + len(y)
                    self._expect_finite("loss", metrics["loss"], steps)
                    for name in sums:
                        sums[name] += metrics[name] * len(y)
                    callback.step_end(run, steps, task.total_steps, metrics["loss"])
                if task.records(epoch):
                    rate = metrics["learning_rate"]  # of the epoch's last step
                    params = learner.params
                    means = {name: total / seen for name, total in sums.items()}
                    row, loss = self._measure(params, epoch, means, rate)
                    self._expect_finite("loss after the update", loss, steps)
                    if row.test_loss is not None:
                        self._expect_finite("test loss", row.test_loss, steps)
                    now = time.perf_counter()
                    row = row._replace(seconds=round(now - since, 3))
                    self._record(row, params)
                    since = now
                    if callback.epoch_end(run, row, epochs):
                        break
            summary = self._conclude(draw)
        callback.run_end(run, self.folder, None)
        return summary

    def _measure(
        self, params: Tree, epoch: int, means: dict[str, float], learning_rate: float
    ) -> tuple[EpochRow, float]:
        """The row of an epoch but for its seconds, and a loss after its last update.

        The loss is of training examples where there is no validation set.
        """
        (x, y), validation = self._task.data.train, self._task.data.validation
        loss, accuracy, outputs = self._evaluate(params, validation or (x[:1000], y[:1000]))
        test_loss, test_accuracy = None, None
        x_test, y_test = self._task.data.test
        if self._task.config.test_curve and y_test is not None:
            test_loss, test_accuracy, _ = self._evaluate(params, (x_test, y_test))
        own = self._task.own_metrics(outputs, validation[1]) if validation else {}
        row = EpochRow(
            epoch,
            means["plain_loss"],
            means["accuracy"],
            loss if validation else None,
            accuracy if validation else None,
            learning_rate,
            0.0,  # seconds
            test_loss,
            test_accuracy,
            {name: value if math.isfinite(value) else None for name, value in own.items()},
        )
        return row, loss

    def _evaluate(self, params: Tree, examples: tuple[Array, Array]) -> tuple[float, float, Array]:
        """Loss, accuracy and outputs over stored examples."""
        x, y = examples
        outputs = self._learner.predict(params, x)
        return self._task.plain_loss(outputs, y)[0], fn.accuracy(outputs, y), outputs

    def _record(self, row: EpochRow, params: Tree) -> None:
        # `last.npz` comes last: killed before it, the run repeats this epoch with the same result.
        left = self._left._replace(rows=[*self._left.rows, row])
        if row is best(left.rows):
            self._keep(params)
        self.folder.write_metrics(left.rows)
        provenance.note_change(self.folder.path, self.epochs_done, self._task.data.record)
        self._save_state(left)
        self._left = left

    def _keep(self, params: Tree) -> None:
        task = self._task
        save_model(self.folder, task.config, task.data, task.model, params)

    def _save_state(self, left: Left) -> None:
        self._learner.save(self.folder.last, left.notes)
        self._state = identity(self.folder.last)

    def _expect_finite(self, name: str, value: float, step: int) -> None:
        if not math.isfinite(value):
            kept = f"epoch {self.epochs_done}" if self._left.rows else "the beginning"
            raise RunStoppedError(
                f"the {name} became {value} at step {step}; the state of {kept} is kept in "
                f"{self.folder.last} (a smaller --lr may help)"
            )

    def _conclude(self, draw: bool) -> dict[str, Any]:
        """Test the kept model (if there are labels), write the summary: it is finished. Draw."""
        folder, rows = self.folder, self._left.rows
        config, data = self._task.config, self._task.data
        provenance.note_change(folder.path, self.epochs_done, data.record)  # for the test
        params, kept = load_model(folder).params, best(rows)
        x, y = data.test
        tested: dict[str, Any] = dict.fromkeys(("test_loss", "test_accuracy", "confusion_matrix"))
        outputs = None
        if y is not None:
            loss, accuracy, outputs = self._evaluate(params, (x, y))
            if not math.isfinite(loss):
                raise RunStoppedError(
                    f"the test loss of {folder.params} is {loss} (a smaller --lr may help)"
                )
            confusion = fn.confusion_matrix(outputs, y).tolist()
            tested = dict(zip(tested, (loss, accuracy, confusion), strict=True))
            own = self._task.own_metrics(outputs, y)
            tested |= {f"test_{name}": v for name, v in own.items() if math.isfinite(v)}
        summary = {
            "arch": config.arch,
            "data": config.data,
            "backend": config.backend,
            "parameters": self._learner.parameters,
            "snapshot": folder.params.name,
            "snapshot_is": "last" if kept.val_accuracy is None else "best on validation",
            "epochs": rows[-1].epoch,
            **left_in_summary(folder, config, self._left),
            "snapshot_epoch": kept.epoch,
            "train_examples": len(data.train[0]),
            "val_examples": len(data.validation[0]) if data.validation else 0,
            "val_loss": kept.val_loss,
            "val_accuracy": kept.val_accuracy,
            **{f"val_{name}": value for name, value in kept.own.items()},
            "test_examples": len(x),
            "test_is": data.test_is,
            **tested,
            "seconds": round(sum(row.seconds for row in rows), 3),
        }
        folder.write_summary(summary)
        if draw:
            draw_run(folder, self._task, rows, outputs)
        return summary
