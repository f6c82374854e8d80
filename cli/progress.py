"""The progress bars of the commands: what a callback is told, as a bar and as lines."""

from collections.abc import Mapping
from typing import Any

from funcnn.cli.options import echo
from funcnn.experiments.labs.lab import Lab, is_printed, printed
from funcnn.experiments.sweep.plan import Plan
from funcnn.experiments.sweep.results import Outcome
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.run_folder import EpochRow, RunFolder, loss_text


class _Bar(Callback):
    """A bar if stderr is a terminal, and lines on stdout, above it."""

    _bar: Any = None

    def __init__(self, *, bar: bool = True, lines: bool) -> None:
        self._wanted, self._lines = bar, lines

    def _show(self, unit: str, **settings: Any) -> None:
        """Show a new bar."""
        from tqdm import tqdm

        self.close()
        disable = None if self._wanted else True  # None: no bar unless stderr is a terminal
        self._bar = tqdm(unit=unit, leave=False, disable=disable, dynamic_ncols=True, **settings)

    def step_end(self, run: str, done: int, steps: int, loss: float | None) -> None:
        self._bar.total = steps
        self._bar.update(done - self._bar.n)

    def note(self, line: str) -> None:
        if self._lines:
            with self._bar.external_write_mode():
                echo(line)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


class TrainBar(_Bar):
    """A bar over the steps of a run; a line for each recorded epoch, or for twenty of many."""

    def run_begin(self, run: str, steps: int | None, done: int) -> None:
        self._show(" steps", total=steps, initial=done, mininterval=0.2)

    def epoch_end(self, run: str, row: EpochRow, epochs: int) -> None:
        if not is_printed(row, epochs, 20):
            return
        parts = [
            f"epoch {row.epoch:{len(str(epochs))}}/{epochs}",
            f"train loss {loss_text(row.train_loss)} accuracy {row.train_accuracy:.2%}",
            f"lr {row.learning_rate:.2g}",
            f"{row.seconds:.1f} s",
        ]
        if row.val_loss is not None and row.val_accuracy is not None:
            parts.insert(2, f"val loss {loss_text(row.val_loss)} accuracy {row.val_accuracy:.2%}")
        self.note("  ".join(parts))


class CompareBar(_Bar):
    """A bar for each run and lockstep, and a line for each that is over."""

    def run_begin(self, run: str, steps: int | None, done: int) -> None:
        self._show(" steps", desc=run, total=steps, initial=done, mininterval=0.2)

    def run_end(self, run: str, folder: RunFolder, error: str | None) -> None:
        summary = folder.read_summary()
        accuracy = summary["test_accuracy"]
        tested = "no test labels" if accuracy is None else f"test accuracy {accuracy:.2%}"
        self.note(f"{run}: {tested}, {summary['epochs']} epochs in {summary['seconds']:.1f} s")

    def note(self, line: str) -> None:
        self.close()
        super().note(line)


class BenchBar(_Bar):
    """A bar over the turns of a benchmark, and what came out as lines."""

    def run_begin(self, run: str, steps: int | None, done: int) -> None:
        self._show(" turns", total=steps)


class _RunsBar(_Bar):
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
