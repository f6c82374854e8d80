"""Runs as `funcnn train` makes them, with steps as they are written beside recorded ones."""

import itertools

from image_files import image_folder

from funcnn.compiled.proof import same_bits
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.optimizers import OPTIMIZERS, SCHEDULES
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.learner import make_learner

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
    return RunConfig.resolve(names | few | {"epochs": STEPS // 4} | settings)


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
