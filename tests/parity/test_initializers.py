"""Against torch: the spread of initial values."""

import math
from functools import partial

import numpy as np
import pytest
from torch_helpers import KEY, nn, torch

import funcnn as fn
from funcnn import initializers as init
from funcnn import spec

pytestmark = pytest.mark.usefixtures("one_torch_thread")
kaiming_normal_, kaiming_uniform_ = nn.init.kaiming_normal_, nn.init.kaiming_uniform_
PERCENTILES = np.linspace(0, 1, 101)


def test_torch_default_draws_from_the_range_of_torchs_linear():
    default = init.torch_default()
    _, params = fn.Dense(2000, weight_init=default, bias_init=default).init(KEY, (100,))
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
    default = init.torch_default()
    layer = getattr(fn, name)(200, 3, groups=groups, weight_init=default, bias_init=default)
    _, params = layer.init(KEY, (100, 3, 3))
    torch.manual_seed(0)
    module = getattr(nn, f"{name}2d")(100, 200, 3, groups=groups)
    bound = 1 / math.sqrt(9 * (100 if name == "Conv" else 200) / groups)
    for ours, theirs in [(params["weight"], module.weight), (params["bias"], module.bias)]:
        for values in (ours, theirs.detach().numpy()):
            assert 0.95 * bound < np.abs(values).max() <= bound
            assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.15)


# Ours, and torch's for the tensor of a weight.
INITIALIZERS = {
    "glorot_normal": (init.glorot_normal(), nn.init.xavier_normal_),
    "glorot_uniform": (init.glorot_uniform(), nn.init.xavier_uniform_),
    "he_normal": (init.he_normal(), partial(kaiming_normal_, nonlinearity="relu")),
    "he_uniform": (init.he_uniform(), partial(kaiming_uniform_, nonlinearity="relu")),
    "lecun_normal": (init.lecun_normal(), partial(kaiming_normal_, nonlinearity="linear")),
    "lecun_uniform": (init.lecun_uniform(), partial(kaiming_uniform_, nonlinearity="linear")),
    "torch_default": (init.torch_default(), partial(kaiming_uniform_, a=math.sqrt(5))),
    "normal": (init.normal(0.3), partial(nn.init.normal_, std=0.3)),
    "uniform": (init.uniform(0.3), partial(nn.init.uniform_, a=-0.3, b=0.3)),
    "truncated_normal": (
        init.truncated_normal(0.3),
        partial(nn.init.trunc_normal_, std=0.3, a=-0.6, b=0.6),
    ),
    "orthogonal": (init.orthogonal(0.7), partial(nn.init.orthogonal_, gain=0.7)),
    "zeros": (init.zeros(), nn.init.zeros_),
    "constant": (init.constant(0.3), partial(nn.init.constant_, val=0.3)),
}
# Ours of an initializer, the input's shape, torch's.
WEIGHTS = {
    "Dense": (lambda init: fn.Dense(500, weight_init=init), (300,), nn.Linear(300, 500)),
    "Conv": (lambda init: fn.Conv(60, 3, weight_init=init), (40, 3, 3), nn.Conv2d(40, 60, 3)),
    "groups": (
        lambda init: fn.Conv(120, 5, groups=4, weight_init=init),
        (40, 5, 5),
        nn.Conv2d(40, 120, 5, groups=4),
    ),
    "ConvTranspose": (
        lambda init: fn.ConvTranspose(60, 3, weight_init=init),
        (40, 3, 3),
        nn.ConvTranspose2d(40, 60, 3),
    ),
}


def test_the_table_holds_every_initializer():
    assert set(INITIALIZERS) == set(spec._initializers)


def distance(a, b):
    """The largest difference of the two distribution functions, Kolmogorov and Smirnov's."""
    values = np.concatenate([a, b])
    return max(abs((a <= v).mean() - (b <= v).mean()) for v in np.quantile(values, PERCENTILES))


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_initial_weights_are_spread_as_torchs(name, kind):
    ours, theirs = INITIALIZERS[name]
    make, shape, module = WEIGHTS[kind]
    _, params = make(ours).init(KEY, shape)
    torch.manual_seed(0)
    with torch.no_grad():
        theirs(module.weight)
    a, b = (w.ravel().astype(float) for w in (params["weight"], module.weight.detach().numpy()))
    assert a.size == b.size > 10_000
    assert distance(a, b) < 1.95 * math.sqrt(2 / a.size)  # by chance 1 in 1,000
    assert a.std() == pytest.approx(b.std(), rel=4 / math.sqrt(a.size), abs=1e-7)
    assert a.mean() == pytest.approx(b.mean(), abs=6 * b.std() / math.sqrt(a.size) + 1e-7)
