"""Shards of a batch, which cannot be seen in a result."""

import functools
import itertools
import subprocess
import sys

import numpy as np
import pytest
from helpers import assert_same_bits, frozen, spy

import funcnn as fn
from funcnn.layers import sharding
from funcnn.ops import windows

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
@pytest.mark.parametrize("batch", [128, 257, 1001, 2000])
def test_the_number_of_threads_cannot_be_seen_in_the_bits(batch, wrt, shards):
    model = big_model()
    _, params = model.init(KEY, (28, 28))
    params, x = frozen((params, fn.random.normal(KEY, (batch, 28, 28))))
    results = []
    for threads in (1, 2, 5):
        with fn.threads.use_threads(threads), fn.threads.single_threaded_blas():
            results.append(forward_and_backward(model, params, x, wrt))
    assert max(shards, default=1) == max(1, batch // 500)
    for result in results[1:]:
        assert_same_bits(results[0], result)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("batch", [1001, 1511])
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
    x = np.ones((2000, 512), np.float32)
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


@pytest.mark.parametrize(("batch", "count"), [(999, 0), (1000, 2), (1499, 2), (1500, 3), (9999, 8)])
def test_a_shard_has_500_rows_at_least_and_there_are_8_at_most(batch, count, monkeypatch, shards):
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)
    model = fn.serial(fn.Dense(3), fn.Relu(), fn.Dense(2))
    _, params = model.init(KEY, (4,))
    forward_and_backward(model, params, np.ones((batch, 4), np.float32))
    assert shards == [count] * 2 * (count > 0)


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
from funcnn.layers import sharding
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


# --- images ----------------------------------------------------------------------------------


def cnn():
    """A net for images of 28x28 with enough work to be cut."""
    return fn.serial(
        *(fn.Conv(8, 3), fn.Relu(), fn.MaxPool(2)),
        *(fn.Conv(16, 3), fn.Relu(), fn.MaxPool(2)),
        *(fn.Flatten(), fn.Dense(10)),
    )


def small_cnn():
    """A net for images of 1x8x8, in float64."""
    model = fn.serial(
        *(fn.Conv(3, 3, padding="same"), fn.Relu(), fn.MaxPool(2)),
        *(fn.Conv(4, 3), fn.Tanh(), fn.GlobalAvgPool(), fn.Dense(2)),
    )
    _, params = model.init(KEY, (1, 8, 8), dtype=np.float64)
    return model, params


def test_training_on_images_gives_the_same_bits_for_any_number_of_threads(shards):
    model = cnn()
    _, params = model.init(KEY, (1, 28, 28))
    optimizer = fn.sgd(0.1, momentum=0.9)
    step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
    x, labels = fn.random.normal(KEY, (128, 1, 28, 28)), np.arange(128) % 10
    states = []
    for threads in (1, 2, 5):
        state = fn.TrainState.create(params, optimizer)
        with fn.threads.use_threads(threads):
            for _ in range(2):
                state, metrics = step(state, (x, labels))
        states.append((state.params, metrics["loss"]))
    assert set(shards) == {2}
    assert_same_bits(states[0], states[1])
    assert_same_bits(states[0], states[2])
    assert (states[0][0][0]["weight"] != params[0]["weight"]).all()


@pytest.mark.parametrize(
    ("batch", "count"), [(63, 0), (64, 2), (128, 2), (129, 3), (300, 5), (1000, 16)]
)
def test_a_shard_has_32_to_64_images_however_many_shards_that_makes(
    batch, count, monkeypatch, shards
):
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)
    model, params = small_cnn()
    _, vjp = model.apply(params, np.ones((batch, 1, 8, 8)))
    vjp(np.ones((batch, 2)))
    assert shards == [count] * 2 * (count > 0)


def test_a_net_with_little_to_do_for_each_image_is_not_cut(shards):
    model, params = small_cnn()
    model.apply(params, np.ones((300, 1, 8, 8)))
    assert shards == []


def test_rows_after_reshaping_to_images_are_counted_as_images(monkeypatch, shards):
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)
    model, params = small_cnn()
    model = fn.serial(fn.Reshape((1, 8, 8)), model)
    model.apply([{}, params], np.ones((300, 64)))
    assert shards == [5]


def test_a_batch_of_images_is_its_parts_put_together(monkeypatch, shards):
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)
    model, params = small_cnn()
    x, dy = (
        fn.random.normal(fn.random.key(seed), (300, *shape), np.float64)
        for seed, shape in enumerate([(1, 8, 8), (2,)])
    )
    y, vjp = model.apply(params, x)
    dparams, dx = vjp(dy)
    assert shards == [5, 5]
    ends = [300 * i // 5 for i in range(6)]
    parts = [slice(*pair) for pair in itertools.pairwise(ends)]
    applied = [model.apply(params, x[part]) for part in parts]
    cotangents = [pull_back(dy[part]) for (_, pull_back), part in zip(applied, parts, strict=True)]
    assert_same_bits(y, np.concatenate([part for part, _ in applied]))
    assert_same_bits(dx, np.concatenate([part for _, part in cotangents]))
    total = functools.reduce(
        lambda a, b: fn.tree.map(np.add, a, b), [part for part, _ in cotangents]
    )
    assert_same_bits(dparams, total)
    monkeypatch.setattr(sharding, "LEAST_IMAGES", 1000)
    shards.clear()
    whole, whole_vjp = model.apply(params, x)
    assert shards == []
    cut = y, (dparams, dx)
    for a, b in zip(fn.tree.leaves(cut), fn.tree.leaves((whole, whole_vjp(dy))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_what_an_image_gives_does_not_depend_on_the_rest(dtype, tolerance, monkeypatch, shards):
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)
    model, params = small_cnn()
    params = fn.tree.map(lambda leaf: leaf.astype(dtype), params)
    x = fn.random.normal(KEY, (100, 1, 8, 8), dtype)
    y, _ = model.apply(params, x)
    assert shards == [2]
    for i in (0, 49, 50, 99):
        alone, _ = model.apply(params, x[i : i + 1])
        np.testing.assert_allclose(y[i : i + 1], alone, rtol=tolerance, atol=tolerance)


def test_images_keep_channels_and_batch_last_in_memory_through_shards(monkeypatch, shards):
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)
    model = fn.serial(fn.Conv(3, 3), fn.Relu(), fn.MaxPool(2))
    _, params = model.init(KEY, (1, 8, 8))
    y, _ = model.apply(params, np.ones((64, 1, 8, 8), np.float32))
    assert shards == [2]
    assert windows.batch_last(y).flags.c_contiguous


def test_an_error_in_a_shard_of_images_names_the_layer(monkeypatch):
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)
    model, params = small_cnn()
    with pytest.raises(ValueError, match=r"^layer 3 \(Conv\): a kernel of 3x3 is larger than"):
        model.apply(params, np.ones((300, 1, 4, 4)))
    params[3]["bias"] = np.zeros(1)
    with pytest.raises(ValueError, match=r"^layer 3 \(Conv\): expected a bias of shape \(4,\)"):
        model.apply(params, np.ones((300, 1, 8, 8)))


# --- ReLU after max-pooling ------------------------------------------------------------------


POOLS = {
    "disjoint": fn.MaxPool(2),
    "overlapping": fn.MaxPool(3, 1),
    "padded": fn.MaxPool(3, 2, 1),
    "padded, two overlap": fn.MaxPool((2, 3), 1, (1, 1)),
    "one element": fn.MaxPool(1),
    "dilated": fn.MaxPool(2, 1, 1, (3, 2)),
    "beyond the image": fn.MaxPool(2, 2, dilation=(1, 2), ceil_mode=True),
}


def images_with_ties(kind):
    """Images of few different numbers: windows with ties, of zeros, and all below zero."""
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, (5, 2, 7, 6)).astype(float)
    x[0], x[1, :, :, :4], x[2] = 0, -1, -np.abs(x[2])
    x[3] = np.where(x[3] > 0, x[3], -0.0)
    return rng.standard_normal(x.shape) if kind == "normal" else x


@pytest.mark.parametrize("kind", ["ties", "normal"])
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_relu_after_max_pooling_gives_what_relu_before_it_gives(pool, kind):
    x = images_with_ties(kind)
    model = fn.serial(fn.Relu(), pool)
    (run,) = sharding.find_runs([fn.Relu(), pool], [None, None], train=True)
    assert [(step.position, step.layer) for step in run.steps] == [
        (1, pool),
        (0, run.steps[1].layer),
    ]
    y, vjp = model.apply([{}, {}], x)
    rectified, relu_vjp = fn.Relu().apply({}, x)
    expected, pool_vjp = pool.apply({}, rectified)
    assert_same_bits(y, expected)
    for seed in range(3):
        dy = np.random.default_rng(seed).standard_normal(y.shape)
        assert_same_bits(vjp(dy), ([{}, {}], relu_vjp(pool_vjp(dy)[1])[1]))
    assert model.apply([{}, {}], x, wrt=None)[1] is None
    assert_same_bits(model.apply([{}, {}], x, wrt=None)[0], expected)


@pytest.mark.parametrize("wrt", ["both", "params"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_net_gives_the_same_whether_its_relu_can_be_moved_or_not(wrt, threads, monkeypatch):
    monkeypatch.setattr(sharding, "SHARD_WORK", 10**12)
    layers = [fn.Conv(3, 3), fn.Relu(), fn.MaxPool(2, 1), fn.Relu(), fn.MaxPool(2), fn.Flatten()]
    moved = fn.serial(*layers, fn.Dense(3))
    # A layer of one's own is left where it is.
    kept = fn.serial(
        *(spy(layer, []) if layer.spec["layer"] == "Relu" else layer for layer in layers),
        fn.Dense(3),
    )
    _, params = moved.init(KEY, (2, 8, 8))
    x = np.round(fn.random.normal(KEY, (40, 2, 8, 8)))
    with fn.threads.use_threads(threads):
        assert_same_bits(
            forward_and_backward(moved, params, x, wrt), forward_and_backward(kept, params, x, wrt)
        )


@pytest.mark.parametrize(
    ("layers", "order"),
    [
        ([fn.Relu(), fn.MaxPool(2)], [1, 0]),
        ([fn.Relu(), fn.MaxPool(2), fn.MaxPool(2)], [1, 2, 0]),
        ([fn.Relu(), fn.MaxPool(2), fn.Relu(), fn.MaxPool(2)], [1, 0, 3, 2]),
        ([fn.MaxPool(2), fn.Relu()], [0, 1]),
        ([fn.Relu(), fn.AvgPool(2)], [0, 1]),
        ([fn.Relu(), fn.GlobalMaxPool()], [0, 1]),
        ([fn.Tanh(), fn.MaxPool(2)], [0, 1]),
        ([fn.LeakyRelu(), fn.MaxPool(2)], [0, 1]),
        ([fn.Relu(), fn.Flatten(), fn.MaxPool(2)], [0, 1, 2]),
        ([spy(fn.Relu(), []), fn.MaxPool(2)], [0, 1]),
        ([fn.Relu(), spy(fn.MaxPool(2), [])], [0, 1]),
        ([fn.serial(fn.Relu()), fn.MaxPool(2)], [0, 1]),
    ],
)
def test_nothing_but_a_relu_before_a_max_pool_changes_its_place(layers, order):
    runs = sharding.find_runs(layers, [layer.apply for layer in layers], train=False)
    assert [step.position for run in runs for step in run.steps] == order


def test_a_relu_that_was_moved_is_shown_where_it_stands():
    model = fn.serial(fn.Conv(2, 3), fn.Relu(), fn.MaxPool(2), fn.Flatten())
    _, params = model.init(KEY, (1, 6, 6))
    x = fn.random.normal(KEY, (3, 1, 6, 6))
    rows = fn.summary(model, (1, 6, 6)).rows
    assert [(row.path, row.name) for row in rows] == [
        *(("0", "Conv"), ("1", "Relu"), ("2", "MaxPool"), ("3", "Flatten")),
    ]
    assert [row.output_shape for row in rows] == [(2, 4, 4), (2, 4, 4), (2, 2, 2), (8,)]
    outputs = fn.inner_outputs(model, params, x)
    assert list(outputs) == ["0", "1", "2", "3"]
    assert_same_bits(outputs["1"], np.maximum(outputs["0"], 0))
    assert_same_bits(outputs["2"], fn.MaxPool(2).apply({}, outputs["1"])[0])
    assert_same_bits(outputs["3"], model.apply(params, x)[0])


@pytest.mark.parametrize("batch", [5, 300])
def test_errors_keep_their_positions_where_a_relu_was_moved(batch, monkeypatch):
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)
    model = fn.serial(fn.Conv(1, 1), fn.Relu(), fn.MaxPool(3), fn.Tanh(), fn.Conv(1, 2))
    _, params = model.init(KEY, (1, 6, 6))
    too_small = np.ones((batch, 1, 2, 2), np.float32)
    with pytest.raises(ValueError, match=r"^layer 2 \(MaxPool\): a kernel of 3x3 is larger"):
        model.apply(params, too_small)
    with pytest.raises(ValueError, match=r"^layer 4 \(Conv\): a kernel of 2x2 is larger"):
        model.apply(params, np.ones((batch, 1, 3, 3), np.float32))


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


def test_statistics_stay_with_their_layers_behind_images_that_were_cut(monkeypatch, shards):
    monkeypatch.setattr(sharding, "SHARD_WORK", 1)
    model = fn.serial(fn.Conv(3, 3), fn.Relu(), fn.BatchNorm(), fn.Flatten(), fn.Dense(2))
    _, params = model.init(KEY, (1, 6, 6), dtype=np.float64)
    x = fn.random.normal(KEY, (64, 1, 6, 6), np.float64)
    _, vjp = model.apply(params, x, train=True)
    assert 2 in shards
    monkeypatch.setattr(sharding, "LEAST_IMAGES", 1000)
    _, whole = model.apply(params, x, train=True)
    assert [type(entry) for entry in vjp.statistics] == [type(None)] * 2 + [dict] + [type(None)] * 2
    for name in ("running_mean", "running_var"):
        cut, expected = vjp.statistics[2][name], whole.statistics[2][name]
        np.testing.assert_allclose(cut, expected, rtol=1e-12)


def test_a_list_is_no_array():
    with pytest.raises(TypeError, match="x is an array, or a tuple of arrays, got a list"):
        fn.serial(fn.Relu()).apply([{}], [1.0, 2.0])
