"""What several tests share."""

import contextlib
import contextvars
import importlib
import os
import threading
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.figures import style
from funcnn.experiments.labs import figures as lab_figures
from funcnn.experiments.labs import points_runs
from funcnn.experiments.labs import run as lab_run
from funcnn.experiments.reports.pdf import require_weasyprint
from funcnn.ops import windows

ROOT = Path(__file__).resolve().parent.parent
HANG = 60  # seconds after which a test gives up: none is near it unless it never ends


def finish(function):
    """What the function returns; it fails, and does not hang the suite, if it never ends."""
    results = []
    here = contextvars.copy_context()  # the number of threads, for instance, is the context's
    thread = threading.Thread(target=lambda: results.append(here.run(function)), daemon=True)
    thread.start()
    thread.join(HANG)
    assert not thread.is_alive(), "it never ends"
    return results[0]


def blas_threads():
    """The threads of NumPy's own BLAS; torch and SciPy may bring others."""
    return [
        library["num_threads"]
        for library in threadpoolctl.threadpool_info()
        if library["user_api"] == "blas" and "numpy" in library["filepath"]
    ]


OF_KERNELS = {
    "Prescott": {"SSE3"},
    "Nehalem": {"SSE42"},
    "Sandybridge": {"AVX"},
    "Haswell": {"AVX2", "FMA3"},
    "Zen": {"AVX2", "FMA3"},
    "SkylakeX": {"AVX512_SKX"},
}
"""What a processor must have for OpenBLAS's kernels of a name, which crash on another."""


def environment_of_kernels(name):
    """That of a process with these kernels of OpenBLAS; skips where the processor cannot do so."""
    from numpy._core._multiarray_umath import __cpu_features__ as has

    lacking = sorted(feature for feature in OF_KERNELS[name] if not has.get(feature))
    if lacking:
        pytest.skip(f"this processor has no {', '.join(lacking)}")
    return os.environ | {"OPENBLAS_CORETYPE": name}


def need_weasyprint():
    """Skip the test, or the module, where no PDF can be made."""
    try:
        require_weasyprint()
    except InputError as error:
        pytest.skip(str(error), allow_module_level=True)


def run_all_here(jobs, at_once, module="training.worker"):
    """What `pool.run_all` tells, of runs that are done in this process, before they are told.

    Another process begins with importing PyTorch, for longer than a tiny run takes.
    """
    for job in jobs:
        told = []
        importlib.import_module(f"funcnn.experiments.{module}").do(job.request, told.append)
        yield from ((job, answer) for answer in told)


@contextlib.contextmanager
def labs_here():
    """Labs are run in this process, and their reports made without what takes longest there."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from weasyprint import Document

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab_run, "run_all", run_all_here)
        patch.setattr(points_runs, "run_all", run_all_here)
        # Fonts whole: to cut them takes as long as laying the pages out. See test_document.
        patch.setattr(Document, "write_pdf", partialmethod(Document.write_pdf, full_fonts=True))
        # What lies where in a picture is seen in test_report_figures.
        patch.setattr(ConstrainedLayoutEngine, "execute", lambda engine, figure: None)
        # So are their sharpness, and the frames of a moving one.
        patch.setattr(style, "_DPI", 40)
        patch.setattr(lab_figures, "_FRAMES", 3)
        yield


def frozen(tree):
    """The same tree with read-only arrays: writing to one is an error at the very line."""

    def freeze(leaf):
        if not isinstance(leaf, np.ndarray):
            return leaf
        array = leaf.copy()
        array.setflags(write=False)
        return array

    return fn.tree.map(freeze, tree)


def assert_same_bits(a, b):
    fn.tree.map(np.testing.assert_array_equal, a, b)


def memory_orders(x):
    """The same numbers, read-only, as they may lie in memory: by name."""

    def lying(order):
        return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))

    axes = tuple(range(x.ndim))
    found = {
        "batch first": lying(axes),
        "batch last": lying((*axes[1:], 0)),
        "as in funcnn": lying((*axes[2:], 1, 0)),
        "channels last": lying((0, *axes[2:], 1)),
        "reversed axes": lying(axes[::-1]),
        "backwards": np.ascontiguousarray(x[::-1, ..., ::-1])[::-1, ..., ::-1],
        "every other": np.repeat(np.repeat(x, 2, axis=0), 3, axis=-1)[::2, ..., ::3],
    }
    for array in found.values():
        array.setflags(write=False)
    return found


def spy(layer, seen):
    """A user's own layer that does what `layer` does, and notes how it was applied."""

    def apply(params, x, *, rng=None, train=False, wrt="both"):
        seen.append({"wrt": wrt, "train": train, "rng": rng, "x": x})
        return layer.apply(params, x, rng=rng, train=train, wrt=wrt)

    return fn.Layer(layer.init, apply)


def normal_batch(rng, shape, batch=2, dtype=np.float32):
    """Random inputs of this shape; a tuple of them for a tuple of shapes."""
    if any(isinstance(entry, tuple) for entry in shape):
        keys = fn.random.split(rng, len(shape))
        return tuple(map(normal_batch, keys, shape, [batch] * len(shape), [dtype] * len(shape)))
    return fn.random.normal(rng, (batch, *shape), dtype)


def batch_last(x):
    """Equal arrays, in memory in the order (H, W, C, N)."""

    def moved(a):
        return a.copy() if a.ndim < 2 else windows.batch_first(windows.batch_last(a).copy())

    return fn.tree.map(moved, x)
