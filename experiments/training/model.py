"""The model in a snapshot, such as a run keeps: to predict with."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn import inference
from funcnn.experiments.data.datasets import Dataset, Normalization
from funcnn.experiments.data.images import are_counted
from funcnn.experiments.errors import InputError
from funcnn.experiments.training.run_folder import RunFolder
from funcnn.inference import Outputs, in_one_dtype
from funcnn.types import Array, Layer, Tree


class TrainedModel(NamedTuple):
    """A model from a snapshot, with what is needed to feed it stored inputs."""

    model: Layer
    params: Tree
    input_shape: tuple[int, ...]
    normalization: Normalization
    class_names: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """How the training data write the label of each class; none: by its index."""
    outputs: Outputs | None = None
    """What the network gives, as of `fn.save`."""

    def as_inputs(self, x: Array, name: str) -> Array:
        """Stored inputs `(N, ...)` in the model's shape.

        A model of rows `(D,)`, or of images `(H, W)` without a channel, gets grey images as such.
        Raises `InputError`, with the data's name, for inputs of another shape.
        """
        shape = self.input_shape
        if x.shape[1:] == shape:
            return x
        if x.shape[1:2] == (1,) and shape in (x.shape[2:], (math.prod(x.shape[2:]),)):
            return x.reshape(len(x), *shape)  # (N, 1, H, W) -> (N, H*W) or (N, H, W)
        raise InputError(f"{name}: the model takes inputs of shape {shape}, not {x.shape[1:]}")

    def predict(self, x: Array) -> Array:
        """The outputs for stored inputs."""
        params, prepare = in_one_dtype(self.params, self.normalization)
        outputs: Array = fn.predict(self.model.apply, params, x, preprocess=prepare)
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


def save_model(folder: RunFolder, model: Layer, params: Tree, data: Dataset, loss: str) -> None:
    """Write the model that a run on this data keeps, trained by this loss of `LOSSES`."""
    shape, _ = model.init(fn.random.SHAPES_ONLY, data.input_shape)
    fn.save(
        folder.params,
        params,
        model=model,
        input_shape=data.input_shape,
        normalization=dataclasses.asdict(data.normalization),
        class_names=list(data.class_names),
        outputs="scores" if loss == "squared-error" and shape != (1,) else None,
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
    return read_model(params_file(folder))


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


def read_model(file: Path) -> TrainedModel:
    """The model in a snapshot; classes without names are called by their numbers.

    Raises `InputError` if it does not say which model it is of and how to feed it, or has params
    that are not finite; `SnapshotError`.
    """
    snapshot = fn.load(file)
    expect_finite(snapshot.params, file)
    again = f"save it with fn.save({str(file)!r}, params, model=model"
    if snapshot.model is None or snapshot.input_shape is None:
        why = " (a layer of your own without a spec cannot be built again)"
        raise InputError(
            f"{file} does not say which model it is of: {again}, input_shape=...)"
            + why * (snapshot.input_shape is not None)
        )
    if snapshot.normalization is None:
        raise InputError(
            f"{file} does not say how its inputs were normalised: {again}, ..., normalization="
            "{'scale': 255, 'mean': 0, 'std': 1}) for pixels from 0 to 1, of 'scale': 1 for inputs "
            "as they are stored"
        )
    try:
        normalization = Normalization(**snapshot.normalization)
    except TypeError:
        raise InputError(f"{file}: its normalization is incomplete") from None
    count = _count_of_classes(snapshot.model, snapshot.input_shape, file)
    numbers = [str(index) for index in range(count)]
    class_names = tuple(snapshot.class_names or numbers)
    notes = snapshot.notes if isinstance(snapshot.notes, dict) else {}
    labels = notes.get("labels", numbers)
    if not isinstance(labels, list) or list(map(type, labels)) != [str] * len(class_names):
        raise InputError(f"{file}: its labels are not those of {len(class_names)} classes")
    return TrainedModel(
        snapshot.model,
        snapshot.params,
        snapshot.input_shape,
        normalization,
        class_names,
        tuple(labels),
        snapshot.outputs,
    )


def _count_of_classes(model: Layer, input_shape: tuple[Any, ...], file: Path) -> int:
    """How many classes a snapshot's model tells apart. Raises `InputError` if it is none such."""
    if any(isinstance(size, tuple) for size in input_shape):
        raise InputError(f"{file}: its model has several inputs, and data have one")
    shape, _ = model.init(fn.random.SHAPES_ONLY, input_shape)
    if len(shape) != 1:
        raise InputError(f"{file}: its model gives outputs of shape {shape}, no number a class")
    count: int = max(2, shape[0])
    return count
