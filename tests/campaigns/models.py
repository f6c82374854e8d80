"""Drawn models and trainings, of which all that is promised of each is looked at."""

import contextlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.drawn_models import Rng, drawn_model, drawn_shape, some
from campaigns.drawn_tasks import WAYS, Drawn, drawn_task, pinned, way_of
from helpers import frozen
from library.compiled.compiled_steps import read_only

import funcnn as fn
from funcnn.compiled.proof import same_bits
from funcnn.experiments.errors import InputError
from funcnn.gradcheck import off_kinks
from funcnn.types import Layer, Shape


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Drawn models, each on its own."""
    import torch
    from mirrored import assert_mirrored

    torch.set_num_threads(1)

    def one_try(rng: Rng) -> str:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "Using padding='same'")  # of torch
            shape = drawn_shape(rng)
            model = drawn_model(rng, shape)
            # Differences by every number take longer than all the rest.
            kinds = [check_promises(rng, model, shape)] if rng.random() < 0.3 else []
            has_twin = is_mirrored(assert_mirrored, rng, model, shape)
            drawn = drawn_task(rng, rows=drawn_rows(rng))
            check_gradient_of_loss(drawn)  # by a few numbers
            with fn.threads.use_threads(some(rng, 1, 4)):
                way = assert_same_ways(drawn)
            check_snapshot(folder / "drawn.npz", drawn)
        return ", ".join([way, "torch" if has_twin else "no twin", *kinds])

    yield one_try


def drawn_rows(rng: Rng) -> int | None:
    """Few as a rule; at times so many that threads share them."""
    return some(rng, 64, 200) if rng.random() < 0.1 else None


def check_promises(rng: Rng, model: Layer, shape: Shape) -> str:
    """All of `check_layer`, the derivative by differences among it; again where there is a kink."""
    for _ in range(3):
        try:
            fn.check_layer(model, shape, rng=fn.random.key(some(rng, 0, 2**31)))
            return "differences"
        except fn.CheckFailure as failure:
            if "kink or jump" not in str(failure):
                raise
    return "kinks"


def is_mirrored(assert_mirrored: Any, rng: Rng, model: Layer, shape: Shape) -> bool:
    """Whether torch has all layers, with which the same comes out then."""
    key, seed = fn.random.key(some(rng, 0, 2**31)), some(rng, 0, 2**31)
    try:
        assert_mirrored(model, shape, rng=key, seed=seed)
    except InputError:
        return False
    return True


def check_gradient_of_loss(drawn: Drawn) -> None:
    """The loss's gradient by the params, as a step has it, along some of them, by differences."""
    x, y = fn.tree.map(np.float64, drawn.batches[0][0]), drawn.batches[0][1]
    gradient = fn.value_and_grad(drawn.model.apply, drawn.loss)
    params = off_kinks(fn.tree.map(np.float64, drawn.state.params), fn.random.key(0))

    def loss(params: Any) -> Any:
        (value, _), grads = gradient(params, x, y, rng=drawn.state.rng)
        return value, lambda dvalue: fn.tree.map(lambda g: dvalue * g, grads)

    try:
        fn.check_vjp(loss, params, max_entries=2)
    except fn.CheckFailure as failure:
        if "kink or jump" not in str(failure):
            raise


def assert_same_ways(drawn: Drawn) -> str:
    """Steps have the same bits as they are written, replayed by NumPy, and in C."""
    steps = {way: drawn.step(way) for way in WAYS}
    states = dict.fromkeys(WAYS, drawn.state)
    for number, batch in enumerate(drawn.batches):
        batch = read_only(batch)
        measured = {}
        for way, step in steps.items():
            with pinned(way):
                states[way], measured[way] = step(frozen(states[way]), batch)
        for way in WAYS[1:]:
            where = f"step {number} by {way}"
            assert same_bits(states[way], states["plain"]), f"{where}: another state"
            assert same_bits(measured[way], measured["plain"]), f"{where}: other metrics"
    return way_of(steps["native"])


def check_snapshot(path: Path, drawn: Drawn) -> None:
    """What is saved is what is loaded, and its spec makes the same model again."""
    model, params = drawn.model, drawn.state.params
    fn.save(path, params, model=model, input_shape=drawn.shape)
    snapshot = fn.load(path)
    assert same_bits(_in_order(snapshot.params), _in_order(params)), "other params are loaded"
    assert snapshot.input_shape == drawn.shape
    fn.save(path, drawn.state)
    again = fn.load(path, like=drawn.state).params
    assert same_bits(_in_order(again), _in_order(drawn.state)), "another state is loaded"
    step, batch = drawn.step("plain"), drawn.batches[0]
    gone_on, expected = step(again, batch), step(drawn.state, batch)
    assert same_bits(*map(_in_order, (gone_on, expected))), "it goes on with other bits"
    if model.spec is None:
        return
    x = drawn.batches[0][0]
    y, _ = model.apply(params, x, wrt=None)
    for other in (snapshot.model, fn.from_spec(json.loads(json.dumps(model.spec)))):
        assert other is not None
        assert other.spec == model.spec, "another spec"
        assert same_bits(other.apply(params, x, wrt=None)[0], y), "other outputs of its spec"


def _in_order(tree: Any) -> Any:
    """The same numbers, each array's in the order of its axes, as files have them."""
    return fn.tree.map(lambda a: a.copy("C") if isinstance(a, np.ndarray) else a, tree)


MODELS = Campaign("models", "drawn models and trainings", 3, begin)
