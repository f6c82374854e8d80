"""Whether `network.py` and `layer.py` run on NumPy alone, and what they predict there."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from funcnn.experiments.errors import InputError

from funcnn.types import Array

# Isolated, and without the packages that are installed here but NumPy's own folder.
_SCRIPT = """
import importlib, json, sys
numpy, module = sys.argv[1:]
sys.path[:0] = [".", numpy]
import numpy as np
network = importlib.import_module(module)
params = network.load("params.npz")
outputs = network.predict(params, np.load("inputs.npy"))
np.save("classes.npy", network.predicted(outputs))
ours = {module, *(name for name in sys.modules if name.startswith("layer")), "numpy"}
others = {name.partition(".")[0] for name in sys.modules} - ours - sys.stdlib_module_names
print(json.dumps(sorted(others - {"__main__", "__mp_main__"})))
"""


def predict_alone(
    files: Mapping[str, bytes], network: str, snapshot: bytes, inputs: Array
) -> Array:
    """The classes, (N,), that a file of these predicts for stored inputs, (N, ...).

    files: the modules. network: which of them is the network, `network.py`.
    Raises `InputError` if it does not run, or imports anything but NumPy and the standard library.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        (folder / "params.npz").write_bytes(snapshot)
        np.save(folder / "inputs.npy", inputs)
        packages = str(Path(np.__file__).parent.parent)
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SCRIPT, packages, network.removesuffix(".py")],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise InputError(f"{network}: {(done.stderr.strip().splitlines() or ['it ended'])[-1]}")
        others = json.loads(done.stdout)
        if others:
            raise InputError(f"{network} imports {', '.join(others)}")
        classes: Array = np.load(folder / "classes.npy")
        return classes
