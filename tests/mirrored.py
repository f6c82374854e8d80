"""A layer beside its mirror in torch: the same numbers."""

import numpy as np
import pytest
from helpers import normal_batch

import funcnn as fn

torch = pytest.importorskip("torch", reason="the mirror is torch's: pip install 'funcnn[torch]'")
from funcnn.experiments.pytorch.mirror import (  # noqa: E402
    grads_of,
    load_params,
    mirror,
    params_of,
    set_rng,
)

KEY = fn.random.key(0)


def tensors(x):
    """A tensor that asks for its gradient, or a tuple of them for a tuple of arrays."""
    if isinstance(x, tuple):
        return tuple(map(tensors, x))
    return torch.tensor(x, requires_grad=True)


def assert_close(ours, theirs):
    """The same tree, to 1e-10."""
    fn.tree.map(
        lambda a, b: np.testing.assert_allclose(
            a, b.detach().numpy() if isinstance(b, torch.Tensor) else b, rtol=1e-10, atol=1e-10
        ),
        ours,
        theirs,
    )


def normal_like(y, seed):
    generator = np.random.default_rng(seed)
    return fn.tree.map(lambda a: generator.standard_normal(a.shape), y)


def assert_mirrored(layer, shape, *, rng=KEY, seed=0):
    """Equal outputs, gradients and statistics in training, and outputs in evaluation."""
    _, params = layer.init(fn.random.key(seed), shape, dtype=np.float64)
    params = fn.tree.map(lambda leaf: leaf + 0.1, params)  # no bias is 0
    module = mirror(layer, shape, np.float64)
    load_params(module, layer, params)
    assert_close(params, params_of(module, layer, params))
    set_rng(module, layer, rng)

    x = normal_batch(fn.random.key(seed + 1), shape, batch=3, dtype=np.float64)
    x_torch = tensors(x)
    y, vjp = layer.apply(params, x, rng=rng, train=True)
    y_torch = module(x_torch)
    assert_close(y, y_torch)
    dy = normal_like(y, seed)
    dparams, dx = vjp(dy)
    if fn.tree.leaves(y_torch)[0].requires_grad:  # a step's has no grad to pull back
        torch.autograd.backward(
            fn.tree.leaves(y_torch), list(map(torch.tensor, fn.tree.leaves(dy)))
        )
    assert_close(dparams, grads_of(module, layer, params))
    x_grads = fn.tree.map(
        lambda t: np.zeros(t.shape) if t.grad is None else t.grad.numpy(), x_torch
    )
    assert_close(dx, x_grads)
    if getattr(vjp, "statistics", None) is not None:
        params = fn.training.write_statistics(params, vjp.statistics)
        assert_close(params, params_of(module, layer, params))

    module.eval()
    assert_close(layer.apply(params, x, wrt=None)[0], module(x_torch))
