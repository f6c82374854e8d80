"""The lab `points`: back-propagation on points in the plane."""

import itertools

import numpy as np

from funcnn.experiments.figures import plots
from funcnn.experiments.labs import figures, points_runs, sections, tables
from funcnn.experiments.labs.judgements import listed, loss_in_words, of_curves
from funcnn.experiments.labs.lab import Lab, Results
from funcnn.experiments.labs.points_findings import of_settings, when_right
from funcnn.experiments.labs.points_runs import (
    begin,
    measure,
    params_over_training,
    runs_of,
    settings,
)
from funcnn.experiments.labs.points_settings import ALL, EXTRAS, MAIN
from funcnn.experiments.labs.points_theory import introduction, set_up
from funcnn.experiments.reports.document import (
    Block,
    Document,
    Formula,
    Items,
    Listing,
    Picture,
    Section,
    Table,
    Text,
    finding,
)
from funcnn.experiments.training.run_folder import EpochRow

_POINTS = {"test_accuracy": "accuracy", "inputs": "points"}
_ASKED = 0.9  # of the accuracy on either set
_SCORES = {"test_accuracy": "accuracy (%)", "test_loss": "loss (nats)"}
_IN_WORDS = {"linear": "100 points on either side of a line", "xor": "21 points on two diagonals"}


def epoch_line(row: EpochRow) -> str:
    """As the lab prints it."""
    return f"epoch {row.epoch} loss : {row.train_loss!r}"


def closing(results: Results) -> str:
    """The two main runs, as main.py prints them."""
    return "\n".join(
        points_runs.screen(name, runs_of(results, trial)[0], results.config(trial).epochs, 0)
        for name, trial in MAIN.items()
    )


def report(results: Results) -> Document:
    """The lab's sections."""
    seeds = ", ".join(map(str, points_runs.seeds(results)))
    parameters = results.summary(MAIN["xor"])["parameters"]
    epochs = results.config(MAIN["xor"]).epochs
    those = f"as those of `main.py`, of {epochs} epochs" if results.quick else "those of `main.py`"
    network = [
        sections.drawing(results, MAIN["xor"]),
        finding(f"It has {parameters} parameters, for {', '.join(_IN_WORDS.values())}."),
    ]
    return Document(
        LAB.title,
        "A network with two hidden layers, from scratch in NumPy.",
        [
            ("Runs", f"{those}, seeds {seeds}"),
            *tables.facts(results)[1:],  # which seeds is said
        ],
        (introduction(), set_up(network), _results(results), _discussion(results), _extra(results)),
        lettered=True,
    )


def _results(results: Results) -> Section:
    runs = {name: runs_of(results, trial)[0] for name, trial in MAIN.items()}
    epochs = results.config(MAIN["xor"]).epochs
    folder = results.out / "figures"
    screenshot: list[Block] = []
    predictions: list[Block] = [
        Text("The lab asks for at least 90 % on both sets. Each is measured on all of its points.")
    ]
    over_training: list[Block] = []
    losses = {}
    for name, trial in MAIN.items():
        run, config = runs[name], results.config(trial)
        points, model, _ = begin(config, 0)
        labels, outputs = points[1], np.array(run.outputs)[:, None]
        whose = f"the set {name}, {_IN_WORDS[name]}"
        caption = f"What `main.py` prints, without predictions and names of figures: {whose}."
        printed = points_runs.screen(name, run, epochs, 0, predictions=False)
        screenshot.append(tables.screen(folder / f"screen-{name}.png", printed, caption))
        path, caption = folder / f"predictions-{name}.png", f"Ground truth and prediction: {whose}."
        screenshot.append(tables.shown(path, caption, plots.points, points, outputs))
        right = int(((outputs > 0.5) == labels).sum())
        colours = "every point has" if right == len(labels) else f"{right} of {len(labels)} have"
        screenshot.append(finding(f"On the right {colours} the colour of its class."))
        predictions += [
            finding(
                f"The set {name}: **{points_runs.accuracy_line(run)}**, {right} of {len(labels)} "
                "points."
            ),
            Listing(
                points_runs.column(run.outputs),
                f"The prediction for every point of it, {outputs.shape}, column after column.",
            ),
        ]
        losses[name] = [EpochRow(*row, None, None, config.lr, 0.0) for row in run.rows]
        history = params_over_training(run, config)
        still, moving = folder / f"boundary-{name}.png", folder / f"boundary-{name}.gif"
        caption = f"The probability of class 1 over training: {whose}."
        panels = tables.shown(still, caption, figures.boundaries, moving, history, model, points)
        panels = panels._replace(moving=moving) if isinstance(panels, Picture) else panels
        over_training += [panels, finding(when_right(losses[name]))]
    curve = tables.shown(folder / "curve.png", "Loss over epochs.", figures.losses, losses)
    falls = [
        f"{name} from {loss_in_words(of[0].train_loss)} to {loss_in_words(of[-1].train_loss)}"
        for name, of in losses.items()
    ]
    fell = finding(f"The loss goes, with the set {listed(falls)}.")
    last = [
        Listing(points_runs.last_lines(run), f"The losses of the last epochs: the set {name}.")
        for name, run in runs.items()
    ]
    return Section(
        "Results of your testing",
        (
            Section("Screenshot and comparison figure", screenshot),
            Section("Show the accuracy of your prediction", predictions),
            Section(
                "Learning curve (loss, epoch curve)",
                (curve, fell, *last),
            ),
            Section("Anything you want to present", over_training),
        ),
    )


def _compared(results: Results, title: str, extra: str, rest: str, *words: Block) -> Section:
    """A table of settings, as main.py prints it, and the curves of their runs from seed 0."""
    rows, curves = [], []
    by_setting = {label: runs_of(results, trial) for label, trial in EXTRAS[extra].items()}
    for label, runs in by_setting.items():
        accuracies = [f"{100 * run.accuracy:.2f}" for run in runs]
        rows.append((label, *accuracies, *(points_runs.loss_cell(run.loss) for run in runs)))
        epochs, losses, shares = zip(*runs[0].rows, strict=True)
        curves.append(plots.Curve(label, [*epochs], np.array(losses), 100 * np.array(shares)))
    one_set = len({trial.settings["data"] for trial in EXTRAS[extra].values()}) == 1
    ends = of_curves({curve.label: curve.losses.tolist() for curve in curves}, ranked=one_set)
    header = [
        f"{score}, seed {seed}" for score in _SCORES.values() for seed in points_runs.seeds(results)
    ]
    caption = f"`python main.py {extra}`: {rest}."
    path = results.out / "figures" / f"{extra}.png"
    return Section(
        title,
        (
            *words,
            Table(("setting", *header), tuple(rows), caption),
            Items(of_settings(by_setting, ranked=one_set)),
            tables.shown(
                path, f"Over epochs, with seed 0: {rest}.", plots.curves, curves, "training"
            ),
            finding(f"With seed 0: {ends[0].lower() + ends[1:]}"),
        ),
    )


def _discussion(results: Results) -> Section:
    xor = "the set xor, all else as in section 3"
    return Section(
        "Discussion",
        (
            _compared(
                results,
                "Try different learning rates",
                "rates",
                xor,
                Text(
                    "With a small rate the epochs are over before the loss is low. With a large "
                    "one a step leads past the place where it is low, and weights can become so "
                    "large that a sigmoid is nearly 0 or 1 for every point, where its derivative "
                    "is nearly 0: such a unit hardly learns any more. A loss that stands at 0.6920 "
                    "is that of a constant output, the entropy of 10 points in 21."
                ),
            ),
            _compared(
                results,
                "Try different numbers of hidden units",
                "units",
                xor,
                Text(
                    "A unit of the first layer is one line. With one unit the output only rises or "
                    "falls across it, and the diagonals cannot be told apart; with few it depends "
                    "on where their lines begin, and with more some begin well. One line can cut "
                    "half a diagonal off, and then has 16 of 21 points right, 76 %."
                ),
            ),
            _compared(
                results,
                "Try without activation functions",
                "no-activation",
                "both sets, learning rate 0.05",
                Text(
                    "Without activations in the hidden layers the network is one linear "
                    "function before the last sigmoid, however many layers it has: a straight "
                    "line can be drawn, and the diagonals cannot be told apart. The last sigmoid "
                    "stays, for the output must be a probability. The rate is a tenth of that of "
                    "section 3: no sigmoid in between makes the gradients smaller. On the "
                    "diagonals no line has a lower loss than a constant output, 0.6920."
                ),
            ),
            Section("Anything you want to share", _in_single_precision(results)),
        ),
    )


def _in_single_precision(results: Results) -> list[Block]:
    """The same networks from other first weights, with NumPy and with PyTorch."""
    main = [tables.Setting(name, trial) for name, trial in MAIN.items()]
    return [
        Text(
            "Do the derivatives written by hand do what PyTorch's do, which it finds by itself? "
            "Both networks once more in NumPy, and in PyTorch, with the learning rate and the "
            "epochs of section 3. These are other runs than all above: in single precision, from "
            "other first weights and, of the linear set, other points, the same ones in both. Each "
            "seed has linear points of its own: held against those of another seed, a network may "
            "miss some beside the line."
        ),
        tables.side_by_side_table(
            results, main, "set", "In single precision, after the last epoch.", _SCORES
        ),
        *(
            tables.verdict(results, trial, _ASKED, "test_accuracy", f"The set {name}")
            for name, trial in main
        ),
        *itertools.chain.from_iterable(
            sections.differences(results, trial, f"The set {name}: ", _POINTS)
            for name, trial in main
        ),
    ]


def _extra(results: Results) -> Section:
    return Section(
        "Extra",
        (
            _compared(
                results,
                "Implement different optimizers",
                "optimizers",
                "the set xor",
                Text(
                    "They are in `optimizers.py`, sgd in `network.py`. gradient_descent is the "
                    "plain one, $w = w - 0.5 \\, g$ with the gradient $g$; sgd, which all other "
                    "runs of this report have, adds momentum. The momentum of those that have one "
                    "is 0.9. Those that scale a step by what they saw take a smaller rate. "
                    "classical_momentum has the rate inside the velocity, sgd before it: while the "
                    "rate is constant, as here, these are the same steps. With momentum 0.9 equal "
                    "gradients add up to ten times one: gradient_descent at 0.5 is to be held "
                    "against sgd at 0.05 in 4 A. The decay of adamw pulls weights back, and so "
                    "keeps outputs from 0 and 1. Each has one rate, chosen beforehand: this is no "
                    "contest of optimizers at their best."
                ),
            ),
            _compared(
                results,
                "Implement different activation functions",
                "activations",
                "the set xor",
                Text(
                    "They are in `layer.py`, each with its derivative. The sigmoid's is at most "
                    "1/4, those of the others come to about 1, so that they take a smaller rate. "
                    "A ReLU that is below 0 for every point gives 0 and lets no gradient through: "
                    "it is lost, which cannot happen where the derivative is never 0. Each has one "
                    "rate, chosen beforehand."
                ),
            ),
            _compared(
                results,
                "Implement convolutional layers",
                "convolution",
                "both sets",
                Text(
                    "`conv` in `layer.py`: the two coordinates are a sequence of length 2, with a "
                    "0 on either side; four kernels of size 2 run over its three places, the same "
                    "weights at each. Then come a layer of four units and the output. Of kernel "
                    "$o$, with the derivatives that its backward gives:"
                ),
                Formula(
                    [
                        r"y_{n,o,i} &= b_o + \sum_u W_{o,u} \, x_{n,i+u}",
                        r"dW_{o,u} &= \sum_{n,i} dy_{n,o,i} \, x_{n,i+u}, \quad "
                        r"db_o = \sum_{n,i} dy_{n,o,i}, \quad "
                        r"dx_{n,i} = \sum_{o,u} W_{o,u} \, dy_{n,o,i-u}",
                    ]
                ),
                Text(
                    "Two coordinates are no signal along which a pattern moves, so that equal "
                    "weights at every place are of no use here: it is a check that they learn."
                ),
            ),
        ),
    )


LAB = Lab(
    "points",
    "Back-propagation on points in the plane",
    tuple(MAIN.values()),
    {"epochs": 300},
    epoch_line,
    report,
    measure=measure,
    measures=ALL,
    measured_like=settings,
    closing=closing,
)
