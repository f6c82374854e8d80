"""Figures of final scores: of several settings beside each other, and against the model's size."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.style import COLOURS, MARKERS, new_figure, write_figure

_WIDTH = 7.8  # inches


class Score(NamedTuple):
    """What the runs of one setting came to with one backend."""

    label: str
    """Of the setting."""
    series: str
    """The backend, as it is called in the figure."""
    mean: float
    std: float | None
    """None for one run."""


@figure_file
def dots(path: Path, scores: Sequence[Score], unit: str) -> None:
    """A row for each setting: means as dots, standard deviations as whiskers.

    Not bars, since the axis begins where the differences can be seen and not at 0. Settings are in
    the order in which they come first, from the top. unit: what was measured, such as `test
    accuracy (%)`.
    """
    labels = list(dict.fromkeys(score.label for score in scores))
    series = list(dict.fromkeys(score.series for score in scores))
    apart = 0.4 / len(series)
    figure, ((axis,),) = new_figure(1, 1, (_WIDTH, 1.1 + 0.34 * len(labels)))
    for number, name in enumerate(series):
        chosen = [score for score in scores if score.series == name]
        places = [labels.index(score.label) for score in chosen]
        offset = (number - (len(series) - 1) / 2) * apart
        axis.errorbar(
            [score.mean for score in chosen],
            [place + offset for place in places],
            xerr=_whiskers(chosen),
            **_looks(number),
            label=name,
        )
    axis.set_yticks(range(len(labels)), labels, parse_math=False)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    # Of the figure: long labels leave the axis too narrow for it.
    figure.supxlabel(_with_whiskers(unit, scores), fontsize=10)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside upper right", ncols=len(series), frameon=False)
    write_figure(figure, path)


@figure_file
def accuracy_against_size(path: Path, settings: Sequence[tuple[int, Score]], limit: int) -> None:
    """Accuracy in per cent over bytes, on a logarithmic axis, with the limit, in bytes.

    settings: bytes and scores. A label stands once, by the dots of all its backends; those of one
    size stand a little apart.
    """
    scores = [score for _, score in settings]
    series = list(dict.fromkeys(score.series for score in scores))
    sizes = [limit, *(size for size, _ in settings)]
    low, high = min(sizes) / 1.5, max(sizes) * 2
    figure, ((axis,),) = new_figure(1, 1, (_WIDTH, 4.8))
    for number, name in enumerate(series):
        chosen = [(size, score) for size, score in settings if score.series == name]
        aside = (high / low) ** (0.008 * (number - (len(series) - 1) / 2))
        axis.errorbar(
            [size * aside for size, _ in chosen],
            [score.mean for _, score in chosen],
            yerr=_whiskers([score for _, score in chosen]),
            **_looks(number),
            label=name,
        )
    axis.axvline(limit, color="black", linestyle="--", linewidth=1, label=f"limit, {_bytes(limit)}")
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    axis.set_xticks(_round_sizes(low, high))
    axis.xaxis.set_major_formatter(lambda value, _: _bytes(value))
    axis.minorticks_off()
    axis.margins(y=0.15)
    axis.set_xlabel("size of the parameters (1 MB = 1,000,000 bytes)")
    axis.set_ylabel(_with_whiskers("test accuracy (%)", scores))
    axis.grid(alpha=0.3)
    handles, names = axis.get_legend_handles_labels()  # the line first
    order = [*range(1, len(names)), 0]
    figure.legend(
        [handles[index] for index in order],
        [names[index] for index in order],
        loc="outside upper right",
        ncols=len(names),
        frameon=False,
    )
    _label(figure, axis, settings, limit)
    write_figure(figure, path)


def _looks(number: int) -> dict[str, Any]:
    """Those of a series; the first is blue and round, as NumPy's is."""
    return {
        "color": COLOURS[number],
        "marker": MARKERS[number],
        "linestyle": "none",
        "markersize": 6 - number,  # a later one on the same place hides no earlier one
        "capsize": 3,
        "elinewidth": 1.2,
    }


def _whiskers(scores: Sequence[Score]) -> list[float] | None:
    """Their lengths; None if nothing has a spread."""
    spread = any(score.std is not None for score in scores)
    return [score.std or 0.0 for score in scores] if spread else None


def _with_whiskers(unit: str, scores: Sequence[Score]) -> str:
    return f"{unit}; whiskers: ± 1 standard deviation" if _whiskers(scores) else unit


def _bytes(size: float) -> str:
    return f"{size / 1e6:g} MB" if size >= 1e6 else f"{size / 1e3:g} KB"


def _round_sizes(low: float, high: float) -> list[int]:
    """1, 2 and 5 times the powers of ten in between."""
    sizes = (digit * 10**power for power in range(3, 10) for digit in (1, 2, 5))
    return [size for size in sizes if low <= size <= high]


class _Box(NamedTuple):
    """In pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "_Box") -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)


def _label(figure: Any, axis: Any, settings: Sequence[tuple[int, Score]], limit: int) -> None:
    """Write each label near its dots, where it covers as little as can be of anything else."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # pixels stay where they are from here on
    to_pixels = axis.transData
    taken: dict[str, list[_Box]] = {}
    for size, score in settings:
        std = score.std or 0.0
        x, low = to_pixels.transform((size, score.mean - std))
        _, high = to_pixels.transform((size, score.mean + std))
        taken.setdefault(score.label, []).append(_Box(x - 10, low - 7, x + 10, high + 7))
    inside = _Box(*axis.get_window_extent().extents)
    x, _ = to_pixels.transform((limit, 0))
    covered = [box for boxes in taken.values() for box in boxes]
    covered.append(_Box(x - 3, inside.bottom, x + 3, inside.top))
    for label, boxes in taken.items():
        text = axis.text(0, 0, label, fontsize=8, parse_math=False, transform=None)
        width, height = text.get_window_extent().size
        around = _Box(
            min(box.left for box in boxes),
            min(box.bottom for box in boxes),
            max(box.right for box in boxes),
            max(box.top for box in boxes),
        )
        best = min(
            _places(around, width, height),
            key=lambda place: round(  # to pixels: of those that cover nothing, the first
                sum(map(place.overlap, covered)) + width * height - place.overlap(inside)
            ),
        )
        text.set_position((best.left, best.bottom))
        covered.append(best)


def _places(around: _Box, width: float, height: float) -> list[_Box]:
    """Where a text of this size may stand around a box, the best first; then further off."""
    places = []
    for gap in (0, 8, 16, 24):
        right, left = around.right + gap, around.left - gap - width
        above, below = around.top + gap, around.bottom - gap - height
        x, y = (around.left + around.right - width) / 2, (around.bottom + around.top - height) / 2
        near = [(right, y), (left, y), (x, above), (x, below)]
        flush = (around.right - width, around.left)  # with a side of the box
        near += itertools.product((*flush, right, left), (above, below))
        places += [_Box(a, b, a + width, b + height) for a, b in near]
    return places
