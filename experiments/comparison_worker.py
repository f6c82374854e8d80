"""One run of a comparison, in a process of its own, so that its memory and its time are its own.

    python -m funcnn.experiments.comparison_worker

    {"config": {...}, "folder": "...", "threads": 2}  ->  {"steps": 100, "done": 7} now and then,
    and last {"peak_memory": 1234567} or {"error": "..."}

A folder that has a run already is gone on with.
"""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  (what a run imports later would count as memory that it needs)
from funcnn.experiments.config import RunConfig
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.memory import Peak
from funcnn.experiments.run_folder import EpochRow, RunFolder
from funcnn.experiments.training_run import Progress, TrainingRun

import funcnn as fn

_PAUSE = 0.2  # seconds between two words about the steps


class _Told(Progress):
    """Progress as answers; and the peak of memory in training, before the first evaluation."""

    def __init__(self) -> None:
        self.peak_memory: int | None = None
        self._peak = Peak()

    def begin(self, steps: int, done: int) -> None:
        self._steps, self._done, self._next, self._evaluated = steps, done, 0.0, False

    def step(self, loss: float) -> None:
        self._done += 1
        if not self._evaluated:  # from then on the peak is that of evaluating, in larger batches
            self.peak_memory = self._peak.growth()
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PAUSE
            _answer({"steps": self._steps, "done": self._done})

    def row(self, row: EpochRow, epochs: int) -> None:
        self._evaluated = True


def _answer(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def main() -> None:
    """Do the run that the input asks for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks is interrupted too, and ends this
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no half a file is left
    asked = json.loads(sys.stdin.readline())
    folder = RunFolder(Path(asked["folder"]))
    try:
        with fn.threads.use_threads(asked["threads"]):
            if folder.config.exists():
                run = TrainingRun.resume(folder)
            else:
                run = TrainingRun.start(RunConfig.resolve(asked["config"]), folder.path)
            told = _Told()
            run.finish(told)
        _answer({"peak_memory": told.peak_memory})
    except (InputError, RunStoppedError, fn.SnapshotError, OSError) as error:
        _answer({"error": str(error)})


if __name__ == "__main__":
    main()
