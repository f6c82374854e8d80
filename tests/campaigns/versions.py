"""The library's tests with several versions of Python and NumPy, for each Python an environment.

python tests/campaigns/versions.py 2.0.0 2.4 --python python3.11 --python python3.13

It is no part of the hour, as it installs packages. Tests that need PyTorch or JAX are skipped.

Tried so far: Python 3.11.7 with NumPy 2.4.6, all of the library's tests; of these some three
thousand with Python 3.13.0, NumPy 2.1.3 and 2.4.6, and with 3.11.7 and 2.0.0, where five fail, as
with 2.0.1; 2.0.2 passes these five. Not tried: Python 3.12 and 3.14, NumPy 2.2 and 2.3, and where
nothing compiles C.
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
NEEDED = "hypothesis>=6.100", "pandas>=2.2", "pytest>=8", "pytest-xdist>=3.6"
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


def tried(python: str, versions: Sequence[str], folder: Path) -> Iterator[Tried]:
    """One Python: a new environment, the project in it, and its tests with NumPy after NumPy."""
    inside = folder / "bin/python"
    install = [inside, "-m", "pip", "install", "-q", "--only-binary", "numpy"]
    quiet = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    quiet["OMP_NUM_THREADS"] = "1"

    def said(*command: str | Path) -> tuple[bool, str]:
        done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
        return done.returncode == 0, done.stdout.strip() if done.returncode == 0 else done.stderr

    made, why = said(python, "-m", "venv", folder)
    for numpy in versions:
        if made:  # again for each NumPy, so that the project's own requirement is asked
            release = f"numpy=={numpy}" if numpy.count(".") > 1 else f"numpy=={numpy}.*"
            here, why = said(*install, ROOT, *NEEDED, release)
            if here:  # -P: in the root, a folder is called funcnn
                here, why = said(inside, "-P", "-c", SAYS)
            if here:
                run = inside, "-P", "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"
                done = subprocess.run(
                    [*run, *TESTS], cwd=ROOT, env=quiet, capture_output=True, text=True
                )
                if done.returncode:
                    click.echo("\n".join(done.stdout.splitlines()[-60:]), err=True)
                yield Tried(*why.split(","), _last_line(done.stdout or done.stderr))
                continue
        yield Tried(python, numpy, "", _last_line(why))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[-1].strip("= ")


@click.command()
@click.argument("versions", nargs=-1, required=True)
@click.option("--python", "pythons", multiple=True, default=[sys.executable])
def main(versions: Sequence[str], pythons: Sequence[str]) -> None:
    """Run the library's tests with each of these versions of NumPy, in each of these Pythons."""
    click.echo("| Python | NumPy | extension in C | tests |\n|---|---|---|---|")
    for python in pythons:
        with tempfile.TemporaryDirectory(prefix="versions-") as folder:
            for one in tried(python, versions, Path(folder)):
                click.echo("| " + " | ".join(one) + " |")


if __name__ == "__main__":
    main()
