"""What the runs of a sweep came to: a row for each, and for each point its mean over the seeds.

Never by the test set: whoever chooses by it has nothing left to test with.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from funcnn._files import write_whole
from funcnn.experiments.errors import InputError
from funcnn.experiments.reports.text_table import text_table
from funcnn.experiments.sweep.plan import TRIAL, Plan, Point, SweptRun, train_command
from funcnn.experiments.tasks.settings import as_option, dashed
from funcnn.experiments.training.run_folder import RunFolder, loss_text
from funcnn.experiments.training.spread import Spread, spread

PARTS = {"val": "validation", "train": "training"}
"""The examples that a point may be measured on."""


class Outcome(NamedTuple):
    """What one run came to; a failed one has an error and nothing else."""

    epochs: int | None = None
    snapshot_epoch: int | None = None
    """The epoch whose params were kept; losses and accuracies are of it."""
    train_loss: float | None = None
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    parameters: int | None = None
    seconds: float | None = None
    error: str | None = None

    @classmethod
    def read(cls, folder: RunFolder) -> "Outcome":
        """That of a finished run. Raises `InputError` if its files are damaged."""
        summary, rows = folder.read_summary(), folder.read_metrics()
        kept = next((row for row in rows if row.epoch == summary["snapshot_epoch"]), None)
        if kept is None:
            raise InputError(f"{folder.summary} and {folder.metrics} do not agree")
        if folder.read_config().val_size and None in (kept.val_loss, kept.val_accuracy):
            raise InputError(f"{folder.metrics} has no validation loss, or accuracy")
        return cls(
            summary["epochs"],
            kept.epoch,
            kept.train_loss,
            kept.train_accuracy,
            kept.val_loss,
            kept.val_accuracy,
            summary["parameters"],
            summary["seconds"],
        )


Outcomes = Mapping[str, Outcome]
"""By the names of the runs."""


class PointResult(NamedTuple):
    """What the runs of one point came to."""

    point: Point
    finished: int
    failed: int
    accuracy: Spread | None
    """Over the seeds, see `measured_on`; None: all failed."""
    loss: Spread | None
    parameters: int | None
    epochs: int | None
    seconds: float | None
    """Of one run, their mean."""


def measured_on(plan: Plan) -> str:
    """Which of `PARTS` all the points are measured on: the validation set, if every one has it."""
    return "val" if all(run.config.val_size for run in plan.runs) else "train"


def write_table(path: Path, plan: Plan, outcomes: Outcomes) -> None:
    """A CSV: a row for each run that is over, in the plan's order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *plan.grid, "seed", *Outcome._fields])
    for run in plan.runs:
        if run.name in outcomes:
            values = map(as_option, run.point.values.values())
            writer.writerow([run.name, *values, run.seed, *outcomes[run.name]])
    write_whole(path, text.getvalue().encode())


def summarise(plan: Plan, outcomes: Outcomes) -> list[PointResult]:
    """Every point: trial by trial, since their data may differ, and in each the best first.

    That is the one with the highest mean accuracy, of equal ones that with the lowest mean loss;
    but points of which a run failed come after all others.
    """
    part = measured_on(plan)
    runs: dict[int, list[SweptRun]] = {}
    for run in plan.runs:
        runs.setdefault(id(run.point), []).append(run)
    results = [
        _of_point(point, [outcomes[run.name] for run in runs[id(point)]], part)
        for point in plan.points
    ]
    trials = plan.grid.get(TRIAL, (None,))
    return sorted(
        results, key=lambda result: (trials.index(result.point.values.get(TRIAL)), *_rank(result))
    )


def best_of(results: Sequence[PointResult]) -> list[PointResult]:
    """The best point of each trial that has one; results as `summarise` gives them."""
    best: dict[Any, PointResult] = {}
    for result in results:
        if result.accuracy is not None:
            best.setdefault(result.point.values.get(TRIAL), result)
    return list(best.values())


def _of_point(point: Point, outcomes: Sequence[Outcome], part: str) -> PointResult:
    done = [outcome for outcome in outcomes if outcome.error is None]
    failed = len(outcomes) - len(done)
    if not done:
        return PointResult(point, 0, failed, None, None, None, None, None)
    accuracy, loss = (
        spread([getattr(each, f"{part}_{name}") for each in done]) for name in ("accuracy", "loss")
    )
    seconds = spread([each.seconds or 0.0 for each in done]).mean
    first = done[0]
    return PointResult(
        point, len(done), failed, accuracy, loss, first.parameters, first.epochs, seconds
    )


def _rank(result: PointResult) -> tuple[float, ...]:
    if result.accuracy is None or result.loss is None:
        return (math.inf,)
    return (result.failed, -result.accuracy.mean, result.loss.mean)


def as_data(plan: Plan, results: Sequence[PointResult]) -> list[dict[str, Any]]:
    """The points as data that JSON can hold."""
    part = measured_on(plan)
    return [
        {
            **{name: as_option(value) for name, value in result.point.values.items()},
            "finished": result.finished,
            "failed": result.failed,
            f"{part}_accuracy": result.accuracy and result.accuracy._asdict(),
            f"{part}_loss": result.loss and result.loss._asdict(),
            "parameters": result.parameters,
            "epochs": result.epochs,
            "seconds": result.seconds,
            "command": train_command(result.point.settings, plan.seeds[0]),
        }
        for result in results
    ]


def table(plan: Plan, results: Sequence[PointResult]) -> str:
    """The points as aligned lines, the best of each trial marked."""
    part = measured_on(plan)
    keys = list(map(dashed, plan.grid))
    head = ["", *keys, f"{part} accuracy", f"{part} loss", "parameters", "epochs", "seconds"]
    failed = any(result.failed for result in results)
    lines = [[*head, "failed"] if failed else head]
    best = best_of(results)
    for result in results:
        values = map(as_option, result.point.values.values())
        lines.append(["*" if result in best else "", *values, *_numbers(result)])
        if failed:
            lines[-1].append(f"{result.failed or ''}")
    return text_table(lines, left=1 + len(plan.grid))


def _numbers(result: PointResult) -> list[str]:
    if result.accuracy is None or result.loss is None:
        return [""] * 5
    scores = result.accuracy.text("{:.2f}", 100, "%"), result.loss.text(loss_text)
    return [*scores, f"{result.parameters:,}", f"{result.epochs}", f"{result.seconds:.1f}"]
