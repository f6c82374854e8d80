"""Runs have the same bits plain and recorded; of more choices and more steps in tests/whole."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from helpers import OF_KERNELS, ROOT, environment_of_kernels
from recorded_runs import (
    LARGE,
    NAMES,
    TRIPLES,
    assert_same_on_threads,
    assert_same_runs,
    config_of,
    few_images,
    large_task,
    more_images,
)

from funcnn.ops import gemm_batch
from funcnn.ops import matmul as products
from funcnn.threads import available_cores

SMALLER = {"resnet": {"channels": [8, 16]}, "resnet9": {"channels": [4, 8, 8]}}
"""Of what would take too long here."""


def _place(triple):
    a, b, c = (names.index(name) for names, name in zip(NAMES, triple, strict=True))
    return a + b - c


COVERING = [triple for triple in TRIPLES if _place(triple) % len(NAMES[2]) == 0]
"""Triples in which any two of their names meet."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return few_images(tmp_path_factory.mktemp("few") / "images")


@pytest.mark.parametrize("triple", COVERING, ids="-".join)
def test_200_steps(triple, images):
    assert_same_runs(config_of(triple, images, **SMALLER.get(triple[0], {})))


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)], ids=str)
def test_any_two_meet(pair):
    met = {tuple(triple[i] for i in pair) for triple in COVERING}
    assert met == {*itertools.product(*(NAMES[i] for i in pair))}


# --- on several threads ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def large_images(tmp_path_factory):
    return more_images(tmp_path_factory.mktemp("more") / "images")


def divides():
    """Whether the parts of a product have threads here, for as many as there are."""
    _, grain = products._axis_and_grain(0, np.dtype(np.float32))
    return grain is not None and gemm_batch._batch_function(np.dtype(np.float32)) is not None


@pytest.mark.parametrize("arch", LARGE)
def test_threads(arch, large_images):
    counts = assert_same_on_threads(large_task(arch, large_images, 50))
    assert {2, 4} <= counts or arch != "mlp3" or not divides()


@pytest.mark.parametrize("arch", LARGE)
def test_threads_beside_a_busy_neighbour(arch, large_images):
    assert_same_on_threads(large_task(arch, large_images, 12), available_cores())


OTHER_KERNELS = """
import sys
from recorded_runs import assert_same_on_threads, large_task
from funcnn.threads import blas

images, kernels, *others = sys.argv[1:]
if not {*others} & {library.kernels for library in blas()}:
    for arch in ("mlp3", "cnn3"):
        assert_same_on_threads(large_task(arch, images, 8))
    print("the same bits")
"""


@pytest.mark.parametrize("kernels", OF_KERNELS)
def test_other_kernels(kernels, large_images):
    environment = environment_of_kernels(kernels)
    others = OF_KERNELS.keys() - {kernels}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OTHER_KERNELS, str(large_images), kernels, *others],
        env=environment | {"PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if not done.stdout:
        pytest.skip(f"in the place of {kernels} this BLAS takes one of the others")
