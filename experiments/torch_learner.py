"""The same task in torch, as its users write a training loop.

Order of the batches and dropout are torch's own, from the config's seed, and so are the first
weights unless the config says otherwise.
"""

import contextlib
import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from funcnn.experiments.architectures import ARCHITECTURES
from funcnn.experiments.config import RunConfig, network_that_fits
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks import Batch, Task
from funcnn.experiments.torch_mirror import load_params, mirror, params_of
from funcnn.experiments.torch_optimizers import torch_optimizer
from torch import nn

import funcnn as fn
from funcnn.types import Array, Tree

_PREDICTED_AT_ONCE = 1000


def torch_loss(config: RunConfig) -> Any:
    """The function of the loss that a config minimizes, of outputs and what `as_targets` makes."""
    binary = ARCHITECTURES[config.arch].binary
    if config.loss == "squared-error":
        return nn.MSELoss() if binary else _half_squared_error
    if binary:
        return nn.BCELoss()
    return nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)


def _half_squared_error(outputs: Any, labels: Any) -> Any:
    """1/2 sum_k (y_k - t_k)^2, t one-hot, in the mean over the examples: torch has no such loss."""
    one_hot = nn.functional.one_hot(labels, outputs.shape[1]).to(outputs.dtype)  # (N, K)
    return nn.functional.mse_loss(outputs, one_hot, reduction="sum") / (2 * len(outputs))


class TorchLearner:
    """A module, and an optimizer with its schedule."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._like = task.first_params()
        torch.set_num_threads(fn.threads.thread_count())
        with network_that_fits(task.config):
            self._tested = mirror(task.model, task.data.input_shape).eval()
            torch.manual_seed(task.config.seed)
            self._module = mirror(task.model, task.data.input_shape)
        if task.config.init == "shared":
            load_params(self._module, task.model, self._like)
        # Orders and masks are drawn from torch's global generator, as in its users' loops: what it
        # is like between two epochs is kept here, whoever else uses it meanwhile.
        self._generator = torch.get_rng_state()
        self._loss = torch_loss(task.config)
        self._optimizer, self._scheduler = torch_optimizer(
            task.config, self._module.parameters(), task.total_steps
        )

    @property
    def params(self) -> Tree:
        """The params so far, copied."""
        return params_of(self._module, self._task.model, self._like)

    @property
    def parameters(self) -> int:
        """How many numbers are learned, as torch counts them."""
        return sum(parameter.numel() for parameter in self._module.parameters())

    def limits(self) -> contextlib.AbstractContextManager[None]:
        """None: threads are torch's own affair."""
        return contextlib.nullcontext()

    def save(self, path: Path, notes: Any) -> None:
        """Write the params as ever, and the rest as the bytes of a file of torch's."""
        rest = io.BytesIO()
        parts = {
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "generator": self._generator,
        }
        torch.save(parts, rest)
        state = {"params": self.params, "torch": np.frombuffer(rest.getvalue(), np.uint8)}
        fn.save(path, state, notes=notes)

    def load(self, path: Path) -> Any:
        """Go on from what `save` wrote."""
        snapshot = fn.load(path)
        try:
            load_params(self._module, self._task.model, snapshot.params["params"])
            rest = io.BytesIO(snapshot.params["torch"].tobytes())
            parts = torch.load(rest, weights_only=True)
            self._optimizer.load_state_dict(parts["optimizer"])
            self._scheduler.load_state_dict(parts["scheduler"])
            self._generator = parts["generator"]
        except (InputError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
            reason = " ".join(str(error).split())
            raise fn.SnapshotError(f"{path}: not the state of such a run ({reason})") from None
        return snapshot.notes

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, `(x, y)` of `(N, ...)` each, in an order of torch's."""
        torch.set_rng_state(self._generator)
        x, y = self._task.data.train
        size = self._task.batch_size
        several = self._task.steps_per_epoch > 1
        order = torch.randperm(len(x)).numpy() if several else np.arange(len(x))
        for start in range(0, len(x), size):
            chosen = order[start : start + size]
            yield self._task.data.normalization(x[chosen]), y[chosen]
        self._generator = torch.get_rng_state()

    def step(self, batch: Batch) -> dict[str, float]:
        """One step."""
        x, y = batch
        self._optimizer.zero_grad()
        outputs = self._module(torch.from_numpy(x))
        loss = self._loss(outputs, as_targets(y, outputs))
        loss.backward()
        self._optimizer.step()
        rate = self._scheduler.get_last_lr()[0]
        self._scheduler.step()
        found = outputs.detach().numpy()
        measured = {name: metric(found, y) for name, metric in self._task.metrics.items()}
        return {"loss": loss.item(), **measured, "learning_rate": rate}

    def predict(self, params: Tree, x: Array) -> Array:
        """The outputs for stored inputs, by torch."""
        load_params(self._tested, self._task.model, params)
        normalize = self._task.data.normalization
        cuts = range(0, len(x), _PREDICTED_AT_ONCE)
        with torch.inference_mode():
            parts = [
                self._tested(torch.from_numpy(normalize(x[start : start + _PREDICTED_AT_ONCE])))
                for start in cuts
            ]
        return np.concatenate([part.numpy() for part in parts])


def as_targets(y: Array, outputs: Any) -> Any:
    """The labels as torch's losses take them: int64 classes `(N,)`, or numbers like the outputs.

    y: classes `(N,)`, or numbers of the outputs' shape.
    """
    targets = torch.from_numpy(np.ascontiguousarray(y))
    return targets.to(outputs.dtype if y.shape == outputs.shape else torch.int64)
