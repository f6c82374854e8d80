"""A network drawn: its layers as blocks in a row, each with what it gives."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from funcnn.experiments.errors import sizes_text
from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    hide_axis,
    new_figure,
    write_figure,
)
from funcnn.introspection import Summary

_IN_A_ROW = 5
_WIDTH = 7.8  # inches
_LINE = 0.155  # inches
_ROOM = 0.3  # inches, above and below the lines of a block and between its names and numbers
_LETTERS = 13  # in a line
_GAP = 0.3  # between blocks, of one's width
_GREY = "#59626c"
_COLOURS = {"convolution": BLUE, "fully connected": ORANGE, "max-pooling": GREEN}
"""Of blocks, by how their first layer's name begins."""


class Block(NamedTuple):
    """A layer, with those behind it that change no shape."""

    layers: tuple[str, ...]
    shape: tuple[int, ...]
    """Of what it gives for one example."""
    parameters: int


def blocks_of(summary: Summary, input_shape: tuple[int, ...], output: str | None) -> list[Block]:
    """The input and the layers of a network. output: what the loss does with the last, or None."""
    blocks = [Block(("Input",), input_shape, 0)]
    for row in summary.rows:
        last = blocks[-1]
        if not row.parameters and row.output_shape == last.shape and len(blocks) > 1:
            blocks[-1] = last._replace(layers=(*last.layers, row.name))
        else:
            blocks.append(Block((row.name,), row.output_shape, row.parameters))
    if output:
        blocks[-1] = blocks[-1]._replace(layers=(*blocks[-1].layers, output))
    return blocks


@figure_file
def network(path: Path, blocks: Sequence[Block]) -> None:
    """The blocks in the order in which an example goes through them."""
    rows = math.ceil(len(blocks) / _IN_A_ROW)
    columns = math.ceil(len(blocks) / rows)
    step = 1 + _GAP
    height = _ROOM + _LINE * max(len(_lines(block)) for block in blocks)  # of a block
    figure, ((axis,),) = new_figure(1, 1, (_WIDTH, height * (rows * step - _GAP + 0.06)))
    for number, block in enumerate(blocks):
        row, column = divmod(number, columns)
        left, top = column * step, -row * step
        _draw(axis, block, left, top, _LINE / height)
        if number + 1 == len(blocks):
            continue
        arrow = {"arrowstyle": "-|>", "color": _GREY, "shrinkA": 0, "shrinkB": 0}
        if column + 1 < columns:
            axis.annotate("", (left + step, top - 0.5), (left + 1, top - 0.5), arrowprops=arrow)
        else:  # down, and to the beginning of the next row
            between = top - 1 - _GAP / 2
            axis.plot(
                [left + 0.5, left + 0.5, 0.5], [top - 1, between, between], color=_GREY, lw=1.2
            )
            axis.annotate("", (0.5, top - step), (0.5, between), arrowprops=arrow)
    axis.set_xlim(-0.02, columns * step - _GAP + 0.02)
    axis.set_ylim(-(rows * step - _GAP) - 0.03, 0.03)
    hide_axis(axis)
    write_figure(figure, path)


def _names(block: Block) -> str:
    """What its layers are called, in lines that fit into it; a size stays in one."""
    kept = (layer.replace(" x ", "\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}") for layer in block.layers)
    return " +\n".join(textwrap.fill(layer, _LETTERS) for layer in kept)


def _lines(block: Block) -> list[str]:
    """All that stands in it."""
    numbers = [sizes_text(block.shape, " x ")]
    if block.parameters:
        numbers.append(f"{block.parameters:,} params")
    return [*_names(block).split("\n"), *numbers]


def _draw(axis: Any, block: Block, left: float, top: float, line: float) -> None:
    """line: from one to the next, of the block's height."""
    from matplotlib.patches import FancyBboxPatch

    first = block.layers[0]
    colour = next((_COLOURS[kind] for kind in _COLOURS if first.startswith(kind)), _GREY)
    looks: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.06", "linewidth": 1.3}
    box = FancyBboxPatch((left, top - 1), 1, 1, facecolor=f"{colour}22", edgecolor=colour, **looks)
    axis.add_patch(box)
    names, lines = _names(block), _lines(block)
    of_names = 1 + names.count("\n")
    place = (1 - line * (len(lines) + 0.5)) / 2  # of the upper edge of what is written
    looks = {"ha": "center", "va": "center", "fontsize": 9}
    axis.text(left + 0.5, top - place - line * of_names / 2, names, weight="bold", **looks)
    for number, text in enumerate(lines[of_names:], of_names + 1):  # half a line below the names
        axis.text(left + 0.5, top - place - line * number, text, **looks)
