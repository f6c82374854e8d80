"""`layer.py` and `network.py` of small networks, for the tests of what is handed in."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import Dataset, Normalization
from funcnn.experiments.hand_in.deliverables import HAND_INS, Student, find_trial
from funcnn.experiments.hand_in.files import modules
from funcnn.experiments.hand_in.standalone.writer import layer_file, network_file
from funcnn.experiments.labs.registry import LABS
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Task


def task_of(config, input_shape, normalization, classes) -> Task:
    """A task of this network, on data that have no more than a shape."""
    none = np.zeros((0, *input_shape)), np.zeros(0, int)
    data = Dataset("none", none, None, none, "", classes, normalization)
    model = build_network(config, data.input_shape, len(classes))
    return Task(config, data, model, data.input_shape, 8, 1)


def rendered(folder: Path, settings: dict, params=None) -> tuple[ModuleType, RunConfig, fn.Layer]:
    """network.py as a module, of this network, whose snapshot lies beside it."""
    config = RunConfig.resolve({"batch_size": 8, **settings})
    binary = config.arch == "points"
    classes = ("0", "1") if binary else (*"abcdefghi", '"j"\\')
    input_shape = (2,) if binary else (1, 28, 28)
    normalization = Normalization(1.0, 0.0, 1.0) if binary else Normalization(255.0, 0.3, 0.4)
    model = build_network(config, (1, 28, 28), len(classes))
    if params is None:
        _, params = model.init(fn.random.key(4), input_shape)
    network, functions = network_file(task_of(config, input_shape, normalization, classes))
    folder.mkdir(exist_ok=True)
    (folder / "network.py").write_text(network)
    (folder / "layer.py").write_text(layer_file(functions))
    fn.save(folder / "params.npz", params, model=model, input_shape=input_shape)
    spec = importlib.util.spec_from_file_location("network", folder / "network.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("layer", None)
    assert classes == module.CLASSES
    return module, config, model


def examples(settings: dict) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    if settings["arch"] == "points":
        return rng.normal(size=(20, 2)), rng.integers(0, 2, (20, 1))
    return rng.integers(0, 256, (20, 1, 28, 28), np.uint8), rng.integers(0, 10, 20)


def of_lab(lab: str, student_id: str, normalization: Normalization) -> dict[str, bytes]:
    """`layer.py` and each `network.py` that are handed in for a lab, by their names."""
    hand_in = HAND_INS[lab]
    tasks = {}
    for name in hand_in.trials:
        config = RunConfig.resolve(dict(find_trial(LABS[lab], name).settings))
        count = 47 if lab == "emnist47" else 2 if lab == "points" else 10
        shape = (2,) if lab == "points" else (1, 28, 28)
        tasks[name] = task_of(config, shape, normalization, tuple(map(str, range(count))))
    student = Student(student_id, "王小明")
    return modules(hand_in, tasks, student.fill, student.facts())
