"""The folder that a training run writes: what is in it, and under which names.

config.json    everything needed to run it again
data.json      which data it read, by a digest; older runs have none
model.json     of a network of the user's own, its spec; and its file as model.py.txt, to be read
metrics.csv    a row for each recorded epoch; the test set's columns only with --test-curve, and
               those of a user's own metrics, on the validation set, behind all others
params.npz     the model: best on validation, or the last where there is no validation set
last.npz       the training state after the last recorded epoch, to resume from
summary.json   what came out; a run that has it is finished
*.png          figures
"""

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from funcnn._files import read_text, write_whole
from funcnn.experiments.errors import InputError, quoted
from funcnn.experiments.paths import RUNS, new_folder
from funcnn.experiments.system.json_files import expect_kinds, read_record, write_record
from funcnn.experiments.tasks.changes import read_settings
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.model_records import read_own_model, tell_change
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.settings import is_reference


class EpochRow(NamedTuple):
    """One row of metrics.csv. Losses are means, accuracies fractions; None: not measured."""

    epoch: int
    train_loss: float
    """Running over the epoch, as the model saw the examples in training; so is the accuracy.

    Without label smoothing, as every loss that is reported.
    """
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    learning_rate: float
    """Of the epoch's last step."""
    seconds: float
    """Since the row before: steps, evaluation, and the snapshots of the row before."""
    test_loss: float | None = None
    """With --test-curve only, and never used to choose; so is the accuracy."""
    test_accuracy: float | None = None
    own: dict[str, float | None] = {}  # noqa: RUF012
    """A user's own metrics, on the validation set; None: not a number."""


def loss_text(loss: float) -> str:
    """A loss as it is printed, which in a training that goes wrong is of any size."""
    return f"{loss:.4f}" if abs(loss) < 1e6 else f"{loss:.4g}"


_NUMBER = (float, type(None))  # or not measured
_SUMMARY: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("val_loss", "val_accuracy", "test_loss", "test_accuracy"), _NUMBER),
    **dict.fromkeys(("parameters", "epochs", "snapshot_epoch"), (int,)),
    **dict.fromkeys(("train_examples", "test_examples"), (int,)),
    "seconds": (float,),
    "test_is": (str,),
    "confusion_matrix": (list, type(None)),
}
"""What of a summary is read again, and of which kinds it is."""
_COLUMNS = EpochRow._fields[:-1]
_WITHOUT_TEST = _COLUMNS[: _COLUMNS.index("test_loss")]
_OWN = "val_"
"""What the columns of a user's own metrics begin with, behind the others."""


class RunFolder:
    """A run's folder, by its path. own: its network, if it is a user's own and they give it."""

    def __init__(self, path: Path, own: OwnModel | None = None) -> None:
        self.path = path
        self._own = own
        self.config = path / "config.json"
        self.metrics = path / "metrics.csv"
        self.params = path / "params.npz"
        self.last = path / "last.npz"
        self.summary = path / "summary.json"

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def create(
        cls,
        config: RunConfig,
        path: Path | None,
        write_first: Callable[["RunFolder"], None] = lambda folder: None,
    ) -> "RunFolder":
        """A new folder with the config in it: `path`, or the next free name under `runs/`.

        write_first: writes what a folder with a config has, too.
        Raises `InputError` if `path` exists and is not an empty folder, if another process is at
        work in it, or if it cannot be written.
        """
        try:
            name = f"{config.short_arch}-{Path(config.data).resolve().name}"
            with new_folder(path, name if config.backend == "numpy" else f"{name}-torch") as path:
                folder = cls(path, config.own)
                write_first(folder)
                folder.write_config(config)
        except OSError as error:
            raise InputError(
                f"--out {path or RUNS}: a run cannot be written there ({error.strerror})"
            ) from None
        return folder

    @classmethod
    def open(cls, path: Path, own: OwnModel | None = None) -> "RunFolder":
        """The folder of an existing run. Raises `InputError` if it is none.

        Where the network is given, but its file is not the one that was trained, it is said.
        """
        folder = cls(path, own)
        if path.is_file() and cls(path.parent).config.is_file():
            raise InputError(f"{path} is a file of a run: give its folder, {quoted(path.parent)}")
        if is_reference(str(path)) and not path.exists():
            raise InputError(f"{path} is a network, no run: what trains takes it as --model {path}")
        if path.suffix == ".py":
            raise InputError(f"{path} is no run: give a network in it, {path}:NAME")
        if path.suffix.lower() == ".npz" and path.is_file():
            raise InputError(
                f"{path} is a snapshot, which does not say how it was trained: give the folder of "
                "a run (evaluate, predict, inspect and export take a snapshot)"
            )
        if not folder.config.is_file():
            raise InputError(f"{path} is not the folder of a run: it has no config.json")
        if own is not None and folder.own is not None:
            tell_change(path, own)
        return folder

    def read_config(self) -> RunConfig:
        """The run's config. Raises `InputError` if the file was damaged."""
        own = self.own
        return RunConfig.resolve(read_settings(self.config, own), own)

    @property
    def own(self) -> OwnModel | None:
        """Its network, if it is a user's own: as they give it, or as it is recorded.

        Raises `InputError` if the record is damaged, or what they give is another.
        """
        arch = read_record(self.config, "a config file").get("arch")
        if isinstance(arch, str) and is_reference(arch):
            return read_own_model(self.path, arch, self._own)
        if self._own is not None:
            raise InputError(f"--model {self._own.name}: {self} is a run of --arch {arch}")
        return None

    def write_config(self, config: RunConfig) -> None:
        """Write config.json, whole."""
        write_whole(self.config, config.to_json().encode())

    def read_metrics(self) -> list[EpochRow]:
        """The rows of metrics.csv, at least one. Raises `InputError` if it is none, or damaged."""
        try:
            lines = list(csv.reader(read_text(self.metrics).splitlines()))
            header = tuple(lines[0]) if lines else ()
            known = _COLUMNS if header[: len(_COLUMNS)] == _COLUMNS else _WITHOUT_TEST
            own = header[len(known) :]
            if header[: len(known)] != known or not all(name.startswith(_OWN) for name in own):
                raise ValueError(f"it does not begin with {','.join(_WITHOUT_TEST)}")
            rows = [_epoch_row(header, line) for line in lines[1:]]
            for row, last in zip(rows, [0, *(row.epoch for row in rows)], strict=False):
                if not last < row.epoch < 2**63:
                    raise ValueError(f"it has epoch {row.epoch} after {last}")
        except FileNotFoundError:
            raise InputError(self.lacks(self.metrics)) from None
        except (ValueError, csv.Error) as error:
            raise InputError(f"{self.metrics} is not the table of a run: {error}") from None
        if not rows:
            raise InputError(f"{self.metrics} is not the table of a run: it has no rows")
        return rows

    def lacks(self, path: Path) -> str:
        """What to say of one of its results that is not there, as far as its others tell."""
        others = [it for it in (self.summary, self.metrics, self.params) if it != path]
        there = [it.name for it in others if it.exists()]
        if not there:
            return f"{self} has no {path.name}: no epoch was recorded yet"
        if there == [self.params.name] and not self.last.exists():
            return f"{self} has no {path.name}: it was imported, or the file was deleted"
        return f"{path} is missing, but {there[0]} is there: it was moved or deleted"

    def write_metrics(self, rows: list[EpochRow]) -> None:
        """Write metrics.csv anew, whole: at least one row."""
        names = _WITHOUT_TEST if rows[0].test_loss is None else _COLUMNS
        own = list(rows[0].own)
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow([*names, *(f"{_OWN}{name}" for name in own)])
        for row in rows:
            values = [*(getattr(row, name) for name in names), *(row.own.get(name) for name in own)]
            writer.writerow(map(_as_text, values))
        write_whole(self.metrics, table.getvalue().encode())

    def read_summary(self) -> dict[str, Any]:
        """What came out of a finished run. Raises `InputError` if the file was damaged."""
        expected = "the summary of a run"
        summary = read_record(self.summary, expected)
        expect_kinds(self.summary, expected, summary, _SUMMARY)
        counts = summary["confusion_matrix"] or []
        if not all(isinstance(row, list) and _are_counts(row, len(counts)) for row in counts):
            raise InputError(f"{self.summary} is not {expected}: its confusion_matrix is no table")
        return summary

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write summary.json, whole."""
        write_record(self.summary, summary)


def _are_counts(row: list[Any], classes: int) -> bool:
    """Whether it is the row of a class in a confusion matrix."""
    return list(map(type, row)) == [int] * classes and all(0 <= count < 2**53 for count in row)


def _as_text(value: float | None) -> str:
    """As `_epoch_row` reads it: a count as it is, else the shortest digits of a float."""
    if value is None or math.isnan(value):
        return ""
    return str(value if isinstance(value, int) else float(value))


def _epoch_row(header: tuple[str, ...], line: list[str]) -> EpochRow:
    """A line of metrics.csv. Raises `ValueError` if it is none."""
    if len(line) != len(header):
        raise ValueError(f"it has a row of {len(line)} values, {','.join(line)}")
    values = dict(zip(header, line, strict=True))
    numbers: dict[str, Any] = {"epoch": int(values.pop("epoch"))}
    for name, text in values.items():
        numbers[name] = None if text == "" and name.startswith("val_") else float(text)
    own = {name.removeprefix(_OWN): numbers.pop(name) for name in header if name not in _COLUMNS}
    return EpochRow(**numbers, own=own)
