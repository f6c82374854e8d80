"""What the runs of `points` came to, in sentences: which settings are best, which fail and how."""

from collections.abc import Mapping, Sequence

from funcnn.experiments.labs.judgements import listed, loss_in_words
from funcnn.experiments.labs.points_runs import PointsRun
from funcnn.experiments.training.run_folder import EpochRow
from funcnn.experiments.training.spread import spread

_FLOOR = 0.9  # of the accuracy, as the lab asks
_MOVES = 0.01  # of the loss over the last tenth of the epochs, if it is not said to stand

Runs = Mapping[str, Sequence[PointsRun]]
"""Settings, and the run of each seed."""


def of_settings(runs: Runs, *, ranked: bool = True) -> list[str]:
    """Which settings have every point right with every seed; and of the others what went wrong.

    ranked: whether one is said to be the best, as of settings on the same points.
    """
    whole = {label: of for label, of in runs.items() if all(run.accuracy == 1 for run in of)}
    return [_of_best(whole, runs, ranked), *filter(None, map(_of_failures, runs, runs.values()))]


def _of_best(whole: Runs, runs: Runs, ranked: bool) -> str:
    if not whole and not ranked:
        return "No setting has every point right with every seed."
    if not whole:
        means = {label: spread([run.accuracy for run in of]).mean for label, of in runs.items()}
        best = max(means, key=lambda label: means[label])
        return f"No setting has every point right with every seed; **{best}** is nearest, with " + (
            f"{_accuracy(runs[best])}."
        )
    losses = {label: spread([run.loss for run in of]).mean for label, of in whole.items()}
    best, *others = sorted(losses, key=lambda label: losses[label])
    every = "with every seed" if len(whole[best]) > 1 else "with this seed"
    said = (
        f"{len(whole)} of {len(runs)} settings have every point right {every} ({'; '.join(whole)})"
    )
    if not others or not ranked:
        return f"{said}."
    ends = f"{loss_in_words(losses[best])}; next is {others[0]}, {loss_in_words(losses[others[0]])}"
    return f"{said}. Of these **{best}** ends with the lowest loss in the mean, {ends}."


def _accuracy(runs: Sequence[PointsRun]) -> str:
    return f"{spread([run.accuracy for run in runs]).text('{:.2f}', 100)} %"


def _of_failures(label: str, runs: Sequence[PointsRun]) -> str | None:
    """Which runs of a setting are below the floor, and what can be seen in them; None: none is."""
    failed = {seed: run for seed, run in enumerate(runs) if run.accuracy < _FLOOR}
    if not failed:
        return None
    same: dict[str, list[str]] = {}
    for seed, run in failed.items():
        same.setdefault(_symptoms(run), []).append(str(seed))
    parts = [
        f"{'seed' if len(seeds) == 1 else 'seeds'} {listed(seeds)}: {symptoms}"
        for symptoms, seeds in same.items()
    ]
    how_many = f"{len(failed)} of {len(runs)} runs" if len(runs) > 1 else "the run"
    return f"**{label}, {_accuracy(runs)}**: below {_FLOOR:.0%} in {how_many}. {'; '.join(parts)}."


def _symptoms(run: PointsRun) -> str:
    said = [f"{run.accuracy:.2%}"]
    if run.only_class is not None:
        said.append(f"every point is put into class {run.only_class}")
    if run.silent:
        said.append(
            f"{run.silent} of {run.hidden} hidden units are 0 for every point, and let no gradient "
            "through"
        )
    elif run.constant:
        said.append(f"{run.constant} of {run.hidden} hidden units are the same for every point")
    if run.earlier is not None:
        ends = f"from {loss_in_words(run.earlier)} to {loss_in_words(run.loss)}"
        if abs(run.earlier - run.loss) <= _MOVES * run.earlier:
            moves = f"stands at {loss_in_words(run.loss)}"
        else:
            moves = f"{'still falls' if run.loss < run.earlier else 'rises'}, {ends},"
        said.append(f"the loss {moves} over the last tenth of the epochs")
    return ", ".join(said)


def when_right(rows: Sequence[EpochRow]) -> str:
    """Since when every point is in its class."""
    wrong = [row.epoch for row in rows if row.train_accuracy < 1]
    since = next((row.epoch for row in rows if row.epoch > max(wrong, default=0)), None)
    if since is None:
        return f"At the end {rows[-1].train_accuracy:.2%} of the points are in their classes."
    return f"From epoch {since} on, of those recorded, every point is in its class."
