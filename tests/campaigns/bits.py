"""The bits of a short drawn training: the same for all that they are not to depend on.

They are promised not to depend on the number of threads, on a busy neighbour, on the process, and
on the way in which a step is made. OpenBLAS's kernels may differ from each other; under each of
them the rest holds.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.drawn_models import Rng, some
from campaigns.drawn_tasks import WAYS, Drawn, drawn_task, pinned, way_of
from helpers import OF_KERNELS, ROOT
from recorded_runs import busy

import funcnn as fn

THREADS = 1, 2, 3, 4


def digests(drawn: Drawn) -> dict[str, str]:
    """Of every way and number of threads: that of all its steps."""
    found = {}
    with np.errstate(all="ignore"):
        for way in WAYS:
            for threads in THREADS:
                with fn.threads.use_threads(threads), pinned(way):
                    found[f"{way} on {threads}"] = digest(drawn, way)
    return found


def digest(drawn: Drawn, way: str) -> str:
    """That of the states and the metrics of some steps made in a way."""
    seen = hashlib.sha256()
    step, state = drawn.step(way), drawn.state
    for batch in drawn.batches:
        state, measured = step(state, batch)
        for leaf in fn.tree.leaves((state, measured)):
            seen.update(leaf.tobytes() if isinstance(leaf, np.ndarray) else repr(leaf).encode())
    how = way_of(step) if way != "plain" else way
    return f"{seen.hexdigest()[:16]} {how}"


def large_task(seed: int) -> Drawn:
    """A training that threads have something to do in, mostly."""
    rng = np.random.default_rng(seed)
    shape: Any = (some(rng, 100, 300),) if rng.random() < 0.4 else None
    return drawn_task(rng, shape, rows=some(rng, 64, 200))


class Other:
    """A process that tells digests of the trainings it is told."""

    def __init__(self, name: str, **environment: str) -> None:
        self.name = name
        path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from campaigns.bits import answer; answer()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment, "PYTHONPATH": path},
        )

    def ask(self, seed: int) -> None:
        """Begin."""
        self._pipe("stdin").write(f"{seed}\n")
        self._pipe("stdin").flush()

    def answer(self) -> dict[str, str]:
        """What came of it."""
        line = self._pipe("stdout").readline()
        assert line, f"{self.name}: the process ended with {self._process.wait()}"
        found: dict[str, str] = json.loads(line)
        return found

    def end(self) -> None:
        """It has nothing more to tell."""
        self._process.kill()
        self._process.communicate()

    def _pipe(self, name: str) -> IO[str]:
        pipe: IO[str] = getattr(self._process, name)
        return pipe


def answer() -> None:
    """What such a process does."""
    for line in sys.stdin:
        print(json.dumps(digests(large_task(int(line)))), flush=True)


def kernels_here() -> list[str]:
    """Those of OpenBLAS that this processor can run."""
    from numpy._core._multiarray_umath import __cpu_features__ as has

    return [name for name, needed in OF_KERNELS.items() if all(map(has.get, needed))]


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Processes with other hash seeds and kernels, which are asked beside this one."""
    others = [Other(f"hash seed {n}", PYTHONHASHSEED=str(n)) for n in (1, 2)]
    kernels = [Other(name, OPENBLAS_CORETYPE=name) for name in kernels_here()]

    def one_try(rng: Rng) -> str:
        seed, neighbours = some(rng, 0, 2**31), some(rng, 0, 1)
        chosen = others[rng.integers(len(others))], kernels[rng.integers(len(kernels))]
        with busy(neighbours):
            for other in chosen:
                other.ask(seed)
            found = digests(large_task(seed))
            told = [other.answer() for other in chosen]
        how = assert_one("here", found)
        for other, of_other in zip(chosen, told, strict=True):
            assert_one(other.name, of_other)
        assert told[0] == found, f"{chosen[0].name}: other bits"
        return f"{how} and {chosen[1].name}"

    try:
        yield one_try
    finally:
        for other in (*others, *kernels):
            other.end()


def assert_one(where: str, found: dict[str, str]) -> str:
    """All ways and numbers of threads have one digest; how the native one was done in truth."""
    first = next(iter(found.values())).split()[0]
    differing = [name for name, text in found.items() if text.split()[0] != first]
    assert not differing, f"{where}: other bits {', '.join(differing)}, than {next(iter(found))}"
    return found["native on 1"].split()[1]


BITS = Campaign("bits", "trainings in other processes, threads and kernels", 2, begin)
