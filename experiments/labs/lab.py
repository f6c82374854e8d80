"""A lab as an experiment: what is trained, declared, and what the finished runs come to.

A definition is a page (`points` is the shortest example): trials, and a function that makes the
report of their results. `run` trains; nothing here does.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from funcnn.experiments.data.emnist47 import EMNIST47
from funcnn.experiments.data.provenance import expected_data
from funcnn.experiments.reports.document import Document
from funcnn.experiments.tasks.config import BACKENDS, RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.model import TrainedModel, load_model
from funcnn.experiments.training.run_folder import EpochRow, RunFolder
from funcnn.experiments.training.spread import Spread, spread

SEEDS, QUICK_SEEDS = 3, 1


_ABBREVIATION = 3  # letters


class Trial(NamedTuple):
    """Settings that are trained with by each backend, for several seeds."""

    name: str
    """Of its folder."""
    settings: Mapping[str, Any]
    """As the options of `funcnn train`; the others have the architecture's defaults."""
    backends: tuple[str, ...] = BACKENDS
    main: bool = False
    """Whether it is what the lab asks for, so that its epochs are printed."""

    @property
    def called(self) -> str:
        """Its network in captions: `CNN`, `fully connected`."""
        return self.name.upper() if len(self.name) <= _ABBREVIATION else self.name.replace("-", " ")

    @property
    def on_emnist(self) -> bool:
        """Whether it is about EMNIST."""
        return self.settings.get("data") == EMNIST47

    def in_numpy(self, name: str, **changed: Any) -> "Trial":
        """What is tried beside it, in NumPy alone: its settings, but for these."""
        return Trial(name, {**self.settings, **changed}, backends=("numpy",))

    def config(self, emnist: str | None, changed: Mapping[str, Any]) -> RunConfig:
        """The settings of a run. emnist: where that is. changed: settings that replace its own."""
        data = {"data": emnist} if self.on_emnist else {}
        return RunConfig.resolve({**self.settings, **data, **changed})


class Planned(NamedTuple):
    """One of the runs that an experiment is made of."""

    name: str
    """Unique among them, and its folder in that of the trials."""
    trial: Trial
    backend: str
    seed: int


class Lab(NamedTuple):
    """An experiment."""

    name: str
    title: str
    trials: tuple[Trial, ...]
    quick: Mapping[str, Any]
    """Settings that replace every trial's in a quick run."""
    epoch_line: Callable[[EpochRow], str]
    """What the lab wants printed for an epoch."""
    report: Callable[["Results"], Document]
    """The document of finished results, whose figures and files it writes to their `out`."""
    measure: Callable[["Results", Callback, int], dict[str, Any]] | None = None
    """What is measured once, beside the runs and after them, as data that JSON can hold.

    The number is that of processes that may do so at once.
    """
    measures: Collection[str] = ()
    """The names of what that gives."""
    measured_like: Callable[["Results"], Sequence[RunConfig]] = lambda results: ()
    """The settings of runs that take about as long as that takes."""
    closing: Callable[["Results"], str] | None = None
    """What the lab wants printed in the end."""

    @property
    def on_emnist(self) -> bool:
        """Whether it has trials on EMNIST."""
        return any(trial.on_emnist for trial in self.trials)

    @property
    def needs_emnist(self) -> bool:
        """Whether it is nothing without EMNIST."""
        return any(trial.on_emnist and trial.main for trial in self.trials)


class Shown(NamedTuple):
    """A training that a report shows whole: its curve, its screen, its matrix and its pictures."""

    whose: str
    """For captions: `seed 0`."""
    rows: Sequence[EpochRow]
    kept: int
    """The epoch whose params are kept."""
    model: TrainedModel
    accuracies: Mapping[str, float]
    """On `validation` and `test`, where they have labels, as fractions."""


Trainings = Mapping[tuple[str, str], Shown]
"""By the names of trials and backends."""


class Results:
    """The finished runs of an experiment, in its folder.

    machine: that trained. emnist: the name or path of EMNIST 47; without it (None) the trials about
    it are left out. measured: as the lab's `measure` gave it, None before. seeds: how many of each
    setting; None: as many as the lab has. main_only: without the trials that the lab does not ask
    for; its `main_only` says whether there are such.
    """

    def __init__(
        self,
        lab: Lab,
        path: Path,
        quick: bool,
        machine: dict[str, Any],
        emnist: str | None = None,
        measured: Any = None,
        seeds: int | None = None,
        main_only: bool = False,
    ) -> None:
        self.lab, self.path, self.quick, self.machine = lab, path, quick, machine
        self.emnist, self.measured = emnist, measured
        self.out = path
        """Where the report's figures and files go."""
        self._instead: Trainings = {}
        self.seeds = range(seeds or (QUICK_SEEDS if quick else SEEDS))
        self.main_only = main_only and not all(trial.main for trial in lab.trials)
        self.trials = [
            trial
            for trial in lab.trials
            if (emnist or not trial.on_emnist) and (trial.main or not main_only)
        ]

    def showing(self, trainings: Trainings, out: Path) -> "Results":
        """The same, whose report shows these trainings and goes to out, a folder."""
        other = copy.copy(self)
        other._instead, other.out = trainings, out
        return other

    def planned(self) -> list[Planned]:
        """Every run, in the order in which they begin."""
        return [
            Planned(f"{trial.name}/{backend}-seed-{seed}", trial, backend, seed)
            for trial in self.trials
            for seed in self.seeds
            for backend in trial.backends
        ]

    def folder(self, trial: Trial, backend: str, seed: int) -> RunFolder:
        """The folder of one run."""
        return RunFolder(self.path / "trials" / trial.name / f"{backend}-seed-{seed}")

    def config(self, trial: Trial, backend: str = "numpy", seed: int = 0) -> RunConfig:
        """The settings of one run."""
        changed = self.lab.quick if self.quick else {}
        return trial.config(self.emnist, {**changed, "backend": backend, "seed": seed})

    def summary(self, trial: Trial, backend: str = "numpy", seed: int = 0) -> dict[str, Any]:
        """What came out of one run."""
        return self.folder(trial, backend, seed).read_summary()

    def rows(self, trial: Trial, backend: str = "numpy", seed: int = 0) -> list[EpochRow]:
        """The recorded epochs of one run."""
        return self.folder(trial, backend, seed).read_metrics()

    def task(self, trial: Trial, backend: str = "numpy", seed: int = 0) -> Task:
        """What one run learned, from which examples."""
        read = expected_data(self.folder(trial, backend, seed).path)
        return Task.build(self.config(trial, backend, seed), read)

    def model(self, trial: Trial, backend: str = "numpy", seed: int = 0) -> TrainedModel:
        """What one run kept."""
        return load_model(self.folder(trial, backend, seed))

    def shown(self, trial: Trial, backend: str) -> Shown:
        """The training that the report shows whole: that of seed 0, or the one given for it."""
        if (trial.name, backend) in self._instead:
            return self._instead[trial.name, backend]
        summary = self.summary(trial, backend)
        scores = {"validation": summary["val_accuracy"], "test": summary["test_accuracy"]}
        return Shown(
            "seed 0",
            self.rows(trial, backend),
            summary["snapshot_epoch"],
            self.model(trial, backend),
            {part: score for part, score in scores.items() if score is not None},
        )

    @property
    def others_shown(self) -> bool:
        """Whether other trainings than those of seed 0 are shown."""
        return bool(self._instead)

    def spread(self, trial: Trial, backend: str, score: str) -> Spread | None:
        """Mean and standard deviation over the seeds of a number in the summaries.

        None if they have none, as of a test set without labels.
        """
        values = [self.summary(trial, backend, seed)[score] for seed in self.seeds]
        return None if None in values else spread(values)
