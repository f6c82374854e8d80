"""What a config stands for, built: data, network, loss, and the keys of all that is random."""

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn._reductions import Value
from funcnn.augmentations import Augmentation
from funcnn.experiments.data.datasets import Dataset
from funcnn.experiments.data.provenance import Expected
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.augmentations import parse_augmentations
from funcnn.experiments.tasks.build import (
    build_loss,
    build_network,
    build_plain_loss,
    expect_augmentable,
    load_data,
    network_that_fits,
    preparation,
    prepared_shape,
)
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.sizes import fitted
from funcnn.training import Metric
from funcnn.types import Array, Layer, Loss, LossVjp, Shape, Tree

Batch = tuple[Array, Array]


class Task(NamedTuple):
    """What a config stands for, built: what is learned, from which examples."""

    config: RunConfig
    data: Dataset
    model: Layer
    input_shape: Shape
    """Of one input of the model: that of the data, unless a user's own code changes it."""
    batch_size: int
    steps_per_epoch: int

    @classmethod
    def build(
        cls, config: RunConfig, expected: Expected | None = None, *, usual: Collection[str] = ()
    ) -> "Task":
        """The task of a config; expected: its data, as of `load_dataset`.

        usual: the sizes, as of `usual_sizes`, that the config has smaller if the data need it.
        Raises `InputError` if the data cannot be used.
        """
        data = load_data(config, expected, usual=usual)
        return cls.of(fitted(config, data, usual), data)

    @classmethod
    def of(cls, config: RunConfig, data: Dataset) -> "Task":
        """The task of a config whose data is loaded. Raises `InputError` if it cannot be used."""
        if config.test_curve and data.test[1] is None:
            raise InputError(f"--test-curve: the test set of {config.data} has no labels")
        examples = len(data.train[0])
        batch_size = config.batch_size or examples
        if batch_size > examples:
            raise InputError(
                f"--batch-size {batch_size}: there are {examples} training examples; "
                f"give at most {examples}"
            )
        if config.patience is not None and data.validation is None:
            raise InputError(
                f"--patience {config.patience}: there is no validation set; give --val-size"
            )
        expect_augmentable(config, data)
        shape = prepared_shape(config, data)
        model = build_network(config, shape, len(data.class_names))
        steps = examples // batch_size if config.drop_last else math.ceil(examples / batch_size)
        return cls(config, data, model, shape, batch_size, steps)

    def records(self, epoch: int) -> bool:
        """Whether an epoch gets a row and a checkpoint; of thousands of single steps not all do."""
        epochs = self.config.epochs
        every = min(max(1, epochs // 100), 1000) if self.steps_per_epoch == 1 else 1
        return epoch % every == 0 or epoch == epochs

    @property
    def total_steps(self) -> int:
        """The steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    @property
    def loss(self) -> Loss:
        """The loss that is minimized."""
        loss, weights = build_loss(self.config), self.class_weights
        return loss if weights is None else weighted_by_class(loss, weights)

    @property
    def class_weights(self) -> Array | None:
        """How much each class counts in the loss that is minimized, `(K,)`; None: all the same.

        N / (K n_k) for the n_k of N training examples that are of class k, so that all together
        count as N; 0 for a class without examples.
        """
        if self.config.class_weights == "none":
            return None
        classes = len(self.data.class_names)
        labels = labels_of(self.data.train[1])
        counts = np.bincount(labels, minlength=classes)  # (K,)
        return np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0.0)

    @property
    def plain_loss(self) -> Loss:
        """The loss that is reported, of training and validation alike.

        That is without label smoothing, and of examples that count the same.
        """
        return build_plain_loss(self.config)

    @property
    def reports_its_loss(self) -> bool:
        """Whether the loss that is minimized is the one that is reported."""
        return not self.config.label_smoothing and self.config.class_weights == "none"

    @property
    def metrics(self) -> dict[str, Metric]:
        """What a step measures beside the loss that it minimizes."""
        plain_loss = self.plain_loss
        return {
            "accuracy": fn.accuracy,
            "plain_loss": lambda outputs, targets: plain_loss(outputs, targets)[0],
        }

    def own_metrics(self, outputs: Array, targets: Array) -> dict[str, float]:
        """What metrics of the user's own say of outputs `(N, ...)`; {} if they have none."""
        return {} if self.config.own is None else self.config.own.measured(outputs, targets)

    def key(self, index: int) -> fn.random.Key:
        """The key for one purpose; `load_dataset` uses index 0."""
        return fn.random.fold_in(fn.random.key(self.config.seed), index)

    def first_params(self) -> Tree:
        """The params that the NumPy backend begins with. Raises `InputError` if they do not fit."""
        with network_that_fits(self.config):
            return self.model.init(self.key(1), self.input_shape)[1]

    @property
    def prepare(self) -> Callable[[Array], Array]:
        """Stored inputs `(N, ...)` to what the model takes: normalised, or as a user's own does."""
        return preparation(self.config, self.data, self.input_shape)

    @property
    def augment(self) -> Augmentation | None:
        """What is done to each batch of stored inputs; None: nothing."""
        return parse_augmentations(self.config.augment)

    def batches(self, epoch: int) -> Iterable[Batch]:
        """The batches of one epoch, in an order of its own; one whole batch needs none."""
        augment = self.augment
        every = fn.batches(
            self.data.train,
            self.batch_size,
            rng=fn.random.fold_in(self.key(3), epoch) if self.shuffles or augment else None,
            augment=augment,
            preprocess=self.prepare,
        )
        return itertools.islice(every, self.steps_per_epoch)  # the last one may be left out

    @property
    def torch_modules(self) -> Mapping[str, Callable[..., Any]]:
        """What makes the twins in torch of layers of the user's own, by name."""
        return {} if self.config.own is None else self.config.own.torch_modules

    @property
    def shuffles(self) -> bool:
        """Whether each epoch has an order of its own."""
        return self.batch_size < len(self.data.train[0])


def labels_of(targets: Array) -> Array:
    """The class of each target: classes `(N,)`, or of two classes numbers `(N, 1)`."""
    labels: Array = targets.reshape(len(targets)).astype(np.intp)  # (N,)
    return labels


def weighted_by_class(loss: Loss, weights: Array) -> Loss:
    """The loss in the mean over a batch whose examples count by their classes.

    weights: `(K,)`. As `torch.nn.CrossEntropyLoss(weights)`, where there is no label smoothing.
    """

    def weighted_loss(outputs: Array, targets: Array) -> tuple[Value, LossVjp]:
        return loss(outputs, targets, weights=weights[labels_of(targets)])

    return weighted_loss
