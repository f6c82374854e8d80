"""The range test: a sweep through learning rates, and what it says of them."""

import functools
import itertools
import math

import numpy as np
import pytest

import funcnn as fn
from funcnn.rate_range import RateSweep

KEY = fn.random.key(0)
X = fn.random.normal(KEY, (200, 3), np.float64)
Y = X @ np.array([[1.0], [-2.0], [3.0]])
SGD = functools.partial(fn.sgd, momentum=0.9)


def line():
    """A linear model, and its params at 0."""
    model = fn.Dense(1)
    return model, {"weight": np.zeros((3, 1)), "bias": np.zeros(1)}


def swept(batch_size=2, optimizer=fn.sgd, **keywords):
    model, params = line()
    batches = fn.batches((X, Y), batch_size, rng=KEY)
    return fn.range_test(model.apply, fn.mean_squared_error, optimizer, params, batches, **keywords)


def test_the_rates_are_a_geometric_series_from_the_lowest_to_the_highest():
    rates, losses, _ = swept(20, lowest=1e-5, highest=1e-3)
    np.testing.assert_allclose(rates, np.geomspace(1e-5, 1e-3, 10))
    assert losses.shape == (10,)


def test_the_losses_are_those_of_training_with_these_rates_smoothed():
    model, params = line()
    sweep = swept(4, lowest=1e-4, highest=0.01, optimizer=SGD)
    schedule = lambda step: 1e-4 * 100 ** (step / 49)  # noqa: E731
    step = fn.make_train_step(model.apply, fn.mean_squared_error, SGD(schedule))
    state, plain = fn.TrainState.create(params, SGD(schedule)), []
    for batch in fn.batches((X, Y), 4, rng=KEY):
        state, measured = step(state, batch)
        plain.append(measured["loss"])
    keep = 1 - 1 / 2.5  # a window of a twentieth of 50 steps
    for last, smoothed in enumerate(sweep.losses, 1):
        weights = keep ** np.arange(last)[::-1]
        assert smoothed == pytest.approx(np.average(plain[:last], weights=weights))
    assert len(sweep.losses) == 50
    assert sweep.diverged is None


def test_it_stops_where_the_loss_is_four_times_the_least():
    model, params = line()
    whole = [(X, Y)] * 100
    sweep = fn.range_test(
        model.apply, fn.mean_squared_error, fn.sgd, params, whole, lowest=1e-5, highest=100.0
    )
    assert len(sweep.losses) < 100
    assert sweep.losses[-1] > 4 * sweep.losses.min()
    later = sweep.losses[5:-1]
    assert (later <= 4 * np.minimum.accumulate(later)).all()
    assert sweep.diverged == sweep.learning_rates[-1]
    assert 1e-3 < sweep.steepest < sweep.diverged


def test_it_stops_where_the_loss_is_no_number():
    def loss(outputs, targets):
        value = math.nan if np.abs(outputs).max() > 1.0 else 1.0
        return value, lambda dvalue=1.0: -np.ones_like(outputs)

    model, params = line()
    batches = [(X, Y)] * 50
    sweep = fn.range_test(model.apply, loss, fn.sgd, params, batches, lowest=1e-3)
    assert math.isnan(sweep.losses[-1])
    assert np.isfinite(sweep.losses[:-1]).all()
    assert sweep.diverged == sweep.learning_rates[-1]
    assert sweep.steepest is None


def test_numbers_may_overflow_on_the_way():
    model = fn.Dense(1)
    _, params = model.init(KEY, (3,))
    data = X.astype(np.float32) * np.float32(1e15), Y.astype(np.float32)
    sweep = fn.range_test(
        *(model.apply, fn.mean_squared_error, fn.sgd, params, [data] * 20), lowest=1.0
    )
    assert sweep.diverged == sweep.learning_rates[-1]


def test_the_ratio_of_the_rates_may_be_too_large_for_a_number():
    rates, losses, _ = swept(lowest=1e-300, highest=1e300)
    steps = -(-len(X) // 2)
    wanted = [10 ** (600 * step / (steps - 1) - 300) for step in range(len(losses))]
    np.testing.assert_allclose(rates, wanted)


def test_the_steepest_descent_is_over_equal_ratios_of_rates():
    rates = np.geomspace(1e-4, 1.0, 5)
    falling = RateSweep(rates, np.array([2.0, 1.9, 0.7, 0.8, math.nan]), 1.0)
    assert falling.steepest == pytest.approx(1e-3)
    assert RateSweep(rates, np.array([1.0, 1.0, 1.1, 1.2, 1.3]), None).steepest is None
    noisy = np.r_[9.0, np.ones(19), np.linspace(1.0, 0.2, 10), np.full(10, 0.2)]
    assert RateSweep(np.arange(40.0), noisy, None).steepest == 20.0
    assert RateSweep(rates[:1], np.array([1.0]), None).steepest is None
    assert "float64(5,)" in repr(falling)


def test_losses_below_zero_do_not_diverge():
    values = iter([-1.0, -2.0, -3.0, -4.0, -1.0])

    def loss(outputs, targets):
        return next(values), lambda dvalue=1.0: np.zeros_like(outputs)

    model, params = line()
    sweep = fn.range_test(model.apply, loss, fn.sgd, params, [(X, Y)] * 5)
    np.testing.assert_allclose(sweep.losses, [-1.0, -2.0, -3.0, -4.0, -1.0])
    assert sweep.diverged is None


def test_one_small_batch_at_the_beginning_is_no_least():
    values = itertools.chain([0.01], itertools.repeat(1.0))

    def loss(outputs, targets):
        return next(values), lambda dvalue=1.0: np.zeros_like(outputs)

    model, params = line()
    assert len(fn.range_test(model.apply, loss, fn.sgd, params, [(X, Y)] * 200).losses) == 200


def test_it_is_pure_and_takes_a_key_for_dropout():
    model = fn.serial(fn.Dense(8), fn.Relu(), fn.Dropout(0.5), fn.Dense(1))
    _, params = model.init(KEY, (3,), dtype=np.float64)
    before = fn.tree.map(np.copy, params)
    run = functools.partial(
        fn.range_test,
        *(model.apply, fn.mean_squared_error, fn.adam, params, fn.batches((X, Y), 20)),
    )
    np.testing.assert_array_equal(run(rng=KEY).losses, run(rng=KEY).losses)
    assert (run(rng=KEY).losses != run(rng=fn.random.key(1)).losses).any()
    fn.tree.map(np.testing.assert_array_equal, params, before)
    with pytest.raises(ValueError, match="dropout in training needs a key"):
        run()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"lowest": 0}, ValueError, "lowest must be .*, got 0"),
        ({"lowest": 1.0, "highest": 0.1}, ValueError, r"highest must be .*, got 0\.1"),
        ({"optimizer": fn.sgd(0.1)}, TypeError, r"such as fn\.sgd or .*, got .*fn\.sgd\(0\.1\)"),
        ({"optimizer": lambda rate: None}, TypeError, "optimizer"),
        ({"batch_size": 200}, ValueError, "a sweep needs at least 2 batches, got 1"),
    ],
)
def test_wrong_arguments(change, error, message):
    with pytest.raises(error, match=message):
        swept(**change)


def test_batches_have_a_length():
    model, params = line()
    batches = (pair for pair in fn.batches((X, Y), 2))
    with pytest.raises(TypeError, match=r"batches are a list of pairs .*, got <generator"):
        fn.range_test(model.apply, fn.mean_squared_error, fn.sgd, params, batches)
