"""Every test runs off the network, with warnings as errors and floating-point errors raised."""

import gc
import os
import signal
import sys
from collections.abc import Iterator

# Idle threads of OpenBLAS sleep at once, in the processes that tests start too. They would look for
# work for 30 ms, on the cores that other tests need. It reads this when it is loaded.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 ticks

import hypothesis
import numpy as np
import pytest
import threadpoolctl

# Nothing is downloaded by accident, here or in a process that a test starts: nobody listens there.
os.environ["FUNCNN_MIRROR"] = "http://127.0.0.1:9"
os.environ["no_proxy"] = "127.0.0.1"

# What Python compiles is kept, whatever the environment says: some hundred processes import it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Processes that tests interrupt hear it, even if this one was started in the background of a shell.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test survives a power cut; a test of `funcnn._files` says that what is written is synced.
os.fsync = lambda file: None


# An assert that fails there shows its values too.
pytest.register_assert_rewrite("commands", "helpers", "image_files", "torch_helpers")


def pytest_collection_finish() -> None:
    """What was imported stays: to look through it for garbage takes half a second, fifty times."""
    gc.freeze()


hypothesis.settings.register_profile("funcnn", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("funcnn")


@pytest.fixture(autouse=True)
def floating_point_errors_raise() -> Iterator[None]:
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


@pytest.fixture
def two_blas_threads() -> Iterator[None]:
    """BLAS has two threads, outside of all blocks that give it one."""
    from helpers import blas_threads  # which imports funcnn, when the environment is set

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        if blas_threads() != [2]:
            pytest.skip("NumPy's BLAS is not one whose threads threadpoolctl can set")
        yield


@pytest.fixture
def one_thread_in_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of a notebook has one thread, for beside another test two wait for each other."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is finished in this process draws nothing."""
    from funcnn.experiments.training import figures

    monkeypatch.setattr(figures, "drawn", lambda *args, **named: True)


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """The arrays of parity tests are tiny: threads of torch would wait for each other, not work."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
