"""`layer.py` and `network.py`, which need NumPy alone."""

import inspect
import json
import os
import subprocess
import venv
from pathlib import Path

import numpy as np
import pytest
from standalone_files import examples, rendered, task_of

import funcnn as fn
from funcnn.experiments.data.datasets import Normalization
from funcnn.experiments.errors import InputError
from funcnn.experiments.hand_in.standalone import augmentations, layers
from funcnn.experiments.hand_in.standalone import network as standalone_network
from funcnn.experiments.hand_in.standalone.parts import parts_of
from funcnn.experiments.hand_in.standalone.writer import network_file
from funcnn.experiments.tasks.build import build_loss, build_optimizer
from funcnn.experiments.tasks.config import RunConfig
from funcnn.types import layer_name

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(3, 2, 7, 6))
ROWS = RNG.normal(size=(5, 6))

# function, its arguments, funcnn's layer, inputs
LAYERS = [
    ("linear", {}, fn.Dense(4), ROWS),
    ("conv", {}, fn.Conv(3, 3), IMAGE),
    ("conv", {"padding": (1, 1)}, fn.Conv(3, 3, padding="same"), IMAGE),
    ("conv", {"padding": (1, 2)}, fn.Conv(3, 4, padding="same"), IMAGE),
    ("conv", {"stride": 2, "padding": (1, 1)}, fn.Conv(3, 3, stride=2, padding=1), IMAGE),
    ("conv", {"stride": 3}, fn.Conv(3, 2, stride=3), IMAGE),
    ("max_pool", {"size": 2}, fn.MaxPool(2), IMAGE),
    ("max_pool", {"size": 3}, fn.MaxPool(3), np.round(IMAGE)),
    ("avg_pool", {"size": 2}, fn.AvgPool(2), IMAGE),
    ("flatten", {}, fn.Flatten(), IMAGE),
    ("identity", {}, fn.Identity(), ROWS),
    ("binary_step", {}, fn.BinaryStep(), ROWS),
    ("sigmoid", {}, fn.Sigmoid(), 100 * ROWS),
    ("tanh", {}, fn.Tanh(), ROWS),
    ("arctan", {}, fn.ArcTan(), ROWS),
    ("relu", {}, fn.Relu(), np.round(ROWS)),
    ("prelu", {}, fn.PRelu(), ROWS),
    ("leaky_relu", {}, fn.LeakyRelu(), ROWS),
    ("leaky_relu", {"slope": 0.2}, fn.LeakyRelu(0.2), ROWS),
    ("elu", {}, fn.Elu(), ROWS),
    ("elu", {"alpha": 0.5}, fn.Elu(0.5), 100 * ROWS),
    ("softplus", {}, fn.Softplus(), 1000 * ROWS),
    ("silu", {}, fn.Silu(), ROWS),
]
LABELS = np.array([0, 5, 2, 2, 1])
LOSSES = [
    ("softmax_cross_entropy", {}, fn.softmax_cross_entropy, 1000 * ROWS, LABELS),
    (
        "softmax_cross_entropy",
        {"smoothing": 0.1},
        lambda outputs, labels: fn.softmax_cross_entropy(outputs, labels, label_smoothing=0.1),
        ROWS,
        LABELS,
    ),
    (
        "half_squared_error",
        {},
        lambda outputs, labels: fn.half_squared_error(outputs, np.eye(6)[labels]),
        ROWS,
        LABELS,
    ),
    (
        "binary_cross_entropy",
        {},
        fn.binary_cross_entropy,
        np.array([[0.0], [1.0], [1.0], [0.25], [0.75]]),
        np.array([[1], [0], [1], [0], [1]]),
    ),
]


def close(ours, theirs) -> None:
    assert np.shape(ours) == np.shape(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "arguments", "layer", "x"), LAYERS)
def test_a_layer_is_that_of_funcnn_forward_and_backward(name, arguments, layer, x) -> None:
    _, params = layer.init(fn.random.key(1), x.shape[1:])
    params = fn.tree.map(lambda leaf: leaf.astype(np.float64), params)
    for array in (x, *params.values()):
        array.setflags(write=False)
    theirs, vjp = layer.apply(params, x)
    dy = np.random.default_rng(2).normal(size=theirs.shape)
    ours, backward = getattr(layers, name)(params, x, **arguments)
    close(ours, theirs)
    dparams, dx = vjp(dy)
    our_dparams, our_dx = backward(dy)
    close(our_dx, dx)
    assert our_dparams.keys() == dparams.keys()
    for key, gradient in dparams.items():
        close(our_dparams[key], gradient)


@pytest.mark.parametrize(("name", "arguments", "loss", "outputs", "labels"), LOSSES)
def test_a_loss_is_that_of_funcnn(name, arguments, loss, outputs, labels) -> None:
    theirs, vjp = loss(outputs, labels)
    ours, doutputs = getattr(layers, name)(outputs, labels, **arguments)
    assert ours == pytest.approx(theirs, rel=1e-12)
    close(doutputs, vjp())


def test_dropout_keeps_the_mean_and_drops_backward_what_it_dropped_forward() -> None:
    x = np.ones((100, 100), np.float32)
    y, backward = layers.dropout({}, x, 0.25, np.random.default_rng(3))
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert np.array_equal(backward(x)[1], y)
    assert layers.dropout({}, x, 0.25, None)[0] is x


CHANGES = [  # function, its arguments, funcnn's augmentation
    ("flip", {"p": 0.3}, fn.augmentations.flip(0.3)),
    ("shift", {"most": 0}, fn.augmentations.shift(0)),
    ("shift", {"most": 2}, fn.augmentations.shift(2)),
    (
        "affine",
        {"degrees": 30, "scale": 0.2, "shear": 20, "shift": 3},
        fn.augmentations.affine(30, 0.2, 20, 3),
    ),
    (
        "affine",
        {"degrees": 180, "scale": 3, "shear": 0, "shift": 9},
        fn.augmentations.affine(180, 3, 0, 9),
    ),
    ("erase", {"p": 1, "least": 0.0, "most": 0.9}, fn.augmentations.erase(1, (0.0, 0.9))),
    ("erase", {"p": 0.5, "least": 0.1, "most": 0.2}, fn.augmentations.erase(0.5, (0.1, 0.2))),
]


@pytest.mark.parametrize(("name", "arguments", "augment"), CHANGES)
def test_images_are_changed_as_funcnn_does_by_the_same_draws(name, arguments, augment) -> None:
    change = getattr(augmentations, name)
    for shape in [(9, 2, 8, 7), (1, 1, 4, 3)]:  # of affine funcnn draws for so few at a time
        stored = np.random.default_rng(8).integers(0, 256, shape, np.uint8)
        for x in (stored, stored.astype(np.float64)):
            x.setflags(write=False)
            theirs, _ = augment(fn.random.key(3), (x, np.arange(len(x))))
            ours = change(x, fn.random.generator(fn.random.key(3)), **arguments)
            assert ours.dtype == x.dtype
            if name == "affine":  # whose places are in float32 there
                apart = np.abs(ours - theirs.astype(float))
                assert apart.max() <= (1 if x is stored else 0.02)
                assert np.mean(apart > 0.02) < 0.01
            else:
                assert np.array_equal(ours, theirs)


def test_every_change_is_in_this_table() -> None:
    public = {name for name, value in vars(augmentations).items() if inspect.isfunction(value)}
    assert public == {name for name, _, _ in CHANGES} | {"between", "rounded"}


def test_images_are_changed_in_training_alone(tmp_path) -> None:
    settings = {"arch": "mlp2", "hidden": [5], "augment": "affine=8+flip=1"}
    module, _, _ = rendered(tmp_path, settings)
    x, y = examples(settings)
    first = module.load(tmp_path / "params.npz")
    plain, _, _ = rendered(tmp_path, settings | {"augment": "none"})
    assert np.array_equal(module.predict(first, x), plain.predict(first, x))
    text = (tmp_path / "network.py").read_text()
    assert "augmented" not in text
    assert "def flip" not in text
    rng, taken = np.random.default_rng(0), np.random.default_rng(0)
    changed = module.augmented(x, rng)
    turned = augmentations.affine(x, taken, 8, 0.0, 0.0, 0.0)
    assert np.array_equal(changed, turned[:, :, :, ::-1])
    assert "augmented" not in vars(plain)
    (ours, *_), *_ = module.train(first, x[:8], y[:8], epochs=1, seed=2)
    rng = np.random.default_rng(2)
    order = rng.permutation(8)  # one batch
    outputs, backward = module.network(first, module.normalized(module.augmented(x[order], rng)))
    _, doutputs = module.loss(outputs, y[order])
    theirs, _ = module.sgd(first, None, backward(doutputs), module.LEARNING_RATE)
    assert np.array_equal(ours[1]["weight"], theirs[1]["weight"])


def test_every_function_of_layers_is_in_these_tables() -> None:
    public = {
        name
        for name, value in vars(layers).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert public == {row[0] for row in (*LAYERS, *LOSSES)} | {"dropout", "one_hot", "log_softmax"}


SETTINGS = [
    {"arch": "points"},
    {"arch": "points", "activation": "tanh", "dropout": 0.2},
    {"arch": "mlp3", "optimizer": "classical-momentum"},
    {"arch": "mlp2", "hidden": [12], "activation": "prelu", "loss": "squared-error", "lr": 1e-3},
    {"arch": "mlp2", "hidden": [12], "activation": "elu", "weight_init": "normal"},
    {"arch": "softmax", "schedule": "constant", "weight_init": "lecun-normal"},
    {"arch": "cnn3", "channels": [3, 4]},
    {"arch": "cnn3", "channels": [3, 4], "kernel_size": 4, "optimizer": "sgd", "dropout": 0},
    {"arch": "lenet5", "channels": [2, 3], "hidden": [9, 8], "activation": "leaky-relu"},
]


def inputs_of(config: RunConfig, x: np.ndarray) -> np.ndarray:
    return (
        Normalization(1.0, 0.0, 1.0)(x)
        if config.arch == "points"
        else (Normalization(255.0, 0.3, 0.4)(x))
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_network_predicts_as_funcnn_does(tmp_path, settings) -> None:
    module, config, model = rendered(tmp_path, settings)
    params = module.load(tmp_path / "params.npz")
    x, _ = examples(settings)
    outputs, _ = model.apply(params, inputs_of(config, x))
    ours = module.predict(params, x, batch_size=7)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, outputs, rtol=1e-4, atol=1e-5)
    assert np.array_equal(module.predicted(ours), fn.predicted_classes(outputs))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_network_trains_as_funcnn_does(tmp_path, settings) -> None:
    settings = settings | {"dropout": 0.0}  # whose masks are drawn from other generators
    module, config, model = rendered(tmp_path, settings)
    x, y = examples(settings)
    first = module.load(tmp_path / "params.npz")
    before = [{name: leaf.copy() for name, leaf in own.items()} for own in first]
    trained = list(module.train(first, x, y, epochs=2, seed=6))
    assert all(
        np.array_equal(a, b)
        for own, old in zip(first, before, strict=True)
        for a, b in zip(own.values(), old.values(), strict=True)
    )

    rng = np.random.default_rng(6)
    step = fn.make_train_step(
        model.apply, build_loss(config), optimizer := build_optimizer(config, 6)
    )
    state = fn.TrainState.create(first, optimizer)
    for _, (_, mean_loss, _) in zip(range(2), trained, strict=True):
        order, losses = rng.permutation(20), 0.0
        for chosen in (order[:8], order[8:16], order[16:]):
            state, metrics = step(state, (inputs_of(config, x)[chosen], y[chosen]))
            losses += metrics["loss"] * len(chosen)
        assert mean_loss == pytest.approx(losses / 20, rel=1e-5)
    for own, theirs in zip(trained[-1][0], state.params, strict=True):
        for name, leaf in theirs.items():
            assert own[name].dtype == leaf.dtype == np.float32
            np.testing.assert_allclose(own[name], leaf, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_first_params_are_of_the_network(tmp_path, settings) -> None:
    module, _, _ = rendered(tmp_path, settings)
    theirs = module.load(tmp_path / "params.npz")
    ours = module.first_params(np.random.default_rng(0))
    for own, leaves in zip(ours, theirs, strict=True):
        assert own.keys() == leaves.keys()
        for name, leaf in leaves.items():
            assert (own[name].shape, own[name].dtype) == (leaf.shape, leaf.dtype)
            if leaf.size > 500:  # enough to say how they are spread
                assert own[name].std() == pytest.approx(leaf.std(), rel=0.15)


def test_what_is_saved_is_loaded_again(tmp_path) -> None:
    module, _, _ = rendered(tmp_path, SETTINGS[0])
    params = module.first_params(np.random.default_rng(0))
    module.save(tmp_path / "own.npz", params)
    again = module.load(tmp_path / "own.npz")
    assert [sorted(own) for own in again] == [sorted(own) for own in params]
    assert np.array_equal(again[2]["weight"], params[2]["weight"])


def test_the_gradient_of_the_network_is_that_of_differences(tmp_path) -> None:
    module, _, _ = rendered(tmp_path, {"arch": "points"})
    params = [
        {name: leaf.astype(np.float64) for name, leaf in own.items()}
        for own in module.first_params(np.random.default_rng(0))
    ]
    x, y = examples({"arch": "points"})

    def value(flat) -> float:
        return module.loss(module.network(fn.tree.ravel(params)[1](flat), x)[0], y)[0]

    flat, _ = fn.tree.ravel(params)
    outputs, backward = module.network(params, x)
    gradient, _ = fn.tree.ravel(backward(module.loss(outputs, y)[1]))
    for i in range(flat.size):
        step = np.zeros_like(flat)
        step[i] = 1e-6
        assert (value(flat + step) - value(flat - step)) / 2e-6 == pytest.approx(
            gradient[i], rel=1e-6, abs=1e-9
        )


UNKNOWN = [
    (
        {"arch": "resnet", "channels": [2, 2, 2]},
        "layer 0: network.py has no words for Conv(.*bias=False",
    ),
    ({"arch": "points-conv", "data": "points-xor"}, "layer 0: network.py has no words for Reshape"),
    ({"arch": "mlp2", "activation": "gelu"}, "layer 2: network.py has no words for Gelu"),
    ({"arch": "mlp2", "optimizer": "sm3"}, "--optimizer sm3: network.py has no words for it, only"),
    (
        {"arch": "mlp2", "optimizer": "adam", "weight_decay": 0.1},
        "--weight-decay 0.1 --optimizer adam",
    ),
    ({"arch": "mlp2", "schedule": "polynomial"}, "--schedule polynomial"),
    ({"arch": "points", "loss": "squared-error"}, "--loss squared-error"),
    ({"arch": "mlp2", "augment": "flip+elastic=8:4"}, "--augment .*: network.py has no words for"),
    ({"arch": "mlp2", "decayed": "weights"}, "--decayed weights: network.py has no words for it"),
    ({"arch": "mlp2", "average": 0.9}, "--average 0.9: network.py has no words for it"),
    ({"arch": "mlp2", "patience": 3}, "--patience 3: network.py has no words for it"),
    ({"arch": "mlp2", "drop_last": True}, "--drop-last True: network.py has no words for it"),
]


@pytest.mark.parametrize(("settings", "message"), UNKNOWN)
def test_what_there_are_no_words_for_is_named(settings, message) -> None:
    config = RunConfig.resolve(settings)
    binary = config.arch.startswith("points")
    task = task_of(
        config,
        (2,) if binary else (1, 28, 28),
        Normalization(1, 0, 1),
        ("0", "1") if binary else tuple("0123456789"),
    )
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        network_file(task)


@pytest.mark.parametrize(
    "layer",
    [
        *(fn.MaxPool(2, dilation=2), fn.MaxPool(2, ceil_mode=True), fn.AvgPool(2, ceil_mode=True)),
        *(fn.MaxPool(2, 1), fn.AvgPool(3, padding=1)),
    ],
)
def test_a_pool_of_more_than_its_size_has_no_words(layer) -> None:
    assert len(parts_of(fn.serial(fn.MaxPool(2), fn.AvgPool(2)), (1, 8, 8))) == 2
    with pytest.raises(
        InputError, match=rf"layer 1: network.py has no words for {layer_name(layer)}"
    ):
        parts_of(fn.serial(fn.MaxPool(2), layer), (1, 8, 8))


def test_the_pattern_is_a_network_too() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.integers(0, 256, (40, 1, 28, 28), np.uint8), np.arange(40) % 10
    params = standalone_network.first_params(rng)
    losses = [loss for _, loss, _ in standalone_network.train(params, x, y, epochs=20)]
    assert losses[-1] < 0.1 < 1 < losses[0]


def test_it_runs_where_there_is_numpy_and_nothing_else(tmp_path) -> None:
    changes = "flip+shift=1+affine=8:0.1:6:1+erase"
    _, _, _ = rendered(tmp_path / "files", {"arch": "cnn3", "channels": [2, 3], "augment": changes})
    x, y = examples({"arch": "cnn3"})
    np.savez(tmp_path / "files" / "examples.npz", x=x, y=y)
    venv.create(tmp_path / "env", symlinks=True)
    packages = next((tmp_path / "env").glob("lib/python*/site-packages"))
    installed = Path(np.__file__).parent
    (packages / "numpy").symlink_to(installed)
    if (libraries := installed.parent / "numpy.libs").exists():
        (packages / "numpy.libs").symlink_to(libraries)
    script = """
import importlib.util, json, numpy as np, network
assert not any(map(importlib.util.find_spec, ("funcnn", "click", "matplotlib", "torch")))
data = np.load("examples.npz")
params = network.load("params.npz")
outputs = network.predict(params, data["x"])
*_, (trained, _, _) = network.train(params, data["x"], data["y"], epochs=60)
loss, _ = network.loss(network.predict(trained, data["x"]), data["y"])
print(json.dumps([outputs.tolist(), loss]))
"""
    done = subprocess.run(
        [tmp_path / "env" / "bin" / "python", "-c", script],
        cwd=tmp_path / "files",
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs, loss = json.loads(done.stdout)
    model, params = fn.load(tmp_path / "files" / "params.npz").model, None
    params = fn.load(tmp_path / "files" / "params.npz").params
    expected, _ = model.apply(params, Normalization(255.0, 0.3, 0.4)(x))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    assert loss < fn.softmax_cross_entropy(expected, y)[0]
