"""The same network in NumPy and in torch: what differs, in a folder that says all of it.

comparison.json            the settings, and in the end everything that came out
data.json                  what was read as the data, see `data.record`
comparison.md              the report, with the figures
numpy-seed-0, ...          the free runs, ordinary folders of runs
lockstep-float64.csv, ...  every step of a lockstep
"""

import contextlib
import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import funcnn as fn
from funcnn.experiments.bench.peers import PACKAGES
from funcnn.experiments.compare.lockstep import lockstep
from funcnn.experiments.compare.lockstep_table import DTYPES, steps_file, write_steps
from funcnn.experiments.compare.report import write_report
from funcnn.experiments.data.provenance import Expected, expected_data, write_record
from funcnn.experiments.errors import InputError, RunStoppedError
from funcnn.experiments.extras import require
from funcnn.experiments.paths import RUNS, new_folder
from funcnn.experiments.pytorch.parts import part_of
from funcnn.experiments.system.lock import alone_in, remove_temporaries
from funcnn.experiments.system.machine import describe_machine, in_one_line
from funcnn.experiments.tasks.config import BACKENDS, RunConfig
from funcnn.experiments.tasks.model_records import (
    as_recorded,
    read_own_model,
    write_own_model,
)
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.rehearsal import rehearsed
from funcnn.experiments.tasks.settings import is_reference
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.pool import Job, run_all, tell
from funcnn.experiments.training.record import Record
from funcnn.experiments.training.run_folder import RunFolder

MODES = ("free", "lockstep")
SEEDS, STEPS = 3, 200


class Comparison:
    """A comparison on its way; `start` or `resume` one, then `finish` it."""

    def __init__(self, file: Record, record: dict[str, Any], own: OwnModel | None) -> None:
        self.folder = file.folder
        self._file, self._record = file, record
        self.config = RunConfig.resolve(record["config"], own)

    @classmethod
    def start(
        cls,
        config: RunConfig,
        modes: tuple[str, ...] = MODES,
        seeds: int = SEEDS,
        steps: int | None = None,
        threads: int | None = None,
        out: Path | None = None,
        usual: Collection[str] = (),
        expected: Expected | None = None,
    ) -> "Comparison":
        """A comparison of a config's task (its backend aside), in a new folder.

        seeds: how many free runs of each backend, from the config's seed on. steps: of a lockstep,
        by default `STEPS`, or the whole run if that is shorter. threads: of each; None: all cores.
        usual: as `Task.build`. expected: the data, if they were read before.
        Raises `InputError` if torch is not installed or cannot do its runs, the data cannot be
        used, the run is shorter than `steps`, or the folder cannot be made.
        """
        require("torch")
        # In lockstep torch begins with NumPy's weights anyway.
        init = config.init if "free" in modes else "shared"
        dataclasses.replace(config, backend="torch", init=init)
        task = rehearsed(Task.build(config, expected, usual=usual))
        task.first_params()
        part_of(task.model, task.input_shape, task.torch_modules)
        if task.torch_modules:
            from funcnn.experiments.pytorch.mirror import mirror

            mirror(task.model, task.input_shape, twins=task.torch_modules)
        own = config.own and as_recorded(config.own, task.model)
        if own is not None and "free" in modes:
            own.expect_importable()
        if steps is not None and steps > task.total_steps:
            raise InputError(
                f"--steps {steps}: give at most {task.total_steps}, which the whole run has, or "
                "more --epochs"
            )
        record = {
            "config": task.config.as_data(),
            "modes": list(modes),
            "seeds": [config.seed + index for index in range(seeds)],
            "steps": min(steps or STEPS, task.total_steps),
            "threads": threads or fn.threads.available_cores(),
            "machine": describe_machine(PACKAGES),
            "peak_memory": {},
        }
        name = f"compare-{config.short_arch}-{Path(config.data).resolve().name}"
        try:
            with new_folder(out, name) as folder:
                comparison = cls(_record(folder), record, own)
                write_record(task.data.record, folder)
                if own is not None:
                    write_own_model(folder, own, task.model)
                comparison._file.write(record)
        except OSError as error:
            raise InputError(
                f"--out {out or RUNS}: a comparison cannot be written there ({error.strerror})"
            ) from None
        return comparison

    @classmethod
    def resume(cls, folder: Path, own: OwnModel | None = None) -> "Comparison":
        """A comparison that was stopped; what is finished in it stays as it is.

        own: the network, if it is a user's own and they give it.
        Raises `InputError` if it is none, damaged or finished, or if torch is not installed.
        """
        require("torch")
        record = _record(folder)
        if folder.is_file():
            raise InputError(f"{folder} is a file: give the folder of a comparison")
        if not record.path.exists():
            raise InputError(f"{folder} is no comparison: it has no {record.path.name}")
        with record.read(_SETTINGS) as values:
            _check_settings(values)
            comparison = cls(record, values, _own(folder, values["config"], own))
        if "statements" in values:
            raise InputError(f"{folder} is finished: there is nothing to resume")
        return comparison

    @property
    def report(self) -> Path:
        """Where the report is, in the end."""
        return self.folder / "comparison.md"

    def finish(self, callback: Callback | None = None) -> dict[str, Any]:
        """Do what is not done yet, then write what came out, which is returned.

        Raises `RunStoppedError` if a run diverged, `InputError` if one cannot be done, or another
        process is at work in the folder, or went on with the comparison.
        """
        with alone_in(self.folder):
            self._file.expect_latest()
            return self._finish(callback or Callback())

    def _finish(self, callback: Callback) -> dict[str, Any]:
        runs: Mapping[str, list[RunFolder]] = {}
        with fn.threads.use_threads(self._record["threads"]):
            if "free" in self._record["modes"]:
                runs = self._free_runs(callback)
            if "lockstep" in self._record["modes"]:
                self._locksteps(callback)
            self._record |= write_report(self.folder, self._record, self.config, runs)
        self._file.write(self._record)
        return {"run": str(self.folder), **self._record}

    def _free_runs(self, callback: Callback) -> dict[str, list[RunFolder]]:
        runs: dict[str, list[RunFolder]] = {backend: [] for backend in BACKENDS}
        for seed in self._record["seeds"]:
            for backend in BACKENDS:  # in turn, so that a busy neighbour slows both
                folder = RunFolder(self.folder / f"{backend}-seed-{seed}", self.config.own)
                runs[backend].append(folder)
                if not folder.summary.exists():
                    config = dataclasses.replace(self.config, backend=backend, seed=seed)
                    self._run(folder, config, callback)
                else:
                    remove_temporaries(folder.path)  # it may have been killed as it drew
        return runs

    def _run(self, folder: RunFolder, config: RunConfig, callback: Callback) -> None:
        """A whole run, or what is left of it, in a process of its own."""
        name = folder.path.name
        callback.run_begin(name, None, 0)
        threads = self._record["threads"]
        job = Job(name, config, folder.path, threads, expected=expected_data(self.folder))
        with contextlib.closing(run_all([job], at_once=1)) as answers:
            for _, answer in answers:
                if "error" in answer:
                    raise RunStoppedError(f"{name}: {answer['error']}")
                if "peak_memory" in answer:
                    self._record["peak_memory"][name] = answer["peak_memory"]
                    self._file.write(self._record)
                tell(callback, job, answer)

    def _locksteps(self, callback: Callback) -> None:
        task = Task.build(self.config, expected_data(self.folder))
        for dtype in DTYPES:
            path = steps_file(self.folder, dtype)
            if not path.exists():
                name, total, steps = f"lockstep in {dtype}", self._record["steps"], []
                callback.run_begin(name, total, 0)
                for step in lockstep(task, total, dtype):
                    callback.step_end(name, step.step, total, step.loss_numpy)
                    steps.append(step)
                write_steps(path, steps)
                callback.note(f"{name}: after {total} steps {step.params:.1e} of the params")


def _own(folder: Path, config: Any, own: OwnModel | None) -> OwnModel | None:
    """The network of a comparison, if it is a user's own."""
    if is_reference(str(config.get("arch"))):
        return read_own_model(folder, config["arch"], own)
    if own is not None:
        raise InputError(f"--model {own.name}: {folder} is of --arch {config.get('arch')}")
    return None


def _record(folder: Path) -> Record:
    return Record(folder / "comparison.json", "a comparison")


_SETTINGS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("config", "machine", "peak_memory"), (dict,)),
    **dict.fromkeys(("modes", "seeds"), (list,)),
    **dict.fromkeys(("steps", "threads"), (int,)),
}


def _check_settings(record: Any) -> None:
    """Raise `ValueError` unless its settings, each of its kind, are those of a comparison."""
    if not record["seeds"] or not all(type(seed) is int for seed in record["seeds"]):
        raise ValueError(f"its seeds are {record['seeds']!r}")
    if not all(type(size) in (int, NoneType) for size in record["peak_memory"].values()):
        raise ValueError(f"its peak_memory is {record['peak_memory']!r}")
    if not set(record["modes"]) <= set(MODES):
        raise ValueError(f"its modes are {record['modes']!r}")
    for name in ("steps", "threads"):
        if not 1 <= record[name] < 2**31:
            raise ValueError(f"its {name} are {record[name]!r}")
    in_one_line(record["machine"])
