"""Lockstep: two implementations of one training step, given the same params, batches and masks.

After every step it is measured how far they are apart, each tree as the norm of the difference over
the norm of the whole tree: a leaf whose true gradient is 0, such as a bias before BatchNorm, has no
relative error of its own. So each leaf has a share, the norm of its difference over the same norm.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.compare.lockstep_backends import Backend, NumpyBackend
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.extras import require
from funcnn.experiments.tasks.task import Task
from funcnn.random import Key
from funcnn.types import Array, Tree


class Step(NamedTuple):
    """How far the two are apart at a step."""

    step: int
    """From 1."""
    loss_numpy: float
    """Before the update, as is `loss_torch`."""
    loss_torch: float
    loss: float
    """The difference over the larger of the two."""
    grads: float
    params: float
    """After the update; as `grads`, of the whole tree."""
    switched: int
    """How many outputs of ReLU and its kin are above 0 in one of the two alone.

    There the derivative is another, so that a rounding becomes a difference of the gradient's size.
    """
    shares_of_grads: dict[str, float]
    """For each leaf, by its path."""
    shares_of_params: dict[str, float]


def lockstep(task: Task, steps: int, dtype: str) -> Iterator[Step]:
    """So many steps of a task in NumPy and in torch, in `float64` or `float32`.

    Both begin with the task's first params, rounded to float32 in both dtypes, and take its batches
    and keys. Raises `InputError` for more steps than the run has, a batch that the model cannot
    take, or where torch is missing, and `RunStoppedError` if a loss is no longer finite.
    """
    if steps > task.total_steps:
        raise InputError(f"--steps {steps}: the whole run has {task.total_steps}")
    require("torch")
    from funcnn.experiments.compare.lockstep_torch import TorchBackend

    params = fn.tree.map(lambda leaf: leaf.astype(dtype), task.first_params())
    backends = NumpyBackend(task, params), TorchBackend(task, params)
    return differences(*backends, itertools.islice(_batches(task, dtype), steps))


def _batches(task: Task, dtype: str) -> Iterator[tuple[Array, Array, Key]]:
    """The batches of one epoch after another, each with the key that a run has at this step."""
    rng = task.key(2)
    for epoch in itertools.count(1):
        for x, y in task.batches(epoch):
            rng, step_rng = fn.random.split(rng)
            yield x.astype(dtype), y, step_rng


def differences(
    ours: Backend, theirs: Backend, batches: Iterable[tuple[Array, Array, Key]]
) -> Iterator[Step]:
    """What two backends differ by after each batch. Raises as `lockstep`."""
    for number, (x, y, rng) in enumerate(batches, 1):
        # A loss that leaves the numbers is reported as what it is, not as a warning of NumPy's.
        with fn.threads.single_threaded_blas(), np.errstate(all="ignore"):
            try:
                our = ours.step(x, y, rng)
            except ValueError as error:  # such as BatchNorm's, of a batch of one
                raise InputError(f"in a batch of {len(y)}: {error}") from None
            their = theirs.step(x, y, rng)
            of_grads, of_params = _apart(our.grads, their.grads), _apart(ours.params, theirs.params)
        if of_grads.whole == math.inf and all(map(_all_finite, (our.grads, their.grads))):
            raise RunStoppedError(
                f"lockstep in {x.dtype}: at step {number} the gradient is 0 in NumPy alone"
            )
        for value in (our.loss, their.loss, of_grads.whole, of_params.whole):
            if not math.isfinite(value):
                raise RunStoppedError(
                    f"lockstep in {x.dtype}: a loss, gradient or weight became {value} at step "
                    f"{number} (a smaller --lr may help)"
                )
        largest = max(abs(our.loss), abs(their.loss))
        yield Step(
            number,
            float(our.loss),
            float(their.loss),
            float(abs(our.loss - their.loss) / largest) if largest else 0.0,
            of_grads.whole,
            of_params.whole,
            sum(int(np.sum(our.above[path] != their.above[path])) for path in our.above),
            of_grads.shares,
            of_params.shares,
        )


class _Apart(NamedTuple):
    whole: float
    shares: dict[str, float]


def _apart(ours: Tree, theirs: Tree) -> _Apart:
    """The norm of the difference over that of the whole tree, and each leaf's part in it."""
    leaves = fn.tree.leaves_with_path(ours)
    norm = math.hypot(*(_norm(leaf) for _, leaf in leaves))
    parts = {
        path: _norm(np.subtract(leaf, other, dtype=np.float64))
        for (path, leaf), other in zip(leaves, fn.tree.leaves(theirs), strict=True)
    }
    difference = math.hypot(*parts.values())
    if not difference:  # where both gradients are 0, they are equal
        return _Apart(0.0, dict.fromkeys(parts, 0.0))
    if not norm:
        return _Apart(math.inf, dict.fromkeys(parts, math.inf))
    return _Apart(difference / norm, {path: part / norm for path, part in parts.items()})


def _all_finite(tree: Tree) -> bool:
    return all(np.isfinite(leaf).all() for leaf in fn.tree.leaves(tree))


def _norm(array: Array) -> float:
    return float(np.linalg.norm(array.astype(np.float64, copy=False)))
