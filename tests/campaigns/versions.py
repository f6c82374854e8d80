"""The library's tests with several versions of Python and NumPy, each pair in its own environment.

python tests/campaigns/versions.py 2.0.0 2.4 --python python3.11 --python python3.13

It is no part of the hour, as it installs packages. Tests that need PyTorch or JAX are skipped.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

ROOT = Path(__file__).parents[2]
NEEDED = "hypothesis>=6.100", "pandas>=2.2", "pytest>=8"
TESTS = "tests/library", "--ignore=tests/library/compiled/test_sanitizers.py"
SAYS = """
import platform, numpy, funcnn
from importlib.util import find_spec
native = "compiled" if find_spec("funcnn.compiled._native") else "left out"
print(platform.python_version(), numpy.__version__, native, sep=",")
"""


class Tried(NamedTuple):
    """What came of one pair."""

    python: str
    numpy: str
    native: str
    """Whether the extension in C was compiled."""
    came: str
    """pytest's last line, or the last line of what failed before."""


def tried(python: str, numpy: str, folder: Path) -> Tried:
    """One pair: a new environment, the project in it, and its tests."""
    environment = folder / "environment"
    inside = environment / "bin/python"
    install = [inside, "-m", "pip", "install", "-q", "--prefer-binary", ROOT, *NEEDED]
    quiet = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    quiet["OMP_NUM_THREADS"] = "1"
    numpy_of_a_minor = f"numpy=={numpy}" if numpy.count(".") > 1 else f"numpy=={numpy}.*"
    for command in (
        [python, "-m", "venv", environment],
        [*install, numpy_of_a_minor, "--only-binary", "numpy"],
    ):
        done = subprocess.run(command, env=quiet, capture_output=True, text=True)
        if done.returncode:
            return Tried(python, numpy, "", _last_line(done.stderr))
    # Not from the root: there, a folder is called funcnn.
    done = subprocess.run([inside, "-P", "-c", SAYS], env=quiet, capture_output=True, text=True)
    if done.returncode:
        return Tried(python, numpy, "", _last_line(done.stderr))
    said = done.stdout.strip().split(",")
    run = [inside, "-P", "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(run, cwd=ROOT, env=quiet, capture_output=True, text=True)
    if done.returncode:
        click.echo("\n".join(done.stdout.splitlines()[-60:]), err=True)
    return Tried(*said, _last_line(done.stdout or done.stderr))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[-1].strip("= ")


def all_tried(pythons: Sequence[str], versions: Sequence[str]) -> Iterator[Tried]:
    for python in pythons:
        for numpy in versions:
            with tempfile.TemporaryDirectory(prefix="versions-") as folder:
                yield tried(python, numpy, Path(folder))


@click.command()
@click.argument("versions", nargs=-1, required=True)
@click.option("--python", "pythons", multiple=True, default=[sys.executable])
def main(versions: Sequence[str], pythons: Sequence[str]) -> None:
    """Run the library's tests with each of these versions of NumPy, in each of these Pythons."""
    click.echo("| Python | NumPy | extension in C | tests |\n|---|---|---|---|")
    for one in all_tried(pythons, versions):
        click.echo("| " + " | ".join(one) + " |")


if __name__ == "__main__":
    main()
