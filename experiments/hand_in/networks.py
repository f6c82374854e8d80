"""The trained networks that are handed in: of a finished experiment, or of snapshots."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import funcnn as fn
from funcnn.experiments.data.datasets import POINT_SETS, Normalization
from funcnn.experiments.data.emnist47 import find_emnist, missing_emnist
from funcnn.experiments.errors import InputError
from funcnn.experiments.labs.lab import SEEDS, Lab, Results, Trial
from funcnn.experiments.pytorch.state_dicts import in_mlp, to_state_dict
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import BACKENDS, RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.learner import make_learner
from funcnn.experiments.training.model import TrainedModel, read_model
from funcnn.types import Array


class HandedNetwork:
    """A network that is handed in, as it was trained with each backend."""

    def __init__(
        self,
        task: Task,
        by_backend: Mapping[str, TrainedModel],
        snapshot: bytes,
    ) -> None:
        """task: of NumPy. by_backend: as trained with each; for a draft PyTorch's may be missing.

        snapshot: the file of NumPy's params.
        """
        self.task, self.snapshot = task, snapshot
        self._by_backend = by_backend
        self.trained = by_backend["numpy"]
        self.one_training = by_backend["numpy"] is by_backend.get("torch")
        """Whether both backends have the params of one training."""

    @cached_property
    def classes(self) -> Array:
        """The classes, (N,), that NumPy predicts for the test images."""
        return fn.predicted_classes(self._predict("numpy", self.task.data.test[0]))

    def accuracy(self, backend: str, part: str) -> float | None:
        """On the validation or the test set; None if it has no labels, or is not there."""
        data = self.task.data
        x, y = data.test if part == "test" else data.validation or (None, None)
        if x is None or y is None:
            return None
        if (backend, part) == ("numpy", "test"):
            return float((self.classes == y.ravel()).mean())
        return fn.accuracy(self._predict(backend, x), y)

    def tensors(self, backend: str) -> dict[str, Array]:
        """The params of a backend as torch's state_dict."""
        return to_state_dict(self.trained.model, self._by_backend[backend].params)

    def mlp(self) -> dict[str, Array]:
        """PyTorch's params of an MLP as a `self.mlp` has them that takes pixels from 0 to 1."""
        return in_mlp(self.tensors("torch"), self.trained.normalization)

    def has(self, backend: str) -> bool:
        """Whether it was trained with this backend."""
        return backend in self._by_backend

    def _predict(self, backend: str, images: Array) -> Array:
        config = dataclasses.replace(self.task.config, backend=backend)
        learner = make_learner(self.task._replace(config=config))
        return learner.predict(self._by_backend[backend].params, images)


def of_experiment(results: Results, trials: Sequence[Trial]) -> dict[str, HandedNetwork]:
    """The runs that the report shows, those of seed 0: one truth in one archive.

    Of an unfinished one, PyTorch's as far as they have params. Raises `InputError` without NumPy's.
    """
    return {trial.name: _of_trial(results, trial) for trial in trials}


def _of_trial(results: Results, trial: Trial) -> HandedNetwork:
    folders = {backend: results.folder(trial, backend, 0) for backend in trial.backends}
    begun = [name for name, each in folders.items() if name == "numpy" or each.params.exists()]
    trained = {backend: results.model(trial, backend) for backend in begun}
    return HandedNetwork(results.task(trial), trained, folders["numpy"].params.read_bytes())


def of_snapshots(
    lab: Lab, trials: Sequence[Trial], files: Sequence[Path]
) -> dict[str, HandedNetwork]:
    """Networks from snapshots alone, one for each trial in turn; both backends have its params.

    What a snapshot does not say, as how it was trained, is the trial's. Raises `InputError` for
    another number of files, or one that is not of the lab's data; `SnapshotError`, `OSError`.
    """
    names = ", ".join(trial.name for trial in trials)
    if len(files) != len(trials):
        raise InputError(
            f"--snapshot is given {len(files)} times: {lab.name} hands in {names}, in this order"
        )
    networks = {}
    for trial, file in zip(trials, files, strict=True):
        trained = read_model(file)
        task = _task_learned(lab, trial, trained, file)
        both = dict.fromkeys(BACKENDS, trained)
        networks[trial.name] = HandedNetwork(task, both, file.read_bytes())
    seeds = {network.task.config.seed for network in networks.values()}
    if len(seeds) > 1:
        seeds_of_files = ", ".join(
            f"{file} of seed {network.task.config.seed}"
            for file, network in zip(files, networks.values(), strict=True)
        )
        raise InputError(f"--snapshot: all must be of runs of the same seed, not {seeds_of_files}")
    return networks


def task_of(lab: Lab, trial: Trial, seed: int = 0) -> Task:
    """What a trial learns with NumPy. Raises `InputError` if its data are nowhere."""
    emnist = find_emnist() if trial.on_emnist else None
    if trial.on_emnist and emnist is None:
        raise missing_emnist(lab.name)
    return Task.build(trial.config(emnist, {"seed": seed}))


def _task_learned(lab: Lab, trial: Trial, trained: TrainedModel, file: Path) -> Task:
    """What a snapshot learned: of the seeds, the one whose training images it is normalised by.

    Raises `InputError` if there is none, for what was trained on cannot then be told from the rest,
    or if its network is not like the trial's.
    """
    for seed in range(SEEDS):
        task = task_of(lab, trial, seed)
        trained.as_inputs(task.data.test[0], str(file))
        if task.data.class_names == trained.class_names and _alike(
            task.data.normalization, trained.normalization
        ):
            return _of_its_sizes(task, trained, file)
    raise InputError(
        f"{file} has another normalization or other class names than {lab.name}'s training set has "
        f"with the seeds 0 to {SEEDS - 1}"
    )


def _of_its_sizes(task: Task, trained: TrainedModel, file: Path) -> Task:
    """The task of a trial for a network of other sizes. Raises `InputError` if more is other."""
    layers = (trained.model.spec or {}).get("layers", [])
    of = {kind: [each for each in layers if each["layer"] == kind] for kind in ("Conv", "Dense")}
    sizes: dict[str, Any] = {"hidden": [layer["out_features"] for layer in of["Dense"][:-1]]}
    if task.config.channels and of["Conv"]:
        sizes["channels"] = [layer["out_channels"] for layer in of["Conv"]]
        sizes["kernel_size"] = of["Conv"][0]["kernel_size"]
    if task.data.name in POINT_SETS:
        sizes = {}  # the report and the notebook are about 2-4-4-1
    config = RunConfig.resolve({**task.config.as_data(), **sizes})
    model = build_network(config, trained.input_shape, len(trained.class_names))
    if _structure(model.spec) != _structure(trained.model.spec):
        names = "-".join(layer["layer"] for layer in layers) or "no serial network"
        raise InputError(
            f"{file} has {names}: not the layers of the lab's {task.config.arch}, or not of a size "
            "that it can have"
        )
    data = task.data
    if data.name in POINT_SETS:  # which the snapshot does not know: others, if they are drawn
        data = data._replace(test_is="the points of seed 0")
    return task._replace(config=config, model=model, data=data)


def _alike(a: Normalization, b: Normalization) -> bool:
    """Whether they are of the same images: the last bits of the sums depend on the processor."""
    pairs = zip(dataclasses.astuple(a), dataclasses.astuple(b), strict=True)
    return all(math.isclose(x, y, rel_tol=1e-9) for x, y in pairs)


def _structure(spec: Any) -> Any:
    """A spec without its initializers: what a trained network computes does not depend on them."""
    if isinstance(spec, dict):
        return {k: _structure(v) for k, v in spec.items() if not k.endswith("init")}
    return [_structure(each) for each in spec] if isinstance(spec, list) else spec
