"""An experiment run to its end, in one folder that says all of it.

experiment.json      which experiment it is, on which machine, a SHA-256 of every finished run, and
                     what was measured beside them
trials/NAME/...      the runs, ordinary folders of runs but for their figures
figures/             the figures of the report
report.html          the report, and the same as report.pdf
report.md            the same to write on in: the words are the author's, the marked blocks ours
*.csv, *.pt          what the lab wants handed in
"""

import contextlib
import logging
import shlex
from pathlib import Path
from typing import Any

import funcnn as fn
from funcnn._files import read_text, write_whole
from funcnn.experiments.bench.peers import PACKAGES
from funcnn.experiments.data.emnist47 import expect_emnist, find_emnist, missing_emnist
from funcnn.experiments.data.provenance import known_data, same_place
from funcnn.experiments.errors import InputError, RunStoppedError, printable
from funcnn.experiments.extras import require
from funcnn.experiments.labs.lab import Lab, Results, Trainings
from funcnn.experiments.paths import RUNS
from funcnn.experiments.reports.document import Document
from funcnn.experiments.reports.own_words import brought_up_to_date, out_of_step, with_words
from funcnn.experiments.reports.pdf import require_weasyprint, write_pdf
from funcnn.experiments.system.lock import alone_in, remove_temporaries
from funcnn.experiments.system.machine import describe_machine, in_one_line
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.pool import Job, run_all, tell
from funcnn.experiments.training.record import Record


class LabRun:
    """An experiment on its way: `open` it, then `finish` it, or only `write_report`."""

    def __init__(self, results: Results, record: Record) -> None:
        self.results = results
        self._record = record

    @classmethod
    def open(
        cls,
        lab: Lab,
        quick: bool,
        out: Path | None = None,
        data: str | None = None,
        seeds: int | None = None,
        main_only: bool = False,
    ) -> "LabRun":
        """The experiment in its folder, begun there if it is not: `runs/NAME`, or `-quick`.

        data: where EMNIST 47 is, if the lab is about it; by default it is looked for.
        seeds: how many of each setting, by default as many as before, or as the lab has.
        main_only: without the runs that the lab does not ask for; they may follow.
        Raises `InputError` if the folder holds anything else, or cannot be written, if EMNIST is
        missing and the lab needs it, or if the experiment was begun with another.
        """
        if data is not None and not lab.on_emnist:
            raise InputError(f"--data {data}: {lab.name} has data of its own, leave it out")
        record = _record(lab, quick, out)
        if record.is_begun():
            run = cls._read(lab, quick, record, seeds, main_only)
            run._go_on_with(_find(lab, data) if data or run.results.emnist is None else None)
            return run
        emnist = _find(lab, data)
        if lab.needs_emnist and emnist is None:
            raise missing_emnist(lab.name)
        machine = describe_machine(PACKAGES)
        results = Results(lab, record.folder, quick, machine, emnist, None, seeds, main_only)
        run = cls(results, record)
        record.begin(run._values)
        return run

    @classmethod
    def recorded(cls, lab: Lab, quick: bool, out: Path | None = None) -> "LabRun":
        """The experiment that was begun in its folder. Raises `InputError` if none was."""
        record = _record(lab, quick, out)
        if not record.path.is_file():
            again = command("run", lab, quick, record.folder)
            raise InputError(f"{record.folder} has no results yet: {again}")
        return cls._read(lab, quick, record)

    @classmethod
    def _read(
        cls,
        lab: Lab,
        quick: bool,
        record: Record,
        seeds: int | None = None,
        main_only: bool | None = None,
    ) -> "LabRun":
        """The experiment of a record. Raises `InputError` if that is of another."""
        with record.read() as values:
            keys = ("experiment", "quick", "machine", "emnist", "measured")
            name, was_quick, machine, emnist, measured = (values[key] for key in keys)
            in_one_line(machine)
            if not (measured is None or isinstance(measured, dict)):
                raise ValueError(f"its measured is {measured!r:.80}")
            if not (emnist is None or isinstance(emnist, str)):
                raise ValueError(f"its emnist is {emnist!r}")
            before = values.get("seeds")  # which a record of before does not have
            if not (before is None or isinstance(before, int)):
                raise ValueError(f"its seeds are {before!r}")
            if main_only is None:
                main_only = values.get("main_only", False)
            if not isinstance(main_only, bool):
                raise ValueError(f"its main_only is {main_only!r}")
        if (name, was_quick) != (lab.name, quick):
            kind = "quick " if was_quick else ""
            raise InputError(
                f"{record.folder} is of the {kind}experiment {name}, not of {lab.name}"
            )
        said = (lab, record.folder, quick, machine, emnist)
        if measured is not None and set(measured) != set(lab.measures):
            measured = None  # by a version that measured something else
        results = Results(*said, measured, before, main_only)
        if seeds is not None and seeds != len(results.seeds):  # what was measured is of the others
            results = Results(*said, None, seeds, main_only)
        return cls(results, record)

    def jobs(self) -> list[Job]:
        """The runs that are not finished. Raises `InputError` if recorded results were changed."""
        self._check_recorded()
        results, planned = self.results, self.results.planned()
        known = known_data(results.folder(*each[1:]).path for each in planned)
        return [
            Job(
                name,
                config := results.config(trial, backend, seed),
                results.folder(trial, backend, seed).path,
                draw=False,  # of hundreds of runs; the report has its own
                expected=known.get(config.data),
            )
            for name, trial, backend, seed in planned
            if name not in self._record.digests
        ]

    def finish(self, callback: Callback | None = None, at_once: int | None = None) -> Path:
        """Train what is not trained yet, and write the report, whose page's path is returned.

        at_once: how many runs, with a thread each; None: as many as there are cores.
        Raises `InputError` if recorded results were changed, or another process is at work in the
        folder, `RunStoppedError` if a run cannot be done; what is finished then stays, and is used,
        as it is if nobody waits for the end.
        """
        require("torch")
        require_weasyprint()
        with alone_in(self.results.path):
            return self._finish(callback or Callback(), at_once)

    def _finish(self, callback: Callback, at_once: int | None) -> Path:
        results, jobs = self.results, self.jobs()
        epochs = {job.name: job.config.epochs for job in jobs}
        callback.begin(epochs, len(results.planned()) - len(jobs))
        at_once = at_once or fn.threads.available_cores()
        with contextlib.closing(run_all(jobs, at_once)) as answers:
            for job, answer in answers:
                if "error" in answer:
                    raise RunStoppedError(f"{job.name}: {answer['error']}")
                if "peak_memory" in answer:
                    self._record.add(job.name, self._values)
                tell(callback, job, answer)
        if results.lab.measure is not None and results.measured is None:
            results.measured = results.lab.measure(results, callback, at_once)
        self._record.write(self._values)  # of how many seeds, and whether of the main runs alone
        return self._write_report()

    def write_report(self) -> Path:
        """Write the report again from recorded results, and return the page's path.

        Raises `InputError` if a run is not finished, or was changed since, or if another process is
        at work in the folder.
        """
        with alone_in(self.results.path):
            return self._write_report()

    def _write_report(self) -> Path:
        from funcnn.experiments.reports.html import to_html

        page = to_html(self._document())
        path = self.results.path / "report.html"
        write_whole(path, page.encode(errors="backslashreplace"))
        write_pdf(page, path.with_suffix(".pdf"))
        return path

    def report_in_step(self) -> Document:
        """The report to hand in, made anew from recorded results.

        Raises `InputError`, as `write_report`, and if report.md is out of step with what is
        recorded: parts that its author never saw would be missing.
        """
        with alone_in(self.results.path):
            return self._document(in_step=True)

    def report_showing(self, trainings: Trainings, out: Path) -> Document:
        """The same, with report.md as `report_in_step` left it, that shows these trainings.

        In the place of those of seed 0. out: an empty folder, for its figures.
        """
        (out / "figures").mkdir()
        words = read_text(self.results.path / "report.md").replace("\r\n", "\n")
        return with_words(words, self.results.lab.report(self.results.showing(trainings, out)))

    def _document(self, in_step: bool = False) -> Document:
        """The report with its author's words, from report.md, which is begun or brought up to date.

        What its author should know, as of a percentage that no record has, is a warning in the log.
        Raises `InputError`, as `write_report`, or `report_in_step` if in_step.
        """
        self.expect_finished()
        (figures := self.results.path / "figures").mkdir(exist_ok=True)
        remove_temporaries(figures)
        recorded, folder = self.results.lab.report(self.results), self.results.path
        path = folder / "report.md"
        try:
            words = read_text(path).replace("\r\n", "\n")
        except FileNotFoundError:
            words = ""
        except ValueError:
            raise InputError(f"{path} is no UTF-8 text") from None
        words, said = brought_up_to_date(words, recorded, folder)
        if in_step and (lacking := out_of_step(words, recorded)):
            raise InputError(f"{path} {lacking[0]}")
        for each in said:
            logging.getLogger(__name__).warning("%s", printable(f"{path} {each}"))
        write_whole(path, words.encode(errors="backslashreplace"))
        return with_words(words, recorded)

    def expect_whole(self) -> None:
        """Raise `InputError` if it has only the runs that the lab asks for, and no others."""
        if self.results.main_only:
            again = command("run", self.results.lab, self.results.quick, self.results.path)
            raise InputError(
                f"{self.results.path} has only the main runs, and the report nothing of what each "
                f"choice changed: {again}"
            )

    def expect_finished(self) -> None:
        """Raise `InputError` if anything is missing, or was changed."""
        self._check_recorded()
        lab = self.results.lab
        missing = [name for name, *_ in self.results.planned() if name not in self._record.digests]
        if lab.measure is not None and self.results.measured is None:
            missing.append("what is measured beside the runs")
        if missing:
            again = command("run", lab, self.results.quick, self.results.path)
            raise InputError(f"{self.results.path}: {missing[0]} is not finished: {again}")

    def _go_on_with(self, emnist: str | None) -> None:
        """Take this EMNIST for what is not trained yet. Raises `InputError` if another was used."""
        before = self.results.emnist
        if emnist is None or (before is not None and same_place(emnist, before)):
            return
        used = [trial.name for trial in self.results.trials if trial.on_emnist]
        if any(name.partition("/")[0] in used for name in self._record.digests):
            raise InputError(f"--data {emnist}: {self.results.path} was begun with {before}")
        old = self.results
        said = (old.lab, old.path, old.quick, old.machine)
        seeds = len(old.seeds)
        self.results = Results(*said, emnist, old.measured, seeds, old.main_only)

    def _check_recorded(self) -> None:
        """Raise `InputError` for a run that is not as it was, or not as the experiment has it."""
        self._record.check(
            {run.name: run for run in self.results.planned()},
            lambda config, run: config == self.results.config(run.trial, run.backend, run.seed),
        )

    @property
    def _values(self) -> dict[str, Any]:
        """What the record says of it."""
        return {
            "experiment": self.results.lab.name,
            "quick": self.results.quick,
            "machine": self.results.machine,
            "emnist": self.results.emnist,
            "measured": self.results.measured,
            "seeds": len(self.results.seeds),
            "main_only": self.results.main_only,
        }


def _record(lab: Lab, quick: bool, out: Path | None) -> Record:
    return Record(_folder(lab, quick, out) / "experiment.json", "an experiment", "trials")


def _folder(lab: Lab, quick: bool, out: Path | None) -> Path:
    return out or RUNS / (f"{lab.name}-quick" if quick else lab.name)


def command(verb: str, lab: Lab, quick: bool, folder: Path | None = None) -> str:
    """What to type for the experiment in this folder, by default its own, quoted for a shell."""
    words = ["funcnn", "experiment", verb, lab.name, *["--quick"] * quick]
    if folder not in (None, _folder(lab, quick, None)):
        words += ["--out", str(folder)]
    return shlex.join(words)


def _find(lab: Lab, data: str | None) -> str | None:
    """Where EMNIST is, if the lab has a use for it and it is anywhere. Raises `InputError`."""
    emnist = (data or find_emnist()) if lab.on_emnist else None
    return None if emnist is None else expect_emnist(emnist)
