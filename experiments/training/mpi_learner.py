"""Training on several machines: each rank finds the gradient of its rows, and they are summed.

The gradient of a mean over a batch is the mean of its rows' gradients, and a pure function of
params and rows: so one sum over the ranks is all that they need to tell each other at a step, and
all have the same params after it. Rank 0 has the run, and tells the others what is next.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.tasks.build import build_optimizer
from funcnn.experiments.tasks.task import Batch, Task, labels_of
from funcnn.experiments.training.learner import NumpyLearner
from funcnn.optimizers.base import AnyOptimizer
from funcnn.optimizers.transforms import learning_rates
from funcnn.random import Key
from funcnn.training import Metric
from funcnn.types import Array, Layer, Loss, Tree, Vjp, Wrt, traits


class Rows(NamedTuple):
    """The rows `start` to `stop` of a batch of `total`, which are one rank's; there may be none."""

    start: int
    stop: int
    total: int

    @classmethod
    def of_rank(cls, rank: int, ranks: int, total: int) -> "Rows":
        """Nearly the same number for each rank, in order."""
        return cls(total * rank // ranks, total * (rank + 1) // ranks, total)

    @property
    def size(self) -> int:
        """How many."""
        return self.stop - self.start

    def take(self, array: Array) -> Array:
        """These rows of an array `(total, ...)`: `(size, ...)`."""
        return array[self.start : self.stop]


def layer_of_rows(layer: Layer, rows: Rows) -> Layer:
    """The layer for these rows of a batch in training: it does to them what it does in the whole.

    Raises `InputError` for a layer that must see the whole batch, as BatchNorm.
    """
    known = traits(layer)
    if known.rebuild is not None:
        return known.rebuild(*(layer_of_rows(part, rows) for part in known.layers))
    if known.name == "Dropout":
        return _dropout_of_rows(layer, rows)
    if known.per_sample != "always":
        raise InputError(
            f"--distributed: the network has a {known.name}, which needs the whole batch"
        )
    return layer


def _dropout_of_rows(dropout: Layer, rows: Rows) -> Layer:
    """Dropout by these rows of the mask that it draws for the whole batch."""

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        ones = np.ones((rows.total, *x.shape[1:]), x.dtype)
        masks, _ = dropout.apply(params, ones, rng=rng, train=train, wrt=None)  # (total, ...)
        mask = rows.take(masks)

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            return {}, (None if wrt == "params" else dy * mask)

        return x * mask, (None if wrt is None else vjp)

    return Layer(dropout.init, apply)


def make_shared_step(
    comm: Any,
    model: Layer,
    loss: Loss,
    optimizer: AnyOptimizer,
    metrics: Mapping[str, Metric],
    class_weights: Array | None = None,
) -> Callable[[fn.TrainState, Batch], tuple[fn.TrainState, dict[str, float]]]:
    """As `fn.make_train_step`, of the ranks of `comm`, which all call it with the same arguments.

    Loss and metrics are means over the rows of a batch. The gradient is the sum over the ranks of
    (n / N) times that of the mean over a rank's n of the N rows.
    class_weights: `(K,)`, by which each row counts in the loss; then n and N are sums of these.
    """

    def weight_of(y: Array) -> float:
        return len(y) if class_weights is None else float(class_weights[labels_of(y)].sum())

    @functools.cache  # a run has batches of two sizes
    def of_size(total: int) -> tuple[Rows, Callable[..., Any]]:
        rows = Rows.of_rank(comm.rank, comm.size, total)
        return rows, fn.value_and_grad(layer_of_rows(model, rows).apply, loss)

    def step(state: fn.TrainState, batch: Batch) -> tuple[fn.TrainState, dict[str, float]]:
        x, y = batch
        rng, step_rng = (None, None) if state.rng is None else fn.random.split(state.rng)
        rows, gradient = of_size(len(y))
        if rows.size:
            targets = rows.take(y)
            (value, aux), grads = gradient(state.params, rows.take(x), targets, rng=step_rng)
            means = [metric(aux.outputs, targets) for metric in metrics.values()]
            weight = weight_of(targets)
        else:
            grads = fn.tree.map(np.zeros_like, state.params)
            value, means, weight = 0.0, [0.0] * len(metrics), 0
        whole = weight_of(y)
        # How many are right, and not their share: float32 has these integers without rounding.
        sums = np.array([value * weight, *(mean * rows.size for mean in means)], np.float32)
        vector, unravel = fn.tree.ravel((grads, sums))
        vector[: -len(sums)] *= weight / whole
        summed = np.empty_like(vector)
        comm.Allreduce(vector, summed)
        grads, sums = unravel(summed)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = fn.apply_updates(state.params, updates)
        loss_sum, *totals = sums.tolist()
        measured = {"loss": loss_sum / whole}
        measured |= {name: total / rows.total for name, total in zip(metrics, totals, strict=True)}
        return fn.TrainState(params, opt_state, rng), measured | learning_rates(opt_state)

    return step


class MpiLearner(NumpyLearner):
    """funcnn on all the ranks of an MPI communicator, each with the same params at every step.

    The learner of rank 0 is a run's; those of the others `follow` it. All `meet` before.
    """

    def __init__(self, task: Task, comm: Any) -> None:
        layer_of_rows(task.model, Rows(0, 1, 1))  # or it cannot be done
        super().__init__(task, compile_step=False)
        self._comm = comm
        optimizer = build_optimizer(task.config, task.total_steps)
        self._step = make_shared_step(
            comm, task.model, task.loss, optimizer, task.metrics, task.class_weights
        )

    def meet(self) -> None:
        """Begin at the state of rank 0, when all are there."""
        self._state = self._comm.bcast(self._state)
        self._comm.Barrier()  # if one cannot be made, the job ends before there is a folder for it

    def save(self, path: Path, notes: Any) -> None:
        """Write the state. Raises `RunStoppedError` if the ranks do not have the same params."""
        self._tell("compare")
        self._compare()
        super().save(path, notes)

    def load(self, path: Path) -> Any:
        """Go on from a state, on every rank."""
        notes = super().load(path)
        self._tell("state", self._state)
        return notes

    def batches(self, epoch: int) -> Iterable[Batch]:
        """The batches of an epoch, whole."""
        self._tell("epoch", epoch)
        return super().batches(epoch)

    def predict(self, params: Tree, x: Array) -> Array:
        """The outputs for stored inputs, each rank's share of them."""
        self._tell("predict", params)
        every = [Rows.of_rank(rank, self._comm.size, len(x)) for rank in range(self._comm.size)]
        parts = self._predict(params, [rows.take(x) for rows in every])
        assert parts is not None
        return np.concatenate([outputs for outputs in parts if outputs is not None])

    def close(self) -> None:
        """Tell the other ranks that the run is done."""
        self._comm.bcast(None)

    def follow(self) -> None:
        """On another rank than 0: do a share of what that does, until the run is done."""
        with self.limits(), np.errstate(all="ignore"):
            while (message := self._comm.bcast(None)) is not None:
                match message:
                    case "epoch", epoch:
                        for batch in super().batches(epoch):
                            self.step(batch)
                    case "predict", params:
                        self._predict(params)
                    case "compare", _:
                        self._compare()
                    case "state", state:
                        self._state = state

    def _tell(self, action: str, argument: Any = None) -> None:
        self._comm.bcast((action, argument))

    def _predict(self, params: Tree, shares: list[Array] | None = None) -> list[Any] | None:
        """On rank 0, which has the shares, the outputs for each; None for one without rows."""
        x = self._comm.scatter(shares)
        parts: list[Any] | None = self._comm.gather(super().predict(params, x) if len(x) else None)
        return parts

    def _compare(self) -> None:
        digest = hashlib.blake2b(fn.tree.ravel(self.params)[0].tobytes()).digest()
        digests = self._comm.gather(digest)
        for rank, other in enumerate(digests or []):
            if other != digest:
                raise RunStoppedError(
                    f"rank {rank} has other params than rank 0: do the machines of both have the "
                    "same kind of processor, and the same releases of Python and NumPy?"
                )
