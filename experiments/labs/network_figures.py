"""Pictures of what is inside a network: its first filters, and what an image becomes in it."""

import itertools
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.errors import sizes_text
from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.style import hide_axis, new_figure, write_figure
from funcnn.experiments.labs.layers_in_words import layer_in_words
from funcnn.experiments.training.model import TrainedModel
from funcnn.types import Array, Layer, traits

_WIDTH = 7.8  # inches
_COLUMNS = 8
_MAPS = 16  # of a layer that are shown
_UNITS = 32  # of a fully connected layer that are shown
_ALIKE = 0.1  # from this correlation on neighbouring weights are said to be alike


class Filters(NamedTuple):
    """What the first layer of a network looks for: images of its weights, and what they are."""

    images: Array
    """`(n, H, W)`."""
    convolution: bool
    """Or else a fully connected layer, of which a unit's weights are as large as the input."""
    caption: str
    """The layer, and which of its filters these are in which order."""


def first_filters(trained: TrainedModel) -> Filters:
    """All kernels of a first convolution, or the units with the largest norms of a dense layer.

    Raises `ValueError` if the first weights are neither, as behind an image of several channels.
    """
    weight = next(np.asarray(leaf) for leaf in fn.tree.leaves(trained.params) if np.ndim(leaf) > 1)
    channels, *size = trained.input_shape if len(trained.input_shape) == 3 else (0,)
    if channels == 1 and weight.ndim == 4:  # (O, 1, kH, kW)
        images = weight[:, 0]
        height, width = images.shape[1:]
        which = f"the {len(images)} filters, {height} x {width}, in the order of their channels"
        return Filters(images, True, f"First layer, a convolution: {which}")
    if channels == 1 and weight.ndim == 2 and len(weight) == math.prod(size):  # (H*W, units)
        norms = np.linalg.norm(weight, axis=0)
        chosen = np.argsort(-norms, kind="stable")[:_UNITS]
        images = weight.T[chosen].reshape(-1, *size)
        which = f"the {len(chosen)} of {len(norms)} units whose weights have the largest norm"
        return Filters(images, False, f"First layer, fully connected: {which}, largest first")
    raise ValueError(f"weights {weight.shape} cannot be seen as images {trained.input_shape}")


@figure_file
def filters(path: Path, first_layer: Filters) -> None:
    """The filters in one grid, on one scale that is symmetric about 0."""
    sheet = _side_by_side(first_layer.images, _COLUMNS)
    rows = math.ceil(len(first_layer.images) / _COLUMNS)
    width, height = 6.4, 6.4 / _COLUMNS * rows
    figure, ((axis,),) = new_figure(1, 1, (width + 1.2, height + 0.5))
    limit = float(np.abs(first_layer.images).max()) or 1.0
    image = axis.imshow(sheet, "PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
    hide_axis(axis)
    figure.suptitle(first_layer.caption, fontsize=9)
    figure.colorbar(image, label="weight", fraction=0.05)
    write_figure(figure, path)


def of_filters(first_layer: Filters) -> str:
    """Whether weights that stand beside each other are alike, as those of strokes and areas are."""
    images = first_layer.images
    before = np.concatenate([images[..., :-1].ravel(), images[:, :-1].ravel()])
    after = np.concatenate([images[..., 1:].ravel(), images[:, 1:].ravel()])
    with np.errstate(invalid="ignore"):  # of weights that are all the same
        alike = float(np.nan_to_num(np.corrcoef(before, after)[0, 1]))
    learned = (
        "the network looks for strokes and areas, which span several pixels"
        if alike > _ALIKE
        else "here too they are hardly alike"
    )
    return (
        f"The correlation of weights beside or below each other is {alike:.2f}; that of the first "
        f"weights, which are drawn one by one, is near 0: {learned}."
    )


class Maps(NamedTuple):
    """What some layers make of an image: their names, and the outputs `(C, H, W)`."""

    names: tuple[str, ...]
    outputs: Array
    stage: int
    """Counts the layers with weights until here; the maps of one stage share a scale."""


def image_inside(trained: TrainedModel, image: Array) -> list[Maps]:
    """What a stored image `(1, H, W)` becomes: after each activation, and after each pooling.

    More exactly: wherever a layer follows that works by windows, or that makes no images.
    """
    inputs = trained.normalization(image[None])
    outputs = fn.inner_outputs(trained.model, trained.params, inputs)
    layers = traits(trained.model).layers
    all_maps: list[Maps] = []
    names: list[str] = []
    stage = 0
    for index, (layer, following) in enumerate(itertools.pairwise((*layers, None))):
        maps = outputs[str(index)]
        if maps.ndim != 4:
            break
        assert layer is not None
        names.append(layer_in_words(layer))
        stage += any(np.ndim(leaf) > 1 for leaf in fn.tree.leaves(trained.params[index]))
        if following is None or _by_windows(following) or outputs[str(index + 1)].ndim != 4:
            all_maps.append(Maps(tuple(names), maps[0], stage))
            names = []
    return all_maps


def of_maps(trained: TrainedModel, image: Array) -> str:
    """How many channels stay silent for a stored image, in each stage."""
    stages = {maps.stage: maps for maps in image_inside(trained, image)}  # the last of each
    silent = {stage: int((~maps.outputs.any((1, 2))).sum()) for stage, maps in stages.items()}
    parts = [
        f"{silent[stage]} of {len(maps.outputs)} behind convolution {stage}, after "
        f"{' + '.join(maps.names)}"
        for stage, maps in stages.items()
    ]
    return f"Channels that are 0 everywhere for this image: {'; '.join(parts)}."


@figure_file
def feature_maps(path: Path, trained: TrainedModel, image: Array) -> None:
    """A stored image `(1, H, W)` on its way through a network of convolutions.

    The first channels after each activation and pooling; all of a stage are on one scale.
    """
    all_maps = image_inside(trained, image)
    sheets = [_side_by_side(image, _COLUMNS)]
    titles = ["Input: " + sizes_text(image.shape, " x ")]
    scales = [(0.0, 255.0)]
    for maps in all_maps:
        of_stage = [each.outputs[:_MAPS] for each in all_maps if each.stage == maps.stage]
        low, high = min(map(np.min, of_stage)), max(map(np.max, of_stage))
        shown = maps.outputs[:_MAPS]
        sheets.append(_side_by_side(shown, _MAPS if maps.outputs.shape[-1] < 20 else _COLUMNS))
        title = f"{' + '.join(maps.names)}: {sizes_text(maps.outputs.shape, ' x ')}"
        if len(shown) < len(maps.outputs):
            title += f", the first {len(shown)}"
        titles.append(f"{title}  (dark {low:.3g}, bright {high:.3g})")
        scales.append((float(low), float(high)))
    heights = [_WIDTH * sheet.shape[0] / sheet.shape[1] for sheet in sheets]
    size = (_WIDTH, sum(heights) + 0.3 * len(sheets))
    figure, axes = new_figure(len(sheets), 1, size, heights)
    for (axis,), sheet, title, (low, high) in zip(axes, sheets, titles, scales, strict=True):
        colours = "gray_r" if axis is axes[0, 0] else "viridis"
        axis.imshow(sheet, colours, vmin=low, vmax=high, interpolation="nearest")
        axis.set_anchor("W")
        axis.set_title(title, fontsize=9, loc="left")
        hide_axis(axis)
    write_figure(figure, path)


def _by_windows(layer: Layer) -> bool:
    known = traits(layer)
    return known.spatial or any(map(_by_windows, known.layers))


def _side_by_side(images: Array, columns: int) -> Array:
    """Images (n, H, W) in rows, a thin gap around each; what is no image is NaN."""
    count, height, width = images.shape
    gap = max(1, width // 14)
    rows = math.ceil(count / columns)
    tall, wide = height + gap, width + gap
    sheet = np.full((rows * tall, columns * wide), np.nan)
    for index, image in enumerate(images):
        top, left = index // columns * tall, index % columns * wide
        sheet[top : top + height, left : left + width] = image
    return sheet[:-gap, :-gap]
