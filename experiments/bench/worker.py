"""One peer of the benchmark, in a process of its own: a JSON request a line, an answer a line.

    python -m funcnn.experiments.bench.worker PEER THREADS

    {"net": "mlp3-128", "measure": "step", "seconds": 0.3}  ->  {"cost": 0.0015}, or {"error": ...}

The cost is seconds (of a step, or of an example that is predicted or evaluated, among others or
alone) or bytes.
"""

import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from funcnn.experiments.bench.nets import EXAMPLES, NETS, TEST_EXAMPLES, Net
from funcnn.experiments.bench.peers import PEERS, Learner, Peer
from funcnn.experiments.system.machine import own_cores
from funcnn.experiments.system.memory import peak_growth
from funcnn.types import Array

_LEAST_STEPS, _STEPS_FOR_MEMORY = 5, 30


def choices(net: Net) -> Iterator[Array | None]:
    """The rows of one minibatch after another, the same for every peer; None: all of them."""
    generator = np.random.default_rng(0)
    while True:
        yield None if net.batch is None else generator.integers(EXAMPLES, size=net.batch)


class _Server:
    """What answers; it keeps the net of the last request, which is warm then."""

    def __init__(self, peer: Peer, module: Any) -> None:
        self._peer, self._module = peer, module
        self._name: str | None = None

    def answer(self, net: str, measure: str, seconds: float) -> float:
        """The cost, measured in so many seconds."""
        if net != self._name or measure == "memory":
            self._name = None  # if what follows fails
            self._learner: Learner = self._module.Learner(NETS[net], **self._peer.options)
            self._rows = choices(NETS[net])
            if measure == "memory":
                return peak_growth(self._train)
            self._learner.start()
            self._name = net
        if measure == "step":
            return _median_seconds(self._learner.step, self._rows, _LEAST_STEPS, seconds)
        if measure == "image":
            one = self._learner.predict_one
            return _median_seconds(lambda _: one(), self._rows, _LEAST_STEPS, seconds)
        work = self._learner.predict if measure == "inference" else self._learner.evaluate
        return _median_seconds(lambda _: work(), self._rows, 1, seconds) / TEST_EXAMPLES

    def _train(self) -> None:
        self._learner.start()
        for _ in range(_STEPS_FOR_MEMORY):
            self._learner.step(next(self._rows))


def _median_seconds(
    work: Callable[[Array | None], object], rows: Iterator[Array | None], least: int, seconds: float
) -> float:
    """Of one call, of at least so many, after a first third of the seconds that does not count.

    In it the threads of the peer before, which go on spinning for a while, come to rest.
    """
    taken: list[float] = []
    begin = time.perf_counter() + seconds / 3
    end = begin + seconds * 2 / 3
    while len(taken) < least or time.perf_counter() < end:
        chosen = next(rows)
        start = time.perf_counter()
        work(chosen)
        if start >= begin:
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks is interrupted too, and ends this
    peer, threads = PEERS[sys.argv[1]], int(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):  # JAX knows no other way
        os.sched_setaffinity(0, sorted(own_cores())[:threads])
    module = peer.load()
    server = _Server(peer, module)
    with module.limits(threads):
        for line in sys.stdin:
            try:
                answer: dict[str, Any] = {"cost": server.answer(**json.loads(line))}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
