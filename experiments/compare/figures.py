"""The figures of a comparison. NumPy's are blue and solid, torch's orange and dashed."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funcnn.experiments.compare.lockstep import Step
from funcnn.experiments.compare.lockstep_table import APART, by_layer
from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.style import (
    BLUE,
    COLOURS,
    ORANGE,
    STYLES,
    hide_axis,
    new_figure,
    short_names,
    whole_numbers,
    write_figure,
)
from funcnn.experiments.tasks.config import BACKENDS
from funcnn.experiments.training.run_folder import EpochRow
from funcnn.types import Array

MOST_LAYERS = 9
_LOOKS = dict(zip(BACKENDS, ((BLUE, "-"), (ORANGE, "--")), strict=True))


@figure_file
def curves(path: Path, runs: Mapping[str, Sequence[list[EpochRow]]], loss_unit: str) -> None:
    """Loss and accuracy over epochs: every run thin, and the mean of each backend's runs.

    loss_unit: of the losses.
    """
    first = next(iter(runs.values()))[0][0]
    parts = [("train", "training"), ("val", "validation")]
    parts = parts if first.val_loss is not None else parts[:1]
    figure, axes = new_figure(len(parts), 2, (10, 3.4 * len(parts) + 0.4))
    for row, (part, words) in zip(axes, parts, strict=True):
        for axis, name, scale, unit in zip(
            row, ("loss", "accuracy"), (1, 100), (loss_unit, "%"), strict=True
        ):
            for backend, tables in runs.items():
                colour, style = _LOOKS[backend]
                curves_of = [
                    [scale * getattr(each, f"{part}_{name}") for each in rows] for rows in tables
                ]
                shortest = min(map(len, curves_of))  # with --patience they stop by themselves
                epochs = [each.epoch for each in tables[0]][:shortest]
                values = np.array([curve[:shortest] for curve in curves_of])  # (seeds, epochs)
                marker = "o" if shortest == 1 else None
                thin = {"linewidth": 0.6, "alpha": 0.5, "marker": marker, "markersize": 3}
                for rows, curve in zip(tables, curves_of, strict=True):
                    axis.plot([each.epoch for each in rows], curve, color=colour, **thin)
                label = f"{backend} ({'mean of ' if len(tables) > 1 else ''}{_seeds(len(tables))})"
                axis.plot(epochs, values.mean(0), style, color=colour, label=label, marker=marker)
            axis.set_xlabel("epoch")
            axis.set_ylabel(f"{words} {name} ({unit})")
            axis.grid(alpha=0.3)
            whole_numbers(axis, epochs)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    write_figure(figure, path)


def _seeds(count: int) -> str:
    return f"{count} seed{'s' if count > 1 else ''}"


@figure_file
def confusions(path: Path, shares: Mapping[str, Array], class_names: Sequence[str]) -> None:
    """The confusion matrices of both, as shares of the true class, and torch's less NumPy's."""
    classes = len(class_names)
    side = max(3.2, 0.42 * classes)
    figure, (axes,) = new_figure(1, 3, (3 * side + 2.5, side + 1.2))
    names = short_names(class_names)
    apart = 100 * (shares["torch"] - shares["numpy"])
    limit = max(1.0, float(np.abs(apart).max()))
    panels: list[tuple[str, Array, dict[str, Any]]] = [
        ("numpy", 100 * shares["numpy"], {"cmap": "Blues", "vmin": 0, "vmax": 100}),
        ("torch", 100 * shares["torch"], {"cmap": "Blues", "vmin": 0, "vmax": 100}),
        ("torch less numpy", apart, {"cmap": "PuOr_r", "vmin": -limit, "vmax": limit}),
    ]
    for number, (axis, (title, percent, looks)) in enumerate(zip(axes, panels, strict=True)):
        image = axis.imshow(percent, **looks)
        axis.set_title(title, fontsize=11)
        slanted = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 2 else {}
        axis.set_xticks(range(classes), names, parse_math=False, fontsize=8, **slanted)
        shown = names if number == 0 else [""] * classes
        axis.set_yticks(range(classes), shown, parse_math=False, fontsize=8)
        axis.set_xlabel("predicted class")
        if classes <= 20:
            _write_cells(axis, percent, signed=number == 2, limit=looks["vmax"])
        words = "points of the true class" if number == 2 else "share of the true class (%)"
        if number:
            figure.colorbar(image, ax=axis, label=words, shrink=0.8)
    axes[0].set_ylabel("true class")
    write_figure(figure, path)


def _write_cells(axis: Any, percent: Array, signed: bool, limit: float) -> None:
    """The numbers in the cells that are not (nearly) 0."""
    for (row, column), value in np.ndenumerate(percent):
        if abs(value) >= 0.05:
            text = f"{value:+.1f}" if signed else f"{value:.1f}" if value < 99.95 else "100"
            colour = "white" if abs(value) > 0.55 * limit else "black"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=6)


class Disagreement(NamedTuple):
    """An image `(H, W)` that two models put into different classes, and what to write above it."""

    image: Array
    caption: str


@figure_file
def disagreements(path: Path, images: Sequence[Disagreement], title: str) -> None:
    """Grey images of bytes, each with its caption."""
    columns = 8
    rows = math.ceil(len(images) / columns)
    figure, axes = new_figure(rows, columns, (1.45 * columns, 1.75 * rows + 0.4))
    for axis in axes.ravel():
        hide_axis(axis)
    for axis, (image, caption) in zip(axes.ravel(), images, strict=False):
        axis.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        axis.set_title(caption, fontsize=7, loc="left", parse_math=False)
    figure.suptitle(title, fontsize=10)
    write_figure(figure, path)


@figure_file
def growth(path: Path, steps: Mapping[str, Sequence[Step]], layers: Mapping[str, str]) -> None:
    """How far the two are apart at every step, in both dtypes; and each layer's share of it.

    layers: names by path; where there are many, those with the largest shares at the end.
    """
    figure, ((whole, parts),) = new_figure(1, 2, (12, 5.2))
    for dtype, style, width in (("float32", "-", 1.4), ("float64", ":", 1.0)):
        for name, colour in zip(("loss", "grads", "params"), COLOURS, strict=False):
            words = {"grads": "gradient"}.get(name, name)
            x, y = _points([(step.step, getattr(step, name)) for step in steps[dtype]])
            whole.plot(x, y, style, color=colour, linewidth=width, label=f"{words}, {dtype}")
            whole.plot(x, _alone(y), ".", color=colour, markersize=2)
    single = steps["float32"]
    whole.axhline(APART, color="black", linewidth=0.8, label=f"apart: {APART:g}")
    switch = next((step.step for step in single if step.switched), None)
    if switch is not None:
        label = "first ReLU (or kin) above 0 on one side alone, float32"
        whole.axvline(switch, color="black", linewidth=0.8, linestyle="--", label=label)
    shares = [by_layer(step.shares_of_params) for step in single]
    largest = sorted(shares[-1], key=lambda layer: -shares[-1][layer])[:MOST_LAYERS]
    looks = itertools.product(STYLES, COLOURS)
    for layer, (style, colour) in zip([p for p in shares[0] if p in largest], looks, strict=False):
        x, y = _points([(step.step, of[layer]) for step, of in zip(single, shares, strict=True)])
        parts.plot(x, y, style, color=colour, linewidth=1.2, label=f"{layer} {layers[layer]}")
    whole.set_ylabel("norm of the difference / norm of the whole")
    parts.set_ylabel("share of the layer in the params, float32")
    for axis, columns in ((whole, 2), (parts, 3)):
        axis.set_yscale("log")
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        whole_numbers(axis, [step.step for step in single])
        axis.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.13),
            ncols=columns,
            fontsize=8,
            handlelength=3,
        )
    write_figure(figure, path)


def _alone(y: Sequence[float]) -> list[float]:
    """The points between two gaps, through which no line can be seen."""
    around = [math.nan, *y, math.nan]
    return [
        value if math.isnan(before) and math.isnan(after) else math.nan
        for before, value, after in zip(around, y, around[2:], strict=False)
    ]


def _points(values: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """Where a logarithmic axis has a place for them: 0 leaves a gap."""
    return [x for x, _ in values], [y or math.nan for _, y in values]
