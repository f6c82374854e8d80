"""What a measurement was made on."""

import os
import platform
import re
from pathlib import Path
from typing import Any

from funcnn.experiments.benchmark_peers import PEERS

import funcnn as fn

Machine = dict[str, Any]


def describe_machine() -> Machine:
    """The processor and its cores, how busy they are, the versions of all that is measured."""
    from importlib.metadata import version  # 20 ms

    described: Machine = {
        "cpu": _processor(),
        "cores": fn.threads.available_cores(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "funcnn": fn.__version__,
    }
    for peer in PEERS.values():
        if peer.installed:
            described[peer.package] = version(peer.package)
    return described | {"BLAS": _blas()}


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
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _blas() -> str:
    from threadpoolctl import threadpool_info

    found = [each for each in threadpool_info() if each["user_api"] == "blas"]
    return ", ".join(f"{each['internal_api']} {each['version']}" for each in found) or "unknown"
