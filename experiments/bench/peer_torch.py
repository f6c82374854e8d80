"""PyTorch in the benchmark, eager, as its users write a training loop."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from funcnn.experiments.bench.nets import (
    EVALUATION_BATCH,
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    Net,
)
from funcnn.types import Array


@contextlib.contextmanager
def limits(threads: int) -> Iterator[None]:
    """So many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _module(name: str, *sizes: int) -> Any:
    if name == "dense":
        return nn.Linear(*sizes)
    if name == "conv":
        return nn.Conv2d(*sizes, padding=sizes[2] // 2)
    if name == "pool":
        return nn.MaxPool2d(2)
    return {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "flatten": nn.Flatten}[name]()


class Learner:
    """A net of torch's modules; in channels_last, its images and kernels are in that order."""

    def __init__(self, net: Net, channels_last: bool = False) -> None:
        self._net = net
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._x, self._y = map(torch.from_numpy, net.make_data())
        self._test_x, self._test_y = map(torch.from_numpy, net.make_data("test"))

    def start(self) -> None:
        """Begin with the net's first params."""
        self._model: Any = nn.Sequential(*(_module(*row) for row in self._net.layers))
        with_weights = [module for module in self._model if hasattr(module, "weight")]
        with torch.no_grad():
            for module, params in zip(with_weights, self._net.first_params(), strict=True):
                weight, bias = map(torch.from_numpy, params)
                module.weight.copy_(weight.T if weight.ndim == 2 else weight)
                module.bias.copy_(bias)
        self._model.to(memory_format=self._format)
        self._loss = nn.BCELoss() if self._net.binary else nn.CrossEntropyLoss()
        self._optimizer = torch.optim.SGD(
            self._model.parameters(),
            lr=LEARNING_RATE,
            momentum=MOMENTUM,
            weight_decay=WEIGHT_DECAY,
        )

    def step(self, rows: Array | None) -> float:
        """One step; the loss before it."""
        x, y = self._x, self._y
        if rows is not None:
            chosen = torch.from_numpy(rows)
            x, y = x[chosen].to(memory_format=self._format), y[chosen]
        self._optimizer.zero_grad()
        loss = self._loss(self._model(x), y)
        loss.backward()
        self._optimizer.step()
        return float(loss.item())

    def predict(self) -> Array:
        """The outputs for the test examples."""
        outputs: Array = self._outputs().numpy()
        return outputs

    def predict_one(self) -> Array:
        """The outputs for the first test example."""
        with torch.inference_mode():
            image = self._test_x[:1].to(memory_format=self._format)
            outputs: Array = self._model(image).numpy()
        return outputs

    def evaluate(self) -> tuple[float, float]:
        """Loss and accuracy on the test examples."""
        outputs = self._outputs()
        with torch.inference_mode():
            right = (outputs > 0.5) if self._net.binary else outputs.argmax(1)
            accuracy = (right == self._test_y).float().mean()
            return self._loss(outputs, self._test_y).item(), accuracy.item()

    def _outputs(self) -> Any:
        with torch.inference_mode():
            batches = self._test_x.split(EVALUATION_BATCH)
            return torch.cat([self._model(x.to(memory_format=self._format)) for x in batches])
