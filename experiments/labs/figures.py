"""Figures of the labs' reports."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import funcnn as fn
from funcnn._files import write_whole
from funcnn.experiments.figures.drawing import figure_file
from funcnn.experiments.figures.style import (
    BLUE,
    COLOURS,
    ORANGE,
    STYLES,
    hide_axis,
    lay_out,
    new_figure,
    whole_numbers,
    write_figure,
)
from funcnn.experiments.training.run_folder import EpochRow
from funcnn.types import Array, Layer, Tree

_PANELS, _FRAMES = 6, 40
_SECONDS = 6  # of a moving picture
_GRID = 101
_PLACE: dict[str, Any] = {"origin": "lower", "extent": (-0.05, 1.05, -0.05, 1.05)}


@figure_file
def losses(path: Path, runs: Mapping[str, Sequence[EpochRow]]) -> None:
    """The training loss of several runs over epochs, on a logarithmic axis."""
    figure, ((axis,),) = new_figure(1, 1, (8, 4))
    for index, (label, rows) in enumerate(runs.items()):
        axis.plot(
            [row.epoch for row in rows],
            [row.train_loss for row in rows],
            STYLES[index // 3 % len(STYLES)],
            color=COLOURS[index % len(COLOURS)],
            label=label,
        )
    axis.set_yscale("log")
    axis.set_xlabel("epoch")
    axis.set_ylabel("training loss (nats)")
    axis.grid(alpha=0.3)
    whole_numbers(axis, [row.epoch for rows in runs.values() for row in rows])
    figure.legend(loc="outside right upper")
    write_figure(figure, path)


@figure_file
def train_and_test(path: Path, panels: Mapping[str, Mapping[str, Sequence[EpochRow]]]) -> None:
    """The training and the test loss of several networks over epochs, a panel for each backend."""
    figure, (axes,) = new_figure(1, len(panels), (10, 4))
    for axis in axes[1:]:  # so that they can be held against each other
        axis.sharex(axes[0])
        axis.sharey(axes[0])
    for axis, (title, networks) in zip(axes, panels.items(), strict=True):
        for (name, rows), colour in zip(networks.items(), COLOURS, strict=False):
            epochs = [row.epoch for row in rows]
            for part, words, style in (("train", "training", "-"), ("test", "test", "--")):
                values = [getattr(row, f"{part}_loss") for row in rows]
                marker = "o" if len(rows) == 1 else None
                label = f"{name}, {words}"
                axis.plot(epochs, values, style, color=colour, label=label, marker=marker)
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.set_ylabel("loss (nats)")
        axis.set_yscale("log")
        axis.grid(alpha=0.3)
        whole_numbers(axis, [row.epoch for rows in networks.values() for row in rows])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    write_figure(figure, path)


@figure_file
def apart(path: Path, distances: Mapping[str, Sequence[float]]) -> None:
    """How far two trainings are apart, step by step, on a logarithmic axis."""
    figure, ((axis,),) = new_figure(1, 1, (8, 4))
    for index, (label, values) in enumerate(distances.items()):
        axis.plot(
            range(1, len(values) + 1), values, STYLES[index], color=COLOURS[index], label=label
        )
    axis.set_yscale("log")
    axis.set_xlabel("step")
    axis.set_ylabel("relative distance of the params")
    axis.grid(alpha=0.3)
    whole_numbers(axis, [*range(1, 1 + max(map(len, distances.values())))])
    figure.legend(loc="outside right upper")
    write_figure(figure, path)


@figure_file
def boundaries(
    still: Path,
    moving: Path,
    history: Sequence[tuple[int, Tree]],
    model: Layer,
    examples: tuple[Array, Array],
) -> None:
    """The probability of class 1 over the plane while a network learned: as panels, and moving.

    history: epochs, and the params after them. examples: points `(N, 2)` and labels.
    """
    side = np.linspace(-0.05, 1.05, _GRID)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)  # (G*G, 2)

    def probabilities(params: Tree) -> Array:
        outputs: Array = fn.predict(model.apply, params, grid, batch_size=len(grid))
        return outputs.reshape(_GRID, _GRID)

    chosen = [history[index] for index in _spread_out(len(history), _PANELS)]
    figure, axes = new_figure(2, 3, (9.4, 6.2))
    for axis, (epoch, params) in zip(axes.ravel(), chosen, strict=False):
        image = _plane(axis, examples)
        _show(axis, image, epoch, probabilities(params))
        axis.label_outer()
    for axis in axes.ravel()[len(chosen) :]:
        hide_axis(axis)
    figure.colorbar(image, ax=axes, label="probability of class 1")
    write_figure(figure, still)

    frames = [history[index] for index in _spread_out(len(history), _FRAMES)]
    write_whole(moving, _as_gif(((e, probabilities(p)) for e, p in frames), examples))


def _spread_out(count: int, most: int) -> list[int]:
    """At most so many of the first `count` numbers: more of the early ones, and the last."""
    wanted = np.geomspace(1, count, min(most, count))
    return sorted({int(value) - 1 for value in np.round(wanted)})


def _plane(axis: Any, examples: tuple[Array, Array]) -> Any:
    """The image of a plane, in which nothing is shown yet, with the points and the axes."""
    x, labels = examples
    image = axis.imshow(
        np.zeros((_GRID, _GRID)), **_PLACE, cmap="PuOr_r", vmin=0, vmax=1, alpha=0.8
    )
    for label, colour, marker in ((0, BLUE, "o"), (1, ORANGE, "s")):
        of_class = x[labels.ravel() == label]
        axis.scatter(*of_class.T, c=colour, marker=marker, edgecolors="white", s=30, zorder=3)
    for of_axis in (axis.xaxis, axis.yaxis):
        of_axis.set_ticks((0, 0.5, 1))
    axis.set_xlabel("$x_0$")
    axis.set_ylabel("$x_1$")
    return image


def _show(axis: Any, image: Any, epoch: int, probabilities: Array) -> Any:
    """Show them in it, with the boundary, which is returned."""
    image.set_data(probabilities)
    axis.set_title(f"after epoch {epoch}", fontsize=10)
    return axis.contour(probabilities, [0.5], **_PLACE, colors="black")


def _as_gif(frames: Iterable[tuple[int, Array]], examples: tuple[Array, Array]) -> bytes:
    """The planes after so many epochs, one after the other in one figure, as a moving picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure, ((axis,),) = new_figure(1, 1, (4.6, 3.9))
    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    image = _plane(axis, examples)
    figure.colorbar(image, label="probability of class 1")
    images: list[Image.Image] = []
    for epoch, probabilities in frames:
        boundary = _show(axis, image, epoch, probabilities)
        lay_out(figure)
        canvas.draw()
        boundary.remove()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba()))
        images.append(picture.convert("P", palette=Image.Palette.ADAPTIVE))
    buffer = io.BytesIO()
    durations = [1000 * _SECONDS // len(images)] * len(images)
    durations[-1] += 2000  # the result stays a while
    images[0].save(
        buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0
    )
    return buffer.getvalue()
