"""The report of a comparison: its numbers, sentences and figures, and all of them as Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import funcnn as fn
from funcnn.experiments import comparison_figures as figures
from funcnn.experiments import statements
from funcnn.experiments.comparison_markdown import document
from funcnn.experiments.data.record import expected_data
from funcnn.experiments.errors import printable
from funcnn.experiments.figures.drawing import drawn
from funcnn.experiments.figures.plots import share_of_class
from funcnn.experiments.lockstep_table import DTYPES, read_steps, steps_file, summarise
from funcnn.experiments.side_by_side import Runs, free_results, predicted_by
from funcnn.experiments.tasks.architectures import LOSSES
from funcnn.experiments.tasks.config import BACKENDS, RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.files import write_whole

_SHOWN = 32  # images that the two classify differently


def write_report(folder: Path, record: Mapping[str, Any], runs: Runs) -> dict[str, Any]:
    """Draw and write what the finished runs and locksteps in a comparison's folder say.

    record: the comparison's settings. Returns what came out, as data that JSON can hold.
    """
    task = Task.build(RunConfig.resolve(record["config"]), expected_data(folder))
    found: dict[str, Any] = {"statements": [], "figures": []}
    if runs:
        found["free"] = free_results(runs, record["peak_memory"])
        found["statements"] += statements.of_free(found["free"])
        found["figures"] += _draw_free(folder, runs, found["free"], task)
    if "lockstep" in record["modes"]:
        steps = {dtype: read_steps(steps_file(folder, dtype)) for dtype in DTYPES}
        layers = {row.path: row.name for row in fn.summary(task.model, task.data.input_shape).rows}
        found["lockstep"] = {dtype: summarise(steps[dtype]) for dtype in DTYPES}
        found["statements"] += statements.of_lockstep(found["lockstep"], layers)
        if drawn(figures.growth, folder / "lockstep.png", steps, layers):
            found["figures"].append("lockstep.png")
    write_whole(
        folder / "comparison.md", document({**record, **found}).encode(errors="backslashreplace")
    )
    return found


def _draw_free(folder: Path, runs: Runs, free: Mapping[str, Any], task: Task) -> list[str]:
    """The figures of free runs; the names of those that could be drawn."""
    unit = LOSSES[task.config.loss]
    tables = {name: [run.read_metrics() for run in folders] for name, folders in runs.items()}
    made = {"curves.png": drawn(figures.curves, folder / "curves.png", tables, unit)}
    if free["confusion"] is not None:
        shares = {name: share_of_class(np.array(free["confusion"][name])) for name in BACKENDS}
        path = folder / "confusion.png"
        made[path.name] = drawn(figures.confusions, path, shares, task.data.class_names)
    inputs, labels = task.data.test
    if inputs.ndim == 4:
        ours, theirs = (predicted_by(runs[name][0], inputs) for name in BACKENDS)
        apart = np.flatnonzero(ours != theirs)
        sheet = [
            figures.Disagreement(
                inputs[index, 0],
                _caption(
                    task.data.class_names,
                    None if labels is None else labels[index],
                    ours[index],
                    theirs[index],
                ),
            )
            for index in apart[:_SHOWN]
        ]
        if sheet:
            title = f"the first {len(sheet)} of {len(apart):,} test images classified differently"
            path = folder / "disagreements.png"
            made[path.name] = drawn(figures.disagreements, path, sheet, title)
    return [name for name, could_be in made.items() if could_be]


def _caption(names: tuple[str, ...], label: Any, ours: Any, theirs: Any) -> str:
    said = f"numpy: {printable(names[ours])}\ntorch: {printable(names[theirs])}"
    return said if label is None else f"true: {printable(names[label])}\n{said}"
