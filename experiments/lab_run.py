"""An experiment run to its end, in one folder that says all of it.

experiment.json      which experiment it is, on which machine, and a SHA-256 of every finished run
trials/NAME/...      the runs, ordinary folders of runs
figures/             the figures of the report
report.html          the report, and the same as report.pdf
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from funcnn.experiments.document_html import to_html
from funcnn.experiments.document_pdf import require_weasyprint, write_pdf
from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require
from funcnn.experiments.lab import Lab, Results, Trial
from funcnn.experiments.machine import describe_machine, in_one_line
from funcnn.experiments.places import RUNS
from funcnn.experiments.run_folder import RunFolder
from funcnn.experiments.training_run import Progress, TrainingRun

import funcnn as fn
from funcnn.files import write_whole
from funcnn.types import Tree

_RECORD = "experiment.json"
_RECORDED = ("config.json", "metrics.csv", "summary.json", "params.npz")


class Watch(Progress):
    """What an experiment tells whoever watches it, beside what its runs tell."""

    def run(self, name: str, number: int, runs: int, main: bool) -> None:
        """Run `number` of so many begins; main: of what the lab asks for."""

    def result(self, name: str, summary: dict[str, Any]) -> None:
        """A run is finished."""


class LabRun:
    """An experiment on its way: `open` it, then `finish` it, or only `write_report`."""

    def __init__(self, results: Results, digests: dict[str, str]) -> None:
        self.results = results
        self._digests = digests

    @classmethod
    def open(cls, lab: Lab, quick: bool, out: Path | None = None) -> "LabRun":
        """The experiment in its folder, begun there if it is not: `runs/NAME`, or `-quick`.

        Raises `InputError` if the folder holds anything else, or cannot be written.
        """
        path = _folder(lab, quick, out)
        if (path / _RECORD).is_file():
            return cls.recorded(lab, quick, out)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"--out {path} exists already, and is no experiment")
        run = cls(Results(lab, path, quick, describe_machine()), {})
        try:
            path.mkdir(parents=True, exist_ok=True)
            run._write_record()
        except OSError as error:
            raise InputError(f"--out {path}: it cannot be written ({error.strerror})") from None
        return run

    @classmethod
    def recorded(cls, lab: Lab, quick: bool, out: Path | None = None) -> "LabRun":
        """The experiment that was begun in its folder. Raises `InputError` if none was."""
        path = _folder(lab, quick, out)
        if not (path / _RECORD).is_file():
            raise InputError(f"{path} has no results yet: funcnn experiment run {lab.name}")
        machine, digests = _read(path / _RECORD, lab, quick)
        return cls(Results(lab, path, quick, machine), digests)

    def finish(self, watch: Watch) -> Path:
        """Train what is not trained yet, and write the report, whose page's path is returned.

        Raises `InputError` if recorded results were changed, `RunStoppedError` if a run diverged,
        and `KeyboardInterrupt` on Ctrl-C; what is finished then stays, and is used.
        """
        require("torch")
        require_weasyprint()
        self._check_recorded()
        lab, quick = self.results.lab, self.results.quick
        planned = self._planned()
        for number, (name, trial, backend, seed) in enumerate(planned, 1):
            folder = self.results.folder(trial, backend, seed)
            if name in self._digests:
                continue
            watch.run(name, number, len(planned), trial.main)
            keeps = trial.main and (backend, seed) == ("numpy", 0)
            progress = _Keeper(watch, folder.path / "history") if keeps else watch
            if not folder.summary.exists():
                run = (
                    TrainingRun.resume(folder)
                    if folder.config.exists()
                    else TrainingRun.start(lab.config(trial, backend, seed, quick), folder.path)
                )
                run.finish(progress)
            self._digests[name] = _digest(folder)
            self._write_record()
            watch.result(name, self.results.summary(trial, backend, seed))
        return self.write_report()

    def write_report(self) -> Path:
        """Write the report again from recorded results, and return the page's path.

        Raises `InputError` if a run is not finished, or was changed since.
        """
        self._check_recorded()
        for name, *_ in self._planned():
            if name not in self._digests:
                again = f"funcnn experiment run {self.results.lab.name}"
                raise InputError(f"{self.results.path}: {name} is not finished: {again}")
        (self.results.path / "figures").mkdir(exist_ok=True)
        page = to_html(self.results.lab.report(self.results))
        path = self.results.path / "report.html"
        write_whole(path, page.encode())
        write_pdf(page, path.with_suffix(".pdf"))
        return path

    def _planned(self) -> list[tuple[str, Trial, str, int]]:
        """Every run, with its name, in the order in which they are done."""
        return [
            (f"{trial.name}/{backend}-seed-{seed}", trial, backend, seed)
            for trial in self.results.lab.trials
            for seed in self.results.seeds
            for backend in trial.backends
        ]

    def _check_recorded(self) -> None:
        for name, digest in self._digests.items():
            folder = RunFolder(self.results.path / "trials" / name)
            if _digest(folder) != digest:
                raise InputError(
                    f"{folder} was changed since it was trained: delete it, and run again"
                )

    def _write_record(self) -> None:
        record = {
            "experiment": self.results.lab.name,
            "quick": self.results.quick,
            "machine": self.results.machine,
            "sha256": self._digests,
        }
        text = json.dumps(record, indent=2)
        write_whole(self.results.path / _RECORD, f"{text}\n".encode())


class _Keeper(Progress):
    """Passes on what a run tells, and keeps its params."""

    def __init__(self, watch: Progress, folder: Path) -> None:
        self._watch, self._folder = watch, folder
        self.begin, self.step, self.row = watch.begin, watch.step, watch.row  # type: ignore[method-assign]

    def params(self, epoch: int, params: Tree) -> None:
        self._folder.mkdir(exist_ok=True)
        fn.save(self._folder / f"{epoch}.npz", params)


def _folder(lab: Lab, quick: bool, out: Path | None) -> Path:
    return out or RUNS / (f"{lab.name}-quick" if quick else lab.name)


def _read(path: Path, lab: Lab, quick: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """The machine and the digests in the record of an experiment.

    Raises `InputError` if it is of another.
    """
    try:
        record = json.loads(path.read_text("utf-8"))
        keys = ("experiment", "quick", "machine", "sha256")
        name, was_quick, machine, digests = (record[key] for key in keys)
        in_one_line(machine)
        if not all(isinstance(part, str) for pair in digests.items() for part in pair):
            raise ValueError("a digest is no text")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is not the record of an experiment: {error}") from None
    if (name, was_quick) != (lab.name, quick):
        kind = "quick " if was_quick else ""
        raise InputError(f"{path.parent} is of the {kind}experiment {name}, not of {lab.name}")
    # A run that was deleted is trained again.
    trials = path.parent / "trials"
    return machine, {name: digest for name, digest in digests.items() if (trials / name).exists()}


def _digest(folder: RunFolder) -> str:
    """One SHA-256 over the files of a finished run."""
    digest = hashlib.sha256()
    for name in _RECORDED:
        path = folder.path / name
        if not path.is_file():
            raise InputError(f"{folder} was changed since it was trained: it has no {name}")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
