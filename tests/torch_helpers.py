"""What the parity tests share: the same arrays here and in torch, and how close they must be.

In float64, to 1e-10 of each number: what differs is rounding alone.
"""

import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import strategies as st

import funcnn as fn

torch = pytest.importorskip("torch", reason="torch is the oracle: pip install funcnn[torch]")
nn = torch.nn
KEY = fn.random.key(0)


def to_torch(array, requires_grad=False):
    tensor = torch.tensor(np.asarray(array))  # a copy
    return tensor.requires_grad_() if requires_grad else tensor


def assert_close(ours, theirs, rtol=1e-10, atol=1e-13):
    """Equal to 1e-10 of the number, or 1e-13 where sums of numbers like 1 cancel."""
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=rtol, atol=atol)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def assert_same_function(function, torch_function, x, *, seed=0):
    """Equal values and, for one random dy, equal dx."""
    y, vjp = function(x)
    x_torch = to_torch(x, requires_grad=True)
    y_torch = torch_function(x_torch)
    assert_close(y, y_torch)
    dy = normal(seed, *np.shape(y))
    y_torch.backward(to_torch(dy))
    assert_close(vjp(dy), x_torch.grad)


def assert_same_layer(layer, module, x, **keywords):
    def function(x):
        y, vjp = layer.apply({}, x, **keywords)
        return y, lambda dy: vjp(dy)[1]

    assert layer.init(KEY, x.shape[1:])[0] == tuple(module(to_torch(x)).shape[1:])
    assert_same_function(function, module, x)


def assert_same_with_params(layer, module, params, x, seed):
    """Equal values, dx and dparams, for params that torch calls by the same names."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(to_torch(params[name]))
    y, vjp = layer.apply(params, x, train=module.training)
    x_torch = to_torch(x, requires_grad=True)
    y_torch = module(x_torch)
    assert_close(y, y_torch)
    dy = normal(seed, *y.shape)
    dparams, dx = vjp(dy)
    y_torch.backward(to_torch(dy))
    assert_close(dx, x_torch.grad)
    statistics = {name for name in dparams if name.startswith("running")}
    assert set(dparams) - statistics == {name for name, _ in module.named_parameters()}
    assert not any(dparams[name].any() for name in statistics)
    for name, parameter in module.named_parameters():
        assert_close(dparams[name], parameter.grad)


def load_linear(module, params):
    with torch.no_grad():
        module.weight.copy_(to_torch(params["weight"].T))
        if "bias" in params:
            module.bias.copy_(to_torch(params["bias"]))


def mlp(*sizes):
    """A tanh and relu MLP of ours with its params, and torch's with the same numbers."""
    layers, modules = [fn.Flatten()], [torch.nn.Flatten()]
    for i, (in_features, out_features) in enumerate(itertools.pairwise(sizes)):
        if i:
            layers.append(fn.Tanh() if i % 2 else fn.Relu())
            modules.append(torch.nn.Tanh() if i % 2 else torch.nn.ReLU())
        layers.append(fn.Dense(out_features, bias_init=fn.initializers.normal(0.5)))
        modules.append(torch.nn.Linear(in_features, out_features, dtype=torch.float64))
    model = fn.serial(*layers)
    _, params = model.init(KEY, (sizes[0],), dtype=np.float64)
    for module, layer_params in zip(modules, params, strict=True):
        if layer_params:
            load_linear(module, layer_params)
    return model, params, torch.nn.Sequential(*modules)


def torch_arrays(model):
    """torch's parameters in the layout and under the paths of ours."""
    return {
        name.replace(".", "/"): (p.T if name.endswith("weight") else p)
        for name, p in model.named_parameters()
    }


seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)
# Large and small numbers, and zero, where relu has its kink.
numbers = st.floats(-1e3, 1e3, allow_subnormal=False) | st.sampled_from([0.0, -0.0, 1e-12, -1e-12])


def arrays(min_dims=2, max_dims=4, elements=numbers):
    shapes = hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, max_side=5)
    return hnp.arrays(np.float64, shapes, elements=elements)


# Where one of them has a kink or a step, and on either side; 1e3 is where all have their limits.
kinks = [0.0, -0.0, 0.5, 1.0, -1.0, -2.0, 3.0, -3.0, 20.0, 3 / 0.7]
near = st.sampled_from([k + d for k in kinks for d in (0, 1e-12, -1e-12)]) | st.floats(-30, 30)
