"""Folding: batch normalisation as a part of the layer before it, for evaluation.

In evaluation `BatchNorm` is an affine map of each channel, y = s x + t, and what `Conv`,
`ConvTranspose` and `Dense` give is linear in their weight and bias: s (W x + b) + t is
(s W) x + (s b + t), whatever is around the image.
"""

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from funcnn._arguments import param_of
from funcnn._elsewhere import bind
from funcnn._pickling import recipe_of
from funcnn.layers.any_layer import check_layers, check_params
from funcnn.layers.batch_norm import BatchNorm
from funcnn.layers.convolution import Conv, ConvTranspose
from funcnn.layers.core import Dense
from funcnn.types import Array, Layer, Tree, traits

_Part = tuple[Layer, Tree]
"""A layer and its params."""


def fold_batch_norm(model: Layer, params: Tree) -> _Part:
    """The same function in evaluation, each `BatchNorm` folded into the layer before it.

    With s = weight / sqrt(running_var + eps) of the BatchNorm, directly behind a `Conv`, a
    `ConvTranspose` or a `Dense` of rows `(N, in)`: W' = W s by output channel,
    b' = (b - running_mean) s + bias. That layer gets a bias where it has none, and the places of
    those behind move up. It goes through all combinators, and over the borders of a `serial` in
    another. What stands behind another layer stays, and so do layers whose functions were replaced.
    Returns `(model, params)`, in the params' dtypes, equal but for rounding; it has a spec, and
    trains on without the normalisation.
    Raises `TypeError` for what is no layer, `ValueError` for params that do not fit the model.
    As `torch.nn.utils.fusion.fuse_conv_bn_eval`; Jacob et al. 2018, section 3.2.

    >>> model = fn.serial(fn.Conv(8, 3, bias=False), fn.BatchNorm(), fn.Relu())
    >>> _, params = model.init(fn.random.key(0), (1, 28, 28))
    >>> folded, folded_params = fn.fold_batch_norm(model, params)
    >>> folded
    fn.serial(fn.Conv(8, 3), fn.Relu())
    >>> fn.tree.map(np.shape, folded_params)
    [{'bias': (8,), 'weight': (8, 1, 3, 3)}, {}]
    """
    check_layers("fold_batch_norm", (model,))
    return _folded(model, params)


def _folded(layer: Layer, params: Tree) -> _Part:
    """The layer with all that can be folded inside it."""
    if traits(layer).rebuild is None:
        return layer, params
    if not _is_serial(layer):
        return _put_together(layer, params, [_folded(*part) for part in _inside(layer, params)])
    parts: list[_Part | None] = []
    last = -1  # the place of the last one that stays
    for opened in _opened(layer, params):
        part = _folded(*opened)
        before = parts[last] if parts else None
        joined = None if before is None else _join(before, part)
        if joined is None:
            last = len(parts)
            parts.append(part)
        else:
            parts[last] = joined
            parts.append(None)
    closed = _closed(layer, params, iter(parts))
    assert closed is not None  # the first one stays
    return closed


# --- a layer and the BatchNorm behind it -----------------------------------------------------


def _join(part: _Part, behind: _Part) -> _Part | None:
    """The layer with the BatchNorm behind it in it, or None where that cannot be."""
    (layer, params), (norm, norm_params) = part, behind
    arguments = _arguments(layer, Conv, ConvTranspose, Dense)
    norm_arguments = _arguments(norm, BatchNorm)
    if arguments is None or norm_arguments is None:
        return None
    weight = param_of(params, "weight")
    scale, shift = _scale_and_shift(norm_params, norm_arguments["eps"], norm_arguments["affine"])
    outputs = arguments.get("out_channels", arguments.get("out_features"))
    if scale.shape != (outputs,):  # of a Dense on more axes, say, whose channels are others
        return None
    if traits(layer).name == "Dense":
        scaled = weight * scale  # (in, out)
    elif traits(layer).name == "Conv":
        scaled = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))  # (out, in/groups, *kernel)
    else:
        groups, kernel = arguments["groups"], weight.shape[2:]
        per_group = weight.reshape(groups, -1, *weight.shape[1:])  # (g, in/g, out/g, *kernel)
        of_group = scale.reshape(groups, 1, -1, *(1,) * len(kernel))  # (g, 1, out/g, 1...)
        scaled = (per_group * of_group).reshape(weight.shape)
    bias = param_of(params, "bias") * scale + shift if arguments["bias"] else shift
    if not arguments["bias"]:
        recipe = recipe_of(layer)
        assert recipe is not None  # it gave the arguments
        layer = recipe.make(**arguments | {"bias": True})
    dtype = weight.dtype
    return layer, {**params, "weight": scaled.astype(dtype), "bias": bias.astype(dtype)}


def _arguments(layer: Layer, *constructors: Any) -> dict[str, Any] | None:
    """What one of these constructors was called with; None if none made it, as it is."""
    recipe = recipe_of(layer)
    if recipe is None or recipe.make not in constructors:
        return None
    bound = bind(recipe.make, recipe.args, recipe.kwargs)
    bound.apply_defaults()
    return bound.arguments


def _scale_and_shift(params: Tree, eps: float, affine: bool) -> tuple[Array, Array]:
    """s and t of a BatchNorm, y = s x + t, `(C,)` each, in float64: rounded once, at the end."""

    def array(name: str) -> Array:
        return param_of(params, name).astype(np.float64)

    scale = (array("weight") if affine else 1.0) / np.sqrt(array("running_var") + eps)
    return scale, (array("bias") if affine else 0.0) - array("running_mean") * scale


# --- through combinators ---------------------------------------------------------------------


def _is_serial(layer: Layer) -> bool:
    return traits(layer).name == "serial"


def _inside(layer: Layer, params: Tree) -> list[_Part]:
    """The layers of a combinator with their params. Raises `ValueError` if these do not fit."""
    check_params(traits(layer).name, params, traits(layer).layers)
    return list(zip(traits(layer).layers, params, strict=True))


def _opened(layer: Layer, params: Tree) -> Iterator[_Part]:
    """All that a serial does in order, the serials in it opened."""
    for part in _inside(layer, params):
        yield from _opened(*part) if _is_serial(part[0]) else [part]


def _closed(layer: Layer, params: Tree, parts: Iterator[_Part | None]) -> _Part | None:
    """The serial again, of the parts that `_opened` gave or None for one that is no more."""
    inside = [
        _closed(*part, parts) if _is_serial(part[0]) else next(parts)
        for part in _inside(layer, params)
    ]
    kept = [part for part in inside if part is not None]
    return _put_together(layer, params, kept) if kept or not inside else None


def _put_together(layer: Layer, params: Tree, parts: Sequence[_Part]) -> _Part:
    """The combinator of these parts; the layer itself if they are those that it has."""
    before, rebuild = traits(layer).layers, traits(layer).rebuild
    assert rebuild is not None  # it is a combinator
    layers = tuple(part[0] for part in parts)
    same = len(layers) == len(before) and all(map(operator.is_, layers, before))
    return layer if same else rebuild(*layers), type(params)(part[1] for part in parts)
