"""Where the time of a training step goes, layer by layer, beside what its matrix products need."""

import functools
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.data.datasets import Normalization
from funcnn.experiments.data.points import generate_XOR_easy
from funcnn.experiments.errors import InputError
from funcnn.experiments.reports.text_table import text_table
from funcnn.experiments.tasks.build import (
    build_loss,
    build_optimizer,
    network_that_fits,
    own_code,
)
from funcnn.experiments.training.target import Target
from funcnn.layers.any_layer import with_wrt
from funcnn.optimizers.base import AnyOptimizer
from funcnn.types import Batch, Layer, Loss, Shape, Tree, layer_name, traits

_EXAMPLES = 20_000
_SIDES = 96, 1024  # of the matrices whose product is the limit: in a cache, and far beyond one
_SECONDS, _LEAST = 1.0, 5


class Part(NamedTuple):
    """A part of the step: a layer, or what is around the layers. Milliseconds, on one thread."""

    path: str
    name: str
    output_shape: Shape | None
    forward: float
    vjp: float | None
    """None for what has none: the optimizer, and the choice of the examples."""
    gemm: float
    """What its matrix products, forward and vjp, would take at the rate of one large product."""


class Profile(NamedTuple):
    """A step in its parts, on one thread; and as it runs, on `threads` threads."""

    arch: str
    batch_size: int
    threads: int
    multiply_adds: float
    """A second, of one large product of float32 matrices on one thread."""
    parts: list[Part]
    step: float
    step_gemm: float
    """What all its matrix products would take, spread over all the threads."""

    def as_data(self) -> dict[str, Any]:
        """Everything, as data that JSON can hold."""
        return self._asdict() | {"parts": [part._asdict() for part in self.parts]}

    def __str__(self) -> str:
        table = [["layer", "", "output shape", "forward ms", "vjp ms", "GEMM ms", "of limit"]]
        for part in self.parts:
            shape = "" if part.output_shape is None else str(part.output_shape)
            times = [f"{part.forward:.3f}", "" if part.vjp is None else f"{part.vjp:.3f}"]
            row = [part.path, part.name, shape, *times]
            table.append(row + _limit(part.gemm, part.forward + (part.vjp or 0.0)))
        forward = sum(part.forward for part in self.parts)
        vjp = sum(part.vjp or 0.0 for part in self.parts)
        gemm = sum(part.gemm for part in self.parts)
        sums = [f"{forward:.3f}", f"{vjp:.3f}", *_limit(gemm, forward + vjp)]
        table.append(["", "sum", "", *sums])
        head = f"{self.arch}, batch of {self.batch_size}, layer by layer on one thread; "
        head += f"its GEMM does {self.multiply_adds / 1e9:.1f} billion multiply-adds a second"
        gemm_text, fraction = _limit(self.step_gemm, self.step)
        foot = f"the step as it runs, {self.threads} threads: {self.step:.3f} ms"
        if self.step_gemm:
            foot += f"; its GEMMs {gemm_text} ms, {fraction} of the limit"
        return "\n".join([head, "", text_table(table, left=3), "", foot])


def _limit(gemm: float, total: float) -> list[str]:
    return [f"{gemm:.3f}", f"{gemm / total:.0%}"] if gemm else ["", ""]


def profile_step(target: Target, threads: int) -> Profile:
    """The profile of a training step of a network, on random images or the XOR points.

    The layers are applied to the whole batch, one after another. Raises `InputError` for a network
    that does not fit in memory.
    """
    config, input_shape, _ = target
    batches = _batches(target)
    model = target.model
    if traits(model).name != "serial":
        model = fn.serial(model)
    loss, optimizer = build_loss(config), build_optimizer(config, 1000)
    with network_that_fits(config):
        _, params = model.init(fn.random.key(config.seed), input_shape)
        state = fn.TrainState.create(params, optimizer, rng=fn.random.key(1))
    step = fn.make_train_step(model.apply, loss, optimizer)

    def whole() -> dict[str, float]:
        start = time.perf_counter()
        step(state, next(batches))
        return {"step": time.perf_counter() - start}

    with (
        fn.threads.use_threads(threads),
        fn.threads.single_threaded_blas(),
        own_code(config, "in a step"),
    ):
        seconds = _medians(whole)
    with fn.threads.use_threads(1), fn.threads.single_threaded_blas():
        rate = _gemm_rate()
        seconds |= _medians(lambda: _one_pass(model, loss, optimizer, state, batches))

    products = _multiply_adds(model, params, input_shape)
    size = len(next(batches)[0])
    parts = []
    for index, layer in enumerate(traits(model).layers):
        path, gemm = str(index), size * products[index] / rate
        shape, _ = layer.init(fn.random.SHAPES_ONLY, input_shape)
        input_shape = shape
        forward, vjp = seconds[f"{path} forward"], seconds[f"{path} vjp"]
        parts.append(Part(path, layer_name(layer), shape, forward * 1e3, vjp * 1e3, gemm * 1e3))
    around = [("loss", "loss vjp"), ("optimizer", None), ("choice of the examples", None)]
    for name, vjp_name in around:
        vjp_ms = None if vjp_name is None else seconds[vjp_name] * 1e3
        parts.append(Part("", name, None, seconds[name] * 1e3, vjp_ms, 0.0))
    step_gemm = size * sum(products) / rate / threads
    return Profile(config.arch, size, threads, rate, parts, seconds["step"] * 1e3, step_gemm * 1e3)


def _batches(target: Target) -> Iterator[Batch]:
    """Minibatches without end."""
    config = target.config
    if config.binary:
        x, y = generate_XOR_easy()
        normalization = Normalization(1.0, 0.5, 0.5)
    else:
        generator = np.random.default_rng(0)
        x = generator.integers(256, size=(_EXAMPLES, *target.input_shape), dtype=np.uint8)
        y = generator.integers(target.classes, size=_EXAMPLES)
        normalization = Normalization(255.0, 0.5, 0.5)
    size = config.batch_size or len(x)
    if size > len(x):
        raise InputError(f"--batch-size {size}: there are {len(x)} examples")

    def generate() -> Iterator[Batch]:
        for epoch in itertools.count():
            rng = None if size == len(x) else fn.random.key(epoch)
            whole = len(x) // size * size
            yield from itertools.islice(
                fn.batches((x, y), size, rng=rng, preprocess=normalization), whole // size
            )

    return generate()


def _one_pass(
    model: Layer,
    loss: Loss,
    optimizer: AnyOptimizer,
    state: fn.TrainState,
    batches: Iterator[Batch],
) -> dict[str, float]:
    """The seconds of each part of one step."""
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - start
        return result

    y, labels = timed("choice of the examples", lambda: next(batches))
    assert state.rng is not None
    vjps, wrt = [], None
    for index, (layer, params) in enumerate(zip(traits(model).layers, state.params, strict=True)):
        # As serial asks: nothing before the first layer with weights, no dx of that layer.
        wrt = "both" if wrt else "params" if fn.tree.leaves(params) else None
        rng = fn.random.fold_in(state.rng, index)
        apply = functools.partial(with_wrt(layer.apply), rng=rng, train=True, wrt=wrt)
        y, vjp = timed(f"{index} forward", functools.partial(apply, params, y))
        vjps.append(vjp)
    _, loss_vjp = timed("loss", lambda: loss(y, labels))
    dy = timed("loss vjp", loss_vjp)
    grads: list[Tree] = []
    for index in reversed(range(len(vjps))):
        vjp = vjps[index] or (lambda dy, index=index: (state.params[index], None))
        dparams, dy = timed(f"{index} vjp", functools.partial(vjp, dy))
        grads.insert(0, dparams)

    def update() -> Tree:
        updates, _ = optimizer.update(grads, state.opt_state, state.params)
        return fn.apply_updates(state.params, updates)

    timed("optimizer", update)
    return seconds


def _medians(one_pass: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The median of each number that a pass gives, over a second of passes, the first left out."""
    one_pass()
    passes: list[dict[str, float]] = []
    end = time.perf_counter() + _SECONDS
    while len(passes) < _LEAST or time.perf_counter() < end:
        passes.append(one_pass())
    return {name: statistics.median(seconds[name] for seconds in passes) for name in passes[0]}


def _gemm_rate() -> float:
    """The multiply-adds a second of large products, or of small ones if that is more.

    float32, with BLAS as it is set.
    """
    return max(_rate_of_products(side) for side in _SIDES)


def _rate_of_products(side: int) -> float:
    a = np.random.default_rng(0).random((side, side), np.float32)
    out = np.empty_like(a)

    def product() -> dict[str, float]:
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        return {"seconds": time.perf_counter() - start}

    return side**3 / _medians(product)["seconds"]


_POSITIONS = {"Dense": lambda shape: shape[:-1], "Conv": lambda shape: shape[1:]}
"""The axes of an output, by constructor, at each place of which every weight is used once."""


def _multiply_adds(model: Layer, params: Tree, input_shape: Shape) -> list[int]:
    """The multiply-adds of a sample's matrix products, forward and vjp, in each layer of `model`.

    Each product has two more in the vjp, for dparams and dx; the first layer with weights, one.
    """
    counts = [0] * len(traits(model).layers)
    products = 2
    for row in fn.summary(model, input_shape).rows:
        if row.name in _POSITIONS:
            weights = functools.reduce(
                lambda tree, key: tree[int(key)], row.path.split("/"), params
            )
            positions = math.prod(_POSITIONS[row.name](row.output_shape))
            counts[int(row.path.split("/")[0])] += products * positions * weights["weight"].size
        products = 3 if row.parameters else products
    return counts
