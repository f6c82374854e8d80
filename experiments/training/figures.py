"""The figures of a run, and those that are asked for: activations, augmentations, curves."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.errors import InputError, sizes_text
from funcnn.experiments.figures import examples, plots
from funcnn.experiments.figures.drawing import drawn, figure_file
from funcnn.experiments.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    new_figure,
    whole_numbers,
    write_figure,
)
from funcnn.experiments.paths import expect_new, new_file
from funcnn.experiments.tasks.architectures import unit_of
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.networks import ACTIVATIONS
from funcnn.experiments.tasks.optimizers import OF_OPTIMIZER
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.settings import dashed
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.run_folder import EpochRow, RunFolder
from funcnn.types import Array


def draw_run(folder: RunFolder, task: Task, rows: list[EpochRow], outputs: Array | None) -> None:
    """Those that a finished run leaves in its folder, if they can be drawn.

    outputs: of the test inputs, (N, classes); None: they have no labels.
    """
    unit = unit_of(task.config.loss)
    drawn(learning_curve, folder.path / "learning_curve.png", rows, unit)
    x, y = task.data.test
    if outputs is None or y is None:
        return
    counts = fn.confusion_matrix(outputs, y)
    drawn(plots.confusion, folder.path / "confusion_matrix.png", counts, task.data.class_names)
    if task.config.binary:
        drawn(plots.points, folder.path / "predictions.png", (x, y), outputs)


@figure_file
def learning_curve(path: Path, rows: Sequence[EpochRow], unit: str = "nats") -> None:
    """Loss and accuracy over epochs, in training and on what else was measured after each.

    unit: of the losses.
    """
    figure, ((loss, accuracy),) = new_figure(1, 2, (10, 4))
    epochs = [row.epoch for row in rows]
    marker = "o" if len(rows) == 1 else None
    for axis, name, scale, label in (
        (loss, "loss", 1, f"loss ({unit})"),
        (accuracy, "accuracy", 100, "accuracy (%)"),
    ):
        for part, colour, style, legend in (
            ("train", BLUE, "-", "training (while it learns)"),
            ("val", ORANGE, "--", "validation"),
            ("test", GREEN, ":", "test"),
        ):
            values = [getattr(row, f"{part}_{name}") for row in rows]
            if values[0] is not None:
                scaled = [value * scale for value in values]
                axis.plot(epochs, scaled, style, color=colour, label=legend, marker=marker)
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        whole_numbers(axis, epochs)
    loss.set_ylim(0, 1.05 * loss.get_ylim()[1])
    figure.legend(*loss.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    write_figure(figure, path)


def draw_activations(out: Path) -> None:
    """Every activation and its derivative between -4 and 4, in `out`, a new PNG file.

    Raises `InputError` if `out` exists already.
    """
    expect_new(out, ".png")
    x = np.linspace(-4, 4, 800)[:, None]  # (N, 1), with no point at a kink
    panels = []
    for name, (activation, _) in ACTIVATIONS.items():
        layer = activation()
        _, params = layer.init(fn.random.key(0), (1,), dtype=x.dtype)
        y, vjp = layer.apply(params, x, wrt="x")
        assert vjp is not None
        _, derivative = vjp(np.ones_like(y))
        assert derivative is not None
        panels.append((name, y[:, 0], derivative[:, 0]))
    with new_file(out):
        plots.functions(out, x[:, 0], panels)


_AUGMENTATIONS = (
    fn.augmentations.chain(),
    fn.augmentations.flip(),
    fn.augmentations.shift(3),
    fn.augmentations.affine(degrees=15, scale=0.15, shear=10),
    fn.augmentations.elastic(34, 4),
    fn.augmentations.erase(p=1.0),
    fn.augmentations.mixup(0.4, 10),
    fn.augmentations.chain(
        fn.augmentations.flip(), fn.augmentations.shift(2), fn.augmentations.erase()
    ),
)
_DRAWS = 6


def draw_augmentations(out: Path) -> None:
    """Draws of each augmentation, of an article of clothing and of a digit, in `out`, a new PNG.

    Raises `InputError` if `out` exists already, or if Fashion-MNIST or MNIST is not found.
    """
    expect_new(out, ".png")
    drawn_from = [
        load_dataset(name, val_size=0, seed=0).train for name in ("fashion-mnist", "mnist")
    ]
    rows = []
    for augment in _AUGMENTATIONS:
        caption = repr(augment) if augment is not _AUGMENTATIONS[0] else "as stored"
        groups = []
        for x, y in drawn_from:
            draws = fn.random.split(fn.random.key(0), _DRAWS)
            batch = x[:_DRAWS], y[:_DRAWS]  # mixup needs others
            groups.append(np.concatenate([augment(rng, batch)[0][:1] for rng in draws]))
        rows.append((caption, groups))
    with new_file(out):
        examples.in_rows(out, rows)


def draw_curves(folders: Sequence[RunFolder], out: Path) -> None:
    """Validation loss and accuracy over epochs of several runs, in `out`, a new PNG file.

    Those of the training set where a run has no validation set. A run is called by the settings
    that tell the runs apart. Raises `InputError` if a folder is no run or damaged, if there are too
    many to tell apart, or if `out` exists already.
    """
    expect_new(out, ".png")
    if len(folders) > plots.MAX_CURVES:
        most = plots.MAX_CURVES
        raise InputError(f"{len(folders)} runs: at most {most} can be told apart in one figure")
    tables = [folder.read_metrics() for folder in folders]
    parts = ["val" if rows[0].val_loss is not None else "train" for rows in tables]
    words = {"val": "validation", "train": "training"}
    same = len(set(parts)) == 1
    runs = []
    for label, rows, part in zip(_labels(folders), tables, parts, strict=True):
        losses, accuracies = (
            np.array([getattr(row, f"{part}_{name}") for row in rows], float)
            for name in ("loss", "accuracy")
        )
        label = label if same else f"{label} ({words[part]})"
        epochs = [row.epoch for row in rows]
        runs.append(plots.Curve(label, epochs, losses, 100 * accuracies))
    units = {unit_of(folder.read_config().loss) for folder in folders}
    with new_file(out):
        plots.curves(out, runs, words[parts[0]] if same else "", " or ".join(sorted(units)))


def _labels(folders: Sequence[RunFolder]) -> list[str]:
    """What each run is called: the settings that tell them apart, or else the folder."""
    settings = [_flat(folder.read_config().as_data()) for folder in folders]
    differing = [
        name
        for name in dict.fromkeys(itertools.chain(*settings))
        if any(each.get(name) != settings[0].get(name) for each in settings)
    ]
    owns = [folder.own for folder in folders]
    telling = [name for name in differing if not _follows(name, settings, owns)]
    labels = [
        ", ".join(
            f"{dashed(name)}={_in_words(name, values[name])}" for name in telling if name in values
        )
        for values in settings
    ]
    return [
        label if label and labels.count(label) == 1 else f"{label} {folder}".strip()
        for label, folder in zip(labels, folders, strict=True)
    ]


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, those of a user's own network beside the others."""
    return {**settings, **settings.pop("own_settings", {})}


def _follows(
    name: str, settings: Sequence[dict[str, Any]], owns: Sequence[OwnModel | None]
) -> bool:
    """Whether a setting is in every run what the others bring, as an optimizer its lr."""

    def brought(values: dict[str, Any], own: OwnModel | None) -> Any:
        others = {key: values[key] for key in SETTINGS if key not in OF_OPTIMIZER}
        return getattr(RunConfig.resolve(others, own), name)

    pairs = zip(settings, owns, strict=True)
    return name in OF_OPTIMIZER and all(brought(each, own) == each[name] for each, own in pairs)


def _in_words(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return sizes_text(value, empty="none")
    if value is None:
        return "all" if name == "batch_size" else "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
