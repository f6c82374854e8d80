"""Which tests guard a function: of a file of its module's name, and of those that speak of it most.

It is also a plugin of pytest, which ends a run of tests after a time that the environment says. (A
map of what each test enters takes longer to make, traced, than the hour in which it would serve.)
"""

import ast
import collections
import functools
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = "tests/library", "tests/parity"
NO_GUARDS = {"test_sanitizers.py", "test_tables.py"}
"""They guard what is written in C, and the tables of the tests."""
NEAREST, NEAR = 2, 4
"""So many files in the first stage, and in the second."""
BESIDE = {
    "_arguments": "test_arguments test_array_likes test_layers test_losses test_schedules",
    "any_layer": "test_layers test_combinators test_checks test_spec",
    "_reductions": "test_layers test_normalization test_batching",
    "_signatures": "test_signatures test_spec",
    "_snapshot_files": "test_snapshots",
    "_snapshot_trees": "test_snapshots test_pickling",
    "_npy": "test_snapshots",
    "_recording": "test_step test_apply test_base",
    "_warping": "test_augmentations",
    "_augmenting": "test_batching test_augmentations",
    "_vectors": "test_base test_tree",
    "_blas": "test_threads test_matmul test_blas",
    "_workers": "test_batching test_threads",
    "gemm_batch": "test_matmul test_convolution test_layers",
    "rewrite": "test_combinators test_sharding",
    "branches": "test_combinators test_layers",
    "core": "test_layers test_combinators",
    "activation": "test_layers test_activations",
    "any": "test_layers",
    "gradcheck": "test_checks",
    "evaluation": "test_inference test_metrics",
    "types": "test_layers",
    "parts": "test_optimizers test_base",
    "transforms": "test_optimizers test_base",
    "scaling": "test_optimizers test_base",
    "aliases": "test_optimizers test_base",
}
"""Files beside one of the name, for modules that are tested through others."""
FOR_ALL = "tests/library/test_array_likes.py", "tests/library/layers/test_layers.py"
FOR_COMPILED = "test_step.py", "test_apply.py", "test_every_part.py", "test_models.py"
FOR_COMPILED = tuple(f"tests/library/compiled/{name}" for name in FOR_COMPILED)
"""Files that guard what is in no module of their name; they are last, for they take their time."""
SECONDS = "FUNCNN_SECONDS_OF_TESTS"


@functools.cache
def _words() -> dict[str, collections.Counter[str]]:
    """Of each file of tests, how often it has each word."""
    files = sorted(path for one in FOLDERS for path in (ROOT / one).rglob("test_*.py"))
    counts = {}
    for path in files:
        if path.name not in NO_GUARDS:
            counts[str(path.relative_to(ROOT))] = collections.Counter(_split(path.read_text()))
    return counts


def _split(text: str) -> list[str]:
    return re.findall(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*", text)


def stages(module: str, source: bytes, line: int) -> Iterator[list[str]]:
    """The files of tests that guard a line of a module, the nearest first, in two stages."""
    stem = Path(module).stem.strip("_")
    folder = str(Path("tests/library", *Path(module).parts[1:-1]))
    names = {stem, *_split(_around(source, line))}
    of_module = {stem, *(name for one in _definitions(source) for name in _split(one.name))}

    own = [f"test_{stem}", *BESIDE.get(Path(module).stem, "").split()]

    def own_name(file: str) -> int:
        stem, at_home = Path(file).stem, file.startswith(FOLDERS[0])
        return (
            len(own) - own.index(stem) + (str(Path(file).parent) == folder)
            if (stem in own and at_home)
            else 0
        )

    def near(file: str) -> tuple[float, ...]:
        count, is_here = _words()[file], str(Path(file).parent) == folder
        said = sum(map(count.__getitem__, names)) / count.total() ** 0.5
        of_all = sum(map(count.__getitem__, of_module)) / count.total() ** 0.5
        return own_name(file), said * (1 + is_here), of_all

    files = sorted(_words(), key=near, reverse=True)
    yield files[:NEAREST]
    last = FOR_COMPILED if Path(module).parent.name == "compiled" else FOR_ALL
    near_by = [file for file in files[NEAREST : NEAREST + NEAR] if file not in last]
    yield [*near_by, *(file for file in last if file not in files[:NEAREST])]


def _definitions(source: bytes) -> list[ast.FunctionDef | ast.ClassDef]:
    body = ast.parse(source).body
    return [one for one in body if isinstance(one, (ast.FunctionDef, ast.ClassDef))]


def _around(source: bytes, line: int) -> str:
    """The name of the module's function or class in which a line is."""
    for one in _definitions(source):
        first = min(node.lineno for node in (one, *one.decorator_list))
        if first <= line <= (one.end_lineno or first):
            return one.name
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.process_time() > float(os.environ.get(SECONDS, "inf")):
        item.session.shouldstop = "enough"  # type: ignore[assignment]
