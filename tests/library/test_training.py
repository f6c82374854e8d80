"""Training: gradients, pure steps, batches, passes over data, and a real run on real data."""

from functools import partial

import numpy as np
import pytest
from helpers import assert_same_bits, frozen, normal_batch, spy

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset

KEY = fn.random.key(0)


def centre(params, x, *, rng=None, train=False, wrt="both"):
    """y = (x - mean) w, with the batch's mean in training and a running one in evaluation."""
    mean = x.mean(0) if train else params["running_mean"]
    w = params["weight"]

    def vjp(dy):
        dx = dy * w
        if train:
            dx = dx - dx.mean(0)
        dw = (dy * (x - mean)).sum(0)
        return {"weight": dw, "running_mean": np.zeros_like(params["running_mean"])}, dx

    if train:
        running = 0.9 * params["running_mean"] + 0.1 * mean
        vjp.statistics = {"running_mean": running.astype(x.dtype)}
    return (x - mean) * w, vjp


CENTRE = fn.Layer(
    lambda rng, shape, dtype=np.float32: (
        shape,
        {"weight": np.full(shape, 0.5, dtype), "running_mean": np.full(shape, 4.0, dtype)},
    ),
    centre,
)


def small_model(*layers):
    return fn.serial(fn.Flatten(), fn.Dense(6), *layers, fn.Tanh(), fn.Dense(3))


def small_data(n=12):
    x = fn.random.normal(fn.random.key(5), (n, 2, 2))
    return x, (np.arange(n) % 3)


# --- value_and_grad --------------------------------------------------------------------------


def test_value_and_grad_is_the_loss_and_its_derivative():
    model = small_model()
    x, y = small_data()
    _, params = model.init(KEY, (2, 2), dtype=np.float64)
    gradient = fn.value_and_grad(model.apply, fn.softmax_cross_entropy)

    def function(params):
        (value, _), grads = gradient(params, x.astype(np.float64), y)
        return value, lambda dy: fn.tree.map(lambda g: g * dy, grads)

    assert fn.check_vjp(function, params).worst.error < 1e-6


def test_value_and_grad_gives_the_outputs_and_the_statistics():
    model = small_model(CENTRE)
    x, y = small_data()
    _, params = model.init(KEY, (2, 2))
    (value, aux), grads = fn.value_and_grad(model.apply, fn.softmax_cross_entropy)(params, x, y)
    outputs, vjp = model.apply(params, x, train=True)
    expected, loss_vjp = fn.softmax_cross_entropy(outputs, y)
    assert value == expected
    assert_same_bits(aux.outputs, outputs)
    assert_same_bits(aux.statistics[2], vjp.statistics[2])
    assert_same_bits(grads, vjp(loss_vjp())[0])


def test_value_and_grad_asks_only_for_the_params_and_passes_rng_and_train_on():
    seen = []
    model = fn.serial(spy(fn.Flatten(), seen), fn.Dense(3))
    _, params = model.init(KEY, (2, 2))
    gradient = fn.value_and_grad(model.apply, fn.softmax_cross_entropy)
    (_, aux), _ = gradient(params, *small_data())
    gradient(params, *small_data(), rng=KEY, train=False)
    assert [(call["wrt"], call["train"]) for call in seen] == [(None, True), (None, False)]
    assert [call["rng"] for call in seen] == [None, fn.random.fold_in(KEY, 0)]
    assert aux.statistics is None


def test_an_apply_without_wrt_can_be_differentiated():
    def apply(params, x, *, rng=None, train=False):
        return x * params, lambda dy: ((dy * x).sum(0), dy * params)

    gradient = fn.value_and_grad(apply, fn.mean_squared_error)
    (value, _), grads = gradient(np.array([2.0]), np.array([[1.0], [3.0]]), np.zeros((2, 1)))
    assert value == (4 + 36) / 2
    assert_same_bits(grads, [(2 * 2 * 1 + 2 * 6 * 3) / 2])


# --- the training step -----------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": fn.sgd(0.1),
    "momentum": fn.chain(fn.add_decayed_weights(0.1), fn.sgd(0.1, momentum=0.9)),
    "classical": fn.classical_momentum(0.1, weight_decay=0.1),
    "adamw": fn.adamw(0.1, weight_decay=0.1),
    "averaged": fn.chain(fn.nesterov(0.1), fn.average_params(0.9)),
    "flat rmsprop": fn.flatten(fn.rmsprop(0.1, momentum=0.5)),
    "sm3": fn.sm3(0.1),
    "partition": fn.partition(
        {"matrices": fn.adamw(0.1), "others": fn.sgd(0.1)},
        lambda params: fn.tree.map(lambda w: "matrices" if w.ndim > 1 else "others", params),
    ),
}


def start(model, optimizer, rng=KEY):
    _, params = model.init(KEY, (2, 2))
    return fn.TrainState.create(params, optimizer, rng=rng)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_pure(name):
    model = small_model(fn.Dropout(0.5), CENTRE)
    optimizer = OPTIMIZERS[name]
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state, _ = step(start(model, optimizer), small_data())
    state, batch = frozen((state, small_data()))
    before = fn.tree.map(np.copy, (state.params, batch))
    first, first_metrics = step(state, batch)
    step(first, batch)
    again, again_metrics = step(state, batch)
    assert first.rng == again.rng
    assert first_metrics == again_metrics
    assert_same_bits(first[:2], again[:2])
    assert_same_bits((state.params, batch), before)


def test_a_step_is_a_gradient_and_an_update():
    model, optimizer = small_model(), OPTIMIZERS["momentum"]
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state, (x, y) = start(model, optimizer, rng=None), small_data()
    (value, _), grads = fn.value_and_grad(model.apply, fn.softmax_cross_entropy)(state.params, x, y)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    new, metrics = step(state, (x, y))
    assert metrics == {"loss": value, "learning_rate": 0.1}
    assert_same_bits(new.params, fn.apply_updates(state.params, updates))
    assert_same_bits(new.opt_state, opt_state)
    assert new.rng is None


def test_metrics_are_of_the_batch_before_the_update():
    model, optimizer = small_model(), fn.sgd(0.5)
    metrics = {"accuracy": fn.accuracy, "largest": lambda outputs, y: float(outputs.max())}
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer, metrics)
    state, (x, y) = start(model, optimizer), small_data()
    outputs, _ = model.apply(state.params, x)
    _, measured = step(state, (x, y))
    assert measured == {
        "loss": fn.softmax_cross_entropy(outputs, y)[0],
        "accuracy": fn.accuracy(outputs, y),
        "largest": float(outputs.max()),
        "learning_rate": 0.5,
    }


def test_the_learning_rate_in_the_metrics_is_that_of_the_step():
    model, optimizer = small_model(), fn.adam(fn.schedules.cosine_decay(0.1, 4))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state, rates = start(model, optimizer), []
    for _ in range(5):
        state, metrics = step(state, small_data())
        rates.append(metrics["learning_rate"])
    assert rates == [fn.schedules.cosine_decay(0.1, 4)(i) for i in range(5)]


def test_an_optimizer_without_a_learning_rate_has_none_in_the_metrics():
    model, optimizer = small_model(), fn.chain(fn.trace(0.9), fn.scale(-0.1))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    assert set(step(start(model, optimizer), small_data())[1]) == {"loss"}


def test_the_rate_of_each_label_is_in_the_metrics():
    model = small_model()
    halving = fn.schedules.exponential_decay(0.2, 1, 0.5)
    optimizer = fn.chain(
        fn.clip_by_global_norm(1.0),
        fn.partition(
            {"body": fn.adam(1e-3), "head": fn.sgd(halving, momentum=0.9)}, [*["body"] * 3, "head"]
        ),
    )
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state, rates = start(model, optimizer), []
    for _ in range(3):
        state, metrics = step(state, small_data())
        rates.append(metrics["learning_rate/head"])
        assert metrics == {
            "loss": metrics["loss"],
            "learning_rate/body": 1e-3,
            "learning_rate/head": rates[-1],
        }
    assert rates == [0.2, 0.1, 0.05]


def test_a_metric_cannot_have_the_name_of_a_rate():
    for name in ("learning_rate", "learning_rate/head"):
        with pytest.raises(ValueError, match=f"a metric cannot be named '{name}'"):
            fn.make_train_step(
                fn.Dense(2).apply, fn.softmax_cross_entropy, fn.sgd(0.1), {name: fn.accuracy}
            )


def test_a_weight_for_each_example_goes_with_the_targets_through_batches_and_steps():
    model, optimizer = small_model(), fn.sgd(0.1)
    x, y = small_data()
    weights = np.arange(12.0)
    loss = fn.weighted(fn.softmax_cross_entropy)
    step = fn.make_train_step(model.apply, loss, optimizer)
    (batch,) = fn.batches((x, (y, weights)), 12, rng=KEY)
    state = start(model, optimizer)
    new, metrics = step(state, batch)
    outputs, _ = model.apply(state.params, x)
    expected, _ = fn.softmax_cross_entropy(outputs, y, weights=weights)
    assert metrics["loss"] == pytest.approx(expected, rel=1e-6)

    # Weights of 0 and 2 are a batch of the half of the examples.
    even = np.where(np.arange(12) % 2, 0, 2)
    half = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    ours, theirs = step(state, (x, (y, even))), half(state, (x[::2], y[::2]))
    assert fn.tree.all_close(ours[0].params, theirs[0].params, atol=1e-6)
    assert not fn.tree.all_close(new.params, theirs[0].params, atol=1e-6)


def test_each_step_splits_the_key():
    seen = []
    model = fn.serial(fn.Flatten(), spy(fn.Dropout(0.5), seen), fn.Dense(3))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, fn.sgd(0.1))
    first = start(model, fn.sgd(0.1))
    second, _ = step(first, small_data())
    third, _ = step(second, small_data())
    keys = [first.rng, second.rng, third.rng, *(call["rng"] for call in seen)]
    assert len(set(keys)) == 5


def test_dropout_without_a_key_in_the_state_is_an_error():
    model = fn.serial(fn.Flatten(), fn.Dropout(0.5), fn.Dense(3))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, fn.sgd(0.1))
    with pytest.raises(ValueError, match=r"Dropout\): .*a key: .* TrainState.create\(..., rng="):
        step(start(model, fn.sgd(0.1), rng=None), small_data())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_statistics_are_written_after_the_update_so_no_optimizer_touches_them(name):
    model, optimizer = fn.serial(fn.Flatten(), CENTRE, fn.Dense(3)), OPTIMIZERS[name]
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state, (x, y) = start(model, optimizer), small_data()
    expected = state.params[1]["running_mean"]
    weight = state.params[1]["weight"]
    for _ in range(3):
        state, _ = step(state, (x, y))
        expected = 0.9 * expected + 0.1 * x.reshape(len(x), -1).mean(0)
        np.testing.assert_allclose(state.params[1]["running_mean"], expected, rtol=1e-6)
    assert state.params[1]["running_mean"].dtype == np.float32
    assert (state.params[1]["weight"] != weight).all()


def test_statistics_of_a_nested_model_are_written_too():
    model = fn.serial(fn.Flatten(), fn.serial(fn.Dense(4), CENTRE), fn.Dense(3))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, fn.sgd(0.1))
    state = start(model, fn.sgd(0.1))
    inner, _ = fn.Dense(4).apply(state.params[1][0], small_data()[0].reshape(12, 4))
    new, _ = step(state, small_data())
    np.testing.assert_allclose(
        new.params[1][1]["running_mean"], 0.9 * 4.0 + 0.1 * inner.mean(0), rtol=1e-6
    )
    assert fn.tree.structure(new.params) == fn.tree.structure(state.params)


# --- batches ---------------------------------------------------------------------------------


def numbered(n):
    return np.arange(n) * 10, np.arange(n)


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (6, [6, 1]), (7, [7])]
)
def test_batches_go_through_all_of_the_data_with_a_smaller_last_one(batch_size, sizes):
    found = list(fn.batches(numbered(7), batch_size))
    assert [len(x) for x, _ in found] == sizes
    assert_same_bits(np.concatenate([x for x, _ in found]), numbered(7)[0])
    assert_same_bits(np.concatenate([y for _, y in found]), numbered(7)[1])


def test_batches_with_a_key_are_shuffled_and_keep_the_pairs():
    def order(seed):
        found = list(fn.batches(numbered(50), 8, rng=fn.random.key(seed)))
        assert [len(x) for x, _ in found] == [8] * 6 + [2]
        x, y = (np.concatenate(parts) for parts in zip(*found, strict=True))
        assert_same_bits(x, 10 * y)
        return y.tolist()

    assert order(0) == order(0) != order(1)
    assert sorted(order(0)) == list(range(50)) != order(0)


def test_preprocess_sees_each_batch_of_x_alone():
    seen = []

    def preprocess(x):
        seen.append(len(x))
        return x / np.float32(255)

    x = np.full((5, 2), 255, np.uint8)
    found = list(fn.batches((x, np.arange(5)), 2, preprocess=preprocess))
    assert seen == [2, 2, 1]
    assert all((x == 1).all() for x, _ in found)
    assert np.concatenate([y for _, y in found]).tolist() == [0, 1, 2, 3, 4]


def test_targets_may_be_a_tuple_of_arrays():
    x, y = numbered(7)
    found = list(fn.batches((x, (y, y * 2, np.stack([y, y], 1))), 3, rng=KEY))
    assert [len(inputs) for inputs, _ in found] == [3, 3, 1]
    for inputs, targets in found:
        assert type(targets) is tuple
        assert_same_bits(targets[0] * 10, inputs)
        assert_same_bits(targets[1], 2 * targets[0])
        assert_same_bits(targets[2], np.stack([targets[0]] * 2, 1))
    assert sorted(np.concatenate([y for _, (y, _, _) in found])) == list(range(7))


def test_a_batch_size_that_is_no_integer_is_named():
    with pytest.raises(TypeError, match=r"^batch_size is an integer, got 8\.0$"):
        fn.batches(numbered(7), 8.0)


def test_no_metric_takes_the_place_of_the_loss():
    model = fn.Dense(2)
    _, params = model.init(fn.random.key(0), (3,))
    data = np.ones((4, 3), np.float32), np.zeros(4, int)
    with pytest.raises(ValueError, match="a metric cannot be named 'loss'"):
        fn.evaluate(
            model.apply, fn.softmax_cross_entropy, params, data, metrics={"loss": fn.accuracy}
        )


@pytest.mark.parametrize("batch_size", [0, -1, 8])
def test_a_batch_size_out_of_range_is_refused_at_once(batch_size):
    with pytest.raises(ValueError, match=f"from 1 to the 7 examples, got {batch_size}"):
        fn.batches(numbered(7), batch_size)  # nothing is drawn from it


def test_inputs_and_targets_of_different_lengths_are_refused_at_once():
    with pytest.raises(ValueError, match="5 inputs but 4 targets"):
        fn.batches((np.ones(5), np.ones(4)), 2)
    with pytest.raises(ValueError, match=r"different lengths, \[4, 5\]"):
        fn.batches((np.ones(5), (np.ones(5), np.ones(4))), 2)


def orders(loader, passes):
    return [np.concatenate([y for _, y in loader]).tolist() for _ in range(passes)]


def test_batches_can_be_gone_through_again_each_time_in_another_order():
    loader = fn.batches(numbered(50), 8, rng=KEY)
    found = orders(loader, 3)
    assert found[0] == fn.random.permutation(KEY, 50).tolist()  # the order of a single pass
    for i in (1, 2):
        assert found[i] == fn.random.permutation(fn.random.fold_in(KEY, i), 50).tolist()
    assert len({tuple(order) for order in found}) == 3
    assert orders(fn.batches(numbered(50), 8), 2) == [list(range(50))] * 2


def test_passes_at_once_are_independent():
    loader = fn.batches(numbered(50), 8, rng=KEY)
    first, second = iter(loader), iter(loader)
    pairs = list(zip(first, second, strict=True))
    found = [np.concatenate([pair[i][1] for pair in pairs]).tolist() for i in range(2)]
    assert found == orders(fn.batches(numbered(50), 8, rng=KEY), 2)


@pytest.mark.parametrize(
    ("batch_size", "drop_last", "sizes"),
    [(3, False, [3, 3, 1]), (3, True, [3, 3]), (7, True, [7]), (4, True, [4])],
)
def test_the_length_is_the_number_of_batches(batch_size, drop_last, sizes):
    loader = fn.batches(numbered(7), batch_size, drop_last=drop_last)
    assert len(loader) == len(sizes)
    assert [len(x) for x, _ in loader] == sizes


def test_next_draws_from_one_pass():
    loader = fn.batches(numbered(7), 4)
    assert [len(next(loader)[0]), len(next(loader)[0])] == [4, 3]
    with pytest.raises(StopIteration):
        next(loader)


def test_an_order_of_no_key_is_refused_at_once():
    with pytest.raises(TypeError, match="rng must be a key"):
        fn.batches(numbered(7), 2, rng=0)
    with pytest.raises(TypeError, match="drop_last is True or False, got 1"):
        fn.batches(numbered(7), 2, drop_last=1)


# --- running statistics in a loop of one's own -----------------------------------------------


def normalised(steps, write):
    """A net with BatchNorm, and its params after some steps of a loop of one's own."""
    model = fn.serial(fn.Dense(6), fn.BatchNorm(), fn.Relu(), fn.Dense(3))
    _, params = model.init(KEY, (4,))
    optimizer = fn.adam(0.01)
    gradient = fn.value_and_grad(model.apply, fn.softmax_cross_entropy)
    state = optimizer.init(params)
    x, y = fn.random.normal(KEY, (30, 4)) * 3 + 1, np.arange(30) % 3
    stepped = fn.TrainState.create(params, optimizer)
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    for _ in range(steps):
        (_, aux), grads = gradient(params, x, y)
        updates, state = optimizer.update(grads, state, params)
        params = fn.apply_updates(params, updates)
        if write:
            params = fn.write_statistics(params, aux.statistics)
        stepped, _ = step(stepped, (x, y))
    return model, params, (x, y), stepped.params


def test_a_loop_of_ones_own_that_writes_statistics_is_the_training_step():
    model, params, data, stepped = normalised(5, True)
    assert fn.tree.all_close(params, stepped, 0, 0)
    loss = fn.softmax_cross_entropy
    measured = fn.evaluate(model.apply, loss, params, data)
    assert measured == fn.evaluate(model.apply, loss, stepped, data)


def test_statistics_that_are_still_the_initial_ones_are_warned_of():
    model, params, data, _ = normalised(5, False)
    loss = fn.softmax_cross_entropy
    for call in (
        lambda: fn.evaluate(model.apply, loss, params, data),
        lambda: fn.predict(model.apply, params, data[0]),
    ):
        with pytest.warns(UserWarning, match=r"fn.write_statistics\(params, aux.stat") as found:
            call()
        assert [warning.filename for warning in found] == [__file__]


def test_statistics_that_do_not_fit_are_refused():
    params = [{}, {"running_mean": np.zeros(3)}]
    for statistics, message in (
        ([None], "no 1 entries"),
        ([None, {"mean": np.zeros(3)}], r"no entries \['mean'\]"),
        ([None, {"running_mean": np.zeros(4)}], r"of shape \(4,\) do not fit those of \(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            fn.write_statistics(params, statistics)
    assert fn.write_statistics(params, None) is params


# --- evaluate and predict --------------------------------------------------------------------


def evaluation(batch_size, n=23, **keywords):
    model = small_model(fn.Dropout(0.5), CENTRE)
    _, params = model.init(KEY, (2, 2), dtype=np.float64)
    x, y = small_data(n)
    data = x.astype(np.float64), y
    metrics = {"accuracy": fn.accuracy}
    found = fn.evaluate(
        model.apply, fn.softmax_cross_entropy, params, data, metrics=metrics,
        batch_size=batch_size, **keywords,
    )  # fmt: skip
    outputs = fn.predict(model.apply, params, data[0], batch_size=batch_size, **keywords)
    return found, outputs, (model, params, data)


@pytest.mark.parametrize("batch_size", [1, 5, 22, 23, 1000])
def test_the_batch_size_does_not_show_in_an_evaluation(batch_size):
    found, outputs, (model, params, (x, y)) = evaluation(batch_size)
    whole, _ = model.apply(params, x)
    assert found["loss"] == pytest.approx(fn.softmax_cross_entropy(whole, y)[0], rel=1e-12)
    assert found["accuracy"] == pytest.approx(fn.accuracy(whole, y), rel=1e-12)
    assert set(found) == {"loss", "accuracy"}
    np.testing.assert_allclose(outputs, whole, rtol=1e-12)


def test_the_last_smaller_batch_counts_by_its_examples():
    outputs = np.array([[1.0], [1.0], [1.0], [7.0]])

    def apply(params, x, *, rng=None, train=False, wrt="both"):
        return x, None

    found = fn.evaluate(apply, fn.mean_squared_error, {}, (outputs, np.zeros((4, 1))), batch_size=3)
    assert found == {"loss": (1 + 1 + 1 + 49) / 4}


def test_a_weighted_loss_is_evaluated_too():
    def apply(params, x, *, rng=None, train=False, wrt="both"):
        return x, None

    outputs, weights = np.array([[1.0], [2.0], [3.0]]), np.array([3, 0, 1])
    data = outputs, (np.zeros((3, 1)), weights)
    found = fn.evaluate(apply, fn.weighted(fn.mean_squared_error), {}, data)
    assert found == {"loss": (3 * 1 + 9) / 4}


def test_evaluation_is_in_evaluation_mode_and_keeps_nothing():
    seen = []
    model = fn.serial(fn.Flatten(), spy(fn.Dropout(0.5), seen), fn.Dense(3))
    _, params = model.init(KEY, (2, 2))
    data = small_data(5)
    fn.evaluate(model.apply, fn.softmax_cross_entropy, params, data, batch_size=3)
    fn.predict(model.apply, params, data[0], batch_size=3)
    assert len(seen) == 4
    assert {(call["wrt"], call["train"]) for call in seen} == {(None, False)}


def test_evaluation_preprocesses_each_batch():
    found, outputs, (model, params, (x, y)) = evaluation(5, preprocess=lambda x: 2 * x)
    whole, _ = model.apply(params, 2 * x)
    assert found["loss"] == pytest.approx(fn.softmax_cross_entropy(whole, y)[0], rel=1e-12)
    np.testing.assert_allclose(outputs, whole, rtol=1e-12)


def test_evaluation_changes_no_argument():
    model = small_model(CENTRE)
    _, params = model.init(KEY, (2, 2))
    params, data = frozen((params, small_data()))
    fn.evaluate(model.apply, fn.softmax_cross_entropy, params, data)
    fn.predict(model.apply, params, data[0])


def test_nothing_to_evaluate_or_to_predict_is_an_error_that_says_so():
    model = small_model()
    _, params = model.init(KEY, (2, 2))
    x, y = small_data(0)
    with pytest.raises(ValueError, match="there are no inputs"):
        fn.predict(model.apply, params, x)
    with pytest.raises(ValueError, match=r"there are no (inputs|examples)"):
        fn.evaluate(model.apply, fn.softmax_cross_entropy, params, (x, y))


@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_bad_batch_size_is_refused_in_evaluation_too(batch_size):
    with pytest.raises(ValueError, match=f"got {batch_size}"):
        evaluation(batch_size)


# --- on real data ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fashion():
    return load_dataset("fashion-mnist", val_size=10_000, seed=0)


def train(dataset, examples, epochs, *layers):
    """784-256-...-10 on the first examples of Fashion-MNIST, as bytes normalised by batch."""
    model = fn.serial(fn.Flatten(), fn.Dense(256), fn.Relu(), *layers, fn.Dense(10))
    _, params = model.init(fn.random.key(0), dataset.input_shape)
    optimizer = fn.chain(fn.add_decayed_weights(1e-4), fn.sgd(0.05, momentum=0.9))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer, rng=fn.random.key(1))
    data = tuple(array[:examples] for array in dataset.train)
    losses = []
    for epoch in range(epochs):
        order = fn.random.fold_in(fn.random.key(2), epoch)
        for batch in fn.batches(data, 256, rng=order, preprocess=dataset.normalization):
            state, metrics = step(state, batch)
            losses.append(metrics["loss"])
    return model, state, losses


def test_a_real_run_reaches_its_floor_of_accuracy(fashion):
    model, state, losses = train(fashion, 10_000, 4, fn.Dropout(0.2), fn.Dense(128), fn.Relu())
    found = fn.evaluate(
        model.apply, fn.softmax_cross_entropy, state.params, fashion.validation,
        metrics={"accuracy": fn.accuracy}, preprocess=fashion.normalization,
    )  # fmt: skip
    assert found["accuracy"] > 0.83
    assert found["loss"] < 0.5
    assert np.mean(losses[-10:]) < 0.3 * losses[0]


def test_a_run_has_the_same_bits_for_any_number_of_threads(fashion):
    results = []
    for threads in (1, 2):
        with fn.threads.use_threads(threads):
            model, state, losses = train(fashion, 1500, 2, fn.Dropout(0.2), fn.Dense(512))
            x = fashion.validation[0][:1000]
            outputs = fn.predict(model.apply, state.params, x, preprocess=fashion.normalization)
        results.append((state.params, state.opt_state, losses, outputs))
    assert_same_bits(*results)


def test_the_whole_script_of_the_design(fashion, tmp_path):
    images = fashion.normalization(fashion.train[0][:6000])
    labels = fashion.train[1][:6000]

    model = fn.serial(
        fn.Flatten(), fn.Dense(256), fn.Relu(), fn.Dense(128), fn.Relu(), fn.Dense(10)
    )
    out_shape, params = model.init(fn.random.key(0), (1, 28, 28))
    optimizer = fn.chain(fn.add_decayed_weights(1e-4), fn.sgd(0.1, momentum=0.9))
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer, rng=fn.random.key(1))
    for batch in fn.batches((images, labels), batch_size=128, rng=fn.random.key(2)):
        state, metrics = step(state, batch)
    fn.save(tmp_path / "params.npz", state.params, model=model)

    assert out_shape == (10,)
    assert metrics["loss"] < 1.2
    loaded = fn.load(tmp_path / "params.npz")
    assert loaded.model.spec == model.spec
    assert_same_bits(loaded.params, state.params)
    x, y = fashion.validation
    x, y = fashion.normalization(x[:2000]), y[:2000]
    outputs = fn.predict(loaded.model.apply, loaded.params, x)
    assert fn.accuracy(outputs, y) > 0.7


@pytest.mark.parametrize("name", ["loss", "learning_rate"])
def test_a_metric_cannot_take_the_name_of_one_that_every_step_has(name):
    model = fn.serial(fn.Dense(2))
    with pytest.raises(ValueError, match=f"cannot be named '{name}'"):
        fn.make_train_step(model.apply, fn.softmax_cross_entropy, fn.sgd(0.1), {name: fn.accuracy})


def test_what_is_no_function_or_no_optimizer_is_an_error_that_says_what_to_pass():
    model = fn.serial(fn.Dense(2))
    with pytest.raises(TypeError, match=r"model\.apply"):
        fn.value_and_grad(model, fn.softmax_cross_entropy)
    with pytest.raises(TypeError, match=r"fn\.sgd"):
        fn.make_train_step(model.apply, fn.softmax_cross_entropy, fn.sgd)


def test_a_network_of_two_inputs_trains_and_predicts():
    model = fn.serial(fn.parallel(fn.Dense(8), fn.Dense(8)), fn.FanInSum(), fn.Tanh(), fn.Dense(2))
    _, params = model.init(KEY, ((3,), (2,)))
    a, b = normal_batch(KEY, ((3,), (2,)), 100)
    y = (a[:, 0] > b[:, 0]).astype(int)
    optimizer = fn.adam(0.02)
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    for epoch in range(40):
        for batch in fn.batches(((a, b), y), 32, rng=fn.random.key(epoch)):
            state, _ = step(state, batch)
    metrics = {"accuracy": fn.accuracy}
    data = (a, b), y
    measured = fn.evaluate(
        model.apply, fn.softmax_cross_entropy, state.params, data, metrics=metrics, batch_size=7
    )
    assert measured["accuracy"] > 0.95
    outputs = fn.predict(model.apply, state.params, (a, b), batch_size=7)
    assert fn.accuracy(outputs, y) == pytest.approx(measured["accuracy"])


def test_a_network_of_two_outputs_predicts_both():
    model = fn.serial(fn.FanOut(2), fn.parallel(fn.Dense(3), fn.Dense(1)))
    _, params = model.init(KEY, (4,))
    x = fn.random.normal(KEY, (10, 4))
    whole, _ = model.apply(params, x)
    for ours, expected in zip(fn.predict(model.apply, params, x, batch_size=4), whole, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_inputs_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"arrays of different lengths, \[4, 5\]"):
        fn.batches(((np.ones(4), np.ones(5)), np.ones(4)), 2)


def test_metrics_that_are_no_means_are_those_of_the_whole_set():
    model = fn.Dense(3)
    _, params = model.init(KEY, (4,))
    x = fn.random.normal(KEY, (50, 4))
    y = np.sort(np.arange(50) % 3)  # no batch has every class
    metrics = {
        "matrix": fn.confusion_matrix,
        "recall": fn.recall,
        "ece": fn.expected_calibration_error,
    }
    measured = fn.evaluate(
        model.apply, fn.softmax_cross_entropy, params, (x, y), metrics=metrics, batch_size=7
    )
    outputs, _ = model.apply(params, x)
    assert_same_bits(measured["matrix"], fn.confusion_matrix(outputs, y))
    assert_same_bits(measured["recall"], fn.recall(outputs, y))
    assert measured["ece"] == pytest.approx(fn.expected_calibration_error(outputs, y))


def test_a_weighted_loss_is_evaluated_by_the_weights_of_the_whole_set():
    model = fn.Dense(3)
    _, params = model.init(KEY, (4,))
    x, y = fn.random.normal(KEY, (50, 4)), np.arange(50) % 3
    weights = np.where(np.arange(50) < 10, 0.0, np.arange(50))
    loss = fn.weighted(fn.softmax_cross_entropy)
    expected, _ = loss(model.apply(params, x)[0], (y, weights))
    measured = fn.evaluate(model.apply, loss, params, (x, (y, weights)), batch_size=7)
    assert measured["loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda: fn.batches(np.ones(4), 2), r"data is a pair \(x, y\) .* got a ndarray"),
        (lambda: fn.TrainState.create([], fn.sgd(0.1), 0), "rng is a key, .* got 0"),
        (
            lambda: fn.make_train_step(
                fn.Relu().apply, fn.mean_squared_error, fn.sgd(0.1), [fn.accuracy]
            ),
            "metrics are {name: function}, got a list",
        ),
        (
            lambda: fn.evaluate(
                fn.Relu().apply, fn.mean_squared_error, {}, (X, X), metrics=fn.accuracy
            ),
            "metrics are {name: function}, got a function",
        ),
        (lambda: STEP([X], (X, X)), r"state is a TrainState, got a list: fn\.TrainState\.create\("),
        (lambda: STEP({}, (X, X)), r"state is a TrainState, got a dict: fn\.TrainState\.create\("),
        (lambda: STEP(STATE, X), r"^batch is a pair \(x, y\) of .*, got a ndarray$"),
        (lambda: STEP(STATE, None), r"^batch is a pair \(x, y\) of .*, got a NoneType$"),
        (
            lambda: STEP(STATE, (X, X, X)),
            r"^batch is a pair .*, got a tuple of 3: .*\(x, \(y, weights\)\), for fn\.weighted",
        ),
        (lambda: STEP(STATE, (X,)), r"^batch is a pair .*, got a tuple of 1$"),
        (lambda: fn.batches((X, X, X), 2), r"^data is a pair .* of 3: .*\(x, \(y, weights\)\)"),
        (
            lambda: fn.value_and_grad(fn.Relu().apply, lambda o, t: np.mean(o - t))({}, X, X),
            r"^loss\(outputs, targets\) gives \(value, vjp\), .* this one gave 0\.0$",
        ),
        (
            lambda: fn.evaluate(fn.Relu().apply, lambda o, t: (1, 2, 3), {}, (X, X)),
            r"^loss\(outputs, targets\) gives \(value, vjp\), .* this one gave a tuple of 3$",
        ),
        (
            lambda: gradient_of(lambda o, t: (0.0, o - t)),
            r"^loss\(outputs, targets\) gives .*; the vjp of this one is a ndarray, no function$",
        ),
        (
            lambda: gradient_of(lambda o, t: (0.0, lambda dvalue: o - t)),
            r"^loss\(outputs, targets\) gives .*; the vjp of this one needs an argument$",
        ),
        (
            lambda: gradient_of(lambda o, t: (((o - t) ** 2).mean(1), lambda dvalue=1.0: o - t)),
            r"^the value of a loss is one number, got an array of \(4,\)$",
        ),
        (
            lambda: fn.evaluate(
                fn.Relu().apply, partial(fn.mean_squared_error, reduction="none"), {}, (X, X)
            ),
            r"^the value of a loss is one number, got an array of \(4, 2\)$",
        ),
    ],
)
def test_misuse_is_named(misuse, message):
    with pytest.raises(TypeError, match=message):
        misuse()


def test_an_error_inside_the_vjp_of_a_loss_is_its_own():
    def loss(outputs, targets):
        return 0.0, lambda dvalue=1.0: outputs + "text"

    with pytest.raises(TypeError, match=r"^(?!loss)"):
        gradient_of(loss)


def no_layer(apply, wrt):
    """A layer of one's own that breaks the contract, with the keyword `wrt` or without."""
    if wrt:
        return fn.Layer(own_init, lambda params, x, *, rng=None, train=False, wrt="both": apply(x))
    return fn.Layer(own_init, lambda params, x, *, rng=None, train=False: apply(x))


def own_init(rng, input_shape):
    return input_shape, {}


BROKEN = {
    "y alone": (lambda x: x, r"apply gives \(y, vjp\), vjp a function of dy, got a ndarray"),
    "y and dx": (lambda x: (x, x), r"apply gives \(y, vjp\), .*, got \(ndarray, ndarray\)"),
    "dx alone": (lambda x: (x, lambda dy: dy), r"vjp\(dy\) gives \(dparams, dx\), got a ndarray"),
}


@pytest.mark.parametrize("wrt", [False, True])
@pytest.mark.parametrize("rows", [2, 3])  # an array of two rows is unpacked as a pair is
@pytest.mark.parametrize("name", BROKEN)
def test_a_layer_of_ones_own_that_gives_no_pair_is_named(name, rows, wrt):
    apply, message = BROKEN[name]
    layer, x = no_layer(apply, wrt), np.ones((rows, 2), np.float32)
    models = [
        (fn.serial(fn.Dense(2), layer), r"layer 1 \(layer\): "),
        (fn.residual(layer), r"layer 0 \(layer\): "),
        (layer, ""),
    ]
    for model, where in models:
        _, params = model.init(KEY, (2,))
        gradient = fn.value_and_grad(model.apply, fn.mean_squared_error)
        if name == "dx alone" and model is not models[0][0]:
            where = ""
        with pytest.raises(TypeError, match=f"^{where}{message}$"):
            gradient(params, x, x)
        if name != "dx alone":
            with pytest.raises(TypeError, match=f"^{where}{message}$"):
                fn.predict(model.apply, params, x)


X = np.ones((4, 2), np.float32)


def gradient_of(loss):
    return fn.value_and_grad(fn.Relu().apply, loss)({}, X, X)


STATE = fn.TrainState.create({}, fn.sgd(0.1))
STEP = fn.make_train_step(fn.Relu().apply, fn.mean_squared_error, fn.sgd(0.1))


def test_a_gradient_that_does_not_fit_is_named_with_its_path():
    def model_of(dparams):
        layer = fn.Layer(own_init, lambda params, x, **_: (x, lambda dy: (dparams(dy), dy)))
        return fn.make_train_step(layer.apply, fn.mean_squared_error, optimizer)

    for optimizer in (fn.sgd(0.1), fn.adam(0.1)):
        state = fn.TrainState.create({"bias": np.zeros(2, np.float32)}, optimizer)
        message = r"^bias: the (gradient|update) of shape \(4, 2\) does not fit .*: a gradient is s"
        with pytest.raises(ValueError, match=message):
            model_of(lambda dy: {"bias": dy})(state, (X, X))
        with pytest.raises(
            ValueError, match=r"^params and their (gradient|update) differ at the root: .*'bias'"
        ):
            model_of(lambda dy: {})(state, (X, X))


def test_what_an_optimizer_of_optax_s_misses_is_said():
    def update(grads, state, params, **extra):
        raise TypeError("update_fn() missing 1 required keyword-only argument: 'value'")

    optimizer = fn.Optimizer(lambda params: (), update)
    step = fn.make_train_step(fn.Relu().apply, fn.mean_squared_error, optimizer)
    with pytest.raises(TypeError, match=r"^update gets grads, state and params alone: .*'value'$"):
        step(fn.TrainState.create({}, optimizer), (X, X))
