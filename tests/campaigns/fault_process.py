"""Faults of what a process is given: streams, files, threads, a clock, an environment."""

import errno
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from campaigns.fault import Fault, Moments, Tell, allow_again, without_capabilities


def stream(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    which = ([1], [2], [1, 2])[rng.integers(3)]
    how = ("closed", "without a reader", "full")[rng.integers(3)]

    def plant(tell: Tell) -> None:
        tell("a stream")
        for number in which:
            if how == "closed":
                os.close(number)
            elif how == "full":
                os.dup2(os.open("/dev/full", os.O_WRONLY), number)
            else:
                reader, writer = os.pipe()
                os.close(reader)
                os.dup2(writer, number)

    silent = 2 in which or how == "without a reader"
    words = lambda met: ("the output cannot be written",)  # noqa: E731
    hears = 1 not in which
    return Fault(f"{which} {how}", plant, words=words, hears=hears, is_silent=silent)


def few_files(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    most = int(rng.integers(4, 14))

    def plant(tell: Tell) -> None:
        tell("files")
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + most - 4, used + most - 4))

    return Fault(f"{most} files", plant, words=lambda met: (os.strerror(errno.EMFILE),))


def no_threads(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    first = int(rng.integers(3))

    def plant(tell: Tell) -> None:
        left, start = first, threading._start_new_thread  # type: ignore[attr-defined]

        def refuse(*given: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                tell("a thread")
                raise RuntimeError("can't start new thread")
            return start(*given)

        threading._start_new_thread = refuse  # type: ignore[attr-defined]

    return Fault(f"after {first}", plant, words=lambda met: ("thread",))


def no_processes(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    def plant(tell: Tell) -> None:
        def hook(event: str, given: tuple[Any, ...]) -> None:
            if event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
                tell("a process")
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        sys.addaudithook(hook)

    return Fault("", plant, words=lambda met: (os.strerror(errno.EAGAIN),))


def clock(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    first, back = int(rng.integers(6)), float(10 ** rng.uniform(0, 9))

    def plant(tell: Tell) -> None:
        real, calls = time.time, 0

        def set_back() -> float:
            nonlocal calls
            calls += 1
            return real() - (back if calls > first else 0)

        time.time = set_back
        time.time_ns = lambda: int(set_back() * 1e9)

    return Fault(f"{back:.0f} s at call {first}", plant)


def umask(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    def plant(tell: Tell) -> None:
        tell("a mask")
        os.umask(0o777)
        without_capabilities()

    return Fault(
        "",
        plant,
        lift=lambda: allow_again(folder),
        words=lambda met: (os.strerror(errno.EACCES),),
        leaves=True,
    )


def no_directory(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    def plant(tell: Tell) -> None:
        tell("a directory")
        (elsewhere := folder.parent / "elsewhere").mkdir(exist_ok=True)
        os.chdir(elsewhere)
        elsewhere.rmdir()

    return Fault("", plant)


ENVIRONMENTS: list[dict[str, str | None]] = [
    {"HOME": None},
    {"HOME": "/nonexistent", "MPLCONFIGDIR": None},
    {"HOME": "/proc", "MPLCONFIGDIR": None, "XDG_CACHE_HOME": "/proc"},
    {"HOME": "", "XDG_CACHE_HOME": ""},
    {"TMPDIR": "/nonexistent"},
    {"MPLCONFIGDIR": "/proc/nothing"},
    *({"LC_ALL": name, "PYTHONUTF8": "0"} for name in ("C", "de_DE.UTF-8", "tr_TR.UTF-8", "xx")),
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    *({"PYTHONIOENCODING": name} for name in ("ascii", "cp1252", "utf-16", "cp037", "latin-1")),
    {"PYTHONIOENCODING": "ascii:strict"},
    *({"TZ": zone} for zone in ("", ":/nonexistent", "XXX+99:99", "Asia/Kathmandu", "UTC-24")),
    {"COLUMNS": "0"},
    {"COLUMNS": "x"},
    {"TERM": "dumb", "NO_COLOR": "1"},
    {"PYTHONOPTIMIZE": "2"},
    {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "1"},
    {"OMP_NUM_THREADS": "x"},
    {"OMP_NUM_THREADS": "0", "OPENBLAS_NUM_THREADS": "-1"},
    {"MPLBACKEND": "nonsense"},
    {"MPLBACKEND": "TkAgg", "DISPLAY": ":99"},
    {"PATH": ""},
]


def environment(rng: np.random.Generator, folder: Path, moments: Moments) -> Fault:
    chosen = ENVIRONMENTS[rng.integers(len(ENVIRONMENTS))]
    what = " ".join(f"{name}={value}" for name, value in chosen.items())
    return Fault(what, None, chosen, hears="PYTHONIOENCODING" not in chosen)
