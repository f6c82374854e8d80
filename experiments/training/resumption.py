"""What a stopped run left, held against each other before its first step.

The state in `last.npz` says which config it is of, and has every row so far: `config.json`,
`metrics.csv` and `params.npz` must be of the same run.
"""

import dataclasses
import sys
from collections.abc import Sequence
from types import NoneType
from typing import Any, NamedTuple

import funcnn as fn
from funcnn._arguments import shown
from funcnn.experiments.data.provenance import changes_in
from funcnn.experiments.errors import InputError, kind_of, quoted, sizes_text
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.model_records import another_network
from funcnn.experiments.tasks.optimizers import SCHEDULES
from funcnn.experiments.tasks.settings import dashed
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.model import load_model
from funcnn.experiments.training.run_folder import EpochRow, RunFolder


class Extension(NamedTuple):
    """A change of the number of epochs of a run that had begun."""

    after_epoch: int
    from_epochs: int
    to_epochs: int


class Left(NamedTuple):
    """What a state says about its run."""

    rows: list[EpochRow]
    extended: list[Extension]
    config: RunConfig | None
    """None: written before states had it."""

    @classmethod
    def read(cls, folder: RunFolder) -> "Left":
        """That of the state in a folder. Raises `InputError` if it says none, `SnapshotError`."""
        notes = fn.load(folder.last).notes
        try:
            rows = [EpochRow(*row) for row in notes["rows"]]
            extended = [Extension(*each) for each in notes.get("extended", ())]
            config = notes.get("config")
        except (TypeError, KeyError, AttributeError):
            raise InputError(f"{folder.last} is not the state of a run: it has no rows") from None
        if rows and type(rows[-1].epoch) is not int:
            raise InputError(
                f"{folder.last} is not the state of a run: its last epoch is "
                f"{shown(rows[-1].epoch)}"
            )
        if not isinstance(config, (dict, NoneType)):
            what = kind_of(config)
            raise InputError(f"{folder.last} is not the state of a run: its config is {what}")
        if not all(type(number) is int for each in extended for number in each):
            raise InputError(f"{folder.last} is not the state of a run: its extended is damaged")
        own = None if config is None else folder.own
        try:
            return cls(rows, extended, None if config is None else RunConfig.resolve(config, own))
        except InputError as error:
            why = "it has no config" if own is None else error
            raise InputError(f"{folder.last} is not the state of a run: {why}") from None

    @property
    def notes(self) -> dict[str, Any]:
        """It, for a state's notes."""
        return {
            "rows": [list(row) for row in self.rows],
            "extended": [list(each) for each in self.extended],
            "config": None if self.config is None else self.config.as_data(),
        }

    @property
    def epochs_done(self) -> int:
        """The last recorded epoch, or 0."""
        return self.rows[-1].epoch if self.rows else 0

    def config_of(self, folder: RunFolder) -> RunConfig:
        """The config to go on with, which is in the folder.

        If the run was killed while it was being extended, it is extended.
        """
        config = folder.read_config()
        if self.config is not None and self.extended:
            before = dataclasses.replace(self.config, epochs=self.extended[-1].from_epochs)
            return self.config if config == before else config
        return config

    def check(self, folder: RunFolder, task: Task, steps: int | None, epochs: int | None) -> None:
        """Raise `InputError` for the first thing in the folder that is of another run.

        steps: how many the state has done, if it knows. epochs: those now asked for, if any.
        """
        self._check_config(folder, task.config, epochs)
        self._check_rows(folder, task)
        expected = self.epochs_done * task.steps_per_epoch
        if steps is not None and steps != expected:
            raise InputError(
                f"{folder.last} is of a run with other data or another batch size than "
                f"{folder.config}: it has done {steps} steps, not {expected}"
            )
        self._check_metrics(folder)
        self._check_params(folder, task)

    def _check_config(self, folder: RunFolder, config: RunConfig, epochs: int | None) -> None:
        if self.config is None:
            return
        before, after = self.config.as_data(), config.as_data()
        for setting in before:
            was, now = before[setting], after[setting]
            if was == now or (setting == "epochs" and epochs is not None):
                continue
            name = dashed(setting)
            more = f", or give --resume {quoted(folder)} --epochs {now}" if name == "epochs" else ""
            raise InputError(
                f"{folder.config} was changed: {name} is {_said(now)}, but the run was begun with "
                f"{_said(was)}; put that back{more}"
            )

    def _check_rows(self, folder: RunFolder, task: Task) -> None:
        measured = {
            "val": task.data.validation is not None,
            "test": task.config.test_curve,
        }
        last = 0
        for number, row in enumerate(self.rows, 1):
            wrong = _wrong_with(row, last, task.steps_per_epoch == 1, measured)
            if wrong is None and row.epoch > task.config.epochs:
                wrong = f"it is of epoch {row.epoch} of {task.config.epochs}"
            if wrong is not None:
                raise InputError(
                    f"{folder.last} does not fit {folder.config}: row {number}, {wrong}; "
                    f"begin again with: funcnn train --config {quoted(folder.config)}"
                )
            last = row.epoch

    def _check_metrics(self, folder: RunFolder) -> None:
        """A run that was killed may have one row more there, which it will write again."""
        if not folder.metrics.exists():
            return
        again = f"delete {folder.metrics} if the state is right: it is written again from that"
        try:
            rows = folder.read_metrics()
        except InputError as error:
            raise InputError(f"{error}; {again}") from None
        if rows[: len(self.rows)] != self.rows or len(rows) > len(self.rows) + 1:
            raise InputError(f"{folder.metrics} has other rows than {folder.last}; {again}")

    def _check_params(self, folder: RunFolder, task: Task) -> None:
        if self.rows and folder.params.exists():
            kept = load_model(folder)
            same = kept.model.spec == task.model.spec
            if not same and task.config.own is not None and task.config.own.recorded is None:
                raise InputError(another_network(task.config.own, folder))
            if not same or kept.class_names != task.data.class_names:
                raise InputError(
                    f"{folder.params} is of another network or other classes than {folder.config}; "
                    f"begin again with: funcnn train --config {quoted(folder.config)}"
                )
        elif self.rows and best(self.rows) is not self.rows[-1]:
            raise InputError(
                f"{folder.params} is missing, the params of epoch {best(self.rows).epoch}; "
                f"begin again with: funcnn train --config {quoted(folder.config)}"
            )

    def extend(self, folder: RunFolder, before: int, epochs: int) -> "Left":
        """It, of a run that is to have so many epochs instead of those of before.

        Raises `InputError` if more are done already.
        """
        done = self.epochs_done
        least = done + folder.summary.exists()
        if epochs < least:
            has = f"is finished after epoch {done}" if least > done else f"has done {done} epochs"
            raise InputError(f"--epochs {epochs}: {folder} {has}; give {least} or more")
        return self._replace(extended=[*self.extended, Extension(done, before, epochs)])


def expect_unfinished(folder: RunFolder) -> None:
    """Raise `InputError` if there is a summary: it is finished, or that is another run's."""
    if not folder.summary.exists():
        return
    summary = folder.read_summary()
    if folder.last.exists():
        done = Left.read(folder).epochs_done
        if done != summary["epochs"]:
            raise InputError(
                f"{folder.summary} is of a run of {summary['epochs']} epochs, but {folder.last} "
                f"has {done}: delete {folder.summary} if the state is right"
            )
    epochs = summary["epochs"]
    more = f"to go on, give --epochs {epochs + 1} or more"
    if not folder.last.exists():
        more = f"without {folder.last}, which is missing, there is no going on"
    raise InputError(f"{folder} is finished after epoch {epochs}: {more}")


def best(rows: Sequence[EpochRow]) -> EpochRow:
    """The first row with the best validation accuracy, or the last where there is none."""
    if rows[-1].val_accuracy is None:
        return rows[-1]
    return max(rows, key=lambda row: row.val_accuracy or 0.0)


def is_patient(config: RunConfig, left: Left) -> bool:
    """Whether a run still hopes for a better validation accuracy, see `RunConfig.patience`."""
    if config.patience is None or not left.rows:
        return True
    since = best(left.rows).epoch
    if left.extended:  # who asked for more epochs has given new hope
        since = max(since, left.extended[-1].after_epoch)
    return sum(row.epoch > since for row in left.rows) < config.patience


def describe_schedule(task: Task, left: Left) -> str:
    """What becomes of the learning rate of a run that was extended, in a line."""
    config, done, before = task.config, left.epochs_done, left.extended[-1].from_epochs
    plan = f"{config.epochs} epochs instead of {before}: "
    if config.epochs == before:  # it had stopped by itself
        return f"it goes on after epoch {done} of {before}, with the schedule that it had"
    if config.epochs == done:
        return f"{plan}it ends after epoch {done}, which is done, and is tested"
    if config.schedule == "constant" or not done:
        return f"{plan}the result is as if --epochs {config.epochs} had been given from the start"
    schedule = SCHEDULES[config.schedule](config.lr, task.total_steps)
    rate = schedule(min(done * task.steps_per_epoch, task.total_steps - 1))
    return (
        f"{plan}from epoch {done + 1} on the {config.schedule} schedule is that of {config.epochs} "
        f"epochs, so the learning rate goes from {left.rows[-1].learning_rate:.2g} to {rate:.2g}; "
        f"--epochs {config.epochs} from the start would give another result"
    )


def left_in_summary(folder: RunFolder, config: RunConfig, left: Left) -> dict[str, Any]:
    """What a summary says about the number of epochs and the data, where there is more to say."""
    entries: dict[str, Any] = {}
    early = left.epochs_done < config.epochs
    if config.patience is not None or early:
        entries["stopped_early"] = early
    if left.extended:  # then config.json from the start may give another result
        entries["extended"] = [each._asdict() for each in left.extended]
    if changed := changes_in(folder.path):
        entries["changed_data"] = [
            {"after_epoch": each.after_epoch, "sha256": each.sha256} for each in changed
        ]
    return entries


def _wrong_with(row: EpochRow, last: int, skips: bool, measured: dict[str, bool]) -> str | None:
    """What is wrong with a row after that of epoch `last`, if anything."""
    numbers = row._asdict()
    epoch = numbers.pop("epoch")
    del numbers["own"]  # a user's own may say anything
    if type(epoch) is not int or epoch <= last or (epoch != last + 1 and not skips):
        return f"epoch {epoch!r} after {last}"
    for name, value in numbers.items():
        part = name.partition("_")[0]
        if part in measured and not measured[part] and value is None:
            continue
        if measured.get(part) is False or type(value) not in (int, float):
            return f"its {name} is {value!r}"
        if not abs(value) <= sys.float_info.max:  # an integer may be larger
            return f"its {name} is {shown(value)}"
    return None


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return sizes_text(value)
    return "none" if value is None else str(value)
