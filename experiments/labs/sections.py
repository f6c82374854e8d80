"""Sections that the reports of the labs on images have in common."""

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import funcnn as fn
from funcnn.experiments.compare.findings import of_free
from funcnn.experiments.compare.results import free_results
from funcnn.experiments.data.datasets import Dataset
from funcnn.experiments.errors import sizes_text
from funcnn.experiments.figures import examples as example_pictures
from funcnn.experiments.figures import plots
from funcnn.experiments.labs import network_figures
from funcnn.experiments.labs.lab import Results, Trial, printed
from funcnn.experiments.labs.tables import BACKEND_NAMES, shown
from funcnn.experiments.reports.document import Block, Listing, Section, Table, Text
from funcnn.experiments.tasks.architectures import LOSSES
from funcnn.experiments.tasks.config import BACKENDS
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.figures import learning_curve
from funcnn.experiments.training.learner import make_learner
from funcnn.experiments.training.model import TrainedModel
from funcnn.experiments.training.predictions import save_predictions
from funcnn.types import Array

_SETTINGS = (
    *("epochs", "batch_size", "optimizer", "lr", "momentum", "weight_decay", "schedule"),
    *("kernel_size", "activation", "weight_init", "loss", "label_smoothing", "dropout"),
)


class Examined:
    """A trained network of one backend, and what it makes of the images to show.

    They are those of the test set, or of the validation set where the test set has no labels.
    """

    def __init__(self, task: Task, trained: TrainedModel, name: str, whose: str, out: Path) -> None:
        """name: for its figures, which go to the folder out. whose: it is, for their captions."""
        self.task, self.trained = task, trained
        self._name, self._whose, self._out = name, whose, out
        images, labels = task.data.test
        self.part = "test"
        if labels is None:
            assert task.data.validation is not None
            images, labels = task.data.validation
            self.part = "validation"
        self.images, self.labels = images, labels
        self.outputs = self.predict(images)

    @classmethod
    def first_run(cls, results: Results, trial: Trial, backend: str) -> "Examined":
        """The first run of a trial in one backend."""
        return cls(
            results.task(trial, backend),
            results.model(trial, backend),
            f"{trial.name}-{backend}",
            f"{BACKEND_NAMES[backend]}, seed 0",
            results.path / "figures",
        )

    def predict(self, images: Array) -> Array:
        """The outputs for stored images, by the backend that trained it."""
        return make_learner(self.task).predict(self.trained.params, images)

    @cached_property
    def right(self) -> Array:
        """Whether each image is put into its class."""
        right: Array = fn.predicted_classes(self.outputs) == self.labels
        return right

    def figure(self, kind: str, caption: str, draw: Callable[..., None], *args: Any) -> Block:
        """A figure of it, drawn by `draw(path, *args)`; whose it is stands in the caption."""
        path = self._out / f"{kind}-{self._name}.png"
        return shown(path, f"{caption} ({self._whose}).", draw, *args)

    def examples(self) -> tuple[Array, Array, Array, tuple[str, ...]]:
        """Images, labels, outputs and class names, as the figures take them."""
        return self.images, self.labels, self.outputs, self.task.data.class_names


def sizes(data: Dataset) -> Table:
    """How many images there are, and what for."""
    assert data.validation is not None
    shape = sizes_text(data.input_shape, " x ")
    unlabelled = "" if data.test[1] is not None else ", without labels"
    rows = (
        ("training", f"{len(data.train[0]):,}", "the weights are fitted to them"),
        ("validation", f"{len(data.validation[0]):,}", "every choice is made by them"),
        ("test", f"{len(data.test[0]):,}", f"predicted in the end{unlabelled}"),
    )
    classes = f"{len(data.class_names)} classes, images of {shape}, normalised by the mean and the "
    return Table(("part", "images", "what for"), rows, f"{classes}deviation of those trained on.")


def layers(task: Task) -> Table:
    """The layers of a network."""
    table = fn.summary(task.model, task.data.input_shape)
    rows = [
        (row.name, sizes_text(row.output_shape, " x "), f"{row.parameters:,}") for row in table.rows
    ]
    rows.append(("all", "", f"{table.parameters:,}"))
    return Table(("layer", "output", "parameters"), tuple(rows), "The network.")


def network(task: Task) -> list[Block]:
    """The layers of a network, and the settings it is trained with."""
    settings = [(name, getattr(task.config, name)) for name in _SETTINGS]
    text = ", ".join(
        f"{name.replace('_', ' ')} **{value}**" for name, value in settings if value is not None
    )
    first = " Both sides begin with the same weights." if task.config.init == "shared" else ""
    return [layers(task), Text(f"Trained with {text}.{first}")]


def module(task: Task) -> Listing:
    """The same network as a module of torch."""
    from funcnn.experiments.pytorch.mirror import definition

    return Listing(definition(task.model, task.data.input_shape), "The module in PyTorch.")


def training(results: Results, trial: Trial, backend: str) -> list[Block]:
    """How the first run of a backend went: its curves, and the lines of its epochs."""
    rows = results.rows(trial, backend)
    path = results.path / "figures" / f"curve-{trial.name}-{backend}.png"
    caption = f"Loss and accuracy over epochs ({BACKEND_NAMES[backend]}, seed 0)."
    unit = LOSSES[results.config(trial).loss]
    lines = "\n".join(map(results.lab.epoch_line, printed(rows)))
    return [
        shown(path, caption, learning_curve, rows, unit),
        Listing(lines, f"As it is printed, an epoch a line ({BACKEND_NAMES[backend]}, seed 0)."),
    ]


def confusion(examined: Examined) -> list[Block]:
    """The confusion matrix as probabilities, whose rows sum to 1."""
    counts = fn.confusion_matrix(examined.outputs, examined.labels)
    caption = f"Confusion matrix of the {examined.part} set, as probabilities"
    names = examined.task.data.class_names
    return [examined.figure("probabilities", caption, plots.probabilities, counts, names)]


def surest(examined: Examined) -> list[Block]:
    """The three images of every class with the highest probabilities of it."""
    caption = f"The {examined.part} images with the three highest probabilities of every class"
    draw = example_pictures.top_three
    return [examined.figure("top-three", caption, draw, *examined.examples())]


def inside(examined: Examined) -> list[Block]:
    """What its first layer learned to look for, what it gets wrong, an image on its way through."""
    first_layer = network_figures.first_filters(examined.trained)
    blocks: list[Block] = [
        examined.figure(
            "filters", "What the first layer looks for", network_figures.filters, first_layer
        ),
        examined.figure(
            "mistakes",
            f"The surest mistakes on the {examined.part} set",
            example_pictures.mistakes,
            *examined.examples(),
        ),
    ]
    if first_layer.convolution:
        image = examined.images[int(np.argmax(examined.right))]
        caption = f"The first {examined.part} image that it recognises, layer by layer"
        draw = network_figures.feature_maps
        blocks.append(examined.figure("feature-maps", caption, draw, examined.trained, image))
    return blocks


def differences(results: Results, trial: Trial) -> list[Block]:
    """What differs between the two backends of a trial, and why."""
    runs = {
        backend: [results.folder(trial, backend, seed) for seed in results.seeds]
        for backend in BACKENDS
    }
    free = free_results(runs, {})
    blocks: list[Block] = list(map(Text, of_free(free)))
    shared, apart = ["first weights"], ["order of the images", "masks of dropout"]
    if results.config(trial).init == "own":
        apart.insert(0, shared.pop())
        weights = [
            (f"{row['path']} ({row['layer']})", *(f"{row[backend]:.4f}" for backend in BACKENDS))
            for row in free["first_weights"]
        ]
        blocks.append(
            Table(
                ("weight", *BACKEND_NAMES.values()),
                tuple(weights),
                "Standard deviations of the first weights, which each side draws in its own way.",
            )
        )
    if not results.config(trial).dropout:
        apart.remove("masks of dropout")
    if results.task(trial).steps_per_epoch == 1:  # the whole set, in its own order
        apart.remove("order of the images")
    same = ["layers", "loss", "optimizer", "learning rate over the steps", "normalised inputs"]
    of_its_own = (
        f"Not the same: the {', the '.join(apart)}, which each side draws from a generator of its "
        "own. With all of these shared"
        if apart
        else "Nothing else is drawn by chance, and so"
    )
    return [
        *blocks,
        Text(
            f"The same on both sides: the {', the '.join([*same, *shared])}. {of_its_own}, both "
            "compute the same training but for rounding."
        ),
    ]


def best_seed(results: Results, trials: Sequence[Trial], backend: str = "numpy") -> int:
    """The seed whose runs of these trials, with a backend, are best on the validation set.

    The first one where there is none.
    """

    def score(seed: int) -> float:
        scores = [results.summary(trial, backend, seed)["val_accuracy"] for trial in trials]
        return 0.0 if None in scores else sum(scores)

    return max(results.seeds, key=score)


def handed_in(results: Results, trial: Trial, file: str, backend: str = "numpy") -> list[Block]:
    """The predicted classes of the test images, written to a file in the experiment's folder.

    By the run of the backend that is best on validation.
    """
    best = best_seed(results, [trial], backend)
    images, _ = results.task(trial, seed=best).data.test
    classes = fn.predicted_classes(results.model(trial, backend, best).predict(images))
    lines = save_predictions(results.path / file, classes)
    return [
        Text(
            f"`{file}` has the predicted class of each of the {len(classes):,} test images, by the "
            f"{BACKEND_NAMES[backend]} network that is best on the validation set (seed {best})."
        ),
        Listing("\n".join([*lines[:6], "...", *lines[-2:]]), "How it begins and ends."),
    ]


def titled(title: str, *parts: Sequence[Block | Section]) -> Section:
    """A section of all of these, one after another."""
    return Section(title, tuple(itertools.chain(*parts)))
