"""What a trained network makes of images: what it gets right and wrong, and what is inside."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import funcnn as fn
from funcnn.experiments.figures import examples as example_pictures
from funcnn.experiments.figures import plots
from funcnn.experiments.labs import judgements, network_figures
from funcnn.experiments.labs.lab import Results, Trial
from funcnn.experiments.labs.tables import BACKEND_NAMES, shown
from funcnn.experiments.reports.document import Block, finding
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.learner import make_learner
from funcnn.experiments.training.model import TrainedModel
from funcnn.types import Array

_SURE = 0.9  # from this probability on a mistake is said to be a sure one


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
    def shown(cls, results: Results, trial: Trial, backend: str) -> "Examined":
        """The training of a trial in one backend that the report shows whole."""
        training = results.shown(trial, backend)
        return cls(
            results.task(trial, backend),
            training.model,
            f"{trial.name}-{backend}",
            f"{trial.called} in {BACKEND_NAMES[backend]}, {training.whose}",
            results.out / "figures",
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


def confusion(examined: Examined) -> list[Block]:
    """The confusion matrix as probabilities, whose rows sum to 1."""
    counts = fn.confusion_matrix(examined.outputs, examined.labels)
    caption = f"Confusion matrix of the {examined.part} set, as probabilities"
    names = examined.task.data.class_names
    return [
        examined.figure("probabilities", caption, plots.probabilities, counts, names),
        finding(judgements.of_confusion(counts, names)),
    ]


def surest(examined: Examined) -> list[Block]:
    """The three images of every class with the highest probabilities of it."""
    caption = (
        f"The {examined.part} images with the three highest probabilities of every class, in per "
        "cent to a tenth"
    )
    figure = examined.figure("top-three", caption, example_pictures.top_three, *examined.examples())
    top = example_pictures.top_images(examined.outputs)
    classes, shown_images = top.indices.shape
    of_others = int((examined.labels[top.indices] != np.arange(classes)[:, None]).sum())
    least = top.probabilities[:, -1]
    name = examined.task.data.class_names[int(least.argmin())]
    return [
        figure,
        finding(
            f"Of the {classes * shown_images} images {of_others or 'none'} "
            f"{'is' if of_others == 1 else 'are'} labelled as another class. The network is least "
            f"sure of {name}: its third image leaves {1 - least.min():.1e} to the other classes."
        ),
    ]


def inside(examined: Examined) -> list[Block]:
    """What its first layer learned to look for, what it gets wrong, an image on its way through."""
    first_layer = network_figures.first_filters(examined.trained)
    blocks: list[Block] = [
        examined.figure(
            "filters", "What the first layer looks for", network_figures.filters, first_layer
        ),
        finding(network_figures.of_filters(first_layer)),
        examined.figure(
            "mistakes",
            f"The surest mistakes on the {examined.part} set",
            example_pictures.mistakes,
            *examined.examples(),
        ),
        finding(_of_mistakes(examined)),
    ]
    if first_layer.convolution:
        image = examined.images[int(np.argmax(examined.right))]
        caption = f"The first {examined.part} image that it recognises, layer by layer"
        draw = network_figures.feature_maps
        blocks.append(examined.figure("feature-maps", caption, draw, examined.trained, image))
        blocks.append(finding(network_figures.of_maps(examined.trained, image)))
    return blocks


def _of_mistakes(examined: Examined) -> str:
    wrong = int((~examined.right).sum())
    shares = example_pictures.probabilities(examined.outputs).max(1)
    sure = int((shares[~examined.right] > _SURE).sum())
    return (
        f"{wrong:,} of {len(examined.right):,} images are put into a wrong class "
        f"({wrong / len(examined.right):.2%}), {sure:,} of them with a probability above "
        f"{_SURE:.0%}."
    )
