"""The contract that every layer keeps, as types.

    Layer(init, apply, spec)
    init(rng, input_shape)                               -> (output_shape, params)
    apply(params, x, *, rng=None, train=False, wrt=...)  -> (y, vjp)
    vjp(dy)                                              -> (dparams, dx)

Shapes leave out the batch axis; arrays always have it, first. Nothing here computes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy.typing as npt

from funcnn import _pickling
from funcnn._written import name_of

Array = npt.NDArray[Any]
Arrays = Any
"""One array, or a tuple of arrays where a network has branches."""
Batch = tuple[Arrays, Arrays]
"""Inputs and targets, of one length; each an array, or a tuple of arrays."""
Tree = Any
"""Nested dicts, lists, tuples and NamedTuples with arrays (or numbers, or keys) as leaves."""

Shape = tuple[Any, ...]
"""Sizes (integers); or for a tuple of arrays, a tuple of their shapes."""
Spec = dict[str, Any]
"""What a layer is, as data that JSON can hold: its constructor's name and arguments."""

Wrt = Literal["both", "params", "x"] | None
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
    """A layer: two pure functions and, if it can be described as data, its description.

    Its repr is its constructor's call, `print` a tree of one layer a line.

    >>> fn.residual(fn.Dense(4, bias=True))
    fn.residual(fn.Dense(4))
    >>> double = fn.Layer(
    ...     init=lambda rng, input_shape: (input_shape, {}),
    ...     apply=lambda params, x, *, rng=None, train=False: (2 * x, lambda dy: ({}, 2 * dy)),
    ... )
    >>> fn.serial(double, fn.Relu()).apply([{}, {}], np.array([[-1.0, 3.0]]))[0]
    array([[0., 6.]])
    """

    init: Init
    apply: Apply
    spec: Spec | None = None

    def __repr__(self) -> str:
        recipe, name = _pickling.recipe_of(self), layer_name(self)
        if recipe is not None:
            return repr(recipe)
        return "<layer>" if name == "layer" else f"<layer {name}>"

    def __str__(self) -> str:
        return "\n".join(_outline(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickling.reduce(self)

    def __deepcopy__(self, memo: Any) -> "Layer":
        return self  # nothing of it can change


@dataclass(frozen=True, slots=True)
class VjpWithStatistics:
    """A vjp, called as any other, with the running statistics that its pass in training gave."""

    pull_back: Vjp
    statistics: Tree
    """A tree like params, with None for each leaf that is none of them."""

    def __call__(self, dy: Arrays) -> tuple[Tree, Arrays | None]:
        """The cotangents `(dparams, dx)` of dy."""
        return self.pull_back(dy)


def statistics_of(vjp: Vjp | None) -> Tree:
    """The statistics of a vjp, a user's own function with the attribute included, or None."""
    return getattr(vjp, "statistics", None)


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
    own = getattr(layer.apply, "traits", None)
    copied = hasattr(layer.apply, "__wrapped__")  # by functools.wraps, to another function
    return own if isinstance(own, Traits) and not copied else Traits()


def _outline(layer: Layer) -> list[str]:
    """The lines of a layer and of those inside it, each with its place among the params."""
    inner, rebuild = traits(layer).layers, traits(layer).rebuild
    if rebuild is None or not inner:
        return [repr(layer)]
    lines = [name_of(rebuild)]
    width = len(str(len(inner) - 1))
    for index, part in enumerate(inner):
        first, *others = _outline(part)
        lines.append(f"  {index:<{width}}  {first}")
        lines += [f"{' ' * (4 + width)}{line}" for line in others]
    return lines


def layer_name(layer: Layer) -> str:
    """The constructor's name, a user's own constructor's included, or `layer`."""
    if layer.spec:
        return str(layer.spec["layer"])
    made_in = getattr(layer.apply, "__qualname__", "").rpartition(".<locals>.")[0]  # a.b.Scale
    maker: str = made_in.rpartition(".")[2]
    return maker if maker[:1].isupper() else traits(layer).name
