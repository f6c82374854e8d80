"""funcnn in the benchmark."""

import contextlib
from collections.abc import Iterator
from typing import Any

import funcnn as fn
from funcnn.experiments.bench.nets import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, Net
from funcnn.types import Array, Layer


@contextlib.contextmanager
def limits(threads: int) -> Iterator[None]:
    """So many threads, and nothing else: as in a script of somebody's."""
    with fn.threads.use_threads(threads):
        yield


def _layer(name: str, *sizes: int) -> Layer:
    if name == "dense":
        return fn.Dense(sizes[1])
    if name == "conv":
        return fn.Conv(sizes[1], sizes[2], padding="same")
    if name == "pool":
        return fn.MaxPool(2)
    return {"relu": fn.Relu, "sigmoid": fn.Sigmoid, "flatten": fn.Flatten}[name]()


class Learner:
    """A net of funcnn's layers; its step and its outputs as they are written, or recorded once."""

    def __init__(self, net: Net, compile: bool = False) -> None:  # noqa: A002
        self._net, self._compile = net, compile
        self._data, self._test = net.make_data(), net.make_data("test")

    def start(self) -> None:
        """Begin with the net's first params."""
        net = self._net
        self._model = fn.serial(*(_layer(*row) for row in net.layers))
        first = iter(net.first_params())
        params: list[Any] = [
            dict(zip(("weight", "bias"), next(first), strict=True)) if sizes else {}
            for _, *sizes in net.layers
        ]
        self._loss = fn.binary_cross_entropy if net.binary else fn.softmax_cross_entropy
        decay = fn.add_decayed_weights(WEIGHT_DECAY)
        optimizer = fn.chain(decay, fn.sgd(LEARNING_RATE, momentum=MOMENTUM))
        self._step = fn.make_train_step(
            self._model.apply, self._loss, optimizer, compile=self._compile
        )
        self._apply = fn.compile_apply(self._model.apply) if self._compile else self._model.apply
        self._state = fn.TrainState.create(params, optimizer)

    def step(self, rows: Array | None) -> float:
        """One step; the loss before it."""
        x, y = self._data
        batch = (x, y) if rows is None else (x[rows], y[rows])
        self._state, metrics = self._step(self._state, batch)
        return metrics["loss"]

    def predict(self) -> Array:
        """The outputs for the test examples."""
        outputs: Array = fn.predict(self._apply, self._state.params, self._test[0])
        return outputs

    def predict_one(self) -> Array:
        """The outputs for the first test example."""
        outputs: Array = fn.predict(self._apply, self._state.params, self._test[0][:1])
        return outputs

    def evaluate(self) -> tuple[float, float]:
        """Loss and accuracy on the test examples."""
        measured = fn.evaluate(
            self._apply,
            self._loss,
            self._state.params,
            self._test,
            metrics={"accuracy": fn.accuracy},
        )
        return measured["loss"], measured["accuracy"]
