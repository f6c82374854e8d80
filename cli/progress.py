"""A progress bar over several runs, and lines above it."""

from funcnn.cli.options import echo


class RunsBar:
    """A bar over the epochs of all runs if stderr is a terminal; lines on stdout."""

    def __init__(self, title: str, *, bar: bool, lines: bool) -> None:
        self._title, self._show, self._lines = title, bar, lines
        self._epochs: dict[str, int] = {}

    def begin(self, runs: int, done: int, epochs: int) -> None:
        """There are so many runs, so many of them are done; the others have so many epochs."""
        from tqdm import tqdm

        self._runs, self._done = runs, done
        self._bar = tqdm(
            total=epochs,
            unit=" epochs",
            leave=False,
            disable=None if self._show else True,  # None: no bar unless stderr is a terminal
            dynamic_ncols=True,
        )
        self._count()
        if done:
            self.say(f"{done} of {runs} runs were finished before")

    def advance(self, name: str, epoch: int) -> None:
        """A run has come as far as this epoch."""
        self._bar.update(epoch - self._epochs.get(name, 0))
        self._epochs[name] = epoch

    def end_one(self) -> None:
        """One more run is done."""
        self._done += 1
        self._count()

    def say(self, line: str) -> None:
        """Print a line, if lines are wanted."""
        if self._lines:
            with self._bar.external_write_mode():
                echo(line)

    def close(self) -> None:
        """Take the bar away."""
        if hasattr(self, "_bar"):
            self._bar.close()

    def _count(self) -> None:
        self._bar.set_description(f"{self._title}: {self._done} of {self._runs} runs done")
