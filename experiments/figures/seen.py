"""What a network saw in a picture: what it was given of it, and what spoke for which class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.examples import in_percent
from funcnn.experiments.figures.style import (
    BLUE,
    ORANGE,
    hide_axis,
    new_figure,
    short_names,
    write_figure,
)
from funcnn.types import Array

MOST = 12
"""Pictures in one figure."""
_LONGEST = 18  # name of a class


class Panel(NamedTuple):
    """A row of the figure: a picture, and what a network made of it."""

    name: str
    given: Array
    """Bytes `(h, w, 3)`, of any size."""
    prepared: Array
    """What the network was given, bytes `(1, H, W)` or `(3, H, W)`."""
    evidence: Array
    """`(H, W)`: what each pixel adds to the first class's lead over the second."""
    classes: list[str]
    """The surest first, at least two."""
    values: list[float]
    """A probability, or score, of each."""


@figure_file
def seen(path: Path, panels: Sequence[Panel], unit: str) -> None:
    """Pictures as given and as prepared, what speaks for the class, and the surest classes as bars.

    Up to `MOST` pictures. unit: of the bars, `probabilities` or `scores`.
    """
    figure, axes = new_figure(len(panels), 4, (10, 0.3 + 2.45 * len(panels)))
    for panel, (given, prepared, evidence, bars) in zip(panels, axes, strict=True):
        for axis in (given, prepared, evidence):
            hide_axis(axis)
        size = " x ".join(map(str, panel.prepared.shape[:0:-1]))
        _title(given, *short_names([panel.name], 30))
        given.imshow(panel.given)
        _title(prepared, f"as the network sees it: {size}")
        pixels = panel.prepared.transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)
        looks = {"vmin": 0, "vmax": 255, "cmap": "gray", "interpolation": "nearest"}
        prepared.imshow(pixels if pixels.shape[2] == 3 else pixels[:, :, 0], **looks)
        first, second, *_ = short_names(panel.classes, _LONGEST)
        _title(evidence, f"for {first} (orange),\nfor {second} (blue)")
        _draw_evidence(evidence, panel)
        _draw_bars(bars, panel, unit)
    write_figure(figure, path)


def _title(axis: Any, text: str) -> None:
    axis.set_title(text, fontsize=9, parse_math=False)


def _draw_evidence(axis: Any, panel: Panel) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("evidence", [BLUE, "white", ORANGE])
    evidence = _smoothed(panel.evidence)
    most = float(np.abs(evidence).max()) or 1.0
    axis.imshow(evidence, cmap=colours, vmin=-most, vmax=most, interpolation="nearest")
    shades = panel.prepared.mean(0)  # (H, W)
    if shades.min() < 128 < shades.max():
        axis.contour(shades, [128], colors="0.6", linewidths=0.6)
    axis.set_axis_on()  # a frame, for what is white at its sides
    for side in axis.spines.values():
        side.set_color("0.8")


def _smoothed(evidence: Array) -> Array:
    """Each pixel's spread over its neighbours, weights 1 2 1: regions show, not single pixels."""
    for axis in (0, 1):
        padded = np.pad(evidence, [(1, 1) if each == axis else (0, 0) for each in (0, 1)])
        before, here, after = (
            np.take(padded, np.arange(start, start + evidence.shape[axis]), axis)
            for start in (0, 1, 2)
        )
        evidence = (before + 2 * here + after) / 4
    return evidence


def _draw_bars(axis: Any, panel: Panel, unit: str) -> None:
    places = np.arange(len(panel.values))
    axis.barh(places, panel.values, color=[ORANGE, BLUE, *["0.7"] * len(places)][: len(places)])
    axis.set_yticks(places, short_names(panel.classes, _LONGEST), parse_math=False)
    axis.invert_yaxis()
    axis.tick_params(labelsize=9)
    if unit == "probabilities":
        axis.set_xlim(0, 1.25)
        axis.set_xticks([])
    for place, value in zip(places, panel.values, strict=True):
        text = in_percent(value) if unit == "probabilities" else f"{value:.2f}"
        axis.annotate(
            text,
            (max(value, 0), place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    _title(axis, f"surest classes ({unit})" if unit == "scores" else "surest classes")
    for side in ("top", "right", "bottom") if unit == "probabilities" else ("top", "right"):
        axis.spines[side].set_visible(False)
