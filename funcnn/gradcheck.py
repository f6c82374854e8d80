"""Proof of derivatives by numerical differentiation.

`check_vjp` compares a vjp with differences of the function itself, to a relative tolerance whose
only floor is the rounding noise of those differences: a gradient of 0 where 1e-7 is right fails.
"""

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from funcnn import random, tree
from funcnn._arguments import is_array
from funcnn.random import Key
from funcnn.types import Array, Shape, Tree

EPSILON = float(np.finfo(np.float64).eps)
_TINY_STEPS = 1e-13, -1e-13, 2e-13, -3e-13
"""So small that, but for the derivative, only rounding shows in a difference."""
_MOST_ROUNDING = 1000
"""How many times y's own rounding the rounding on the way to y may be; more is no rounding."""
_ALL_OUTPUTS = 64  # up to so many outputs the whole Jacobian is compared, else combinations


DifferentiableFunction = Callable[[Tree], tuple[Any, Callable[..., Tree]]]


class CheckFailure(AssertionError):
    """A promise that a layer or a derivative does not keep.

    >>> try:
    ...     fn.check_vjp(lambda x: (x**2, lambda dy: dy * x), np.array([3.0]))
    ... except fn.CheckFailure as failure:
    ...     print("a factor of 2 is missing")
    a factor of 2 is missing
    """


class LeafReport(NamedTuple):
    """How well the derivative by one leaf agrees with differences of the function."""

    path: str
    probes: int
    """Directions tried: single entries, and random directions through all of them."""
    error: float
    """The worst relative error."""
    at_kink: bool = False
    """Whether it is the error of a direction in which the function has a kink or a jump at x."""


class Report(NamedTuple):
    """What `check_vjp` found, leaf by leaf."""

    leaves: tuple[LeafReport, ...]

    @property
    def worst(self) -> LeafReport:
        """The leaf with the largest relative error."""
        return max(self.leaves, key=lambda leaf: leaf.error)


def check_vjp(
    function: DifferentiableFunction,
    x: Tree,
    *,
    rng: Key | None = None,
    tolerance: float = 1e-6,
    max_entries: int = 256,
) -> Report:
    """Compare the vjp of `function(x) -> (y, vjp)` with central differences of the function.

    x: a tree of float64 arrays. y: an array, or a number; `vjp(dy)` is a tree like x. Every entry
    of a leaf is tried, or of a large one `max_entries` drawn with `rng`. Returns the worst relative
    error of each leaf; raises `CheckFailure`, naming the leaf, if it is above `tolerance`, and
    saying so if x is at a kink, where a derivative cannot be compared.

    >>> fn.check_vjp(fn.activations.tanh, np.array([0.5, -1.0])).worst.error < 1e-8
    True
    """
    report = measure_vjp(function, x, rng=rng, tolerance=tolerance, max_entries=max_entries)
    if report.leaves and not report.worst.error <= tolerance:
        path, _, error, at_kink = report.worst
        kink = "; x is at a kink or jump of the function, where differences show no derivative: "
        raise CheckFailure(
            f"the derivative by {path or 'x'} has relative error {error:.3g}, above {tolerance:g}"
            + (f"{kink}move it away" if at_kink else "")
        )
    return report


def off_kinks(params: Tree, rng: Key) -> Tree:
    """The params, each entry up by 0.01 to 0.02: where a derivative can be compared.

    A bias begins at 0, and where all units before it are silent it is all that the next ReLU gets:
    at its kink a difference is half of either derivative. Shapes and dtypes stay.
    """
    vector, unravel = tree.ravel(params)
    return unravel(vector + random.uniform(rng, vector.shape, np.float64, 0.01, 0.02))


def measure_vjp(
    function: DifferentiableFunction,
    x: Tree,
    *,
    rng: Key | None = None,
    tolerance: float = 1e-6,
    max_entries: int = 256,
) -> Report:
    """What `check_vjp` compares, without a verdict.

    To the entries of a large leaf come two random directions through them all. The step shrinks
    until a kink is no longer crossed.
    Errors are relative, down to where rounding leaves `tolerance` of a difference unknown.
    """
    rng = random.key(0) if rng is None else rng
    y, vjp = function(x)
    if np.size(y) == 0:
        raise ValueError(f"y is empty, of shape {np.shape(y)}: there is nothing to compare")
    y = np.asarray(y, np.float64)
    dys = _cotangents(y, random.fold_in(rng, 0))  # (K, *y.shape)
    leaves, treedef = tree.flatten(x)
    reports = []
    for index, (path, leaf) in enumerate(tree.leaves_with_path(x)):
        is_plain = is_array(leaf) or isinstance(leaf, np.generic)
        kind = leaf.dtype if is_plain else type(leaf).__name__
        if kind != np.float64:
            raise TypeError(f"{path or 'x'} must be float64 to be checked, got {kind}")

        def moved(change: Array, index: int = index) -> Array:
            near = [*leaves[:index], leaves[index] + change, *leaves[index + 1 :]]
            return np.asarray(function(tree.unflatten(treedef, near))[0], np.float64)

        dxs = [vjp(dy if y.ndim else float(dy)) for dy in dys]
        gradients = np.stack([_cotangent(dx, index, path, leaf).ravel() for dx in dxs])
        probes = _probes(leaf.shape, random.fold_in(rng, index + 1), max_entries)
        error, at_kink = _worst_error(moved, y, dys, gradients, probes, tolerance)
        reports.append(LeafReport(path, len(probes), error, at_kink))
    return Report(tuple(reports))


def _worst_error(
    moved: Callable[[Array], Array],
    y: Array,
    dys: Array,
    gradients: Array,
    probes: list[Array],
    tolerance: float,
) -> tuple[float, bool]:
    """The worst error of the gradients `(K, leaf.size)` along the probes, and whether at a kink.

    moved: y for a leaf that is changed by so much.
    """
    flat_dys = dys.reshape(len(dys), -1)  # (K, y.size)
    own_rounding = EPSILON * (np.abs(flat_dys) @ np.abs(y).ravel())  # (K,), of y alone
    worst, at_kink = 0.0, False
    for direction in probes:

        def along(step: float, direction: Array = direction) -> Array:
            return moved(step * direction)

        derivative, step = _derivative(along)
        numeric = flat_dys @ derivative.ravel()  # (K,)
        analytic = gradients @ direction.ravel()  # (K, leaf.size) @ (leaf.size,)
        error = _error(analytic, numeric, 32 * own_rounding / step / tolerance)
        if not error <= tolerance:  # perhaps there is more rounding on the way to y
            still = along(0)
            rests = [along(tiny) - still - tiny * derivative for tiny in _TINY_STEPS]
            seen = np.abs(flat_dys).sum(1) * np.max(np.abs(rests))  # (K,)
            rounding = np.clip(seen, own_rounding, _MOST_ROUNDING * own_rounding)
            error = _error(analytic, numeric, 32 * rounding / step / tolerance)
        if error > worst:
            worst, at_kink = error, not error <= tolerance and _has_kink(along)
    return worst, at_kink


def _cotangent(dx: Tree, index: int, path: str, leaf: Array) -> Array:
    """What a vjp gave for one leaf. Raises `CheckFailure` if it is none for it."""
    leaves = tree.leaves(dx)
    cotangent = np.asarray(leaves[index], np.float64) if index < len(leaves) else None
    if cotangent is None or cotangent.shape != leaf.shape:
        got = "no cotangent" if cotangent is None else f"a cotangent of shape {cotangent.shape}"
        raise CheckFailure(f"the vjp gives {got} for {path or 'x'}, which is {leaf.shape}")
    return cotangent


def _has_kink(along: Callable[[float], Array]) -> bool:
    """Whether the slopes to both sides of 0 differ, and by no less for a smaller step.

    Of a smooth function the difference shrinks with the step, here to a tenth.
    """
    still = along(0)
    gaps, slopes = [], []
    for step in (1e-5, 1e-6):
        right, left = (along(step) - still) / step, (still - along(-step)) / step
        gaps.append(np.abs(right - left))
        slopes.append(np.maximum(np.abs(right), np.abs(left)))
    # Rounding, which grows as the step shrinks, is no kink.
    noise = 1e-5 * np.max(slopes[1]) + 64 * EPSILON * np.abs(still) / 1e-6
    return bool(np.any((gaps[1] > 0.5 * gaps[0]) & (gaps[1] > noise)))


def _error(analytic: Array, numeric: Array, floor: Array) -> float:
    """The worst relative error; inf for NaN. floor: the least size to be relative to."""
    size = np.maximum(np.abs(analytic), np.abs(numeric))
    scale = np.maximum(np.maximum(size, floor), np.finfo(np.float64).tiny)
    error = float(np.max(np.abs(analytic - numeric) / scale))
    return math.inf if math.isnan(error) else error


def _cotangents(y: Array, rng: Key) -> Array:
    if y.size <= _ALL_OUTPUTS:
        return np.eye(y.size).reshape(y.size, *y.shape)
    return random.normal(rng, (3, *y.shape), np.float64)


def _probes(shape: Shape, rng: Key, max_entries: int) -> list[Array]:
    size = int(np.prod(shape))
    chosen = range(size) if size <= max_entries else random.permutation(rng, size)[:max_entries]
    probes = []
    for entry in chosen:
        direction = np.zeros(size)
        direction[entry] = 1
        probes.append(direction.reshape(shape))
    if size > max_entries:
        probes += list(random.normal(rng, (2, *shape), np.float64))
    return probes


def _derivative(along: Callable[[float], Array]) -> tuple[Array, float]:
    """d/ds along(s) at 0, and the step used.

    It is the largest at which two formulas agree, or else the one at which they differ least.
    """
    tried = []
    for step in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7):
        one = along(step) - along(-step)
        coarse = (8 * one - (along(2 * step) - along(-2 * step))) / (12 * step)
        fine = (8 * (along(step / 2) - along(-step / 2)) - one) / (6 * step)
        # Both err by O(step^4); a kink between the points makes them differ by far more.
        gap = float(np.max(np.abs(coarse - fine)))
        if gap <= 1e-8 * np.max(np.abs(fine)):
            return fine, step / 2
        tried.append((gap, fine, step / 2))
    _, fine, step = min(tried, key=operator.itemgetter(0))
    return fine, step
