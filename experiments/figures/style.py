"""What all figures have in common: colours that the colour-blind can tell apart, axes, and the PNG.

The colours are Okabe and Ito's.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from funcnn._files import write_whole
from funcnn.experiments.errors import printable

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")
_DPI = 120
MARKERS = ("o", "s", "^", "D")


def new_figure(
    rows: int, columns: int, size: tuple[float, float], heights: Sequence[float] | None = None
) -> tuple[Any, Any]:
    """A figure of so many inches, `(width, height)`, and its axes, always in two dimensions.

    heights: of the rows, in any unit; all the same if None.
    """
    from matplotlib.figure import Figure  # half a second; without pyplot nothing global is touched

    figure = Figure(figsize=size, layout="constrained", dpi=_DPI)
    axes = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    for axis in axes.ravel():
        axis.set_axisbelow(True)  # grid lines behind what is drawn
    return figure, axes


def hide_axis(axis: Any) -> None:
    """Leave nothing of it but what is drawn in it, and its title."""
    axis.set_axis_off()
    for each in (axis.xaxis, axis.yaxis):
        each.set_ticks([])  # beside a title even those that are hidden are laid out


def lay_out(figure: Any) -> None:
    """Find the places of what is in it, once: matplotlib would do so again as often as it draws."""
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
        figure.set_layout_engine(None)


def write_figure(figure: Any, path: Path) -> None:
    """Write it as a PNG, whole."""
    lay_out(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def whole_numbers(axis: Any, counts: list[int]) -> None:
    """Have an axis of epochs or steps, those drawn, show whole numbers only."""
    axis.xaxis.get_major_locator().set_params(integer=True)
    if len(set(counts)) == 1:  # between whose limits there would be no other whole number
        axis.set_xticks(counts[:1])


def short_names(names: Sequence[str], most: int = 20) -> list[str]:
    """The names, cut to so many characters where they are too long for their place."""
    shown = map(printable, names)
    return [name if len(name) <= most else f"{name[: most - 3]}..." for name in shown]
