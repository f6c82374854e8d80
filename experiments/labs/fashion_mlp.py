"""The lab `fashion-mlp`: an MLP for Fashion-MNIST, ranked by accuracy and size."""

from collections.abc import Sequence

from funcnn.experiments.data.emnist47 import EMNIST47
from funcnn.experiments.errors import sizes_text
from funcnn.experiments.export.tensor_files import write_tensors
from funcnn.experiments.figures.scores import accuracy_against_size
from funcnn.experiments.labs import figures, judgements, sections
from funcnn.experiments.labs.activation_theory import activation_functions
from funcnn.experiments.labs.examined import Examined, confusion, inside
from funcnn.experiments.labs.lab import Lab, Results, Trial
from funcnn.experiments.labs.layers_in_words import activation_in_words
from funcnn.experiments.labs.momentum_theory import recurrences_apart
from funcnn.experiments.labs.tables import (
    ACCURACIES,
    Setting,
    cell,
    compared,
    epoch_line,
    facts,
    scores_of,
    shown,
    sweep,
    verdict,
)
from funcnn.experiments.pytorch.state_dicts import in_mlp, to_state_dict
from funcnn.experiments.reports.document import (
    Block,
    Document,
    Formula,
    Section,
    Table,
    Text,
    finding,
)
from funcnn.experiments.training.callback import Callback

SIZE_LIMIT = 2_000_000  # bytes that the model may have
_STEPS = 200  # of the two recurrences beside each other
_SCHEDULES = {"constant rate": "constant", "falling rate": "cosine"}  # of theirs
_LABS = {"optimizer": "classical-momentum", "label_smoothing": 0.0}  # as it writes both
_BASE = {"arch": "mlp3", "data": "fashion-mnist", "epochs": 20, **_LABS}
MAIN = Trial("mlp", _BASE, main=True)
OURS = MAIN._replace(backends=("numpy",))  # beside what is tried, which is in NumPy alone


SMOOTHED = MAIN.in_numpy("label-smoothing", label_smoothing=0.1)
SIZES = {
    "-".join(map(str, hidden)): MAIN.in_numpy(f"hidden-{sizes_text(hidden)}", hidden=hidden)
    for hidden in ([32], [64, 32], [128, 64], [512, 128])
}
ACTIVATIONS = {
    name: MAIN.in_numpy(f"activation-{name}", activation=name)
    for name in (
        *("identity", "binary-step", "sigmoid", "tanh", "arctan"),
        *("prelu", "elu", "softplus"),
    )
}
MOMENTUM = {
    "the lab's, constant rate": MAIN.in_numpy("lab-constant", schedule="constant"),
    "PyTorch's, constant rate": MAIN.in_numpy(
        "torch-constant", optimizer="sgd", schedule="constant"
    ),
    "PyTorch's, falling rate": MAIN.in_numpy("torch-falling", optimizer="sgd"),
}
OTHERS = {
    "MNIST": MAIN.in_numpy("on-mnist", data="mnist"),
    "EMNIST, 47 classes": MAIN.in_numpy("on-emnist", data=EMNIST47),
}


def report(results: Results) -> Document:
    """Model and size, activations, loss, optimizer, and another dataset."""
    ours = Examined.shown(results, MAIN, "numpy")
    return Document(
        LAB.title,
        "As accurate as can be in less than 2 MB, without convolutions.",
        facts(results),
        (
            sections.titled("Data", sections.sizes(results.task(MAIN).data)),
            sections.titled(
                "Model",
                sections.network(results, MAIN),
                (
                    *compared(
                        results,
                        [Setting("784-256-128-10", MAIN)],
                        "model",
                        "Accuracy on the validation and the test set.",
                    ),
                    verdict(results, MAIN, 0.85, "test_accuracy"),
                ),
                sections.training(results, MAIN, "numpy"),
                [sections.screenshot(results, MAIN, "numpy", "The MLP")],
                confusion(ours),
            ),
            *([] if results.main_only else _choices(results)),
            sections.titled("What is handed in", _handed_in(results)),
            sections.titled(
                "NumPy with PyTorch",
                sections.network_in_torch(results.task(MAIN)),
                sections.training(results, MAIN, "torch"),
                [sections.screenshot(results, MAIN, "torch", "The MLP")],
                sections.differences(results, MAIN),
            ),
            sections.titled("Inside the network", inside(ours)),
        ),
    )


def _choices(results: Results) -> list[Section]:
    """What each of them changed, and what the same model is on other data."""
    return [of(results) for of in (_against_size, _activations, _loss, _optimizer, _another)]


def _size(results: Results, trial: Trial) -> int:
    """Bytes of the parameters, float32."""
    return 4 * int(results.summary(trial)["parameters"])


def _against_size(results: Results) -> Section:
    settings = [*map(Setting, SIZES, SIZES.values()), Setting("256-128 (above)", OURS)]
    settings.sort(key=lambda setting: _size(results, setting.trial))
    rows = [
        (
            label,
            f"{_size(results, trial) / 1e6:.2f}",
            *(cell(results.spread(trial, "numpy", score), score) for score in ACCURACIES),
        )
        for label, trial in settings
    ]
    header = ("hidden layers", "size (MB)", *ACCURACIES.values())
    path = results.out / "figures" / "size.png"
    sizes = {label: _size(results, trial) for label, trial in settings}
    scores = scores_of(results, settings, "test_accuracy")
    places = [(sizes[score.label], score) for score in scores]
    caption = "Accuracy on the test set against size (NumPy)."
    return Section(
        "Accuracy against size",
        (
            finding(
                f"The size is that of the parameters, four bytes each; the limit is "
                f"{SIZE_LIMIT / 1e6:g} MB. The lab's own example 784-512-512-10 has 2.68 MB."
            ),
            Table(header, tuple(rows), "Sizes (NumPy), everything else as above."),
            _why_this_size(results, settings),
            shown(path, caption, accuracy_against_size, places, SIZE_LIMIT),
            _smaller(results, settings),
        ),
    )


def _smaller(results: Results, settings: Sequence[Setting]) -> Text:
    """What the smallest network loses to that which is handed in."""
    smallest, ours = settings[0], Setting("the network that is handed in", MAIN)
    scored = []
    for label, trial in (ours, smallest):
        spread = results.spread(trial, "numpy", "test_accuracy")
        assert spread is not None
        scored.append((label, spread))
    share = _size(results, smallest.trial) / _size(results, MAIN)
    return finding(
        f"With {share:.0%} of the size, on the test set (NumPy) {judgements.against(*scored)}."
    )


def _why_this_size(results: Results, settings: Sequence[Setting]) -> Text:
    """What the size above gives away, by the validation set."""

    def validation(trial: Trial) -> float:
        spread = results.spread(trial, "numpy", "val_accuracy")
        assert spread is not None
        return 100 * spread.mean

    best = max(settings, key=lambda setting: validation(setting.trial)).trial
    if best is OURS:
        return finding("By the validation set (NumPy) the network above is the best of these.")
    times = _size(results, best) / _size(results, MAIN)
    return finding(
        f"By the validation set (NumPy) {'-'.join(map(str, results.config(best).hidden))} is the "
        f"best of these, {validation(best) - validation(MAIN):.2f} points above the network that "
        f"is handed in, with {times:.2f} times its size."
    )


def _activations(results: Results) -> Section:
    settings = [Setting(activation_in_words(name), trial) for name, trial in ACTIVATIONS.items()]
    settings.insert(5, Setting("ReLU (above)", OURS))
    section = sweep(
        results,
        "Activations",
        settings,
        "activation",
        "activation",
        "NumPy; the first weights as they suit each, everything else as above",
    )
    return sections.titled(section.title, activation_functions(), section.blocks)


def _loss(results: Results) -> Section:
    written = Setting("as the lab writes it (above)", OURS)
    settings = [written, Setting("with label smoothing", SMOOTHED)]
    return Section(
        "Loss",
        (
            Formula([r"L = -\sum_i \left( f_{y_i}(x_i) - \log \sum_k \, \exp f_k(x_i) \right)"]),
            Text(
                "The largest output is taken off before exp, which changes nothing and cannot "
                "overflow; a batch is averaged. Label smoothing, a tenth of every label spread "
                "evenly over the classes, is the same cross-entropy of softer targets; the lab's "
                "formula has none, and so has the network above."
            ),
            *compared(results, settings, "loss", "Everything else as above (NumPy)."),
        ),
    )


def _optimizer(results: Results) -> Section:
    settings = [
        Setting("the lab's, falling rate (above)", OURS),
        *map(Setting, MOMENTUM, MOMENTUM.values()),
    ]
    section = sweep(
        results, "Optimizer", settings, "recurrence", "momentum", "NumPy; everything else as above"
    )
    return sections.titled(
        section.title,
        (
            Formula(
                [
                    r"\mathrm{the\ lab's}\quad v_t &= b v_{t-1} - g h w_{t-1} - h G_{t-1} & "
                    "w_t &= w_{t-1} + v_t",
                    r"\mathrm{PyTorch's}\quad v_t &= b v_{t-1} + g w_{t-1} + G_{t-1} & "
                    "w_t &= w_{t-1} - h v_t",
                ]
            ),
            Text(
                "With $b$ momentum, $g$ weight decay, $h$ learning rate and $G$ the gradient. "
                "While $h$ is constant, the lab's $v$ is $-h$ times PyTorch's and $w$ is the same, "
                "but for rounding, by which runs in single precision part as two seeds do. "
                "When $h$ falls, the lab's $v$ still holds steps made with the higher rates, so "
                "that a change of $h$ takes some $1 / (1 - b)$ steps to arrive."
            ),
            *_apart(results),
        ),
        section.blocks,
    )


def _apart(results: Results) -> list[Block]:
    """How far the two recurrences take the params apart, from one start with the same batches."""
    distances: dict[str, list[float]] = results.measured
    path = results.out / "figures" / "recurrences.png"
    caption = "How far the two recurrences are apart, step by step (NumPy, float64)."
    ends = ", ".join(f"**{values[-1]:.1e}** under a {name}" for name, values in distances.items())
    return [
        shown(path, caption, figures.apart, distances),
        finding(
            f"In float64, from the same first weights and with the same batches, the params of the "
            f"two are, after {_STEPS} steps, so far apart relative to their own length: {ends}."
        ),
    ]


def measure(results: Results, callback: Callback, at_once: int) -> dict[str, list[float]]:
    """How far the two recurrences are apart after each step."""
    callback.note("the two recurrences beside each other")
    task = results.task(MAIN)
    return {
        label: recurrences_apart(task, schedule, _STEPS) for label, schedule in _SCHEDULES.items()
    }


def _another(results: Results) -> Section:
    settings = [Setting("Fashion-MNIST (above)", OURS)]
    settings += [Setting(name, trial) for name, trial in OTHERS.items() if trial in results.trials]
    blocks = compared(
        results, settings, "dataset", "The same model and settings (NumPy); 10,000 for validation."
    )
    if results.emnist is None:
        blocks.append(finding("EMNIST was not found when this was trained: left out."))
    return Section("Another dataset", tuple(blocks))


def _handed_in(results: Results) -> list[Block]:
    out = results.out / "submission.pt"
    trained = results.model(MAIN, "torch")
    tensors = to_state_dict(trained.model, trained.params)
    write_tensors(out, in_mlp(tensors, trained.normalization), {})
    return [
        *sections.handed_in(results, MAIN, "submission.csv", "torch"),
        finding(
            f"`{out.name}` has the parameters of the same run, {out.stat().st_size / 1e6:.2f} MB, "
            "by the names of the lab's `myMLP`. Mean and deviation of the inputs are in its first "
            "layer, so that it takes pixels from 0 to 1. It is the notebook's, too, that is handed "
            "in, which trains by the lab's own classes and loop."
        ),
    ]


LAB = Lab(
    "fashion-mlp",
    "An MLP for Fashion-MNIST, ranked by accuracy and size",
    (
        MAIN,
        SMOOTHED,
        *SIZES.values(),
        *MOMENTUM.values(),
        *OTHERS.values(),
        *ACTIVATIONS.values(),
    ),
    {"epochs": 1},
    epoch_line,
    report,
    measure,
    _SCHEDULES,
)
