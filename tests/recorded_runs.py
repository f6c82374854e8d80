"""Runs as `funcnn train` makes them, with steps as they are written beside recorded ones."""

import contextlib
import dataclasses
import itertools
import subprocess
import sys
from types import SimpleNamespace

import pytest
from image_files import image_folder

import funcnn as fn
from funcnn.compiled.proof import same_bits
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.optimizers import OPTIMIZERS, SCHEDULES
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.learner import make_learner
from funcnn.ops import matmul as products

STEPS = 200
NAMES = tuple(ARCHITECTURES), tuple(OPTIMIZERS), tuple(SCHEDULES)
TRIPLES = tuple(itertools.product(*NAMES))
"""Every architecture with every optimizer and every schedule."""


def few_images(folder):
    """A folder of 15 training images of the usual shape, in 10 classes."""
    return image_folder(folder, train=15, test=10, side=28, classes=10)


def config_of(triple, folder, **settings):
    """200 steps, on those images or on 21 points: every fourth is of a smaller batch."""
    arch, optimizer, schedule = triple
    few = {"batch_size": 4, "data": str(folder), "val_size": 0}
    if ARCHITECTURES[arch].binary:
        few = {"batch_size": 6}
    names = {"arch": arch, "optimizer": optimizer, "schedule": schedule}
    config = RunConfig.resolve(names | few | {"epochs": STEPS // 4} | settings)
    return dataclasses.replace(config, lr=config.lr / 5)  # or some diverge, on so few examples


def assert_same_runs(config):
    """Every step of a run has the same bits plain and recorded, and nearly all are replayed."""
    task = Task.build(config)
    plain, recorded = (make_learner(task, compile_step=how) for how in (False, True))
    sizes = []
    with plain.limits():
        for epoch in range(1, config.epochs + 1):
            for batch in task.batches(epoch):
                where = f"step {len(sizes)}"
                expected, measured = plain.step(batch), recorded.step(batch)
                assert same_bits(expected, measured), where
                assert list(expected) == list(measured), where
                assert recorded._step.why is None, where
                sizes.append(len(batch[0]))
    assert same_bits(plain._state, recorded._state)
    assert len(sizes) == task.total_steps == STEPS
    assert len({*sizes}) == 2  # and so only two steps were recorded
    kinds = recorded._step._recordings._kinds.values()
    assert [len(kind.programs) for kind in kinds] == [1, 1]


# --- on several threads ----------------------------------------------------------------------

THREADS = 1, 2, 4
LARGE = "mlp3", "cnn3", "lenet5"
"""Architectures that have products, or shards of a batch, for several threads."""


def more_images(folder):
    """A folder of 172 training images: a batch of 128, and one of 44."""
    return image_folder(folder, train=172, test=10, side=28, classes=10)


def large_task(arch, folder, steps):
    """So many steps, half of which are of a batch of 128."""
    settings = {"arch": arch, "data": str(folder), "val_size": 0, "batch_size": 128}
    return Task.build(RunConfig.resolve(settings | {"epochs": steps // 2}))


def run_on(threads, task, compile_step):
    """What all steps of a run measured, and its last state."""
    learner = make_learner(task, compile_step=compile_step)
    epochs = range(1, task.config.epochs + 1)
    with fn.threads.use_threads(threads), learner.limits():
        measured = [learner.step(batch) for epoch in epochs for batch in task.batches(epoch)]
    assert not compile_step or learner._step.why is None
    return measured, learner._state


@contextlib.contextmanager
def division():
    """Products are divided from the first of their kind on; the number of threads of each."""
    counts = []
    divide = products.with_blas_threads

    def counting(count, work, *args):
        counts.append(count)
        return divide(count, work, *args)

    with pytest.MonkeyPatch.context() as patch:
        always = SimpleNamespace(divides_next=lambda: True, note=lambda *_: None)
        patch.setattr(products, "Pace", lambda: always)
        patch.setattr(products, "_products", {})
        patch.setattr(products, "with_blas_threads", counting)
        yield counts


def assert_same_on_threads(task, neighbours=0):
    """A run has the same bits plain and recorded, on any number of threads.

    neighbours: how many busy processes there are beside it. Returns on how many threads its
    products were divided.
    """
    expected = run_on(1, task, compile_step=False)
    with division() as counts, busy(neighbours):
        for threads, compile_step in itertools.product(THREADS, (False, True)):
            given = run_on(threads, task, compile_step)
            assert same_bits(expected, given), (threads, compile_step)
    return {*counts}


BUSY = """
import time
end = time.monotonic() + 300  # if nobody ends it
while time.monotonic() < end:
    pass
"""


@contextlib.contextmanager
def busy(count):
    """Inside the `with` block so many processes do all that a core can."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
