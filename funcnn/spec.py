"""Descriptions: what a layer or an initializer is, as data, and back again.

A constructor that is decorated here gives what it makes a spec: the constructor's name and its
arguments. `from_spec` reads one, so that a snapshot can be used without the script that made it,
or where it has layers of a user's own with their constructors alone.
"""

import copy
import functools
import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

from funcnn import activations
from funcnn._arguments import shown
from funcnn._elsewhere import bind, signature
from funcnn._pickling import Recipe, plain, recipe_of, record
from funcnn.random import Key
from funcnn.types import Layer, PerSample, Shape, Spec, Takes, Traits, Tree, traits

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])

_layers: dict[str, Callable[..., Layer]] = {}
_initializers: dict[str, Callable[..., Any]] = {}


class _NotData(Exception):
    """An argument that a spec cannot hold, such as a user's own function."""


def constructor(
    *rest: Any, per_sample: PerSample = "never", takes: Takes = "array", spatial: bool = False
) -> Callable[[Callable[P, Layer]], Callable[P, Layer]]:
    """Decorate the constructor of a layer: its layers get a spec, checks of their input, traits.

    per_sample: when each row of the output depends on that row of the input alone (and on no rng):
    "always", in "evaluation", or "never"; threads may then share a batch. takes: whether the input
    is one "array", a "tuple" of arrays, or "any". spatial: whether it works on images, by windows.

    That of your own layer too: `from_spec(spec, [Scale])`. Raises `ValueError` if a layer of this
    library has its name, or an argument is named `layer`.

    >>> @fn.constructor(per_sample="always")
    ... def Scale(factor):
    ...     def apply(params, x, *, rng=None, train=False):
    ...         return factor * x, lambda dy: ({}, factor * dy)
    ...
    ...     return fn.Layer(lambda rng, input_shape: (input_shape, {}), apply)
    >>> Scale(2).spec
    {'layer': 'Scale', 'factor': 2}
    """
    if rest:
        raise TypeError("write @fn.constructor(), with the brackets")

    def decorate(make: Callable[P, Layer]) -> Callable[P, Layer]:
        name = make.__name__
        ours = str(make.__module__).startswith(f"{__package__}.")
        if name in _layers and not ours:
            raise ValueError(f"{name} is a layer of this library: give yours another name")
        if "layer" in signature(make).parameters:
            raise ValueError(f"{name}: a spec's 'layer' is the constructor: name yours inner")

        @functools.wraps(make)
        def construct(*args: P.args, **kwargs: P.kwargs) -> Layer:
            args, kwargs = plain(args), plain(kwargs)
            if ours:  # of a user's own, case may mean something
                args, kwargs = _in_lower_case(args), _in_lower_case(kwargs)
            bound = bind(make, args, kwargs)
            layer: Any = make(*args, **kwargs)
            if not isinstance(layer, Layer):
                raise TypeError(f"{name}: gives a fn.Layer(init, apply), got {shown(layer)}")

            def init(rng: Key, input_shape: Shape, **keywords: Any) -> tuple[Shape, Tree]:
                return layer.init(rng, check_shapes(name, input_shape, takes), **keywords)

            if not hasattr(layer.apply, "traits"):  # a combinator sets its own
                layer.apply.traits = Traits(name, per_sample, takes, spatial)  # type: ignore[attr-defined]
            spec = _describe("layer", name, bound)
            described = Layer(functools.wraps(layer.init)(init), layer.apply, spec)
            record(described, Recipe(construct, args, kwargs))
            return described

        construct.makes_layers = True  # type: ignore[attr-defined]
        if ours:  # a user's own are known to nobody who is not given them
            _layers[name] = construct
        return construct

    return decorate


def describable(make: Callable[P, F]) -> Callable[P, F]:
    """Decorate a function that makes initializers: what it makes gets a `spec`."""

    @functools.wraps(make)
    def construct(*args: P.args, **kwargs: P.kwargs) -> F:
        args, kwargs = plain(args), plain(kwargs)
        bound = bind(make, args, kwargs)
        initializer: F = record(make(*args, **kwargs), Recipe(construct, args, kwargs))
        initializer.spec = _describe("initializer", make.__name__, bound)  # type: ignore[attr-defined]
        return initializer

    _initializers[make.__name__] = construct
    return construct


def is_constructor(function: Any) -> bool:
    """Whether it is a constructor decorated here (and so, where a layer should be, not called)."""
    return any(function is made for made in (*_layers.values(), *_initializers.values()))


def is_layer_of_ours(name: str) -> bool:
    """Whether a constructor of this library has the name: no other can have it then."""
    return name in _layers


def activation_named(name: str) -> str | None:
    """The layer of the function of this name in `activations`, or of jax's: `Relu` of `relu`."""
    if not hasattr(activations, name):
        return None
    plain_name = name.replace("_", "")
    return next((known for known in _layers if known.lower() == plain_name), None)


def check_shape(name: str, shape: Shape) -> Shape:
    """The shape as a tuple of ints. Raises `ValueError` for a size below 1, naming the layer."""
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        raise ValueError(f"{name}: a shape is a tuple of integers, got {shown(shape)}") from None
    if any(size < 1 for size in sizes):
        raise ValueError(f"{name}: every size must be at least 1, got shape {sizes}")
    return sizes


def check_shapes(name: str, shape: Shape, takes: Takes = "any") -> Shape:
    """As `check_shape`, but also for a tuple of shapes, where a layer takes that.

    Raises `ValueError` where it takes the other only.
    """
    try:
        several = any(isinstance(entry, (tuple, list)) for entry in shape)
    except TypeError:
        several = False
    if takes == "array" and several:
        raise ValueError(
            f"{name} takes one array, got shapes {shown(shape)}: "
            "join them with FanInSum or FanInConcat"
        )
    if takes == "tuple" and not several:
        raise ValueError(f"{name} takes a tuple of arrays, got one of shape {shape}: see FanOut")
    if several:
        return tuple(check_shapes(name, entry) for entry in shape)
    return check_shape(name, shape)


def _in_lower_case(value: Any) -> Any:
    """The arguments of a layer of ours: a word, as in `padding="SAME"`, may be in any case."""
    if isinstance(value, str):
        return value.lower()
    if type(value) is dict:
        return {name: _in_lower_case(entry) for name, entry in value.items()}
    return tuple(map(_in_lower_case, value)) if type(value) is tuple else value


def _describe(kind: str, name: str, bound: inspect.BoundArguments) -> Spec | None:
    bound.apply_defaults()
    try:
        return {kind: name} | {key: _as_data(value) for key, value in bound.arguments.items()}
    except _NotData:
        return None


def _as_data(value: Any) -> Any:
    if isinstance(value, Layer) or hasattr(value, "spec"):
        spec = describe(value) if isinstance(value, Layer) else value.spec
        if spec is None:
            raise _NotData
        return copy.deepcopy(spec)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [_as_data(item) for item in value]
    raise _NotData


def describe(layer: Layer) -> Spec | None:
    """The layer's spec, or None if it has none or its `apply` is not the constructor's own."""
    return layer.spec if traits(layer) != Traits() else None


def is_own_constructor(value: Any) -> bool:
    """Whether it is a constructor of a user's own, decorated by `constructor`."""
    return hasattr(value, "makes_layers") and not is_constructor(value)


def is_own(layer: Layer) -> bool:
    """Whether a user's own constructor made the layer, with a spec."""
    recipe = recipe_of(layer)
    return bool(layer.spec) and recipe is not None and is_own_constructor(recipe.make)


def own_constructors(layer: Layer) -> Iterator[Callable[..., Layer]]:
    """The constructors of a user's own that made the layer, or layers inside it, as decorated."""
    recipe = recipe_of(layer)
    if recipe is not None and is_own(layer):
        yield recipe.make
    for inner in traits(layer).layers:
        yield from own_constructors(inner)


def check_constructors(layers: Any) -> None:
    """Raise `TypeError` unless these are constructors, in a list."""
    advice = "layers is a list of your constructors, layers=[Scale]"
    if not isinstance(layers, (list, tuple)) or isinstance(layers, Layer):
        raise TypeError(f"{advice}, got {shown(layers)}")
    for made in layers:
        if isinstance(made, Layer) or not hasattr(made, "__name__"):
            raise TypeError(f"{advice}, not of {shown(made)}")


def from_spec(spec: Spec, layers: Sequence[Callable[..., Layer]] = ()) -> Layer:
    """The layer that `spec` describes: `from_spec(layer.spec)` does what `layer` does.

    layers: constructors of your own, decorated with `constructor`, that it may name too.
    Raises `ValueError` for a name that is neither a layer of this library nor one of those, or for
    arguments not its own, `TypeError` for layers that are no list of constructors.

    >>> model = fn.serial(fn.Dense(2), fn.Relu())
    >>> fn.from_spec(model.spec).spec == model.spec
    True
    """
    check_constructors(layers)
    layer = _from_data(spec, _layers | {make.__name__: make for make in layers})
    if not isinstance(layer, Layer):
        raise ValueError(f"not the spec of a layer: {shown(spec)}")
    return layer


def _from_data(data: Any, layers: dict[str, Callable[..., Layer]]) -> Any:
    if isinstance(data, list):
        return tuple(_from_data(item, layers) for item in data)
    if not isinstance(data, dict):
        return data
    for kind, constructors in (("layer", layers), ("initializer", _initializers)):
        if kind in data:
            arguments = {
                key: _from_data(value, layers) for key, value in data.items() if key != kind
            }
            return _construct(kind, constructors, data[kind], arguments)
    raise ValueError(f"a spec has a 'layer' or an 'initializer', got keys {sorted(data, key=str)}")


def _construct(
    kind: str, constructors: dict[str, Callable[..., Any]], name: Any, arguments: dict[str, Any]
) -> Any:
    if not isinstance(name, str) or name not in constructors:
        names = sorted(constructors)
        own = "; of a layer of your own give the constructor, layers=[...]"
        raise ValueError(
            f"{shown(name)} is not a {kind} of this library (known: {names})"
            f"{own if kind == 'layer' else ''}"
        )
    make = constructors[name]
    positional: list[Any] = []
    try:
        for parameter in signature(make).parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:  # serial(*layers)
                positional = list(arguments.get(parameter.name, ()))
                arguments.pop(parameter.name, None)
        return make(*positional, **arguments)
    except TypeError as error:
        raise ValueError(f"{kind} {name!r} with arguments {shown(arguments)}: {error}") from None
