"""The progress bars of commands that do many runs, or none."""

from collections.abc import Mapping

from funcnn.experiments.labs.lab import Lab
from funcnn.experiments.sweep.plan import Plan
from funcnn.experiments.sweep.results import Outcome
from funcnn.experiments.training.progress import Bar, is_printed, printed
from funcnn.experiments.training.run_folder import EpochRow, RunFolder


class BenchBar(Bar):
    """A bar over the turns of a benchmark, and what came out as lines."""

    def run_begin(self, run: str, steps: int | None, done: int) -> None:
        self._show(" turns", total=steps)


class _RunsBar(Bar):
    """A bar over the epochs of all runs, and lines of a kind of its own for each that is over."""

    def __init__(self, title: str, *, bar: bool, lines: bool) -> None:
        super().__init__(bar=bar, lines=lines)
        self._title = title

    def begin(self, runs: Mapping[str, int], finished: int) -> None:
        self._left = dict(runs)  # epochs
        self._runs, self._finished = len(runs) + finished, finished
        self._show(" epochs", total=sum(runs.values()))
        self._count()
        if finished:
            self.note(f"{finished} of {self._runs} runs were finished before")

    def step_end(self, run: str, done: int, steps: int, loss: float | None) -> None:
        pass  # it counts epochs

    def epoch_end(self, run: str, row: EpochRow, epochs: int) -> None:
        self._leave(run, epochs - row.epoch)

    def run_end(self, run: str, folder: RunFolder, error: str | None) -> None:
        self._leave(run, 0)
        self._finished += 1
        self._count()

    def _leave(self, run: str, epochs: int) -> None:
        """Have so many epochs of a run left."""
        self._bar.update(self._left[run] - epochs)
        self._left[run] = epochs

    def _count(self) -> None:
        self._bar.set_description(f"{self._title}: {self._finished} of {self._runs} runs done")


class LabBar(_RunsBar):
    """A line for each run, after its name and the lines that the lab wants for its epochs.

    live: runs do not go on beside each other, so these need not wait for the run's end.
    """

    def __init__(self, lab: Lab, *, bar: bool, lines: bool, live: bool) -> None:
        super().__init__(lab.name, bar=bar, lines=lines)
        self._epoch_line, self._live = lab.epoch_line, live
        self._main = [trial.name for trial in lab.trials if trial.main]
        self._named = ""

    def _is_main(self, run: str) -> bool:
        return run.partition("/")[0] in self._main

    def epoch_end(self, run: str, row: EpochRow, epochs: int) -> None:
        super().epoch_end(run, row, epochs)
        if self._is_main(run) and self._live and is_printed(row, epochs):
            self._note_epoch(run, row)

    def run_end(self, run: str, folder: RunFolder, error: str | None) -> None:
        super().run_end(run, folder, error)
        if self._is_main(run) and not self._live:
            for row in printed(folder.read_metrics()):
                self._note_epoch(run, row)
        summary = folder.read_summary()
        part = "val" if summary["test_accuracy"] is None else "test"
        accuracy = summary[f"{part}_accuracy"]
        self.note(f"{run}: {part} accuracy {accuracy:.2%}, {summary['seconds']:.1f} s")

    def _note_epoch(self, run: str, row: EpochRow) -> None:
        """The lab's line, which is in its form, below the name of its run."""
        if run != self._named:
            self.note(run)
            self._named = run
        self.note(self._epoch_line(row))


class SweepBar(_RunsBar):
    """A line for each run that is over."""

    def __init__(self, plan: Plan, *, bar: bool, lines: bool) -> None:
        super().__init__(f"sweep {plan.target}", bar=bar, lines=lines)
        self._labels = {run.name: f"{run.point.label} seed={run.seed}".strip() for run in plan.runs}

    def run_end(self, run: str, folder: RunFolder, error: str | None) -> None:
        super().run_end(run, folder, error)
        if error is not None:
            self.note(f"{self._labels[run]}: failed, {error}")
            return
        outcome = Outcome.read(folder)
        part = "train" if outcome.val_accuracy is None else "val"
        accuracy = outcome.train_accuracy if part == "train" else outcome.val_accuracy
        self.note(f"{self._labels[run]}: {part} accuracy {accuracy:.2%}, {outcome.seconds:.1f} s")
