"""The runs of a sweep on a Dask cluster, which hands them to its workers and, if one dies, again.

A worker needs funcnn in the same version, and the data, which are the same for all of them, and as
here if they are here; each run is trained there in a process of its own with one thread, so that a
worker of N threads trains N at once.
"""

import asyncio
import contextlib
import os
import pkgutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, NoReturn

import funcnn as fn
from funcnn._files import is_temporary, write_whole
from funcnn.experiments.data.datasets import NAMES, load_dataset
from funcnn.experiments.data.provenance import Expected
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.extras import require
from funcnn.experiments.sweep.plan import made_ready
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.references import own_as_told
from funcnn.experiments.training.pool import Answers, Job, run_all

_PATIENCE = 5  # seconds that a scheduler has to answer
_GLANCE = 1  # seconds between two looks at whether it still has workers
_WITHOUT = 10  # seconds that it may have none, such as while one starts again
_LAST = "summary.json"  # a folder that has it is finished


Told = dict[str, Any] | None
Plain = tuple[dict[str, Any], Told, tuple[str, ...], Expected | None]
"""What a worker needs to know of a job.

Its config, what is told of a network of the user's own (see `OwnModel.told`), which of its sizes
are usual ones, its data.
"""


def ready(jobs: Sequence[Plain], of: str) -> list[Plain] | str:
    """The jobs as `made_ready` has them on this worker, or why it cannot train one of them."""
    try:
        asked = [
            Job("", _config(config, own), Path(), usual=usual, expected=expected)
            for config, own, usual, expected in jobs
        ]
        return list(map(_plain, made_ready(asked, of)))
    except (InputError, OSError) as error:
        return str(error)


def _config(values: dict[str, Any], own: Told) -> RunConfig:
    return RunConfig.resolve(values, own_as_told(own))


def _plain(job: Job) -> Plain:
    config = job.config
    own = None if config.own is None else config.own.told
    return config.as_data(), own, job.usual, job.expected


def train(
    version: str, config: dict[str, Any], own: Told, expected: Expected | None
) -> dict[str, Any]:
    """A whole run, trained on this worker: the `files` of its folder, and an `error` or None.

    In an error the folder is called by its path here, `folder`.
    """
    from distributed import get_worker

    if fn.__version__ != version:
        wrong = f"its worker has funcnn {fn.__version__}, and the sweep {version}"
        return {"files": {}, "folder": "", "error": wrong}
    with tempfile.TemporaryDirectory(dir=get_worker().local_directory) as place:
        folder = Path(place) / "run"
        job = Job("run", _config(config, own), folder, draw=False, expected=expected)
        with contextlib.closing(run_all([job], at_once=1)) as answers:
            *_, (_, last) = answers
        files = {
            path.name: path.read_bytes()
            for path in (folder.iterdir() if folder.is_dir() else ())
            if not is_temporary(path)
        }
    return {"files": files, "folder": str(folder), "error": last.get("error")}


class Cluster:
    """The workers of a scheduler, by a client of it."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address

    def make_ready(self, jobs: Sequence[Job], of: str) -> list[Job]:
        """The jobs as `made_ready` has them on every worker.

        Raises `InputError` if there is none, or one cannot train one of them, or has other data
        than are here or than another one has.
        """
        jobs = [job._replace(expected=job.expected or _here(job.config.data, of)) for job in jobs]
        # A function of funcnn's would end a worker that has no funcnn: first one that all have.
        versions = self._client.run(pkgutil.resolve_name, "funcnn:__version__", on_error="return")
        if not versions:
            raise InputError(f"--scheduler {self._address}: it has no workers")
        for worker, version in versions.items():
            if isinstance(version, Exception):
                self._refuse(worker, f"it has no funcnn ({_in_one_line(version)})")
            if version != fn.__version__:
                self._refuse(worker, f"it has funcnn {version}, and here is {fn.__version__}")
        plain = list(map(_plain, jobs))
        asked = {
            self._client.submit(ready, plain, of, workers=[worker], pure=False): worker
            for worker in versions
        }
        first_answer: list[Plain] = []
        for future, answer in self._answers(list(asked)):
            if isinstance(answer, str):
                self._refuse(asked[future], answer)
            for (*_, first), (*_, other) in zip(first_answer, answer, strict=False):
                if first is not None and not first.allows(other.record):
                    self._refuse(
                        asked[future],
                        f"--data {first.record.data}: the content of {other.record.path} is not "
                        "what the other workers have under this name",
                    )
            first_answer = first_answer or answer
        return [
            job._replace(
                config=RunConfig.resolve(config, job.config.own), usual=usual, expected=expected
            )
            for job, (config, _, usual, expected) in zip(jobs, first_answer, strict=True)
        ]

    def run(self, jobs: Sequence[Job]) -> Answers[Job]:
        """What the runs tell, which is the end of each.

        Raises `RunStoppedError` if the scheduler is gone, or all its workers are.
        """
        futures = {
            self._client.submit(
                train, fn.__version__, *_plain(job)[:2], job.expected, pure=False
            ): job
            for job in jobs
        }
        try:
            for future, answer in self._answers(list(futures)):
                job = futures.pop(future)
                if isinstance(answer, str):
                    yield job, {"error": answer}
                    continue
                _write(job.folder, answer["files"])
                if answer["error"] is None:
                    yield job, {"peak_memory": None}
                else:
                    error = answer["error"].replace(answer["folder"] or "\0", str(job.folder))
                    yield job, {"error": error}
        finally:
            self._client.cancel(list(futures))

    def _refuse(self, worker: str, why: str) -> NoReturn:
        raise InputError(f"--scheduler {self._address}: worker {worker}: {why}")

    def _answers(self, futures: list[Any]) -> Iterator[tuple[Any, Any]]:
        """Futures as they are done, with their results; what Dask says of one without, as text."""
        from distributed import wait

        wait_for: Callable[..., Any] = wait  # it has no types
        since = time.monotonic()  # when there last was a worker
        while futures:
            # Dask raises CancelledError too, which the status of a future says as well.
            with contextlib.suppress(TimeoutError, CancelledError):
                wait_for(futures, timeout=_GLANCE, return_when="FIRST_COMPLETED")
            done = [future for future in futures if future.status != "pending"]
            futures = [future for future in futures if future.status == "pending"]
            for future in done:
                if future.status == "finished":
                    yield future, future.result()
                elif future.status == "error":
                    yield future, _in_one_line(future.exception())
                else:  # nobody else cancels them
                    gone = f"the scheduler {self._address} is gone"
                    raise RunStoppedError(f"{gone}; what is finished is used when it runs again")
            if done or self._client.scheduler_info()["workers"]:
                since = time.monotonic()
            elif time.monotonic() - since > _WITHOUT:
                raise RunStoppedError(
                    f"the scheduler {self._address} has no workers any more; what is finished is "
                    "used when it runs again"
                )


@contextlib.contextmanager
def connect(address: str) -> Iterator[Cluster]:
    """The cluster of the scheduler there, until the end of the `with` block.

    Raises `InputError` if Dask's `distributed` is not installed, or no scheduler answers by TCP.
    """
    if "://" in address and not address.startswith("tcp://"):
        raise InputError(f"--scheduler {address}: give it as tcp://HOST:PORT")
    require("distributed", "cluster")
    import dask
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    make: Callable[..., Any] = Client  # it has no types
    limits = {"distributed.comm.timeouts.connect": f"{_PATIENCE}s"}
    with silence_logging_cmgr("CRITICAL"), dask.config.set(limits):
        try:
            kind = asyncio.run(_kind(address))
            if kind != "scheduler":
                raise ValueError(f"it is a {kind}, not a scheduler")
            client = make(address, timeout=_PATIENCE)
        except (OSError, ValueError) as error:
            why = "no Dask scheduler answers" if isinstance(error, OSError) else error
            raise InputError(f"--scheduler {address}: {why}") from None
        with client:
            yield Cluster(client, address)


def _here(data: str, of: str) -> Expected | None:
    """What is read as these data on this machine, if they are a path that is here."""
    if data in NAMES or not os.path.exists(data):
        return None
    record = load_dataset(data, val_size=0, seed=0).record
    return None if record is None else Expected(record, of)


async def _kind(address: str) -> str:
    """What of Dask's is there. Raises `OSError` if nothing answers, where a client would wait."""
    from distributed import core
    from distributed.comm.core import connect

    dial: Callable[..., Any] = connect  # it has no types
    ask: Callable[..., Any] = core.send_recv
    comm = await asyncio.wait_for(dial(address, timeout=_PATIENCE), _PATIENCE)
    try:
        answer = await asyncio.wait_for(ask(comm, op="identity"), _PATIENCE)
    finally:
        await comm.close()
    return str(answer["type"]).lower()


def _in_one_line(error: BaseException | None) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write a run's folder as it was there; the file that says that it is finished comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(files, key=lambda name: name == _LAST):
        write_whole(folder / name, files[name])
