"""The file in C under the compiler's checks of memory, of undefined behaviour and of threads."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from helpers import HANG, ROOT
from library.compiled.compiled_steps import NATIVE

pytestmark = [NATIVE, pytest.mark.skipif(sys.platform != "linux", reason="preloads libraries")]

SANITIZERS = {
    "address": (
        ["-fsanitize=address,undefined"],
        {"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1"},
    ),
    "thread": (["-fsanitize=thread"], {"TSAN_OPTIONS": "die_after_fork=0:suppressions={}"}),
}
SUPPRESSIONS = """
called_from_lib:libscipy_openblas
called_from_lib:libpython
called_from_lib:_multiarray_umath
"""
"""What was built without the sanitizer, whose own means of waiting it does not see."""

SCRIPT = """
import importlib.util, os, sys, threading
import numpy as np

spec = importlib.util.spec_from_file_location("funcnn.compiled._native", sys.argv[1])
module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

import funcnn as fn
from funcnn.compiled import instructions, native, replay
from library.compiled import test_instructions
from library.compiled.compiled_steps import *

assert instructions.interpreter is module
assert native.why_not() is None, native.why_not()
replay._lanes = lambda: 4

for operation in test_instructions.KNOWN.values():
    assert test_instructions.assert_same(operation, test_instructions.memory_of(operation))

step, state, batches = wide_steps(6)
other, other_state, other_batches = wide_steps(6, seed=1)
conv = fn.serial(fn.Conv(4, 3), fn.Relu(), fn.MaxPool(2), fn.Flatten(), fn.Dense(3))
steps = steps_of(conv, fn.softmax_cross_entropy, OPTIMIZER)
expected = [after_wide_steps(6, seed, compiled=False) for seed in range(2)]
given = [None, None]

def train(number, step, state, batches):
    for batch in batches:
        state, _ = step(state, batch)
    given[number] = state

with fn.threads.use_threads(4):
    images = classification((1, 12, 12), count=3)
    assert_same_steps(steps, first_state(conv, shape=(1, 12, 12)), images)
    train(1, other, other_state, other_batches)  # which records it
    thread = threading.Thread(target=train, args=(0, step, state, batches))
    thread.start()
    train(1, other, other_state, other_batches)
    child = os.fork()
    if child == 0:
        given[1] = None
        train(1, other, other_state, other_batches)
        os._exit(0 if fn.compiled.proof.same_bits(expected[1], given[1]) else 1)
    train(1, other, other_state, other_batches)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert fn.compiled.proof.same_bits(expected, given)
for compiled in (step, other, steps[1]):
    assert_replayed(compiled, "native")
print("all done")
"""

PLANTED = r"""
#include <pthread.h>
#include <stdlib.h>

static int counter;

static void *count(void *unused)
{
    for (int i = 0; i < 1000; i++)
        counter++;
    return unused;
}

int thread(void)
{
    pthread_t one, other;
    pthread_create(&one, NULL, count, NULL);
    pthread_create(&other, NULL, count, NULL);
    pthread_join(one, NULL);
    pthread_join(other, NULL);
    return counter;
}

int address(int size)
{
    volatile char *bytes = malloc((size_t)size);
    bytes[size] = 1;
    return 2147483647 + size;
}
"""
PLANTED_SCRIPT = "import ctypes, sys; print(getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2])(8))"
REPORTS = "Sanitizer", "runtime error"
"""What is in a report of any of them."""


def compiler():
    """The C compiler; without one the test is skipped."""
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        pytest.skip("there is no C compiler")
    return found


def compiled(source, to, flags):
    """The shared library that is made of a file in C, with its checks."""
    includes = [sysconfig.get_paths()["include"], np.get_include()]
    ended = subprocess.run(
        [compiler(), "-shared", "-fPIC", "-O1", "-g", "-pthread", *flags]
        + [f"-I{folder}" for folder in includes]
        + [str(source), "-o", str(to), "-lm"],
        capture_output=True,
        text=True,
    )
    if "cannot find" in ended.stderr or "unrecognized" in ended.stderr:
        pytest.skip("the C compiler has no such sanitizer")
    assert ended.returncode == 0, ended.stderr
    return to


START = """
import ctypes, os, sys
ctypes.CDLL(None).personality(0x0040000)
os.execvp("env", ["env", *sys.argv[1:]])
"""
"""Another process whose addresses are not random: the checks of threads want theirs."""


def checked(name, script, arguments, folder):
    """The process in which a script ran under a sanitizer."""
    asked = [compiler(), f"-print-file-name=lib{name[0]}san.so"]
    library = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(library).is_absolute():
        pytest.skip(f"the library of the {name} sanitizer is not there")
    suppressions = folder / "suppressions"
    suppressions.write_text(SUPPRESSIONS)
    options = {key: value.format(suppressions) for key, value in SANITIZERS[name][1].items()}
    paths = [str(ROOT / "tests"), *(path for path in sys.path if path)]
    own = {"PYTHONMALLOC": "malloc", "PYTHONPATH": os.pathsep.join(paths)}
    start = sys.executable, "-c", START, f"LD_PRELOAD={library}"
    return subprocess.run(
        [*start, sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | own | options | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=2 * HANG,
    )


@pytest.mark.parametrize("name", SANITIZERS)
def test_nothing_is_reported(name, tmp_path):
    source = ROOT / "funcnn/compiled/_native.c"
    library = compiled(source, tmp_path / "_native.so", SANITIZERS[name][0])
    ended = checked(name, SCRIPT, [library], tmp_path)
    assert not any(word in ended.stderr for word in REPORTS), ended.stderr
    assert ended.stdout.strip() == "all done", ended.stderr
    assert ended.returncode == 0


@pytest.mark.parametrize("name", SANITIZERS)
def test_what_is_planted_is_reported(name, tmp_path):
    source = tmp_path / "planted.c"
    source.write_text(PLANTED)
    library = compiled(source, tmp_path / "planted.so", SANITIZERS[name][0])
    ended = checked(name, PLANTED_SCRIPT, [library, name], tmp_path)
    expected = {"thread": "data race", "address": "heap-buffer-overflow"}[name]
    assert "Sanitizer" in ended.stderr
    assert expected in ended.stderr
