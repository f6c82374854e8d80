"""The lab `fashion`: Fashion-MNIST from scratch, then the same network in PyTorch."""

import itertools
from collections.abc import Mapping

from funcnn.experiments.labs import sections
from funcnn.experiments.labs.examined import Examined, confusion, inside
from funcnn.experiments.labs.ingredients import what_augmentation_gave, with_augmentations
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
_SGD = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "label_smoothing": 0.0}
FULLY_CONNECTED = Trial(
    "fully-connected", {**_BASE, **_SGD, "arch": "mlp3", "epochs": 10}, main=True
)
CNN = Trial("cnn", {**_BASE, "arch": "cnn3", "epochs": 10}, main=True)
_NETWORKS = {"CNN": CNN, "Fully connected": FULLY_CONNECTED}
_PLAIN = {
    **_BASE,
    **_SGD,
    "arch": "mlp2",
    "epochs": 10,
    "activation": "sigmoid",
    "weight_init": "glorot-uniform",
    "loss": "squared-error",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "schedule": "constant",
}
STEPS = one_after_another(
    _PLAIN,
    {
        "784-128-10: sigmoid, squared error, Glorot's first weights, SGD 0.05": {},
        "loss: cross-entropy": {"loss": "cross-entropy"},
        "activation: ReLU": {"activation": "relu"},
        "first weights: He's, and Glorot's in the last layer": {"weight_init": "auto"},
        "network: 784-256-128-10": {"arch": "mlp3"},
        "learning rate falls as a cosine": {"schedule": "cosine"},
        "weight decay 0.0005": {"weight_decay": 5e-4},
    },
)


RATES = {f"{lr:g}": FULLY_CONNECTED.in_numpy(f"lr-{lr:g}", lr=lr) for lr in (0.01, 0.02, 0.1)}
BATCHES = {
    f"{size}": FULLY_CONNECTED.in_numpy(f"batch-{size}", batch_size=size) for size in (50, 200, 500)
}
EPOCHS = {
    f"{epochs}": FULLY_CONNECTED.in_numpy(f"epochs-{epochs}", epochs=epochs) for epochs in (5, 20)
}
BY_SGD = CNN.in_numpy("cnn-sgd", optimizer="sgd", **_SGD)
AUGMENTED = with_augmentations(CNN, {"flips": "flip", "flips and shifts": "flip+shift=1"})
FILE = "DL-test-predicted.csv"


def report(results: Results) -> Document:
    """What raised the accuracy and by how much, and how the two parts differ."""
    examined = {
        (trial.name, backend): Examined.shown(results, trial, backend)
        for trial in _NETWORKS.values()
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
                [
                    Section(label, tuple(sections.differences(results, trial)))
                    for label, trial in _NETWORKS.items()
                ],
            ),
            sections.titled(
                "Inside the networks",
                *(inside(examined[trial.name, "numpy"]) for trial in _NETWORKS.values()),
            ),
        ),
    )


def _both_parts(results: Results) -> Section:
    """The validation accuracy of both, as a table and as it was printed."""
    settings = list(itertools.starmap(Setting, _NETWORKS.items()))
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
                "The target $t$ is 1 for the label and 0 for the other classes. Softmax and "
                "cross-entropy are one function, computed without overflow as "
                r"$\log p = z - \max z - \log \sum \, \exp(z - \max z)$."
            ),
            *sections.handed_in(results, CNN, FILE),
            sections.lab_loop(),
        ]
    parts = []
    for label, trial in _NETWORKS.items():
        if backend == "numpy":
            described = sections.network(results, trial)
        else:
            described = sections.network_in_torch(results.task(trial))
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
        Setting("momentum 0.9: the fully connected network", FULLY_CONNECTED),
        Setting("network: convolutions and dropout 0.25", BY_SGD),
        Setting("optimizer: Adam 0.002 for SGD, momentum and weight decay: the CNN", CNN),
    ]
    ours = FULLY_CONNECTED._replace(backends=("numpy",))
    rates, batches, epochs = ([*map(Setting, of, of.values())] for of in (RATES, BATCHES, EPOCHS))
    rates.insert(2, Setting("0.05 (as above)", ours))
    batches.insert(1, Setting("100 (as above)", ours))
    epochs.insert(1, Setting("10 (as above)", ours))
    rest = "the fully connected network, everything else as above"
    sweeps = [
        sweep(results, "Learning rates", rates, "learning rate", "lr", rest),
        sweep(results, "Batch sizes", batches, "images in a batch", "batch", rest),
    ]
    if not results.quick:  # which has one epoch of each
        sweeps.append(sweep(results, "Epochs", epochs, "epochs", "epochs", rest))
    about = Text(
        "Learning rates, batches and epochs are tried on the fully connected network, whose "
        "training takes a fraction of the CNN's. What the CNN has of them was not varied here. "
        "Where settings are level within the spread, the one that was chosen first is kept."
    )
    augmentation = what_augmentation_gave(results, CNN, AUGMENTED)
    return sections.titled(
        "What raised the accuracy", ablation(results, steps), [about], sweeps, [augmentation]
    )


LAB = Lab(
    "fashion",
    "Fashion-MNIST from scratch, and the same network in PyTorch",
    (
        CNN,
        FULLY_CONNECTED,
        BY_SGD,
        *AUGMENTED.values(),
        *(step.trial for step in STEPS),
        *RATES.values(),
        *BATCHES.values(),
        *EPOCHS.values(),
    ),
    {"epochs": 1},
    epoch_line,
    report,
)
