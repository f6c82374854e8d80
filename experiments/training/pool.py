"""Several runs at once, in processes of their own.

Runs of small networks gain less from a second thread than from a second run beside them.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from funcnn.experiments.data.provenance import Expected
from funcnn.experiments.system.process import ModuleProcess, ProcessEndedError
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.run_folder import EpochRow, RunFolder


class Job(NamedTuple):
    """A run that is to be done, in a folder that may have the beginning of it."""

    name: str
    config: RunConfig
    folder: Path
    threads: int = 1
    draw: bool = True
    """Whether it draws figures of its own."""
    expected: Expected | None = None
    """Its data, if they were read before."""
    usual: tuple[str, ...] = ()
    """The sizes in its config, as of `sizes.usual_sizes`, that small data may have smaller."""

    @property
    def request(self) -> dict[str, Any]:
        """It, as `worker` is asked for it."""
        return {
            "config": self.config.as_data(),
            "own": self.config.own and self.config.own.told,
            "folder": str(self.folder),
            "threads": self.threads,
            "draw": self.draw,
            "expected": self.expected and [self.expected.record, self.expected.of],
        }


class Asked(Protocol):
    """What a worker is asked for."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def request(self) -> dict[str, Any]:
        """It, as JSON can hold it."""


_Asked = TypeVar("_Asked", bound=Asked)
Answers = Generator[tuple[_Asked, dict[str, Any]], None, None]
"""What runs tell on their way: `steps` and `done`, `row`, and one of `LAST`."""
LAST = {"peak_memory", "result", "error"}
"""What a run tells last."""


def tell(callback: Callback, job: Job, answer: Mapping[str, Any]) -> None:
    """Tell a callback what a run tells."""
    if "row" in answer:
        callback.epoch_end(job.name, EpochRow(*answer["row"]), job.config.epochs)
    elif "done" in answer:
        callback.step_end(job.name, answer["done"], answer["steps"], None)
    elif answer.keys() & LAST:
        callback.run_end(job.name, RunFolder(job.folder), answer.get("error"))


def run_all(
    jobs: Sequence[_Asked], at_once: int, module: str = "training.worker"
) -> Answers[_Asked]:
    """What the runs tell, which begin in this order; one with an error does not end the others.

    module: what does them. To close it ends those that are not finished; they can be resumed.
    """
    answers: queue.Queue[tuple[_Asked, dict[str, Any]]] = queue.Queue()
    waiting: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    with contextlib.ExitStack() as closing:

        def begin() -> None:
            process = ModuleProcess(module)
            closing.callback(process.close)
            thread = threading.Thread(target=_work, args=(process, waiting, answers))
            thread.start()
            # Undone in reverse: a process ends, so that its thread does, and only then is closed.
            closing.callback(thread.join)
            closing.callback(process.end)

        for _ in range(min(at_once, len(jobs))):
            begin()
        unfinished = len(jobs)
        while unfinished:
            job, answer = answers.get()
            if answer.pop("ended", False) and not waiting.empty():
                begin()  # in the place of the process that ended
            if "note" in answer:
                logging.getLogger(__name__).warning("%s: %s", job.name, answer["note"])
                continue
            unfinished -= bool(answer.keys() & LAST)
            yield job, answer


def _work(
    process: ModuleProcess,
    waiting: "queue.SimpleQueue[_Asked]",
    answers: "queue.Queue[tuple[_Asked, dict[str, Any]]]",
) -> None:
    """Have a process do one run after another, until none is waiting or it ends."""
    while True:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            answer = process.ask(job.request)
            answers.put((job, answer))
            while not answer.keys() & LAST:
                answer = process.answer()
                answers.put((job, answer))
        except Exception as error:  # whatever it is, somebody waits for the end of the job
            kind = "" if isinstance(error, ProcessEndedError) else f"{type(error).__name__}: "
            answers.put((job, {"error": " ".join(f"{kind}{error}".split()), "ended": True}))
            return
