"""The nets of the benchmark and the examples that they learn, the same for every peer."""

import math
from typing import Any, NamedTuple

import numpy as np

from funcnn.types import Array

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 1e-4
EXAMPLES, TEST_EXAMPLES, CLASSES = 20_000, 10_000, 10
EVALUATION_BATCH = 1000

LayerRow = tuple[Any, ...]
"""A layer's name, and the sizes that make it."""


class Net(NamedTuple):
    """A net as plain data: convolutions of a kernel size, each with a pool, then dense layers."""

    input_shape: tuple[int, ...]
    batch: int | None
    """None: all the examples, which are not picked then."""
    hidden: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    kernel: int = 3

    @property
    def binary(self) -> bool:
        """Whether it has sigmoids, and one probability as output."""
        return self.batch is None

    @property
    def layers(self) -> list[LayerRow]:
        """`(conv, in, out, kernel)`, `(dense, in, out)`, and by name alone the other layers."""
        rows: list[LayerRow] = []
        before, *image = self.input_shape
        for channels in self.channels:
            rows += [("conv", before, channels, self.kernel), ("relu",), ("pool",)]
            before, image = channels, [size // 2 for size in image]
        if self.channels:
            rows.append(("flatten",))
        features = math.prod((before, *image))
        for size in self.hidden:
            rows += [("dense", features, size), ("sigmoid" if self.binary else "relu",)]
            features = size
        if self.binary:
            return [*rows, ("dense", features, 1), ("sigmoid",)]
        return [*rows, ("dense", features, CLASSES)]

    def first_params(self) -> list[tuple[Array, Array]]:
        """Weight and bias of each layer that has them: dense `(in, out)`, kernels OIHW; float32."""
        generator = np.random.default_rng(1)
        params = []
        for name, *sizes in self.layers:
            if name not in ("conv", "dense"):
                continue
            before, after, kernel = sizes[0], sizes[1], sizes[2] if name == "conv" else 1
            shape = (after, before, kernel, kernel) if name == "conv" else (before, after)
            weight = generator.standard_normal(shape, np.float32)
            weight *= math.sqrt(2 / (before * kernel**2))
            params.append((weight, np.zeros(after, np.float32)))
        return params

    def make_data(self, part: str = "train") -> tuple[Array, Array]:
        """Random inputs `(N, *input_shape)` in [0, 1), float32, and labels, of one part.

        part: `"train"` or `"test"`. labels: integers `(N,)`, or 0.0 and 1.0 `(N, 1)` if binary.
        """
        train = part == "train"
        count = TEST_EXAMPLES if not train else 21 if self.batch is None else EXAMPLES
        generator = np.random.default_rng(2 if train else 3)
        x = generator.random((count, *self.input_shape), np.float32)
        if self.binary:
            return x, (x[:, :1] < x[:, 1:2]).astype(np.float32)
        return x, generator.integers(CLASSES, size=count)


NETS = {
    "tiny": Net((2,), None, hidden=(4, 4)),
    "mlp3-32": Net((784,), 32, hidden=(256, 128)),
    "mlp3-128": Net((784,), 128, hidden=(256, 128)),
    "mlp512-128": Net((784,), 128, hidden=(512, 512)),
    "cnn3-64": Net((1, 28, 28), 64, channels=(16, 32)),
    "cnn3-128": Net((1, 28, 28), 128, channels=(16, 32)),
    "cnn5-128": Net((1, 28, 28), 128, channels=(32, 64), kernel=5),
}
