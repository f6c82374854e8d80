"""The settings of a run: defaults, checks, and the way through a file and back."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcnn as fn
from funcnn.experiments.data.datasets import SPLITS
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.architectures import ARCHITECTURES, LOSSES
from funcnn.experiments.tasks.build import build_network, build_optimizer
from funcnn.experiments.tasks.changes import changed, read_settings
from funcnn.experiments.tasks.config import CLASS_WEIGHTS, SETTINGS, RunConfig
from funcnn.experiments.tasks.networks import ACTIVATIONS, WEIGHT_INITS
from funcnn.experiments.tasks.optimizers import DECAYED, OPTIMIZERS, SCHEDULES
from funcnn.optimizers.transforms import learning_rates

FIELDS = set(SETTINGS)


def changed_file(path, options):
    """The settings of a config file with options, as `funcnn train --config` takes them."""
    return changed(read_settings(path), options, path)


LATER = {"weight_init": "auto", "loss": "cross-entropy", "split": "stratified", "test_curve": False}
LATER |= {"class_weights": "none", "drop_last": False, "patience": None}
LATER |= {"augment": "none", "average": 0.0, "decayed": "all"}
MLP3 = dataclasses.asdict(RunConfig.resolve({"arch": "mlp3"}))
CNN3 = dataclasses.asdict(RunConfig.resolve({"arch": "cnn3"}))


@pytest.mark.parametrize(
    ("arch", "hidden", "data", "val_size", "batch_size", "activation"),
    [
        ("softmax", (), "fashion-mnist", 10_000, 128, "relu"),
        ("mlp2", (128,), "fashion-mnist", 10_000, 128, "relu"),
        ("mlp3", (256, 128), "fashion-mnist", 10_000, 128, "relu"),
        ("cnn3", (), "fashion-mnist", 10_000, CNN3["batch_size"], "relu"),
        ("lenet5", (120, 84), "fashion-mnist", 10_000, CNN3["batch_size"], "relu"),
        ("points", (4, 4), "points-xor", 0, None, "sigmoid"),
    ],
)
def test_an_architectures_name_is_enough(arch, hidden, data, val_size, batch_size, activation):
    config = RunConfig.resolve({"arch": arch})
    assert config.hidden == hidden
    assert config.data == data
    assert config.val_size == val_size
    assert config.batch_size == batch_size
    assert config.activation == activation
    assert config.seed == 0


def test_what_is_given_wins_over_the_defaults():
    config = RunConfig.resolve({"arch": "mlp3", "hidden": (7,), "data": "mnist", "lr": 0.5})
    assert (config.hidden, config.data, config.lr) == ((7,), "mnist", 0.5)
    assert config.epochs == MLP3["epochs"]


@pytest.mark.parametrize(
    ("optimizer", "lr", "weight_decay"),
    [
        ("sgd", MLP3["lr"], MLP3["weight_decay"]),
        ("nesterov", MLP3["lr"], MLP3["weight_decay"]),
        ("classical-momentum", MLP3["lr"], MLP3["weight_decay"]),
        ("adam", 1e-3, 0),
        ("adamw", 1e-3, 1e-2),
        ("adagrad", 2e-2, 0),
        ("rmsprop", 1e-3, 0),
        ("adamax", 4e-3, 0),
        ("sm3", 2e-2, 0),
    ],
)
def test_an_optimizer_brings_the_defaults_that_suit_it(optimizer, lr, weight_decay):
    config = RunConfig.resolve({"arch": "mlp3", "optimizer": optimizer})
    assert (config.lr, config.weight_decay) == (lr, weight_decay)
    given_lr = RunConfig.resolve({"arch": "mlp3", "optimizer": optimizer, "lr": 0.3})
    assert (given_lr.lr, given_lr.weight_decay) == (0.3, weight_decay)


def test_an_activation_brings_the_learning_rate_that_suits_it():
    exp = {"arch": "mlp3", "activation": "exp"}
    assert RunConfig.resolve(exp).lr == 0.001
    assert RunConfig.resolve(exp | {"lr": 0.3}).lr == 0.3
    assert RunConfig.resolve(exp | {"activation": "gelu"}).lr == MLP3["lr"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_layers_begin_as_their_activation_asks(activation):
    variances = dict.fromkeys(ACTIVATIONS, 2 / (784 + 256))  # Glorot's
    he = ("relu", "prelu", "leaky-relu", "elu", "gelu", "silu")
    variances |= dict.fromkeys(he, 2 / 784) | {"selu": 1 / 784, "identity": 1e-4, "exp": 1e-4}
    config = RunConfig.resolve({"arch": "mlp3", "activation": activation})
    _, params = build_network(config, (1, 28, 28), 10).init(fn.random.key(0), (1, 28, 28))
    assert params[1]["weight"].var() == pytest.approx(variances[activation], rel=0.02)
    assert params[5]["weight"].var() == pytest.approx(2 / (128 + 10), rel=0.1)


VARIANCES = {  # by fan_in and fan_out
    "normal": lambda fan_in, fan_out: 1e-4,
    "glorot-uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he-normal": lambda fan_in, fan_out: 2 / fan_in,
    "lecun-normal": lambda fan_in, fan_out: 1 / fan_in,
}
LARGE = {"points": {"hidden": (80, 90)}, "points-conv": {"channels": (70,), "hidden": (80,)}}


@pytest.mark.parametrize("weight_init", VARIANCES)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_dense_and_conv_begins_as_chosen(arch, weight_init):
    values = {"arch": arch, "weight_init": weight_init} | LARGE.get(arch, {})
    shape, classes = ((2,), 2) if arch in LARGE else ((1, 28, 28), 10)
    model = build_network(RunConfig.resolve(values), shape, classes)
    _, params = model.init(fn.random.key(0), shape)
    weights = [leaf for leaf in fn.tree.leaves(params) if leaf.ndim > 1]
    for leaf in weights:
        kernel = math.prod(leaf.shape[2:])
        fans = leaf.shape if leaf.ndim == 2 else (leaf.shape[1] * kernel, leaf.shape[0] * kernel)
        expected = VARIANCES[weight_init](*fans)
        assert leaf.var() == pytest.approx(expected, rel=5 / math.sqrt(leaf.size))
    text = json.dumps(model.spec)
    name = json.dumps({"initializer": weight_init.replace("-", "_")})[:-1]
    assert text.count(f'"weight_init": {name}') == text.count('"weight_init"') == len(weights)


def test_every_weight_init_but_auto_has_a_variance():
    assert {"auto", *VARIANCES} == set(WEIGHT_INITS)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_activation_limits_the_learning_rate_of_every_optimizer(arch, optimizer):
    plain = RunConfig.resolve({"arch": arch, "optimizer": optimizer, "activation": "tanh"})
    for name in ACTIVATIONS:
        config = RunConfig.resolve({"arch": arch, "optimizer": optimizer, "activation": name})
        limited = name == "exp"  # with more, runs diverged
        assert config.lr == (min(0.001, plain.lr / 10) if limited else plain.lr)
        assert config.weight_decay == plain.weight_decay


@pytest.mark.parametrize(
    ("earlier", "options", "lr"),
    [
        ({}, {"activation": "exp"}, 0.001),
        ({"lr": 0.3}, {"activation": "exp"}, 0.001),
        ({}, {"activation": "exp", "lr": 0.3}, 0.3),
        ({}, {"activation": "exp", "optimizer": "sm3"}, 0.001),
        ({"optimizer": "sm3"}, {"activation": "exp"}, 0.001),
        ({"activation": "exp"}, {"activation": "relu"}, MLP3["lr"]),
        ({"activation": "exp", "lr": 1e-4}, {"activation": "relu"}, MLP3["lr"]),
        ({"activation": "exp", "optimizer": "sm3"}, {"activation": "relu"}, 2e-2),
        ({"activation": "exp"}, {"optimizer": "sm3"}, 0.001),
        ({"activation": "exp"}, {"optimizer": "adam"}, 1e-4),
        ({"activation": "exp", "lr": 1e-4}, {"activation": "exp"}, 1e-4),
        ({"activation": "exp", "lr": 1e-4}, {"seed": 1}, 1e-4),
        ({"lr": 0.3}, {"activation": "gelu"}, 0.3),
        ({"lr": 0.3}, {"optimizer": "adam"}, 1e-3),
    ],
)
@pytest.mark.parametrize("whole", [True, False], ids=["every setting", "a few settings"])
def test_a_changed_config_has_the_learning_rate_that_suits_what_changed(
    tmp_path, earlier, options, lr, whole
):
    values = {"arch": "mlp3"} | earlier
    text = RunConfig.resolve(values).to_json() if whole else json.dumps(values)
    (tmp_path / "config.json").write_text(text)
    assert RunConfig.resolve(changed_file(tmp_path / "config.json", options)).lr == lr


def test_an_option_that_says_what_the_config_leaves_to_the_default_changes_nothing(tmp_path):
    (tmp_path / "config.json").write_text('{"arch": "mlp3", "lr": 0.3, "momentum": 0.5}')
    options = {"optimizer": "sgd", "activation": "relu"}
    config = RunConfig.resolve(changed_file(tmp_path / "config.json", options))
    assert (config.lr, config.momentum) == (0.3, 0.5)


@pytest.mark.parametrize(
    ("earlier", "options", "smoothing"),
    [
        ({}, {"loss": "squared-error"}, 0),
        ({"label_smoothing": 0.2}, {"loss": "squared-error"}, 0),
        ({"label_smoothing": 0.2}, {"loss": "cross-entropy"}, 0.2),
        ({"loss": "squared-error"}, {"loss": "cross-entropy"}, MLP3["label_smoothing"]),
        ({"loss": "squared-error"}, {"seed": 1}, 0),
        ({"label_smoothing": 0.2}, {"loss": "squared-error", "optimizer": "adam"}, 0),
    ],
)
@pytest.mark.parametrize("whole", [True, False], ids=["every setting", "a few settings"])
def test_a_changed_config_has_the_label_smoothing_that_suits_its_loss(
    tmp_path, earlier, options, smoothing, whole
):
    values = {"arch": "mlp3"} | earlier
    text = RunConfig.resolve(values).to_json() if whole else json.dumps(values)
    (tmp_path / "config.json").write_text(text)
    changed = RunConfig.resolve(changed_file(tmp_path / "config.json", options))
    assert changed.label_smoothing == smoothing


def test_a_config_cannot_be_changed():
    with pytest.raises(AttributeError):
        RunConfig.resolve({"arch": "mlp3"}).lr = 1.0


rates = st.floats(0, 1, exclude_max=True)
settings: Any = st.fixed_dictionaries(
    {"arch": st.sampled_from([name for name in ARCHITECTURES if not ARCHITECTURES[name].binary])},
    optional={
        "hidden": st.lists(st.integers(1, 9)).map(tuple),
        "activation": st.sampled_from(sorted(ACTIVATIONS)),
        "weight_init": st.sampled_from(sorted(WEIGHT_INITS)),
        "data": st.sampled_from(["mnist", "a/folder", "données"]),
        "val_size": st.integers(0, 2**63 - 1),
        "split": st.sampled_from(SPLITS),
        "epochs": st.integers(1, 2**63 - 1),
        "batch_size": st.none() | st.integers(1, 2**63 - 1),
        "optimizer": st.sampled_from(sorted(set(OPTIMIZERS) - {"nesterov", "adagrad"})),
        "lr": st.floats(0, allow_infinity=False),
        "momentum": rates,
        "weight_decay": st.floats(0, allow_infinity=False),
        "schedule": st.sampled_from(sorted(SCHEDULES)),
        "loss": st.sampled_from(sorted(LOSSES)),
        "label_smoothing": rates,
        "dropout": rates,
        "decayed": st.sampled_from(sorted(DECAYED)),
        "average": rates,
        "augment": st.sampled_from(["none", "flip", "shift=2+affine=10:0.1", "elastic=8:4+erase"]),
        "seed": st.integers(0, 2**63 - 1),
        "class_weights": st.sampled_from(CLASS_WEIGHTS),
        "drop_last": st.booleans(),
        "patience": st.none() | st.integers(1, 2**63 - 1),
        "test_curve": st.booleans(),
    },
).filter(lambda given: given.get("loss") != "squared-error" or not given.get("label_smoothing"))


@given(given_settings=settings)
def test_a_config_file_holds_every_setting_and_resolves_to_the_same_config(given_settings):
    config = RunConfig.resolve(given_settings)
    values = json.loads(config.to_json())
    assert set(values) == FIELDS
    assert RunConfig.resolve(values) == config
    for name, value in given_settings.items():
        assert getattr(config, name) == value


@pytest.mark.parametrize(
    "arch", [name for name in ARCHITECTURES if name != "resnet9"]
)  # which came later
def test_a_config_file_from_before_a_setting_has_what_was_done_then(tmp_path, arch):
    config = RunConfig.resolve({"arch": arch})
    values = json.loads(config.to_json())
    for name, before in LATER.items():
        assert values.pop(name) == before
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert RunConfig.resolve(read_settings(tmp_path / "config.json")) == config


def test_a_config_file_is_read_back(tmp_path):
    config = RunConfig.resolve({"arch": "points", "data": "points-linear", "seed": 5})
    (tmp_path / "config.json").write_text(config.to_json())
    assert RunConfig.resolve(read_settings(tmp_path / "config.json")) == config


WRONG = [
    ("arch", ["mlp4", "", None, 3, ["mlp3"]]),
    ("backend", ["tensorflow", None, ["torch"]]),
    ("init", ["same", None, ["own"]]),
    ("activation", ["rleu", None, ["relu"]]),
    ("weight_init", ["he", None, ["normal"]]),
    ("optimizer", ["sdg", None, {}]),
    ("schedule", ["cosin", None, []]),
    ("data", ["", None, 7, ["mnist"], "points-xor"]),
    ("val_size", [-1, 2.0, "1", None, True, 2**63]),
    ("split", ["lsat", None, ["last"]]),
    ("epochs", [0, -3, 1.5, "many", None, True]),
    ("batch_size", [0, -1, 32.0, "all", False]),
    ("loss", ["hinge", None, ["squared-error"]]),
    ("seed", [-1, 0.0, "x", None, 2**63]),
    ("test_curve", [1, 0.0, "true", None]),
    ("class_weights", ["balance", None, ["none"], [1.0, 2.0]]),
    ("drop_last", [1, 0.0, "true", None]),
    ("patience", [0, -1, 2.0, "3", True, 2**63]),
    ("hidden", [(0,), (4, -1), (2.0,), (True,), ("4",), 128, "128", None, ((4,),)]),
    ("channels", [(0,), (16, -1), (2.0,), 16, "16x32", None, ()]),
    ("kernel_size", [0, -3, 2.5, "3", None, True]),
    ("lr", [math.nan, math.inf, -1, -1e-9, "0.1", None, True, 10**400]),
    ("weight_decay", [math.nan, math.inf, -1e-9, "0", None]),
    ("momentum", [1, 1.5, -0.1, math.nan, "0.9", None, True]),
    ("dropout", [1, 2, -0.1, math.nan, None]),
    ("label_smoothing", [1, 2, -0.1, math.nan, None]),
    ("decayed", ["biases", None, ["all"]]),
    ("average", [1, 1.5, -0.1, math.nan, "0.9", None, True]),
    (
        "augment",
        ["", "flop", "flip+", "shift=1.5", "shift=a", "flip=2", "shift", None, 1, ["flip"]],
    ),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}={str(value)[:12]}-{type(value).__name__}")
        for name, values in WRONG
        for value in values
    ],
)
def test_a_wrong_value_is_one_input_error_that_names_option_and_value(name, value):
    arch = "cnn3" if name in ("channels", "kernel_size") else "mlp3"
    with pytest.raises(InputError) as caught:
        RunConfig.resolve({"arch": arch, name: value})
    said = str(caught.value)
    assert said.startswith(f"--{name.replace('_', '-')} ")
    assert ("x".join(map(repr, value)) if isinstance(value, tuple) else str(value)) in said
    assert "must be" in said or "for --arch" in said
    assert "\n" not in said


def test_every_setting_has_a_row_of_wrong_values():
    assert {name for name, _ in WRONG} == FIELDS


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"arch": "points", "data": "mnist"}, "--data mnist.* points-linear, points-xor"),
        (
            {"arch": "mlp2", "data": "points-xor"},
            "^--data points-xor: must be of images for --arch mlp2; points are for --arch points$",
        ),
        ({"arch": "points", "label_smoothing": 0.1}, "--label-smoothing 0.1"),
        ({"arch": "points", "augment": "flip"}, "^--augment flip: must be none for --arch points"),
        (
            {"arch": "mlp3", "loss": "squared-error", "label_smoothing": 0.1},
            "^--label-smoothing 0.1: must be 0 for --loss squared-error$",
        ),
        (
            {"arch": "mlp3", "backend": "torch", "weight_init": "he-normal"},
            "^--weight-init he-normal: needs --init shared for --backend torch",
        ),
        ({"arch": "mlp3", "channels": (8, 4)}, "--channels 8x4: .* left out for --arch mlp3"),
        ({"arch": "points", "kernel_size": 3}, "--kernel-size 3: .* left out for --arch points"),
        ({"arch": "mlp3", "optimizer": "nesterov", "momentum": 0.0}, "--momentum 0.0.* nesterov"),
        ({"arch": "mlp3", "optimizer": "adagrad", "momentum": 0.5}, "--momentum 0.5.* adagrad"),
    ],
)
def test_settings_that_do_not_go_together_are_an_input_error(values, said):
    with pytest.raises(InputError, match=said):
        RunConfig.resolve(values)


def test_an_unknown_setting_is_an_input_error_that_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown setting 'learning_rate'") as caught:
        RunConfig.resolve({"arch": "mlp3", "learning_rate": 0.1})
    for name in FIELDS:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a config file"),
        (b'{"arch": "mlp3"', "not a config file"),
        (b"\xff\xfe\x00", "not a config file"),
        (b"[1, 2]", "it holds a list"),
        (b"[" * 100_000, "not a config file"),
    ],
    ids=["empty", "cut short", "not text", "a list", "too deep"],
)
def test_a_damaged_config_file_is_an_input_error_that_names_it(tmp_path, content, said):
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_settings(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_config_file_that_cannot_be_read_is_an_input_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match="No such file") as caught:
        read_settings(tmp_path / "none.json")
    assert str(tmp_path / "none.json") in str(caught.value)
    with pytest.raises(InputError, match="Is a directory"):
        read_settings(tmp_path)


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("total_steps", [1, 2, 100])
def test_every_optimizer_is_built_with_every_schedule(optimizer, schedule, total_steps):
    config = RunConfig.resolve({"arch": "mlp2", "optimizer": optimizer, "schedule": schedule})
    built, params, rates = build_optimizer(config, total_steps), np.ones(2), []
    state = built.init(params)
    for _ in range(total_steps):
        updates, state = built.update(np.full(2, 0.1), state, params)
        params = fn.apply_updates(params, updates)
        rates.append(learning_rates(state)["learning_rate"])
    assert np.isfinite(params).all()
    assert rates == [SCHEDULES[schedule](config.lr, total_steps)(i) for i in range(total_steps)]
    assert all(0 <= value <= config.lr for value in rates)
    if total_steps == 100:
        assert max(rates) == pytest.approx(config.lr)


def test_schedules_end_where_they_should():
    ends = {}
    for schedule in SCHEDULES:
        rate = SCHEDULES[schedule](1.0, 100)
        ends[schedule] = rate(0), rate(99)
    assert ends["constant"] == (1.0, 1.0)
    assert ends["cosine"] == (1.0, pytest.approx((1 + math.cos(0.99 * math.pi)) / 2))
    assert ends["piecewise"] == (1.0, pytest.approx(0.01))
    assert ends["polynomial"] == (1.0, pytest.approx(0.01))
    assert ends["exponential"] == (1.0, pytest.approx(0.1**0.99))
    assert ends["inverse-time"] == (1.0, pytest.approx(1 / (1 + 0.99 * 9)))
    assert ends["one-cycle"] == (pytest.approx(0.04), pytest.approx(4e-6))
    assert ends["warmup-cosine"][0] == 0
    assert 0 < ends["warmup-cosine"][1] < 0.01
