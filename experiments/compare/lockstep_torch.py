"""torch's backend of a lockstep."""

import functools
from typing import Any

import torch

import funcnn as fn
from funcnn.experiments.compare.lockstep_backends import TakenStep, kinks
from funcnn.experiments.pytorch.learner import as_targets, torch_loss
from funcnn.experiments.pytorch.mirror import grads_of, load_params, mirror, params_of, set_rng
from funcnn.experiments.pytorch.optimizers import torch_optimizer
from funcnn.experiments.tasks.task import Task
from funcnn.random import Key
from funcnn.types import Array, Tree


class TorchBackend:
    """The mirror of a task's model, from these params, with torch's own loss and optimizer."""

    def __init__(self, task: Task, params: Tree) -> None:
        self._model, self._like = task.model, params
        torch.set_num_threads(fn.threads.thread_count())
        dtype = fn.tree.leaves(params)[0].dtype
        self._module = mirror(task.model, task.input_shape, dtype, task.torch_modules)
        load_params(self._module, task.model, params)
        self._loss = torch_loss(task.config, task.class_weights)
        self._optimizer, self._scheduler = torch_optimizer(
            task.config, self._module.parameters(), task.total_steps
        )
        self._above: dict[str, Array] = {}
        for path in kinks(task.model):
            self._module.get_submodule(path.replace("/", ".")).register_forward_hook(
                functools.partial(self._note, path)
            )

    @property
    def params(self) -> Tree:
        """The params after the steps so far."""
        return params_of(self._module, self._model, self._like)

    def _note(self, path: str, module: Any, inputs: Any, outputs: Any) -> None:
        self._above[path] = (outputs > 0).numpy()

    def step(self, x: Array, y: Array, rng: Key) -> TakenStep:
        """A step as torch's users write it, with the masks of this key."""
        set_rng(self._module, self._model, rng)
        self._optimizer.zero_grad()
        outputs = self._module(torch.from_numpy(x))
        loss = self._loss(outputs, as_targets(y, outputs))
        loss.backward()
        grads = grads_of(self._module, self._model, self._like)
        self._optimizer.step()
        self._scheduler.step()
        return TakenStep(loss.item(), grads, dict(self._above))
