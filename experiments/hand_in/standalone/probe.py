"""Whether `network.py` and `layer.py` run on NumPy alone, and what they predict there."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from funcnn.experiments.errors import InputError
from funcnn.types import Array

# Isolated, and as if nothing were installed but NumPy.
_SCRIPT = """
import importlib, sys
packages, module, *modules = sys.argv[1:]
allowed = {"numpy", *modules, *sys.stdlib_module_names}
class Alone:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Alone)
sys.path[:0] = [".", packages]
import numpy as np
network = importlib.import_module(module)
outputs = network.predict(network.load("params.npz"), np.load("inputs.npy"))
np.save("classes.npy", network.predicted(outputs))
x = np.load("inputs.npy")[:100]
labels = np.resize(np.load("labels.npy"), (len(x), *np.load("labels.npy").shape[1:]))
pred, _ = network.Network(network.load("params.npz")).forward(x.reshape(len(x), -1), labels)
if not np.array_equal(network.predicted(pred), network.predicted(outputs[:100])):
    sys.exit("its class Network predicts other classes than its function")

# Along a random direction, in float64: the slope by backward, and by a difference.
rng = np.random.default_rng(0)
start = [{k: w.astype(np.float64) for k, w in own.items()} for own in network.first_params(rng)]
way = [{k: rng.standard_normal(w.shape) for k, w in own.items()} for own in start]
x = network.normalized(np.load("inputs.npy")[:8]).astype(np.float64)
labels = np.load("labels.npy")[:8]
def loss(step):
    moved = [{k: w + step * d[k] for k, w in own.items()} for own, d in zip(start, way)]
    return network.loss(network.network(moved, x)[0], labels)[0]
outputs, backward = network.network(start, x)
grads = backward(network.loss(outputs, labels)[1])
slope = sum((g[k] * d[k]).sum() for g, d in zip(grads, way) for k in d)
measured = (loss(1e-8) - loss(-1e-8)) / 2e-8
if not abs(slope - measured) <= 1e-4 * abs(measured) + 1e-6:
    sys.exit(f"backward gives a slope of {slope:.6g}, a difference {measured:.6g}")
"""
_PATIENCE = 600  # seconds


def predict_alone(
    files: Mapping[str, bytes], network: str, snapshot: bytes, inputs: Array, labels: Array
) -> Array:
    """The classes, (N,), that a file of these predicts for stored inputs, (N, ...).

    files: the modules. network: which of them is the network, `network.py`. labels: for its loss,
    whose derivative by its `backward` is held against a difference.
    Raises `InputError` if it does not run on NumPy and the standard library
    alone, or its derivative is wrong.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        (folder / "params.npz").write_bytes(snapshot)
        np.save(folder / "inputs.npy", inputs)
        np.save(folder / "labels.npy", labels)
        packages = str(Path(np.__file__).parent.parent)
        modules = [file.removesuffix(".py") for file in files]
        command = [sys.executable, "-I", "-S", "-c", _SCRIPT, packages, network[:-3], *modules]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=_PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"it did not end within {_PATIENCE} s") from None
        if done.returncode:
            raise InputError((done.stderr.strip().splitlines() or ["it ended"])[-1])
        classes: Array = np.load(folder / "classes.npy")
        return classes
