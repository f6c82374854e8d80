"""The lab `mnist`: a 3-layer network and a 3-layer CNN, each in NumPy and in PyTorch."""

from funcnn.experiments.compare.results import compare_means
from funcnn.experiments.figures.scores import dots
from funcnn.experiments.labs import sections
from funcnn.experiments.labs.examined import Examined, confusion, inside, surest
from funcnn.experiments.labs.figures import train_and_test
from funcnn.experiments.labs.ingredients import ingredients_of, what_each_gave
from funcnn.experiments.labs.judgements import epochs_in_words, points
from funcnn.experiments.labs.lab import Lab, Results, Trial
from funcnn.experiments.labs.tables import (
    BACKEND_NAMES,
    Setting,
    cell,
    epoch_line,
    facts,
    judgement,
    scores_of,
    shown,
)
from funcnn.experiments.reports.document import (
    Block,
    Document,
    Formula,
    Section,
    Table,
    Text,
    finding,
)
from funcnn.experiments.tasks.augmentations import NONE
from funcnn.experiments.tasks.config import BACKENDS
from funcnn.experiments.tasks.recipes import RECIPES

# Both by stochastic gradient descent, as the lab asks, with momentum; on the plain cross-entropy.
NN = Trial("nn", {**RECIPES["mnist-nn"].settings, "test_curve": True}, main=True)
CNN = Trial(
    "cnn",
    {
        "arch": "cnn3",
        "data": "mnist",
        "optimizer": "sgd",
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "label_smoothing": 0.0,
        "dropout": 0.0,
        "test_curve": True,
        "kernel_size": 5,
        "epochs": 5,
        "lr": 0.05,
        # Without dropout and Adam, SGD does better from Glorot's weights, in either backend.
        "weight_init": "glorot-uniform",
        "init": "shared",
    },
    main=True,
)
_NAMES = {"NN": NN, "CNN": CNN}
INGREDIENTS = ingredients_of(NN, name="nn-")


def report(results: Results) -> Document:
    """All four, and then compared."""
    examined = {
        (name, backend): Examined.shown(results, trial, backend)
        for name, trial in _NAMES.items()
        for backend in BACKENDS
    }
    runs = [
        sections.titled(
            f"{name} in {BACKEND_NAMES[backend]}",
            sections.network(results, _NAMES[name])
            if backend == "numpy"
            else sections.network_in_torch(each.task),
            sections.training(results, _NAMES[name], backend),
            [sections.screenshot(results, _NAMES[name], backend, name)],
            confusion(each),
            surest(each),
        )
        for (name, backend), each in examined.items()
    ]
    return Document(
        LAB.title,
        "Handwritten digits, by four trainings: NN and CNN, in NumPy and in PyTorch.",
        facts(results),
        (
            _data(results),
            *runs,
            *([] if results.main_only else [what_each_gave(results, INGREDIENTS)]),
            _compared(results),
            sections.titled(
                "Inside the networks",
                *(inside(examined[name, "numpy"]) for name in _NAMES),
            ),
        ),
    )


def _data(results: Results) -> Section:
    return Section(
        "Data and loss",
        (
            *sections.sizes(results.task(NN).data),
            Formula(
                [
                    r"p &= \mathrm{softmax}(z)",
                    r"L &= -\mathrm{mean}(\log p_\mathrm{label})",
                    r"\dfrac{dL}{dz} &= \dfrac{p - \mathrm{onehot}(\mathrm{label})}{n}",
                ]
            ),
            Text(
                "The images are read from the four IDX files. Training is stochastic gradient "
                "descent on mini-batches, with momentum and weight decay. The curves show the "
                "test set beside the training set, as the lab asks; it is only looked at: the "
                "epoch that is kept is the best on the validation set."
            ),
            Text(
                "What the lab leaves open, as batches, rate, momentum and weight decay, was not "
                "varied for the CNN. The NN sees its training images deformed a little, other ones "
                "in every epoch: how much, and for how long it is trained, was chosen on the "
                "validation set, in trainings before this report. The CNN begins from Glorot's "
                "weights and not from He's: gradient descent, without dropout, did better from "
                "them with either backend."
            ),
        ),
    )


def _compared(results: Results) -> Section:
    rows, times = [], {}
    for name, trial in _NAMES.items():
        for backend in BACKENDS:
            seconds = round(sections.epoch_seconds(results, trial, backend), 1)  # as is shown
            scores = [
                cell(results.spread(trial, backend, score), score)
                for score in ("val_accuracy", "test_accuracy", "test_loss")
            ]
            parameters = results.summary(trial, backend)["parameters"]
            run = f"{name}, {BACKEND_NAMES[backend]}"
            rows.append((run, f"{parameters:,}", *scores, f"{seconds:.1f}"))
            times[run] = seconds
    header = (
        *("run", "parameters", "validation (%)", "test (%)", "test loss (nats)"),
        "seconds an epoch",
    )
    table = Table(
        header,
        tuple(rows),
        "The four. The seconds are medians over the runs, of a thread each, the measuring of the "
        "validation and the test set included; runs beside each other slow each other.",
    )
    fast, slow = min(times, key=lambda run: times[run]), max(times, key=lambda run: times[run])
    path = results.out / "figures" / "four.png"
    settings = [Setting(name, trial) for name, trial in _NAMES.items()]
    reached = scores_of(results, settings, "test_accuracy")
    return Section(
        "Comparison",
        (
            table,
            finding(
                f"An epoch of {slow} takes {times[slow] / max(times[fast], 0.1):.1f} times as "
                f"long as one of {fast}."
            ),
            shown(path, "Test accuracy of the four.", dots, reached, "test accuracy (%)"),
            judgement(results, settings, "test_accuracy"),
            *_curves(results),
            *(
                Section(f"NumPy with PyTorch: {name}", tuple(sections.differences(results, trial)))
                for name, trial in _NAMES.items()
            ),
            Section("NN with CNN", tuple(_nn_with_cnn(results, backend) for backend in BACKENDS)),
        ),
    )


def _curves(results: Results) -> list[Block]:
    """The training and the test loss of all four, and who is ahead."""
    panels = {
        BACKEND_NAMES[backend]: {
            name: results.shown(trial, backend).rows for name, trial in _NAMES.items()
        }
        for backend in BACKENDS
    }
    whose = results.shown(CNN, "numpy").whose
    caption = (
        f"Training and test loss of NN and CNN over epochs ({whose}); the NN's in training is of "
        "images that are deformed."
    )
    path = results.out / "figures" / "curves.png"
    best = {
        name: min(rows, key=lambda row: row.test_loss or 0.0)
        for name, rows in panels["NumPy"].items()
    }
    said = ", ".join(
        f"that of the {name} {row.test_loss:.4f}, after epoch {row.epoch} of {len(rows)}"
        for (name, row), rows in zip(best.items(), panels["NumPy"].values(), strict=True)
    )
    return [
        shown(path, caption, train_and_test, panels),
        finding(f"In NumPy the lowest test loss is: {said}."),
    ]


def _nn_with_cnn(results: Results, backend: str) -> Text:
    nn, cnn = (results.spread(trial, backend, "test_accuracy") for trial in (NN, CNN))
    assert nn is not None
    assert cnn is not None
    gap = compare_means(nn, cnn)
    parameters = [results.summary(trial, backend)["parameters"] for trial in (NN, CNN)]
    sentence = (
        f"In {BACKEND_NAMES[backend]} the CNN is {points(gap.difference)} "
        f"{'above' if gap.difference > 0 else 'below'} the NN on the test set, with "
        f"{parameters[1]:,} parameters in the place of {parameters[0]:,}"
    )
    if gap.standard_error is None:
        return finding(f"{sentence}; one seed has no spread.")
    return finding(
        f"{sentence}; the standard error of that difference over {gap.seeds} seeds is "
        f"{100 * gap.standard_error:.2f} points. They are not trained alike: the NN for "
        f"{_trained_for(results, NN)}, the CNN for {_trained_for(results, CNN)}."
    )


def _trained_for(results: Results, trial: Trial) -> str:
    config = results.config(trial)
    seen = "as they are" if config.augment == NONE else "that are deformed a little"
    length = epochs_in_words(config.epochs)
    return f"{length} in batches of {config.batch_size}, of images {seen}"


LAB = Lab(
    "mnist",
    "A network and a CNN of three layers, each in NumPy and in PyTorch",
    (CNN, *INGREDIENTS.trials),
    {"epochs": 1},
    epoch_line,
    report,
)
