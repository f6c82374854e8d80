"""What PyTorch, Keras and JAX call things: each message says what to write here, and it exists."""

import inspect
import re

import numpy as np
import pytest

import funcnn as fn
from funcnn import _elsewhere

KEY = fn.random.key(0)
X = np.ones((2, 3), np.float32)

NAMES = [
    ("Linear", "fn.Dense(out_features)"),
    ("Conv2d", "fn.Conv"),
    ("Conv2D", "fn.Conv"),
    ("ConvTranspose1d", "fn.ConvTranspose"),
    ("ReLU", "fn.Relu"),
    ("relu", "fn.Relu"),
    ("LeakyReLU", "fn.LeakyRelu"),
    ("SiLU", "fn.Silu"),
    ("BatchNorm2d", "fn.BatchNorm"),
    ("BatchNormalization", "fn.BatchNorm()"),
    ("MaxPool2d", "fn.MaxPool"),
    ("AdaptiveAvgPool2d", "fn.GlobalAvgPool()"),
    ("GlobalAveragePooling2D", "fn.GlobalAvgPool()"),
    ("Dropout2d", "fn.Dropout(rate, by_channel=True)"),
    ("Sequential", "fn.serial(*layers)"),
    ("CrossEntropyLoss", "fn.softmax_cross_entropy"),
    ("cross_entropy", "fn.softmax_cross_entropy"),
    ("MSELoss", "fn.mean_squared_error"),
    ("SGD", "fn.sgd"),
    ("AdamW", "fn.adamw"),
    ("DataLoader", "fn.batches(data, batch_size, rng=key)"),
    ("clip_grad_norm_", "fn.clip_by_global_norm(max_norm)"),
    ("PRNGKey", "fn.random.key(seed)"),
    ("no_grad", "apply(params, x, wrt=None)"),
]


@pytest.mark.parametrize(("name", "ours"), NAMES)
def test_another_library_s_name_is_answered_with_ours(name, ours):
    with pytest.raises(AttributeError) as caught:
        getattr(fn, name)
    assert str(caught.value) == f"funcnn has no {name}: write {ours}"


def test_any_other_name_is_python_s_own_error():
    with pytest.raises(
        AttributeError, match=r"^module 'funcnn' has no attribute 'Dens'$"
    ) as caught:
        fn.Dens  # noqa: B018
    assert caught.value.obj is fn  # from which Python says what was meant
    assert not hasattr(fn, "Linear")


@pytest.mark.parametrize("text", _elsewhere._NAMES.values())
def test_what_is_to_be_written_for_a_name_is_there(text):
    if text.startswith("apply("):
        return
    for path, arguments in re.findall(r"fn\.([\w.]+)(?:\(([^)]*)\))?", text):
        found = fn
        for part in path.split("."):
            found = getattr(found, part)
        known = [*inspect.signature(found).parameters]
        names = [argument.split("=")[0].strip("*") for argument in arguments.split(", ")]
        for position, name in enumerate(filter(None, names)):
            assert name in known
            assert "=" in arguments or known[position] == name


def test_a_name_that_is_answered_is_none_of_ours():
    assert not {name.replace("_", "").lower() for name in fn.__all__} & _elsewhere._NAMES.keys()


# --- arguments -------------------------------------------------------------------------------

ARGUMENTS = [
    (lambda: fn.sgd(lr=0.1), "fn.sgd has no argument 'lr': write learning_rate=0.1"),
    (lambda: fn.adam(lr=0.1), "fn.adam has no argument 'lr': write learning_rate=0.1"),
    (
        lambda: fn.adam(betas=(0.9, 0.99)),
        "fn.adam has no argument 'betas': write b1=..., b2=...",
    ),
    (
        lambda: fn.sgd(0.1, nesterov=True),
        "fn.sgd has no argument 'nesterov': write fn.nesterov(learning_rate, momentum)",
    ),
    (
        lambda: fn.adam(weight_decay=0.1),
        "fn.adam has no argument 'weight_decay': "
        "write fn.chain(fn.add_decayed_weights(weight_decay), optimizer)",
    ),
    (
        lambda: fn.sgd(0.1, 0.9, 0),
        "fn.sgd: too many positional arguments: it is fn.sgd(learning_rate, momentum=0.0)",
    ),
    (lambda: fn.Dropout(p=0.5), "fn.Dropout has no argument 'p': write rate=0.5"),
    (
        lambda: fn.Relu(inplace=True),
        "fn.Relu has no argument 'inplace': nothing is changed in place here",
    ),
    (lambda: fn.Dense(units=3), "fn.Dense has no argument 'units': write out_features=3"),
    (lambda: fn.Dense(features=3), "fn.Dense has no argument 'features': write out_features=3"),
    (
        lambda: fn.Dense(3, activation="relu"),
        "fn.Dense has no argument 'activation': "
        "put it after the layer, as one of its own: fn.Relu()",
    ),
    (
        lambda: fn.Conv(in_channels=1, out_channels=2, kernel_size=3),
        "fn.Conv has no argument 'in_channels': "
        "the size of the input is in init's shape: model.init(rng, input_shape)",
    ),
    (
        lambda: fn.Conv(2, 3, strides=(2, 2)),
        "fn.Conv has no argument 'strides': write stride=(2, 2)",
    ),
    (
        lambda: fn.Conv(features=2, kernel_size=3),
        "fn.Conv has no argument 'features': write out_channels=2",
    ),
    (
        lambda: fn.BatchNorm(32),
        "fn.BatchNorm: too many positional arguments: "
        "it is fn.BatchNorm(*, eps=1e-05, momentum=0.1, affine=True); "
        "the size of the input is in init's shape: model.init(rng, input_shape)",
    ),
    (
        lambda: fn.MaxPool(),
        "fn.MaxPool: missing a required argument: 'kernel_size': "
        "it is fn.MaxPool(kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False)",
    ),
    (
        lambda: fn.initializers.normal(std=0.1),
        "fn.initializers.normal has no argument 'std': write stddev=0.1",
    ),
    (
        lambda: fn.schedules.constant(),
        "fn.schedules.constant: missing a required argument: 'value': "
        "it is fn.schedules.constant(value)",
    ),
]


@pytest.mark.parametrize(("call", "message"), ARGUMENTS, ids=[text for _, text in ARGUMENTS])
def test_another_library_s_argument_is_answered_with_ours(call, message):
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == message


def test_what_arguments_are_renamed_to_is_there():
    made = [getattr(fn, name) for name in fn.__all__] + [*vars(fn.initializers).values()]
    known = {
        name
        for function in made
        if inspect.isfunction(function)
        for name in inspect.signature(function).parameters
    }
    assert {ours for names in _elsewhere._RENAMED.values() for ours in names} <= known


def test_a_key_by_position_is_answered_with_its_name():
    model = fn.serial(fn.Dense(2), fn.Dropout(0.5))
    _, params = model.init(KEY, (3,))
    with pytest.raises(TypeError, match=r"^apply\(params, x, \.\.\.\) takes .* rng=key"):
        model.apply(params, X, KEY)
    with pytest.raises(TypeError, match=r"rng=key.*, got Key\("):
        fn.Dropout(0.5).apply({}, X, KEY)


@pytest.mark.parametrize("word", ["SAME", "Same", "VALID"])
def test_the_padding_may_be_written_in_any_case(word):
    layer, plain = fn.Conv(2, 3, padding=word), fn.Conv(2, 3, padding=word.lower())
    assert layer.spec == plain.spec
    assert repr(layer) == repr(plain)
    assert layer.init(KEY, (1, 5, 5))[0] == plain.init(KEY, (1, 5, 5))[0]
    assert fn.Conv(2, 3, 1, word).spec == plain.spec
