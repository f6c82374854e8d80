"""The sheet's own loop of `fashion` and `emnist47`: import model, forward, backward, update."""

import importlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from funcnn.experiments.grade.drivers.begin import last_error, tell

with open("task.json", encoding="utf-8") as task:
    classes, learning_rate, steps, rows, patience, names = json.load(task)

rng = np.random.RandomState(1)
kinds = rng.randint(0, 256, (classes, 784)) * (rng.uniform(size=(classes, 784)) < 0.2)


def batch() -> tuple[Any, Any]:
    """Rows of 784 whole numbers as pictures have them, (B, 784), and one-hot float32 targets."""
    labels = rng.randint(0, classes, rows)
    noise = rng.randint(0, 64, (rows, 784))
    return np.clip(kinds[labels] + noise, 0, 255), np.eye(classes, dtype=np.float32)[labels]


def load() -> tuple[Any, str]:
    """The network, by the first of these modules that has one, and what was imported."""
    first = ""
    for name in names:
        try:
            return importlib.import_module(name).Network(), name
        except BaseException:
            first = first or f"{name}: {last_error()}"
            sys.path.insert(0, os.path.abspath("beside"))
    return tell(error=first)


np.random.seed(0)  # noqa: NPY002
net, module = load()
losses, shape, about = [], None, ""
begun = time.monotonic()
try:
    for _ in range(steps):
        x, target = batch()
        pred, loss = net.forward(x, target)
        net.backward()
        net.update(learning_rate)
        losses.append(float(np.mean(loss)))
        if time.monotonic() - begun > patience:
            break
    x, target = batch()
    pred, loss = net.forward(x, target)
    pred = np.asarray(pred)
    right = float((pred.argmax(axis=1) == target.argmax(axis=1)).mean())
    sums = pred.sum(axis=1)
except BaseException:
    tell(error=last_error(), module=module, steps=len(losses))
tell(
    module=module,
    losses=[value if np.isfinite(value) else None for value in losses],
    shape=list(pred.shape),
    right=right,
    probabilities=bool(np.isfinite(sums).all() and np.allclose(sums, 1, atol=1e-3)),
)
