"""A recorded model in evaluation."""

import numpy as np
import pytest
from cases import LAYERS
from helpers import normal_batch
from library.compiled.compiled_steps import read_only

import funcnn as fn
from funcnn.compiled import recordings
from funcnn.compiled.proof import same_bits

CASES = [
    pytest.param(layer, shape, id=f"{name}-{i}")
    for name, cases in LAYERS.items()
    for i, (layer, shape) in enumerate(cases)
    if name not in ("elementwise", "shape_dependent")
]


def is_of_ours(layer):
    return fn.compile_apply(layer.apply).why is None


@pytest.mark.parametrize(("layer", "shape"), CASES)
@pytest.mark.parametrize("rows", [1, 4])
def test_every_layer(layer, shape, rows):
    _, params = layer.init(fn.random.key(0), shape)
    apply = fn.compile_apply(layer.apply)
    for key in fn.random.split(fn.random.key(1), 5):
        x = read_only(normal_batch(key, shape, rows))
        y, vjp = apply(params, x, wrt=None)
        assert vjp is None
        assert same_bits(y, layer.apply(params, x, wrt=None)[0])
        assert apply.why is None or not is_of_ours(layer)


MODEL = fn.serial(fn.Dense(300), fn.Relu(), fn.Dropout(), fn.Dense(3))


def params_of(model=MODEL, shape=(400,)):
    return model.init(fn.random.key(0), shape)[1]


def test_predict_and_evaluate_in_batches_with_a_smaller_last_one():
    params, apply = params_of(), fn.compile_apply(MODEL.apply)
    x, y = np.random.default_rng(0).random((50, 400), np.float32), np.arange(50) % 3
    for _ in range(3):
        for size in (7, 50):
            given, expected = (
                fn.predict(f, params, x, batch_size=size) for f in (apply, MODEL.apply)
            )
            assert same_bits(given, expected)
            given, expected = (
                fn.evaluate(f, fn.softmax_cross_entropy, params, (x, y), batch_size=size)
                for f in (apply, MODEL.apply)
            )
            assert given == expected
    assert apply.why is None


def test_params_count_as_they_are():
    """Changed in place, exchanged, of another model: what comes is what the plain apply gives."""
    params, apply = params_of(), fn.compile_apply(MODEL.apply)
    x = np.random.default_rng(0).random((2, 400), np.float32)

    def check():
        assert same_bits(apply(params, x, wrt=None)[0], MODEL.apply(params, x, wrt=None)[0])

    for _ in range(2):
        check()
        params[0]["weight"][0] += 1
        check()
        params[3]["bias"] = params[3]["bias"] + 1
        check()
        params[3] = dict(params[3])
        check()
        params[0]["bias"][:3] = 5
    params = params_of()
    check()
    assert apply.why is None


def test_outputs_that_are_held_stay_as_they_were():
    params, apply = params_of(), fn.compile_apply(MODEL.apply)
    inputs = np.random.default_rng(0).random((9, 2, 400), np.float32)
    held = [apply(params, x, wrt=None)[0] for x in inputs]
    assert same_bits(held, [MODEL.apply(params, x, wrt=None)[0] for x in inputs])


def test_all_but_evaluation_without_a_vjp_is_the_plain_apply():
    params, apply = params_of(), fn.compile_apply(MODEL.apply)
    x, key = np.ones((2, 400), np.float32), fn.random.key(1)
    for keywords in ({}, {"wrt": "x"}, {"rng": key, "train": True, "wrt": "params"}):
        (y, vjp), (same, same_vjp) = (f(params, x, **keywords) for f in (apply, MODEL.apply))
        assert same_bits(y, same)
        assert same_bits(vjp(y), same_vjp(y))
    state = fn.TrainState.create(params, fn.sgd(0.1), key)
    batch = x, np.array([0, 1])
    steps = (
        fn.make_train_step(f, fn.softmax_cross_entropy, fn.sgd(0.1)) for f in (apply, MODEL.apply)
    )
    given, expected = (step(state, batch) for step in steps)
    assert same_bits(given, expected)


def test_errors_are_the_plain_ones():
    params, apply = params_of(), fn.compile_apply(MODEL.apply)
    apply(params, np.ones((2, 400), np.float32), wrt=None)
    for x in (np.ones((2, 4), np.float32), np.ones((2, 400)), [[1.0]]):
        errors = []
        for f in (apply, MODEL.apply):
            with pytest.raises((TypeError, ValueError)) as caught:
                f(params, x, wrt=None)
            errors.append((caught.type, str(caught.value)))
        assert errors[0] == errors[1]
    with pytest.raises(TypeError, match="apply"):
        fn.compile_apply(MODEL)


def test_a_layer_of_ones_own_runs_plain():
    own = fn.elementwise(lambda x: (x + len(calls), lambda dy: dy))
    calls = []
    apply = fn.compile_apply(fn.serial(fn.Dense(2), own).apply)
    assert "own" in apply.why
    params = [{"weight": np.ones((1, 2)), "bias": np.zeros(2)}, {}]
    first, _ = apply(params, np.ones((1, 1)), wrt=None)
    calls.append(1)
    assert same_bits(apply(params, np.ones((1, 1)), wrt=None)[0], first + 1)


def test_images_in_shards():
    model = fn.serial(fn.Conv(16, 5), fn.Relu(), fn.MaxPool(2), fn.Flatten(), fn.Dense(10))
    params, apply = params_of(model, (3, 28, 28)), fn.compile_apply(model.apply)
    x = np.random.default_rng(0).random((150, 3, 28, 28), np.float32)
    expected = fn.predict(model.apply, params, x)
    for threads in (1, 2, 4):
        with fn.threads.use_threads(threads):
            for _ in range(3):
                assert same_bits(fn.predict(apply, params, x), expected)
    assert apply.why is None


def test_what_the_model_lets_overflow_may_overflow_in_a_replay():
    apply = fn.compile_apply(fn.Softmax().apply)
    x = np.array([[-3e38, 3e38]], np.float32)
    for _ in range(3):
        assert same_bits(apply({}, x, wrt=None)[0], fn.Softmax().apply({}, x, wrt=None)[0])
        assert apply.why is None


def test_small_inputs_stay_where_they_are_and_those_of_a_step_come_together():
    model = fn.serial(fn.Dense(4), fn.Relu(), fn.Dense(2))
    _, params = model.init(fn.random.key(0), (3,))
    apply, x = fn.compile_apply(model.apply), np.ones((5, 3), np.float32)
    optimizer = fn.sgd(0.1, momentum=0.9)
    step = fn.make_train_step(model.apply, fn.mean_squared_error, optimizer, compile=True)
    state = fn.TrainState.create(params, optimizer)
    for _ in range(3):
        apply(params, x, wrt=None)
        state, _ = step(state, (x, np.ones((5, 2), np.float32)))
    of_apply, of_step = (
        next(iter(function._recordings._kinds.values())).programs[0] for function in (apply, step)
    )
    assert "= leaf" not in of_apply.source.replace("= leaves", "")
    assert not of_apply.carries
    assert of_step.carries
    assert "= block" in of_step.source


def test_arguments_like_the_last_are_recognized_whatever_came_before(monkeypatch):
    asked = []
    signature_of = recordings.signature_of
    monkeypatch.setattr(
        recordings, "signature_of", lambda arguments: asked.append(1) or signature_of(arguments)
    )
    model = fn.serial(fn.Dense(4), fn.Relu(), fn.Dense(2))
    _, params = model.init(fn.random.key(0), (3,))
    apply = fn.compile_apply(model.apply)
    for rows in (5, 1, 5, 1):
        x = np.ones((rows, 3), np.float32)
        for _ in range(3):
            apply(params, x, wrt=None)
        asked.clear()
        apply(params, x, wrt=None)
        assert asked == []
