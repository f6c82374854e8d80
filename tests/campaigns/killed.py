"""A `funcnn` command in a process of its own, which is killed at some moment.

The process is forked from one that has imported what commands need, and has begun no thread: so
most of them take a tenth of a second. Processes that the command itself starts are as ever.
"""

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from campaigns.watch import CHANGES, WRITES

PRELOADED = (
    "campaigns.killed",
    "filelock",
    "funcnn.cli",
    "funcnn.experiments.labs.registry",
    "funcnn.experiments.training.figures",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "psutil",
    "threadpoolctl",
    "tqdm",
)
PATIENCE = 100
"""Seconds for a command, and for what it started to end after it."""
JUST_AFTER = 0.003
"""Seconds within which a file is written, or at which something is half done."""


class Moment(NamedTuple):
    """When a command is killed, and how."""

    number: int
    """The signal."""
    seconds: float
    """Since it began; or, if there is a change, since that."""
    change: int | None
    """Which change of a file."""
    whom: str
    """The command, its group (as Ctrl-C in a terminal), or a worker of it."""


def draw_moment(rng: np.random.Generator, seconds: float, changes: int) -> Moment:
    """A moment of a command that takes so long, and changes files so often; or a bit later."""
    number = int(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT], p=[0.7, 0.15, 0.15]))
    whom = str(rng.choice(["command", "group", "worker"], p=[0.5, 0.3, 0.2]))
    if rng.random() < 0.5:
        return Moment(number, float(rng.uniform(0, 1.1 * seconds)), None, whom)
    change = int(rng.integers(1, changes + 2))
    if number != signal.SIGKILL or rng.random() < 0.5:
        return Moment(number, 0, change, "command" if whom == "worker" else whom)
    return Moment(number, float(rng.uniform(0, JUST_AFTER)), change, "command")


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    said: str
    """On stdout and stderr."""
    seconds: float
    changes: int
    """How often it changed a file, if it was not killed."""
    group: int
    """Of processes, for `wait_for_group`."""


def carry_out_command(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    moment: Moment | None = None,
    prepare: str | None = None,
) -> Ended:
    """Have a command run in a folder, and be killed.

    prepare: a function, as `module:name`, that its process calls first.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED])
    receiving, sending = context.Pipe(duplex=False)
    log = folder.with_name(f"{folder.name}.log")
    log.unlink(missing_ok=True)
    process = context.Process(
        target=_run,
        args=(list(arguments), folder, log, dict(environment), moment, prepare, sending),
    )
    process.start()
    sending.close()
    receiving.recv()
    start = time.monotonic()
    try:
        if moment is not None and moment.change is None:
            process.join(moment.seconds)
            if process.is_alive():
                _kill(process.pid, moment)
        process.join(PATIENCE)
        seconds = time.monotonic() - start
        assert process.exitcode is not None, f"it does not end: {' '.join(arguments)}"
        changes = receiving.recv() if receiving.poll() else 0
    except EOFError:
        changes = 0
    finally:
        receiving.close()
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
    said = log.read_text("utf-8", "replace")
    return Ended(process.exitcode, said, seconds, changes, process.pid)


def _kill(pid: int, moment: Moment) -> None:
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        workers = psutil.Process(pid).children() if moment.whom == "worker" else []
        if moment.whom == "group":
            os.killpg(pid, moment.number)
        elif workers and moment.number != signal.SIGINT:  # which they do not hear
            workers[-1].send_signal(moment.number)
        else:
            os.kill(pid, moment.number)


def wait_for_group(group: int) -> None:
    """Wait for what a command has started. Raises `AssertionError` if it stays."""
    end = time.monotonic() + PATIENCE
    while left := [*_alive(group)]:
        assert time.monotonic() < end, f"it stays behind: {' '.join(left[0].cmdline())}"
        time.sleep(0.01)


def _alive(group: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _run(
    arguments: list[str],
    folder: Path,
    log: Path,
    environment: dict[str, str],
    moment: Moment | None,
    prepare: str | None,
    sending: Connection,
) -> None:
    """The command, in its process, which tells when it begins, and how often it changed a file."""
    os.setsid()
    multiprocessing.set_start_method(
        "fork", force=True
    )  # as ever: what tqdm locks with is nameless
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (open(fd, "w", 1, "utf-8") for fd in (1, 2))  # noqa: SIM115
    os.chdir(folder)
    os.environ.update(environment)
    from funcnn.cli import main

    if prepare is not None:
        module, _, name = prepare.partition(":")
        getattr(importlib.import_module(module), name)()
    changes = _count_changes(moment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sending.send("it begins")
    try:
        main(arguments, prog_name="funcnn")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sending.send(changes[0])


def _count_changes(moment: Moment | None) -> list[int]:
    """How many changes of files there were; this process dies at that of the moment."""
    changes = [0]

    def hear(event: str, given: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(given[2], int) and given[2] & WRITES
        if not writes and event not in CHANGES:
            return
        changes[0] += 1
        if moment is None or changes[0] != moment.change:
            return
        if moment.seconds:
            signal.setitimer(signal.ITIMER_REAL, moment.seconds)  # by which it is killed too
        elif moment.whom == "group":
            os.killpg(0, moment.number)
        else:
            os.kill(os.getpid(), moment.number)

    sys.addaudithook(hear)
    return changes
