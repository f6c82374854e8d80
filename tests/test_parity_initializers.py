"""Against torch: the spread of initial values."""

import math

import numpy as np
import pytest
from torch_helpers import KEY, nn, torch

import funcnn as fn

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_torch_default_draws_from_the_range_of_torchs_linear():
    init = fn.initializers.torch_default()
    _, params = fn.Dense(2000, weight_init=init, bias_init=init).init(KEY, (100,))
    torch.manual_seed(0)
    linear = torch.nn.Linear(100, 2000)
    bound = 1 / math.sqrt(100)
    for ours, theirs in [(params["weight"], linear.weight), (params["bias"], linear.bias)]:
        theirs = theirs.detach().numpy()
        for values in (ours, theirs):
            assert 0.99 * bound < np.abs(values).max() <= bound
            assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.03)
            assert abs(values.mean()) < 5 * bound / math.sqrt(3 * values.size)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
def test_torch_default_draws_from_the_range_of_torchs_convolutions(name, groups):
    init = fn.initializers.torch_default()
    layer = getattr(fn, name)(200, 3, groups=groups, weight_init=init, bias_init=init)
    _, params = layer.init(KEY, (100, 3, 3))
    torch.manual_seed(0)
    module = getattr(nn, f"{name}2d")(100, 200, 3, groups=groups)
    bound = 1 / math.sqrt(9 * (100 if name == "Conv" else 200) / groups)
    for ours, theirs in [(params["weight"], module.weight), (params["bias"], module.bias)]:
        for values in (ours, theirs.detach().numpy()):
            assert 0.95 * bound < np.abs(values).max() <= bound
            assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.15)


@pytest.mark.parametrize(
    ("name", "init"),
    [
        ("xavier_normal_", fn.initializers.glorot_normal()),
        ("xavier_uniform_", fn.initializers.glorot_uniform()),
        ("kaiming_normal_", fn.initializers.he_normal()),
        ("kaiming_uniform_", fn.initializers.he_uniform()),
    ],
)
def test_initializers_have_the_spread_of_torchs(name, init):
    _, params = fn.Dense(500, weight_init=init).init(KEY, (300,))
    torch.manual_seed(0)
    arguments = {"nonlinearity": "relu"} if name.startswith("kaiming") else {}
    theirs = getattr(torch.nn.init, name)(torch.empty(500, 300), **arguments).numpy()
    assert params["weight"].std() == pytest.approx(theirs.std(), rel=0.01)
    if "uniform" in name:
        assert np.abs(params["weight"]).max() == pytest.approx(np.abs(theirs).max(), rel=1e-3)
