"""The runs that the report of `points` shows: those that its `main.py` makes, made beforehand.

In double precision, so that both agree to all the digits that are shown, on any processor; and from
what NumPy's global generator draws after `np.random.seed`: first the points, then the weights.
"""

import contextlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.data.points import generate_linear, generate_XOR_easy
from funcnn.experiments.errors import RunStoppedError
from funcnn.experiments.labs import points_settings
from funcnn.experiments.labs.lab import QUICK_SEEDS, SEEDS, Results, Trial
from funcnn.experiments.tasks.build import build_loss, build_network, build_optimizer
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.pool import run_all
from funcnn.types import Array, Layer, Tree

_SETS = {"points-linear": generate_linear, "points-xor": generate_XOR_easy}
_SAME = 0.01  # outputs nearer than this are said to be the same
_LAST = 5  # epochs whose losses are shown one by one


class PointsRun(NamedTuple):
    """A run of a setting from a seed; what only the runs that are shown whole have may be empty."""

    accuracy: float
    loss: float
    """Of the last epoch, as that of every epoch before its step."""
    rows: Sequence[tuple[int, float, float]] = ()
    """Recorded epochs, with their loss and accuracy."""
    last: Sequence[tuple[int, float]] = ()
    """The last epochs, and their losses."""
    outputs: Sequence[float] = ()
    """The prediction for every point, in the end."""
    history: Sequence[tuple[int, Sequence[float]]] = ()
    """Recorded epochs, and all params after them in a row."""
    earlier: float | None = None
    """The loss after nine tenths of the epochs."""
    only_class: int | None = None
    """The class that every point is put into in the end; None: both are found."""
    hidden: int = 0
    """How many hidden units there are,"""
    silent: int = 0
    """how many of them are 0 for every point in the end,"""
    constant: int = 0
    """and how many are the same for every point, or nearly."""


def seeds(results: Results) -> range:
    """Those of `main.py`, or of a quick version the first; `--seeds` is about the trials."""
    return range(QUICK_SEEDS if results.quick else SEEDS)


def settings(results: Results) -> list[RunConfig]:
    """Those of the runs that `measure` makes."""
    return [results.config(trial) for trial in points_settings.ALL.values() for _ in seeds(results)]


class AskedRun(NamedTuple):
    """A run as `points_worker` is asked for it."""

    name: str
    config: RunConfig
    seed: int
    whole: bool
    """Whether it is shown whole."""

    @property
    def request(self) -> dict[str, Any]:
        """It, as JSON can hold it."""
        return {"config": self.config.as_data(), "seed": self.seed, "whole": self.whole}


def measure(results: Results, callback: Callback, at_once: int) -> dict[str, list[Any]]:
    """A `PointsRun` for each of `main.py`'s seeds, by the names of trials."""
    asked = [
        AskedRun(name, results.config(trial), seed, trial.main and seed == 0)
        for name, trial in points_settings.ALL.items()
        for seed in seeds(results)
    ]
    measured: dict[str, list[Any]] = {
        name: [None] * len(seeds(results)) for name in points_settings.ALL
    }
    with contextlib.closing(run_all(asked, at_once, "labs.points_worker")) as answers:
        for run, answer in answers:
            if "error" in answer:
                raise RunStoppedError(f"main.py, {run.name}: {answer['error']}")
            runs = measured[run.name]
            runs[run.seed] = answer["result"]
            if None not in runs:
                lines = (accuracy_line(PointsRun(*values)) for values in runs)
                callback.note(f"main.py, {run.name}: {', '.join(lines)}")
    return measured


def runs_of(results: Results, trial: Trial) -> list[PointsRun]:
    """What was measured of a trial, a run for each seed."""
    return [PointsRun(*values) for values in results.measured[trial.name]]


def params_over_training(run: PointsRun, config: RunConfig) -> list[tuple[int, Tree]]:
    """Recorded epochs, and the params after them."""
    _, restore = fn.tree.ravel(begin(config, 0)[2])
    return [(epoch, restore(np.array(flat))) for epoch, flat in run.history]


def begin(config: RunConfig, seed: int) -> tuple[tuple[Array, Array], Layer, Tree]:
    """Points and labels, the network, and its first params: weights N(0, 1), biases 0."""
    model = build_network(config, (2,), 2)
    before = np.random.get_state()  # noqa: NPY002, the lab's own generator
    np.random.seed(seed)  # noqa: NPY002
    points, labels = _SETS[config.data]()
    _, shapes = model.init(fn.random.key(0), points.shape[1:])
    params = fn.tree.map(_first, shapes)  # layer by layer
    np.random.set_state(before)  # noqa: NPY002
    return (points, labels), model, params


def _first(leaf: Array) -> Array:
    """A weight, or a bias, which alone has one axis."""
    return np.zeros(leaf.shape) if leaf.ndim == 1 else np.random.normal(0, 1, leaf.shape)  # noqa: NPY002


def train(config: RunConfig, seed: int, whole: bool) -> PointsRun:
    """The run of a setting from a seed. whole: with all that is shown of it."""
    examples, model, params = begin(config, seed)
    optimizer = build_optimizer(config, config.epochs)
    state = fn.TrainState.create(params, optimizer)
    metrics = {"accuracy": fn.accuracy}
    step = fn.make_train_step(model.apply, build_loss(config), optimizer, metrics)
    rows, losses, history = [], [], []
    every = max(1, config.epochs // 100)
    with fn.threads.single_threaded_blas():
        for epoch in range(1, config.epochs + 1):
            state, measured = step(state, examples)
            losses.append(measured["loss"])
            if seed == 0 and (epoch % every == 0 or epoch in (1, config.epochs)):
                rows.append((epoch, measured["loss"], measured["accuracy"]))
                history.append((epoch, fn.tree.ravel(state.params)[0].tolist()))
        outputs, _ = model.apply(state.params, examples[0])
        units = _hidden(model, state.params, examples[0])
    classes = set(fn.predicted_classes(outputs).ravel().tolist())
    run = PointsRun(
        float(fn.accuracy(outputs, examples[1])),
        losses[-1],
        rows,
        earlier=losses[len(losses) * 9 // 10],
        only_class=classes.pop() if len(classes) == 1 else None,
        hidden=units.shape[1],
        silent=int((~units.any(0)).sum()),
        constant=int((np.ptp(units, 0) < _SAME).sum()),
    )
    if not whole:
        return run
    last = list(enumerate(losses, 1))[-_LAST:]
    return run._replace(last=last, outputs=outputs.ravel().tolist(), history=history)


def _hidden(model: Layer, params: Tree, points: Array) -> Array:
    """What every hidden unit gives for each point, (N, units)."""
    outputs = fn.inner_outputs(model, params, points)
    rows = fn.summary(model, points.shape[1:]).rows[:-1]
    after_activations = [
        outputs[row.path].reshape(len(points), -1)
        for weights, row in itertools.pairwise(rows)
        if weights.parameters and not row.parameters
    ]
    return np.concatenate([np.empty((len(points), 0)), *after_activations], 1)


# --- as main.py prints them ---


def epoch_line(epoch: int, loss: float) -> str:
    """The loss of an epoch, to the decimals that every processor agrees about."""
    return f"epoch {epoch} loss : {loss:.12f}"


def epoch_lines(run: PointsRun, epochs: int) -> str:
    """A line for each tenth of the epochs."""
    every = max(1, epochs // 10)
    return "\n".join(epoch_line(epoch, loss) for epoch, loss, _ in run.rows if epoch % every == 0)


def last_lines(run: PointsRun) -> str:
    """A line for each of the last epochs."""
    return "\n".join(epoch_line(epoch, loss) for epoch, loss in run.last)


def column(outputs: Iterable[float]) -> str:
    """Predictions as NumPy's `(n, 1)` array, in decimals however small they are."""
    return "[" + "\n ".join(f"[{output:.8f}]" for output in outputs) + "]"


def loss_cell(loss: float) -> str:
    """A loss in a table: two digits, for rounding decides the others of some optimizers."""
    return f"{loss:.1e}"


def accuracy_line(run: PointsRun) -> str:
    """The accuracy in per cent."""
    return f"accuracy : {run.accuracy:.2%}"


def screen(name: str, run: PointsRun, epochs: int, seed: int, *, predictions: bool = True) -> str:
    """All that main.py prints about a set, or all but the predictions."""
    count = len(run.outputs)
    lines = (
        f"{name}: {count} points, seed {seed}",
        epoch_lines(run, epochs),
        "the last epochs:",
        last_lines(run),
        *((f"prediction {(count, 1)}:", column(run.outputs)) if predictions else ()),
        accuracy_line(run),
    )
    return "\n".join(lines)
