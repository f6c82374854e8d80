"""Proof of a whole model's gradient: the loss differentiated numerically, leaf by leaf."""

from collections.abc import Callable
from functools import partial

import numpy as np

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.build import build_loss, network_that_fits, own_code
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.own_settings import OWN
from funcnn.experiments.training.target import Target
from funcnn.gradcheck import Report, measure_vjp, off_kinks
from funcnn.layers.any_layer import init_layer, with_wrt
from funcnn.random import Key
from funcnn.types import Array, Layer, Loss, Tree

TOLERANCE = 1e-6
_BATCH = 4
_ENTRIES, _ENTRIES_OF_CONVOLVING = 256, 32  # of a leaf: a forward pass of the latter takes longer


def check_model(target: Target) -> Report:
    """The gradient of a network's loss by its params, in float64, on a small random batch.

    The params are its first ones, moved a little off kinks. The report has the worst
    relative error of each leaf; right is at most `TOLERANCE`.
    """
    config, input_shape, classes = target
    model, binary = target.model, config.binary
    loss = build_loss(config)
    init_rng, x_rng, y_rng, rng, off_rng = fn.random.split(fn.random.key(config.seed), 5)
    with network_that_fits(config), own_code(config, "in float64"):
        _, params = init_layer(model, init_rng, input_shape, np.float64)
    params = off_kinks(params, off_rng)
    x = fn.random.normal(x_rng, (_BATCH, *input_shape), np.float64)
    labels = fn.random.permutation(y_rng, _BATCH) % classes
    y = labels.reshape(-1, 1) if binary else labels
    x.flags.writeable = False  # a layer that changes it, say, is no function
    if config.loss == OWN:
        with own_code(config, "in float64"):
            outputs, _ = with_wrt(model.apply)(params, x, rng=rng, train=True, wrt=None)
            _check_loss(config, loss, outputs, y, rng)
    function = partial(_loss_of_params, model, loss, x, y, rng)
    convolves = any(leaf.ndim > 2 for leaf in fn.tree.leaves(params))
    entries = _ENTRIES_OF_CONVOLVING if convolves else _ENTRIES
    with fn.threads.single_threaded_blas(), own_code(config, "in float64"):
        return measure_vjp(function, params, rng=rng, max_entries=entries)


def _check_loss(config: RunConfig, loss: Loss, outputs: Array, y: Array, rng: Key) -> None:
    """Raise `InputError` if the vjp of a user's own loss is not its derivative."""
    try:
        fn.check_vjp(lambda each: loss(each, y), outputs, rng=rng, tolerance=TOLERANCE)
    except fn.CheckFailure as failure:
        raise InputError(f"{config.arch}: the vjp of loss is wrong: {failure}") from None


def _loss_of_params(
    model: Layer, loss: Loss, x: Array, y: Array, rng: Key, params: Tree
) -> tuple[float, Callable[[float], Tree]]:
    outputs, pull_back = with_wrt(model.apply)(params, x, rng=rng, train=True, wrt="params")
    value, loss_vjp = loss(outputs, y)
    assert pull_back is not None  # it is, for wrt="params"
    return value, lambda dvalue: pull_back(loss_vjp(dvalue))[0]
