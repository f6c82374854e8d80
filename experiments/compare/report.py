"""The report of a comparison: its numbers, sentences and figures, and all of them as a document."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import funcnn as fn
from funcnn._files import write_whole
from funcnn.experiments.compare import figures, findings
from funcnn.experiments.compare.lockstep_table import (
    APART,
    DTYPES,
    MEASURED,
    read_steps,
    steps_file,
    summarise,
)
from funcnn.experiments.compare.results import Runs, free_results, predicted_by
from funcnn.experiments.data.provenance import expected_data
from funcnn.experiments.errors import printable, sizes_text
from funcnn.experiments.figures.drawing import drawn
from funcnn.experiments.figures.plots import share_of_class
from funcnn.experiments.reports.document import (
    Block,
    Document,
    Items,
    Picture,
    Section,
    Table,
    Text,
)
from funcnn.experiments.reports.markdown import to_markdown
from funcnn.experiments.system.machine import in_one_line, is_busy
from funcnn.experiments.tasks.architectures import unit_of
from funcnn.experiments.tasks.config import BACKENDS, RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.spread import Spread

_SHOWN = 32  # images that the two classify differently


def write_report(
    folder: Path, record: Mapping[str, Any], config: RunConfig, runs: Runs
) -> dict[str, Any]:
    """Draw and write what the finished runs and locksteps in a comparison's folder say.

    record: the comparison's settings, config: those of its task. Returns what came out, as data
    that JSON can hold.
    """
    task = Task.build(config, expected_data(folder))
    results: dict[str, Any] = {"statements": [], "figures": []}
    if runs:
        results["free"] = free_results(runs, record["peak_memory"])
        results["statements"] += findings.of_free(results["free"])
        results["figures"] += _draw_free(folder, runs, results["free"], task)
    if "lockstep" in record["modes"]:
        steps = {dtype: read_steps(steps_file(folder, dtype)) for dtype in DTYPES}
        layers = {row.path: row.name for row in fn.summary(task.model, task.input_shape).rows}
        results["lockstep"] = {dtype: summarise(steps[dtype]) for dtype in DTYPES}
        results["statements"] += findings.of_lockstep(results["lockstep"], layers)
        if drawn(figures.growth, folder / "lockstep.png", steps, layers):
            results["figures"].append("lockstep.png")
    text = to_markdown(document({**record, **results}, folder), folder)
    write_whole(folder / "comparison.md", text.encode(errors="backslashreplace"))
    return results


def _draw_free(folder: Path, runs: Runs, free: Mapping[str, Any], task: Task) -> list[str]:
    """The figures of free runs; the names of those that could be drawn."""
    unit = unit_of(task.config.loss)
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
    caption = f"numpy: {printable(names[ours])}\ntorch: {printable(names[theirs])}"
    return caption if label is None else f"true: {printable(names[label])}\n{caption}"


# --- as a document, and its main tables, which the command prints too ------------------------

_SCORES = {
    "test_accuracy": ("test accuracy (%)", "{:.2f}", 100),
    "test_loss": ("test loss ({unit})", "{:.4f}", 1),
    "val_accuracy": ("best validation accuracy (%)", "{:.2f}", 100),
    "val_loss": ("validation loss there ({unit})", "{:.4f}", 1),
}
_WHOLES = {"loss": "loss", "grads": "gradient", "params": "params"}
_TITLES = {
    "curves.png": "Loss and accuracy of every run (thin) and the mean of each side's.",
    "confusion.png": "Shares of each true class, all seeds together, and what torch has more.",
    "disagreements.png": "Test images that the two sides' first runs put into different classes.",
    "lockstep.png": "How far apart the two are after every step, and each layer's share of it (of "
    "many layers, those with the largest at the end). Where a line has a gap the two are equal.",
}
_FREE = """\
Both sides have the same data and split, network, loss, optimizer, schedule and rule for which
params to keep. Each has its own usual initial weights (torch's are those of its modules), its own
order of the examples and dropout masks, and its own arithmetic: sums in another order round
differently."""
_LOCKSTEP = """\
Both sides begin with the same params (NumPy's) and take the same batches and dropout masks, each
with its own gradient and its own optimizer. The difference of the loss is relative to it; that of
gradient and params is the norm of the difference over the norm of the whole tree, running
statistics included. The share of a layer is the norm of its part of the difference over that same
norm, so that a weight whose true gradient is 0 counts for what it is. The layer that grew first is
the one whose share was the first above a tenth of {apart:g} or, where none came so far, above the
highest power of ten that any came above. A ReLU (or leaky ReLU, PReLU, SELU) has switched where its
output is above 0 on one side alone: its derivative is then another, and a rounding becomes a
difference of the gradient's own size. The winners of max-pools may switch too; they are not
counted."""


def tables(record: Mapping[str, Any]) -> Iterator[Table]:
    """What came out in numbers, the backends beside each other."""
    if "free" in record:
        unit = unit_of(record["config"]["loss"])
        yield Table(("", *BACKENDS), [*_of_backends(record["free"]["sides"], unit)], "")
    if "lockstep" in record:
        yield Table(("lockstep", *DTYPES), [*_of_steps(record["lockstep"])], "")


def _of_backends(by_backend: Mapping[str, Any], unit: str) -> Iterator[tuple[str, ...]]:
    both = [by_backend[name] for name in BACKENDS]
    for name, (words, form, scale) in _SCORES.items():
        if both[0][name] is not None:
            scores = (Spread(**one[name]) for one in both)
            yield words.format(unit=unit), *(score.text(form, scale) for score in scores)
    yield "seconds an epoch (median)", *(f"{one['seconds_per_epoch']:.3g}" for one in both)
    yield "peak memory of training (MB)", *(_megabytes(one["peak_memory"]) for one in both)
    yield "parameters", *(f"{one['parameters']:,}" for one in both)


def _megabytes(size: float | None) -> str:
    return "not measured" if size is None else f"{size / 1e6:.0f}"


def _of_steps(lockstep: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    both = [lockstep[dtype] for dtype in DTYPES]
    for name in MEASURED:
        yield (
            f"largest difference, {_WHOLES[name]}",
            *(f"{one['largest'][name]:.1e}" for one in both),
        )
    for name in MEASURED:
        steps = [one["first_apart"][name] for one in both]
        yield f"first step above {APART:g}, {_WHOLES[name]}", *(str(s or "none") for s in steps)
    switches = [one["first_switch"] for one in both]
    yield "first step with a ReLU switched", *(str(s["step"]) if s else "none" for s in switches)


def document(record: Mapping[str, Any], folder: Path) -> Document:
    """The whole report. record: the settings, and what `write_report` found in the folder."""
    config, shown = record["config"], tables(record)
    title = f"{config['arch']} on {config['data']}: NumPy (funcnn) and PyTorch"
    blocks: list[Block | Section] = [Items(record["statements"])]
    if "free" in record:
        blocks.append(Section("Each for itself", [*_free(record, next(shown), folder)]))
    if "lockstep" in record:
        parts: list[Block] = [
            Text(_LOCKSTEP.format(apart=APART)),
            next(shown),
            *_figures(record, folder, there=True),
            Text("Every step is in lockstep-float64.csv and lockstep-float32.csv."),
        ]
        blocks.append(Section("In lockstep", parts))
    blocks.append(Section("How it was measured", [Items([*_method(record)])]))
    return Document(title, "", [], blocks)


def _free(record: Mapping[str, Any], scores: Table, folder: Path) -> Iterator[Block]:
    free = record["free"]
    yield Text(f"{_FREE} Means and standard deviations are over {_seeds(record)}.")
    yield scores
    yield from _figures(record, folder, there=False)
    if "disagreements.png" not in record["figures"]:
        same = free["agreement"]["pairs"][0]["different"] == 0
        why = "none was classified differently" if same else "they are no images"
        yield Text(f"There is no figure of test inputs: {why}.")
    yield Text("Every run, and the initial weights of the first seed:")
    yield Table(_RUN, [*map(_of_run, free["runs"])], "")
    weights = [
        (f"{row['path']} ({row['layer']})", *(f"{row[name]:.4f}" for name in BACKENDS))
        for row in free["first_weights"]
    ]
    yield Table(("initial weights, standard deviation", *BACKENDS), weights, "")


_RUN = ("run", "test accuracy", "best validation accuracy", "kept epoch", "peak memory (MB)")


def _of_run(row: Mapping[str, Any]) -> tuple[str, ...]:
    accuracies = (row["test_accuracy"], row["val_accuracy"])
    return (
        f"[{row['run']}]({row['run']})",
        *("" if value is None else f"{value:.2%}" for value in accuracies),
        str(row["snapshot_epoch"]),
        _megabytes(row["peak_memory"]),
    )


def _seeds(record: Mapping[str, Any]) -> str:
    seeds = ", ".join(map(str, record["seeds"]))
    return f"seed{'s' if len(record['seeds']) > 1 else ''} {seeds}"


def _figures(record: Mapping[str, Any], folder: Path, there: bool) -> list[Picture]:
    """The figure of the lockstep, or all others."""
    names = [name for name in record["figures"] if (name == "lockstep.png") == there]
    return [Picture(folder / name, _TITLES[name]) for name in names]


def _in_words(value: Any) -> str:
    return sizes_text(value, empty="none") if isinstance(value, (list, tuple)) else str(value)


def _method(record: Mapping[str, Any]) -> Iterator[str]:
    config = record["config"]
    settings = ", ".join(
        f"{name} {_in_words(value)}"
        for name, value in config.items()
        if name not in ("seed", "backend")
    )
    yield f"Settings: {settings}; {record['threads']} threads."
    if "free" in record:
        yield (
            "Each run had a process of its own, NumPy's and torch's in turn. Seconds an epoch: the "
            "median over the recorded epochs of all runs, evaluation and snapshots included. Peak "
            "memory: by how much the resident memory, at its highest in the steps of the first "
            "epoch, exceeded that of the process with everything imported, the data loaded and "
            "the network made; the median over the runs."
        )
        yield f"Tested on: {record['free']['runs'][0]['test_is']}."
    machine = record["machine"]
    busy = " It was busy: PyTorch then waits for its threads, and times mean little."
    yield f"Machine: {in_one_line(machine)}.{busy if is_busy(machine) else ''}"
