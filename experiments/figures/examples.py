"""Pictures of images: those that a network is surest of, its worst mistakes, and augmented ones."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funcnn.activations import softmax
from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.style import (
    ORANGE,
    hide_axis,
    new_figure,
    short_names,
    write_figure,
)
from funcnn.metrics import predicted_classes
from funcnn.types import Array

_WIDTH = 7.8  # inches
_COLUMNS = 6  # of mistakes
_LONGEST = 11  # name of a class in a caption
_GREYS = {"cmap": "gray_r", "vmin": 0, "vmax": 255, "interpolation": "nearest"}


@figure_file
def mistakes(
    path: Path, images: Array, labels: Array, outputs: Array, class_names: Sequence[str]
) -> None:
    """The 18 images that are wrong with the highest probability, each with what it was taken for.

    images: bytes `(N, 1, H, W)`. labels: `(N,)`. outputs: logits `(N, K)`. Where nothing is wrong
    the figure says so.
    """
    worst = worst_mistakes(outputs, labels)
    names = short_names(class_names, _LONGEST)
    rows = max(1, math.ceil(len(worst.indices) / _COLUMNS))
    figure, axes = new_figure(rows, _COLUMNS, (_WIDTH, 1.65 * rows))
    for axis in axes.ravel():
        hide_axis(axis)
    for axis, index, sureness in zip(axes.ravel(), *worst, strict=False):
        axis.imshow(images[index, 0], **_GREYS)
        taken_for = names[outputs[index].argmax()]
        caption = f"{names[labels[index]]}, taken for\n{taken_for}: {in_percent(sureness)}"
        axis.set_title(caption, fontsize=8, parse_math=False)
    if not len(worst.indices):
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
    size = 10 if blocks == 2 else 7  # of letters
    room = int(125 * _WIDTH / blocks / size)  # letters in a line
    captions = [
        textwrap.fill(f"{name}: {', '.join(map(in_percent, of_class))}", room)
        for name, of_class in zip(names, top.probabilities, strict=True)
    ]
    lines = 1 + max(caption.count("\n") for caption in captions)
    side = 0.28 * _WIDTH / blocks * (0.85 if blocks == 2 else 1)
    height = rows * (side + 0.021 * size * lines + 0.1) + 0.3
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
        figure.supxlabel("Framed: the label is another one, which stands in the frame.", fontsize=9)
    write_figure(figure, path)


@figure_file
def in_rows(path: Path, rows: Sequence[tuple[str, Sequence[Array]]]) -> None:
    """Rows of images, each with a caption and below it its groups, beside each other.

    A group: bytes, or floats from 0 to 255, `(n, 1, H, W)`; each row has as many.
    """
    columns = len(rows[0][1])
    figure, axes = new_figure(len(rows), columns, (_WIDTH, 0.89 * len(rows)))
    for of_row, (caption, groups) in zip(axes, rows, strict=True):
        for axis, images in zip(of_row, groups, strict=True):
            hide_axis(axis)
            axis.imshow(_in_a_row(images[:, 0]), **_GREYS)
        of_row[0].set_title(caption, fontsize=8, loc="left", parse_math=False)
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


# --- which images those are: outputs are logits (N, K), their softmax is taken in float64 ------


class TopImages(NamedTuple):
    """For each class the images with the highest probability of it, the highest first."""

    indices: Array
    """`(K, count)`; fewer columns where there are fewer images."""
    probabilities: Array
    """`(K, count)`, float64."""


class Mistakes(NamedTuple):
    """Images that were put into a wrong class, the surest first."""

    indices: Array
    probabilities: Array
    """Of the predicted, wrong class; float64."""


def probabilities(outputs: Array) -> Array:
    """Softmax of logits `(N, K)`, float64."""
    shares: Array = softmax(outputs.astype(np.float64), 1)[0]
    return shares


def top_images(outputs: Array, count: int = 3) -> TopImages:
    """Of all the images, whatever their labels, those with the highest probability of each class.

    Of equal probabilities the earlier image comes first; but of those that float64 rounds to 1
    the one that leaves less to the other classes.
    """
    shares = probabilities(outputs)
    chosen = []
    for index, of_class in enumerate(shares.T):
        to_others = np.delete(shares, index, 1).sum(1)  # (N,)
        chosen.append(np.lexsort((np.where(of_class == 1, to_others, 0), -of_class))[:count])
    indices = np.stack(chosen)
    return TopImages(indices, shares[indices, np.arange(len(indices))[:, None]])


def worst_mistakes(outputs: Array, labels: Array, count: int = 18) -> Mistakes:
    """At most `count` images with the highest probability of the class that is wrong for them.

    labels: `(N,)`. Of equal probabilities the earlier image comes first.
    """
    shares, predicted = probabilities(outputs), predicted_classes(outputs)
    wrong = np.flatnonzero(predicted != labels)
    sureness = shares[wrong, predicted[wrong]]
    order = np.argsort(-sureness, kind="stable")[:count]
    return Mistakes(wrong[order], sureness[order])


def in_percent(probability: float) -> str:
    """To a tenth, as the labs write it: `100%`, `99.8%`; so do the notebooks that are handed in.

    The rounding of logits in float32, which differs from one computation to another, does not reach
    a tenth.
    """
    return f"{round(100 * probability, 1):g}%"
