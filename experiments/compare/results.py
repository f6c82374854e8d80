"""Finished runs of two backends side by side: what each came to, and how far they are apart."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.data.provenance import expected_data
from funcnn.experiments.errors import InputError
from funcnn.experiments.figures.plots import share_of_class
from funcnn.experiments.tasks.config import BACKENDS
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.learner import make_learner
from funcnn.experiments.training.model import load_model
from funcnn.experiments.training.run_folder import RunFolder
from funcnn.experiments.training.spread import Spread, spread
from funcnn.types import Array

Runs = Mapping[str, Sequence[RunFolder]]
"""For each backend its runs, one a seed, in the order of the seeds."""

SCORES = ("test_accuracy", "test_loss", "val_accuracy", "val_loss")
LARGER_THAN = 2
"""So many standard errors a difference of means must exceed to be called larger than the spread."""


class Difference(NamedTuple):
    """How far apart two means are, and how far the seeds alone would put them."""

    difference: float
    """The second less the first."""
    standard_error: float | None
    """sqrt(s1^2 / n + s2^2 / n); None for one run each, which has no spread."""
    larger: bool | None
    """Whether |difference| is above `LARGER_THAN` standard errors; None where there are none."""
    chance: float | None
    """How often two equal backends would be as far apart in standard errors, or further.

    If results spread normally, and as much with both.
    """
    seeds: int


def compare_means(first: Spread, second: Spread) -> Difference:
    """The difference of two means of equally many runs."""
    difference, seeds = second.mean - first.mean, len(first.values)
    if first.std is None or second.std is None:
        return Difference(difference, None, None, None, seeds)
    error = math.hypot(first.std, second.std) / math.sqrt(seeds)
    larger = abs(difference) > LARGER_THAN * error
    chance = (
        chance_beyond(abs(difference) / error, 2 * seeds - 2) if error else float(not difference)
    )
    return Difference(difference, error, larger, chance, seeds)


def chance_beyond(t: float, freedom: int) -> float:
    """P(|T| > t) for Student's t with an even number of degrees of freedom.

    Abramowitz and Stegun, 26.7.4.
    """
    angle = math.atan(t / math.sqrt(freedom))
    term = total = 1.0
    for k in range(1, freedom // 2):
        term *= (2 * k - 1) / (2 * k) * math.cos(angle) ** 2
        total += term
    return 1 - math.sin(angle) * total


def free_results(runs: Runs, peak_memory: Mapping[str, int | None]) -> dict[str, Any]:
    """All that finished runs say together, as data that JSON can hold.

    peak_memory: bytes, by the name of a run's folder. Raises `InputError` if a run is damaged.
    """
    rows = [
        _row(folder, peak_memory.get(folder.path.name))
        for folder in itertools.chain(*runs.values())
    ]
    for name in SCORES:
        if len({row[name] is None for row in rows}) > 1:
            raise InputError(
                f"of the runs in {runs[BACKENDS[0]][0].path.parent} some have a {name}, others none"
            )
    by_backend = {
        name: _results_of([row for row in rows if row["backend"] == name]) for name in BACKENDS
    }
    difference = None
    score = next(
        (name for name in ("test_accuracy", "val_accuracy") if rows[0][name] is not None), None
    )
    if score is not None:
        means = (spread(by_backend[name][score]["values"]) for name in BACKENDS)
        difference = {"of": score, **compare_means(*means)._asdict()}
    for row in rows:
        row.pop("epoch_seconds")
    return {
        "runs": rows,
        "sides": by_backend,
        "difference": difference,
        "confusion": _confusion(runs),
        "agreement": _agreement(runs),
        "first_weights": _first_weights(runs),
    }


def _row(folder: RunFolder, peak_memory: int | None) -> dict[str, Any]:
    """What one run came to."""
    config, summary, rows = folder.read_config(), folder.read_summary(), folder.read_metrics()
    before = [0, *(row.epoch for row in rows)]
    names = (*SCORES, "snapshot_epoch", "parameters", "train_examples", "test_examples", "test_is")
    return {
        "run": folder.path.name,
        "backend": config.backend,
        "seed": config.seed,
        **{name: summary[name] for name in names},
        "peak_memory": peak_memory,
        "epoch_seconds": [
            row.seconds / (row.epoch - last) for row, last in zip(rows, before, strict=False)
        ],
    }


def _results_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the runs of one backend came to."""
    scores = {
        name: None if rows[0][name] is None else spread([row[name] for row in rows])._asdict()
        for name in SCORES
    }
    memory = [row["peak_memory"] for row in rows if row["peak_memory"] is not None]
    return scores | {
        "seconds_per_epoch": float(np.median([s for row in rows for s in row["epoch_seconds"]])),
        "peak_memory": float(np.median(memory)) if memory else None,
        "parameters": rows[0]["parameters"],
    }


def _confusion(runs: Runs) -> dict[str, Any] | None:
    """Counts of both, all seeds together, and the cell in which their shares differ most."""
    counts = {}
    for name, folders in runs.items():
        matrices = [folder.read_summary()["confusion_matrix"] for folder in folders]
        if None in matrices:
            return None
        if len({len(matrix) for matrix in matrices}) > 1:
            raise InputError(f"{folders[0].summary} counts other classes than {folders[-1].path}")
        counts[name] = np.sum(matrices, 0)
    first = runs[BACKENDS[0]][0]
    names = load_model(first).class_names
    if any(matrix.shape != (len(names),) * 2 for matrix in counts.values()):
        raise InputError(f"{first.summary} counts other classes than {first.params} tells apart")
    apart = share_of_class(counts["torch"]) - share_of_class(counts["numpy"])
    row, column = map(int, np.unravel_index(np.abs(apart).argmax(), apart.shape))
    most = {"true": names[row], "predicted": names[column], "difference": float(apart[row, column])}
    return {
        "class_names": list(names),
        **{name: matrix.tolist() for name, matrix in counts.items()},
        "difference": apart.tolist(),
        "largest": most,
    }


def _task(folder: RunFolder) -> Task:
    """What a run learned, on the data that it read."""
    return Task.build(folder.read_config(), expected_data(folder.path))


def predicted_by(folder: RunFolder, inputs: Array) -> Array:
    """The classes that a run's model predicts for stored inputs, by the backend that trained it."""
    task, kept = _task(folder), load_model(folder)
    if kept.model.spec != task.model.spec:
        raise InputError(f"{folder.params} is of another network than {folder.config} describes")
    return fn.predicted_classes(make_learner(task).predict(kept.params, inputs))


def _agreement(runs: Runs) -> dict[str, Any]:
    """How many test inputs of the first seed get different classes, from which two runs."""
    inputs, _ = _task(runs[BACKENDS[0]][0]).data.test
    predicted = {
        folder.path.name: predicted_by(folder, inputs)
        for folders in runs.values()
        for folder in folders[:2]
    }
    firsts = [folders[0].path.name for folders in runs.values()]
    pairs = [firsts, *([f.path.name for f in folders[:2]] for folders in runs.values())]
    return {
        "inputs": len(inputs),
        "pairs": [
            {"runs": pair, "different": int((predicted[pair[0]] != predicted[pair[1]]).sum())}
            for pair in pairs
            if len(pair) == 2
        ],
    }


def _first_weights(runs: Runs) -> list[dict[str, Any]]:
    """The standard deviation of each weight as both backends begin with it, for the first seed."""
    tasks = [_task(folders[0]) for folders in runs.values()]
    summary = fn.summary(tasks[0].model, tasks[0].input_shape)
    layers = {row.path: row.name for row in summary.rows}
    leaves = [fn.tree.leaves_with_path(make_learner(task).params) for task in tasks]
    return [
        {
            "path": path,
            "layer": layers[path.rpartition("/")[0]],
            **{name: float(w.std()) for name, w in zip(runs, (ours, theirs), strict=True)},
        }
        for (path, ours), (_, theirs) in zip(*leaves, strict=True)
        if ours.ndim > 1
    ]
