"""Against torch: activations, as functions and as layers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_helpers import (
    arrays,
    assert_close,
    assert_same_function,
    assert_same_layer,
    kinks,
    near,
    nn,
    to_torch,
    torch,
)

import funcnn as fn

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Of(torch.nn.Module):
    """A module of a function that torch has no module for."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


# Layer and function of ours, as often as there are arguments worth trying; torch's module.
ACTIVATIONS = {
    "identity": (fn.Identity(), fn.activations.identity, nn.Identity()),
    "binary step": (  # torch knows no derivative of heaviside
        fn.BinaryStep(),
        fn.activations.binary_step,
        Of(lambda x: torch.sign(x).clamp(min=0)),
    ),
    "of one's own": (
        fn.elementwise(lambda x: (np.sin(x), lambda dy: dy * np.cos(x))),
        lambda x: (np.sin(x), lambda dy: dy * np.cos(x)),
        Of(torch.sin),
    ),
    "relu": (fn.Relu(), fn.activations.relu, nn.ReLU()),
    "sigmoid": (fn.Sigmoid(), fn.activations.sigmoid, nn.Sigmoid()),
    "tanh": (fn.Tanh(), fn.activations.tanh, nn.Tanh()),
    "arctan": (fn.ArcTan(), fn.activations.arctan, Of(torch.arctan)),
    "leaky relu": (fn.LeakyRelu(), fn.activations.leaky_relu, nn.LeakyReLU()),
    "leaky relu, other slope": (
        fn.LeakyRelu(-0.3),
        lambda x: fn.activations.leaky_relu(x, negative_slope=-0.3),
        nn.LeakyReLU(-0.3),
    ),
    "elu": (fn.Elu(), fn.activations.elu, nn.ELU()),
    "elu, other alpha": (
        fn.Elu(0.4),
        lambda x: fn.activations.elu(x, alpha=0.4),
        nn.ELU(0.4),
    ),
    "selu": (fn.Selu(), fn.activations.selu, nn.SELU()),
    "gelu": (fn.Gelu(), fn.activations.gelu, nn.GELU()),
    "gelu, tanh": (
        fn.Gelu("tanh"),
        lambda x: fn.activations.gelu(x, approximate="tanh"),
        nn.GELU("tanh"),
    ),
    "softplus": (fn.Softplus(), fn.activations.softplus, nn.Softplus()),
    "softplus, others": (
        fn.Softplus(0.7, 3.0),
        lambda x: fn.activations.softplus(x, beta=0.7, threshold=3.0),
        nn.Softplus(0.7, 3.0),
    ),
    "silu": (fn.Silu(), fn.activations.silu, nn.SiLU()),
    "hard tanh": (fn.HardTanh(), fn.activations.hard_tanh, nn.Hardtanh()),
    "hard tanh, others": (
        fn.HardTanh(-2.0, 0.5),
        lambda x: fn.activations.hard_tanh(x, min_val=-2.0, max_val=0.5),
        nn.Hardtanh(-2.0, 0.5),
    ),
    "hard sigmoid": (
        fn.HardSigmoid(),
        fn.activations.hard_sigmoid,
        Of(lambda x: nn.functional.relu6(x + 3) / 6),  # as torch documents it: see below
    ),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(x=arrays(min_dims=1) | arrays(min_dims=1, elements=near))
def test_activations_are_torchs(name, x):
    layer, function, module = ACTIVATIONS[name]
    assert_same_layer(layer, module, x)
    assert_same_function(function, module, x)


# Generated arrays have few different numbers: here are many.
EVERYWHERE = np.concatenate(
    [
        np.add.outer(kinks, [-1e-9, -1e-12, 0, 1e-12, 1e-9]).ravel(),
        np.linspace(-40, 40, 4001),
        *np.outer([-1, 1], np.logspace(-9, 3, 200)),
    ]
)[:, None]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_torchs_everywhere(name):
    layer, function, module = ACTIVATIONS[name]
    assert_same_layer(layer, module, EVERYWHERE)
    assert_same_function(function, module, EVERYWHERE)


@given(arrays(min_dims=1, elements=near))
def test_the_hard_sigmoid_is_that_of_torchs_module(x):
    y, vjp = fn.HardSigmoid().apply({}, x)
    x_torch = to_torch(x, requires_grad=True)
    y_torch = nn.Hardsigmoid()(x_torch)
    assert_close(y, y_torch)
    y_torch.sum().backward()
    # The sixth of its derivative is a float32 number in torch, 3e-8 larger.
    assert_close(vjp(np.ones_like(x))[1], x_torch.grad, rtol=3e-8)


@given(arrays(min_dims=1, elements=st.floats(-1e3, 20)))
def test_exp_is_torchs(x):
    assert_same_layer(fn.Exp(), torch.exp, x)
    assert_same_function(fn.activations.exp, torch.exp, x)


@given(arrays(min_dims=1))
def test_the_binary_step_is_torchs_heaviside(x):
    y, vjp = fn.BinaryStep().apply({}, x)
    assert_close(y, torch.heaviside(to_torch(x), to_torch(0.0)))
    assert not vjp(np.ones_like(x))[1].any()


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@given(x=arrays(), data=st.data())
def test_softmax_along_any_axis_is_torchs(name, x, data):
    axis = data.draw(st.integers(1, x.ndim - 1))
    dim = data.draw(st.sampled_from([axis, axis - x.ndim]))
    assert_same_layer(getattr(fn, name)(dim), getattr(torch.nn, name)(dim), x)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(x=arrays())
def test_softmax_along_the_batch_is_torchs(name, x):
    function, module = getattr(fn.activations, name), getattr(torch, name)
    assert_same_function(lambda x: function(x, 0), lambda x: module(x, 0), x)
