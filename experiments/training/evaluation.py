"""How good a model is: on what its run was trained with, or on any data that has labels."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import load_inputs
from funcnn.experiments.data.images import ImageData
from funcnn.experiments.data.provenance import expected_data, say_what_was_read
from funcnn.experiments.errors import InputError, printable, quoted
from funcnn.experiments.tasks.build import build_network, build_plain_loss, load_data
from funcnn.experiments.tasks.model_records import another_network
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.training.model import TrainedModel, load_model, model_of
from funcnn.experiments.training.run_folder import RunFolder
from funcnn.training import Metric
from funcnn.types import Array


def evaluate_model(
    run: Path,
    data: str | None = None,
    own: OwnModel | None = None,
    *,
    allow_changed: bool = False,
    mirrored: bool = False,
) -> dict[str, Any]:
    """As `evaluate_on` if data are given, else as `evaluate_run`, which needs a run's folder.

    own: its network, if it is a user's own. mirrored: as `TrainedModel.mirrored`. Raises
    `InputError` for a snapshot alone, and as they do.
    """
    if data is not None:
        if allow_changed:
            raise InputError("--allow-changed-data is for the run's own data: leave out --data")
        return evaluate_on(run, data, own, mirrored=mirrored)
    if run.is_file() and run.suffix.lower() == ".npz" and run.name != "last.npz":
        beside = RunFolder(run.parent)
        folder = beside.config.is_file() and run == beside.params
        also = f", or its run: funcnn evaluate {quoted(run.parent)}" if folder else ""
        raise InputError(
            f"{run} is a snapshot, which does not say which data it was trained with: give some, "
            f"as --data fashion-mnist{also}"
        )
    return evaluate_run(RunFolder.open(run, own), allow_changed=allow_changed, mirrored=mirrored)


def evaluate_run(
    folder: RunFolder, *, allow_changed: bool = False, mirrored: bool = False
) -> dict[str, Any]:
    """How good a run's model is on its validation and test sets, if they have labels.

    Loss and accuracy; precision and recall of each class, in the order of `class_names`; and
    for logits the calibration error; of more than 5 classes, the top-5 accuracy.
    allow_changed: also on other data than the run was trained with. mirrored: as of
    `evaluate_model`. Raises `InputError` if they
    are other, cannot be used or do not fit the model, or if that is damaged; `SnapshotError`.
    """
    config, model = folder.read_config(), load_model(folder)
    described = build_network(config, model.input_shape, len(model.class_names))
    if described.spec != model.model.spec and config.own is not None:
        raise InputError(another_network(config.own, folder))
    if described.spec != model.model.spec:
        raise InputError(f"{folder.params} is of another network than {folder.config} describes")
    expected = expected_data(folder.path, allow_changed=allow_changed)
    data = load_data(config, expected)
    say_what_was_read(folder.path, expected, data.record)
    model.as_inputs(data.test[0], config.data)
    model = model.mirrored() if mirrored else model
    if model.class_names != data.class_names:
        raise InputError(
            f"{config.data} has {len(data.class_names)} classes that are not the "
            f"{len(model.class_names)} of the model in {folder.params}"
        )
    measured: dict[str, Any] = {}
    loss, details = build_plain_loss(config), _details(len(model.class_names), config.loss)
    if config.own is not None:
        details |= {name: partial(config.own.measure, name) for name in config.own.metrics}
    for part, (x, y) in (("val", data.validation or (None, None)), ("test", data.test)):
        if x is not None and y is not None:
            outputs = model.predict(x)
            scores = {"loss": loss(outputs, y)[0], **_measured(outputs, y, details)}
            measured |= {f"{part}_{name}": value for name, value in scores.items()}
    if not measured:
        raise InputError(f"{config.data} has no labels to evaluate {folder} with")
    names = list(model.class_names)
    return {"run": str(folder), "data": config.data, "class_names": names, **measured}


def evaluate_on(
    run: Path, data: str, own: OwnModel | None = None, *, mirrored: bool = False
) -> dict[str, Any]:
    """How good the model of a run's folder, or of a snapshot, is on any data that has labels.

    On its test set, or where there is none on all the images; `test_is` says which. Measures as of
    `evaluate_run`; the loss is the cross-entropy, of outputs that stand for probabilities.
    Raises `InputError` if the data cannot be used, have no labels there or others than the model
    knows, or do not fit it; `SnapshotError`.
    """
    model, loaded = model_of(run, own), load_inputs(data)
    x, labels = loaded.test or loaded.train or (loaded.inputs, None)
    if labels is None:
        raise InputError(f"the images of {data} have no labels to evaluate {run} with")
    y = _as_the_model_counts(model, loaded, labels, data)
    model = model.mirrored() if mirrored else model
    outputs = model.predict(model.as_inputs(x, data))
    measured: dict[str, Any] = {}
    if outputs.shape[1] == 1:
        outputs, y = model.probabilities(outputs)[:, 1:], y.reshape(len(y), 1)
        measured["loss"] = fn.binary_cross_entropy(outputs, y)[0]
    elif model.outputs != "scores":
        shares = model.probabilities(outputs)
        if shares is outputs:  # they are probabilities: their logarithms are logits of the same
            outputs = np.log(np.maximum(shares, np.finfo(shares.dtype).tiny))
        measured["loss"] = fn.softmax_cross_entropy(outputs, y)[0]
    loss = "cross-entropy" if "loss" in measured else "another"
    measured |= _measured(outputs, y, _details(len(model.class_names), loss))
    if own is not None:
        measured |= own.measured(outputs, y)
    measured["is"] = "the test set" if loaded.test else "all the images"
    names = list(model.class_names)
    of_test = {f"test_{name}": value for name, value in measured.items()}
    return {"run": str(run), "data": data, "class_names": names, **of_test}


def _as_the_model_counts(model: TrainedModel, data: ImageData, labels: Array, name: str) -> Array:
    """Labels, indices of the data's classes, as indices of the model's.

    Classes are the same by their names, or else by how their labels are written, which is said.
    Raises `InputError` if the model does not know one.
    """
    if set(data.class_names) <= set(model.class_names):
        known, written = model.class_names, data.class_names
    elif set(data.labels) <= set(model.labels):
        known, written = model.labels, data.labels
        first = f"{written[0]} is {model.class_names[known.index(written[0])]}"
        line = f"the classes of {name} have other names than the model's: {first}, and so on"
        logging.getLogger(__name__).warning("%s", printable(line))
    else:
        raise InputError(
            f"{name} has classes that the model does not know, such as "
            f"{min(set(data.class_names) - set(model.class_names))}: it knows {_few(model)}"
        )
    indices = np.array([known.index(each) for each in written])
    return labels if (indices == np.arange(len(indices))).all() else indices[labels]


def _few(model: TrainedModel) -> str:
    names = model.class_names
    return ", ".join(names) if len(names) <= 10 else f"{', '.join(names[:3])}, ..., {names[-1]}"


def _measured(outputs: Array, y: Array, details: Mapping[str, Metric]) -> dict[str, Any]:
    """Accuracy and the details of outputs `(N, K)`, and of how many examples that is."""
    metrics: dict[str, Metric] = {"accuracy": fn.accuracy, **details}
    measured = {name: metric(outputs, y) for name, metric in metrics.items()}
    return {**measured, "examples": len(y)}


def _details(classes: int, loss: str) -> dict[str, Metric]:
    """Metrics as lists and numbers; only outputs trained as logits say how sure they are."""
    details: dict[str, Metric] = {
        "precision": lambda outputs, y: fn.precision(outputs, y).tolist(),
        "recall": lambda outputs, y: fn.recall(outputs, y).tolist(),
    }
    if classes > 2 and loss == "cross-entropy":
        details["calibration_error"] = fn.expected_calibration_error
    if classes > 5:
        details["top_5_accuracy"] = fn.top_k_accuracy
    return details
