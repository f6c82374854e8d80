"""One peer of the benchmark: it reads numbers of steps and answers median seconds of a step."""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from funcnn.experiments.memory import keep_freed_memory

import funcnn as fn
from funcnn.types import Array

_EXAMPLES, _BATCH = 20_000, 128


def _data() -> tuple[Array, Array]:
    x = fn.random.uniform(fn.random.key(0), (_EXAMPLES, 784))
    y = fn.random.permutation(fn.random.key(1), _EXAMPLES) % 10
    return x, y


def _numpy_step() -> Callable[[Array], None]:
    x, y = _data()
    model = fn.serial(fn.Dense(256), fn.Relu(), fn.Dense(128), fn.Relu(), fn.Dense(10))
    _, params = model.init(fn.random.key(2), (784,))
    optimizer = fn.chain(fn.add_decayed_weights(1e-4), fn.sgd(0.1, momentum=0.9))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)

    def run(rows: Array) -> None:
        nonlocal state
        state, _ = step(state, (x[rows], y[rows]))

    return run


def _torch_step(threads: int) -> Callable[[Array], None]:
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    x, y = (torch.from_numpy(array) for array in _data())
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    loss = nn.CrossEntropyLoss()

    def run(rows: Array) -> None:
        chosen = torch.from_numpy(rows)
        optimizer.zero_grad()
        value = loss(model(x[chosen]), y[chosen])
        value.backward()
        value.item()  # as funcnn, which returns the loss of every step
        optimizer.step()

    return run


def main() -> None:
    """Serve until the input ends."""
    peer, threads = sys.argv[1], int(sys.argv[2])
    step = _torch_step(threads) if peer == "torch" else _numpy_step()
    generator = np.random.default_rng(0)
    keep_freed_memory()
    with fn.threads.use_threads(threads), fn.threads.single_threaded_blas():
        for line in sys.stdin:
            seconds = []
            for _ in range(int(line)):
                rows = generator.integers(_EXAMPLES, size=_BATCH)
                start = time.perf_counter()
                step(rows)
                seconds.append(time.perf_counter() - start)
            print(statistics.median(seconds), flush=True)


if __name__ == "__main__":
    main()
