"""A model's params as torch's state_dict, in NumPy: other names, and dense weights transposed.

A leaf `3/0/weight` is the tensor `3.0.weight`. `Dense` has its weight as `(in, out)`,
`torch.nn.Linear` as `(out, in)`; all others lie alike, those of a user's own layers too.
torch's BatchNorm has one tensor more, `num_batches_tracked`, which does nothing unless its momentum
is None.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import Normalization
from funcnn.experiments.errors import InputError
from funcnn.spec import describe, is_own
from funcnn.types import Array, Layer, Shape, Tree, layer_name, traits

_COUNTER = "num_batches_tracked"
_TORCHS_ORDER = ("weight", "bias", "running_mean", "running_var", _COUNTER)


class StoredTensors(NamedTuple):
    """What a file of tensors holds, each by its name."""

    arrays: dict[str, Array]
    dtypes: dict[str, str]
    """As stored; NumPy has no bfloat16, for instance."""
    metadata: dict[str, str]
    """What the file says about them."""


class _Tensor(NamedTuple):
    """A tensor of a state_dict, and which leaf of the params it stands for."""

    name: str
    path: str | None
    """None: of none, it is BatchNorm's counter."""
    shape: Shape
    transposed: bool = False


def to_state_dict(model: Layer, params: Tree) -> dict[str, Array]:
    """The params as torch's `state_dict`: arrays by their names there, in torch's order and layout.

    BatchNorm's `num_batches_tracked` is an int64 0 of shape `()`. An array may be the param itself.
    Raises `InputError` for a layer without a spec, or params of another model.
    """
    leaves = dict(fn.tree.leaves_with_path(params))
    arrays: dict[str, Array] = {}
    for name, path, _, transposed in _tensors(model, leaves):
        leaf = np.zeros((), np.int64) if path is None else np.asarray(leaves[path])
        arrays[name] = np.asarray(leaf.T if transposed else leaf, order="C")
    return arrays


def from_state_dict(model: Layer, like: Tree, arrays: Mapping[str, Array]) -> Tree:
    """The params that a state_dict holds: copies, in the structure, shapes and dtypes of `like`.

    arrays: by torch's names, of any float dtype, for `load_state_dict` casts too;
    `num_batches_tracked` may be there or not, and is not kept. Raises `InputError`, naming tensors
    that are missing, not the model's, of another shape or not floats, or a value that is too large
    for the dtype; and for a layer without a spec.
    """
    leaves = dict(fn.tree.leaves_with_path(like))
    tensors = _tensors(model, leaves)
    _check(tensors, arrays)
    params = {}
    for name, path, _, transposed in tensors:
        if path is not None:
            array = arrays[name].T if transposed else arrays[name]
            params[path] = _cast(array, leaves[path].dtype, name)
    return fn.tree.unflatten(fn.tree.structure(like), [params[path] for path in leaves])


def in_mlp(arrays: Mapping[str, Array], normalization: Normalization) -> dict[str, Array]:
    """The tensors of flatten, linear, activation, linear, ... by their names in a `self.mlp`.

    That sequence begins with the first linear layer: `1.weight` is `mlp.0.weight`. It takes what is
    stored divided by the scale, pixels from 0 to 1: mean and deviation are in its first layer.
    """
    split = {name: name.split(".", 1) for name in arrays}
    tensors = {f"mlp.{int(split[name][0]) - 1}.{split[name][1]}": arrays[name] for name in arrays}
    weight = tensors["mlp.0.weight"].astype(np.float64) / normalization.std  # (out, in)
    bias = tensors["mlp.0.bias"] - normalization.mean * weight.sum(axis=1)
    return tensors | {
        "mlp.0.weight": weight.astype(np.float32),
        "mlp.0.bias": bias.astype(np.float32),
    }


def renamed(
    arrays: Mapping[str, Array], prefix: str, renames: Sequence[tuple[str, str]]
) -> dict[str, Array]:
    """The arrays by other names: without `prefix`, and then NEW in the place of OLD.

    renames: pairs (OLD, NEW) of whole names, or of what names begin with up to a dot; the first
    that fits counts. Raises `InputError` for a name without the prefix, an OLD that no name has,
    and two tensors of one name.
    """
    without = [name for name in arrays if not name.startswith(prefix)]
    if without:
        raise InputError(f"--prefix {prefix}: there are names without it: {_listed(without)}")
    by_new_name: dict[str, Array] = {}
    used = set()
    for name, array in arrays.items():
        new = name.removeprefix(prefix)
        for old, other in renames:
            if new == old or new.startswith(f"{old.removesuffix('.')}."):
                new = other + new[len(old) :]
                used.add(old)
                break
        if new in by_new_name:
            raise InputError(f"two tensors would have the name {new!r}")
        by_new_name[new] = array
    for old, other in renames:
        if old not in used:
            raise InputError(f"--map {old}={other}: no tensor is called {old}, or begins so")
    return by_new_name


def _check(tensors: Sequence[_Tensor], arrays: Mapping[str, Array]) -> None:
    known = {tensor.name for tensor in tensors}
    missing = [t.name for t in tensors if t.path is not None and t.name not in arrays]
    extra = [name for name in arrays if name not in known]
    faults = [f"there is no {_listed(missing)}"] if missing else []
    faults += [f"the model has no {_listed(extra)}"] if extra else []
    for name, path, shape, _ in tensors:
        if name not in arrays:
            continue
        got, kinds = arrays[name], ("iu", "integers") if path is None else ("f", "floats")
        if got.shape != shape:
            faults.append(f"{name} has shape {got.shape} instead of {shape}")
        elif got.dtype.kind not in kinds[0]:
            faults.append(f"{name} is {got.dtype}, not {kinds[1]}")
    if faults:
        raise InputError(f"the tensors do not fit the model: {_listed(faults, '; ')}")


def _listed(words: Sequence[str], separator: str = ", ", most: int = 4) -> str:
    more = len(words) - most
    return separator.join(words[:most]) + (f"{separator}and {more} more" if more > 0 else "")


def _cast(array: Array, dtype: Any, name: str) -> Array:
    with np.errstate(over="ignore"):
        copy = np.array(array, dtype, order="C")
    too_large = np.isinf(copy) & np.isfinite(array)
    if too_large.any():
        raise InputError(f"{name} holds {array[too_large][0]:g}, which is too large for {dtype}")
    return copy


# --- which tensors a model has ---------------------------------------------------------------


def _tensors(model: Layer, leaves: Mapping[str, Any]) -> list[_Tensor]:
    """The tensors of the model with these leaves, by path, layer by layer and in torch's order."""
    tensors = []
    for owner, layer in _layers(model):
        name = layer_name(layer)
        own = [path.removeprefix(f"{owner}/") for path in leaves if _is_in(path, owner)]
        for leaf in own if is_own(layer) else _TORCHS_ORDER:
            path = f"{owner}/{leaf}" if owner else leaf
            torchs = path.replace("/", ".")
            if path in leaves:
                transposed = name == "Dense" and leaf == "weight"
                shape = np.shape(leaves[path])
                tensors.append(
                    _Tensor(torchs, path, shape[::-1] if transposed else shape, transposed)
                )
            elif name == "BatchNorm" and leaf == _COUNTER:
                tensors.append(_Tensor(torchs, None, ()))
    strange = sorted(set(leaves) - {tensor.path for tensor in tensors})
    if strange:
        raise InputError(f"these are the params of another model: it has no {_listed(strange)}")
    return tensors


def _is_in(path: str, owner: str) -> bool:
    return not owner or path.startswith(f"{owner}/")


def _layers(layer: Layer, path: str = "") -> Iterator[tuple[str, Layer]]:
    """The layers inside, combinators opened up, each with the path of its params."""
    inner = traits(layer).layers
    if inner:
        for index, part in enumerate(inner):
            yield from _layers(part, f"{path}/{index}" if path else str(index))
    elif describe(layer) is None:
        where = f"layer {path} ({layer_name(layer)})" if path else f"the layer {layer_name(layer)}"
        raise InputError(f"{where} has no spec, so torch's layout of its weights is not known")
    else:
        yield path, layer
