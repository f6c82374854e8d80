"""What the reports of several labs have in common: tables of settings, and sections of sweeps."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funcnn.experiments.compare.results import LARGER_THAN, chance_beyond
from funcnn.experiments.figures import plots
from funcnn.experiments.figures.console import console
from funcnn.experiments.figures.drawing import drawn
from funcnn.experiments.figures.scores import Score
from funcnn.experiments.labs import judgements
from funcnn.experiments.labs.lab import SEEDS, Results, Trial
from funcnn.experiments.reports.document import (
    Block,
    Listing,
    Picture,
    Section,
    Table,
    Text,
    finding,
)
from funcnn.experiments.system.machine import Machine, in_one_line
from funcnn.experiments.tasks.config import BACKENDS
from funcnn.experiments.training.run_folder import EpochRow, loss_text
from funcnn.experiments.training.spread import Spread

ACCURACIES = {"val_accuracy": "validation (%)", "test_accuracy": "test (%)"}
"""Numbers in the summaries, and what they are called in a table."""


BACKEND_NAMES = {"numpy": "NumPy", "torch": "PyTorch"}


def run_in_words(name: str) -> str:
    """A backend, or the folder of a run of it: `NumPy`, `NumPy (seed 0)`."""
    backend, _, seed = name.partition("-seed-")
    return BACKEND_NAMES[backend] + (f" (seed {seed})" if seed else "")


class Setting(NamedTuple):
    """A trial in a table or figure, and what it is called there."""

    label: str
    trial: Trial


def verdict(
    results: Results, trial: Trial, asked: float, score: str = "val_accuracy", whose: str = ""
) -> Text:
    """Whether the lowest run of each backend has the accuracy (a fraction) that the lab asks for.

    By the validation set where the test set has no labels; the test set is called what it is.
    whose: the network, where there are several.
    """
    if results.spread(trial, "numpy", score) is None:
        score = "val_accuracy"
    lowest = {
        BACKEND_NAMES[backend]: min(
            results.summary(trial, backend, seed)[score] for seed in results.seeds
        )
        for backend in trial.backends
    }
    part = "the validation set" if score == "val_accuracy" else results.summary(trial)["test_is"]
    accuracies = ", ".join(f"{name} **{100 * value:.2f} %**" for name, value in lowest.items())
    runs = "the lowest of the runs" if len(results.seeds) > 1 else "one run"
    short = [name for name, value in lowest.items() if value < asked]
    met = f"{' and '.join(short)} below it" if short else "met"
    asks = f"{whose and f'{whose}: '}The lab asks for {100 * asked:g} %."
    return finding(f"{asks} On {part}, {runs} on each side: {accuracies}; {met}.")


def epoch_line(row: EpochRow) -> str:
    """What is printed for an epoch where the lab has no form of its own."""
    parts = [
        f"{name} loss {loss_text(loss)} {accuracy:.2%}"
        for name, loss, accuracy in (
            ("train", row.train_loss, row.train_accuracy),
            ("val", row.val_loss, row.val_accuracy),
            ("test", row.test_loss, row.test_accuracy),
        )
        if loss is not None and accuracy is not None
    ]
    return "  ".join((f"epoch {row.epoch:2}", *parts))


def facts(results: Results) -> list[tuple[str, str]]:
    """What a reader must know about all of the numbers."""
    seeds = len(results.seeds)
    spread = (
        "numbers are means ± standard deviations over them; a seed decides first weights, the "
        "order of the examples, and which are set aside, where that is by chance"
    )
    pairs = [("Seeds", f"{seeds}; {spread}" if seeds > 1 else "1, so nothing here has a spread")]
    whole = "of the training with seed 0"
    if results.others_shown:
        whole = (
            "of the trainings in the notebooks, each one more with the same settings, and in no "
            "table: they say what is printed there; what no notebook trains is of seed 0"
        )
    pairs.append(("Curves, screens and pictures", whole))
    if seeds > 1:
        chance = chance_beyond(LARGER_THAN, 2 * seeds - 2)
        held = (
            "are held against twice their standard error, which those of equal settings exceed by "
            f"chance in {chance:.0%} of cases with {seeds} seeds: that is a hint and no test"
        )
        pairs.append(("Differences", held))
    if results.main_only:
        pairs.append(("Runs", "**only the main ones**: what each choice changed is not in here"))
    if results.quick:
        changed = ", ".join(f"{key} {value}" for key, value in results.lab.quick.items())
        fewer = f", and {seeds} of {SEEDS} seeds" if seeds < SEEDS else ""
        pairs.append(("Quick version", f"**{changed}**{fewer}"))
    return [*pairs, ("Machine", machine_of_a_lab(results.machine))]


def machine_of_a_lab(machine: Machine) -> str:
    """A machine in words, without the packages that a teacher has no use for."""
    beside = ("funcnn", "jax", "scikit-learn")
    return in_one_line({name: value for name, value in machine.items() if name not in beside})


def cell(spread: Spread | None, score: str) -> str:
    """A score in a table, accuracies in per cent: `98.41 ± 0.12`; a dash where there is none."""
    if spread is None:
        return "-"
    form, scale = ("{:.2f}", 100) if score.endswith("_accuracy") else ("{:.4f}", 1)
    return spread.text(form, scale)


def side_by_side_table(
    results: Results,
    settings: Sequence[Setting],
    what: str,
    caption: str,
    scores: Mapping[str, str] = ACCURACIES,
) -> Table:
    """Scores of settings in the backends that they have; in another one they have a dash."""
    backends = [name for name in BACKENDS if any(name in trial.backends for _, trial in settings)]
    header = [what]
    for backend in backends:
        header += [f"{BACKEND_NAMES[backend]}: {words}" for words in scores.values()]
    rows = []
    for label, trial in settings:
        row = [label]
        for backend in backends:
            for score in scores:
                trained = backend in trial.backends
                spread = results.spread(trial, backend, score) if trained else None
                row.append(cell(spread, score))
        rows.append(tuple(row))
    return Table(tuple(header), tuple(rows), caption)


def compared(
    results: Results,
    settings: Sequence[Setting],
    what: str,
    caption: str,
    scores: Mapping[str, str] = ACCURACIES,
) -> list[Block]:
    """The table of `side_by_side_table`, and which setting or backend is better by how much."""
    table = side_by_side_table(results, settings, what, caption, scores)
    return [table, judgement(results, settings)]


def judgement(results: Results, settings: Sequence[Setting], score: str = "val_accuracy") -> Text:
    """Which of several settings is best in each backend; of one, which backend.

    By the test set where there is no validation set.
    """
    trial = settings[0].trial
    if results.spread(trial, trial.backends[0], score) is None:
        score = "test_accuracy"
    scored = {
        backend: [
            (label, spread)
            for label, trial in settings
            if backend in trial.backends
            and (spread := results.spread(trial, backend, score)) is not None
        ]
        for backend in BACKENDS
    }
    is_validation = score == "val_accuracy"
    test_is = results.summary(trial, trial.backends[0])["test_is"]
    by = "the validation set" if is_validation else test_is
    part = f"By {by.partition(',')[0]}"
    if len(settings) == 1:
        numpy, torch = (
            (BACKEND_NAMES[name], spread) for name in BACKENDS for _, spread in scored[name]
        )
        return finding(f"{part} {judgements.against(numpy, torch)}.")
    sentences = [
        f"{BACKEND_NAMES[backend]}: {judgements.best_of(scores)}."
        for backend, scores in scored.items()
        if len(scores) > 1
    ]
    return finding(f"{part}, in {' In '.join(sentences)}")


def sweep(
    results: Results,
    title: str,
    settings: Sequence[Setting],
    what: str,
    name: str,
    rest: str,
    scores: Mapping[str, str] = ACCURACIES,
) -> Section:
    """A table of settings, and the curves of NumPy's first runs.

    what: the settings in a word. name: of the figure's file. rest: what else they have in common.
    The curves are of the validation set, or of training where there is none.
    """
    part = "train" if results.rows(settings[0].trial)[0].val_loss is None else "val"
    path = results.out / "figures" / f"sweep-{name}.png"
    curves = []
    of_first_runs = {label: results.rows(trial) for label, trial in settings}
    for label, rows in of_first_runs.items():
        losses, accuracies = (
            np.array([getattr(row, f"{part}_{of}") for row in rows]) for of in ("loss", "accuracy")
        )
        curves.append(plots.Curve(label, [row.epoch for row in rows], losses, 100 * accuracies))
    ends = {curve.label: curve.losses.tolist() for curve in curves}
    words = {"train": "training", "val": "validation"}[part]
    caption = f"{title}: {words} loss and accuracy over epochs (NumPy, seed 0)."
    return Section(
        title,
        (
            *compared(results, settings, what, f"{title}; {rest}.", scores),
            shown(path, caption, plots.curves, curves, words),
            finding(judgements.of_curves(ends)),
        ),
    )


def shown(path: Path, caption: str, draw: Callable[..., None], *args: Any) -> Block:
    """The figure that `draw(path, *args)` makes, or what is said in its place if it cannot."""
    if drawn(draw, path, *args):
        return Picture(path, caption)
    return finding(f"{caption} (This figure could not be drawn.)")


def screen(path: Path, text: str, caption: str) -> Block:
    """What was printed, as a picture of the screen, or as text if that cannot be drawn."""
    if drawn(console, path, text):
        return Picture(path, caption, text)
    return Listing(text, caption)


def scores_of(results: Results, settings: Sequence[Setting], score: str) -> list[Score]:
    """The dots of settings in their backends, in per cent."""
    scores: list[Score] = []
    for label, trial in settings:
        for backend in trial.backends:
            values = results.spread(trial, backend, score)
            if values is not None:
                std = None if values.std is None else 100 * values.std
                scores.append(Score(label, BACKEND_NAMES[backend], 100 * values.mean, std))
    return scores
