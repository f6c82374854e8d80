"""Against torch: whole nets, from their inputs to the gradient of a loss, and through training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_helpers import (
    KEY,
    assert_close,
    load_linear,
    mlp,
    nn,
    normal,
    seeds,
    sizes,
    to_torch,
    torch,
)

import funcnn as fn
from funcnn.layers import sharding

pytestmark = pytest.mark.usefixtures("one_torch_thread")


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


def cnn():
    """A small convolutional net of ours, its params for images of 2x11x9, and torch's twin."""
    random_bias = {"bias_init": fn.initializers.normal(0.5)}
    model = fn.serial(
        *(fn.Conv(4, 3, padding=1, **random_bias), fn.Relu(), fn.MaxPool(2)),
        *(fn.Conv(6, 3, groups=2, **random_bias), fn.Relu(), fn.AvgPool(2, padding=1)),
        *(fn.ConvTranspose(2, 2, stride=2, **random_bias), fn.Tanh(), fn.Flatten()),
        fn.Dense(5, **random_bias),
    )
    _, params = model.init(KEY, (2, 11, 9), dtype=np.float64)
    module = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.AvgPool2d(2, padding=1)),
        *(nn.ConvTranspose2d(6, 2, 2, stride=2), nn.Tanh(), nn.Flatten()),
        nn.Linear(params[-1]["weight"].shape[0], 5),
    ).double()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            layer, leaf = name.split(".")
            array = params[int(layer)][leaf]
            parameter.copy_(to_torch(array.T if name == "9.weight" else array))
    return model, params, module


@pytest.mark.parametrize("batch", [1, 3, 150])
def test_a_whole_convolutional_net_is_torchs(batch, monkeypatch):
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)
    model, params, module = cnn()
    x, labels = normal(0, batch, 2, 11, 9), np.arange(batch) % 5
    outputs, vjp = model.apply(params, x, train=True)
    value, loss_vjp = fn.softmax_cross_entropy(outputs, labels)
    dparams, dx = vjp(loss_vjp())
    x_torch = to_torch(x, requires_grad=True)
    outputs_torch = module(x_torch)
    value_torch = nn.functional.cross_entropy(outputs_torch, to_torch(labels))
    value_torch.backward()
    assert_close(outputs, outputs_torch)
    assert value == pytest.approx(value_torch.item(), rel=1e-10)
    assert_close(dx, x_torch.grad)
    theirs = {name.replace(".", "/"): p.grad for name, p in module.named_parameters()}
    theirs["9/weight"] = theirs["9/weight"].T
    ours = dict(fn.tree.leaves_with_path(dparams))
    assert set(ours) == set(theirs)
    for path, gradient in ours.items():
        assert_close(gradient, theirs[path])


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
