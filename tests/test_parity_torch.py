"""Against torch: every layer, activation and loss, forward and backward; optimizers' trajectories.

In float64, to 1e-10: what differs is rounding alone.
"""

import inspect
import itertools
import math
import re
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcnn as fn

torch = pytest.importorskip("torch", reason="torch is the oracle: pip install funcnn[torch]")

KEY = fn.random.key(0)
STEPS = 50


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The arrays are tiny: threads of torch would wait for each other, not work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def to_torch(array, requires_grad=False):
    tensor = torch.tensor(np.asarray(array))  # a copy
    return tensor.requires_grad_() if requires_grad else tensor


def assert_close(ours, theirs, rtol=1e-10, atol=1e-10):
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


seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)
# Large and small numbers, and zero, where relu has its kink.
numbers = st.floats(-1e3, 1e3, allow_subnormal=False) | st.sampled_from([0.0, -0.0, 1e-12, -1e-12])


def arrays(min_dims=2, max_dims=4, elements=numbers):
    shapes = hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, max_side=5)
    return hnp.arrays(np.float64, shapes, elements=elements)


# --- layers ----------------------------------------------------------------------------------


def load_linear(module, params):
    with torch.no_grad():
        module.weight.copy_(to_torch(params["weight"].T))
        if "bias" in params:
            module.bias.copy_(to_torch(params["bias"]))


@given(seeds, st.lists(sizes, min_size=1, max_size=3), sizes, sizes, st.booleans())
def test_dense_is_torchs_linear(seed, batch_and_axes, in_features, out_features, bias):
    layer = fn.Dense(out_features, bias, bias_init=fn.initializers.normal(1.0))
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


class Of(torch.nn.Module):
    """A module of a function that torch has no module for."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


nn = torch.nn
# Layer and function of ours, as often as there are arguments worth trying; torch's module.
ACTIVATIONS = {
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
# Where one of them has a kink or a step, and on either side; 1e3 is where all have their limits.
kinks = [0.0, -0.0, 0.5, 1.0, -1.0, -2.0, 3.0, -3.0, 20.0, 3 / 0.7]
near = st.sampled_from([k + d for k in kinks for d in (0, 1e-12, -1e-12)]) | st.floats(-30, 30)


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(x=arrays(min_dims=1) | arrays(min_dims=1, elements=near))
def test_activations_are_torchs(name, x):
    layer, function, module = ACTIVATIONS[name]
    assert_same_layer(layer, module, x)
    assert_same_function(function, module, x)


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
    y, vjp = fn.Exp().apply({}, x)
    x_torch = to_torch(x, requires_grad=True)
    y_torch = torch.exp(x_torch)
    assert_close(y, y_torch)
    y_torch.backward(y_torch.detach())
    assert_close(vjp(y)[1], x_torch.grad)


@given(arrays(min_dims=1))
def test_the_binary_step_is_torchs_heaviside(x):
    y, vjp = fn.BinaryStep().apply({}, x)
    assert_close(y, torch.heaviside(to_torch(x), to_torch(0.0)))
    assert not vjp(np.ones_like(x))[1].any()


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


@given(arrays(min_dims=2), st.booleans(), seeds)
def test_prelu_is_torchs(x, one_slope, seed):
    count = 1 if one_slope else x.shape[1]
    layer, module = fn.PRelu(count), nn.PReLU(count, dtype=torch.float64)
    shape, params = layer.init(KEY, x.shape[1:], dtype=np.float64)
    assert shape == x.shape[1:]
    np.testing.assert_array_equal(params["weight"], module.weight.detach().numpy())
    assert_same_with_params(layer, module, {"weight": normal(seed, count)}, x, seed + 1)


# Of normal numbers: in a row that is nearly constant torch's own rounding is above 1e-10.
@given(st.lists(sizes, min_size=2, max_size=4), st.data(), seeds, st.sampled_from([1e-5, 0.1]))
def test_layer_norm_is_torchs(shape, data, seed, eps):
    dims = data.draw(st.integers(1, len(shape) - 1))
    affine, bias = data.draw(st.sampled_from([(True, True), (True, False), (False, False)]))
    layer = fn.LayerNorm(dims, eps, affine, bias)
    normalized = shape[-dims:]
    module = nn.LayerNorm(normalized, eps, affine, bias, dtype=torch.float64)
    output_shape, params = layer.init(KEY, tuple(shape[1:]), dtype=np.float64)
    assert output_shape == tuple(shape[1:])
    for name, parameter in module.named_parameters():
        np.testing.assert_array_equal(params[name], parameter.detach().numpy())
    params = {name: normal(seed + i, *normalized) for i, name in enumerate(params)}
    assert_same_with_params(layer, module, params, normal(seed + 2, *shape), seed + 3)


@given(st.lists(sizes, min_size=1, max_size=4), st.integers(1, 3), sizes, st.booleans(), seeds)
def test_group_norm_is_torchs(shape, groups, each, affine, seed):
    batch, *rest = shape
    channels = groups * each
    x = normal(seed, batch, channels, *rest, 2)  # torch refuses a single value a group
    layer = fn.GroupNorm(groups, eps=1e-3, affine=affine)
    module = nn.GroupNorm(groups, channels, 1e-3, affine, dtype=torch.float64)
    output_shape, params = layer.init(KEY, x.shape[1:], dtype=np.float64)
    assert output_shape == x.shape[1:]
    params = {name: normal(seed + i, channels) for i, name in enumerate(params)}
    assert_same_with_params(layer, module, params, x, seed + 3)


BATCH_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


@given(
    *(st.integers(2, 6), sizes, st.lists(sizes, max_size=3), st.booleans(), st.booleans()),
    *(st.floats(0, 1), seeds),
)
def test_batch_norm_is_torchs(batch, channels, rest, affine, train, momentum, seed):
    x = normal(seed, batch, channels, *rest)
    layer = fn.BatchNorm(eps=1e-3, momentum=momentum, affine=affine)
    module = BATCH_NORMS[len(rest)](channels, 1e-3, momentum, affine, dtype=torch.float64)
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


def batch_norm_net():
    """A net with BatchNorm on images and on features, and torch's with the same numbers."""
    model = fn.serial(
        *(fn.BatchNorm(momentum=0.2), fn.Flatten(), fn.Dense(7), fn.BatchNorm(), fn.Tanh()),
        fn.Dense(4),
    )
    module = nn.Sequential(
        *(nn.BatchNorm2d(3, momentum=0.2), nn.Flatten(), nn.Linear(60, 7), nn.BatchNorm1d(7)),
        *(nn.Tanh(), nn.Linear(7, 4)),
    ).double()
    _, params = model.init(KEY, (3, 4, 5), dtype=np.float64)
    for i in (2, 5):
        load_linear(module[i], params[i])
    return model, params, module


def test_batch_norm_is_torchs_over_100_steps_with_momentum_and_weight_decay():
    model, params, module = batch_norm_net()
    optimizer = fn.chain(fn.add_decayed_weights(1e-2), fn.sgd(0.1, momentum=0.9))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    theirs = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9, weight_decay=1e-2)
    images, labels = 3 * normal(1, 40, 3, 4, 5) + 2, np.arange(40) % 4
    for i in range(100):
        rows = (np.arange(8) * (2 * i + 1) + i) % 40
        x, y = images[rows], labels[rows]
        outputs, _ = model.apply(state.params, x, train=True)
        outputs_torch = module.train()(to_torch(x))
        assert_close(outputs, outputs_torch)
        theirs.zero_grad()
        nn.functional.cross_entropy(outputs_torch, to_torch(y)).backward()
        theirs.step()
        state, _ = step(state, (x, y))
    assert_close(fn.predict(model.apply, state.params, images), module.eval()(to_torch(images)))
    for i, layer_params in enumerate(state.params):
        for name, ours in layer_params.items():
            array = getattr(module[i], name)
            assert_close(ours, array.T if i in (2, 5) and name == "weight" else array)


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


# A net with every combinator of branches, written again in torch with the same params.
BRANCHING = fn.serial(
    fn.Dense(6),
    fn.residual(fn.serial(fn.Tanh(), fn.Dense(6))),
    fn.FanOut(3),
    fn.parallel(fn.Dense(4), fn.Reshape((2, 3)), fn.Sigmoid()),
    fn.parallel(fn.Tanh(), fn.serial(fn.FanOut(2), fn.FanInConcat(1), fn.Flatten()), fn.Dense(4)),
    fn.FanInConcat(),
    fn.residual(fn.Dense(2), shortcut=fn.Dense(2)),
    fn.FanOut(2),
    fn.parallel(fn.Dense(3), fn.Dense(3)),
    fn.FanInSum(),
)


def torch_branching(params, x):
    def dense(p, x):
        return x @ p["weight"] + p["bias"]

    x = dense(params[0], x)
    x = x + dense(params[1][0][1], torch.tanh(x))
    a = torch.tanh(dense(params[3][0], x))
    b = torch.cat([x.reshape(-1, 2, 3)] * 2, 1).flatten(1)
    c = dense(params[4][2], torch.sigmoid(x))
    x = torch.cat([a, b, c], -1)
    x = dense(params[6][0], x) + dense(params[6][1], x)
    return dense(params[8][0], x) + dense(params[8][1], x)


@given(seeds, st.integers(1, 9))
def test_a_branching_net_is_torchs(seed, batch):
    _, params = BRANCHING.init(fn.random.key(seed), (5,), dtype=np.float64)
    x = normal(seed, batch, 5)
    y, vjp = BRANCHING.apply(params, x)
    params_torch = fn.tree.map(lambda leaf: to_torch(leaf, requires_grad=True), params)
    x_torch = to_torch(x, requires_grad=True)
    y_torch = torch_branching(params_torch, x_torch)
    assert_close(y, y_torch)
    dy = normal(seed + 1, *y.shape)
    dparams, dx = vjp(dy)
    y_torch.backward(to_torch(dy))
    assert_close(dx, x_torch.grad)
    fn.tree.map(lambda ours, theirs: assert_close(ours, theirs.grad), dparams, params_torch)


def torch_arrays(model):
    """torch's parameters in the layout and under the paths of ours."""
    return {
        name.replace(".", "/"): (p.T if name.endswith("weight") else p)
        for name, p in model.named_parameters()
    }


@given(seeds, st.integers(1, 9), st.lists(sizes, min_size=2, max_size=5))
def test_a_whole_mlp_is_torchs(seed, batch, widths):
    model, params, module = mlp(*widths)
    x, labels = normal(seed, batch, widths[0]), np.arange(batch) % widths[-1]
    outputs, vjp = model.apply(params, x)
    value, loss_vjp = fn.softmax_cross_entropy(outputs, labels)
    dparams, dx = vjp(loss_vjp())
    x_torch = to_torch(x, requires_grad=True)
    outputs_torch = module(x_torch)
    value_torch = torch.nn.functional.cross_entropy(outputs_torch, to_torch(labels))
    value_torch.backward()
    assert_close(outputs, outputs_torch)
    assert value == pytest.approx(value_torch.item(), rel=1e-10, abs=1e-10)
    assert_close(dx, x_torch.grad)
    theirs = {
        name.replace(".", "/"): (p.grad.T if name.endswith("weight") else p.grad)
        for name, p in module.named_parameters()
    }
    ours = dict(fn.tree.leaves_with_path(dparams))
    assert set(ours) == set(theirs)
    for path, gradient in ours.items():
        assert_close(gradient, theirs[path])


# --- losses ----------------------------------------------------------------------------------


def assert_same_loss(loss, torch_loss, outputs, targets, torch_targets):
    """Equal values and derivatives, reduced in each way; `torch_loss` has a `reduction`."""
    for reduction in ("mean", "sum", "none"):
        value, vjp = loss(outputs, targets, reduction=reduction)
        outputs_torch = to_torch(outputs, requires_grad=True)
        torch_loss.reduction = reduction
        value_torch = torch_loss(outputs_torch, torch_targets)
        assert_close(value, value_torch)
        dvalue = np.asarray(3.0) if reduction != "none" else normal(0, *value.shape)
        value_torch.backward(to_torch(dvalue))
        assert_close(vjp(dvalue), outputs_torch.grad)


logits = arrays(max_dims=2, elements=st.floats(-50, 50))


@given(logits, st.floats(0, 1), seeds)
def test_cross_entropy_of_labels_is_torchs(x, smoothing, seed):
    labels = np.random.default_rng(seed).integers(x.shape[1], size=len(x))
    assert_same_loss(
        lambda x, t, **k: fn.softmax_cross_entropy(x, t, label_smoothing=smoothing, **k),
        torch.nn.CrossEntropyLoss(label_smoothing=smoothing),
        x,
        labels,
        to_torch(labels),
    )


@given(logits, st.floats(0, 1), seeds, st.booleans())
def test_cross_entropy_of_probabilities_is_torchs(x, smoothing, seed, normalised):
    targets = np.random.default_rng(seed).random(x.shape)
    if normalised:
        targets /= targets.sum(1, keepdims=True)
    assert_same_loss(
        lambda x, t, **k: fn.softmax_cross_entropy(x, t, label_smoothing=smoothing, **k),
        torch.nn.CrossEntropyLoss(label_smoothing=smoothing),
        x,
        targets,
        to_torch(targets),
    )


@given(logits, seeds)
def test_weights_of_the_labels_classes_are_torchs_class_weights(x, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(x.shape[1], size=len(x))
    of_classes = rng.random(x.shape[1]) + 0.1
    assert_same_loss(
        lambda x, t, **k: fn.softmax_cross_entropy(x, t, weights=of_classes[t], **k),
        torch.nn.CrossEntropyLoss(weight=to_torch(of_classes)),
        x,
        labels,
        to_torch(labels),
    )


@given(arrays(max_dims=2, elements=st.floats(-3, 3)), seeds)
def test_multiclass_hinge_is_torchs(x, seed):
    labels = np.random.default_rng(seed).integers(x.shape[1], size=len(x))
    loss = torch.nn.MultiMarginLoss()
    assert_same_loss(fn.multiclass_hinge, loss, x, labels, to_torch(labels))


@pytest.mark.parametrize("delta", [0.25, 1.0, 7.0])
@given(x=arrays(min_dims=1), seed=seeds)
def test_huber_is_torchs(delta, x, seed):
    targets = normal(seed, *x.shape)
    assert_same_loss(
        lambda y, t, **k: fn.huber(y, t, delta, **k),
        torch.nn.HuberLoss(delta=delta),
        x,
        targets,
        to_torch(targets),
    )


@given(arrays(min_dims=1), seeds)
def test_half_squared_error_is_torchs_formula(x, seed):
    targets = normal(seed, *x.shape)
    value, vjp = fn.half_squared_error(x, targets)
    x_torch = to_torch(x, requires_grad=True)
    value_torch = ((x_torch - to_torch(targets)) ** 2).sum() / 2 / len(x)
    value_torch.backward()
    assert_close(value, value_torch)
    assert_close(vjp(), x_torch.grad)


@given(arrays(min_dims=1), seeds)
def test_hinge_is_optaxs(x, seed):
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    targets = np.random.default_rng(seed).choice([-1.0, 1.0], x.shape)
    x = np.where(x * targets == 1, 0.5, x)  # away from the kink, where optax takes half the slope
    with jax.enable_x64(True):
        their_value, gradient = jax.value_and_grad(lambda y: optax.hinge_loss(y, targets).mean())(x)
    value, vjp = fn.hinge(x, targets)
    np.testing.assert_allclose(value, their_value, rtol=1e-10)
    np.testing.assert_allclose(vjp(), gradient, rtol=1e-10)


@given(arrays(min_dims=1), seeds)
def test_squared_error_is_torchs(x, seed):
    targets = normal(seed, *x.shape)
    assert_same_loss(fn.mean_squared_error, torch.nn.MSELoss(), x, targets, to_torch(targets))


@given(arrays(min_dims=1, elements=st.floats(1e-11, 1 - 1e-11)), seeds)
def test_binary_cross_entropy_is_torchs(p, seed):
    targets = np.random.default_rng(seed).random(p.shape)
    assert_same_loss(fn.binary_cross_entropy, torch.nn.BCELoss(), p, targets, to_torch(targets))


@pytest.mark.parametrize("p", [0.0, 1e-300, 1e-13, 1 - 1e-13, 1.0])
@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_binary_cross_entropy_at_the_ends_is_torchs(p, target):
    p, targets = np.array([p]), np.array([target])
    value, vjp = fn.binary_cross_entropy(p, targets)
    p_torch = to_torch(p, requires_grad=True)
    value_torch = torch.nn.BCELoss()(p_torch, to_torch(targets))
    value_torch.backward()
    assert value == pytest.approx(value_torch.item(), rel=1e-10, abs=1e-10)
    # The limit 1e-12 of the denominator is a float32 number in torch, 4e-9 smaller.
    assert_close(vjp(), p_torch.grad, rtol=5e-9)


@given(arrays(min_dims=1), seeds)
def test_binary_cross_entropy_with_logits_is_torchs(x, seed):
    targets = np.random.default_rng(seed).random(x.shape)
    assert_same_loss(
        fn.binary_cross_entropy_with_logits,
        torch.nn.BCEWithLogitsLoss(),
        x,
        targets,
        to_torch(targets),
    )


# --- optimizers ------------------------------------------------------------------------------

RATE = 0.05
SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
decay = fn.add_decayed_weights
# Ours as a function of the learning rate; torch's, and its arguments.
VARIANTS = {
    "sgd": (fn.sgd, SGD, {}),
    "sgd, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.sgd(rate)),
        SGD,
        {"weight_decay": 0.1},
    ),
    "momentum": (lambda rate: fn.sgd(rate, momentum=0.9), SGD, {"momentum": 0.9}),
    "nesterov": (
        lambda rate: fn.nesterov(rate, momentum=0.9),
        SGD,
        {"momentum": 0.9, "nesterov": True},
    ),
    "momentum, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.sgd(rate, momentum=0.8)),
        SGD,
        {"momentum": 0.8, "weight_decay": 0.1},
    ),
    "nesterov, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.nesterov(rate, momentum=0.8)),
        SGD,
        {"momentum": 0.8, "weight_decay": 0.1, "nesterov": True},
    ),
    "adam": (fn.adam, ADAM, {}),
    "adam, other betas and epsilon": (
        lambda rate: fn.adam(rate, b1=0.7, b2=0.95, eps=1e-3),
        ADAM,
        {"betas": (0.7, 0.95), "eps": 1e-3},
    ),
    "adam, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.adam(rate)),
        ADAM,
        {"weight_decay": 0.1},
    ),
    "adamw": (fn.adamw, ADAMW, {}),
    "adamw, other decay": (
        lambda rate: fn.adamw(rate, b1=0.8, b2=0.9, weight_decay=0.3),
        ADAMW,
        {"betas": (0.8, 0.9), "weight_decay": 0.3},
    ),
    "adamax": (fn.adamax, torch.optim.Adamax, {}),
    "adamax, other betas and epsilon": (
        lambda rate: fn.adamax(rate, b1=0.7, b2=0.95, eps=1e-3),
        torch.optim.Adamax,
        {"betas": (0.7, 0.95), "eps": 1e-3},
    ),
    "adagrad": (fn.adagrad, torch.optim.Adagrad, {}),
    "adagrad, other epsilon, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.adagrad(rate, eps=1e-2)),
        torch.optim.Adagrad,
        {"eps": 1e-2, "weight_decay": 0.1},
    ),
    "rmsprop": (fn.rmsprop, torch.optim.RMSprop, {}),
    "rmsprop, momentum": (
        lambda rate: fn.rmsprop(rate, alpha=0.9, eps=1e-3, momentum=0.8),
        torch.optim.RMSprop,
        {"alpha": 0.9, "eps": 1e-3, "momentum": 0.8},
    ),
    "rmsprop, momentum, weight decay": (
        lambda rate: fn.chain(decay(0.1), fn.rmsprop(rate, momentum=0.8)),
        torch.optim.RMSprop,
        {"momentum": 0.8, "weight_decay": 0.1},
    ),
}
# A learning rate of ours, and torch's scheduler.
SCHEDULES = {
    "constant": (RATE, None),
    "cosine": (
        fn.schedules.cosine_decay(RATE, STEPS),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=STEPS),
    ),
    "cosine with a floor": (
        fn.schedules.cosine_decay(RATE, STEPS, alpha=0.1),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.1 * RATE),
    ),
    "steps": (
        fn.schedules.piecewise_constant(RATE, {10: 0.5, 30: 0.5}),
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, milestones=[10, 30], gamma=0.5),
    ),
    "own": (
        lambda step: RATE / (1 + step),
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    ),
}


def our_trajectory(optimizer, x, labels):
    """The params of a small MLP after each step, as a dict by path."""
    model, params, _ = mlp(x.shape[1], 6, 5, 4)
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    for i in range(STEPS):
        state, _ = step(state, (x[i % 2 :: 2], labels[i % 2 :: 2]))
        yield dict(fn.tree.leaves_with_path(state.params))


def torch_trajectory(make, scheduler, x, labels, clip=lambda parameters: None):
    _, _, module = mlp(x.shape[1], 6, 5, 4)
    optimizer = make(module.parameters())
    scheduler = scheduler and scheduler(optimizer)
    for i in range(STEPS):
        optimizer.zero_grad()
        outputs = module(to_torch(x[i % 2 :: 2]))
        torch.nn.functional.cross_entropy(outputs, to_torch(labels[i % 2 :: 2])).backward()
        clip(module.parameters())
        optimizer.step()
        if scheduler:
            scheduler.step()
        yield torch_arrays(module)


def points():
    x = normal(0, 20, 3) * 2
    return x, np.arange(20) % 4


def assert_same_trajectory(ours, theirs):
    steps = 0
    for a, b in zip(ours, theirs, strict=True):
        assert set(a) == set(b)
        for path in a:
            assert_close(a[path], b[path])
        steps += 1
    assert steps == STEPS


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_optimizer_goes_torchs_way(variant, schedule):
    optimizer, make, arguments = VARIANTS[variant]
    rate, scheduler = SCHEDULES[schedule]
    assert_same_trajectory(
        our_trajectory(optimizer(rate), *points()),
        torch_trajectory(lambda p: make(p, lr=RATE, **arguments), scheduler, *points()),
    )


@pytest.mark.parametrize("max_norm", [0.05, 0.5, 100.0])
def test_clipped_gradients_go_torchs_way(max_norm):
    optimizer = fn.chain(fn.clip_by_global_norm(max_norm), fn.sgd(RATE, momentum=0.9))
    assert_same_trajectory(
        our_trajectory(optimizer, *points()),
        torch_trajectory(
            lambda p: SGD(p, lr=RATE, momentum=0.9),
            None,
            *points(),
            lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, max_norm),
        ),
    )


@pytest.mark.parametrize("max_value", [0.01, 0.1, 100.0])
def test_gradients_clipped_by_value_go_torchs_way(max_value):
    optimizer = fn.chain(fn.clip_by_value(max_value), fn.sgd(RATE, momentum=0.9))
    assert_same_trajectory(
        our_trajectory(optimizer, *points()),
        torch_trajectory(
            lambda p: SGD(p, lr=RATE, momentum=0.9),
            None,
            *points(),
            lambda parameters: torch.nn.utils.clip_grad_value_(parameters, max_value),
        ),
    )


def test_adagrads_decay_of_the_rate_is_inverse_time_decay():
    rate = fn.schedules.inverse_time_decay(RATE, 1, 0.1)
    assert_same_trajectory(
        our_trajectory(fn.adagrad(rate), *points()),
        torch_trajectory(lambda p: torch.optim.Adagrad(p, lr=RATE, lr_decay=0.1), None, *points()),
    )


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_average_of_the_params_is_torchs(decay):
    swa = torch.optim.swa_utils
    model, params, module = mlp(3, 6, 5, 4)
    optimizer = fn.chain(fn.adam(RATE), fn.average_params(decay))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    torch_optimizer = ADAM(module.parameters(), lr=RATE)
    averaged = swa.AveragedModel(module, multi_avg_fn=swa.get_ema_multi_avg_fn(decay))
    x, labels = points()
    for _ in range(STEPS):
        state, _ = step(state, (x, labels))
        torch_optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(to_torch(x)), to_torch(labels)).backward()
        torch_optimizer.step()
        averaged.update_parameters(module)
        theirs = torch_arrays(averaged.module)
        ours = dict(fn.tree.leaves_with_path(fn.averaged_params(state.opt_state)))
        assert set(ours) == set(theirs)
        for path, leaf in ours.items():
            assert_close(leaf, theirs[path])


def a_mask(params):
    """What is not a number or a vector: no function of ours, so that JAX can use it too."""
    return {name: leaf.ndim > 1 for name, leaf in params.items()}


# Ours and optax's, over params with 0, 1, 2 and 4 axes.
OPTAXS = {
    "sm3": (fn.sm3(RATE), lambda optax: optax.sm3(RATE)),
    "sm3, other momentum": (fn.sm3(RATE, 0.5), lambda optax: optax.sm3(RATE, 0.5)),
    "masked": (
        fn.masked(fn.adam(RATE), a_mask),
        lambda optax: optax.masked(optax.adam(RATE), a_mask),
    ),
    "masked weight decay": (
        fn.chain(fn.add_decayed_weights(0.1, a_mask), fn.sgd(RATE, momentum=0.9)),
        lambda optax: optax.chain(
            optax.add_decayed_weights(0.1, a_mask), optax.sgd(RATE, momentum=0.9)
        ),
    ),
    "freeze": (
        fn.chain(fn.adamw(RATE), fn.freeze({"a": True, "b": False, "c": True, "d": False})),
        lambda optax: optax.chain(
            optax.adamw(RATE, weight_decay=1e-2),
            optax.freeze({"a": True, "b": False, "c": True, "d": False}),
        ),
    ),
    "flatten": (
        fn.flatten(fn.chain(fn.clip_by_value(0.5), fn.sgd(RATE, momentum=0.9))),
        lambda optax: optax.flatten(optax.chain(optax.clip(0.5), optax.sgd(RATE, momentum=0.9))),
    ),
    "flatten sm3": (fn.flatten(fn.sm3(RATE)), lambda optax: optax.flatten(optax.sm3(RATE))),
}


@pytest.mark.parametrize("name", OPTAXS)
def test_an_optimizer_goes_optaxs_way(name):
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    ours, make = OPTAXS[name]
    rng = np.random.default_rng(0)
    # optax's SM3 has no name for an array without axes: it gets one of one entry.
    shapes = {"a": (1,) if "sm3" in name else (), "b": (4,), "c": (3, 2), "d": (2, 3, 3, 2)}
    params = {key: rng.standard_normal(shape) + 1 for key, shape in shapes.items()}
    gradients = [
        {key: np.asarray(rng.standard_normal(shape)) for key, shape in shapes.items()}
        for _ in range(STEPS)
    ]
    with jax.enable_x64(True):
        theirs = make(optax)
        their_params = jax.tree.map(jax.numpy.asarray, params)
        their_state, state = theirs.init(their_params), ours.init(params)
        for grads in gradients:
            updates, state = ours.update(grads, state, params)
            params = fn.apply_updates(params, updates)
            their_updates, their_state = theirs.update(grads, their_state, their_params)
            their_params = optax.apply_updates(their_params, their_updates)
            for key in shapes:
                np.testing.assert_allclose(params[key], their_params[key], rtol=1e-10, atol=1e-10)


def test_sm3_of_an_array_without_axes_is_that_of_one_entry():
    rng = np.random.default_rng(0)
    number, vector = np.asarray(2.0), np.array([2.0])
    optimizer = fn.sm3(RATE)
    states = [optimizer.init(number), optimizer.init(vector)]
    for _ in range(STEPS):
        g = rng.standard_normal(1)
        first, states[0] = optimizer.update(np.asarray(g[0]), states[0], number)
        second, states[1] = optimizer.update(g, states[1], vector)
        number, vector = fn.apply_updates(number, first), fn.apply_updates(vector, second)
        assert number.shape == ()
        assert number == vector[0]


class ClassicalMomentum(torch.optim.Optimizer):
    """The recurrence of the lab: v = b v - g h w - h G; w = w + v."""

    def __init__(self, params, lr, b, g):
        super().__init__(params, {"lr": lr, "b": b, "g": g})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            h, b, g = group["lr"], group["b"], group["g"]
            for w in group["params"]:
                v = self.state[w].get("v", torch.zeros_like(w))
                v = b * v - g * h * w - h * w.grad
                self.state[w]["v"] = v
                w.add_(v)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_classical_momentum_goes_the_labs_way(schedule, weight_decay):
    rate, scheduler = SCHEDULES[schedule]
    optimizer = fn.classical_momentum(rate, momentum=0.8, weight_decay=weight_decay)
    assert_same_trajectory(
        our_trajectory(optimizer, *points()),
        torch_trajectory(
            lambda p: ClassicalMomentum(p, lr=RATE, b=0.8, g=weight_decay), scheduler, *points()
        ),
    )


@pytest.mark.parametrize("schedule", ["constant", "steps"])
def test_classical_momentum_is_torchs_sgd_while_the_rate_is_constant(schedule):
    rate, scheduler = SCHEDULES[schedule]
    optimizer = fn.classical_momentum(rate, momentum=0.8, weight_decay=0.1)
    ours = our_trajectory(optimizer, *points())
    theirs = torch_trajectory(
        lambda p: SGD(p, lr=RATE, momentum=0.8, weight_decay=0.1), scheduler, *points()
    )
    distances = [
        max(np.abs(a[path] - b[path].detach().numpy()).max() for path in a)
        for a, b in zip(ours, theirs, strict=True)
    ]
    constant_until = 10 if schedule == "steps" else STEPS
    assert max(distances[:constant_until]) < 1e-12
    assert all(distance > 1e-4 for distance in distances[constant_until:])


# --- initial values --------------------------------------------------------------------------


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


# --- the tables are whole --------------------------------------------------------------------

WITHOUT_A_TWIN = {"elementwise", "shape_dependent", "weighted"}
PARTS_OF_OPTIMIZERS = {"scale", "trace", "scale_by_learning_rate", "scale_by_schedule"} | {
    f"scale_by_{name}" for name in ("adam", "adamax", "rms", "rss", "sm3")
}
MODULES = {"layers", "activation_layers", "branches", "combinators", "losses"} | {
    *("optimizers", "transformations", "composition")
}


def test_every_layer_loss_and_optimizer_meets_its_oracle_here():
    text = Path(__file__).read_text("utf-8")
    functions = {name: getattr(fn, name) for name in fn.__all__}
    public = {
        name
        for name, function in functions.items()
        if inspect.isfunction(function)
        and inspect.unwrap(function).__module__.removeprefix("funcnn.") in MODULES
    }
    assert public > {"Dense", "residual", "huber", "sm3", "freeze"}
    missing = {name for name in public if not re.search(rf'fn\.{name}\b|"{name}"', text)}
    assert missing - WITHOUT_A_TWIN - PARTS_OF_OPTIMIZERS == set()
