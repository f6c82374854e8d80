"""Steps: trials each of which changes the settings of the one before, and what that gained."""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from funcnn.experiments.compare.results import Difference, compare_means
from funcnn.experiments.figures import scores as score_figures
from funcnn.experiments.labs import judgements
from funcnn.experiments.labs.lab import Results, Trial
from funcnn.experiments.labs.tables import ACCURACIES, Setting, cell, scores_of, shown
from funcnn.experiments.reports.document import (
    Block,
    Items,
    Table,
    finding,
)


def one_after_another(
    start: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]
) -> list[Setting]:
    """Trials of the NumPy backend, each with the settings of the one before and a change."""
    steps, settings = [], dict(start)
    for index, (label, change) in enumerate(changes.items()):
        settings |= change
        steps.append(Setting(label, Trial(f"step-{index}", dict(settings), backends=("numpy",))))
    return steps


def ablation(results: Results, steps: Sequence[Setting]) -> list[Block]:
    """A table and a figure of steps, each of which changes the one before (NumPy)."""
    rows = []
    trials = itertools.pairwise(trial for _, trial in steps)
    gaps = [None, *itertools.starmap(partial(_gap, results), trials)]
    for (label, trial), gap in zip(steps, gaps, strict=True):
        spreads = {score: results.spread(trial, "numpy", score) for score in ACCURACIES}
        gained = "" if gap is None else judgements.gained(gap)
        cells = [cell(spreads[score], score) for score in ACCURACIES]
        rows.append((label, cells[0], gained, cells[1]))
    gains = {step.label: 100 * gap.difference for step, gap in zip(steps, gaps, strict=True) if gap}
    largest = max(gains, key=lambda label: gains[label])
    path = results.out / "figures" / "steps.png"
    first = [Setting(label, trial._replace(backends=("numpy",))) for label, trial in steps]
    scores = scores_of(results, first, "val_accuracy")
    return [
        Table(
            ("step", "validation (%)", "gained (points)", "test (%)"),
            tuple(rows),
            "From a plain beginning to the network above, each step with the changes that it names "
            f"(NumPy). {_epochs(results, steps)} Gains are of means before they are rounded. "
            "Every step is kept, whether it gained or not; the test set is only shown.",
        ),
        finding(
            f"All steps together change the accuracy on the validation set by "
            f"{sum(gains.values()):+.2f} points. The largest step is **{largest}**, "
            f"{gains[largest]:+.2f} points."
        ),
        shown(path, "The same steps.", score_figures.dots, scores, "validation accuracy (%)"),
        Items([_step(results, *pair) for pair in itertools.pairwise(steps)]),
    ]


def what_changed(
    results: Results, steps: Sequence[Setting], change: str, words: str
) -> list[Block]:
    """What the step whose label begins with this did to the accuracy, and why, after these words.

    Nothing, if only the main ones are trained.
    """
    if results.main_only:
        return []
    pairs = itertools.pairwise(steps)
    step = next(pair for pair in pairs if pair[1].label.startswith(change))
    return [finding(f"{words} {_step(results, *step)}")]


def step_in_words(results: Results, label: str, before: Trial, after: Trial) -> str:
    """What the step of this name from one trial to the next did to the accuracy, and why."""
    reason = judgements.why(results.config(before), results.config(after))
    return judgements.of_step(label, _gap(results, before, after), reason)


def _step(results: Results, before: Setting, after: Setting) -> str:
    return step_in_words(results, after.label, before.trial, after.trial)


def _gap(results: Results, before: Trial, after: Trial) -> Difference:
    """How far the validation accuracies of two trials are apart (NumPy)."""
    first, second = (results.spread(trial, "numpy", "val_accuracy") for trial in (before, after))
    assert first is not None  # image labs have a validation set
    assert second is not None
    return compare_means(first, second)


def _epochs(results: Results, steps: Sequence[Setting]) -> str:
    """How long networks with and without convolutions were trained."""
    lengths = {}
    for _, trial in steps:
        config = results.config(trial)
        kind = "with" if config.channels else "without"
        lengths[kind] = judgements.epochs_in_words(config.epochs)
    if len({*lengths.values()}) == 1:
        return f"{lengths['without']} each."
    said = (f"{lengths[kind]} {kind} convolutions" for kind in sorted(lengths, reverse=True))
    return f"{', '.join(said)}."
