"""Pictures of test images: those that a network is surest of, and its worst mistakes."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from funcnn.experiments.figures import ORANGE, hide_axis, new_figure, short_names, write_figure
from funcnn.experiments.lost_figures import figure_file
from funcnn.experiments.outcomes import in_percent, top_images, worst_mistakes
from funcnn.types import Array

_WIDTH = 7.8  # inches
_COLUMNS = 6  # of mistakes
_LONGEST = 11  # name of a class in a caption
_GREYS = {"cmap": "gray_r", "vmin": 0, "vmax": 255, "interpolation": "nearest"}


@figure_file
def mistakes(
    path: Path, images: Array, labels: Array, outputs: Array, class_names: Sequence[str]
) -> None:
    """The 24 images that are wrong with the highest probability, each with what it was taken for.

    images: bytes `(N, 1, H, W)`. labels: `(N,)`. outputs: logits `(N, K)`. Where nothing is wrong
    the figure says so.
    """
    found = worst_mistakes(outputs, labels)
    names = short_names(class_names, _LONGEST)
    rows = max(1, math.ceil(len(found.indices) / _COLUMNS))
    figure, axes = new_figure(rows, _COLUMNS, (_WIDTH, 1.65 * rows))
    for axis in axes.ravel():
        hide_axis(axis)
    for axis, index, sureness in zip(axes.ravel(), *found, strict=False):
        axis.imshow(images[index, 0], **_GREYS)
        taken_for = names[outputs[index].argmax()]
        caption = f"{names[labels[index]]}, taken for\n{taken_for}: {in_percent(sureness)}"
        axis.set_title(caption, fontsize=8, parse_math=False)
    if not len(found.indices):
        figure.suptitle(f"No mistakes: all {len(labels)} images are in their classes.", y=0.6)
    write_figure(figure, path)


@figure_file
def top_three(
    path: Path, images: Array, labels: Array, outputs: Array, class_names: Sequence[str]
) -> None:
    """For every class the three images with its highest probability, the highest first.

    Arguments as of `mistakes`. An image with another label is framed, and the label stands in it.
    """
    classes = len(class_names)
    blocks = 2 if classes <= 12 else 4
    rows = math.ceil(classes / blocks)
    names = short_names(class_names, _LONGEST)
    top = top_images(outputs)
    size = 8 if blocks == 2 else 7  # of letters
    room = int(125 * _WIDTH / blocks / size)  # letters in a line
    captions = [
        textwrap.fill(f"{name}: {', '.join(map(in_percent, of_class))}", room)
        for name, of_class in zip(names, top.probabilities, strict=True)
    ]
    lines = 1 + max(caption.count("\n") for caption in captions)
    side = 0.28 * _WIDTH / blocks * (0.85 if blocks == 2 else 1)
    height = rows * (side + 0.17 * lines + 0.1) + 0.3
    figure, axes = new_figure(rows, blocks, (_WIDTH, height))
    framed = False
    for axis in axes.ravel():
        hide_axis(axis)
    for number, (axis, caption) in enumerate(zip(axes.T.ravel(), captions, strict=False)):
        indices = top.indices[number]
        axis.imshow(_in_a_row(images[indices, 0]), **_GREYS)
        axis.set_anchor("W")
        axis.set_title(caption, fontsize=size, loc="left", parse_math=False)
        for place, label in enumerate(labels[indices]):
            if label != number:
                _frame(axis, place, images.shape[2:], names[label])
                framed = True
    if framed:
        figure.supxlabel("Framed: the label is another one, which stands in the frame.", fontsize=8)
    write_figure(figure, path)


def _in_a_row(images: Array) -> Array:
    """Images (n, H, W) beside each other (H, n W + n - 1), a white column between them."""
    gap = np.zeros((images.shape[1], 1), images.dtype)
    row: Array = np.hstack([part for image in images for part in (gap, image)][1:])
    return row


def _frame(axis: Any, place: int, size: tuple[int, ...], label: str) -> None:
    """Frame an image of those in a row, and write the label into the frame."""
    from matplotlib.patches import Rectangle

    height, width = size
    left = place * (width + 1)
    frame = Rectangle(
        (left, 0), width - 1, height - 1, fill=False, edgecolor=ORANGE, linewidth=1.5, clip_on=False
    )
    axis.add_patch(frame)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    axis.text(left + 1, height - 2.5, label, fontsize=7, color=ORANGE, bbox=box, parse_math=False)
