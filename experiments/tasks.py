"""What a config stands for, built: data, network, loss, and the keys of all that is random."""

import math
from collections.abc import Collection, Iterable
from typing import NamedTuple

from funcnn.experiments.config import (
    RunConfig,
    build_loss,
    build_network,
    build_plain_loss,
    fitted,
    load_data,
    network_that_fits,
)
from funcnn.experiments.datasets import Dataset
from funcnn.experiments.errors import InputError

import funcnn as fn
from funcnn.training import Metric
from funcnn.types import Array, Layer, Loss, Tree

Batch = tuple[Array, Array]


class Task(NamedTuple):
    """What a config stands for, built: what is learned, from which examples."""

    config: RunConfig
    data: Dataset
    model: Layer
    batch_size: int
    steps_per_epoch: int

    @classmethod
    def build(cls, config: RunConfig, usual: Collection[str] = ()) -> "Task":
        """The task of a config. Raises `InputError` if the data cannot be used.

        usual: the sizes, as of `unsaid`, that the task's config has smaller if the data need it.
        """
        data = load_data(config, usual)
        return cls.of(fitted(config, data, usual), data)

    @classmethod
    def of(cls, config: RunConfig, data: Dataset) -> "Task":
        """The task of a config whose data is loaded. Raises `InputError` if it cannot be used."""
        if config.test_curve and data.test[1] is None:
            raise InputError(f"--test-curve: the test set of {config.data} has no labels")
        examples = len(data.train[0])
        batch_size = config.batch_size or examples
        if batch_size > examples:
            raise InputError(f"--batch-size {batch_size}: there are {examples} training examples")
        model = build_network(config, len(data.class_names))
        return cls(config, data, model, batch_size, math.ceil(examples / batch_size))

    @property
    def total_steps(self) -> int:
        """The steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    @property
    def loss(self) -> Loss:
        """The loss that is minimized."""
        return build_loss(self.config)

    @property
    def plain_loss(self) -> Loss:
        """The loss that is reported, of training and validation alike: without label smoothing."""
        return build_plain_loss(self.config)

    @property
    def metrics(self) -> dict[str, Metric]:
        """What a step measures beside the loss that it minimizes."""
        plain_loss = self.plain_loss
        return {
            "accuracy": fn.accuracy,
            "plain_loss": lambda outputs, targets: plain_loss(outputs, targets)[0],
        }

    def key(self, index: int) -> fn.random.Key:
        """The key for one purpose; `load_dataset` uses index 0."""
        return fn.random.fold_in(fn.random.key(self.config.seed), index)

    def first_params(self) -> Tree:
        """The params that NumPy's side begins with. Raises `InputError` if they do not fit."""
        with network_that_fits(self.config):
            return self.model.init(self.key(1), self.data.input_shape)[1]

    def batches(self, epoch: int) -> Iterable[Batch]:
        """The batches of one epoch, in an order of its own; one whole batch needs none."""
        return fn.batches(
            self.data.train,
            self.batch_size,
            rng=fn.random.fold_in(self.key(3), epoch) if self.steps_per_epoch > 1 else None,
            preprocess=self.data.normalization,
        )
