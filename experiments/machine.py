"""What a measurement was made on."""

import platform
import re
from pathlib import Path

from funcnn.experiments.benchmark_peers import PEERS

import funcnn as fn


def describe_machine() -> dict[str, str | int]:
    """The processor, its cores, and the versions of Python, BLAS and every peer installed."""
    from importlib.metadata import version  # 20 ms

    described: dict[str, str | int] = {
        "cpu": _processor(),
        "cores": fn.threads.available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "funcnn": fn.__version__,
    }
    for peer in PEERS.values():
        if peer.installed:
            described[peer.package] = version(peer.package)
    return described | {"BLAS": _blas()}


def in_one_line(machine: dict[str, str | int]) -> str:
    """A machine in words."""
    named = {k: v for k, v in machine.items() if k not in ("cpu", "cores", "system")}
    versions = ", ".join(f"{name} {version}" for name, version in named.items())
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; {versions}"


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
