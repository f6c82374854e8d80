"""The lab `fashion-mlp`: an MLP for Fashion-MNIST, ranked by accuracy and size."""

import math
from collections.abc import Sequence

from funcnn.experiments.export.tensor_files import write_tensors
from funcnn.experiments.figures.scores import accuracy_against_size
from funcnn.experiments.labs import judgements, sections
from funcnn.experiments.labs.activation_theory import activation_functions
from funcnn.experiments.labs.examined import Examined, confusion, inside
from funcnn.experiments.labs.fashion_mlp_settings import (
    ACTIVATIONS,
    INGREDIENTS,
    MAIN,
    OTHERS,
    OURS,
    SIZES,
    TRIALS,
)
from funcnn.experiments.labs.ingredients import what_each_gave
from funcnn.experiments.labs.lab import Lab, Results, Trial
from funcnn.experiments.labs.layers_in_words import activation_in_words
from funcnn.experiments.labs.momentum_theory import MEASURED, measure, recurrences
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

SIZE_LIMIT = 2_000_000  # bytes that the model may have


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
                        [Setting(_widths(results, MAIN), MAIN)],
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
    return [
        what_each_gave(results, INGREDIENTS),
        _against_size(results),
        _activations(results),
        _loss(results),
        recurrences(results, INGREDIENTS.rest(results)),
        _another(results),
    ]


def _widths(results: Results, trial: Trial) -> str:
    """Of the network's inputs, hidden layers and outputs: `784-32-10`."""
    task = results.task(trial)
    sizes = [math.prod(task.input_shape), *task.config.hidden, len(task.data.class_names)]
    return "-".join(map(str, sizes))


def _hidden(results: Results) -> str:
    return f"{'-'.join(map(str, results.config(OURS).hidden))}, which is handed in"


def _size(results: Results, trial: Trial) -> int:
    """Bytes of the parameters, float32."""
    return 4 * int(results.summary(trial)["parameters"])


def _against_size(results: Results) -> Section:
    settings = [*map(Setting, SIZES, SIZES.values()), Setting(_hidden(results), OURS)]
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
            Table(header, tuple(rows), f"Sizes; {INGREDIENTS.rest(results)}."),
            _why_this_size(results, settings),
            shown(path, caption, accuracy_against_size, places, SIZE_LIMIT),
            _smaller(results, settings),
        ),
    )


def _smaller(results: Results, settings: Sequence[Setting]) -> Text:
    """What the smallest network loses to that which is handed in."""
    smallest, ours = settings[0], Setting("that of the size that is handed in", OURS)
    scored = []
    for label, trial in (ours, smallest):
        spread = results.spread(trial, "numpy", "test_accuracy")
        assert spread is not None
        scored.append((label, spread))
    share = _size(results, smallest.trial) / _size(results, OURS)
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
        return finding("By the validation set (NumPy) the size above is the best of these.")
    times = _size(results, best) / _size(results, OURS)
    return finding(
        f"By the validation set (NumPy) {'-'.join(map(str, results.config(best).hidden))} is the "
        f"best of these, {validation(best) - validation(OURS):.2f} points above that of the size "
        f"that is handed in, with {times:.2f} times as much."
    )


def _activations(results: Results) -> Section:
    settings = [Setting(activation_in_words(name), trial) for name, trial in ACTIVATIONS.items()]
    lr = results.config(ACTIVATIONS["relu"]).lr
    section = sweep(
        results,
        "Activations",
        settings,
        "activation",
        "activation",
        f"{INGREDIENTS.rest(results)}, but for the first weights, which suit each, and the "
        f"learning rate, {lr:g}, at which all of them learn",
    )
    return sections.titled(section.title, activation_functions(), section.blocks)


def _loss(results: Results) -> Section:
    config = results.config(MAIN)
    share = f"a share s = {config.label_smoothing:g} of" if config.label_smoothing else "none of"
    return Section(
        "Loss",
        (
            Formula([r"L = -\sum_i \left( f_{y_i}(x_i) - \log \sum_k \, \exp f_k(x_i) \right)"]),
            Text(
                "The largest output is taken off before exp, which changes nothing and cannot "
                "overflow; a batch is averaged. With label smoothing, a share s of every label is "
                "spread evenly over the K classes, and the loss is the same cross-entropy of these "
                "softer targets,"
            ),
            Formula(
                [
                    r"L_s = -\sum_i \left( (1 - s) f_{y_i}(x_i) + \frac{s}{K} \sum_k f_k(x_i) "
                    r"- \log \sum_k \, \exp f_k(x_i) \right)"
                ]
            ),
            Text(
                f"which is the lab's formula where s = 0. Here {share} every label is spread while "
                "the network learns; every loss in this report, of training and validation alike, "
                "is the lab's, without it."
            ),
        ),
    )


def _another(results: Results) -> Section:
    ours = MAIN._replace(backends=("numpy",))
    settings = [Setting("Fashion-MNIST (above)", ours)]
    settings += [Setting(name, trial) for name, trial in OTHERS.items() if trial in results.trials]
    blocks = compared(
        results,
        settings,
        "dataset",
        "The same model and settings, nothing retuned (NumPy); 10,000 for validation.",
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
    TRIALS,
    {"epochs": 1},
    epoch_line,
    report,
    measure,
    MEASURED,
)
