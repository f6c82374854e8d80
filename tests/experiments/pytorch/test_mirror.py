"""The mirror: every layer and architecture in torch, with the same numbers."""

import inspect

import numpy as np
import pytest
from cases import LAYERS
from helpers import normal_batch, spy
from mirrored import KEY, assert_mirrored, torch

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.pytorch import modules
from funcnn.experiments.pytorch.mirror import (
    definition,
    load_params,
    mirror,
    set_rng,
)
from funcnn.experiments.pytorch.parts import part_of, source
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig

NOT_IN_TORCH = {  # nn.Flatten and nn.Unflatten need an axis beside the batch's
    ("Flatten", ()),
    ("Reshape", (1,)),
}
ROWS = [
    pytest.param(layer, shape, id=f"{name} {index} of {shape}")
    for name, rows in LAYERS.items()
    for index, (layer, shape) in enumerate(rows)
    if layer.spec is not None and (name, shape) not in NOT_IN_TORCH
]
same_is_slow = pytest.mark.filterwarnings("ignore:Using padding='same'")


@same_is_slow
@pytest.mark.parametrize(("layer", "shape"), ROWS)
def test_every_layer_is_mirrored(layer, shape):
    assert_mirrored(layer, shape)


@pytest.mark.parametrize(("name", "shape"), sorted(NOT_IN_TORCH))
def test_what_torch_cannot_say_is_an_error_that_names_it(name, shape):
    layer = {"Flatten": fn.Flatten(), "Reshape": fn.Reshape(())}[name]
    with pytest.raises(InputError, match=f"layer 0 .{name}.: torch has no such module"):
        part_of(fn.serial(layer), shape)


def build(arch, **changes):
    binary = ARCHITECTURES[arch].binary
    config = RunConfig.resolve({"arch": arch, "dropout": 0.25} | changes)
    shape, classes = ((2,), 2) if binary else ((1, 28, 28), 10)
    return build_network(config, shape, classes), shape


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_is_mirrored_with_its_dropout(arch):
    assert_mirrored(*build(arch))


def test_without_a_key_dropout_is_torchs():
    layer = fn.serial(fn.Dropout(0.5))
    module = mirror(layer, (1000,))
    set_rng(module, layer, KEY)
    set_rng(module, layer, None)
    x = torch.ones(4, 1000)
    assert not torch.equal(module(x), module(x))
    assert 0.4 < float((module(x) == 0).float().mean()) < 0.6


@pytest.mark.parametrize(
    "layer", [fn.elementwise(fn.activations.relu), spy(fn.Relu(), []), fn.shape_dependent(fn.Dense)]
)
def test_a_layer_without_a_spec_is_named_with_its_place(layer):
    model = fn.serial(fn.Dense(3), fn.residual(fn.serial(fn.Tanh(), layer)))
    with pytest.raises(InputError, match=r"layer 1/0/1 \(\w+\) has no spec"):
        part_of(model, (3,))
    with pytest.raises(InputError, match=r"the model \(\w+\) has no spec"):
        part_of(layer, (3,))


def test_params_of_another_model_are_refused():
    module = mirror(fn.Dense(3), (4,))
    _, params = fn.Dense(2).init(KEY, (4,))
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_params(module, fn.Dense(2), params)


# --- source ----------------------------------------------------------------------------------


@same_is_slow
@pytest.mark.parametrize(("layer", "shape"), ROWS)
def test_the_definition_runs_without_funcnn_and_gives_the_same(layer, shape):
    text = definition(layer, shape)
    assert "funcnn" not in text
    space = {}
    exec(text, space)
    module = mirror(layer, shape).eval()
    assert not space["model"].load_state_dict(module.state_dict(), strict=True).missing_keys
    x = normal_batch(KEY, shape, batch=3)
    x_torch = fn.tree.map(lambda a: torch.tensor(a), x)
    fn.tree.map(
        lambda a, b: np.testing.assert_array_equal(a.detach(), b.detach()),
        module(x_torch),
        space["model"].eval()(x_torch),
    )


def test_the_source_of_a_serial_model_is_a_plain_sequential():
    model = fn.serial(fn.Conv(8, 3, padding="same"), fn.Relu(), fn.MaxPool(2), fn.Flatten())
    model = fn.serial(model, fn.Dense(10, bias=False))
    assert source(part_of(model, (1, 28, 28))) == (
        "nn.Sequential(\n"
        "    nn.Sequential(\n"
        "        nn.Conv2d(1, 8, 3, padding='same'),\n"
        "        nn.ReLU(),\n"
        "        nn.MaxPool2d(2),\n"
        "        nn.Flatten(),\n"
        "    ),\n"
        "    nn.Linear(1568, 10, bias=False),\n"
        ")"
    )


def test_the_source_of_a_pool_says_what_is_not_torchs_default():
    model = fn.serial(
        fn.MaxPool(3, 2, dilation=(1, 2), ceil_mode=True),
        fn.AvgPool(2, count_include_pad=False, ceil_mode=True),
        fn.MaxPool(1),
    )
    assert source(part_of(model, (1, 28, 28))) == (
        "nn.Sequential(\n"
        "    nn.MaxPool2d(3, stride=2, dilation=(1, 2), ceil_mode=True),\n"
        "    nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),\n"
        "    nn.MaxPool2d(1),\n"
        ")"
    )


def test_every_own_module_stands_by_itself():
    for name, kind in inspect.getmembers(modules, inspect.isclass):
        if kind.__module__ == modules.__name__:
            space = {}
            exec("from typing import Any\nimport torch\nfrom torch import nn", space)
            exec(inspect.getsource(kind), space)
            assert space[name].__doc__
