"""What a step cannot do without: its products of matrices, each as one call of BLAS.

Nothing is learned. Of a convolution the elements of all windows are taken to lie in a matrix
already, so that it is a product of that with the weights, and one for each cotangent.
"""

import itertools
import math
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from funcnn.experiments.bench import nets
from funcnn.experiments.bench.nets import CLASSES, EVALUATION_BATCH, Net
from funcnn.types import Array

Sizes = tuple[int, int, int]
"""M, K and N of a product of `(M, K)` and `(K, N)`."""


def limits(threads: int) -> AbstractContextManager[object]:
    """BLAS on so many threads."""
    limit: AbstractContextManager[object] = threadpool_limits(threads, user_api="blas")
    return limit


class Learner:
    """The products of a net, on random numbers."""

    def __init__(self, net: Net) -> None:
        self._net = net

    def start(self) -> None:
        """Make the matrices."""
        assert self._net.batch is not None
        first, *others = products_of(self._net, self._net.batch)
        of_step = [first.forward, first.weight]  # x, the images, needs no cotangent
        self._of_step = list(map(_matrices, itertools.chain(of_step, *others)))
        self._of_batch, self._of_one = (
            [_matrices(layer.forward) for layer in products_of(self._net, samples)]
            for samples in (EVALUATION_BATCH, 1)
        )

    def step(self, rows: Array | None) -> float:
        """The products of a step. There is no loss: NaN."""
        _multiply(self._of_step)
        return math.nan

    def predict(self) -> Array:
        """Those of the test examples, forward; zeros, `(N, 10)`."""
        for _ in range(nets.TEST_EXAMPLES // EVALUATION_BATCH):
            _multiply(self._of_batch)
        return np.zeros((nets.TEST_EXAMPLES, CLASSES), np.float32)

    def predict_one(self) -> Array:
        """Those of one example; zeros, `(1, 10)`."""
        _multiply(self._of_one)
        return np.zeros((1, CLASSES), np.float32)

    def evaluate(self) -> tuple[float, float]:
        """As `predict`."""
        self.predict()
        return math.nan, math.nan


class Products(NamedTuple):
    """Of a layer: forward, for the cotangent of its weight, and for that of x."""

    forward: Sizes
    weight: Sizes
    x: Sizes


def products_of(net: Net, samples: int) -> list[Products]:
    """The products of each layer that has some, for so many samples.

    Of a convolution K stands for the elements of a window, P for all windows of all samples.
    """
    products, image = [], net.input_shape[1:]
    for name, *sizes in net.layers:
        if name == "dense":
            inputs, outputs = sizes
            layer = (samples, inputs, outputs), (inputs, samples, outputs)
            products.append(Products(*layer, (samples, outputs, inputs)))
        elif name == "conv":
            channels, outputs, kernel = sizes
            window, windows = channels * kernel**2, samples * math.prod(image)  # K, P
            layer = (outputs, window, windows), (outputs, windows, window)
            products.append(Products(*layer, (window, outputs, windows)))
        elif name == "pool":
            image = tuple(size // 2 for size in image)
    return products


def _matrices(sizes: Sizes) -> tuple[Array, Array, Array]:
    m, k, n = sizes
    generator = np.random.default_rng(0)
    a, b = generator.random((m, k), np.float32), generator.random((k, n), np.float32)
    return a, b, np.empty((m, n), np.float32)


def _multiply(products: list[tuple[Array, Array, Array]]) -> None:
    for a, b, out in products:
        np.matmul(a, b, out=out)
