"""What each idea behind a training step gives: the step with it, beside the step without it.

    python -m funcnn.experiments.bench.ablations [NET ...]

NET: of `funcnn bench`. In each of several rounds every variant takes its turn; printed are medians
of the time of a step without the idea, divided by that of the step as it is, with quartiles.
"""

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from funcnn import threads
from funcnn.experiments.bench.nets import EXAMPLES, NETS
from funcnn.experiments.bench.peer_funcnn import Learner, limits
from funcnn.layers import combinators, sharding
from funcnn.ops import convolution, fft_convolution, matmul

ROUNDS, SECONDS, LEAST = 12, 0.3, 5
ENDLESS = 1 << 40


@contextlib.contextmanager
def patched(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Inside the `with` block, `(module, name, value)` has another value."""
    with contextlib.ExitStack() as stack:
        for module, name, value in changes:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


WITHOUT: dict[str, Callable[[], Any]] = {
    "as it is": contextlib.nullcontext,
    "a second thread": lambda: threads.use_threads(1),
    "products on BLAS's threads": lambda: patched((matmul, "spare_blas_threads", lambda: 1)),
    "shards of the batch": lambda: patched(
        (sharding, "LEAST_IMAGES", ENDLESS), (sharding, "SHARD_ROWS", ENDLESS)
    ),
    "windows that overlap in memory": lambda: patched((convolution, "_overlap", lambda *_: False)),
    "the convolution theorem": lambda: patched((fft_convolution, "is_less_work", lambda *_: False)),
    "dx with kernels turned round": lambda: patched(
        (convolution, "_windows_around", lambda _: None)
    ),
    "ReLU after max-pooling": lambda: patched(
        (sharding, "pool_before_relu", lambda layers: range(len(layers)))
    ),
    "no dx of the first layer": lambda: patched(
        (combinators, "_wrt_of_each", lambda params, wrt: ["both"] * len(params))
    ),
}


def main(names: list[str]) -> None:
    """Measure the nets of these names and print a table."""
    generator = np.random.default_rng(0)
    for name in names:
        net = NETS[name]
        learners = {}
        for idea, without in WITHOUT.items():
            with without():
                learners[idea] = Learner(net)
                learners[idea].start()
        times: dict[str, list[float]] = {idea: [] for idea in WITHOUT}
        for _ in range(1 + ROUNDS):
            for idea, without in WITHOUT.items():
                with without():
                    times[idea].append(measure(learners[idea], net.batch, generator))
        print(f"{name}: {statistics.median(times['as it is'][1:]) * 1e3:.2f} ms a step; without")
        for idea in list(WITHOUT)[1:]:
            pairs = zip(times[idea][1:], times["as it is"][1:], strict=True)
            low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
            print(f"  {idea:32} {middle:5.2f} times as long ({low:.2f} to {high:.2f})")


def measure(learner: Learner, batch: int | None, generator: np.random.Generator) -> float:
    """The median time of a step, of some."""
    taken: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(taken) < LEAST or time.perf_counter() < end:
        rows = None if batch is None else generator.integers(EXAMPLES, size=batch)
        start = time.perf_counter()
        learner.step(rows)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    with limits(2):
        main(sys.argv[1:] or ["mlp3-128", "cnn3-128", "cnn5-128"])
