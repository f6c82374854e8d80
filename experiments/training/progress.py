"""What a callback is told, as a bar and as lines."""

from collections.abc import Sequence
from typing import Any

from funcnn.experiments.errors import printable
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.run_folder import EpochRow, loss_text


class Bar(Callback):
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
                print(printable(line), flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


class TrainBar(Bar):
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


def is_printed(row: EpochRow, epochs: int, lines: int = 10) -> bool:
    """Whether an epoch is printed: of thousands of epochs so many lines say enough."""
    every = max(1, epochs // lines) if epochs > 100 else 1
    return row.epoch % every == 0 or row.epoch == epochs


def printed(rows: Sequence[EpochRow]) -> list[EpochRow]:
    """The rows of a finished run that are printed."""
    return [row for row in rows if is_printed(row, rows[-1].epoch)]
