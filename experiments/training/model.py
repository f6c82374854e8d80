"""The model in a snapshot, such as a run keeps: to predict with."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn import inference
from funcnn._written import by_shapes
from funcnn.evaluation import View
from funcnn.experiments.data.datasets import Dataset, Normalization
from funcnn.experiments.data.images import are_counted
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.build import own_preparation, prepared_shape
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.training.run_folder import RunFolder
from funcnn.inference import Outputs, in_one_dtype
from funcnn.types import Array, Layer, Shape, Tree


@by_shapes
class TrainedModel(NamedTuple):
    """A model from a snapshot, with what is needed to feed it stored inputs."""

    model: Layer
    params: Tree
    input_shape: tuple[int, ...]
    prepare: Callable[[Array], Array]
    """Makes of stored inputs those of the model: a `Normalization`, or a user's own."""
    class_names: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """How the training data write the label of each class; none: by its index."""
    outputs: Outputs | None = None
    """What the network gives, as of `fn.save`."""
    views: tuple[View, ...] | None = None
    """What it sees of each input, as of `fn.predict`; None: the input alone."""

    def mirrored(self) -> "TrainedModel":
        """The same, whose outputs are the mean of those for an image and for its mirror image."""
        return self._replace(views=(fn.views.unchanged, fn.views.mirrored))

    @property
    def normalization(self) -> Normalization:
        """The normalisation. Raises `InputError` if a user's own code prepares the inputs."""
        if not isinstance(self.prepare, Normalization):
            raise InputError(
                "the model has a preprocess of its own: it takes data sets, and no pictures"
            )
        return self.prepare

    def as_inputs(self, x: Array, name: str) -> Array:
        """Stored inputs `(N, ...)` in the shape that is prepared for the model.

        A model of rows `(D,)`, or of images `(H, W)` without a channel, gets grey images as such.
        Raises `InputError`, with the data's name, for inputs of another shape; what a user's own
        code prepares may be of any.
        """
        shape = self.input_shape
        if x.shape[1:] == shape or not isinstance(self.prepare, Normalization):
            return x
        if x.shape[1:2] == (1,) and shape in (x.shape[2:], (math.prod(x.shape[2:]),)):
            return x.reshape(len(x), *shape)  # (N, 1, H, W) -> (N, H*W) or (N, H, W)
        raise InputError(f"{name}: the model takes inputs of shape {shape}, not {x.shape[1:]}")

    def predict(self, x: Array) -> Array:
        """The outputs for stored inputs. Raises `InputError` if its views are of no images."""
        if self.views is not None and x.ndim < 3:
            raise InputError(f"--mirrored: the inputs are no images, but of shape {x.shape[1:]}")
        params, prepare = in_one_dtype(self.params, self.prepare)
        outputs: Array = fn.predict(
            self.model.apply, params, x, preprocess=prepare, views=self.views
        )
        return outputs

    def classes(self, outputs: Array) -> Array:
        """The predicted classes `(N,)`. Raises `InputError` as `probabilities`, for one output."""
        one = outputs.shape[1] == 1
        return fn.predicted_classes(self.probabilities(outputs)[:, 1:] if one else outputs)

    def probabilities(self, outputs: Array) -> Array:
        """The probability of each class `(N, K)` that the outputs stand for, of one output too.

        Raises `InputError` if they stand for none, or if nothing says what the one output is.
        """
        if self.outputs == "scores":
            raise InputError(
                "the network gives scores, as one trained with --loss squared-error does, and no "
                "probabilities: train with --loss cross-entropy"
            )
        try:
            shares = inference.probabilities(outputs, self.model, self.outputs)
        except ValueError:
            raise InputError(
                "the snapshot does not say what the network's one output is: save it with "
                "fn.save(..., outputs='logits'), or 'probabilities'"
            ) from None
        return np.hstack([1 - shares, shares]) if shares.shape[1] == 1 else shares


def save_model(
    folder: RunFolder, config: RunConfig, data: Dataset, model: Layer, params: Tree
) -> None:
    """Write the model that a run of this config keeps on these data."""
    input_shape = prepared_shape(config, data)
    shape, _ = model.init(fn.random.SHAPES_ONLY, input_shape)
    normalized = own_preparation(config, input_shape) is None
    fn.save(
        folder.params,
        params,
        model=model,
        input_shape=input_shape,
        normalization=dataclasses.asdict(data.normalization) if normalized else None,
        class_names=list(data.class_names),
        outputs="scores" if config.loss == "squared-error" and shape != (1,) else None,
        notes=None if are_counted(data.labels) else {"labels": list(data.labels)},
    )


def params_file(folder: RunFolder) -> Path:
    """The snapshot of the model that a run kept. Raises `InputError` if it has none yet."""
    if not folder.params.exists():
        raise InputError(folder.lacks(folder.params))
    return folder.params


def snapshot_of(run: Path) -> Path:
    """The snapshot that is meant: a file, or of the folder of a run the model that it kept.

    Raises `InputError` if it is neither, or if it is another file of a run.
    """
    if not run.exists():
        raise InputError(f"{run} is neither the folder of a run nor a snapshot: it is not there")
    if run.is_file() and run.suffix.lower() in (".pt", ".pth", ".safetensors"):
        raise InputError(f"{run} is no snapshot: funcnn import makes a run of its weights")
    beside = RunFolder(run.parent)
    others = (beside.last, beside.config, beside.metrics, beside.summary)
    if run.is_dir() or (run in others and beside.config.is_file()):
        return params_file(RunFolder.open(run))
    return run


def load_model(folder: RunFolder) -> TrainedModel:
    """The model that a run kept. Raises `InputError` if it has none yet, `SnapshotError`."""
    own = folder.own if folder.config.exists() else None
    settings = folder.read_config().own_settings if own else None
    return read_model(params_file(folder), own, settings)


def model_of(run: Path, own: OwnModel | None = None) -> TrainedModel:
    """The model of a run's folder, or in a snapshot. own: its network, if it is a user's own.

    Raises `InputError` as `snapshot_of` and `read_model`; `SnapshotError`.
    """
    if run.is_dir():
        return load_model(RunFolder.open(run, own))
    return read_model(snapshot_of(run), own)


def load_snapshot(file: Path, own: OwnModel | None = None) -> fn.Snapshot:
    """The snapshot in a file, whose layers may be a user's own. Raises `SnapshotError`.

    `InputError` if it has some, and they do not give them.
    """
    layers = [] if own is None else own.layers
    try:
        return fn.load(file, layers=layers)
    except fn.SnapshotError as error:
        if "layers=[...]" not in str(error):
            raise
        said = str(error).partition(" (known")[0]
        if own is not None and own.recorded is None:
            raise InputError(f"{said}, nor of {own.file}: give --model of the file") from None
        which = "FILE.py:NAME" if own is None else own.name
        raise InputError(f"{said}: give --model {which}") from None


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


def network_in(
    file: Path, own: OwnModel | None = None, settings: Mapping[str, Any] | None = None
) -> tuple[fn.Snapshot, Layer, Shape]:
    """A snapshot, its network, and the shape of an input of that; own, settings: as `read_model`.

    Raises `InputError` if the file does not say which it is; `SnapshotError`.
    """
    snapshot = load_snapshot(file, own)
    model, input_shape = snapshot.model, snapshot.input_shape
    if model is None and input_shape is not None and own is not None:
        if not snapshot.class_names:
            raise InputError(
                f"{file} does not say which classes its model tells apart: {_again(file)}, ..., "
                "class_names=[...])"
            )
        settings = own.resolved({}) if settings is None else settings
        model = own.build(input_shape, len(snapshot.class_names), settings)
    if model is None or input_shape is None:
        why = " (a layer of your own without a spec cannot be built again: give --model)"
        raise InputError(
            f"{file} does not say which model it is of: {_again(file)}, input_shape=...)"
            + why * (input_shape is not None)
        )
    return snapshot, model, input_shape


def read_model(
    file: Path, own: OwnModel | None = None, settings: Mapping[str, Any] | None = None
) -> TrainedModel:
    """The model in a snapshot; classes without names are called by their numbers.

    own: the network, if it is a user's own; settings: what it was made with, by default its
    defaults. Raises `InputError` if the file does not say which model it is of and how to feed it,
    or has params that are not finite; `SnapshotError`.
    """
    snapshot, model, input_shape = network_in(file, own, settings)
    expect_finite(snapshot.params, file)
    if own is not None and own.brings("preprocess"):
        own.part("preprocess")
        prepare: Callable[[Array], Array] = partial(own.prepared, shape=input_shape)
    else:
        prepare = _normalization(file, snapshot)
    count = _count_of_classes(model, input_shape, file)
    numbers = [str(index) for index in range(count)]
    class_names = tuple(snapshot.class_names or numbers)
    notes = snapshot.notes if isinstance(snapshot.notes, dict) else {}
    labels = notes.get("labels", numbers)
    if not isinstance(labels, list) or list(map(type, labels)) != [str] * len(class_names):
        raise InputError(f"{file}: its labels are not those of {len(class_names)} classes")
    return TrainedModel(
        model,
        snapshot.params,
        input_shape,
        prepare,
        class_names,
        tuple(labels),
        snapshot.outputs,
    )


def _again(file: Path) -> str:
    return f"save it with fn.save({str(file)!r}, params, model=model"


def _normalization(file: Path, snapshot: fn.Snapshot) -> Normalization:
    if snapshot.normalization is None:
        raise InputError(
            f"{file} does not say how its inputs were normalised: {_again(file)}, ..., "
            "normalization={'scale': 255, 'mean': 0, 'std': 1}) for pixels from 0 to 1, of "
            "'scale': 1 for inputs as they are stored"
        )
    try:
        return Normalization(**snapshot.normalization)
    except TypeError:
        raise InputError(f"{file}: its normalization is incomplete") from None


def _count_of_classes(model: Layer, input_shape: tuple[Any, ...], file: Path) -> int:
    """How many classes a snapshot's model tells apart. Raises `InputError` if it is none such."""
    if any(isinstance(size, tuple) for size in input_shape):
        raise InputError(f"{file}: its model has several inputs, and data have one")
    shape, _ = model.init(fn.random.SHAPES_ONLY, input_shape)
    if len(shape) != 1:
        raise InputError(f"{file}: its model gives outputs of shape {shape}, no number a class")
    count: int = max(2, shape[0])
    return count
