"""Runs in a process of their own, one after another, so that their memory and time are their own.

    python -m funcnn.experiments.training.worker

    {"config": {...}, "own": null, "folder": "...", "threads": 2, "draw": true, "expected": null}
    ->  {"steps": 100, "done": 7} now and then, {"row": [...]} for each recorded epoch,
        {"note": "..."} for what is a warning in its log,
        and last {"peak_memory": 1234567} or {"error": "..."}

A folder that has a run already is gone on with, if it is not finished. draw: its figures too.
expected: null, or the record of its data and what read them before. own: null, or what is told of
a network of the user's own.
"""

import contextlib
import json
import logging
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import funcnn as fn
from funcnn.experiments.data.provenance import DataRecord, Expected
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.system.memory import Peak
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.executed import place_of
from funcnn.experiments.tasks.own_models import in_words
from funcnn.experiments.tasks.references import own_as_told
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import EpochRow, RunFolder

_PAUSE = 0.2  # seconds between two words about the steps

Tell = Callable[[dict[str, Any]], None]
"""Takes one of the answers."""


class _Forwarder(Callback):
    """Tells on what it is told, as answers; has the peak of memory until the evaluation."""

    def __init__(self, tell: Tell) -> None:
        self.peak_memory: int | None = None
        self._tell = tell
        self._peak = Peak()

    def run_begin(self, run: str, steps: int | None, done: int) -> None:
        self._next, self._evaluated = 0.0, False

    def step_end(self, run: str, done: int, steps: int, loss: float | None) -> None:
        if not self._evaluated:  # from then on the peak is that of evaluating, in larger batches
            self.peak_memory = self._peak.growth()
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PAUSE
            self._tell({"steps": steps, "done": done})

    def epoch_end(self, run: str, row: EpochRow, epochs: int) -> None:
        self._evaluated = True
        self._tell({"row": list(row)})


def do(asked: dict[str, Any], tell: Tell) -> None:
    """Do a run, or what is left of it, and tell all that is answered to this."""
    tell(_finish(asked, tell))


def _finish(asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Do a run, or what is left of it; the last of the answers."""
    folder = RunFolder(Path(asked["folder"]))
    if folder.summary.exists():
        return {"peak_memory": None}
    try:
        own = own_as_told(asked.get("own"))
        with fn.threads.use_threads(asked["threads"]):
            if folder.config.exists():
                run = TrainingRun.resume(RunFolder(folder.path, own))
            else:
                config = RunConfig.resolve(asked["config"], own)
                run = TrainingRun.start(config, folder.path, expected=_expected(asked))
            callback = _Forwarder(tell)
            run.finish(callback, draw=asked["draw"])
    except (InputError, RunStoppedError, fn.SnapshotError, OSError) as error:
        return {"error": str(error)}
    except Exception as error:
        if (place := place_of(error)) is None:
            raise
        return {"error": f"{place}: {in_words(error)}"}
    return {"peak_memory": callback.peak_memory}


def _expected(asked: dict[str, Any]) -> Expected | None:
    if not asked.get("expected"):
        return None
    record, of = asked["expected"]
    return Expected(DataRecord(*record), of)


class _Notes(logging.Handler):
    """What is a warning, as an answer."""

    def __init__(self, tell: Tell) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell({"note": record.getMessage()})


def answer_all(do: Callable[[dict[str, Any], Tell], None]) -> None:
    """Do what the input asks for, a line each."""
    answers = sys.stdout

    def tell(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    logging.getLogger("funcnn.experiments").addHandler(_Notes(tell))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks is interrupted too, and ends this
    with contextlib.redirect_stdout(sys.stderr):  # what a user's own code prints is no answer
        for line in sys.stdin:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no half a file is left
            do(json.loads(line), tell)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once: nothing is left to put away


if __name__ == "__main__":
    answer_all(do)
