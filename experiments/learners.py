"""What trains in a run: a task, and a learner that does its steps, in NumPy or in torch.

A learner is the one place where the two backends differ; the run around it, its folder and its
numbers are the same.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from funcnn.experiments.architectures import loss_of
from funcnn.experiments.config import (
    RunConfig,
    build_network,
    build_optimizer,
    network_that_fits,
)
from funcnn.experiments.datasets import Dataset, load_dataset
from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require

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
    def build(cls, config: RunConfig) -> "Task":
        """The task of a config. Raises `InputError` if the data cannot be used."""
        data = load_dataset(config.data, val_size=config.val_size, seed=config.seed)
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
        return loss_of(self.config.arch, self.config.label_smoothing)

    @property
    def plain_loss(self) -> Loss:
        """The loss that is reported, of training and validation alike: without label smoothing."""
        return loss_of(self.config.arch, 0.0)

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


class Learner(Protocol):
    """A network and its optimizer on their way through a task."""

    @property
    def params(self) -> Tree:
        """The params so far, as a tree of the task's model; later steps do not change them."""

    def save(self, path: Path, notes: Any) -> None:
        """Write a snapshot of all that the next steps depend on, with the notes."""

    def load(self, path: Path) -> Any:
        """Go on from what `save` wrote; the notes. Raises `SnapshotError`."""

    def batches(self, epoch: int) -> Iterable[Batch]:
        """The batches of an epoch, counted from 1."""

    def step(self, batch: Batch) -> dict[str, float]:
        """One step, and its `loss`, the task's metrics and the `learning_rate`."""

    def predict(self, params: Tree, x: Array) -> Array:
        """The outputs for stored inputs with these params."""


class NumpyLearner:
    """funcnn itself."""

    def __init__(self, task: Task) -> None:
        self._task = task
        optimizer = build_optimizer(task.config, task.total_steps)
        params = task.first_params()
        with network_that_fits(task.config):
            self._state = fn.TrainState.create(params, optimizer, rng=task.key(2))
        self._step = fn.make_train_step(task.model.apply, task.loss, optimizer, task.metrics)
        self.batches = task.batches

    @property
    def params(self) -> Tree:
        """The params so far."""
        return self._state.params

    def save(self, path: Path, notes: Any) -> None:
        """Write the state."""
        fn.save(path, self._state, notes=notes)

    def load(self, path: Path) -> Any:
        """Go on from a state."""
        snapshot = fn.load(path, like=self._state)
        self._state = snapshot.params
        return snapshot.notes

    def step(self, batch: Batch) -> dict[str, float]:
        """One step."""
        self._state, measured = self._step(self._state, batch)
        return measured

    def predict(self, params: Tree, x: Array) -> Array:
        """The outputs for stored inputs."""
        data, model = self._task.data, self._task.model
        outputs: Array = fn.predict(model.apply, params, x, preprocess=data.normalization)
        return outputs


def make_learner(task: Task) -> Learner:
    """The learner of the task's backend. Raises `InputError` if torch is wanting."""
    if task.config.backend == "numpy":
        return NumpyLearner(task)
    require("torch")
    from funcnn.experiments.torch_learner import TorchLearner

    return TorchLearner(task)
