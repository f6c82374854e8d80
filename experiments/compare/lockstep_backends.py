"""The two backends of a lockstep: what each must be able to do, and funcnn's own."""

from typing import NamedTuple, Protocol

import funcnn as fn
from funcnn.experiments.tasks.build import build_optimizer
from funcnn.experiments.tasks.task import Task
from funcnn.random import Key
from funcnn.training import write_statistics
from funcnn.types import Array, Layer, Tree, layer_name, traits


class TakenStep(NamedTuple):
    """A step that a backend took."""

    loss: float
    """Before the update."""
    grads: Tree
    above: dict[str, Array]
    """Which outputs are above 0, of each activation whose derivative jumps there, by its path."""


class Backend(Protocol):
    """One of the two."""

    def step(self, x: Array, y: Array, rng: Key) -> TakenStep:
        """A step on a batch, with the masks of this key."""

    @property
    def params(self) -> Tree:
        """The params after the steps so far, running statistics included."""


class NumpyBackend:
    """funcnn's, from these params, whose dtype it keeps; the steps are those of a run."""

    def __init__(self, task: Task, params: Tree) -> None:
        self.params = params
        self._model, self._kinks = task.model, kinks(task.model)
        self._optimizer = build_optimizer(task.config, task.total_steps)
        self._state = self._optimizer.init(params)
        self._gradient = fn.value_and_grad(task.model.apply, task.loss)

    def step(self, x: Array, y: Array, rng: Key) -> TakenStep:
        """The step that `make_train_step` makes, with its gradient kept."""
        above = {}
        if self._kinks:
            outputs = fn.inner_outputs(self._model, self.params, x, rng=rng, train=True)
            above = {path: outputs[path] > 0 for path in self._kinks}
        (loss, aux), grads = self._gradient(self.params, x, y, rng=rng)
        updates, self._state = self._optimizer.update(grads, self._state, self.params)
        params = fn.apply_updates(self.params, updates)
        self.params = write_statistics(params, aux.statistics)
        return TakenStep(loss, grads, above)


def kinks(layer: Layer, path: str = "") -> list[str]:
    """The paths of the activations in a model whose derivative jumps at 0: ReLU and its kin."""
    jumps = layer_name(layer) in ("Relu", "LeakyRelu", "PRelu", "Selu")
    if jumps or (layer_name(layer) == "Elu" and (layer.spec or {})["alpha"] != 1):
        return [path]
    inner = enumerate(traits(layer).layers)
    return [kink for i, part in inner for kink in kinks(part, f"{path}/{i}" if path else f"{i}")]
