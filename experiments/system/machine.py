"""What a measurement was made on, and what may be expected to be the same there."""

import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import funcnn as fn
from funcnn.compiled.native import why_not

Machine = dict[str, Any]


def describe_machine(packages: Iterable[str]) -> Machine:
    """The processor and its cores, how busy they are, and the versions of what is installed.

    packages: whose versions count, as pip calls them.
    """
    from importlib.metadata import PackageNotFoundError, version  # 20 ms

    described: Machine = {
        "cpu": _processor(),
        "cores": fn.threads.available_cores(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "funcnn": fn.__version__,
    }
    for package in packages:
        with suppress(PackageNotFoundError):
            described[package] = version(package)
    return described | {"BLAS": _blas()}


def own_cores() -> set[int]:
    """The numbers of the cores that this process may use; where they are not told, all of them."""
    if hasattr(os, "sched_getaffinity"):
        cores: set[int] = os.sched_getaffinity(0)
        return cores
    return set(range(fn.threads.available_cores()))


def in_one_line(machine: Machine) -> str:
    """A machine in words."""
    about = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}"
    if machine["load"] is not None:
        about += f", load {machine['load']} at the start"
    others = ("cpu", "cores", "load", "system")
    versions = [f"{name} {version}" for name, version in machine.items() if name not in others]
    return f"{about}; {', '.join(versions)}"


def is_busy(machine: Machine) -> bool:
    """Whether others took half a core or more: PyTorch then waits for its threads, many fold."""
    return machine["load"] is not None and machine["load"] >= 0.5


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        text = ""
    match = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return match[1] if match else platform.processor() or platform.machine()


def same_bits() -> list[str]:
    """Which results are the same to the last bit here, as lines: it depends on NumPy's BLAS."""
    blas = fn.threads.blas()
    again = "the same bits again, with any number of threads, stopped and resumed"
    if not blas:
        name = _built_with()
        verdict = f"only if {name} multiplies alike each time: its threads cannot be set from here"
    elif any(library.internal_api == "mkl" for library in blas):
        verdict = "only if MKL_CBWR is set, as Intel's manual says of reproducible results"
    else:
        verdict = "yes"
    return [f"{again}: {verdict}", "the same bits on another processor or with another BLAS: no"]


def recorded_steps() -> str:
    """How recorded steps are replayed here, and why not otherwise, as a line."""
    if reason := why_not():
        return f"recorded steps: by NumPy ({reason})"
    threads = "several threads" if fn.threads.thread_count() > 1 else "one thread"
    return f"recorded steps: in C, on {threads}"


def _blas() -> str:
    return ", ".join(map(str, fn.threads.blas())) or _built_with()


def _built_with() -> str:
    """What NumPy says that it was built with, for where its BLAS is one that cannot be set."""
    built: Any = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'an unknown BLAS')} {blas.get('version', '')}".strip()
