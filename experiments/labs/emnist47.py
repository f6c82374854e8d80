"""The lab `emnist47`: 47 classes of handwritten characters."""

from pathlib import Path

from funcnn.experiments.data.emnist47 import EMNIST47
from funcnn.experiments.labs import sections
from funcnn.experiments.labs.examined import Examined, confusion, inside
from funcnn.experiments.labs.ingredients import what_augmentation_gave, with_augmentations
from funcnn.experiments.labs.lab import Lab, Results, Trial
from funcnn.experiments.labs.steps import ablation, one_after_another, what_changed
from funcnn.experiments.labs.tables import (
    Setting,
    compared,
    facts,
    verdict,
)
from funcnn.experiments.reports.document import (
    Block,
    Document,
    Formula,
    Section,
    Text,
    finding,
)
from funcnn.experiments.training.run_folder import EpochRow

_BASE = {"data": EMNIST47, "val_size": 8000, "split": "last", "batch_size": 100}  # whole batches
CNN = Trial("cnn", {**_BASE, "arch": "cnn3", "epochs": 4, "lr": 3e-3}, main=True)
_LABS_START = {
    **_BASE,
    "arch": "mlp2",
    "hidden": [60],
    "epochs": 4,
    "activation": "sigmoid",
    "loss": "squared-error",
    "weight_init": "normal",
    "lr": 0.06,  # along the mean of a batch of 100: the lab's 6e-4 along its sum
    "momentum": 0.0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "schedule": "constant",
}
STEPS = one_after_another(
    _LABS_START,
    {
        "784-60-47, sigmoid, squared error, N(0, 0.01²), SGD 0.06": {},
        "loss: cross-entropy": {"loss": "cross-entropy"},
        "activation: ReLU": {"activation": "relu"},
        "first weights: He's, and Glorot's in the last layer": {"weight_init": "auto"},
        "network: 784-256-128-47": {"arch": "mlp3", "hidden": [256, 128]},
        "learning rate falls as a cosine": {"schedule": "cosine"},
        "momentum 0.9": {"momentum": 0.9},
    },
)
BY_SGD = CNN.in_numpy("cnn-sgd", optimizer="sgd", lr=0.06, weight_decay=0.0)
AUGMENTED = with_augmentations(CNN, {"shifts": "shift=2"})
FILE = "DLAD-test-predict.csv"
_RATE = Text(
    "The first step is the lab's own beginning. Its learning rate of 6e-4 is one for gradients "
    "that are summed over a batch; of 100 images that is 0.06 along their mean, which the rates "
    "of this report are for."
)


def epoch_line(row: EpochRow) -> str:
    """As the lab prints it: losses, and accuracies in per cent."""
    assert row.val_loss is not None
    assert row.val_accuracy is not None
    return " ".join(
        (
            f"Epoch:{row.epoch:3d}",
            f"|Train Loss:{row.train_loss:8.4f}",
            f"|Train Acc:{100 * row.train_accuracy:3.4f}",
            f"|Val Loss:{row.val_loss:8.4f}",
            f"|Val Acc:{100 * row.val_accuracy:3.4f}",
        )
    )


def _data(results: Results) -> str:
    """What the data are called: where they are on a student's disk is nobody's business."""
    return Path(results.emnist or EMNIST47).name


def _labels(results: Results) -> Text:
    """Whether the test images have labels, and what those are used for."""
    said = f"The lab's own `test.csv` has no labels; `{_data(results)}`, which is read here, has "
    if results.task(CNN).data.test[1] is None:
        return finding(f"{said}none either: every accuracy is that of the validation set.")
    return finding(
        f"{said}them beside the images, so that the accuracy on the test set can be said. So these "
        "are not the lab's own files: where `data/train.csv` and `data/test.csv` are, the notebook "
        "reads those, and predicts them. Nothing was chosen by the test set: the settings, and the "
        "epoch whose weights are kept, go by the validation set."
    )


def _activations(results: Results) -> list[Block]:
    """ReLU and, where networks with it were tried, the sigmoid."""
    formulas = [
        r"\mathrm{ReLU:}\quad f(x) &= \max(0, x) & "
        r"f'(x) &= 1\ \mathrm{if}\ x > 0,\ \mathrm{else}\ 0"
    ]
    words = "ReLU follows each convolution."
    if not results.main_only:
        words = "ReLU follows each convolution; the first networks tried had sigmoids."
        formulas.append(
            r"\mathrm{sigmoid:}\quad s(x) &= \dfrac{1}{1 + \exp(-x)} & "
            r"s'(x) &= s(x) \, (1 - s(x))"
        )
    return [Text(words), Formula(formulas)]


def report(results: Results) -> Document:
    """Loss, network, activation, and what each changed."""
    settings = [Setting("CNN", CNN)]
    steps = [
        *STEPS,
        Setting("network: convolutions and dropout 0.25", BY_SGD),
        Setting("optimizer: Adam 0.003 for SGD with momentum: the network above", CNN),
    ]
    ours = Examined.shown(results, CNN, "numpy")
    return Document(
        LAB.title,
        "Digits and letters, by a network in NumPy, and by the same network in PyTorch.",
        [("Data", f"`{_data(results)}`, the last 8,000 rows for validation"), *facts(results)],
        (
            Section("Data", [*sections.sizes(results.task(CNN).data), _labels(results)]),
            sections.titled(
                "Loss",
                (
                    Text("Labels become one-hot vectors $t$; $z$ is the output of the last layer."),
                    Formula(
                        [
                            r"L &= -\mathrm{mean}\left(\sum t \, \log \mathrm{softmax}(z)\right) & "
                            r"\dfrac{dL}{dz} &= \dfrac{\mathrm{softmax}(z) - t}{n}",
                            r"E &= \mathrm{mean}\left(\frac{1}{2} \sum (z - t)^2\right) & "
                            r"\dfrac{dE}{dz} &= \dfrac{z - t}{n}",
                        ]
                    ),
                    Text(
                        "$L$ is the cross-entropy, which the network is trained with; $E$ the half "
                        "squared error that an early form of the lab has. The sums are over the "
                        "classes, the means over the $n$ images of a batch."
                    ),
                ),
                what_changed(results, steps, "loss", "What the change from $E$ to $L$ did:"),
            ),
            sections.titled(
                "Network",
                sections.network(results, CNN),
                what_changed(results, steps, "network: convolutions", "What the convolutions did:"),
            ),
            sections.titled(
                "Activation",
                _activations(results),
                what_changed(
                    results, steps, "activation", "What the change from the sigmoid to ReLU did:"
                ),
            ),
            sections.titled(
                "Results",
                (
                    *compared(
                        results, settings, "network", "Accuracy on the validation and the test set."
                    ),
                    verdict(results, CNN, 0.8, "test_accuracy"),
                ),
                [sections.screenshot(results, CNN, "numpy", "The CNN")],
                sections.training(results, CNN, "numpy"),
                confusion(ours),
                [*sections.handed_in(results, CNN, FILE), sections.lab_loop()],
            ),
            *(
                []
                if results.main_only
                else [
                    sections.titled(
                        "What each choice changed",
                        [_RATE, *ablation(results, steps)],
                        [what_augmentation_gave(results, CNN, AUGMENTED)],
                    )
                ]
            ),
            sections.titled(
                "The same network in PyTorch",
                sections.network_in_torch(results.task(CNN)),
                [sections.screenshot(results, CNN, "torch", "The CNN")],
                sections.training(results, CNN, "torch"),
                sections.differences(results, CNN),
            ),
            sections.titled("Inside the network", inside(ours)),
        ),
    )


LAB = Lab(
    "emnist47",
    "47 classes of handwritten characters",
    (CNN, BY_SGD, *AUGMENTED.values(), *(step.trial for step in STEPS)),
    {"epochs": 1},
    epoch_line,
    report,
)
