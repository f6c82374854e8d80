"""A sweep in one folder, gone on with whenever it runs again.

sweep.json           what it is, and a SHA-256 of every finished run
runs/NAME/...        a run for each point and seed, ordinary folders of runs but for their figures
results.csv          a row for each run that is over
sweep.png            the points side by side

Runs of points that the grid no longer has stay, and are used when it has them again.
"""

import contextlib
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import funcnn as fn
from funcnn.experiments.data.provenance import known_data, same_place
from funcnn.experiments.errors import InputError
from funcnn.experiments.figures.drawing import drawn
from funcnn.experiments.paths import RUNS
from funcnn.experiments.sweep.figures import draw_sweep
from funcnn.experiments.sweep.plan import Plan, SweptRun, made_ready
from funcnn.experiments.sweep.results import (
    Outcome,
    PointResult,
    measured_on,
    summarise,
    write_table,
)
from funcnn.experiments.system.lock import alone_in
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.model_records import is_changed
from funcnn.experiments.tasks.settings import as_option, dashed
from funcnn.experiments.tasks.sizes import usual_sizes
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.pool import Answers, Job, run_all, tell
from funcnn.experiments.training.record import Record


class Pool(Protocol):
    """What trains the runs of a sweep."""

    def make_ready(self, jobs: Sequence[Job], of: str) -> list[Job]:
        """As `sweep_plan.made_ready`, where they are to be trained."""

    def run(self, jobs: Sequence[Job]) -> Answers[Job]:
        """What the runs tell; it ends with the last of them, or when it is closed."""


class Processes:
    """Processes on this machine."""

    def __init__(self, jobs: int | None = None) -> None:
        """jobs: runs at once, which share the cores; None: as many as there are cores.

        Raises `InputError` if they are more.
        """
        cores = fn.threads.available_cores()
        self._at_once = jobs or cores
        self._threads = cores // self._at_once
        if not self._threads:
            raise InputError(f"--jobs {jobs}: each needs a core, and there are {cores} here")

    def make_ready(self, jobs: Sequence[Job], of: str) -> list[Job]:
        """As `sweep_plan.made_ready`."""
        return made_ready(jobs, of)

    def run(self, jobs: Sequence[Job]) -> Answers[Job]:
        """What the runs tell."""
        return run_all([job._replace(threads=self._threads) for job in jobs], self._at_once)


class Sweep:
    """A sweep on its way: `open` it, then `finish` it."""

    def __init__(self, plan: Plan, pool: Pool, record: Record) -> None:
        self.plan, self.path = plan, record.folder
        self._pool = pool
        self._record = record
        self._jobs: list[Job] = []
        """The runs that are not finished."""

    @classmethod
    def open(cls, plan: Plan, pool: Pool, out: Path | None = None) -> "Sweep":
        """The sweep in its folder, by default `runs/sweep-TARGET`; begun there if it is not.

        Raises `InputError` if the folder holds anything else, another sweep, or finished runs that
        were changed, if it cannot be written, if another process is at work in it, or if the pool
        cannot train what is missing, or not on the data that the others were trained with.
        """
        path = out or RUNS / f"sweep-{re.sub('[^A-Za-z0-9_-]+', '-', plan.target)}"
        sweep = cls(plan, pool, Record(path / "sweep.json", "a sweep", "runs"))
        if sweep._record.is_begun():
            sweep._read()
            sweep._record.check({run.name: run for run in plan.runs}, sweep._is_of)
        sweep._make_ready()
        sweep._record.begin(sweep._values)
        return sweep

    @property
    def table(self) -> Path:
        """Where the row of each run is."""
        return self.path / "results.csv"

    @property
    def figure(self) -> Path:
        """Where the figure is in the end, if it could be drawn."""
        return self.path / "sweep.png"

    def finish(
        self, callback: Callback | None = None
    ) -> tuple[list[PointResult], dict[str, Outcome]]:
        """Train what is not trained yet; every point, the best first, and every run's outcome.

        A run that cannot be done is an outcome with an error, and tried again another time.
        Raises `InputError` if another process is at work in the folder.
        """
        with alone_in(self.path):
            return self._finish(callback or Callback())

    def _finish(self, callback: Callback) -> tuple[list[PointResult], dict[str, Outcome]]:
        outcomes = {
            run.name: Outcome.read(self._record.run(run.name))
            for run in self.plan.runs
            if run.name in self._record.digests
        }
        epochs = {job.name: job.config.epochs for job in self._jobs}
        callback.begin(epochs, len(outcomes))
        write_table(self.table, self.plan, outcomes)
        with contextlib.closing(self._pool.run(self._jobs)) as answers:
            for job, answer in answers:
                if "error" in answer:
                    outcomes[job.name] = Outcome(error=answer["error"])
                elif "peak_memory" in answer:
                    self._record.add(job.name, self._values)
                    outcomes[job.name] = Outcome.read(self._record.run(job.name))
                if job.name in outcomes:
                    write_table(self.table, self.plan, outcomes)
                tell(callback, job, answer)
        results = summarise(self.plan, outcomes)
        drawn(draw_sweep, self.figure, self.plan.grid, results, measured_on(self.plan))
        return results, outcomes

    def _make_ready(self) -> None:
        """Find the jobs, and give the plan's runs the sizes that they have for their data."""
        folders = {run.name: self._record.run(run.name) for run in self.plan.runs}
        known = known_data(folder.path for folder in folders.values())
        missing = [run for run in self.plan.runs if run.name not in self._record.digests]
        firsts: dict[str, Job] = {}  # of each point, whose seeds all have as many examples
        for run in missing:
            expected = known.get(run.config.data)
            usual = tuple(usual_sizes(run.point.settings))
            job = Job(
                run.name,
                run.config,
                folders[run.name].path,
                draw=False,
                expected=expected,
                usual=usual,
            )
            firsts.setdefault(run.point.label, job)
        ready = dict(
            zip(firsts, self._pool.make_ready(list(firsts.values()), str(self.path)), strict=True)
        )
        runs = []
        for run in self.plan.runs:
            if folders[run.name].config.exists():
                config = folders[run.name].read_config()
                run = run._replace(config=dataclasses.replace(config, own=run.config.own))
            elif run.point.label in ready:
                config = ready[run.point.label].config
                sizes = {name: getattr(config, name) for name in usual_sizes(())}
                run = run._replace(config=dataclasses.replace(run.config, **sizes))
            runs.append(run)
        self.plan = self.plan._replace(runs=runs)
        self._jobs = [
            ready[run.point.label]._replace(
                name=run.name, config=run.config, folder=folders[run.name].path
            )
            for run in runs
            if run.name not in self._record.digests
        ]

    def _read(self) -> None:
        """Read the record. Raises `InputError` if it is of another sweep."""
        with self._record.read({"sweep": (str,), "fixed": (dict,), "grid": (dict,)}) as values:
            target, fixed, grid = (values[key] for key in ("sweep", "fixed", "grid"))
            before = {"TARGET": target, **{f"--{name}": text for name, text in fixed.items()}}
            keys = list(grid)
        now = {"TARGET": self.plan.target}
        now |= {f"--{name}": as_option(value) for name, value in self.plan.fixed.items()}
        for name in (*before, *now):
            if before.get(name) != now.get(name):
                begun = _begun(name, before.get(name), now.get(name))
                raise InputError(f"{self.path} was begun {begun}: give another --out")
        if keys != list(self.plan.grid):
            was, here = (" and ".join(names) or "nothing" for names in (keys, self.plan.grid))
            raise InputError(
                f"{self.path} was begun as a grid of {was}, not {here}: give another --out"
            )

    @property
    def _values(self) -> dict[str, Any]:
        """What the record says of it."""
        plan = self.plan
        return {
            "sweep": plan.target,
            "fixed": {name: as_option(value) for name, value in plan.fixed.items()},
            "grid": {name: list(map(as_option, values)) for name, values in plan.grid.items()},
            "seeds": list(plan.seeds),
        }

    def _is_of(self, config: RunConfig, run: SweptRun) -> bool:
        """Whether a run with this config is this one.

        Raises `InputError` if it was made with another file of a user's own.
        """
        folder, own = self._record.run(run.name).path, run.config.own
        if own is not None and _is_as(config, run) and is_changed(folder, own):
            raise InputError(f"{folder} is of another {own.file}: delete it, and run again")
        return _is_as(config, run)


def _is_as(config: RunConfig, run: SweptRun) -> bool:
    """Whether a run with this config is as this one: small data may have made sizes smaller."""
    chosen = {name: getattr(run.config, name) for name in usual_sizes(run.point.settings)}
    if same_place(config.data, run.config.data):
        chosen["data"] = run.config.data
    return dataclasses.replace(config, **chosen) == run.config


def _begun(name: str, was: str | None, here: str | None) -> str:
    """How it was begun, of what is another now; None: it was left out, or is."""
    if name == "TARGET":
        return f"with {was}, not {here}"
    option = dashed(name)
    if was is None:
        return f"without {option}"
    return f"with {option} {was}, {'which is left out now' if here is None else f'not {here}'}"
