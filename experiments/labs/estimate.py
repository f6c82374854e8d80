"""How long an experiment will take, from steps of each of its networks, measured beforehand."""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import funcnn as fn
from funcnn.experiments.tasks.build import load_data
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Batch, Task
from funcnn.experiments.training.learner import Learner, make_learner
from funcnn.experiments.training.pool import Job

_LEAST = 0.05
"""Seconds for which a network takes steps: of those of the labs at least one, at most hundreds."""
_SOME = 1000
"""Examples of which the time of all is told, and on which a run without validation measures."""


def seconds_of(jobs: Sequence[Job], after: Sequence[RunConfig], at_once: int) -> float:
    """About how long the runs will take, so many at once, each with one thread.

    after: settings of runs that are made after them, of which nothing is recorded.
    Networks that differ in what hardly changes their time (rates, activations, seeds) are measured
    once: a moment each, and loading each set of data. Raises `InputError` as a run would.
    """
    expected = {job.config.data: job.expected for job in jobs}
    configs = [job.config for job in jobs]
    first = {_kind(config): config for config in reversed([*configs, *after])}
    data, seconds = {}, {}
    for kind, config in first.items():
        source = (config.data, config.val_size, config.split)
        if source not in data:
            data[source] = load_data(config, expected.get(config.data))
        seconds[kind] = _seconds(Task.of(config, data[source]))
    total = sum(sum(seconds[_kind(config)]) for config in configs)
    return (total + sum(seconds[_kind(config)][0] for config in after)) / at_once


def _kind(config: RunConfig) -> tuple[object, ...]:
    """What the time of a run depends on."""
    sizes = (config.hidden, config.channels, config.kernel_size, config.batch_size, config.epochs)
    return (config.backend, config.arch, config.data, config.val_size, config.split, *sizes)


def _seconds(task: Task) -> tuple[float, float]:
    """Of one run: its steps; what is measured after each recorded epoch, and the snapshots."""
    with fn.threads.use_threads(1):
        learner = make_learner(task)
        with learner.limits():
            batches = _batches(learner)
            learner.step(next(batches))  # the first one is slower
            steps = task.total_steps * _mean_time(lambda: learner.step(next(batches)))
            recorded = sum(map(task.records, range(1, task.config.epochs + 1)))
            return steps, recorded * (_time_to_measure(task, learner) + _time_to_save(learner))


def _batches(learner: Learner) -> Iterator[Batch]:
    for epoch in itertools.count(1):
        yield from learner.batches(epoch)


def _mean_time(work: Callable[[], object]) -> float:
    since, done = time.perf_counter(), 0
    while not done or time.perf_counter() - since < _LEAST:
        work()
        done += 1
    return (time.perf_counter() - since) / done


def _time_to_measure(task: Task, learner: Learner) -> float:
    """As `TrainingRun` measures after an epoch, by a part of the examples."""
    data = task.data
    counts = [len(data.validation[0]) if data.validation else _SOME]
    if task.config.test_curve:
        counts.append(len(data.test[0]))
    some = data.train[0][:_SOME]
    each = _mean_time(lambda: learner.predict(learner.params, some)) / len(some)
    return each * sum(counts)


def _time_to_save(learner: Learner) -> float:
    """Of the state, and of params that are the best so far, which are about as large."""
    with tempfile.TemporaryDirectory() as folder:
        return 2 * _mean_time(lambda: learner.save(Path(folder) / "state.npz", None))
