"""Combinators: layers made of layers.

A run of layers that treat every sample by itself can be cut along the batch into shards that
threads work on beside each other; because everything is pure, nothing else changes. The cut
depends on shapes only, so the bits are the same for any number of threads.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from funcnn import random, tree
from funcnn.random import Key
from funcnn.spec import constructor
from funcnn.threads import parallel
from funcnn.types import (
    Apply,
    Array,
    Layer,
    Shape,
    Traits,
    Tree,
    Vjp,
    Wrt,
    accepts,
    layer_name,
    traits,
    with_wrt,
)

# A shard has at least 64 samples and 4 million multiply-adds (some 80 us of one core), or the
# cost of waking a thread (some 50 us) would eat the gain; a few shards keep as many cores busy.
SHARD_SAMPLES = 64
SHARD_WORK = 4_000_000
MAX_SHARDS = 8

PullBack = Callable[[Array | None], tuple[list[Tree], Array | None]]


@constructor()
def serial(*layers: Layer) -> Layer:
    """The layers one after another: y = layer_n(... layer_1(layer_0(x))), as stax's `serial`.

    params: a list, one entry a layer, so that a leaf's path is `0/weight`. With an `rng`, layer i
    uses `fold_in(rng, i)`. An error inside a layer says which: `layer 3 (Dense): ...`.
    Raises `TypeError` for an argument that is not a layer, `ValueError` for params of the wrong
    length.
    """
    _check_layers(layers)
    applies = [with_wrt(layer.apply) for layer in layers]
    runs = {train: _runs(layers, applies, train) for train in (False, True)}

    def init(
        rng: Key, input_shape: Shape, *, dtype: npt.DTypeLike = np.float32
    ) -> tuple[Shape, Tree]:
        params = []
        shape = input_shape
        for index, layer in enumerate(layers):
            try:
                shape, layer_params = init_layer(layer, random.fold_in(rng, index), shape, dtype)
            except (ValueError, TypeError) as error:
                raise _at_layer(index, layer, error) from error
            params.append(layer_params)
        return shape, params

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        if type(params) not in (list, tuple) or len(params) != len(layers):
            raise ValueError(
                f"serial has {len(layers)} layers, so its params are a list of as many entries, "
                f"got {_describe_params(params)}"
            )
        wrts = _wrt_of_each(params, wrt)
        y = x
        pull_backs = []
        statistics: list[Tree] = []
        for run in runs[bool(train)]:
            y, pull_back, new_statistics = _apply_run(run, params, y, rng, train, wrts)
            if wrt is not None:
                pull_backs.append(pull_back)
                statistics += new_statistics
        if wrt is None:
            return y, None

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            dparams: list[Tree] = []
            dx: Array | None = dy
            for pull_back in reversed(pull_backs):
                dparams_of_run, dx = pull_back(dx)
                dparams = dparams_of_run + dparams
            return type(params)(dparams), (None if wrt == "params" else dx)

        if any(entry is not None for entry in statistics):
            vjp.statistics = statistics  # type: ignore[attr-defined]
        return y, vjp

    kinds = {traits(layer).per_sample for layer in layers}
    weakest = next((kind for kind in ("never", "evaluation") if kind in kinds), "always")
    apply.traits = Traits("serial", weakest, layers)  # type: ignore[attr-defined, arg-type]
    return Layer(init, apply)


# --- what serial is made of ------------------------------------------------------------------


class _Run(NamedTuple):
    """Layers `start`, `start + 1`, ... that are applied together."""

    start: int
    layers: Sequence[Layer]
    applies: Sequence[Apply]
    per_sample: bool


def _runs(layers: Sequence[Layer], applies: Sequence[Apply], train: bool) -> list[_Run]:
    """The maximal runs of layers that treat every sample by itself, and of those that do not."""
    accepted = ("always",) if train else ("always", "evaluation")
    per_sample = [traits(layer).per_sample in accepted for layer in layers]
    cuts = [i for i in range(1, len(layers)) if per_sample[i] != per_sample[i - 1]]
    return [
        _Run(start, layers[start:stop], applies[start:stop], per_sample[start])
        for start, stop in itertools.pairwise([0, *cuts, len(layers)])
        if start < stop
    ]


def _apply_run(
    run: _Run, params: Tree, x: Array, rng: Key | None, train: bool, wrts: Sequence[Wrt]
) -> tuple[Array, PullBack, list[Tree]]:
    shards = 1
    if run.per_sample and len(x) >= 2 * SHARD_SAMPLES:
        shards = _count_shards(params[run.start : run.start + len(run.layers)], len(x))
    if shards == 1:
        return _apply_whole(run, params, x, rng, train, wrts)

    pieces = parallel(
        [
            functools.partial(_apply_whole, run, params, shard, None, train, wrts)
            for shard in _split(x, shards)
        ]
    )
    y = np.concatenate([piece[0] for piece in pieces])

    def pull_back(dy: Array | None) -> tuple[list[Tree], Array | None]:
        dys = [None] * shards if dy is None else _split(dy, shards)
        cotangents = parallel(
            [functools.partial(piece[1], part) for piece, part in zip(pieces, dys, strict=True)]
        )
        total, dx = cotangents[0]
        for dparams, _ in cotangents[1:]:  # in a fixed order: the same bits for any threads
            tree.map(lambda a, b: np.add(a, b, out=a), total, dparams)
        return total, None if dx is None else np.concatenate([dx for _, dx in cotangents])

    return y, pull_back, [None] * len(run.layers)


def _apply_whole(
    run: _Run, params: Tree, x: Array, rng: Key | None, train: bool, wrts: Sequence[Wrt]
) -> tuple[Array, PullBack, list[Tree]]:
    y = x
    vjps = []
    for index, (layer, apply) in enumerate(zip(run.layers, run.applies, strict=True), run.start):
        # A layer that treats every sample by itself uses no key, and need not have one derived.
        key = None if rng is None or run.per_sample else random.fold_in(rng, index)
        try:
            y, vjp = apply(params[index], y, rng=key, train=train, wrt=wrts[index])
        except (ValueError, TypeError, KeyError) as error:
            raise _at_layer(index, layer, error) from error
        vjps.append(vjp)

    def pull_back(dy: Array | None) -> tuple[list[Tree], Array | None]:
        dparams: list[Tree] = []
        for offset in reversed(range(len(vjps))):
            vjp = vjps[offset]
            if vjp is None:  # wrt=None: no weights here nor before, whose gradient is themselves
                dparams.append(params[run.start + offset])
                dy = None
            else:
                assert dy is not None
                dparams_of_layer, dy = vjp(dy)
                dparams.append(dparams_of_layer)
        return dparams[::-1], dy

    return y, pull_back, [getattr(vjp, "statistics", None) for vjp in vjps]


def _count_shards(params: Tree, samples: int) -> int:
    # Each sample meets each weight once: true of dense layers, which are all that there are yet.
    work = samples * sum(np.size(leaf) for leaf in tree.leaves(params))
    return max(1, min(samples // SHARD_SAMPLES, work // SHARD_WORK, MAX_SHARDS))


def _split(x: Array, shards: int) -> list[Array]:
    """Nearly equal parts of the batch; `numpy.array_split` without what it costs at every step."""
    cuts = [len(x) * i // shards for i in range(shards + 1)]
    return [x[start:stop] for start, stop in itertools.pairwise(cuts)]


def _wrt_of_each(params: Sequence[Tree], wrt: Wrt) -> list[Wrt]:
    """What each layer is asked for: nothing before the first weights, then params, then both."""
    if wrt not in ("both", "params", None):
        raise ValueError(f"wrt is 'both', 'params' or None, got {wrt!r}")
    if wrt != "params":
        return [wrt] * len(params)
    first = next((i for i, entry in enumerate(params) if tree.leaves(entry)), len(params))
    wrts: list[Wrt] = [None] * first
    if first < len(params):
        wrts.append("params")
    return wrts + ["both"] * (len(params) - len(wrts))


def init_layer(layer: Layer, rng: Key, shape: Shape, dtype: npt.DTypeLike) -> tuple[Shape, Tree]:
    """`init` of any layer with a dtype, a user's own that does not take one included."""
    if accepts(layer.init, "dtype"):
        return layer.init(rng, shape, dtype=dtype)
    output_shape, params = layer.init(rng, shape)
    return output_shape, tree.map(lambda leaf: np.asarray(leaf, dtype), params)


def _check_layers(layers: Sequence[Any]) -> None:
    for index, layer in enumerate(layers):
        if isinstance(layer, Layer):
            continue
        name = getattr(layer, "__name__", None)
        advice = (
            f"call the constructor, {name}(...)"
            if callable(layer) and name
            else "make one with fn.Layer(init, apply)"
        )
        raise TypeError(f"layer {index} is not a layer but {layer!r}: {advice}")


def _at_layer(index: int, layer: Layer, error: Exception) -> Exception:
    """The same kind of error, with the layer's position and name before its message."""
    where = f"layer {index} ({layer_name(layer)})"
    if isinstance(error, KeyError):
        return ValueError(f"{where}: params have no {error}")
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{where}: {error}")


def _describe_params(params: Tree) -> str:
    if isinstance(params, (list, tuple)):
        return f"{len(params)} entries"
    return f"a {type(params).__name__}"
