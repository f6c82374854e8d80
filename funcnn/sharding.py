"""How a sequence of layers is applied: in runs, and each run whole or in shards of the batch.

A run of layers that treat every sample by itself can be cut along the batch into shards that
threads work on beside each other; because everything is pure, nothing else changes. The cut
depends on shapes only, so the bits are the same for any number of threads.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from funcnn import random, tree
from funcnn.random import Key
from funcnn.threads import run_parallel
from funcnn.types import Apply, Arrays, Layer, Tree, Wrt, at_layer, check_takes, traits

# A shard has at least 64 samples and 4 million multiply-adds (some 80 us of one core), or the
# cost of waking a thread (some 50 us) would eat the gain; a few shards keep as many cores busy.
SHARD_SAMPLES = 64
SHARD_WORK = 4_000_000
MAX_SHARDS = 8

PullBack = Callable[[Arrays | None], tuple[list[Tree], Arrays | None]]


class Run(NamedTuple):
    """Layers `start`, `start + 1`, ... that are applied together."""

    start: int
    layers: Sequence[Layer]
    applies: Sequence[Apply]
    per_sample: bool


def find_runs(layers: Sequence[Layer], applies: Sequence[Apply], train: bool) -> list[Run]:
    """The maximal runs of layers that treat every sample by itself, and of those that do not."""
    accepted = ("always",) if train else ("always", "evaluation")
    per_sample = [traits(layer).per_sample in accepted for layer in layers]
    cuts = [i for i in range(1, len(layers)) if per_sample[i] != per_sample[i - 1]]
    return [
        Run(start, layers[start:stop], applies[start:stop], per_sample[start])
        for start, stop in itertools.pairwise([0, *cuts, len(layers)])
        if start < stop
    ]


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

    return y, pull_back, [None] * len(run.layers)


def _apply_whole(
    run: Run, params: Tree, x: Arrays, rng: Key | None, train: bool, wrts: Sequence[Wrt]
) -> tuple[Arrays, PullBack, list[Tree]]:
    y = x
    vjps = []
    for index, (layer, apply) in enumerate(zip(run.layers, run.applies, strict=True), run.start):
        # A layer that treats every sample by itself uses no key, and need not have one derived.
        key = None if rng is None or run.per_sample else random.fold_in(rng, index)
        try:
            check_takes(layer, y)
            y, vjp = apply(params[index], y, rng=key, train=train, wrt=wrts[index])
        except (ValueError, TypeError, KeyError) as error:
            raise at_layer(index, layer, error) from error
        vjps.append(vjp)

    def pull_back(dy: Arrays | None) -> tuple[list[Tree], Arrays | None]:
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


def _count_shards(run: Run, params: Tree, x: Arrays) -> int:
    samples = len(x) if type(x) is np.ndarray else min(map(len, tree.leaves(x)), default=0)
    if not run.per_sample or samples < 2 * SHARD_SAMPLES:
        return 1
    # As if each sample met each weight once: true of `Dense` on rows, the least that it can be.
    weights = tree.leaves(params[run.start : run.start + len(run.layers)])
    work = samples * sum(np.size(weight) for weight in weights)
    return max(1, min(samples // SHARD_SAMPLES, work // SHARD_WORK, MAX_SHARDS))


def _split(x: Arrays, shards: int) -> list[Arrays]:
    """Nearly equal parts of the batch; `numpy.array_split` without what it costs at every step."""
    if type(x) is tuple:
        return list(zip(*(_split(part, shards) for part in x), strict=True))
    cuts = [len(x) * i // shards for i in range(shards + 1)]
    return [x[start:stop] for start, stop in itertools.pairwise(cuts)]


def _join(parts: list[Arrays]) -> Arrays:
    return tree.map(lambda *arrays: np.concatenate(arrays), *parts)
