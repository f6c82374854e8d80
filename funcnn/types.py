"""The contract that every layer keeps, as types.

    Layer(init, apply, spec)
    init(rng, input_shape)                               -> (output_shape, params)
    apply(params, x, *, rng=None, train=False, wrt=...)  -> (y, vjp)
    vjp(dy)                                              -> (dparams, dx)

Shapes leave out the batch axis; arrays always have it, first. Nothing here computes.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy.typing as npt

from funcnn import _recipes

Array = npt.NDArray[Any]
Arrays = Any
"""One array, or a tuple of arrays where a network has branches."""
Tree = Any
"""Nested dicts, lists, tuples and NamedTuples with arrays (or numbers, or keys) as leaves."""

Shape = tuple[Any, ...]
"""Sizes (integers); or for a tuple of arrays, a tuple of their shapes."""
Spec = dict[str, Any]
"""What a layer is, as data that JSON can hold: its constructor's name and arguments."""

Wrt = Literal["both", "params"] | None
"""Which cotangents a vjp will be asked for; None means that there is no vjp at all."""

PerSample = Literal["always", "evaluation", "never"]
"""When each row of y depends on that row of x alone (and on no rng)."""
Takes = Literal["array", "tuple", "any"]
"""What x may be: one array, a tuple of arrays, or either."""

Vjp = Callable[[Arrays], tuple[Tree, Arrays | None]]
Init = Callable[..., tuple[Shape, Tree]]
Apply = Callable[..., tuple[Arrays, Vjp | None]]

ArrayVjp = Callable[[Array], Array]
ArrayFunction = Callable[[Array], tuple[Array, ArrayVjp]]
"""A function of one array beside its derivative: `function(x) -> (y, vjp)`, `vjp(dy) -> dx`."""

LossVjp = Callable[..., Array]
Loss = Callable[..., tuple[float, LossVjp]]
"""`loss(outputs, targets) -> (value, vjp)`, and `vjp(dvalue=1.0) -> doutputs`."""


class Layer(NamedTuple):
    """A layer: two pure functions and, if it can be described as data, its description."""

    init: Init
    apply: Apply
    spec: Spec | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _recipes.reduce(self)

    def __deepcopy__(self, memo: Any) -> "Layer":
        return self  # nothing of it can change


class Traits(NamedTuple):
    """What a rewriting may rely on; it rides on the constructor's own `apply`.

    It is kept there and not in the spec, so that a layer whose `apply` was replaced has none.
    """

    name: str = "layer"
    per_sample: PerSample = "never"
    takes: Takes = "any"
    spatial: bool = False
    """Whether it works on images, and meets a weight once for each of their elements."""
    layers: tuple[Layer, ...] = ()
    """The layers that a combinator is made of."""
    rebuild: Callable[..., Layer] | None = None
    """The combinator itself: `rebuild(*layers)` is the same layer again."""


def traits(layer: Layer) -> Traits:
    """The traits of a layer; a user's own layer has the cautious defaults."""
    found = getattr(layer.apply, "traits", None)
    copied = hasattr(layer.apply, "__wrapped__")  # by functools.wraps, to another function
    return found if isinstance(found, Traits) and not copied else Traits()


def layer_name(layer: Layer) -> str:
    """The constructor's name, a user's own constructor's included, or `layer`."""
    if layer.spec:
        return str(layer.spec["layer"])
    made_in = getattr(layer.apply, "__qualname__", "").rpartition(".<locals>.")[0]  # a.b.Scale
    maker: str = made_in.rpartition(".")[2]
    return maker if maker[:1].isupper() else traits(layer).name


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


def accepts(function: Callable[..., Any], keyword: str) -> bool:
    """Whether `function` can be called with `keyword=...`."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some compiled callables have no signature
        return False
    return keyword in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
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
    def wrapped(params: Tree, x: Array, *, wrt: Wrt = "both", **keywords: Any) -> Any:
        y, vjp = apply(params, x, **keywords)
        if wrt != "params" or vjp is None:
            return y, (None if wrt is None else vjp)

        @functools.wraps(vjp)  # with its statistics, if it has any
        def params_only(dy: Array) -> tuple[Tree, Array | None]:
            return vjp(dy)[0], None

        return y, params_only

    return wrapped
