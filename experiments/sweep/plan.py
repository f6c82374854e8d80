"""What a sweep is made of: every combination of a grid's values, and each as a run for every seed.

All of it is found and checked here, before anything is trained.
"""

import hashlib
import itertools
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from funcnn.experiments.data.emnist47 import EMNIST47, find_emnist, missing_emnist
from funcnn.experiments.data.provenance import Expected
from funcnn.experiments.errors import InputError
from funcnn.experiments.extras import require
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.build import load_data
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.references import read_own
from funcnn.experiments.tasks.rehearsal import rehearsed
from funcnn.experiments.tasks.settings import as_option, dashed, is_reference
from funcnn.experiments.tasks.sizes import fitted
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.learner import expect_init_used
from funcnn.experiments.training.pool import Job

TRIAL = "trial"
"""The key of a lab's main trials in a grid, where it has several."""
_LAB = "lab:"
_LONGEST = 120  # characters of a folder's name; file systems take 255 bytes

Grid = Mapping[str, tuple[Any, ...]]
"""For each key, a setting of a run, the values that are tried."""


class Target(NamedTuple):
    """What is swept: an architecture, or the main trials of a lab."""

    name: str
    trials: Mapping[str, Mapping[str, Any]]
    """The settings of each; an architecture is one, without a name."""
    own: OwnModel | None = None
    """The network, if it is a user's own."""


class Point(NamedTuple):
    """One combination of a grid's values."""

    values: dict[str, Any]
    settings: dict[str, Any]
    """With those that are not in the grid; the others have the architecture's defaults."""

    @property
    def label(self) -> str:
        """Its values in words."""
        return in_words(self.values)


class SweptRun(NamedTuple):
    """A point trained with one seed."""

    name: str
    """Unique among them, and its folder in that of the runs."""
    point: Point
    seed: int
    config: RunConfig


class Plan(NamedTuple):
    """A sweep: `make` one."""

    target: str
    grid: dict[str, tuple[Any, ...]]
    fixed: dict[str, Any]
    """The settings that the user gave, but for the seed."""
    seeds: range
    points: list[Point]
    runs: list[SweptRun]

    @classmethod
    def make(cls, target: str, grid: Grid, fixed: Mapping[str, Any], seeds: int) -> "Plan":
        """The sweep of a target (see `find_target`) over a grid, for so many seeds.

        fixed: settings of all points; seeds are counted from their seed on, by default from 0.
        Raises `InputError` for an unknown target, a setting in both grid and `fixed`, or values
        that do not go together.
        """
        _, trials, own = find_target(target)
        first = fixed.get("seed", 0)
        fixed = {name: value for name, value in fixed.items() if name != "seed"}
        for name in grid:
            if name in fixed:
                option = dashed(name) if name in SETTINGS else f"set {name}"
                raise InputError(f"--grid {name}: --{option} fixes it already, leave out one")
        grid = _with_trials(target, trials, grid)
        points = []
        for values in (dict(zip(grid, each, strict=True)) for each in _product(grid)):
            of_trial = trials[values[TRIAL]] if TRIAL in values else next(iter(trials.values()))
            chosen = {name: value for name, value in values.items() if name != TRIAL}
            settings = {**_with_emnist(target, of_trial, {**fixed, **chosen}), **fixed, **chosen}
            points.append(Point(values, settings))
        runs = [_run(point, first + index, own) for point in points for index in range(seeds)]
        expect_init_used({**fixed, **grid}, [run.config for run in runs])
        return cls(target, dict(grid), fixed, range(first, first + seeds), points, runs)


def find_target(name: str) -> Target:
    """The architecture of this name, else the lab; `lab:NAME` is the lab. Raises `InputError`.

    `FILE.py:NAME` and `package.module:NAME` are a user's own network, which is read.
    """
    from funcnn.experiments.labs.registry import LABS  # a tenth of a second

    lab = LABS.get(name.removeprefix(_LAB))
    if name in ARCHITECTURES:
        return Target(name, {"": {"arch": name}})
    if is_reference(name) and not name.startswith(_LAB):
        return Target(name, {"": {"arch": name}}, read_own(name))
    if lab is None:
        known = ", ".join((*ARCHITECTURES, *(_prefixed(lab) for lab in LABS)))
        raise InputError(
            f"{name!r} is neither an architecture nor an experiment, nor FILE.py:NAME "
            f"(known: {known})"
        )
    return Target(name, {trial.name: trial.settings for trial in lab.trials if trial.main})


def made_ready(jobs: Sequence[Job], of: str) -> list[Job]:
    """The jobs with the sizes that their data need, and with what was read as these data.

    of: what is trained with them, for messages. Raises `InputError` for the first that cannot be
    trained here: for want of its data or of PyTorch, or since the network does not fit the data or
    the memory; or if the data are not those expected, which are the same for all of a name.
    """
    known = {job.config.data: job.expected for job in jobs if job.expected is not None}
    loaded: dict[tuple[Any, ...], Any] = {}
    ready = []
    for job in jobs:
        config = job.config
        if config.backend == "torch":
            require("torch")
        usual = "val_size" in job.usual
        key = (config.data, config.val_size, usual, config.split, config.seed)
        if key not in loaded:  # one at a time in memory
            loaded = {key: load_data(config, known.get(config.data), usual=job.usual)}
        data = loaded[key]
        config = fitted(config, data, job.usual)
        rehearsed(Task.of(config, data)).first_params()
        if data.record is not None:
            known.setdefault(config.data, Expected(data.record, of))
        ready.append(job._replace(config=config, usual=(), expected=known.get(config.data)))
    return ready


def train_command(settings: Mapping[str, Any], seed: int) -> str:
    """The `funcnn train` that these settings stand for, quoted for a shell."""
    words = ["funcnn", "train"]
    for name, value in {**settings, "seed": seed}.items():
        if name == "arch" and is_reference(value):
            words += ["--model", value]
        elif name not in SETTINGS:  # of the user's own network
            words += ["--set", f"{name}={as_option(value)}"]
        elif value is True:
            words.append(f"--{dashed(name)}")
        elif value is not None and value is not False:
            words += [f"--{dashed(name)}", as_option(value)]
    return shlex.join(words)


def in_words(values: Mapping[str, Any]) -> str:
    """Values of a grid as a user gives them: `lr=0.1 hidden=8x8`."""
    return " ".join(f"{dashed(name)}={as_option(value)}" for name, value in values.items())


def _with_trials(target: str, trials: Mapping[str, Any], grid: Grid) -> Grid:
    """The grid, with a lab's trials before all else if it has several."""
    chosen = grid.get(TRIAL, tuple(trials))
    unknown = [name for name in chosen if not name or name not in trials]
    if TRIAL in grid and unknown:
        known = ", ".join(filter(None, trials)) or "none, it is an architecture"
        raise InputError(f"--grid trial={unknown[0]}: no main trial of {target} (known: {known})")
    several = TRIAL in grid or len(trials) > 1
    others = {name: values for name, values in grid.items() if name != TRIAL}
    return {TRIAL: chosen, **others} if several else others


def _product(grid: Grid) -> list[tuple[Any, ...]]:
    return list(itertools.product(*grid.values()))


def _with_emnist(
    target: str, of_trial: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """A trial's settings with EMNIST where it is, unless other data is given."""
    if of_trial.get("data") != EMNIST47 or "data" in options:
        return dict(of_trial)
    emnist = find_emnist()
    if emnist is None:
        raise missing_emnist(target)
    return {**of_trial, "data": emnist}


def _run(point: Point, seed: int, own: OwnModel | None) -> SweptRun:
    try:
        config = RunConfig.resolve({**point.settings, "seed": seed}, own)
    except InputError as error:
        raise InputError(f"{error} ({point.label})") from None
    return SweptRun(_name(point.values, seed), point, seed, config)


def _name(values: Mapping[str, Any], seed: int) -> str:
    """A name for a folder: the values as they are, if every file system can have them."""
    parts = {**{dashed(name): as_option(value) for name, value in values.items()}, "seed": seed}
    name = "_".join(f"{key}={value}" for key, value in parts.items())
    # Other characters, and capitals where names do not differ by case, are told apart by a digest.
    if len(name) <= _LONGEST and re.fullmatch(r"[a-z0-9.=_+-]+", name):
        return name
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9.=_+-]', '-', name)[:_LONGEST]}_{digest}"


def _prefixed(lab: str) -> str:
    return f"{_LAB}{lab}" if lab in ARCHITECTURES else lab
