"""The lab `points`: back-propagation on points in the plane."""

import itertools

import numpy as np

from funcnn.experiments.figures import plots
from funcnn.experiments.labs import figures, sections
from funcnn.experiments.labs.lab import Lab, Results, Trial, printed
from funcnn.experiments.labs.points_theory import introduction, set_up
from funcnn.experiments.labs.tables import Setting, facts, shown, side_by_side_table, sweep, verdict
from funcnn.experiments.reports.document import Document, Listing, Picture, Section, Text
from funcnn.experiments.training.run_folder import EpochRow
from funcnn.types import Array

_SCORES = {"test_accuracy": "accuracy (%)", "test_loss": "loss (nats)"}
_BASE = {"arch": "points", "init": "shared"}
_SETS = {"xor": "points-xor", "linear": "points-linear"}
_IN_WORDS = {"xor": "21 points on two diagonals", "linear": "100 points on either side of a line"}

MAIN = {
    name: Trial(name, {**_BASE, "data": data}, main=True, history=True)
    for name, data in _SETS.items()
}
OWN_INIT = {
    name: Trial(f"own-init-{name}", {**_BASE, "data": data, "init": "own"}, backends=("torch",))
    for name, data in _SETS.items()
}
RATES = {f"{lr:g}": Trial(f"lr-{lr:g}", {**_BASE, "lr": lr}) for lr in (0.01, 0.05, 0.1, 1.0)}
UNITS = {
    f"{units} and {units}": Trial(f"hidden-{units}", {**_BASE, "hidden": [units, units]})
    for units in (1, 2, 8, 16)
}
_LINEAR = {**_BASE, "activation": "identity", "lr": 0.05}
NO_ACTIVATION = {
    name: Trial(f"no-activation-{name}", {**_LINEAR, "data": data}) for name, data in _SETS.items()
}
# Those that scale a step by its size take a smaller one.
OPTIMIZERS = {
    name: Trial(f"optimizer-{name}", {**_BASE, "optimizer": name, "lr": lr})
    for name, lr in {
        "nesterov": 0.5,
        "classical-momentum": 0.5,
        "adagrad": 0.1,
        "rmsprop": 0.01,
        "adam": 0.02,
        "adamw": 0.02,
        "adamax": 0.02,
        "sm3": 0.1,
    }.items()
}
ACTIVATIONS = {
    name: Trial(f"activation-{name}", {**_BASE, "activation": name, "lr": 0.1})
    for name in ("tanh", "arctan", "relu", "leaky-relu", "elu", "softplus", "silu")
}
CONV = {
    name: Trial(f"conv-{name}", {**_BASE, "arch": "points-conv", "data": data})
    for name, data in _SETS.items()
}
_AS_ABOVE = "set xor, everything else as above"
_SMALLER = "set xor, learning rate 0.1 but for the first"
_RATES = "set xor, learning rates " + ", ".join(
    f"{trial.settings['lr']:g} ({name})" for name, trial in OPTIMIZERS.items()
)
_GROUPS = (MAIN, OWN_INIT, RATES, UNITS, NO_ACTIVATION, OPTIMIZERS, ACTIVATIONS, CONV)


def epoch_line(row: EpochRow) -> str:
    """As the lab prints it."""
    return f"epoch {row.epoch} loss : {row.train_loss!r}"


def closing(results: Results) -> str:
    """The prediction for every point, and the accuracy, as the lab prints them."""
    texts = []
    for name, trial in MAIN.items():
        inputs, _ = results.task(trial).data.test
        outputs = results.model(trial).predict(inputs)
        accuracy = results.summary(trial)["test_accuracy"]
        texts.append(f"{name}, NumPy, seed 0:\n{as_decimals(outputs)}\naccuracy : {accuracy:.2%}")
    return "\n".join(texts)


def as_decimals(outputs: Array) -> str:
    """Predictions as the lab's sheet prints them: [[0.01025062] and so on, however small."""
    return np.array2string(
        outputs, threshold=outputs.size, precision=8, floatmode="fixed", suppress_small=True
    )


def report(results: Results) -> Document:
    """The lab's sections."""
    return Document(
        LAB.title,
        "A network with two hidden layers, from scratch in NumPy and again in PyTorch.",
        facts(results),
        (
            introduction(),
            set_up(),
            _results(results),
            _discussion(results),
            _extra(results),
        ),
    )


def _results(results: Results) -> Section:
    table = side_by_side_table(
        results,
        [Setting(f"{name}: {_IN_WORDS[name]}", trial) for name, trial in MAIN.items()],
        "set",
        "Accuracy and loss on all the points after the last epoch.",
        _SCORES,
    )
    return Section(
        "Results",
        (
            table,
            *(_results_of(results, name, trial) for name, trial in MAIN.items()),
        ),
    )


def _results_of(results: Results, name: str, trial: Trial) -> Section:
    folder = results.path / "figures"
    task = results.task(trial)
    inputs, labels = task.data.test
    assert labels is not None
    outputs = results.model(trial).predict(inputs)
    points = (inputs, labels)
    caption = "Ground truth and prediction (NumPy, seed 0)."
    prediction = shown(folder / f"predictions-{name}.png", caption, plots.points, points, outputs)
    losses = {
        f"{backend}, seed {seed}": results.rows(trial, backend, seed)
        for backend, seed in itertools.product(trial.backends, results.seeds)
    }
    caption = "Learning curve: the loss of every run over epochs."
    curve = shown(folder / f"curve-{name}.png", caption, figures.losses, losses)
    boundary, moving = folder / f"boundary-{name}.png", folder / f"boundary-{name}.gif"
    caption = "The probability of class 1 over training (NumPy, seed 0)."
    history = results.history(trial)
    over_training = [shown(boundary, caption, figures.boundaries, moving, history, task, points)]
    if boundary.exists():
        over_training.append(Picture(moving, "The same, moving."))
    rows = results.rows(trial)
    lines = [epoch_line(row) for row in printed(rows)]
    right = int(((outputs > 0.5) == labels).sum())
    return Section(
        f"The set {name}",
        (
            verdict(results, trial, 0.9, "test_accuracy"),
            prediction,
            Text(
                f"**Accuracy {right / len(labels):.0%}**: {right} of {len(labels)} points "
                "(NumPy, seed 0)."
            ),
            curve,
            Listing("\n".join(lines), "As it is printed while it learns (NumPy, seed 0)."),
            Listing(
                "\n".join(epoch_line(row) for row in rows[-10:]),
                "The last recorded epochs.",
            ),
            *over_training,
            Listing(
                as_decimals(outputs),
                f"The prediction for every point, {outputs.shape}.",
            ),
        ),
    )


def _discussion(results: Results) -> Section:
    standard = MAIN["xor"]
    rates = [Setting("0.5 (as above)", standard), *map(Setting, RATES, RATES.values())]
    rates.sort(key=lambda setting: results.config(setting.trial).lr)
    units = [*map(Setting, UNITS, UNITS.values()), Setting("4 and 4 (as above)", standard)]
    units.sort(key=lambda setting: results.config(setting.trial).hidden)
    without = [Setting(f"none, set {name}", trial) for name, trial in NO_ACTIVATION.items()]
    return Section(
        "Discussion",
        (
            sweep(results, "Learning rates", rates, "learning rate", "lr", _AS_ABOVE, _SCORES),
            sweep(
                results,
                "Hidden units",
                units,
                "units in the hidden layers",
                "hidden",
                _AS_ABOVE,
                _SCORES,
            ),
            Section(
                "No activation function",
                (
                    Text(
                        "Without activations in the hidden layers the network is one linear "
                        "function before the last sigmoid, however many layers it has: a straight "
                        "line can be drawn, and the diagonals cannot be told apart."
                    ),
                    side_by_side_table(
                        results, without, "activation", "Both sets, learning rate 0.05.", _SCORES
                    ),
                ),
            ),
        ),
    )


def _extra(results: Results) -> Section:
    standard = MAIN["xor"]
    first = Setting("sgd (as above)", standard)
    optimizers = [first, *map(Setting, OPTIMIZERS, OPTIMIZERS.values())]
    first = Setting("sigmoid (as above)", standard)
    activations = [first, *map(Setting, ACTIVATIONS, ACTIVATIONS.values())]
    conv = [Setting(f"convolution, set {name}", trial) for name, trial in CONV.items()]
    own = [Setting(f"torch's own, set {name}", trial) for name, trial in OWN_INIT.items()]
    return Section(
        "Extra",
        (
            sweep(results, "Optimizers", optimizers, "optimizer", "optimizer", _RATES, _SCORES),
            sweep(
                results,
                "Activation functions",
                activations,
                "activation",
                "activation",
                _SMALLER,
                _SCORES,
            ),
            Section(
                "A network with a convolution",
                (
                    Text(
                        "The two coordinates are a sequence of length 2: four kernels of size 2 "
                        "run over it, then come a layer of four units and the output."
                    ),
                    side_by_side_table(results, conv, "network", "Both sets.", _SCORES),
                ),
            ),
            Section("NumPy with PyTorch", tuple(sections.differences(results, MAIN["xor"]))),
            Section(
                "First weights",
                (
                    Text(
                        "Above, both sides begin with the same $N(0, 1)$ weights. torch's own for "
                        "so few units are uniform between -0.7 and 0.7 or less."
                    ),
                    side_by_side_table(results, own, "first weights", "Both sets.", _SCORES),
                ),
            ),
        ),
    )


LAB = Lab(
    "points",
    "Back-propagation on points in the plane",
    tuple(trial for group in _GROUPS for trial in group.values()),
    {"epochs": 300},
    epoch_line,
    report,
    closing=closing,
)
