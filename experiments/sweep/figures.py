"""The figure of a sweep: lines for one or two keys of a grid, else a map, dots or panels.

A key of which one value alone is tried is left out.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.scores import Score, dots
from funcnn.experiments.figures.style import (
    BLUE,
    COLOURS,
    MARKERS,
    ORANGE,
    hide_axis,
    new_figure,
    short_names,
    write_figure,
)
from funcnn.experiments.sweep.results import PARTS, PointResult
from funcnn.experiments.tasks.settings import as_option
from funcnn.experiments.training.spread import Spread

_MAX_LINES = len(COLOURS)
_SPREAD = ", ± 1 standard deviation"
_MAX_NUMBERS = 20  # of rows, and columns, of a map whose cells can be read


class _Swept(NamedTuple):
    """What there is to draw: at least one point has a result."""

    keys: list[str]
    """Those with several values."""
    grid: Mapping[str, Sequence[Any]]
    results: Sequence[PointResult]
    part: str
    """What was measured on, in words."""

    def at(self, **values: Any) -> list[PointResult]:
        """The points with these values that have a result."""
        return [
            result
            for result in self.results
            if result.accuracy is not None
            and all(result.point.values[key] == value for key, value in values.items())
        ]

    def note(self, spread: str = "") -> str:
        """What the marks are, with these words about a spread, and what is missing."""
        seeds = max(result.finished for result in self.results)
        failed = sum(result.failed for result in self.results)
        several = f"mean of {seeds} seeds{spread}" if seeds > 1 else "one seed"
        return several + (f"; failed and left out: {failed}" if failed else "")


@figure_file
def draw_sweep(
    path: Path, grid: Mapping[str, Sequence[Any]], results: Sequence[PointResult], part: str
) -> None:
    """Accuracies, and where there is room losses, over the grid; nothing if every run failed.

    part: as in `PARTS`, what was measured on.
    """
    if all(result.accuracy is None for result in results):
        path.unlink(missing_ok=True)
        return
    keys = [key for key, values in grid.items() if len(values) > 1]
    swept = _Swept(keys, grid, results, PARTS[part])
    numeric = [key for key in keys if _is_numeric(grid[key])]
    if len(keys) in (1, 2) and numeric:
        x = max(numeric, key=lambda key: len(grid[key]))
        others = [key for key in keys if key != x]
        if not others or len(grid[others[0]]) <= _MAX_LINES:
            _draw_lines(path, swept, x, others[0] if others else None)
            return
    if len(keys) <= 1:
        _draw_dots(path, swept)
    elif len(keys) == 2:
        _draw_map(path, swept)
    else:
        _draw_panels(path, swept)


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float)) for value in values)


def _draw_lines(path: Path, swept: _Swept, x: str, series: str | None) -> None:
    """Accuracy and loss over one key, a line for each value of the other."""
    figure, (axes,) = new_figure(1, 2, (10, 4.2))
    lines = swept.grid[series] if series else [None]
    for number, value in enumerate(lines):
        results = swept.at(**({series: value} if series else {}))
        results.sort(key=lambda result: result.point.values[x])
        places = [result.point.values[x] for result in results]
        looks = {"color": COLOURS[number], "marker": MARKERS[number % len(MARKERS)]}
        label = _short(value) if series else None
        for axis, score, scale in zip(axes, ("accuracy", "loss"), (100, 1), strict=True):
            spreads: list[Spread] = [getattr(result, score) for result in results]
            means = np.array([scale * each.mean for each in spreads])
            stds = np.array([scale * (each.std or 0.0) for each in spreads])
            axis.plot(places, means, linestyle="-", markersize=5, label=label, **looks)
            highest = scale if score == "accuracy" else np.inf  # what a loss or accuracy can be
            low, high = np.clip([means - stds, means + stds], 0, highest)
            axis.fill_between(places, low, high, color=COLOURS[number], alpha=0.15)
    for axis, name in zip(axes, ("accuracy (%)", "loss"), strict=True):
        _scale(axis, sorted(swept.grid[x]))
        axis.set_xlabel(_words(x))
        axis.set_ylabel(f"{swept.part} {name}")
        axis.grid(alpha=0.3)
    figure.supxlabel(swept.note(_SPREAD), fontsize=8)
    if series:
        handles = axes[0].get_legend_handles_labels()
        place = "outside upper center"
        legend = figure.legend(*handles, loc=place, ncols=len(lines), title=_words(series))
        for text in legend.get_texts():
            text.set_parse_math(False)
    write_figure(figure, path)


def _scale(axis: Any, values: Sequence[float]) -> None:
    """A logarithmic axis where the values are far apart, with a tick at each if there is room."""
    low, high = values[0], values[-1]
    if low > 0 and high / low >= 10:
        axis.set_xscale("log")
    elif low == 0 and high / values[1] >= 10:
        axis.set_xscale("symlog", linthresh=values[1])
    if len(values) <= 8:
        axis.set_xticks(values, list(map(as_option, values)))
        axis.minorticks_off()


def _draw_dots(path: Path, swept: _Swept) -> None:
    """A row for each point."""
    scores = []
    for value in swept.grid[swept.keys[0]] if swept.keys else [None]:
        for result in swept.at(**({swept.keys[0]: value} if swept.keys else {})):
            assert result.accuracy is not None
            mean, std, _ = result.accuracy
            label = _short(value) if swept.keys else result.point.label or "the one point"
            spread = None if std is None else 100 * std
            scores.append(Score(label, swept.note(), 100 * mean, spread))
    dots(path, scores, f"{swept.part} accuracy (%)")


def _draw_map(path: Path, swept: _Swept) -> None:
    """Accuracy as a colour and a number: a row and a column for each value of the two keys."""
    down, across = sorted(swept.keys, key=lambda key: len(swept.grid[key]))
    rows, columns = swept.grid[down], swept.grid[across]
    means = np.full((len(rows), len(columns)), np.nan)
    texts = np.full(means.shape, "failed", object)
    for row, column in np.ndindex(means.shape):
        for result in swept.at(**{down: rows[row], across: columns[column]}):
            assert result.accuracy is not None
            accuracy = result.accuracy._replace(std=result.accuracy.std or None)
            means[row, column] = 100 * accuracy.mean
            texts[row, column] = accuracy.text("{:.2f}", 100).replace(" ±", "\n±")
    size = (max(5.0, 0.75 * len(columns) + 2.6), max(2.4, 0.55 * len(rows) + 1.5))
    figure, ((axis,),) = new_figure(1, 1, size)
    image = axis.imshow(means, cmap="cividis", aspect="auto")
    names = [_short(value) for value in columns]
    slanted = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 6 else {}
    axis.set_xticks(range(len(columns)), names, parse_math=False, **slanted)
    axis.set_yticks(range(len(rows)), map(_short, rows), parse_math=False)
    axis.set_xlabel(_words(across))
    axis.set_ylabel(_words(down))
    if max(means.shape) <= _MAX_NUMBERS:
        middle = (np.nanmin(means) + np.nanmax(means)) / 2
        for (row, column), text in np.ndenumerate(texts):
            dark = means[row, column] <= middle
            colour = "white" if dark else "black"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label=f"{swept.part} accuracy (%)")
    figure.supxlabel(swept.note(_SPREAD), fontsize=8)
    write_figure(figure, path)


def _draw_panels(path: Path, swept: _Swept) -> None:
    """A panel for each key: every point over its value, and a line through the best of each."""
    columns = min(3, len(swept.keys))
    rows = -(-len(swept.keys) // columns)
    figure, axes = new_figure(rows, columns, (3.4 * columns, 3.2 * rows + 0.5))
    for axis in axes.ravel()[len(swept.keys) :]:
        hide_axis(axis)
    for axis, key in zip(axes.ravel(), swept.keys, strict=False):
        values = swept.grid[key]
        values = sorted(values) if _is_numeric(values) else values
        best = []
        for place, value in enumerate(values):
            at = sorted(swept.at(**{key: value}), key=lambda result: result.point.label)
            accuracies = [100 * result.accuracy.mean for result in at if result.accuracy]
            best.append(max(accuracies, default=np.nan))
            width = 0.15 if len(accuracies) > 1 else 0
            axis.plot(
                place + np.linspace(-width, width, len(accuracies)),
                accuracies,
                "o",
                color=BLUE,
                alpha=0.45,
                markersize=4,
                label="a point" if place == 0 else None,
            )
        axis.plot(range(len(values)), best, "-s", color=ORANGE, markersize=5, label="best of each")
        names = [_short(value) for value in values]
        slanted = {"rotation": 45, "ha": "right"} if sum(map(len, names)) > 24 else {}
        axis.set_xticks(range(len(values)), names, parse_math=False, **slanted)
        axis.set_xlim(-0.5, len(values) - 0.5)
        axis.set_xlabel(_words(key))
        axis.grid(alpha=0.3)
    figure.supylabel(f"{swept.part} accuracy (%)", fontsize=10)
    figure.supxlabel(textwrap.fill(f"a point: {swept.note()}", 30 * columns), fontsize=8)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=2, frameon=False)
    write_figure(figure, path)


def _short(value: Any) -> str:
    return short_names([as_option(value)])[0]


def _words(key: str) -> str:
    return "learning rate" if key == "lr" else key.replace("_", " ")
