"""A comparison's bar."""

from funcnn.experiments.training.progress import Bar
from funcnn.experiments.training.run_folder import RunFolder


class CompareBar(Bar):
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
