"""Mutants of the library are caught by the tests that guard the function in which they are.

A mutant is a small fault (`mutation`) in a copy of the library, in a module drawn by its number of
lines. What no test can see is listed here, with why. The tests promise to catch 92 % of the others.
"""

import contextlib
import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.guards import ROOT, SECONDS, stages
from campaigns.mutation import Mutant, mutants

MAY_SURVIVE = 0.08
SECONDS_OF_TESTS = 20
"""Of the processor, in each stage, with the imports."""
MOST_OF_THE_PROCESSOR = 60
"""In each stage: a mutant that takes more goes on without an end."""
MOST_SECONDS = 150
"""In each stage: after that nothing is known, as it waits for ever, or others have the cores."""
PASSED, INTERRUPTED = 0, 2
"""How pytest ends if no test failed: all were done, or as many as there was time for."""

PACKAGE = ROOT / "funcnn"
EQUIVALENT: dict[str, str] = {
    "funcnn/compiled/lanes.py: return int(max(work, read // READ_PER_ELEMENT))"
    " -> return int(max(work, (read / READ_PER_ELEMENT)))": "an integer is made of both",
    "funcnn/compiled/placement.py: size, best, at = _rounded(max(size, 1)), None, 0"
    " -> size, best, at = _rounded(max(size, 2)), None, 0": "64 bytes, rounded, are both",
    "funcnn/compiled/proof.py: return leaf + 7 if type(leaf) is int else leaf * 0.9"
    " -> return leaf + 7 if type(leaf) is int else (leaf + 0.9)": "any other number will do",
    "funcnn/layers/batch_norm.py: count = max(1, min(rows, x.size // BLOCK_ENTRIES, MAX_BLOCKS))"
    " -> count = max(2, min(rows, x.size // BLOCK_ENTRIES, MAX_BLOCKS))": "blocks are for speed",
}
"""Mutants, as they are listed but for the line's number, that change no result; and why."""

FIRST = """import sys  # the finder of the editable install would give the checkout's modules
sys.meta_path[:] = [one for one in sys.meta_path if "__editable__" not in str(one)]
"""


class EndlessError(Exception):
    """Tests do not end."""


class Copy:
    """A copy of the package, in which a module at a time is changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ignore = shutil.ignore_patterns("__pycache__", "_native.c")
        shutil.copytree(PACKAGE, folder / "site/funcnn", ignore=ignore)
        for name in ("cli", "experiments"):
            (folder / "site/funcnn" / name).symlink_to(ROOT / name)
        (folder / "site/sitecustomize.py").write_text(FIRST)
        (folder / "tmp").mkdir()
        path = os.pathsep.join([str(folder / "site"), str(ROOT / "tests")])
        self._environment = os.environ | {
            "PYTHONPATH": path,
            "PYTHONSAFEPATH": "1",  # in the root, `funcnn` is a folder of the checkout
            "TMPDIR": str(folder / "tmp"),
            "OMP_NUM_THREADS": "1",
            SECONDS: str(SECONDS_OF_TESTS),
        }
        where = [sys.executable, "-c", "import funcnn; print(funcnn.__file__)"]
        done = subprocess.run(where, env=self._environment, capture_output=True, text=True)
        assert done.stdout.strip() == str(folder / "site/funcnn/__init__.py"), done

    @contextlib.contextmanager
    def changed(self, module: str, text: bytes) -> Iterator[None]:
        """Inside, a module has another text; nothing of it is kept compiled."""
        path = self._folder / "site" / module
        before = path.read_bytes()
        path.write_bytes(text)
        kept = Path(importlib.util.cache_from_source(str(path)))
        kept.unlink(missing_ok=True)
        try:
            yield
        finally:
            path.write_bytes(before)
            kept.unlink(missing_ok=True)

    def passes(self, files: list[str]) -> bool:
        """Whether the tests pass; raises an `EndlessError`, or a `subprocess.TimeoutExpired`."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "campaigns.guards"]
        command += ["-p", "no:cacheprovider", *files]
        most = MOST_OF_THE_PROCESSOR
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (most, most)),
        )
        try:
            code = process.wait(MOST_SECONDS)
            if code in (-signal.SIGXCPU, -signal.SIGKILL):
                raise EndlessError
            return code in (PASSED, INTERRUPTED)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it, and what it has started
            process.wait()
            shutil.rmtree(self._folder / "tmp", ignore_errors=True)
            (self._folder / "tmp").mkdir(exist_ok=True)


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """A copy of the library, to be mutated."""
    library = Copy(folder)
    sources = {str(path.relative_to(ROOT)): path.read_bytes() for path in _modules()}
    lines = np.array([source.count(b"\n") for source in sources.values()])

    def one_try(rng: np.random.Generator) -> str:
        module, mutant = drawn(sources, lines / lines.sum(), rng)
        source = sources[module]
        with library.changed(module, mutant.of(source)):
            for number, files in enumerate(stages(module, source, mutant.line)):
                try:
                    if not library.passes(files):
                        return f"caught in stage {number + 1}"
                except EndlessError:
                    return "caught, without an end"
                except subprocess.TimeoutExpired:
                    return "undecided"
        raise AssertionError(f"survived: {module}:{mutant}")

    yield one_try


def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if not path.is_symlink())


def drawn(
    sources: dict[str, bytes], weights: np.ndarray, rng: np.random.Generator
) -> tuple[str, Mutant]:
    """A module, and a mutant of it that is another function."""
    while True:
        module = [*sources][rng.choice(len(sources), p=weights)]
        some = mutants(sources[module])
        if not some:
            continue
        mutant = some[rng.integers(len(some))]
        if listed(module, mutant) not in EQUIVALENT:
            return module, mutant


def listed(module: str, mutant: Mutant) -> str:
    """A mutant, as in `EQUIVALENT`."""
    return f"{module}: {str(mutant).partition(': ')[2]}"


MUTANTS = Campaign("mutants", "small faults put into the library", 1, begin, MAY_SURVIVE)
