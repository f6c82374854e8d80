"""The same task in torch, as its users write a training loop.

Order of the batches and dropout are torch's own, from the config's seed, and so are the first
weights unless the config says otherwise.
"""

import contextlib
import io
import pickle
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.pytorch.mirror import load_params, mirror, params_of
from funcnn.experiments.pytorch.optimizers import torch_optimizer, torch_scheduler
from funcnn.experiments.tasks.build import network_that_fits
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Batch, Task
from funcnn.types import Array, Tree

_PREDICTED_AT_ONCE = 1000


def torch_loss(config: RunConfig, class_weights: Array | None = None) -> Any:
    """The function of the loss that a config minimizes, of outputs and what `as_targets` makes.

    class_weights: `(K,)`, by which the examples of a batch count in its mean.
    """
    if class_weights is not None:
        return _weighted(config, torch.from_numpy(class_weights))
    binary = config.binary
    if config.loss == "squared-error":
        return nn.MSELoss() if binary else _half_squared_error
    if binary:
        return nn.BCELoss()
    return nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)


def _weighted(config: RunConfig, class_weights: Any) -> Any:
    """sum(w l) / sum(w): CrossEntropyLoss(weight=w) and BCELoss(weight=w) have other means.

    The one weighs what smoothing puts on another class by that one's weight, the other's is over N.
    """
    binary, functions = config.binary, nn.functional

    def of_examples(outputs: Any, targets: Any) -> Any:
        if config.loss == "squared-error" and binary:
            return functions.mse_loss(outputs, targets, reduction="none").flatten()
        if config.loss == "squared-error":
            one_hot = functions.one_hot(targets, outputs.shape[1]).to(outputs.dtype)  # (N, K)
            return (outputs - one_hot).square().sum(1) / 2
        if binary:
            return functions.binary_cross_entropy(outputs, targets, reduction="none").flatten()
        smoothing = config.label_smoothing
        return functions.cross_entropy(
            outputs, targets, reduction="none", label_smoothing=smoothing
        )

    def loss(outputs: Any, targets: Any) -> Any:
        weights = class_weights[targets.flatten().long()].to(outputs.dtype)  # (N,)
        return weights @ of_examples(outputs, targets) / weights.sum()

    return loss


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
            self._tested = mirror(task.model, task.input_shape, twins=task.torch_modules).eval()
            torch.manual_seed(task.config.seed)
            self._module = mirror(task.model, task.input_shape, twins=task.torch_modules)
        if task.config.init == "shared":
            load_params(self._module, task.model, self._like)
        # Orders and masks are drawn from torch's global generator, as in its users' loops: what it
        # is like between two epochs is kept here, whoever else uses it meanwhile.
        self._generator = torch.get_rng_state()
        self._loss = torch_loss(task.config, task.class_weights)

    @cached_property
    def _training(self) -> list[Any]:
        """Optimizer and scheduler, made for the first step or state that is kept.

        Who only predicts needs none, nor the seconds of importing what an optimizer needs.
        """
        parameters = self._module.parameters()
        return list(torch_optimizer(self._task.config, parameters, self._task.total_steps))

    @cached_property
    def _average(self) -> Any | None:
        """The module with the running average of the params; None: there is none."""
        if not (decay := self._task.config.average):
            return None
        swa = torch.optim.swa_utils
        return swa.AveragedModel(self._module, multi_avg_fn=swa.get_ema_multi_avg_fn(decay))

    @property
    def params(self) -> Tree:
        """The params so far, or their average, copied."""
        module = self._module if self._average is None else self._average.module
        return params_of(module, self._task.model, self._like)

    @property
    def parameters(self) -> int:
        """How many numbers are learned, as torch counts them."""
        return sum(parameter.numel() for parameter in self._module.parameters())

    @property
    def steps_done(self) -> int:
        """How many steps the optimizer has made."""
        return int(self._training[1].last_epoch)

    def limits(self) -> contextlib.AbstractContextManager[None]:
        """None: threads are torch's own affair."""
        return contextlib.nullcontext()

    def save(self, path: Path, notes: Any) -> None:
        """Write the params as ever, and the rest as the bytes of a file of torch's."""
        rest = io.BytesIO()
        optimizer, scheduler = self._training
        parts = {
            "optimizer": optimizer.state_dict(),
            "scheduler": {"last_epoch": scheduler.last_epoch},
            "generator": self._generator,
        }
        if self._average is not None:
            parts["average"] = self._average.state_dict()
        torch.save(parts, rest)
        params = params_of(self._module, self._task.model, self._like)
        state = {"params": params, "torch": np.frombuffer(rest.getvalue(), np.uint8)}
        fn.save(path, state, notes=notes)

    def load(self, path: Path) -> Any:
        """Go on from what `save` wrote."""
        snapshot = fn.load(path)
        try:
            load_params(self._module, self._task.model, snapshot.params["params"])
            rest = io.BytesIO(snapshot.params["torch"].tobytes())
            parts = torch.load(rest, weights_only=True)
            if parts["optimizer"]["param_groups"][0].keys() != self._of_optimizer():
                raise InputError("it is of another optimizer or schedule")
            self._training[0].load_state_dict(parts["optimizer"])
            self._training[1] = self._scheduler_after(parts["scheduler"]["last_epoch"])
            self._generator = parts["generator"]
            if self._average is not None:
                self._average.load_state_dict(parts["average"])
        except (InputError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
            reason = " ".join(str(error).split())
            raise fn.SnapshotError(f"{path}: not the state of such a run ({reason})") from None
        return snapshot.notes

    def _of_optimizer(self) -> Any:
        """The names of the settings that its state has."""
        return self._training[0].state_dict()["param_groups"][0].keys()

    def _scheduler_after(self, steps: int) -> Any:
        """The scheduler of this run after so many steps, of which the state may have had others.

        Some find a rate from the one before: these steps are gone through again.
        """
        optimizer, config = self._training[0], self._task.config
        for group in optimizer.param_groups:
            group["lr"] = config.lr
        scheduler = torch_scheduler(optimizer, config, self._task.total_steps)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of steps without the optimizer's
            for _ in range(steps):
                scheduler.step()
        return scheduler

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, `(x, y)` of `(N, ...)` each, in an order of torch's."""
        torch.set_rng_state(self._generator)
        x, y = self._task.data.train
        size, augment = self._task.batch_size, self._task.augment
        rng = fn.random.fold_in(self._task.key(4), epoch)
        order = torch.randperm(len(x)).numpy() if self._task.shuffles else np.arange(len(x))
        for step in range(self._task.steps_per_epoch):
            chosen = order[step * size : (step + 1) * size]
            batch = x[chosen], y[chosen]
            if augment is not None:  # with funcnn's: what differs is the training
                batch = augment(fn.random.fold_in(rng, step), batch)
            inputs, targets = batch
            yield self._task.prepare(inputs), targets
        self._generator = torch.get_rng_state()

    def step(self, batch: Batch) -> dict[str, float]:
        """One step."""
        x, y = batch
        optimizer, scheduler = self._training
        optimizer.zero_grad()
        outputs = self._module(torch.from_numpy(x))
        loss = self._loss(outputs, as_targets(y, outputs))
        loss.backward()
        optimizer.step()
        if self._average is not None:
            self._average.update_parameters(self._module)
        rate = scheduler.get_last_lr()[0]
        scheduler.step()
        detached = outputs.detach().numpy()
        measured = {name: metric(detached, y) for name, metric in self._task.metrics.items()}
        return {"loss": loss.item(), **measured, "learning_rate": rate}

    def predict(self, params: Tree, x: Array) -> Array:
        """The outputs for stored inputs, by torch."""
        load_params(self._tested, self._task.model, params)
        prepare = self._task.prepare
        cuts = range(0, len(x), _PREDICTED_AT_ONCE)
        with torch.inference_mode():
            parts = [
                self._tested(torch.from_numpy(prepare(x[start : start + _PREDICTED_AT_ONCE])))
                for start in cuts
            ]
        return np.concatenate([part.numpy() for part in parts])


def as_targets(y: Array, outputs: Any) -> Any:
    """The labels as torch's losses take them: int64 classes `(N,)`, or numbers like the outputs.

    y: classes `(N,)`, or numbers of the outputs' shape.
    """
    targets = torch.from_numpy(np.ascontiguousarray(y))
    return targets.to(outputs.dtype if y.shape == outputs.shape else torch.int64)
