"""What the reports of several labs have in common: tables of settings, and sections of sweeps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from funcnn.experiments import figures
from funcnn.experiments.config import BACKENDS
from funcnn.experiments.document import Picture, Section, Table
from funcnn.experiments.lab import SEEDS, Results, Trial, number, percent
from funcnn.experiments.machine import in_one_line


class Setting(NamedTuple):
    """A trial in a table or figure, and what it is called there."""

    label: str
    trial: Trial


def facts(results: Results) -> list[tuple[str, str]]:
    """What a reader must know about all of the numbers."""
    seeds = len(results.seeds)
    spread = "numbers are means ± standard deviations over them"
    said = [("Seeds", f"{seeds}; {spread}" if seeds > 1 else "1, so nothing here has a spread")]
    if results.quick:
        changed = ", ".join(f"{key} {value}" for key, value in results.lab.quick.items())
        said.append(("Quick version", f"**{changed}**, and 1 seed in the place of {SEEDS}"))
    return [*said, ("Machine", in_one_line(results.machine))]


def side_by_side_table(
    results: Results, settings: Sequence[Setting], what: str, caption: str
) -> Table:
    """Accuracy and loss of settings on both sides; a side that was not trained has a dash."""
    header = [what]
    for backend in BACKENDS:
        header += [f"{backend}: accuracy (%)", f"{backend}: loss (nats)"]
    rows = []
    for label, trial in settings:
        row = [label]
        for backend in BACKENDS:
            if backend in trial.backends:
                row.append(percent(results.spread(trial, backend, "test_accuracy")))
                row.append(number(results.spread(trial, backend, "test_loss")))
            else:
                row += ["-", "-"]
        rows.append(tuple(row))
    return Table(tuple(header), tuple(rows), caption)


def sweep(
    results: Results, title: str, settings: Sequence[Setting], what: str, name: str, rest: str
) -> Section:
    """A table of settings, and the curves of NumPy's first runs.

    what: the settings in a word. name: of the figure's file. rest: what else they have in common.
    """
    path = results.path / "figures" / f"sweep-{name}.png"
    curves = []
    for label, trial in settings:
        rows = results.rows(trial)
        losses, accuracies = (
            np.array([getattr(row, f"train_{of}") for row in rows]) for of in ("loss", "accuracy")
        )
        curves.append(figures.Curve(label, [row.epoch for row in rows], losses, 100 * accuracies))
    figures.curves(path, curves, "training")
    return Section(
        title,
        (
            side_by_side_table(results, settings, what, f"{title}; {rest}."),
            Picture(path, f"{title}: loss and accuracy over epochs (NumPy, seed 0)."),
        ),
    )
