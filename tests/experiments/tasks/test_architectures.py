"""The networks by name: their layers and sizes, and that each of them learns."""

import numpy as np
import pytest

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.architectures import ARCHITECTURES, LOSSES, loss_of
from funcnn.experiments.tasks.build import build_network, network_that_fits
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.networks import ACTIVATIONS
from funcnn.experiments.training.gradient_check import TOLERANCE, check_model
from funcnn.experiments.training.target import Target

KEY = fn.random.key(0)
IMAGES = [name for name, architecture in ARCHITECTURES.items() if not architecture.binary]
CONVOLVING = [name for name in IMAGES if ARCHITECTURES[name].convolves]


def network(arch, classes=10, **settings):
    shape = (2,) if ARCHITECTURES[arch].binary else (1, 28, 28)
    return build_network(RunConfig.resolve({"arch": arch} | settings), shape, classes)


def names(model):
    return [layer["layer"] for layer in model.spec["layers"]]


@pytest.mark.parametrize(
    ("arch", "parameters"),
    [
        ("softmax", 784 * 10 + 10),
        ("mlp3", 785 * 256 + 257 * 128 + 129 * 10),
        ("cnn3", 10 * 16 + (16 * 9 + 1) * 32 + (32 * 49 + 1) * 10),
        ("lenet5", 61_706),  # LeCun et al. 1998, with every map seen by every filter
    ],
)
def test_a_network_has_the_parameters_that_its_sizes_say(arch, parameters):
    shape, params = network(arch).init(KEY, (1, 28, 28))
    assert shape == (10,)
    assert sum(leaf.size for leaf in fn.tree.leaves(params)) == parameters


@pytest.mark.parametrize("arch", IMAGES)
@pytest.mark.parametrize(("side", "channels", "classes"), [(28, 1, 47), (32, 3, 10)])
def test_any_number_of_classes_and_any_images(arch, side, channels, classes):
    shape, params = network(arch, classes).init(KEY, (channels, side, side))
    assert shape == (classes,)
    x = fn.random.normal(KEY, (2, channels, side, side))
    assert network(arch, classes).apply(params, x)[0].shape == (2, classes)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_network_is_a_page_and_its_call(arch):
    points = arch.startswith("points")
    model = network(arch, 2 if points else 10)
    lines = str(model).splitlines()
    assert max(map(len, lines)) <= 110
    layers = [line.split()[1].split("(")[0] for line in lines if line.endswith(")")]
    rows = fn.summary(model, (2,) if points else (1, 28, 28)).rows
    assert layers == [f"fn.{row.name}" for row in rows]
    assert eval(repr(model), {"fn": fn}).spec == model.spec


def test_points_can_be_convolved_too():
    shape, params = network("points-conv", 2, channels=(3,), activation="tanh").init(KEY, (2,))
    assert shape == (1,)
    assert params[1]["weight"].shape == (3, 1, 2)
    assert params[4][0]["weight"].shape == (3 * 3, 4)  # 3 channels at 3 places: the kernels slide
    _, params = network("points-conv", 2, channels=(3, 5)).init(KEY, (2,))
    assert params[6][0]["weight"].shape == (5 * 4, 4)


def test_an_image_too_small_for_a_kernel_is_named():
    config = RunConfig.resolve({"arch": "lenet5"})
    said = r"--arch lenet5 .*layer 3 \(Conv\): a kernel of 5"
    with pytest.raises(InputError, match=said), network_that_fits(config):
        build_network(config, (1, 8, 8), 2).init(KEY, (1, 8, 8))


def test_channels_kernel_size_hidden_and_dropout_are_those_chosen():
    settings = {"channels": (4, 5, 6), "kernel_size": 5, "hidden": (7,), "dropout": 0.2}
    model = network("cnn3", **settings)
    stage = ["Conv", "Relu", "MaxPool"]
    dense = ["Flatten", "Dropout", "Dense", "Relu", "Dropout", "Dense"]
    assert names(model) == [*stage * 3, *dense]
    _, params = model.init(KEY, (1, 28, 28))
    shapes = [params[i]["weight"].shape for i in (0, 3, 6)]
    assert shapes == [(4, 1, 5, 5), (5, 4, 5, 5), (6, 5, 5, 5)]


def test_the_residual_net_halves_the_image_at_each_stage_but_the_first():
    model = network("resnet", channels=(4, 6, 8))
    _, params = model.init(KEY, (1, 28, 28))
    outputs = fn.inner_outputs(model, params, np.zeros((1, 1, 28, 28), np.float32))
    blocks = [i for i, name in enumerate(names(model)) if name == "residual"]
    shapes = [outputs[str(i)].shape[1:] for i in blocks]
    assert shapes == [(4, 14, 14), (6, 7, 7), (8, 4, 4)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("arch", CONVOLVING)
def test_the_activation_is_the_one_chosen(arch, activation):
    found = names(network(arch, activation=activation))
    assert ACTIVATIONS[activation][0]().spec["layer"] in found


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("arch", CONVOLVING)
def test_a_network_fits_a_small_batch(arch, loss):
    model = network(arch, dropout=0.0)
    _, params = model.init(KEY, (1, 28, 28))
    x = fn.random.normal(KEY, (20, 1, 28, 28))
    labels = np.arange(20) % 10
    optimizer = fn.adam(1e-2)
    step = fn.make_train_step(model.apply, loss_of(loss, binary=False), optimizer)
    state = fn.TrainState.create(params, optimizer)
    losses = []
    for _ in range(40):
        state, metrics = step(state, (x, labels))
        losses.append(metrics["loss"])
    assert losses[-1] < 0.2 * losses[0]


def test_the_squared_error_of_labels_is_half_that_of_one_hot_rows_by_hand():
    outputs = np.array([[0.5, 1.0, -1.0], [2.0, 0.0, 0.25]], np.float32)
    value, vjp = loss_of("squared-error", binary=False)(outputs, np.array([1, 0], np.uint8))
    assert value == ((0.25 + 0 + 1) / 2 + (1 + 0 + 0.0625) / 2) / 2
    doutputs = vjp()
    assert doutputs.dtype == np.float32
    np.testing.assert_array_equal(doutputs, [[0.25, 0, -0.5], [0.5, 0, 0.125]])


def test_the_squared_error_of_points_is_that_of_the_probability_by_hand():
    loss = loss_of("squared-error", binary=True)
    value, vjp = loss(np.array([[0.5], [0.25]]), np.array([[1], [0]]))
    assert value == (0.25 + 0.0625) / 2
    np.testing.assert_array_equal(vjp(), [[-0.5], [0.25]])


@pytest.mark.parametrize("arch", ["mlp2", "cnn3", "points"])
def test_the_gradient_of_the_squared_error_is_proven_too(arch):
    config = RunConfig.resolve({"arch": arch, "loss": "squared-error"})
    assert check_model(Target.of(config)).worst.error <= TOLERANCE


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({"arch": "cnn3", "kernel_size": 9}, "--channels 16x32 --kernel-size 9"),
        ({"arch": "mlp3"}, "--hidden 256x128"),
    ],
)
def test_a_network_that_does_not_fit_in_memory_is_one_input_error_with_its_sizes(settings, given):
    said = f"^{given}: the network does not fit in memory$"
    with pytest.raises(InputError, match=said), network_that_fits(RunConfig.resolve(settings)):
        raise MemoryError


def test_images_too_small_are_one_input_error_with_the_layer():
    config = RunConfig.resolve({"arch": "lenet5"})
    said = r"--arch lenet5 .*layer 3 \(Conv\): a kernel of 5x5"
    with pytest.raises(InputError, match=said), network_that_fits(config):
        build_network(config, (1, 8, 8), 10).init(KEY, (1, 8, 8))
