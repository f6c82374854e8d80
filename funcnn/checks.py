"""The promises that every layer makes, checked on any layer, a user's own included."""

from collections.abc import Callable
from typing import Any

import numpy as np

from funcnn import random, tree
from funcnn.gradcheck import EPSILON, CheckFailure, Report, check_vjp, off_kinks
from funcnn.layers.any_layer import check_layers, with_wrt
from funcnn.random import Key
from funcnn.spec import from_spec, own_constructors
from funcnn.training import write_statistics
from funcnn.types import Array, Layer, Shape, Tree, statistics_of


def check_layer(
    layer: Layer,
    input_shape: Shape,
    *,
    rng: Key | None = None,
    batch: int = 3,
    tolerance: float = 1e-6,
) -> Report:
    """Check every promise of the contract on a layer, the user's own included.

    Declared and actual shape; dtypes; the gradient's structure; arguments left alone; same key,
    same result; each `wrt`; a vjp called twice, and between other applies; linearity; the
    derivative itself, by x and by params (those of init, each number 0.01 to 0.02 larger: off
    kinks); in evaluation a batch equal to its single samples.
    Leaves that `vjp.statistics` has new values for are constants, whose gradient must be zero.
    input_shape: without the batch axis, small (tens of entries); a tuple of shapes for a layer of
    several inputs. Raises `CheckFailure`.

    >>> fn.check_layer(fn.serial(fn.Dense(3), fn.Tanh()), (4,)).worst.error < 1e-8
    True
    """
    rng = random.key(0) if rng is None else rng
    check_layers("check_layer", (layer,))
    own = list(own_constructors(layer))  # of the layer as it was made: one that is wrapped has none
    layer = layer._replace(apply=with_wrt(layer.apply))
    _check_init(layer, input_shape, rng)
    try:
        _check_arrays(layer, input_shape, rng, batch, own)
    except ValueError as error:
        if "read-only" in str(error):
            raise CheckFailure(f"it changes one of its arguments: {error}") from error
        raise
    _check_samples(layer, input_shape, rng, batch)
    reports = []
    for train in (False, True):
        params, x, key = _arguments(layer, input_shape, rng, batch, np.float64)
        params = _frozen(off_kinks(params, random.split(rng, 4)[3]), np.float64)
        function = _of_primals(layer, params, x, key, train)
        primals = {"params": params, "x": x}
        reports.append(check_vjp(function, primals, rng=rng, tolerance=tolerance))
    return max(reports, key=lambda report: report.worst.error)


def _of_primals(layer: Layer, old: Tree, x: Array, key: Key, train: bool) -> Callable[[Tree], Any]:
    """y, as a vector, and the vjp as functions of params and x, statistics held as they are."""
    _, vjp_in_training = layer.apply(old, x, rng=key, train=True)
    written = write_statistics(old, statistics_of(vjp_in_training))  # other arrays where it has new

    def function(primals: Tree) -> Any:
        params = tree.map(
            lambda p, before, after: p if after is before else before,
            primals["params"],
            old,
            written,
        )
        y, vjp = layer.apply(params, primals["x"], rng=key, train=train)
        assert vjp is not None
        vector, unravel = tree.ravel(y)  # y may be a tuple of arrays
        return vector, lambda dy: dict(zip(("params", "x"), vjp(unravel(dy)), strict=True))

    return function


def _arguments(
    layer: Layer, input_shape: Shape, rng: Key, batch: int, dtype: Any
) -> tuple[Tree, Array, Key]:
    """Read-only params and x: writing to one of them is an error at the very line."""
    init_rng, x_rng, apply_rng = random.split(rng, 3)
    _, params = layer.init(init_rng, input_shape)
    x, unravel = tree.ravel(_zeros(input_shape, batch))
    # A shuffled grid: no two entries equal or near, none near 0, so kinks are far away.
    grid = (np.arange(x.size) - x.size / 2 + 0.25) * (4 / x.size)
    x = unravel(grid[random.permutation(x_rng, x.size)])
    return _frozen(params, dtype), _frozen(x, dtype), apply_rng


def _zeros(shape: Shape, batch: int) -> Tree:
    """A batch of zeros of this shape, or a tuple of batches for a tuple of shapes."""
    if any(isinstance(entry, tuple) for entry in shape):
        return tuple(_zeros(entry, batch) for entry in shape)
    return np.zeros((batch, *shape))


def _shapes(value: Tree) -> Shape:
    return tuple(map(_shapes, value)) if type(value) is tuple else np.shape(value)


def _frozen(value: Tree, dtype: Any) -> Tree:
    def freeze(array: Array) -> Array:
        copy = np.array(array, dtype)
        copy.setflags(write=False)
        return copy

    return tree.map(freeze, value)


def _expect(holds: bool, promise: str) -> None:
    if not holds:
        raise CheckFailure(promise)


def _same(a: Tree, b: Tree) -> bool:
    """Equal structure, shapes, dtypes and bits (NaN equal to NaN)."""
    if tree.structure(a) != tree.structure(b):
        return False
    arrays = ([np.asarray(leaf) for leaf in tree.leaves(t)] for t in (a, b))
    pairs = zip(*arrays, strict=True)
    return all(p.dtype == q.dtype and np.array_equal(p, q, equal_nan=True) for p, q in pairs)


def _check_init(layer: Layer, input_shape: Shape, rng: Key) -> None:
    declared, params = layer.init(rng, input_shape)
    again, params_again = layer.init(rng, input_shape)
    same = declared == again and _same(params, params_again)
    _expect(same, "init with one key gives two results")
    for path, leaf in tree.leaves_with_path(params):
        _expect(isinstance(leaf, np.ndarray), f"params {path} is a {type(leaf).__name__}, no array")
        _expect(leaf.dtype == np.float32, f"params {path} begins as {leaf.dtype}, not float32")


def _check_arrays(
    layer: Layer, input_shape: Shape, rng: Key, batch: int, own: list[Callable[..., Layer]]
) -> None:
    declared, _ = layer.init(rng, input_shape)
    for dtype in (np.float32, np.float64):
        for train in (False, True):
            params, x, key = _arguments(layer, input_shape, rng, batch, dtype)
            other_x = _frozen(tree.map(lambda part: part[::-1] * 0.5, x), dtype)

            def apply(x: Array, wrt: Any = "both", params: Tree = params, **changed: Any) -> Any:
                keywords = {"rng": key, "train": train, "wrt": wrt} | changed  # noqa: B023
                return layer.apply(params, x, **keywords)

            result = apply(x)
            pair = isinstance(result, tuple) and len(result) == 2
            _expect(pair and callable(result[1]), "apply must return (y, vjp), vjp a function")
            y, vjp = result
            fits = _shapes(y) == _shapes(_zeros(declared, batch))
            _expect(fits, f"declared {declared}, but y is {_shapes(y)}")
            for part in tree.leaves(y):
                right = part.dtype == dtype
                _expect(right, f"y is {part.dtype} for {np.dtype(dtype)} params and x")
            vector, unravel = tree.ravel(y)
            dy = _frozen(unravel(random.normal(rng, vector.shape, np.float64)), dtype)
            other_dy = _frozen(tree.map(lambda part: part[::-1], dy), dtype)
            cotangents = vjp(dy)
            pair = isinstance(cotangents, tuple) and len(cotangents) == 2
            _expect(pair, "the vjp must return (dparams, dx)")
            dparams, dx = cotangents
            _expect(
                tree.structure(dparams) == tree.structure(params),
                "dparams have another structure than params",
            )
            for (path, g), p in zip(
                tree.leaves_with_path({"params": dparams, "x": dx}),
                tree.leaves({"params": params, "x": x}),
                strict=True,
            ):
                fits = g.shape == p.shape and g.dtype == p.dtype
                _expect(fits, f"d{path} is {g.dtype} {g.shape}, {path} is {p.dtype} {p.shape}")
            written = write_statistics(params, statistics_of(vjp))
            for (path, s), p in zip(
                tree.leaves_with_path(written), tree.leaves(params), strict=True
            ):
                fits = s.shape == p.shape and s.dtype == p.dtype
                _expect(fits, f"statistics {path} are {s.dtype} {s.shape}, not as the params")
            for path, g in tree.leaves_with_path(dparams):
                shared = any(np.shares_memory(g, a) for a in tree.leaves((dy, x, params)))
                _expect(not shared, f"dparams {path} shares memory with an argument")

            _expect(_same(apply(x)[0], y), "the same arguments and key give two results")
            _expect(_same(vjp(dy), (dparams, dx)), "a vjp called twice gives two results")
            # Two applies before either vjp, one of them called in between.
            _, first = apply(x)
            _, second = apply(other_x)
            expected_other = second(other_dy)
            _expect(_same(first(dy), (dparams, dx)), "another apply changes a vjp's result")
            _, alone = apply(other_x)
            _expect(_same(alone(other_dy), expected_other), "another vjp changes a vjp's result")

            y_params, vjp_params = apply(x, "params")
            only = vjp_params(dy)
            _expect(_same(y_params, y) and _same(only[0], dparams), "wrt='params' changes a result")
            y_x, vjp_x = apply(x, "x")
            surplus, only_dx = vjp_x(dy)  # of a layer that knows no "x", which serial drops
            fits = not tree.leaves(surplus) or _same(surplus, dparams)
            _expect(_same(y_x, y) and _same(only_dx, dx) and fits, "wrt='x' changes a result")
            y_none, vjp_none = apply(x, None)
            _expect(_same(y_none, y) and vjp_none is None, "wrt=None changes y or gives a vjp")
            if dtype is np.float64:
                _check_linear(vjp, y, dy, other_dy)
            _check_spec(layer, own, params, x, y, {"rng": key, "train": train})


def _check_linear(vjp: Any, y: Array, dy: Array, other_dy: Array) -> None:
    together = vjp(tree.map(lambda a, b: 2 * a - 3 * b, dy, other_dy))
    apart = tree.map(lambda a, b: 2 * a - 3 * b, vjp(dy), vjp(other_dy))
    sizes = [float(np.max(np.abs(leaf), initial=0)) for leaf in tree.leaves(apart)]
    # A leaf that is truly zero (a bias before BatchNorm) is what rounding makes of the others, and
    # where all of them are, of the terms of dy y.
    terms = tree.map(lambda a, b, c: (2 * np.abs(a) + 3 * np.abs(b)) * np.abs(c), dy, other_dy, y)
    terms_size = sum(float(np.sum(term)) for term in tree.leaves(terms))
    noise = 64 * EPSILON * max([*sizes, terms_size])
    for a, b, size in zip(tree.leaves(together), tree.leaves(apart), sizes, strict=True):
        limit = max(1e-10 * size, noise)
        _expect(float(np.max(np.abs(a - b), initial=0)) <= limit, "the vjp is not linear")


def _check_spec(
    layer: Layer,
    own: list[Callable[..., Layer]],
    params: Tree,
    x: Array,
    y: Array,
    keywords: dict[str, Any],
) -> None:
    try:
        layer.apply(params, x, misspelt=True)
    except TypeError:
        pass
    else:
        raise CheckFailure("a misspelt keyword passes")
    if layer.spec is not None:
        again = from_spec(layer.spec, own)
        _expect(again.spec == layer.spec, "from_spec(spec) has another spec")
        _expect(_same(again.apply(params, x, **keywords)[0], y), "from_spec(spec) is another layer")


def _check_samples(layer: Layer, input_shape: Shape, rng: Key, batch: int) -> None:
    params, x, _ = _arguments(layer, input_shape, rng, batch, np.float64)
    together, _ = layer.apply(params, x, train=False, wrt=None)
    singles = [tree.map(lambda part, i=i: part[i : i + 1], x) for i in range(batch)]
    ys = [layer.apply(params, single, train=False, wrt=None)[0] for single in singles]
    apart = tree.map(lambda *parts: np.concatenate(parts), *ys)
    for a, b in zip(tree.leaves(together), tree.leaves(apart), strict=True):
        size = max(float(np.max(np.abs(b), initial=0)), 1.0)
        worst = float(np.max(np.abs(a - b), initial=0)) / size
        _expect(worst <= 1e-12, f"in evaluation a batch differs from its samples by {worst:.3g}")
