"""Figures of learning and of its results: curves, functions, confusion, points, bars."""

import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from funcnn.experiments.errors import printable
from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.style import (
    BLUE,
    COLOURS,
    MARKERS,
    ORANGE,
    STYLES,
    hide_axis,
    new_figure,
    short_names,
    whole_numbers,
    write_figure,
)
from funcnn.metrics import predicted_classes
from funcnn.types import Array

MAX_CURVES = len(COLOURS) * len(STYLES)
_FAR_APART = 100  # from this ratio on the smaller of two losses cannot be told from 0


class Curve(NamedTuple):
    """A run in a figure of several: what it is called, and a loss and accuracy for each epoch."""

    label: str
    epochs: list[int]
    losses: Array
    accuracies: Array
    """In per cent."""


@figure_file
def curves(path: Path, runs: list[Curve], measured_on: str, unit: str = "nats") -> None:
    """Losses and accuracies of up to `MAX_CURVES` runs; what they were measured on is in words.

    unit: of the losses, as `nats`. Losses of very different sizes have a logarithmic axis.
    """
    labels = [textwrap.fill(printable(run.label), 100) for run in runs]
    columns = max(1, 118 // (8 + max(len(line) for label in labels for line in label.split("\n"))))
    lines = -(-sum(1 + label.count("\n") for label in labels) // columns)
    figure, (axes,) = new_figure(1, 2, (10, 4 + 0.22 * lines))
    all_looks = itertools.product(zip(STYLES, MARKERS, strict=True), COLOURS)
    for run, label, ((style, marker), colour) in zip(runs, labels, all_looks, strict=False):
        looks = {"color": colour, "linestyle": style}
        if len(run.epochs) == 1:  # no line to see
            looks["marker"] = marker
        for axis, values in zip(axes, (run.losses, run.accuracies), strict=True):
            axis.plot(run.epochs, values, label=label, **looks)
    losses = np.concatenate([run.losses for run in runs])
    losses = losses[np.isfinite(losses)]
    if len(losses) and 0 < _FAR_APART * losses.min() < losses.max():
        axes[0].set_yscale("log")
    for axis, name in zip(axes, (f"loss ({unit})", "accuracy (%)"), strict=True):
        axis.set_xlabel("epoch")
        axis.set_ylabel(f"{measured_on} {name}".strip())
        axis.grid(alpha=0.3)
        whole_numbers(axis, [epoch for run in runs for epoch in run.epochs])
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=columns, handlelength=3)
    write_figure(figure, path)


@figure_file
def rate_sweep(path: Path, rates: Array, losses: Array, marks: dict[str, float], unit: str) -> None:
    """The loss at each learning rate of a sweep, and rates that stand out, by what they are.

    rates, losses: `(S,)`. unit: of the losses, as `nats`.
    """
    figure, ((axis,),) = new_figure(1, 1, (7, 4.2))
    axis.plot(rates, losses, "-", color=BLUE)
    looks = zip(STYLES[1:], COLOURS[1:], strict=False)
    for (label, rate), (style, colour) in zip(marks.items(), looks, strict=False):
        axis.axvline(rate, linestyle=style, color=colour, label=f"{label}: {rate:.2g}")
    axis.set_xscale("log")
    first, least = losses[0], np.nanmin(losses)
    if first > least:  # what diverges goes out of the picture
        axis.set_ylim(least - 0.1 * (first - least), first + 0.5 * (first - least))
    axis.set_xlabel("learning rate")
    axis.set_ylabel(f"training loss, smoothed ({unit})")
    axis.grid(alpha=0.3)
    if marks:
        figure.legend(loc="outside upper center", ncols=len(marks), handlelength=3)
    write_figure(figure, path)


@figure_file
def functions(path: Path, x: Array, panels: list[tuple[str, Array, Array]]) -> None:
    """Functions of one number, a panel each: a title, y at every x, and the derivative there."""
    columns = 4
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(rows, columns, (2.5 * columns, 2.1 * rows + 0.4))
    for axis in axes.ravel()[len(panels) :]:
        hide_axis(axis)
    for axis, (title, y, derivative) in zip(axes.ravel(), panels, strict=False):
        axis.plot(x, _broken(y), "-", color=BLUE, label="$y = f(x)$")
        axis.plot(x, _broken(derivative), "--", color=ORANGE, label="derivative $dy/dx$")
        axis.set_title(title, fontsize=10)
        axis.set_xlim(x[0], x[-1])
        axis.set_ylim(-2.2, 3.2)
        axis.set_yticks(range(-2, 4))
        axis.grid(alpha=0.3)
        axis.label_outer()
    figure.supxlabel("$x$")
    figure.supylabel("$y$ and $dy/dx$")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=2, handlelength=3)
    write_figure(figure, path)


def _broken(y: Array) -> Array:
    """The values with a gap, not a steep line, where they jump."""
    broken = np.array(y)
    broken[1:][np.abs(np.diff(y)) > 0.1] = np.nan
    return broken


def share_of_class(counts: Array) -> Array:
    """Counts (K, K) as shares of the true class, whose rows sum to 1 (or 0 where it has none)."""
    totals = counts.sum(1, keepdims=True)
    shares: Array = counts / np.maximum(totals, 1)
    return shares


@figure_file
def confusion(path: Path, counts: Array, class_names: Sequence[str]) -> None:
    """A confusion matrix: each row a true class, as the percentage predicted of each class."""
    _draw_shares(path, 100 * share_of_class(counts), class_names, 100, " (%)")


@figure_file
def probabilities(path: Path, counts: Array, class_names: Sequence[str]) -> None:
    """A confusion matrix as probabilities: those of each predicted class, given the true one."""
    _draw_shares(path, share_of_class(counts), class_names, 1, ", from 0 to 1")


def _draw_shares(
    path: Path, shares: Array, class_names: Sequence[str], whole: int, unit: str
) -> None:
    """Shares (K, K) of each row's class, of which `whole` is all; up to 20 classes in numbers."""
    classes = len(class_names)
    many = classes > 20
    side = 7.0 if many else max(3.5, 0.62 * classes)
    figure, ((axis,),) = new_figure(1, 1, (side + 1.2, side))
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=whole)
    names = short_names(class_names)
    looks = {"parse_math": False, "fontsize": 7 if many else 11}
    slanted = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 2 else {}
    axis.set_xticks(range(classes), names, **looks, **slanted)
    axis.set_yticks(range(classes), names, **looks)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    size = 10 if whole == 100 else 9
    if not many:
        for (row, column), value in np.ndenumerate(shares):
            text = f"{value:.1f}" if whole == 100 else f"{value:.3f}"
            text = "100" if text == "100.0" else text
            if float(text) or whole == 1:  # the probabilities of a row are all there: they sum to 1
                colour = "white" if value > 0.55 * whole else "black" if float(text) else "darkgrey"
                axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    figure.colorbar(image, label=f"share of the true class{unit}")
    write_figure(figure, path)


@figure_file
def points(path: Path, examples: tuple[Array, Array], outputs: Array | None) -> None:
    """Points in the plane: their labels and, beside them, the classes predicted by `outputs`."""
    x, labels = examples
    panels = [("ground truth", labels.ravel())]
    if outputs is not None:
        panels.append(("prediction", predicted_classes(outputs)))
    figure, (axes,) = new_figure(1, len(panels), (4.5 * len(panels), 4.2))
    for axis, (title, classes) in zip(axes, panels, strict=True):
        for label, colour, marker in ((0, BLUE, "o"), (1, ORANGE, "s")):
            chosen = x[classes == label]
            axis.scatter(
                chosen[:, 0], chosen[:, 1], c=colour, marker=marker, label=f"class {label}"
            )
        axis.set_title(title)
        axis.set_xlabel("$x_0$")
        axis.set_ylabel("$x_1$")
        axis.set_aspect("equal")
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    write_figure(figure, path)


class Bar(NamedTuple):
    """A bar: whose it is, its length, the quartiles, and the ratio to a reference, if any."""

    name: str
    value: float
    low: float
    high: float
    ratio: float | None


class Panel(NamedTuple):
    """Bars of one unit, at most one for each name."""

    title: str
    unit: str
    bars: list[Bar]


@figure_file
def bars(path: Path, panels: list[Panel], names: list[str], note: str) -> None:
    """Panels of horizontal bars, their ratios beside them; a name has one colour in them all.

    names: all that there can be, from the top; one without a bar gets no place. note: below.
    """
    looks = dict(zip(names, itertools.cycle(COLOURS), strict=False))
    used = {bar.name for panel in panels for bar in panel.bars}
    shown = [name for name in names if name in used]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    width, height = 2.4 * columns + 1.6, (0.3 * len(shown) + 1.0) * rows + 0.5
    figure, axes = new_figure(rows, columns, (width, height))
    for axis in axes.ravel()[len(panels) :]:
        hide_axis(axis)
    for number, (axis, panel) in enumerate(zip(axes.ravel(), panels, strict=False)):
        longest = max(bar.high for bar in panel.bars)
        for bar in panel.bars:
            place = shown.index(bar.name)
            spread = [[bar.value - bar.low], [bar.high - bar.value]]
            axis.barh(place, bar.value, xerr=spread, color=looks[bar.name], ecolor="#444444")
            if bar.ratio is not None:
                end = bar.high + 0.04 * longest
                axis.text(end, place, f"{bar.ratio:.2f}x", va="center", fontsize=8)
        axis.set_title(panel.title, fontsize=10)
        axis.set_xlabel(panel.unit)
        axis.set_xlim(0, 1.35 * longest)
        axis.set_ylim(len(shown) - 0.4, -0.6)
        axis.set_yticks(range(len(shown)), shown if number % columns == 0 else [""] * len(shown))
        axis.grid(alpha=0.3, axis="x")
    figure.supxlabel(textwrap.fill(note, int(14 * width)), fontsize=8)
    write_figure(figure, path)
