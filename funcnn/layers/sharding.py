"""How a sequence of layers is applied: in runs, and each run whole or in shards of the batch.

A run of layers that treat every sample by itself can be cut along the batch into shards that
threads work on beside each other; because everything is pure, nothing else changes. The cut
depends on shapes only, so the bits are the same for any number of threads.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from funcnn import random, tree
from funcnn._memory import empty_like
from funcnn.layers.any_layer import at_layer, check_takes, no_cotangents, y_and_vjp
from funcnn.layers.rewrite import pool_before_relu
from funcnn.random import Key
from funcnn.threads import run_parallel
from funcnn.types import Apply, Array, Arrays, Layer, Tree, Wrt, statistics_of, traits

# A shard has at least 4 million multiply-adds (some 80 us of one core), or the cost of waking a
# thread (some 50 us) would eat the gain. Rows have 500 at least: for fewer, BLAS's own threads give
# more, see `ops.matmul`. Images have 32 at least, and 64 at most however many shards that makes: a
# batch of 64 is enough for two cores, and what a large one needs beside its params and outputs is
# bounded.
SHARD_WORK = 4_000_000
SHARD_ROWS = 500
MAX_SHARDS_OF_ROWS = 8
LEAST_IMAGES, MOST_IMAGES = 32, 64

PullBack = Callable[[Arrays | None], tuple[list[Tree], Arrays | None]]


class Step(NamedTuple):
    """One layer of a run, and its position among all the layers."""

    position: int
    layer: Layer
    apply: Apply


class Run(NamedTuple):
    """Layers that are applied together."""

    steps: Sequence[Step]
    per_sample: bool
    spatial: bool
    """Whether one of them works on images."""


def find_runs(layers: Sequence[Layer], applies: Sequence[Apply], train: bool) -> list[Run]:
    """The maximal runs of layers that treat every sample by itself, and of those that do not."""
    accepted = ("always",) if train else ("always", "evaluation")
    steps = [Step(i, layers[i], applies[i]) for i in pool_before_relu(layers)]
    runs = []
    for per_sample, run in itertools.groupby(
        steps, lambda step: traits(step.layer).per_sample in accepted
    ):
        members = list(run)
        runs.append(Run(members, per_sample, any(traits(step.layer).spatial for step in members)))
    return runs


def apply_run(
    run: Run, params: Tree, x: Arrays, rng: Key | None, train: bool, wrts: Sequence[Wrt]
) -> tuple[Arrays, PullBack, list[Tree]]:
    """The output of a run, how it carries a cotangent back, and its layers' new statistics.

    x, and the output, may be a tuple of arrays. params, wrts: of all layers, not of the run alone.
    """
    shards = _count_shards(run, params, x)
    if shards == 1:
        return _apply_whole(run, params, x, rng, train, wrts)

    pieces = run_parallel(
        [
            functools.partial(_apply_whole, run, params, shard, None, train, wrts)
            for shard in _split(x, shards)
        ]
    )
    y = _join([piece[0] for piece in pieces])

    def pull_back(dy: Arrays | None) -> tuple[list[Tree], Arrays | None]:
        dys = [None] * shards if dy is None else _split(dy, shards)
        cotangents = run_parallel(
            [functools.partial(piece[1], part) for piece, part in zip(pieces, dys, strict=True)]
        )
        total, dx = cotangents[0]
        for dparams, _ in cotangents[1:]:  # in a fixed order: the same bits for any threads
            tree.map(lambda a, b: np.add(a, b, out=a), total, dparams)
        return total, None if dx is None else _join([dx for _, dx in cotangents])

    return y, pull_back, [None] * len(run.steps)


def _apply_whole(
    run: Run, params: Tree, x: Arrays, rng: Key | None, train: bool, wrts: Sequence[Wrt]
) -> tuple[Arrays, PullBack, list[Tree]]:
    y = x
    vjps = []
    for position, layer, apply in run.steps:
        # A layer that treats every sample by itself uses no key, and need not have one derived.
        key = None if rng is None or run.per_sample else random.fold_in(rng, position)
        try:
            if type(y) is tuple:  # asked here, it saves most layers a call
                check_takes(layer, y)
            y, vjp = y_and_vjp(apply(params[position], y, rng=key, train=train, wrt=wrts[position]))
        except (ValueError, TypeError, KeyError) as error:
            raise at_layer(position, layer, error) from error
        vjps.append(vjp)

    def pull_back(dy: Arrays | None) -> tuple[list[Tree], Arrays | None]:
        dparams: list[Tree] = []
        for step, vjp in zip(reversed(run.steps), reversed(vjps), strict=True):
            if vjp is None:  # wrt=None: no weights here nor before, whose gradient is themselves
                dparams.append(params[step.position])
                dy = None
            else:
                pair = vjp(dy)
                if not isinstance(pair, tuple) or len(pair) != 2:
                    raise at_layer(step.position, step.layer, no_cotangents(pair))
                dparams_of_layer, dy = pair
                dparams.append(dparams_of_layer)
        return dparams[::-1], dy

    return y, pull_back, [statistics_of(vjp) for vjp in vjps]


def _count_shards(run: Run, params: Tree, x: Arrays) -> int:
    samples = len(x) if isinstance(x, np.ndarray) else min(map(len, tree.leaves(x)), default=0)
    spatial = run.spatial
    least = LEAST_IMAGES if spatial else SHARD_ROWS
    if not run.per_sample or samples < 2 * least:
        return 1
    # As if a sample met each weight once, or an image once for each element of a channel: nearly
    # true of `Dense` on rows and of convolutions before the image is pooled.
    weights = sum(map(np.size, tree.leaves([params[step.position] for step in run.steps])))
    elements = math.prod(x.shape[2:]) if spatial and isinstance(x, np.ndarray) else 1
    work = samples * weights * elements
    wanted = max(2, -(-samples // MOST_IMAGES)) if spatial else MAX_SHARDS_OF_ROWS
    return max(1, min(samples // least, work // SHARD_WORK, wanted))


def _split(x: Arrays, shards: int) -> list[Arrays]:
    """Nearly equal parts of the batch; `numpy.array_split` without what it costs at every step."""
    if type(x) is tuple:
        return list(zip(*(_split(part, shards) for part in x), strict=True))
    cuts = [len(x) * i // shards for i in range(shards + 1)]
    return [x[start:stop] for start, stop in itertools.pairwise(cuts)]


def _join(parts: list[Arrays]) -> Arrays:
    return tree.map(_concatenated, *parts)


def _concatenated(*arrays: Array) -> Array:
    first = arrays[0]
    whole = empty_like(first, (sum(map(len, arrays)), *first.shape[1:]))
    return np.concatenate(arrays, out=whole)
