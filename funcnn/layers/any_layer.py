"""Any layer, a user's own included: how it is checked, begun and applied, and its errors named."""

import functools
from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike

from funcnn import tree
from funcnn._arguments import as_array, shown
from funcnn._signatures import accepts
from funcnn.random import Key
from funcnn.spec import activation_named
from funcnn.types import (
    Apply,
    Arrays,
    Layer,
    Shape,
    Tree,
    Vjp,
    VjpWithStatistics,
    Wrt,
    layer_name,
    statistics_of,
    traits,
)


def check_layers(name: str, layers: Sequence[Any]) -> None:
    """Raise `TypeError`, with advice, unless every one is a layer."""
    for index, layer in enumerate(layers):
        if isinstance(layer, Layer):
            continue
        if isinstance(layer, list):
            raise TypeError(f"{name}: takes layers, got a list of them: {name}(*layers)")
        raise TypeError(
            f"{name}: layer {index} is not a layer but {shown(layer)}: {_instead(layer)}"
        )


def _instead(function: Any) -> str:
    """What to write in the place of something that is no layer."""
    name: str = getattr(function, "__name__", "")
    if not callable(function) or not name:
        return "make one with fn.Layer(init, apply)"
    if name == "apply":
        return "give the model itself, not its apply"
    if activation := activation_named(name):
        return f"write fn.{activation}()"
    if name[0].isupper() or hasattr(function, "makes_layers"):
        return f"call the constructor, {name}(...)"
    return "fn.elementwise(f) makes a layer of f(x) -> (y, vjp); a constructor is called"


def check_params(name: str, params: Tree, layers: Sequence[Layer]) -> None:
    """Raise `ValueError` unless the params of a combinator have an entry for each of its layers."""
    if type(params) is tuple and params and _is_shape(params[0]):
        raise ValueError(f"{name}: these are init's (output_shape, params); give the params alone")
    if type(params) not in (list, tuple) or len(params) != len(layers):
        plain = type(params) in (list, tuple)
        got = f"{len(params)} entries" if plain else f"a {type(params).__name__}"
        entries = f"{number_of(layers)}, so its params are a list of as many entries"
        raise ValueError(f"{name} has {entries}, got {got}")


def _is_shape(value: Any) -> bool:
    return type(value) is tuple and bool(value) and all(isinstance(size, int) for size in value)


def number_of(layers: Sequence[Layer]) -> str:
    """How many layers there are, in words."""
    return "1 layer" if len(layers) == 1 else f"{len(layers)} layers"


def init_layer(layer: Layer, rng: Key, shape: Shape, dtype: DTypeLike) -> tuple[Shape, Tree]:
    """`init` with a dtype, of a user's own layer that does not take one too."""
    if accepts(layer.init, "dtype"):
        return layer.init(rng, shape, dtype=dtype)
    output_shape, params = layer.init(rng, shape)
    return output_shape, tree.map(
        lambda leaf: as_array("params", leaf, numbers=False).astype(dtype, copy=False), params
    )


def with_wrt(apply: Apply) -> Apply:
    """The same `apply` with the keyword `wrt`, for a user's own layer that was written without.

    The layer then computes more than was asked for, and the surplus is dropped.
    """
    if not callable(apply):
        raise TypeError(f"apply is a function, such as model.apply, got a {type(apply).__name__}")
    if accepts(apply, "wrt"):
        return apply

    @functools.wraps(apply)
    def wrapped(
        params: Tree, x: Arrays, *, wrt: Wrt = "both", **keywords: Any
    ) -> tuple[Arrays, Vjp | None]:
        result = apply(params, x, **keywords)
        if wrt == "both":
            return result
        y, vjp = y_and_vjp(result)
        return y, None if vjp is None or wrt is None else _without_surplus(vjp, wrt)

    return wrapped


def _without_surplus(vjp: Vjp, wrt: Wrt) -> Vjp:
    def asked_for(dy: Arrays) -> tuple[Tree, Arrays | None]:
        dparams, dx = dparams_and_dx(vjp(dy))
        return (dparams, None) if wrt == "params" else (None, dx)

    statistics = statistics_of(vjp)
    return asked_for if statistics is None else VjpWithStatistics(asked_for, statistics)


def y_and_vjp(result: Any) -> tuple[Arrays, Vjp | None]:
    """What an `apply` gave. Raises `TypeError`, with the contract, unless it is `(y, vjp)`."""
    if isinstance(result, tuple) and len(result) == 2:
        y, vjp = result
        if vjp is None or callable(vjp):
            return y, vjp
    raise TypeError(f"apply gives (y, vjp), vjp a function of dy, got {_kind(result)}")


def dparams_and_dx(result: Any) -> tuple[Tree, Arrays | None]:
    """What a layer's vjp gave. Raises `TypeError` unless it is `(dparams, dx)`."""
    if isinstance(result, tuple) and len(result) == 2:
        dparams, dx = result
        return dparams, dx
    raise no_cotangents(result)


def no_cotangents(result: Any) -> TypeError:
    """The error for what a layer's vjp gave in the place of `(dparams, dx)`."""
    return TypeError(f"vjp(dy) gives (dparams, dx), got {_kind(result)}")


def _kind(result: Any) -> str:
    if isinstance(result, tuple):
        return f"({', '.join(type(part).__name__ for part in result)})"
    return f"a {type(result).__name__}"


def check_takes(layer: Layer, x: Any) -> None:
    """Raise `TypeError` if x is a tuple of arrays and the layer takes one array."""
    if type(x) is tuple and traits(layer).takes == "array":
        raise TypeError(
            f"it takes one array, got a tuple of {len(x)}: join them with FanInSum or FanInConcat"
        )


def at_layer(index: int, layer: Layer, error: Exception) -> Exception:
    """The same kind of error, with the layer's position and name before its message."""
    where = f"layer {index} ({layer_name(layer)})"
    if isinstance(error, KeyError):
        return ValueError(f"{where}: params have no {error}")
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{where}: {error}")
