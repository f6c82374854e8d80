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
"""


def predict_alone(
    files: Mapping[str, bytes], network: str, snapshot: bytes, inputs: Array
) -> Array:
    """The classes, (N,), that a file of these predicts for stored inputs, (N, ...).

    files: the modules. network: which of them is the network, `network.py`.
    Raises `InputError` if it does not run without anything but NumPy and the standard library.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        (folder / "params.npz").write_bytes(snapshot)
        np.save(folder / "inputs.npy", inputs)
        packages = str(Path(np.__file__).parent.parent)
        modules = [file.removesuffix(".py") for file in files]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SCRIPT, packages, network[:-3], *modules],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise InputError((done.stderr.strip().splitlines() or ["it ended"])[-1])
        classes: Array = np.load(folder / "classes.npy")
        return classes
