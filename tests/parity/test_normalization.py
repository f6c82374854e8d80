"""Against torch: layers that normalise."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_helpers import (
    KEY,
    assert_close,
    assert_same_with_params,
    nn,
    normal,
    seeds,
    sizes,
    to_torch,
    torch,
)

import funcnn as fn

pytestmark = pytest.mark.usefixtures("one_torch_thread")
of_eps = st.sampled_from([{}, {"eps": 1e-3}, {"eps": 0.1}])


# Of normal numbers: in a row that is nearly constant torch's own rounding is above 1e-10.
@given(st.lists(sizes, min_size=2, max_size=4), st.data(), seeds, of_eps)
def test_layer_norm_is_torchs(shape, data, seed, eps):
    dims = data.draw(st.integers(1, len(shape) - 1))
    affine, bias = data.draw(st.sampled_from([(True, True), (True, False), (False, False)]))
    arguments = {"elementwise_affine": affine, "bias": bias} | eps
    layer = fn.LayerNorm(dims, **arguments)
    normalized = shape[-dims:]
    module = nn.LayerNorm(normalized, **arguments, dtype=torch.float64)
    output_shape, params = layer.init(KEY, tuple(shape[1:]), dtype=np.float64)
    assert output_shape == tuple(shape[1:])
    for name, parameter in module.named_parameters():
        np.testing.assert_array_equal(params[name], parameter.detach().numpy())
    params = {name: normal(seed + i, *normalized) for i, name in enumerate(params)}
    assert_same_with_params(layer, module, params, normal(seed + 2, *shape), seed + 3)


@given(
    st.lists(sizes, min_size=1, max_size=4), st.integers(1, 3), sizes, st.booleans(), seeds, of_eps
)
def test_group_norm_is_torchs(shape, groups, each, affine, seed, eps):
    batch, *rest = shape
    channels = groups * each
    x = normal(seed, batch, channels, *rest, 2)  # torch refuses a single value a group
    layer = fn.GroupNorm(groups, affine=affine, **eps)
    module = nn.GroupNorm(groups, channels, affine=affine, **eps, dtype=torch.float64)
    output_shape, params = layer.init(KEY, x.shape[1:], dtype=np.float64)
    assert output_shape == x.shape[1:]
    params = {name: normal(seed + i, channels) for i, name in enumerate(params)}
    assert_same_with_params(layer, module, params, x, seed + 3)


RUNNING = {"running_mean", "running_var"}
BATCH_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


@given(
    *(st.integers(2, 6), sizes, st.lists(sizes, max_size=3), st.booleans(), st.booleans()),
    *(st.just({}) | st.builds(lambda m: {"momentum": m}, st.floats(0, 1)), seeds, of_eps),
)
def test_batch_norm_is_torchs(batch, channels, rest, affine, train, momentum, seed, eps):
    x = normal(seed, batch, channels, *rest)
    arguments = {"affine": affine} | momentum | eps
    layer = fn.BatchNorm(**arguments)
    module = BATCH_NORMS[len(rest)](channels, **arguments, dtype=torch.float64)
    module.train(train)
    output_shape, params = layer.init(KEY, x.shape[1:], dtype=np.float64)
    assert output_shape == x.shape[1:]
    for name, array in itertools.chain(module.named_parameters(), module.named_buffers()):
        if name in params:
            np.testing.assert_array_equal(params[name], array.detach().numpy())
    params = {name: normal(seed + i, channels) for i, name in enumerate(params)}
    params["running_var"] = params["running_var"] ** 2
    for name in ("running_mean", "running_var"):
        getattr(module, name).copy_(to_torch(params[name]))
    assert_same_with_params(layer, module, params, x, seed + 5)
    statistics = getattr(layer.apply(params, x, train=train)[1], "statistics", params)
    for name in ("running_mean", "running_var"):
        assert_close(statistics[name], getattr(module, name))


FOLDED = {
    "dense": (lambda **bias: fn.Dense(4, **bias), lambda **bias: nn.Linear(6, 4, **bias)),
    "conv": (lambda **bias: fn.Conv(4, 3, **bias), lambda **bias: nn.Conv2d(6, 4, 3, **bias)),
    "grouped": (
        lambda **bias: fn.Conv(4, 2, groups=2, **bias),
        lambda **bias: nn.Conv1d(6, 4, 2, groups=2, **bias),
    ),
    "transposed": (
        lambda **bias: fn.ConvTranspose(4, (2, 3), 2, **bias),
        lambda **bias: nn.ConvTranspose2d(6, 4, (2, 3), 2, **bias),
    ),
}


@pytest.mark.parametrize("kind", FOLDED)
@given(st.booleans(), st.booleans(), seeds, of_eps)
def test_fold_batch_norm_gives_the_weights_of_torchs_fusion(kind, bias, affine, seed, eps):
    make, make_torch = FOLDED[kind]
    affine = affine or kind == "dense"  # torch's of a linear layer needs it
    module = make_torch(bias=bias).double().eval()
    norm = nn.BatchNorm1d(4, affine=affine, dtype=torch.float64, **eps).eval()
    names = {"weight", "bias"} if affine else set()
    norm_params = {n: normal(seed + i, 4) for i, n in enumerate(sorted(names | RUNNING))}
    norm_params["running_var"] = norm_params["running_var"] ** 2
    with torch.no_grad():
        for name, array in norm_params.items():
            getattr(norm, name).copy_(to_torch(array))
    params = {name: p.detach().numpy() for name, p in module.named_parameters()}
    if kind == "dense":
        params["weight"] = params["weight"].T
    model = fn.serial(make(bias=bias), fn.BatchNorm(affine=affine, **eps))
    _, (ours,) = fn.fold_batch_norm(model, [params, norm_params])
    if kind == "dense":
        fused = torch.nn.utils.fusion.fuse_linear_bn_eval(module, norm)
        assert_close(ours["weight"].T, fused.weight)
    else:
        fused = torch.nn.utils.fusion.fuse_conv_bn_eval(module, norm, kind == "transposed")
        assert_close(ours["weight"], fused.weight)
    assert_close(ours["bias"], fused.bias)
