"""Sentences of judgement under tables and figures, made of recorded numbers and nothing else.

Accuracies are fractions, and are said in per cent; differences of them in points of a hundred.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from funcnn.experiments.compare.results import Difference, compare_means
from funcnn.experiments.figures.plots import share_of_class
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.run_folder import EpochRow, loss_text
from funcnn.experiments.training.spread import Spread
from funcnn.types import Array

Scores = Sequence[tuple[str, Spread]]
"""What settings are called, and the accuracies of their runs."""

_RISES = 1.02  # times its lowest: from there on a loss is said to rise again


def percent(spread: Spread) -> str:
    """An accuracy: `98.41 ± 0.12 %`."""
    return f"{spread.text('{:.2f}', 100)} %"


def points(difference: float) -> str:
    """How far two accuracies are apart."""
    return f"{100 * abs(difference):.2f} points"


def gained(gap: Difference) -> str:
    """How far the second of two is above the first: `+0.35`, and `+0.00` for less than nothing."""
    return f"{round(100 * gap.difference, 2) + 0.0:+.2f}"


def beyond(gap: Difference) -> str:
    """Whether a difference is more than the seeds alone would make, to stand behind it."""
    if gap.standard_error is None:
        return "; one seed has no spread, so that this may be chance"
    error = f"{points(2 * gap.standard_error)}, twice its standard error over {gap.seeds} seeds"
    if gap.larger:
        return f", more than {error}"
    return f", not more than {error}: no difference beyond the spread"


def best_of(scores: Scores) -> str:
    """Which setting is best, by how much, and whether that is beyond the spread; which is worst."""
    ranked = sorted(scores, key=lambda score: -score[1].mean)
    (first, top), (last, bottom) = ranked[0], ranked[-1]
    mean = f"{100 * top.mean:.2f}"  # what differs from it by less than is printed is level
    level = {label: spread for label, spread in ranked if f"{100 * spread.mean:.2f}" == mean}
    below = [score for score in ranked if score[0] not in level]
    printed = {*map(percent, level.values())}
    each = printed.pop() if len(printed) == 1 else f"{mean} %"
    if not below:
        return f"all {len(scores)} settings come to {each}"
    if len(level) > 1:
        said = f"{listed([*level])} are the best, with {each} each"
    else:
        said = f"**{first}** is the best, with {percent(top)}"
    following, spread = below[0]
    gap = compare_means(spread, top)
    said += f": {points(gap.difference)} above {following}, the next{beyond(gap)}"
    if len(below) > 1:
        said += f". {last} is the last, with {percent(bottom)}"
    return said


def against(first: tuple[str, Spread], second: tuple[str, Spread]) -> str:
    """How far the second of two is from the first."""
    gap = compare_means(first[1], second[1])
    if not gap.difference:
        return f"{second[0]} and {first[0]} come to the same"
    place = "above" if gap.difference > 0 else "below"
    return f"{second[0]} is {points(gap.difference)} {place} {first[0]}{beyond(gap)}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


# --- what a change of the settings does, and why ----------------------------------------------

_WHY: Mapping[str, str] = {
    "channels": "a convolution looks at neighbouring pixels with the same few weights at every "
    "place, and pooling forgives small shifts",
    "loss": "in the cross-entropy of the softmax the classes compete, while nearly all targets of "
    "the squared error are 0, so that it first pulls all outputs there",
    "activation": "ReLU passes the gradient on whole where it is above 0; the derivative of the "
    "sigmoid is at most 1/4, so that little arrives at the first layer",
    "weight_init": "weights of the right size keep signals and gradients as large from layer to "
    "layer; He's make up for the half that ReLU drops",
    "momentum": "a step carries the gradients of the batches before, and is fast where they agree",
    "schedule": "small steps in the end let the noise of the batches settle",
    "optimizer": "a step is divided by the size of each weight's own gradients, so that those with "
    "small ones move as far",
    "hidden": "more units, in more layers, can tell more apart",
    "lr": "larger steps come further in as many epochs",
    "weight_decay": "weights that fit only noise are pulled back to 0",
    "label_smoothing": "outputs need not grow for ever, and images that are hard to tell pull less",
    "augment": "images that are other ones in every epoch cannot be learned by heart",
    "average": "the noise of the last steps averages out",
    "dropout": "no unit can rely on another one alone, and so fewer of them fit noise",
}
"""Why a change helps, by the setting; of several the first here is the cause."""


def why(before: RunConfig, after: RunConfig) -> str | None:
    """The reason for what the first of the changed settings does."""
    return next((_WHY[key] for key in _WHY if getattr(before, key) != getattr(after, key)), None)


def epochs_in_words(epochs: int) -> str:
    """`1 epoch`, `2 epochs`."""
    return "1 epoch" if epochs == 1 else f"{epochs} epochs"


def of_step(label: str, gap: Difference, reason: str | None) -> str:
    """What a step of an ablation did: the gap is that to the step before."""
    tried = f" It was tried because {reason}." if reason else ""
    if not gap.larger:
        return f"{label}: {gained(gap)} points{beyond(gap)}.{tried}"
    if gap.difference < 0:
        return f"{label}: it cost {points(gap.difference)}{beyond(gap)}.{tried}"
    because = f" Why: {reason}." if reason else ""
    return f"**{label}: {points(gap.difference)} more**{beyond(gap)}.{because}"


# --- figures ----------------------------------------------------------------------------------


def of_curve(rows: Sequence[EpochRow], kept: int) -> str:
    """How a training went on: when the validation loss was lowest, and how far apart it ended.

    kept: the epoch whose params were kept.
    """
    last = rows[-1]
    losses = {row.epoch: row.val_loss for row in rows if row.val_loss is not None}
    if not losses or last.val_loss is None or last.val_accuracy is None:
        first, end = (loss_in_words(row.train_loss) for row in (rows[0], last))
        return f"The training loss goes from {first} to {end}."
    lowest = min(losses, key=lambda epoch: losses[epoch])
    said = f"The validation loss is lowest, {loss_in_words(losses[lowest])}, after epoch {lowest}"
    of_epoch = {row.epoch: row for row in rows}
    if last.val_loss > _RISES * losses[lowest]:
        said += f" and rises to {loss_in_words(last.val_loss)} by the last"
        if last.train_loss < of_epoch[lowest].train_loss:
            said += (
                f" while the training loss falls on to {loss_in_words(last.train_loss)}: from "
                "there it learns its training images by heart"
            )
    elif lowest == last.epoch:
        said += ", the last"
    else:
        said += f" and is {loss_in_words(last.val_loss)} after the last"
    row = of_epoch[kept]
    assert row.val_accuracy is not None
    apart = row.train_accuracy - row.val_accuracy
    place = "above" if apart > 0 else "below"
    return (
        f"{said}. In epoch {kept}, the best on validation, whose weights are kept, the accuracy in "
        f"training is "
        f"{points(apart)} {place} that of validation."
    )


def of_curves(losses: Mapping[str, Sequence[float]], *, ranked: bool = True) -> str:
    """Of several trainings, by their losses over epochs, which ends lowest and highest.

    ranked: or else each by itself, as on data that are not the same.
    """
    ends = sorted(losses, key=lambda label: losses[label][-1])
    low, high = ends[0], ends[-1]
    least, most = (loss_in_words(losses[label][-1]) for label in (low, high))
    said = f"In the end {low} has the lowest loss, {least}, and {high} the highest, {most}"
    if not ranked:
        each = [f"{loss_in_words(of[-1])} for {label}" for label, of in losses.items()]
        said = f"In the end the loss is {listed(each)}"
    rising = [label for label in losses if losses[label][-1] > _RISES * min(losses[label])]
    if rising:
        ends_of = "ends" if len(rising) == 1 else "end"
        said += f"; {listed(rising)} {ends_of} above an earlier epoch"
    return f"{said}."


def loss_in_words(loss: float) -> str:
    """A loss, however small."""
    return loss_text(loss) if loss >= 1e-3 else f"{loss:.1e}"


def of_confusion(counts: Array, names: Sequence[str]) -> str:
    """Which class is recognised best and worst, and what that is taken for. counts: `(K, K)`."""
    shares = share_of_class(counts)
    of_class = np.where(counts.sum(1) > 0, np.diag(shares), np.nan)
    if not np.isfinite(of_class).any():
        return "There is no image of any class."
    best, worst = int(np.nanargmax(of_class)), int(np.nanargmin(of_class))
    said = f"{names[best]} is recognised best, {of_class[best]:.1%} of its images"
    if of_class[worst] == of_class[best]:
        return f"Every class is recognised alike, {of_class[best]:.1%} of its images."
    wrong = shares[worst] - shares[worst, worst] * np.eye(len(names))[worst]
    for_class = int(wrong.argmax())
    return (
        f"{said}; {names[worst]} worst, {of_class[worst]:.1%}: it is most often taken for "
        f"{names[for_class]}, {wrong[for_class]:.1%}."
    )
