"""Sections that the reports of the labs on images have in common."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

import funcnn as fn
from funcnn.experiments.compare.findings import WORDS, of_free
from funcnn.experiments.compare.results import free_results
from funcnn.experiments.data.datasets import Dataset
from funcnn.experiments.errors import sizes_text
from funcnn.experiments.figures.architecture import blocks_of
from funcnn.experiments.figures.architecture import network as draw_network
from funcnn.experiments.labs import judgements
from funcnn.experiments.labs.lab import Results, Trial
from funcnn.experiments.labs.layers_in_words import numbered, summary_in_words
from funcnn.experiments.labs.settings_in_words import trained_with
from funcnn.experiments.labs.tables import BACKEND_NAMES, run_in_words, screen, shown
from funcnn.experiments.reports.document import Block, Listing, Section, Table, Text, finding
from funcnn.experiments.tasks.architectures import unit_of
from funcnn.experiments.tasks.augmentations import NONE
from funcnn.experiments.tasks.config import BACKENDS
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.figures import learning_curve
from funcnn.experiments.training.predictions import save_predictions
from funcnn.experiments.training.progress import printed


def sizes(data: Dataset) -> list[Block]:
    """How many images there are, and what for."""
    assert data.validation is not None
    assert data.validation[1] is not None
    shape = sizes_text(data.input_shape, " x ")
    unlabelled = "" if data.test[1] is not None else ", without labels"
    rows = (
        ("training", f"{len(data.train[0]):,}", "the weights are fitted to them"),
        ("validation", f"{len(data.validation[0]):,}", "every choice is made by them"),
        ("test", f"{len(data.test[0]):,}", f"predicted in the end{unlabelled}"),
    )
    classes = f"{len(data.class_names)} classes, images of {shape}, normalised by the mean and the "
    commonest = np.bincount(data.validation[1]).max() / len(data.validation[1])
    return [
        Table(("part", "images", "what for"), rows, f"{classes}deviation of those trained on."),
        finding(
            f"The commonest class has {commonest:.1%} of the validation images: whoever always "
            "named it would be right so often, and every accuracy is to be held against that."
        ),
    ]


def layers(task: Task) -> list[Block]:
    """The layers of a network."""
    table = summary_in_words(task.model, task.input_shape)
    rows = [
        (row.name, sizes_text(row.output_shape, " x "), f"{row.parameters:,}") for row in table.rows
    ]
    rows.append(("all", "", f"{table.parameters:,}"))
    largest = max(table.rows, key=lambda row: row.parameters)
    share = largest.parameters / table.parameters
    return [
        Table(("layer", "output", "parameters"), tuple(rows), "The network."),
        finding(
            f"{share:.0%} of the {table.parameters:,} parameters, or {largest.parameters:,}, are "
            f"in the layer that gives {sizes_text(largest.output_shape, ' x ')} ({largest.name})."
        ),
    ]


def network(results: Results, trial: Trial) -> list[Block]:
    """The network drawn, its layers, and the settings it is trained with."""
    task = results.task(trial)
    return [drawing(results, trial, trial.called), *layers(task), *trained_with(task, "numpy")]


def drawing(results: Results, trial: Trial, called: str = "") -> Block:
    """The network drawn. called: which one it is, where there are several."""
    task = results.task(trial)
    shape = task.input_shape
    table = summary_in_words(task.model, shape)
    several = table.rows[-1].output_shape != (1,)  # the one of two classes is a probability itself
    output = "softmax" if several and task.config.loss == "cross-entropy" else None
    path = results.out / "figures" / f"network-{trial.name}.png"
    network = f"The network {called}".strip()
    caption = f"{network}, from its input to its output; under each layer what it gives."
    return shown(path, caption, draw_network, blocks_of(table, shape, output))


def module(task: Task) -> Listing:
    """The same network as a module of torch."""
    from funcnn.experiments.pytorch.mirror import definition

    return Listing(definition(task.model, task.input_shape), "The module in PyTorch.")


def network_in_torch(task: Task) -> list[Block]:
    """The same network as a module of torch, and the settings it is trained with."""
    return [module(task), *trained_with(task, "torch")]


def training(results: Results, trial: Trial, backend: str) -> list[Block]:
    """How the training of a backend went that is shown: its curves."""
    training = results.shown(trial, backend)
    path = results.out / "figures" / f"curve-{trial.name}-{backend}.png"
    whose = f"{trial.called} in {BACKEND_NAMES[backend]}, {training.whose}"
    config = results.config(trial)
    changed = "" if config.augment == NONE else "; those of training are of changed images"
    caption = f"Loss and accuracy over epochs ({whose}){changed}."
    return [
        shown(path, caption, learning_curve, training.rows, unit_of(config.loss)),
        finding(judgements.of_curve(training.rows, training.kept)),
    ]


def screenshot(results: Results, trial: Trial, backend: str, name: str) -> Block:
    """The lines that the training of a backend printed that is shown, an epoch a line."""
    training = results.shown(trial, backend)
    lines = "\n".join(map(results.lab.epoch_line, printed(training.rows)))
    path = results.out / "figures" / f"screen-{trial.name}-{backend}.png"
    printed_as = f"{BACKEND_NAMES[backend]}, as it is printed while it learns ({training.whose})."
    return screen(path, lines, f"{name} in {printed_as}")


def differences(
    results: Results, trial: Trial, whose: str = "", words: Mapping[str, str] = WORDS
) -> list[Block]:
    """What differs between the two backends of a trial, and why. whose: it begins with.

    words: as of `of_free`.
    """
    runs = {
        backend: [results.folder(trial, backend, seed) for seed in results.seeds]
        for backend in BACKENDS
    }
    free = free_results(runs, {})
    first, *others = of_free(free, run_in_words, words)
    said = (f"{whose}{first}", *others, _epoch_times(results, trial))
    blocks: list[Block] = list(map(finding, said))
    shared, apart = ["first weights"], ["order of the images", "masks of dropout"]
    if results.config(trial).init == "own":
        apart.insert(0, shared.pop())
        called = numbered([row["layer"] for row in free["first_weights"]])
        of_layers = dict(zip(called, free["first_weights"], strict=True))
        weights = [
            (name, *(f"{row[backend]:.4f}" for backend in BACKENDS))
            for name, row in of_layers.items()
        ]
        blocks.append(
            Table(
                ("weights of", *BACKEND_NAMES.values()),
                tuple(weights),
                "Standard deviations of the first weights, which each side draws in its own way.",
            )
        )
        ratios = {name: row["numpy"] / row["torch"] for name, row in of_layers.items()}
        widest = max(ratios, key=lambda name: abs(math.log(ratios[name])))
        he = (
            " He's, before a ReLU, are 1.41 / √n, 2.45 times as large but for chance: a ReLU "
            "drops half of what it gets."
        )
        relu = results.config(trial).activation == "relu"
        blocks.append(
            finding(
                f"They differ most in the {widest}, where NumPy's are {ratios[widest]:.2f} times "
                "PyTorch's. Why: PyTorch's are uniform within ±1 / √n for n inputs, whatever "
                "follows, a deviation of 0.58 / √n; NumPy's are those that suit what follows."
                f"{he if relu else ''}"
            )
        )
    if not results.config(trial).dropout:
        apart.remove("masks of dropout")
    if results.task(trial).steps_per_epoch == 1:  # the whole set, in its own order
        apart.remove("order of the images")
    same = ["layers", "loss", "optimizer", "learning rate over the steps", "normalised inputs"]
    of_its_own = (
        f"Not the same: the {', the '.join(apart)}, which each side draws from a generator of its "
        "own."
        if apart
        else "Nothing else is drawn by chance, and so both compute the same training but for "
        "rounding."
    )
    by_hand = (
        "The derivatives are written by hand in NumPy, each held against a measured one; in "
        "PyTorch autograd finds them."
    )
    return [
        *blocks,
        finding(
            f"The same on both sides: the {', the '.join([*same, *shared])}. {of_its_own} {by_hand}"
        ),
    ]


def epoch_seconds(results: Results, trial: Trial, backend: str) -> float:
    """How long an epoch took, with what is measured after it: the median over the runs."""
    of_runs = (results.rows(trial, backend, seed) for seed in results.seeds)
    return statistics.median(sum(row.seconds for row in rows) / rows[-1].epoch for rows in of_runs)


def _epoch_times(results: Results, trial: Trial) -> str:
    """How long an epoch took in each backend."""
    numpy, torch = (epoch_seconds(results, trial, backend) for backend in BACKENDS)
    name, times = ("NumPy", torch / numpy) if numpy < torch else ("PyTorch", numpy / torch)
    return (
        f"An epoch took {_short(numpy)} in NumPy and {_short(torch)} in PyTorch, in the median of "
        f"the runs, each with one thread: {name} is {times:.1f} times as fast here; why was not "
        "looked into."
    )


def _short(seconds: float) -> str:
    """A time in its unit: 18.0 s, or 0.53 ms."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def handed_in(results: Results, trial: Trial, file: str, backend: str = "numpy") -> list[Block]:
    """The classes of the test images by the training that is shown, written to a file."""
    training = results.shown(trial, backend)
    images, _ = results.task(trial).data.test
    save_predictions(results.out / file, fn.predicted_classes(training.model.predict(images)))
    right = [f"{share:.2%} of the {part} images" for part, share in training.accuracies.items()]
    return [
        finding(
            f"`{file}` has the classes of the test images by the {BACKEND_NAMES[backend]} network "
            f"that is shown here ({training.whose}). The network has {' and '.join(right)} right."
        ),
    ]


def lab_loop() -> Text:
    """How what is handed in, and the class that the lab's loop drives, are two trainings."""
    return Text(
        "The class `Network` has the same layers without dropout: the lab's loop drives it along "
        "the sum of the gradients, in the order of the file. What is handed in was trained by "
        "`train`, in a new order in every epoch, with dropout and by Adam. Which epoch is kept was "
        "chosen on the validation set, so that the test set has the fairer number."
    )


def titled(title: str, *parts: Sequence[Block | Section]) -> Section:
    """A section of all of these, one after another."""
    return Section(title, tuple(itertools.chain(*parts)))
