"""Combinators: layers made of layers.

Where there are several branches, x or y is a tuple of arrays, and a shape a tuple of shapes.
"""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from funcnn import random, tree
from funcnn._arguments import by_name, check_arrays, shown
from funcnn._pickling import recorded
from funcnn.layers._dense_on_images import dense_on_images
from funcnn.layers.any_layer import (
    at_layer,
    check_layers,
    check_params,
    check_takes,
    dparams_and_dx,
    init_layer,
    number_of,
    with_wrt,
    y_and_vjp,
)
from funcnn.layers.branches import add_all, check_tuple
from funcnn.layers.sharding import apply_run, find_runs
from funcnn.random import Key
from funcnn.spec import check_shapes, constructor
from funcnn.types import (
    Arrays,
    Layer,
    PerSample,
    Shape,
    Takes,
    Traits,
    Tree,
    Vjp,
    VjpWithStatistics,
    Wrt,
    statistics_of,
    traits,
)


@constructor(takes="any")
def serial(*layers: Layer) -> Layer:
    """The layers one after another: y = layer_n(... layer_1(layer_0(x))), as stax's `serial`.

    params: a list, one entry a layer, so that a leaf's path is `0/weight`. With an `rng`, layer i
    uses `fold_in(rng, i)`. An error inside a layer says which: `layer 3 (Dense): ...`.
    Raises `TypeError` for an argument that is not a layer, `ValueError` for params of another
    length, and in `init` for a `Dense` on the images of a `Conv` or a pool: `apply` warns of it.

    >>> model = fn.serial(fn.Dense(8), fn.Relu(), fn.Dense(2))
    >>> output_shape, params = model.init(fn.random.key(0), (4,))
    >>> fn.tree.map(np.shape, params)
    [{'bias': (8,), 'weight': (4, 8)}, {}, {'bias': (2,), 'weight': (8, 2)}]
    """
    check_layers("serial", layers)
    misplaced = dense_on_images(layers)
    applies = [with_wrt(layer.apply) for layer in layers]
    runs = {train: find_runs(layers, applies, train) for train in (False, True)}

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        if misplaced and rng != random.SHAPES_ONLY:
            raise ValueError(misplaced)
        params = []
        shape = input_shape
        for index, layer in enumerate(layers):
            shape, layer_params = _init_at(index, layer, rng, shape, dtype)
            params.append(layer_params)
        return shape, params

    def apply(
        params: Tree,
        x: Arrays,
        *rest: Any,
        rng: Key | None = None,
        train: bool = False,
        wrt: Wrt = "both",
        **others: Any,
    ) -> tuple[Arrays, Vjp | None]:
        if rest or others:
            raise by_name("apply(params, x, ...)", rest, others)
        if misplaced:  # of params that there are, from a file of before, it gives what it gave
            warnings.warn(misplaced, UserWarning, stacklevel=2)
        check_params("serial", params, layers)
        if type(x) is not np.ndarray or x.ndim == 0:  # asked here, it saves most networks a call
            check_arrays(x)
        wrts = _wrt_of_each(params, wrt)
        y = x
        pull_backs = []
        statistics: list[Tree] = []
        for run in runs[bool(train)]:
            y, pull_back, new_statistics = apply_run(run, params, y, rng, train, wrts)
            if wrt is not None:
                pull_backs.append(pull_back)
                statistics += new_statistics
        if wrt is None:
            return y, None

        def vjp(dy: Arrays) -> tuple[Tree, Arrays | None]:
            dparams: list[Tree] = []
            dx: Arrays | None = dy
            for pull_back in reversed(pull_backs):
                dparams_of_run, dx = pull_back(dx)
                dparams = dparams_of_run + dparams
            if wrt == "x":
                return None, dx
            return type(params)(dparams), (None if wrt == "params" else dx)

        return y, _with_statistics(vjp, statistics)

    return Layer(init, _with_traits(apply, "serial", layers, "any", serial))


@constructor(takes="tuple")
def parallel(*layers: Layer) -> Layer:
    """The layers beside each other: y_i = layer_i(x_i), as stax's `parallel`.

    x, y: tuples of one array a layer. params: a list, one entry a layer. With an `rng`, layer i
    uses `fold_in(rng, i)`. Raises `TypeError` for an argument that is not a layer, `ValueError` for
    params or inputs of another number.

    >>> both = fn.parallel(fn.Dense(3), fn.Flatten())
    >>> both.init(fn.random.key(0), ((4,), (2, 5)))[0]
    ((3,), (10,))
    """
    check_layers("parallel", layers)
    applies = [with_wrt(layer.apply) for layer in layers]

    def check_number(parts: Any, name: str) -> None:
        if len(parts) != len(layers):
            raise ValueError(f"parallel has {number_of(layers)}, got {len(parts)} {name}")

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        check_number(input_shape, "input shapes")
        pairs = [
            _init_at(index, layer, rng, shape, dtype)
            for index, (layer, shape) in enumerate(zip(layers, input_shape, strict=True))
        ]
        return tuple(shape for shape, _ in pairs), [params for _, params in pairs]

    def apply(
        params: Tree, x: Arrays, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Arrays, Vjp | None]:
        check_params("parallel", params, layers)
        check_tuple("parallel", x)
        check_number(x, "inputs")
        ys, vjps = [], []
        for index, (layer, layer_apply) in enumerate(zip(layers, applies, strict=True)):
            key = None if rng is None else random.fold_in(rng, index)
            try:
                check_takes(layer, x[index])
                y, vjp_of_layer = y_and_vjp(
                    layer_apply(params[index], x[index], rng=key, train=train, wrt=wrt)
                )
            except (ValueError, TypeError, KeyError) as error:
                raise at_layer(index, layer, error) from error
            ys.append(y)
            vjps.append(vjp_of_layer)
        if wrt is None:
            return tuple(ys), None

        def vjp(dy: Arrays) -> tuple[Tree, Arrays | None]:
            check_tuple("the vjp of parallel", dy)
            check_number(dy, "cotangents")
            pairs = [dparams_and_dx(pull(part)) for pull, part in zip(vjps, dy, strict=True)]  # type: ignore[misc]
            dxs = None if wrt == "params" else tuple(dx for _, dx in pairs)
            if wrt == "x":
                return None, dxs
            return type(params)(dparams_of_layer for dparams_of_layer, _ in pairs), dxs

        return tuple(ys), _with_statistics(vjp, [statistics_of(vjp) for vjp in vjps])

    return Layer(init, _with_traits(apply, "parallel", layers, "tuple", parallel))


@constructor(takes="any")
def residual(branch: Layer, shortcut: Layer | None = None) -> Layer:
    """y = branch(x) + shortcut(x), where the shortcut is x itself unless one is given.

    params: a list of the branch's and the shortcut's. Both outputs have one shape.
    Raises `ValueError` if they have not. He et al. 2016.

    >>> block = fn.residual(fn.serial(fn.Dense(4), fn.Tanh()))
    >>> block.init(fn.random.key(0), (4,))[0]
    (4,)
    """
    layers = (branch,) if shortcut is None else (branch, shortcut)
    check_layers("residual", layers)
    branches = parallel(*layers)

    def check_equal(shape: Shape, other: Shape) -> None:
        if shape != other:
            raise ValueError(f"residual: the branch gives {shape}, the shortcut {other}")

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        shapes, params = branches.init(rng, (input_shape,) * len(layers), dtype=dtype)
        check_equal(shapes[0], shapes[1] if shortcut else input_shape)
        return shapes[0], params

    def apply(
        params: Tree, x: Arrays, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Arrays, Vjp | None]:
        check_params("residual", params, layers)
        ys, pull_back = branches.apply(params, (x,) * len(layers), rng=rng, train=train, wrt=wrt)
        y, straight = ys if shortcut else (ys[0], x)
        check_equal(_sample_shape(y), _sample_shape(straight))
        total = add_all((y, straight))
        if pull_back is None:
            return total, None

        def vjp(dy: Arrays) -> tuple[Tree, Arrays | None]:
            dxs: Any
            dparams, dxs = pull_back((dy,) * len(layers))
            if wrt == "params":
                return dparams, None
            return dparams, add_all(dxs if shortcut else (dxs[0], dy))

        return total, _with_statistics(vjp, statistics_of(pull_back) or ())

    return Layer(init, _with_traits(apply, "residual", layers, "any", residual))


@recorded
def shape_dependent(make_layer: Callable[[Shape], Layer]) -> Layer:
    """The layer `make_layer(input_shape)`, made anew for each shape, as stax's `shape_dependent`.

    make_layer: a pure function of the shape without the batch axis (a tuple of shapes for a tuple
    of inputs). The layer has no spec, because a function is not data, and looks like one layer from
    outside. Raises `TypeError` for what is no function, or makes no layer.

    >>> halve = fn.shape_dependent(lambda shape: fn.Dense(shape[-1] // 2))
    >>> fn.serial(halve, halve).init(fn.random.key(0), (12,))[0]
    (3,)
    """
    if not callable(make_layer):
        raise TypeError(f"shape_dependent: make_layer is a function, got {shown(make_layer)}")

    @functools.lru_cache(maxsize=16)  # making it again would only take longer
    def made(input_shape: Shape) -> Layer:
        layer = make_layer(input_shape)
        check_layers("shape_dependent", (layer,))
        return layer._replace(apply=with_wrt(layer.apply))

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        input_shape = check_shapes("shape_dependent", input_shape)
        return init_layer(made(input_shape), rng, input_shape, dtype)

    def apply(
        params: Tree, x: Arrays, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Arrays, Vjp | None]:
        layer = made(_sample_shape(x))
        return layer.apply(params, x, rng=rng, train=train, wrt=wrt)

    apply.traits = Traits("shape_dependent")  # type: ignore[attr-defined]
    return Layer(init, apply)


# --- what combinators share ------------------------------------------------------------------


def _init_at(
    index: int, layer: Layer, rng: Key, shape: Shape, dtype: DTypeLike
) -> tuple[Shape, Tree]:
    try:
        return init_layer(layer, random.fold_in(rng, index), shape, dtype)
    except (ValueError, TypeError) as error:
        raise at_layer(index, layer, error) from error


def _wrt_of_each(params: Sequence[Tree], wrt: Wrt) -> list[Wrt]:
    """What each layer is asked for; for the params nothing before the first weights, then both."""
    if wrt not in ("both", "params", "x", None):
        raise ValueError(f"wrt is 'both', 'params', 'x' or None, got {shown(wrt)}")
    if wrt != "params":
        return [wrt] * len(params)
    first = next((i for i, entry in enumerate(params) if tree.leaves(entry)), len(params))
    return [None if i < first else "both" if i > first else "params" for i in range(len(params))]


def _with_statistics(vjp: Vjp, statistics: Sequence[Tree]) -> Vjp:
    """The vjp with the statistics of each layer, if one of them has any."""
    new = [entry for entry in statistics if entry is not None]
    return VjpWithStatistics(vjp, statistics) if new else vjp


def _with_traits(
    apply: Any, name: str, layers: Sequence[Layer], takes: Takes, rebuild: Callable[..., Layer]
) -> Any:
    """A combinator treats samples by themselves when all its layers do."""
    kinds = {traits(layer).per_sample for layer in layers}
    weakest: PerSample = "always"
    if kinds - {"always"}:
        weakest = "never" if "never" in kinds else "evaluation"
    spatial = any(traits(layer).spatial for layer in layers)
    apply.traits = Traits(name, weakest, takes, spatial, tuple(layers), rebuild)
    return apply


def _sample_shape(x: Any) -> Shape:
    return tuple(map(_sample_shape, x)) if type(x) is tuple else tuple(x.shape[1:])
