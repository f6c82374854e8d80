"""Against torch: layers of features, and those that only move or drop them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_helpers import (
    KEY,
    arrays,
    assert_close,
    assert_same_layer,
    assert_same_with_params,
    load_linear,
    nn,
    normal,
    seeds,
    sizes,
    to_torch,
    torch,
)

import funcnn as fn

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@given(seeds, st.lists(sizes, min_size=1, max_size=3), sizes, sizes, st.booleans(), st.booleans())
def test_dense_is_torchs_linear(seed, batch_and_axes, in_features, out_features, bias, made):
    layer = fn.Dense(out_features, bias, bias_init=fn.initializers.normal(1.0))
    if made:  # for the shape
        layer = fn.shape_dependent(lambda shape, dense=layer: dense)
    x = normal(seed, *batch_and_axes, in_features)
    shape, params = layer.init(fn.random.key(seed), x.shape[1:], dtype=np.float64)
    module = torch.nn.Linear(in_features, out_features, bias, dtype=torch.float64)
    load_linear(module, params)
    y, vjp = layer.apply(params, x)
    x_torch = to_torch(x, requires_grad=True)
    y_torch = module(x_torch)
    assert shape == tuple(y_torch.shape[1:])
    assert_close(y, y_torch)
    dy = normal(seed + 1, *y.shape)
    dparams, dx = vjp(dy)
    y_torch.backward(to_torch(dy))
    assert_close(dx, x_torch.grad)
    assert_close(dparams["weight"], module.weight.grad.T)
    assert set(dparams) == ({"weight", "bias"} if bias else {"weight"})
    if bias:
        assert_close(dparams["bias"], module.bias.grad)


@given(arrays())
def test_flatten_is_torchs(x):
    assert_same_layer(fn.Flatten(), torch.nn.Flatten(), x)


@given(arrays(), st.data())
def test_reshape_is_torchs_unflatten(x, data):
    flat = x.reshape(len(x), -1)
    shape = tuple(data.draw(st.permutations(x.shape[1:])))
    assert_same_layer(fn.Reshape(shape), torch.nn.Unflatten(1, shape), flat)


@given(arrays())
def test_identity_is_torchs(x):
    assert_same_layer(fn.Identity(), torch.nn.Identity(), x)


@given(arrays(min_dims=2), st.booleans(), st.sampled_from([{}, {"init": -0.5}]), seeds)
def test_prelu_is_torchs(x, one_slope, argument, seed):
    count = 1 if one_slope else x.shape[1]
    layer = fn.PRelu(count, **argument)
    module = nn.PReLU(count, **argument, dtype=torch.float64)
    shape, params = layer.init(KEY, x.shape[1:], dtype=np.float64)
    assert shape == x.shape[1:]
    np.testing.assert_array_equal(params["weight"], module.weight.detach().numpy())
    assert_same_with_params(layer, module, {"weight": normal(seed, count)}, x, seed + 1)


@given(arrays(), st.floats(0, 0.95), seeds)
def test_dropout_with_one_mask_is_torchs(x, rate, seed):
    layer, key = fn.Dropout(rate), fn.random.key(seed)
    kept, _ = layer.apply({}, np.ones_like(x), rng=key, train=True)
    # torch draws a mask of its own, so it gets ours; the scale is as torch documents it.
    scale = to_torch((kept != 0) / (1 - rate))
    assert_same_layer(layer, lambda x: x * scale, x, rng=key, train=True)
    assert_same_layer(layer, torch.nn.Dropout(rate).eval(), x, train=False)


@given(arrays(min_dims=3, max_dims=5), st.floats(0, 0.95), seeds)
def test_dropout_by_channel_is_torchs_on_the_channels_it_keeps(x, rate, seed):
    layer, key = fn.Dropout(rate, by_channel=True), fn.random.key(seed)
    kept, _ = layer.apply({}, np.ones_like(x), rng=key, train=True)
    channels = kept.reshape(*x.shape[:2], -1)[..., 0]
    scale = to_torch((channels != 0) / (1 - rate)).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    assert_same_layer(layer, lambda x: x * scale, x, rng=key, train=True)
    module = {3: nn.Dropout1d, 4: nn.Dropout2d, 5: nn.Dropout3d}[x.ndim](rate)
    assert_same_layer(layer, module.eval(), x, train=False)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_dropout_without_chance_is_torchs(rate):
    assert_same_layer(
        fn.Dropout(rate), torch.nn.Dropout(rate), normal(0, 4, 5), rng=KEY, train=True
    )
