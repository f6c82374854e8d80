"""What PyTorch, Keras and JAX call things: each message says what to write here, and it exists."""

import inspect
import re
import types
from collections import OrderedDict
from pathlib import Path

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
    ("RandomHorizontalFlip", "fn.augmentations.flip()"),
    ("RandomCrop", "fn.augmentations.shift(most)"),
    ("RandomErasing", "fn.augmentations.erase()"),
    ("transforms", "fn.augmentations.chain(*augmentations)"),
    ("mixup", "fn.augmentations.mixup"),
    ("augmentations.Compose", "fn.augmentations.chain(*augmentations)"),
    ("augmentations.cutmix", None),
    ("clip_grad_norm_", "fn.clip_by_global_norm(max_norm)"),
    ("PRNGKey", "fn.random.key(seed)"),
    ("fuse_conv_bn_eval", "fn.fold_batch_norm(model, params)"),
    ("LRFinder", "fn.range_test(apply, loss, optimizer, params, batches)"),
    ("hflip", "fn.views.mirrored(x)"),
    ("no_grad", "apply(params, x, wrt=None)"),
    ("multi_transform", "fn.partition(optimizers, labels)"),
    ("set_to_zero", "fn.freeze(mask)"),
    ("softmax_cross_entropy_with_integer_labels", "fn.softmax_cross_entropy"),
    ("sigmoid_binary_cross_entropy", "fn.binary_cross_entropy_with_logits"),
    ("tree_map", "fn.tree.map"),
    ("jit", "the function as it is: nothing is compiled"),
    ("vmap", "fn.per_example_grads(apply, loss); apply itself takes batches"),
    ("vjp", "apply(params, x), which gives (y, vjp)"),
    ("cosine_decay_schedule", "fn.schedules.cosine_decay"),
    ("global_norm", "np.linalg.norm(fn.tree.ravel(tree)[0])"),
    ("he_normal", "fn.initializers.he_normal"),
    ("random.PRNGKey", "fn.random.key(seed)"),
    ("tree.tree_map", "fn.tree.map"),
    ("schedules.join_schedules", "fn.schedules.join(schedules, boundaries)"),
    ("schedules.constant_schedule", "fn.schedules.constant"),
    ("initializers.kaiming_normal", "fn.initializers.he_normal()"),
    ("initializers.constant_init", None),
    ("activations.swish", "fn.Silu()"),
    ("activations.Relu", "fn.activations.relu"),
    ("threads.pool", None),
]


@pytest.mark.parametrize(("name", "ours"), NAMES)
def test_another_library_s_name_is_answered_with_ours(name, ours):
    room, _, short = name.rpartition(".")
    module = getattr(fn, room) if room else fn
    with pytest.raises(AttributeError) as caught:
        getattr(module, short)
    if ours:
        assert str(caught.value) == f"{module.__name__} has no {short}: write {ours}"
    else:
        assert str(caught.value) == f"module {module.__name__!r} has no attribute {short!r}"
        assert caught.value.obj is module


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


# --- what is no layer, no array, no apply of ours -----------------------------------------------

MODEL = fn.serial(fn.Dense(2), fn.Dropout(0.5))
_, PARAMS = MODEL.init(KEY, (3,))


class ArrayImpl:
    """As an array of jax's, which NumPy can read."""

    ndim, shape, dtype = 2, X.shape, X.dtype

    def __array__(self, dtype=None, copy=None):
        return X


class Tracer:
    """As what jax's transformations put in the place of an array."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("it is traced")


class JitTracer(Tracer):
    pass


NO_JAX = "jax's transformations do not see NumPy, write fn.value_and_grad(apply, loss)"
BY_NAME = "apply(params, x, ...) takes the rest by name, rng=key or train=True"
NOT_A_LAYER = [
    (lambda: fn.serial(fn.activations.relu), ": write fn.Relu()"),
    (lambda: fn.serial(fn.activations.log_softmax), ": write fn.LogSoftmax()"),
    (lambda: fn.serial(np.tanh), ": write fn.Tanh()"),
    (
        lambda: fn.serial(lambda x: x),
        ": fn.elementwise(f) makes a layer of f(x) -> (y, vjp); a constructor is called",
    ),
    (lambda: fn.serial(fn.Dense), ": call the constructor, Dense(...)"),
    (lambda: fn.serial(fn.residual), ": call the constructor, residual(...)"),
    (
        lambda: fn.inner_outputs(MODEL.apply, PARAMS, X),
        ": give the model itself, not its apply",
    ),
    (
        lambda: fn.elementwise(np.tanh).apply({}, X),
        "elementwise takes a function(x) -> (y, vjp), as fn.activations.tanh: got a ndarray",
    ),
    (lambda: MODEL.apply(PARAMS, ArrayImpl()), "got a ArrayImpl: np.asarray(x)"),
    (
        lambda: fn.mean_squared_error(ArrayImpl(), X),
        "mean_squared_error takes an array of floats, got a ArrayImpl: np.asarray(x)",
    ),
    (lambda: MODEL.apply(PARAMS, None), "x is an array, or a tuple of arrays, got a NoneType"),
    (lambda: fn.Relu().apply({}, None), "takes an array of floats, got a NoneType"),
    (lambda: fn.Conv(1, 1).apply({}, ArrayImpl()), "x is an array, got a ArrayImpl: np.asarray(x)"),
    (lambda: MODEL.apply(PARAMS, JitTracer()), f"got a JitTracer: {NO_JAX}"),
    (lambda: fn.predict(MODEL.apply, PARAMS, JitTracer()), f"JitTracer, no array: {NO_JAX}"),
    (
        lambda: fn.Dense(1).apply({"weight": ArrayImpl()}, X),
        "params have a ArrayImpl as 'weight', which is no array: fn.tree.map(np.asarray, params)",
    ),
    (lambda: fn.Dense(1).apply({"weight": JitTracer()}, X), f"no array: {NO_JAX}"),
    (
        lambda: fn.adam(0.1).init([OrderedDict(weight=X)]),
        "params is a OrderedDict, no array: a tree is of dicts, lists and tuples",
    ),
    (
        lambda: fn.serial(
            fn.Layer(lambda rng, shape: (shape, OrderedDict(w=X)), fn.Relu().apply)
        ).init(KEY, (3,)),
        "is a OrderedDict, no array: a tree is of dicts, lists and tuples",
    ),
    (lambda: MODEL.apply(PARAMS, X, key=KEY), f"{BY_NAME}, and has no argument 'key'"),
    (
        lambda: fn.Dropout(0.5).apply({}, X, deterministic=True),
        f"{BY_NAME}, and has no argument 'deterministic'",
    ),
    (
        lambda: fn.mean_squared_error(MODEL.apply(PARAMS, X), X),
        "got a tuple: y, vjp = apply(params, x)",
    ),
]


STEP = fn.make_train_step(MODEL.apply, fn.mean_squared_error, fn.sgd(0.1))
STATE = fn.TrainState.create(PARAMS, fn.sgd(0.1), KEY)
GRADIENT = fn.value_and_grad(MODEL.apply, fn.mean_squared_error)


def update_of_lbfgs(grads, state, params, *, value):
    return grads, state


NOT_A_LAYER += [
    (
        lambda: GRADIENT(PARAMS, X, X, KEY),
        f"by name, rng=key or train=True, got {KEY!r}",
    ),
    (lambda: GRADIENT(PARAMS, X, X, wrt="x"), "True, and has no argument 'wrt'"),
    (
        lambda: fn.value_and_grad(MODEL.apply, fn.hinge, has_aux=True),
        "fn.value_and_grad has no argument 'has_aux': it gives ((value, aux), grads) always",
    ),
    (lambda: STEP(STATE, X, X), "step(state, (x, y)) takes one pair, got 2 arguments"),
    (
        lambda: STEP(STATE, {"image": X, "label": X}),
        "batch is a pair (x, y) of inputs and targets, got a dict",
    ),
    (lambda: STEP(STATE, X), "batch is a pair (x, y) of inputs and targets, got a ndarray"),
    (
        lambda: fn.batches(X, X, 2),
        "it is fn.batches(data, batch_size, *, rng=None, augment=None, preprocess=None, "
        "drop_last=False); data is a pair (x, y)",
    ),
    (
        lambda: fn.batches((X, X), 2, shuffle=True),
        "fn.batches has no argument 'shuffle': "
        "write rng=fn.random.key(0), and each pass is shuffled",
    ),
    (lambda: fn.batches((X, X), 2, key=KEY), f"'key': write rng={KEY!r}"),
    (
        lambda: fn.schedules.cosine_decay(0.1, 100)(np.arange(5)),
        "a schedule takes one step, got an array: [schedule(step) for step in steps]",
    ),
    (
        lambda: fn.TrainState.create(PARAMS, (print, print)),
        f"({print!r}, {print!r}): fn.Optimizer(init, update)",
    ),
    (
        lambda: fn.chain(fn.Optimizer, fn.sgd(0.1)),
        "chain: argument 0 is not an Optimizer: <class 'funcnn.optimizers.base.Optimizer'>: "
        "write fn.sgd(0.1), for one",
    ),
    (
        lambda: fn.chain(types.SimpleNamespace(init=print, update=update_of_lbfgs)),
        "chain: argument 0: update gets grads, state and params alone, "
        "and this one's has missing a required argument: 'value'",
    ),
    (lambda: fn.save(PARAMS, "p.npz"), "the path is first: fn.save('p.npz', params)"),
    (lambda: fn.save(PARAMS, Path("p.npz")), "the path is first: fn.save('p.npz', params)"),
]


@pytest.mark.parametrize(("call", "message"), NOT_A_LAYER, ids=[text for _, text in NOT_A_LAYER])
def test_what_is_not_ours_is_answered_with_what_to_write(call, message):
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value).endswith(message)


def test_images_of_another_order_of_axes_are_told_of_ours():
    with pytest.raises(
        ValueError, match=r"padded to 28x1; images are \(channels, height, width\)$"
    ):
        fn.Conv(6, 3).init(KEY, (28, 28, 1))
    with pytest.raises(ValueError, match=r"padded to 2x2$"):
        fn.Conv(6, 3).init(KEY, (1, 2, 2))
    _, params = fn.Conv(6, 1).init(KEY, (32, 1, 28, 28))
    with pytest.raises(ValueError, match=r"of 5 axes, .*; the shape for init has no batch axis$"):
        fn.Conv(6, 1).apply(params, np.ones((32, 1, 28, 28), np.float32))
