"""A model that a run kept: to predict with, and to evaluate."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import Normalization
from funcnn.experiments.data.images import are_counted
from funcnn.experiments.data.provenance import expected_data, say_what_was_read
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.build import (
    build_network,
    build_plain_loss,
    load_data,
    own_preparation,
)
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.run_folder import RunFolder
from funcnn.inference import in_one_dtype
from funcnn.training import Metric
from funcnn.types import Array, Layer, Loss, Tree


class TrainedModel(NamedTuple):
    """A model from a run's snapshot, with what is needed to feed it stored inputs."""

    model: Layer
    params: Tree
    input_shape: tuple[int, ...]
    prepare: Callable[[Array], Array]
    """Makes of stored inputs those of the model: a `Normalization`, or a user's own."""
    class_names: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """How the training data write the label of each class; none: by its index."""

    @property
    def normalization(self) -> Normalization:
        """The normalisation, of a model that has no preparation of a user's own."""
        assert isinstance(self.prepare, Normalization)
        return self.prepare

    def check_inputs(self, x: Array, name: str) -> None:
        """Raise `InputError`, with the data's name, for stored inputs of another shape."""
        normalized = isinstance(self.prepare, Normalization)
        if x.shape[1:] != self.input_shape and normalized:
            raise InputError(
                f"{name}: the model takes inputs of shape {self.input_shape}, not {x.shape[1:]}"
            )

    def predict(self, x: Array) -> Array:
        """The outputs for stored inputs."""
        params, prepare = in_one_dtype(self.params, self.prepare)
        outputs: Array = fn.predict(self.model.apply, params, x, preprocess=prepare)
        return outputs

    def evaluate(
        self, loss: Loss, examples: tuple[Array, Array], details: Mapping[str, Metric]
    ) -> dict[str, Any]:
        """Loss, accuracy and the details over stored examples."""
        metrics: dict[str, Metric] = {"accuracy": fn.accuracy, **details}
        params, prepare = in_one_dtype(self.params, self.prepare)
        return fn.evaluate(
            self.model.apply, loss, params, examples, metrics=metrics, preprocess=prepare
        )


def save_model(folder: RunFolder, task: Task, params: Tree) -> None:
    """Write the model that a run of this task keeps."""
    model, data, prepare = task.model, task.data, task.prepare
    shape, _ = model.init(fn.random.SHAPES_ONLY, task.input_shape)
    normalized = isinstance(prepare, Normalization)
    fn.save(
        folder.params,
        params,
        model=model,
        input_shape=task.input_shape,
        normalization=dataclasses.asdict(data.normalization) if normalized else None,
        class_names=list(data.class_names),
        outputs="scores" if task.config.loss == "squared-error" and shape != (1,) else None,
        notes=None if are_counted(data.labels) else {"labels": list(data.labels)},
    )


def params_file(folder: RunFolder) -> Path:
    """The snapshot of the model that a run kept. Raises `InputError` if it has none yet."""
    if not folder.params.exists():
        raise InputError(folder.lacks(folder.params))
    return folder.params


def load_model(folder: RunFolder) -> TrainedModel:
    """The model that a run kept. Raises `InputError` if it has none yet, `SnapshotError`."""
    own = folder.own if folder.config.exists() else None
    return read_model(params_file(folder), own, folder.read_config() if own else None)


def load_snapshot(file: Path, own: OwnModel | None) -> fn.Snapshot:
    """The snapshot in a file, whose layers may be a user's own. Raises `SnapshotError`.

    `InputError` if it has some, and they do not give them.
    """
    layers = [] if own is None else own.layers
    try:
        return fn.load(file, layers=layers)
    except fn.SnapshotError as error:
        if "layers=[...]" not in str(error):
            raise
        which = "--model FILE.py:NAME" if own is None else f"--model {own.name}"
        raise InputError(f"{str(error).partition(' (known')[0]}: give {which}") from None


def expect_finite(params: Tree, file: Path) -> None:
    """Raise `InputError`, naming the first, if params from a file hold NaN or infinity."""
    if wrong := not_finite(params):
        raise InputError(
            f"{file} holds values that are not finite ({wrong[0]}): it was damaged, or its "
            "training went wrong; train again, with a smaller --lr"
        )


def not_finite(tree: Tree) -> list[str]:
    """The paths of the leaves that hold NaN or infinity."""
    leaves = ((path, np.asarray(leaf)) for path, leaf in fn.tree.leaves_with_path(tree))
    return [
        path for path, leaf in leaves if leaf.dtype.kind in "fc" and not np.isfinite(leaf).all()
    ]


def read_model(
    file: Path, own: OwnModel | None = None, config: RunConfig | None = None
) -> TrainedModel:
    """The model in a snapshot.

    own: the network, if it is a user's own; config: what it was made with. Raises `InputError` if
    the file does not say which it is, or has params that are not finite; `SnapshotError`.
    """
    snapshot = load_snapshot(file, own)
    expect_finite(snapshot.params, file)
    class_names = tuple(snapshot.class_names or ())
    model, input_shape = snapshot.model, snapshot.input_shape
    if model is None and input_shape is not None and config is not None:
        model = build_network(config, input_shape, len(class_names))
    if model is None or input_shape is None:
        raise InputError(f"{file} does not say which model it is of")
    prepare = None if own is None or config is None else own_preparation(config, input_shape)
    if prepare is None:
        prepare = _normalization(file, snapshot)
    notes = snapshot.notes if isinstance(snapshot.notes, dict) else {}
    labels = notes.get("labels", [str(index) for index in range(len(class_names))])
    if not isinstance(labels, list) or list(map(type, labels)) != [str] * len(class_names):
        raise InputError(f"{file}: its labels are not those of {len(class_names)} classes")
    return TrainedModel(model, snapshot.params, input_shape, prepare, class_names, tuple(labels))


def _normalization(file: Path, snapshot: fn.Snapshot) -> Normalization:
    if snapshot.normalization is None:
        raise InputError(f"{file} does not say which model it is of")
    try:
        return Normalization(**snapshot.normalization)
    except TypeError:
        raise InputError(f"{file}: its normalization is incomplete") from None


def evaluate_run(folder: RunFolder, *, allow_changed: bool = False) -> dict[str, Any]:
    """How good a run's model is on its validation and test sets, if they have labels.

    Loss and accuracy; precision and recall of each class, in the order of `class_names`; and
    for logits the calibration error; of more than 5 classes, the top-5 accuracy.
    allow_changed: also on other data than the run was trained with. Raises `InputError` if they
    are other, cannot be used or do not fit the model, or if that is damaged; `SnapshotError`.
    """
    config, model = folder.read_config(), load_model(folder)
    described = build_network(config, model.input_shape, len(model.class_names))
    if described.spec != model.model.spec:
        raise InputError(f"{folder.params} is of another network than {folder.config} describes")
    expected = expected_data(folder.path, allow_changed=allow_changed)
    data = load_data(config, expected)
    say_what_was_read(folder.path, expected, data.record)
    model.check_inputs(data.test[0], config.data)
    if model.class_names != data.class_names:
        raise InputError(
            f"{config.data} has {len(data.class_names)} classes that are not the "
            f"{len(model.class_names)} of the model in {folder.params}"
        )
    measured: dict[str, Any] = {}
    details = _details(len(model.class_names), config.loss)
    if config.own is not None:
        details |= {name: partial(config.own.measure, name) for name in config.own.metrics}
    for part, (x, y) in (("val", data.validation or (None, None)), ("test", data.test)):
        if x is not None and y is not None:
            scores = model.evaluate(build_plain_loss(config), (x, y), details)
            scores["examples"] = len(x)
            measured |= {f"{part}_{name}": value for name, value in scores.items()}
    if not measured:
        raise InputError(f"{config.data} has no labels to evaluate {folder} with")
    names = list(model.class_names)
    return {"run": str(folder), "data": config.data, "class_names": names, **measured}


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
