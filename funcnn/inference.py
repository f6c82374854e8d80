"""What stands before and after a network: its inputs as they are stored, and probabilities."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from funcnn import activations, tree
from funcnn._arguments import as_array, check_number, shown
from funcnn.batching import Preprocess
from funcnn.types import Array, Layer, Shape, Tree, traits

Outputs = Literal["logits", "probabilities", "scores"]
OUTPUTS = ("logits", "probabilities", "scores")
_ENDS_IN_PROBABILITIES = ("Softmax", "Sigmoid", "HardSigmoid")


def check_normalization(values: Any) -> tuple[float, float, float]:
    """The scale, mean and std. Raises `ValueError` for other names, or a number out of range."""
    if not isinstance(values, dict) or set(values) != {"scale", "mean", "std"}:
        advice = (
            ": dataclasses.asdict(normalization)" if hasattr(values, "__dataclass_fields__") else ""
        )
        raise ValueError(
            f"normalization is {{'scale': ..., 'mean': ..., 'std': ...}}, of (x / scale - mean) / "
            f"std, got {shown(values)}{advice}"
        )
    limits = (("scale", 0), ("mean", -math.inf), ("std", 0))
    scale, mean, std = (
        check_number(f"normalization: {name}", values[name], above=above) for name, above in limits
    )
    return scale, mean, std


def check_names(names: Sequence[str], output_shape: Shape) -> None:
    """Raise `ValueError` unless there is a name for each class of outputs `(K,)`, or `(1,)`."""
    count = max(2, output_shape[0])
    if len(names) != count:
        raise ValueError(f"there are {len(names)} class names for {count} classes")


def normalized(x: Array, scale: float, mean: float, std: float) -> Array:
    """Stored values as a network's inputs: (x / scale - mean) / std, float32 of the same shape."""
    inputs = x.astype(np.float32)
    inputs *= 1 / (scale * std)
    inputs -= mean / std
    return inputs


def in_one_dtype(params: Tree, preprocess: Preprocess | None = None) -> tuple[Tree, Preprocess]:
    """The params, and a preprocessing whose inputs have their dtype.

    It is theirs, but float32 at least: of float16 the numbers are the same, and more is known of.
    """
    dtype = np.result_type(np.float32, *(leaf.dtype for leaf in tree.leaves(params)))

    def prepare(batch: Array) -> Array:
        inputs = batch if preprocess is None else preprocess(batch)
        return inputs.astype(dtype, copy=False)

    return tree.map(lambda leaf: leaf.astype(dtype, copy=False), params), prepare


def stored_inputs(values: Any, input_shape: Shape, scale: float | None) -> Array:
    """The inputs `(N, *input_shape)` that a user gave as they are stored.

    Of images `(N, 1, H, W)` the axis of the one channel may be left out. scale: the largest value,
    or None where no normalisation is known. Raises `ValueError` for another shape, and for values
    that cannot be stored ones; `TypeError` for what is no array.
    """
    x = as_array("inputs", values, numbers=False)
    if x.dtype.kind not in "biuf":
        raise ValueError(f"inputs are an array of numbers, got one of {x.dtype}")
    if x.ndim == len(input_shape) and input_shape[0] == 1 and x.shape[1:] == input_shape[1:]:
        x = x[:, None]  # (N, H, W) to (N, 1, H, W)
    if x.ndim != len(input_shape) + 1 or x.shape[1:] != input_shape:
        raise ValueError(
            f"inputs are {_shapes_of_a_batch(input_shape)}, got shape {x.shape}"
            + (": give one image as image[None]" if x.shape in _shapes_of_one(input_shape) else "")
        )
    if scale is None:
        if x.dtype.kind != "f":
            raise ValueError(
                f"inputs of {x.dtype} must be normalised first: the snapshot does not say how, so "
                "give floats, normalised as for training"
            )
    elif x.size and scale > 1:
        _expect_stored(x, scale)
    return x


def _shapes_of_a_batch(shape: Shape) -> str:
    forms = [shape[1:], shape] if len(shape) > 1 and shape[0] == 1 else [shape]
    return " or ".join(f"({', '.join(map(str, ('N', *form)))})" for form in forms)


def _shapes_of_one(shape: Shape) -> tuple[Shape, ...]:
    return (shape, shape[1:]) if shape[0] == 1 else (shape,)


def _expect_stored(x: Array, scale: float) -> None:
    """Raise `ValueError` for what is normalised already, or half: it would be once more."""
    least, most = x.min(), x.max()
    if not (least >= 0 and most <= scale) or (x.dtype.kind in "bf" and 0 < most <= 1):
        raise ValueError(
            f"inputs are given as stored, from 0 to {scale:g}, and normalised here: these are "
            f"{x.dtype} from {float(least):g} to {float(most):g}"
        )


def check_no_nan(outputs: Array) -> Array:
    """The outputs. Raises `ValueError` for NaN, of which a class would be made all the same."""
    is_nan = np.isnan(outputs).reshape(len(outputs), -1).any(1)  # (N,)
    if is_nan.any():
        raise ValueError(
            f"the network gives NaN for {np.count_nonzero(is_nan)} of {len(outputs)} inputs, "
            f"input {int(is_nan.argmax())} first: they hold it, or its params do"
        )
    return outputs


def probabilities(outputs: Array, model: Layer, kind: Outputs | None) -> Array:
    """The probabilities `(N, K)`, or `(N, 1)` of class 1, that a network's outputs stand for.

    kind: what the outputs are. None: what the last layer makes of them, else logits.
    Raises `ValueError` where they stand for none.
    """
    last = _last_layer(model)
    if kind == "scores":
        raise ValueError(
            "the network was not trained to give probabilities, only scores: "
            "use snapshot.scores(inputs), or snapshot.classes(inputs)"
        )
    if outputs.ndim != 2:
        raise ValueError(f"the network gives no (N, K) probabilities, but shape {outputs.shape}")
    if kind == "probabilities" or (kind is None and last in _ENDS_IN_PROBABILITIES):
        return outputs
    if kind is None and last == "LogSoftmax":
        return np.exp(outputs)
    if outputs.shape[1] > 1:
        return activations.softmax(outputs)[0]
    if kind is None:
        raise ValueError(
            "the snapshot does not say what the network's one output is: use "
            "snapshot.scores(inputs), or tell fn.save that outputs='logits'"
        )
    return activations.sigmoid(outputs)[0]


def _last_layer(layer: Layer) -> str:
    while traits(layer).name == "serial" and traits(layer).layers:
        layer = traits(layer).layers[-1]
    return traits(layer).name


def _has_statistics(params: Tree) -> bool:
    if type(params) is dict:
        if "running_mean" in params:
            return True
        params = params.values()
    # Leaves are not asked: that would take as long as a tenth of a single image.
    return any(_has_statistics(part) for part in params if isinstance(part, (dict, list, tuple)))


def warn_of_first_statistics(params: Tree) -> None:
    """Warn if the model has running statistics, and all of them are still those of `init`."""
    if not isinstance(params, (dict, list, tuple)) or not _has_statistics(params):
        return
    leaves = dict(tree.leaves_with_path(params))
    prefixes = [path.removesuffix("mean") for path in leaves if path.endswith("running_mean")]
    prefixes = [prefix for prefix in prefixes if f"{prefix}var" in leaves]
    if prefixes and not any(
        leaves[f"{prefix}mean"].any() or (leaves[f"{prefix}var"] != 1).any() for prefix in prefixes
    ):
        warnings.warn(
            "the running statistics are still the initial ones (mean 0, variance 1): a loop of "
            "your own writes them by fn.write_statistics(params, aux.statistics)",
            UserWarning,
            stacklevel=4,  # whoever called evaluate or predict
        )
