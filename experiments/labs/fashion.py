"""The lab `fashion`: Fashion-MNIST from scratch, then the same network in PyTorch."""

from collections.abc import Mapping

from funcnn.experiments.labs import sections
from funcnn.experiments.labs.examined import Examined, confusion, inside
from funcnn.experiments.labs.lab import Lab, Results, Trial
from funcnn.experiments.labs.steps import ablation, one_after_another
from funcnn.experiments.labs.tables import (
    Setting,
    compared,
    epoch_line,
    facts,
    sweep,
    verdict,
)
from funcnn.experiments.reports.document import Block, Document, Formula, Section, Text
from funcnn.experiments.tasks.config import BACKENDS

_BASE = {"data": "fashion-mnist", "batch_size": 100}  # 10,000 images are whole batches
FULLY_CONNECTED = Trial("fully-connected", {**_BASE, "arch": "mlp3", "epochs": 20}, main=True)
CNN = Trial("cnn", {**_BASE, "arch": "cnn3", "epochs": 10}, main=True)
_PLAIN = {
    **_BASE,
    "arch": "mlp2",
    "epochs": 20,
    "activation": "sigmoid",
    "loss": "squared-error",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "schedule": "constant",
}
STEPS = one_after_another(
    _PLAIN,
    {
        "784-128-10, sigmoid, squared error, SGD 0.05": {},
        "loss: cross-entropy": {"loss": "cross-entropy"},
        "activation: ReLU, and He's first weights": {"activation": "relu"},
        "momentum 0.9": {"momentum": 0.9},
        "learning rate falls as a cosine": {"schedule": "cosine"},
        "network: 784-256-128-10": {"arch": "mlp3"},
        "weight decay 0.0005": {"weight_decay": 5e-4},
    },
)
RATES = {
    f"{lr:g}": Trial(f"lr-{lr:g}", {**FULLY_CONNECTED.settings, "lr": lr}, backends=("numpy",))
    for lr in (0.01, 0.02, 0.1)
}
BATCHES = {
    f"{size}": Trial(
        f"batch-{size}", {**FULLY_CONNECTED.settings, "batch_size": size}, backends=("numpy",)
    )
    for size in (50, 200, 500)
}
NO_DROPOUT = Trial("cnn-no-dropout", {**CNN.settings, "dropout": 0.0}, backends=("numpy",))
FILE = "DL-test-predicted.csv"


def report(results: Results) -> Document:
    """What raised the accuracy and by how much, and how the two parts differ."""
    examined = {
        (trial.name, backend): Examined.first_run(results, trial, backend)
        for trial in (CNN, FULLY_CONNECTED)
        for backend in BACKENDS
    }
    return Document(
        LAB.title,
        "Ten kinds of clothing, by a network in NumPy and by the same network in PyTorch.",
        facts(results),
        (
            Section("Data", sections.sizes(results.task(CNN).data)),
            _both_parts(results),
            _part(results, "Part 1: from scratch in NumPy", "numpy", examined),
            _part(results, "Part 2: the same network in PyTorch", "torch", examined),
            *([] if results.main_only else [_raised(results)]),
            sections.titled(
                "The differences between the two parts",
                (Section("CNN", tuple(sections.differences(results, CNN))),),
                (
                    Section(
                        "Fully connected", tuple(sections.differences(results, FULLY_CONNECTED))
                    ),
                ),
            ),
            sections.titled(
                "Inside the networks",
                *(inside(examined[trial.name, "numpy"]) for trial in (CNN, FULLY_CONNECTED)),
            ),
        ),
    )


def _both_parts(results: Results) -> Section:
    """The validation accuracy of both, as a table and as it was printed."""
    settings = [Setting("CNN", CNN), Setting("Fully connected", FULLY_CONNECTED)]
    scores = "Accuracy on the validation and the test set: part 1 is NumPy, part 2 PyTorch."
    return sections.titled(
        "Validation accuracy of both parts",
        compared(results, settings, "network", scores),
        [verdict(results, trial, 0.8, whose=label) for label, trial in settings],
        [sections.screenshot(results, CNN, backend, "The CNN") for backend in BACKENDS],
    )


def _part(
    results: Results, title: str, backend: str, examined: Mapping[tuple[str, str], Examined]
) -> Section:
    first: list[Block] = []
    if backend == "numpy":
        first += [
            Formula(
                [
                    r"p &= \mathrm{softmax}(z)",
                    r"L &= -\mathrm{mean}\left(\sum t \, \log p\right)",
                    r"\dfrac{dL}{dz} &= \dfrac{p - t}{n}",
                ]
            ),
            Text(
                "The target $t$ is 1 for the label and 0 for the other classes; with label "
                "smoothing $s$ it is $1 - s$ for the label, and $s$ more spread evenly over all. "
                "Softmax and cross-entropy are one function, computed without overflow as "
                r"$\log p = z - \max z - \log \sum \, \exp(z - \max z)$."
            ),
            *sections.handed_in(results, CNN, FILE),
        ]
    parts = []
    for label, trial in (("CNN", CNN), ("Fully connected", FULLY_CONNECTED)):
        if backend == "numpy":
            described = sections.network(results, trial)
        else:
            described = [sections.module(results.task(trial))]
        blocks = [
            *described,
            *sections.training(results, trial, backend),
            *confusion(examined[trial.name, backend]),
        ]
        parts.append(Section(label, tuple(blocks)))
    return sections.titled(title, first, parts)


def _raised(results: Results) -> Section:
    steps = [
        *STEPS,
        Setting("label smoothing 0.1: the fully connected network", FULLY_CONNECTED),
        Setting("convolutions, Adam, no smoothing", NO_DROPOUT),
        Setting("dropout 0.25: the CNN", CNN),
    ]
    ours = Setting("0.05 (as above)", FULLY_CONNECTED._replace(backends=("numpy",)))
    rates = [*map(Setting, RATES, RATES.values())]
    rates.insert(2, ours)
    batches = [*map(Setting, BATCHES, BATCHES.values())]
    batches.insert(1, ours._replace(label="100 (as above)"))
    rest = "the fully connected network, everything else as above"
    return sections.titled(
        "What raised the accuracy",
        ablation(results, steps),
        (
            sweep(results, "Learning rates", rates, "learning rate", "lr", rest),
            sweep(results, "Batch sizes", batches, "images in a batch", "batch", rest),
        ),
    )


LAB = Lab(
    "fashion",
    "Fashion-MNIST from scratch, and the same network in PyTorch",
    (
        CNN,
        FULLY_CONNECTED,
        NO_DROPOUT,
        *(step.trial for step in STEPS),
        *RATES.values(),
        *BATCHES.values(),
    ),
    {"epochs": 1},
    epoch_line,
    report,
)
