"""Who watches training: a callback is told what happens, when it happens."""

from collections.abc import Mapping

from funcnn.experiments.training.run_folder import EpochRow, RunFolder


class Callback:
    """What a run, a lab, a sweep, a comparison or a benchmark tells; this one keeps it to itself.

    Define the methods that you need in a class of your own, and give one of it to `finish`::

        class Printer(Callback):
            def epoch_end(self, run, row, epochs):
                print(f"{run}: epoch {row.epoch} of {epochs}, validation loss {row.val_loss}")

        TrainingRun.start(config).finish(Printer())

    run: the run's name, unique among those of one `finish`; of one on its own its folder's name.
    What a method raises ends the work as Ctrl-C does: what was recorded is kept, to go on with.
    """

    def begin(self, runs: Mapping[str, int], finished: int) -> None:
        """A lab or a sweep begins: with each run its epochs. finished: so many others were before.

        Its runs are in processes of their own, and begin when there is a core for them.
        """

    def run_begin(self, run: str, steps: int | None, done: int) -> None:
        """A run on its own or in a comparison, a lockstep or a benchmark begins or is gone on with.

        steps: all (of a benchmark: turns), None if not known yet. done: so many were before.
        """

    def step_end(self, run: str, done: int, steps: int, loss: float | None) -> None:
        """So many of its steps are done. loss: of the last one.

        A run in another process tells it now and then, without a loss.
        """

    def epoch_end(self, run: str, row: EpochRow, epochs: int) -> object:
        """An epoch of so many was recorded. If what this returns is true, the run ends with it."""

    def run_end(self, run: str, folder: RunFolder, error: str | None) -> None:
        """A run is over: what came out is in its folder, or the error says why it is not."""

    def note(self, line: str) -> None:
        """Something to know, in words: such as what came out of a lockstep."""
