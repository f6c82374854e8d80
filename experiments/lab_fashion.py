"""The lab `fashion`: Fashion-MNIST from scratch, then the same network in PyTorch."""

from funcnn.experiments import lab_sections as sections
from funcnn.experiments.document import Block, Document, Formula, Section, Text
from funcnn.experiments.lab import Lab, Results, Trial
from funcnn.experiments.lab_report import (
    Setting,
    ablation,
    epoch_line,
    facts,
    one_after_another,
    side_by_side_table,
)

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
        "activation: ReLU": {"activation": "relu"},
        "momentum 0.9": {"momentum": 0.9},
        "learning rate falls as a cosine": {"schedule": "cosine"},
        "network: 784-256-128-10": {"arch": "mlp3"},
        "weight decay 0.0005": {"weight_decay": 5e-4},
    },
)
NO_DROPOUT = Trial("cnn-no-dropout", {**CNN.settings, "dropout": 0.0}, backends=("numpy",))
FILE = "DL-test-predicted.csv"


def report(results: Results) -> Document:
    """What raised the accuracy and by how much, and how the two parts differ."""
    return Document(
        LAB.title,
        "Ten kinds of clothing, by a network in NumPy and by the same network in PyTorch.",
        facts(results),
        (
            Section("Data", (sections.sizes(results, CNN),)),
            _part(results, "Part 1: from scratch in NumPy", "numpy"),
            _part(results, "Part 2: the same network in PyTorch", "torch"),
            _raised(results),
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
                *(
                    sections.inside(sections.Examined(results, trial, "numpy"))
                    for trial in (CNN, FULLY_CONNECTED)
                ),
            ),
        ),
    )


def _part(results: Results, title: str, backend: str) -> Section:
    settings = [
        Setting(label, trial._replace(backends=(backend,)))
        for label, trial in (("CNN", CNN), ("fully connected", FULLY_CONNECTED))
    ]
    scores = side_by_side_table(
        results, settings, "network", "Accuracy in per cent; the lab asks for 80 on validation."
    )
    first: list[Block] = [scores]
    if backend == "numpy":
        first += [
            Formula("p = softmax(z)\nL = -mean(log p[label])\ndL/dz = (p - onehot(label)) / n"),
            Text(
                "Softmax and cross-entropy are one function, computed without overflow as "
                "log p = z - max z - log sum exp(z - max z)."
            ),
            *sections.handed_in(results, CNN, FILE),
        ]
    parts = []
    for label, trial in settings:
        if backend == "numpy":
            described = sections.network(results, trial)
        else:
            described = [sections.module(results, trial)]
        blocks = [
            *described,
            *sections.training(results, trial, backend, epoch_line),
            *sections.confusion(sections.Examined(results, trial, backend)),
        ]
        parts.append(Section(label[0].upper() + label[1:], tuple(blocks)))
    return sections.titled(title, first, parts)


def _raised(results: Results) -> Section:
    steps = [
        *STEPS,
        Setting("label smoothing 0.1: the fully connected network", FULLY_CONNECTED),
        Setting("convolutions, Adam, no smoothing", NO_DROPOUT),
        Setting("dropout 0.25: the CNN", CNN),
    ]
    return Section("What raised the accuracy", tuple(ablation(results, steps)))


LAB = Lab(
    "fashion",
    "Fashion-MNIST from scratch, and the same network in PyTorch",
    (CNN, FULLY_CONNECTED, NO_DROPOUT, *(step.trial for step in STEPS)),
    {"epochs": 1},
    epoch_line,
    report,
)
