"""Shards of a batch, which cannot be seen in a result."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from helpers import assert_same_bits, frozen, spy

import funcnn as fn
from funcnn import sharding

KEY = fn.random.key(0)


def big_model():
    """A net with enough work to be cut: 784-512-512-10, with dropout in the middle."""
    return fn.serial(
        fn.Flatten(), fn.Dense(512), fn.Tanh(), fn.Dropout(0.3), fn.Dense(512), fn.Relu(),
        fn.Dense(10),
    )  # fmt: skip


@pytest.fixture
def shards(monkeypatch):
    """How many tasks each call of `run_parallel` got."""
    counts = []
    run_parallel = sharding.run_parallel

    def counting(tasks):
        counts.append(len(tasks))
        return run_parallel(tasks)

    monkeypatch.setattr(sharding, "run_parallel", counting)
    return counts


def forward_and_backward(model, params, x, wrt="both"):
    y, vjp = model.apply(params, x, rng=KEY, train=True, wrt=wrt)
    return y, vjp(frozen(y * y))


@pytest.mark.parametrize("wrt", ["both", "params"])
@pytest.mark.parametrize("batch", [128, 257, 1001])
def test_the_number_of_threads_cannot_be_seen_in_the_bits(batch, wrt, shards):
    model = big_model()
    _, params = model.init(KEY, (28, 28))
    params, x = frozen((params, fn.random.normal(KEY, (batch, 28, 28))))
    results = []
    for threads in (1, 2, 5):
        with fn.threads.use_threads(threads):
            results.append(forward_and_backward(model, params, x, wrt))
    assert max(shards) >= 2
    for result in results[1:]:
        assert_same_bits(results[0], result)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("batch", [129, 511])
def test_shards_give_what_the_whole_batch_gives(batch, train, shards, monkeypatch):
    model = big_model()
    _, params = model.init(KEY, (28, 28), dtype=np.float64)
    x = fn.random.normal(KEY, (batch, 28, 28), np.float64)
    y, vjp = model.apply(params, x, rng=KEY, train=train)
    gradients = vjp(y)
    assert max(shards) == min(batch // sharding.SHARD_ROWS, sharding.MAX_SHARDS_OF_ROWS)
    shards.clear()
    monkeypatch.setattr(sharding, "MAX_SHARDS_OF_ROWS", 1)
    y_whole, vjp_whole = model.apply(params, x, rng=KEY, train=train)
    whole = vjp_whole(y)
    assert shards == []
    np.testing.assert_allclose(y, y_whole, rtol=1e-12, atol=1e-12)
    for a, b in zip(fn.tree.leaves(gradients), fn.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max())


def test_dropout_between_shards_has_one_mask_for_the_whole_batch(shards):
    model = fn.serial(fn.Dense(512), fn.Dropout(0.5), fn.Dense(512))
    _, params = model.init(KEY, (512,))
    params[2] = {"weight": np.eye(512, dtype=np.float32), "bias": np.zeros(512, np.float32)}
    x = np.ones((256, 512), np.float32)
    y, _ = model.apply(params, x, rng=KEY, train=True)
    assert max(shards) == 4
    before, _ = fn.Dense(512).apply(params[0], x)
    ones = np.ones_like(before)
    mask, _ = fn.Dropout(0.5).apply({}, ones, rng=fn.random.fold_in(KEY, 1), train=True)
    np.testing.assert_array_equal(y == 0, mask == 0)
    np.testing.assert_allclose(y, before * mask, rtol=1e-5)


def test_a_small_net_is_not_cut(shards):
    model = fn.serial(fn.Dense(16), fn.Relu(), fn.Dense(2))
    _, params = model.init(KEY, (4,))
    forward_and_backward(model, params, np.ones((1000, 4), np.float32))
    assert shards == []


def small_shards(monkeypatch):
    """From here on, everything that may be cut is cut."""
    monkeypatch.setattr(sharding, "SHARD_ROWS", 1)
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)


@pytest.mark.parametrize("batch", [1, 2, 7, 8, 9, 30])
def test_any_batch_can_be_cut(batch, monkeypatch, shards):
    model = fn.serial(fn.Dense(5), fn.Tanh(), fn.Dropout(0.5), fn.Dense(3), fn.Softmax())
    _, params = model.init(KEY, (4,), dtype=np.float64)
    x = fn.random.normal(KEY, (batch, 4), np.float64)
    whole = forward_and_backward(model, params, x)
    small_shards(monkeypatch)
    cut = forward_and_backward(model, params, x)
    assert set(shards) == ({min(batch, 8)} if batch > 1 else set())
    for a, b in zip(fn.tree.leaves(whole), fn.tree.leaves(cut), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_cutting_keeps_every_promise_of_the_contract(monkeypatch, shards):
    small_shards(monkeypatch)
    model = fn.serial(fn.Tanh(), fn.Dense(3), fn.Tanh(), fn.Dropout(0.5), fn.Dense(2))
    fn.check_layer(model, (4,), batch=5)
    assert 5 in shards


def test_a_vjp_in_shards_can_be_called_again_and_after_other_applies(monkeypatch):
    small_shards(monkeypatch)
    model = fn.serial(fn.Dense(3), fn.Tanh(), fn.Dense(2))
    _, params = model.init(KEY, (4,))
    params, x = frozen((params, fn.random.normal(KEY, (9, 4))))
    y, vjp = model.apply(params, x)
    first = vjp(y)
    kept = fn.tree.map(np.copy, first)
    model.apply(params, x * 2)[1](y)
    vjp(-y)
    assert_same_bits(first, kept)
    assert_same_bits(vjp(y), kept)


def test_an_error_in_a_shard_names_the_layer(monkeypatch):
    small_shards(monkeypatch)
    model = fn.serial(fn.Relu(), fn.Dense(2))
    _, params = model.init(KEY, (4,))
    with pytest.raises(ValueError, match=r"^layer 1 \(Dense\): expected inputs \(N, \.\.\., 4\)"):
        model.apply(params, np.ones((16, 5), np.float32))


def minus_the_first(params, x, *, rng=None, train=False, wrt="both"):
    """An `apply` that couples the samples of a batch."""
    return x - x[:1], None


@pytest.mark.parametrize("keep_attributes", [False, True])
def test_a_layer_whose_apply_was_replaced_is_not_cut(keep_attributes, monkeypatch, shards):
    relu, apply = fn.Relu(), minus_the_first
    if keep_attributes:  # what a wrapper written with functools.wraps does

        @functools.wraps(relu.apply)
        def apply(*args, **keywords):
            return minus_the_first(*args, **keywords)

    model = fn.serial(fn.Dense(3), relu._replace(apply=apply))
    _, params = model.init(KEY, (4,), dtype=np.float64)
    x = fn.random.normal(KEY, (16, 4), np.float64)
    whole, _ = model.apply(params, x)
    small_shards(monkeypatch)
    y, _ = model.apply(params, x)
    assert shards == [8]
    np.testing.assert_allclose(y, whole, rtol=1e-12, atol=1e-12)


def test_an_own_layer_sees_the_whole_batch(monkeypatch, shards):
    small_shards(monkeypatch)
    seen = []
    model = fn.serial(fn.Dense(3), spy(fn.Relu(), seen), fn.Dense(2))
    _, params = model.init(KEY, (4,))
    model.apply(params, np.ones((16, 4), np.float32))
    assert shards == [8, 8]
    assert [call["x"].shape for call in seen] == [(16, 3)]


def test_a_serial_inside_a_serial_can_be_cut_without_waiting_for_itself():
    script = """
import numpy as np, funcnn as fn
from funcnn import sharding
sharding.SHARD_ROWS = sharding.SHARD_WORK = 1
model = fn.serial(fn.Flatten(), fn.serial(fn.Dense(5), fn.Relu()), fn.Dense(3))
_, params = model.init(fn.random.key(0), (4,))
with fn.threads.use_threads(2):
    y, vjp = model.apply(params, np.ones((64, 4), np.float32))
    vjp(y)
print(y.shape)
"""
    # In another process, because threads that wait for each other can only be killed with it.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=20)
    assert done.stdout.split() == [b"(64,", b"3)"]


@pytest.mark.parametrize("train", [False, True])
def test_arguments_stay_as_they_are(train, monkeypatch):
    small_shards(monkeypatch)
    model = big_model()
    _, params = model.init(KEY, (2, 2))
    x = fn.random.normal(KEY, (16, 2, 2))
    before = fn.tree.map(np.copy, (params, x))
    y, vjp = model.apply(params, x, rng=KEY, train=train)
    dy = y.copy()
    vjp(dy)
    assert_same_bits((params, x, dy), (*before, y))


@pytest.mark.parametrize("threads", [1, 2])
def test_branches_are_cut_too(threads, monkeypatch, shards):
    model = fn.serial(
        fn.FanOut(2), fn.parallel(fn.Dense(3), fn.Tanh()), fn.FanInConcat(), fn.FanOut(2)
    )
    _, params = model.init(KEY, (4,), dtype=np.float64)
    x = fn.random.normal(KEY, (9, 4), np.float64)
    y, vjp = model.apply(params, x)
    whole = y, vjp(y)
    small_shards(monkeypatch)
    with fn.threads.use_threads(threads):
        y, vjp = model.apply(params, x)
        cut = y, vjp(y)
    assert 8 in shards
    for a, b in zip(fn.tree.leaves(whole), fn.tree.leaves(cut), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# --- combinators inside a serial are cut only if all that they hold may be -------------------


def couple(params, x, *, rng=None, train=False, wrt="both"):
    """The `apply` of a user's own layer that sees the whole batch: y = x - its mean."""
    return x - x.mean(0), None if wrt is None else lambda dy: ({}, dy - dy.mean(0))


COUPLED = fn.Layer(lambda rng, shape: (shape, {}), couple)
AROUND = {
    "serial": fn.serial,
    "parallel": lambda layer: fn.serial(fn.FanOut(2), fn.parallel(layer, fn.Tanh()), fn.FanInSum()),
    "residual": fn.residual,
    "the shortcut of a residual": lambda layer: fn.residual(fn.Tanh(), layer),
    "two of them": lambda layer: fn.residual(fn.serial(fn.Tanh(), fn.residual(layer))),
}


@pytest.mark.parametrize("name", AROUND)
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    "inner",
    [COUPLED, fn.Dropout(0.5), fn.BatchNorm()],
    ids=["coupled", "dropout", "batch norm"],
)
def test_a_layer_inside_a_combinator_sees_the_whole_batch(inner, train, name, monkeypatch, shards):
    model = fn.serial(fn.Dense(3), AROUND[name](inner), fn.Dense(2))
    _, params = model.init(KEY, (4,), dtype=np.float64)
    x = fn.random.normal(KEY, (16, 4), np.float64)
    y, vjp = model.apply(params, x, rng=KEY, train=train)
    whole = y, vjp(y)
    small_shards(monkeypatch)
    y, vjp = model.apply(params, x, rng=KEY, train=train)
    cut = y, vjp(y)
    assert 8 in shards
    for a, b in zip(fn.tree.leaves(whole), fn.tree.leaves(cut), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
