"""JAX in the benchmark: the whole step, with the choice of the examples, is one compiled function.

Its images are NHWC, as in `jax.example_libraries.stax`.
"""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from funcnn.experiments.bench.nets import (
    EVALUATION_BATCH,
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    Net,
)
from funcnn.types import Array

Params = list[tuple[Any, Any]]


def limits(threads: int) -> AbstractContextManager[object]:
    """Nothing: JAX has a thread for each core that the process may use."""
    return nullcontext()


def _pool(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _pool_to_differentiate(x: Any) -> Any:
    """The same: slower by itself, but with its derivative the whole step takes half the time."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


def _forward(net: Net, pool: Callable[[Any], Any], params: Params, x: Any) -> Any:
    """The outputs. x: `(N, features)` or `(N, H, W, C)`."""
    left = iter(params)
    for name, *_ in net.layers:
        if name == "dense":
            weight, bias = next(left)
            x = x @ weight + bias
        elif name == "conv":
            kernel, bias = next(left)
            x = lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x += bias
        elif name == "pool":
            x = pool(x)
        elif name == "flatten":
            x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # the features in torch's order
        else:
            x = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}[name](x)
    return x


def _loss(net: Net, outputs: Any, y: Any) -> Any:
    if net.binary:
        return -jnp.mean(y * jnp.log(outputs) + (1 - y) * jnp.log1p(-outputs))
    log_p = jax.nn.log_softmax(outputs)
    return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], 1))


def _compile_step(net: Net) -> Any:
    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Params, traces: Params, x: Any, y: Any, rows: Any) -> Any:
        if rows is not None:
            x, y = x[rows], y[rows]

        def loss(params: Params) -> Any:
            return _loss(net, _forward(net, _pool_to_differentiate, params, x), y)

        value, grads = jax.value_and_grad(loss)(params)
        traces = jax.tree.map(
            lambda trace, grad, param: MOMENTUM * trace + grad + WEIGHT_DECAY * param,
            traces,
            grads,
            params,
        )
        params = jax.tree.map(lambda param, trace: param - LEARNING_RATE * trace, params, traces)
        return params, traces, value

    return step


class Learner:
    """A net as a function of jax.numpy."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._x, self._y = map(jnp.asarray, self._in_jaxs_form(*net.make_data()))
        self._test_x, self._test_y = self._in_jaxs_form(*net.make_data("test"))

    def _in_jaxs_form(self, x: Array, y: Array) -> tuple[Array, Array]:
        if x.ndim == 4:
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))  # (N, H, W, C)
        return x, (y if self._net.binary else y.astype(np.int32))

    def start(self) -> None:
        """Begin with the net's first params."""
        net = self._net
        self._params: Params = [
            (jnp.array(w.transpose(2, 3, 1, 0) if w.ndim == 4 else w), jnp.array(b))  # HWIO
            for w, b in net.first_params()
        ]
        self._traces = jax.tree.map(jnp.zeros_like, self._params)
        self._step = _compile_step(net)
        self._forward = jax.jit(functools.partial(_forward, net, _pool))
        self._measure = jax.jit(functools.partial(self._measured, net))

    def step(self, rows: Array | None) -> float:
        """One step; the loss before it."""
        self._params, self._traces, loss = self._step(
            self._params, self._traces, self._x, self._y, rows
        )
        return float(loss)

    def predict(self) -> Array:
        """The outputs for the test examples."""
        return np.asarray(self._outputs())

    def predict_one(self) -> Array:
        """The outputs for the first test example."""
        return np.asarray(self._forward(self._params, self._test_x[:1]))

    def evaluate(self) -> tuple[float, float]:
        """Loss and accuracy on the test examples."""
        loss, accuracy = self._measure(self._outputs(), self._test_y)
        return float(loss), float(accuracy)

    def _outputs(self) -> Any:
        starts = range(0, len(self._test_x), EVALUATION_BATCH)
        batches = [self._test_x[start : start + EVALUATION_BATCH] for start in starts]
        return jnp.concatenate([self._forward(self._params, batch) for batch in batches])

    @staticmethod
    def _measured(net: Net, outputs: Any, y: Any) -> Any:
        predicted = outputs > 0.5 if net.binary else outputs.argmax(1)
        return _loss(net, outputs, y), jnp.mean(predicted == y)
