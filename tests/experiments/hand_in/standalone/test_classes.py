"""The layers and the network of what is handed in, as classes."""

import inspect

import numpy as np
import pytest
from standalone_files import examples, rendered

from funcnn.experiments.data.datasets import Normalization
from funcnn.experiments.hand_in.standalone import classes

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(3, 2, 7, 6))
ROWS = RNG.normal(size=(5, 6))

# class, its arguments, inputs
LAYERS = [
    ("FullyConnected", (6, 4), ROWS),
    ("Conv", (2, 3, 3), IMAGE),
    ("Conv", (2, 3, 3, 1, 1), IMAGE),
    ("Conv", (2, 3, 4, 2, (1, 2)), IMAGE),
    ("MaxPool", (2,), IMAGE),
    ("AvgPool", (3,), IMAGE),
    ("Flatten", (), IMAGE),
    ("Identity", (), ROWS),
    ("BinaryStep", (), ROWS),
    ("Sigmoid", (), ROWS),
    ("Tanh", (), ROWS),
    ("ArcTan", (), ROWS),
    ("ReLU", (), ROWS),
    ("PReLU", (0.1,), ROWS),
    ("LeakyReLU", (), ROWS),
    ("ELU", (0.5,), ROWS),
    ("Softplus", (), ROWS),
    ("SiLU", (), ROWS),
]
LABELS = np.array([0, 5, 2, 2, 1])
PROBABILITIES = np.array([[0.1], [0.9], [0.4], [0.25], [0.75]])
# class, inputs, targets
LOSSES = [
    ("SoftmaxWithloss", ROWS, np.eye(6, dtype=np.float32)[LABELS]),
    ("SoftmaxWithloss", ROWS, LABELS),
    ("SoftmaxWithloss", ROWS, RNG.dirichlet(np.ones(6), 5)),
    ("SquaredWithloss", ROWS, np.eye(6, dtype=int)[LABELS]),
    ("BinaryWithloss", PROBABILITIES, np.array([[1], [0], [1], [0], [1]])),
]


def slopes(value, array) -> np.ndarray:
    """The derivative of value() by each number of the array, which is changed and put back."""
    found = np.zeros(array.shape)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + 1e-6
        above = value()
        array[place] = kept - 1e-6
        found[place] = (above - value()) / 2e-6
        array[place] = kept
    return found


def close(ours, measured) -> None:
    assert ours.shape == measured.shape
    np.testing.assert_allclose(ours, measured, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("name", "arguments", "x"), LAYERS)
def test_the_derivative_of_a_layer_is_that_of_differences(name, arguments, x) -> None:
    np.random.seed(1)
    layer, x = getattr(classes, name)(*arguments), x.copy()
    dy = np.random.default_rng(2).normal(size=layer.forward(x).shape)
    dx = layer.backward(dy)

    def value() -> float:
        return float((layer.forward(x) * dy).sum())

    close(dx, slopes(value, x))
    for weight in layer.weights:
        close(getattr(layer, f"{weight}_grad"), slopes(value, getattr(layer, weight)))


@pytest.mark.parametrize(("name", "x", "target"), LOSSES)
def test_the_derivative_of_a_loss_is_that_of_differences(name, x, target) -> None:
    layer, x = getattr(classes, name)(), x.copy()
    _, loss = layer.forward(x, target)
    assert type(loss) is float
    close(layer.backward(), slopes(lambda: layer.forward(x, target)[1], x))


def test_every_class_is_in_these_tables() -> None:
    of_module = inspect.getmembers(classes, inspect.isclass)
    own = {name for name, value in of_module if value.__module__ == classes.__name__}
    assert own == {row[0] for row in (*LAYERS, *LOSSES)} | {"Layer"}


def test_a_fully_connected_layer_has_the_shapes_of_the_sheet() -> None:
    layer = classes.FullyConnected(784, 60)
    layer.forward(np.zeros((10, 784), int))
    assert layer.backward(np.ones((10, 60))).shape == (10, 784)
    shapes = [getattr(layer, name).shape for name in ("weight", "weight_grad")]
    assert shapes == [(784, 60), (784, 60)]
    assert (layer.bias.shape, layer.bias_grad.shape) == ((1, 60), (1, 60))
    assert np.array_equal(layer.bias_grad, np.full((1, 60), 10))


def test_integers_go_through_every_layer_as_numbers() -> None:
    x = RNG.integers(0, 256, (2, 2, 4, 4))
    for name, arguments in (("Conv", (2, 1, 3)), ("MaxPool", (2,)), ("AvgPool", (2,))):
        layer, exact = getattr(classes, name)(*arguments), getattr(classes, name)(*arguments)
        exact.__dict__.update(layer.__dict__)
        dy = RNG.normal(size=layer.forward(x).shape)
        exact.forward(x.astype(float))
        assert np.array_equal(layer.backward(dy), exact.backward(dy))


def test_probabilities_are_those_of_softmax_without_overflow() -> None:
    p, loss = classes.SoftmaxWithloss().forward(1000 * ROWS, np.zeros((5, 6)))
    assert np.array_equal(p.argmax(axis=1), ROWS.argmax(axis=1))
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert str(loss) == "0.0"


@pytest.mark.parametrize("target", [np.zeros((5, 7)), np.zeros((4, 6)), LABELS[:4], LABELS[None]])
def test_targets_that_do_not_fit_are_refused(target) -> None:
    with pytest.raises(ValueError, match="do not fit outputs"):
        classes.SoftmaxWithloss().forward(ROWS, target)


# --- the network -----------------------------------------------------------------------------

SETTINGS = [
    {"arch": "points"},
    {"arch": "mlp3", "label_smoothing": 0.0},
    {"arch": "mlp2", "hidden": [12], "activation": "prelu", "loss": "squared-error"},
    {"arch": "cnn3", "channels": [3, 4]},
    {"arch": "lenet5", "channels": [2, 3], "hidden": [9, 8], "activation": "leaky-relu"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_with_trained_params_it_predicts_as_funcnn_does(tmp_path, settings) -> None:
    module, config, model = rendered(tmp_path, settings)
    params = module.load(tmp_path / "params.npz")
    net = module.Network(params)
    x, y = examples(settings)
    image = config.arch != "points"
    outputs, _ = model.apply(params, Normalization(255.0, 0.3, 0.4)(x) if image else np.float32(x))
    pred, loss = net.forward(x.reshape(len(x), -1).astype(int) if image else x, y)
    expected, _ = module.loss(outputs, y)
    if config.loss == "cross-entropy" and image:
        outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        outputs /= outputs.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(pred, outputs, atol=1e-5, rtol=0)
    assert np.array_equal(pred.argmax(axis=1), outputs.argmax(axis=1))
    assert loss == pytest.approx(expected, rel=1e-5)
    assert type(loss) is float


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_its_gradients_are_those_of_the_mean_loss_and_of_train(tmp_path, settings) -> None:
    module, _, _ = rendered(tmp_path, settings)
    params = module.load(tmp_path / "params.npz")
    x, y = examples(settings)
    net = module.Network(params)
    net.forward(x, y)
    net.backward()
    outputs, backward = module.network(params, module.normalized(x))
    own = [grads for grads in backward(module.loss(outputs, y)[1]) if grads]
    with_weights = [layer for layer in net.layers if layer.weights]
    for layer, grads in zip(with_weights, own, strict=True):
        for name, grad in grads.items():
            found = getattr(layer, f"{name}_grad")
            assert found.shape == getattr(layer, name).shape
            np.testing.assert_allclose(found.ravel(), grad.ravel(), rtol=1e-4, atol=1e-6)


def weights(net) -> list[np.ndarray]:
    return [getattr(layer, name) for layer in net.layers for name in layer.weights]


@pytest.fixture
def small(tmp_path):
    return rendered(tmp_path, {"arch": "cnn3", "channels": [2, 3]})[0]


def test_numpys_seed_decides_the_first_weights(small) -> None:
    nets = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        nets.append(weights(small.Network()))
    assert all(map(np.array_equal, nets[0], nets[1]))
    assert not np.array_equal(nets[0][0], nets[2][0])
    assert {array.dtype for array in nets[0]} == {np.dtype(np.float32)}
    assert nets[0][-2].std() == pytest.approx(0.01, rel=0.1)
    assert classes.FullyConnected(300, 20).weight.std() == pytest.approx((2 / 300) ** 0.5, rel=0.1)


def test_update_steps_along_the_sum_of_the_batch(small) -> None:
    x, y = examples({"arch": "cnn3"})
    net = small.Network()
    first = weights(net)
    summed = []
    for _ in range(2):
        net.forward(x, y)
        net.backward()
        grads = [getattr(each, f"{n}_grad") for each in net.layers for n in each.weights]
        summed.append([20 * grad for grad in grads])
        net.update(np.float64(1e-3))
    for w, a, b, now in zip(first, *summed, weights(net), strict=True):
        np.testing.assert_allclose(now, w - 1e-3 * (a + (0.5 * a + b)), rtol=1e-4, atol=1e-6)
        assert now.dtype == np.float32


def test_a_forward_between_backward_and_update_changes_nothing(small) -> None:
    x, y = examples({"arch": "cnn3"})
    after = []
    for between in (False, True):
        np.random.seed(3)
        net = small.Network()
        for _ in range(2):
            net.forward(x, y)
            net.backward()
            if between:
                net.forward(x[:7], np.zeros((7, 10)))
            net.update(1e-3)
        after.append(weights(net))
    assert all(map(np.array_equal, *after))


def test_inputs_and_targets_of_any_form_are_the_same(small) -> None:
    x, y = examples({"arch": "cnn3"})
    np.random.seed(0)
    net = small.Network()
    expected, loss = net.forward(x, y)
    for rows in (x.reshape(20, 784), x.reshape(20, 784).astype(int), x[:, 0].astype(float)):
        for target in (np.eye(10)[y], np.eye(10, dtype="float32")[y], np.eye(10, dtype=int)[y]):
            pred, again = net.forward(rows, target)
            assert np.array_equal(pred, expected)
            assert again == loss
    pred, zero = net.forward(x, np.zeros((20, 10), "float32"))
    assert np.array_equal(pred, expected)
    assert zero == 0
