"""What does the steps of a run: a network and its optimizer, in NumPy or in torch.

A learner is the one place where the two backends differ; the run around it, its folder and its
numbers are the same.
"""

import contextlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Protocol

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require
from funcnn.experiments.tasks.build import build_optimizer, network_that_fits
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Batch, Task
from funcnn.types import Array, Tree


def expect_init_used(settings: Collection[str], configs: Iterable[RunConfig]) -> None:
    """Raise `InputError` if the settings have an `init`, and none of these runs is torch's.

    In NumPy's there are no other weights to begin with than its own, which are those shared.
    """
    if "init" in settings and all(config.backend == "numpy" for config in configs):
        raise InputError("--init is for --backend torch: leave it out")


class Learner(Protocol):
    """A network and its optimizer on their way through a task."""

    @property
    def params(self) -> Tree:
        """The params so far, as a tree of the task's model; later steps do not change them.

        If the task averages them, that average.
        """

    @property
    def parameters(self) -> int:
        """How many numbers are learned: running statistics are not."""

    @property
    def steps_done(self) -> int | None:
        """How many steps the optimizer has made, if it knows."""

    def limits(self) -> contextlib.AbstractContextManager[None]:
        """What is to hold around all the steps of a run."""

    def save(self, path: Path, notes: Any) -> None:
        """Write a snapshot of all that the next steps depend on, with the notes."""

    def load(self, path: Path) -> Any:
        """Go on from what `save` wrote; the notes. Raises `SnapshotError`.

        The learning rate is from then on that of this task, if the state was of another one.
        """

    def batches(self, epoch: int) -> Iterable[Batch]:
        """The batches of an epoch, counted from 1: inputs and targets, `(N, ...)` each."""

    def step(self, batch: Batch) -> dict[str, float]:
        """One step, and its `loss`, the task's metrics and the `learning_rate`.

        Raises `ValueError` for a batch that the network cannot take.
        """

    def predict(self, params: Tree, x: Array) -> Array:
        """The outputs, `(N, ...)`, for stored inputs `(N, ...)` with these params."""


class NumpyLearner:
    """funcnn itself."""

    def __init__(self, task: Task, *, compile_step: bool = True) -> None:
        self._task = task
        optimizer = build_optimizer(task.config, task.total_steps)
        params = task.first_params()
        with network_that_fits(task.config):
            self._state = fn.TrainState.create(params, optimizer, rng=task.key(2))
        metrics = task.metrics
        if task.reports_its_loss:  # which the step has already
            del metrics["plain_loss"]
        self._step = fn.make_train_step(
            task.model.apply, task.loss, optimizer, metrics, compile=compile_step
        )

    @property
    def params(self) -> Tree:
        """The params so far, or their average."""
        params = self._state.params
        if not self._task.config.average:
            return params
        average = fn.averaged_params(self._state.opt_state)
        return fn.tree.map_with_path(  # of running statistics it is late by a step
            lambda path, mean, last: last if _is_statistic(path) else mean, average, params
        )

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        leaves = fn.tree.leaves_with_path(self._state.params)
        return sum(leaf.size for path, leaf in leaves if not _is_statistic(path))

    @property
    def steps_done(self) -> int | None:
        """How many steps the optimizer has made, if it knows."""
        return _steps_of(self._state.opt_state)

    def limits(self) -> contextlib.AbstractContextManager[None]:
        """BLAS on one thread, for the same bits on any number of threads."""
        return fn.threads.single_threaded_blas()

    def save(self, path: Path, notes: Any) -> None:
        """Write the state."""
        fn.save(path, self._state, notes=notes)

    def load(self, path: Path) -> Any:
        """Go on from a state."""
        snapshot = fn.load(path, like=self._state)
        self._state = snapshot.params
        return snapshot.notes

    def batches(self, epoch: int) -> Iterable[Batch]:
        """The batches of an epoch; those that take some time beside the step before, on a core."""
        batches = self._task.batches(epoch)
        if self._task.augment is None or fn.threads.thread_count() == 1:
            return batches
        return fn.prefetch(batches)

    def step(self, batch: Batch) -> dict[str, float]:
        """One step."""
        self._state, measured = self._step(self._state, batch)
        told = {"plain_loss": measured["loss"], "learning_rate": _rate_in(measured)}
        return {**told, **measured}

    def predict(self, params: Tree, x: Array) -> Array:
        """The outputs for stored inputs."""
        model, prepare = self._task.model, self._task.prepare
        outputs: Array = fn.predict(model.apply, params, x, preprocess=prepare)
        return outputs


def _is_statistic(path: str) -> bool:
    return "running_" in path


def _steps_of(state: Any) -> int | None:
    """The count beside the learning rate in an optimizer's state."""
    if hasattr(state, "learning_rate"):
        return int(state.step)
    inner = map(_steps_of, state) if isinstance(state, tuple) else ()
    return next((steps for steps in inner if steps is not None), None)


def _rate_in(metrics: dict[str, float]) -> float:
    """The learning rate that a step tells, of several groups the first's; 0 if it tells none."""
    rates = (value for name, value in metrics.items() if name.startswith("learning_rate"))
    return next(rates, 0.0)


def make_learner(task: Task, *, compile_step: bool = True) -> Learner:
    """The learner of the task's backend.

    compile_step: whether NumPy's records its step and replays it, which gives the same bits.
    Raises `InputError` if torch is wanting, or the network does not fit.
    """
    if task.config.backend == "numpy":
        return NumpyLearner(task, compile_step=compile_step)
    require("torch")
    from funcnn.experiments.pytorch.learner import TorchLearner

    return TorchLearner(task)
