"""serial: params, errors, wrt, keys, statistics, and shards that cannot be seen in a result."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from helpers import assert_same_bits, frozen, spy

import funcnn as fn
from funcnn import sharding

KEY = fn.random.key(0)


def plain_scale(params, x, *, rng=None, train=False):
    """The `apply` of a user's own layer, y = x w, written without `wrt`."""
    w = params["weight"]
    return x * w, lambda dy: ({"weight": (dy * x).sum(0)}, dy * w)


OWN = fn.Layer(lambda rng, shape: (shape, {"weight": np.full(shape, 2.0)}), plain_scale)


def centre(params, x, *, rng=None, train=False, wrt="both"):
    """The `apply` of a layer with its own statistics: y = x - running mean."""

    def vjp(dy):
        return {"running_mean": np.zeros_like(params["running_mean"])}, dy

    if train:
        vjp.statistics = {"running_mean": x.mean(0)}
    return x - params["running_mean"], vjp


CENTRE = fn.Layer(
    lambda rng, shape, dtype=np.float32: (shape, {"running_mean": np.zeros(shape, dtype)}), centre
)


# --- params and values -----------------------------------------------------------------------


def test_params_are_a_list_with_one_entry_a_layer():
    model = fn.serial(fn.Dense(3), fn.Relu(), fn.Dense(2))
    shape, params = model.init(KEY, (4,))
    assert shape == (2,)
    assert isinstance(params, list)
    assert len(params) == 3
    assert params[1] == {}
    paths = [path for path, _ in fn.tree.leaves_with_path(params)]
    assert paths == ["0/bias", "0/weight", "2/bias", "2/weight"]


def test_serial_is_its_layers_one_after_another():
    layers = fn.Dense(3), fn.Tanh(), fn.Dense(2)
    _, params = fn.serial(*layers).init(KEY, (4,), dtype=np.float64)
    x = fn.random.normal(KEY, (5, 4), np.float64)
    y, vjp = fn.serial(*layers).apply(params, x)
    expected, vjps = x, []
    for layer, layer_params in zip(layers, params, strict=True):
        expected, layer_vjp = layer.apply(layer_params, expected)
        vjps.append(layer_vjp)
    assert_same_bits(y, expected)
    dparams, dx = vjp(y)
    for layer_vjp, got in zip(vjps[::-1], dparams[::-1], strict=True):
        layer_dparams, expected = layer_vjp(expected)
        assert_same_bits(got, layer_dparams)
    assert_same_bits(dx, expected)


def test_serial_of_nothing_is_the_identity():
    x = np.ones((2, 3))
    model = fn.serial()
    fn.check_layer(model, (3,))
    y, vjp = model.apply([], x)
    dparams, dx = vjp(2 * x)
    assert dparams == []
    assert_same_bits((y, dx), (x, 2 * x))


@pytest.mark.parametrize("container", [list, tuple])
def test_dparams_have_the_structure_of_the_params(container):
    model = fn.serial(fn.Dense(3), fn.Relu(), fn.Dense(2))
    params = container(model.init(KEY, (4,))[1])
    y, vjp = model.apply(params, np.ones((2, 4), np.float32))
    dparams, _ = vjp(y)
    assert fn.tree.structure(dparams) == fn.tree.structure(params)


def test_layer_i_gets_the_key_folded_with_i():
    seen = []
    model = fn.serial(*[spy(fn.Dropout(0.5), seen) for _ in range(3)])
    model.apply([{}, {}, {}], np.ones((2, 50)), rng=KEY, train=True)
    assert [call["rng"] for call in seen] == [fn.random.fold_in(KEY, i) for i in range(3)]


def test_each_layer_begins_with_weights_of_its_own():
    _, params = fn.serial(fn.Dense(3), fn.Dense(3)).init(KEY, (3,))
    assert (params[0]["weight"] != params[1]["weight"]).all()


def test_two_dropouts_drop_different_entries():
    seen = []
    model = fn.serial(fn.Dropout(0.5), spy(fn.Identity(), seen), fn.Dropout(0.5))
    y, _ = model.apply([{}, {}, {}], np.ones((10, 100)), rng=KEY, train=True)
    first = seen[0]["x"] != 0
    assert (y[first] == 0).mean() == pytest.approx(0.5, abs=0.1)


# --- errors ----------------------------------------------------------------------------------


def test_an_error_in_init_names_the_layer():
    model = fn.serial(fn.Flatten(), fn.Dense(4), fn.Relu(), fn.Reshape((2, 3)))
    message = r"^layer 3 \(Reshape\): cannot reshape a sample of shape \(4,\) to \(2, 3\)"
    with pytest.raises(ValueError, match=message):
        model.init(KEY, (2, 2))


def test_an_error_in_apply_names_the_layer():
    model = fn.serial(fn.Flatten(), fn.Relu(), fn.Relu(), fn.Dense(2))
    _, params = model.init(KEY, (4,))
    with pytest.raises(ValueError, match=r"^layer 3 \(Dense\): .*4\), got shape \(2, 5\)"):
        model.apply(params, np.ones((2, 5), np.float32))


def test_an_error_in_a_nested_serial_names_both_layers():
    model = fn.serial(fn.Relu(), fn.serial(fn.Relu(), fn.Dense(2)))
    _, params = model.init(KEY, (4,))
    with pytest.raises(ValueError, match=r"^layer 1 \(serial\): layer 1 \(Dense\): "):
        model.apply(params, np.ones((2, 5), np.float32))
    with pytest.raises(ValueError, match=r"^layer 1 \(serial\): layer 1 \(Dense\): .*features"):
        model.init(KEY, ())


def test_a_wrong_dtype_stays_a_type_error_and_names_the_layer():
    model = fn.serial(fn.Relu(), fn.Dense(2))
    _, params = model.init(KEY, (4,))
    with pytest.raises(TypeError, match=r"^layer 1 \(Dense\): x is float64 but params are float32"):
        model.apply(params, np.ones((2, 4)))


def test_a_missing_key_in_training_names_the_dropout():
    model = fn.serial(fn.Relu(), fn.Dropout(0.5))
    with pytest.raises(ValueError, match=r"^layer 1 \(Dropout\): .*needs a key"):
        model.apply([{}, {}], np.ones((2, 4)), train=True)


def test_params_without_an_array_name_the_layer_and_the_array():
    model = fn.serial(fn.Relu(), fn.Dense(2))
    with pytest.raises(ValueError, match=r"^layer 1 \(Dense\): params have no 'weight'"):
        model.apply([{}, {}], np.ones((2, 4)))


def test_an_error_in_an_own_layer_gives_its_position():
    def apply(params, x, *, rng=None, train=False, wrt="both"):
        raise ValueError("no luck")

    model = fn.serial(fn.Relu(), fn.Layer(lambda rng, shape: (shape, {}), apply))
    with pytest.raises(ValueError, match=r"^layer 1 \(layer\): no luck"):
        model.apply([{}, {}], np.ones((2, 4)))


@pytest.mark.parametrize(
    ("argument", "advice"),
    [
        (fn.Relu, r"call the constructor, Relu\(\.\.\.\)"),
        (np.tanh, "call the constructor|fn.Layer"),
        ((fn.Relu().init, fn.Relu().apply), r"fn\.Layer\(init, apply\)"),
        ([fn.Relu()], r"fn\.Layer\(init, apply\)"),
        (None, r"fn\.Layer\(init, apply\)"),
    ],
    ids=["constructor", "function", "pair", "list", "None"],
)
def test_an_argument_that_is_not_a_layer_is_a_type_error_with_advice(argument, advice):
    with pytest.raises(TypeError, match=f"layer 1 is not a layer but .*({advice})"):
        fn.serial(fn.Dense(2), argument)


@pytest.mark.parametrize(
    ("params", "got"),
    [([{}], "1 entries"), ([{}, {}, {}], "3 entries"), ({}, "a dict"), (None, "a NoneType")],
    ids=["short", "long", "dict", "None"],
)
def test_params_of_the_wrong_length_are_refused(params, got):
    with pytest.raises(ValueError, match=f"serial has 2 layers.*got {got}"):
        fn.serial(fn.Relu(), fn.Relu()).apply(params, np.ones((2, 3)))


# --- wrt -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrt", "expected"),
    [
        ("both", ["both"] * 5),
        ("params", [None, None, "params", "both", "both"]),
        (None, [None] * 5),
    ],
)
def test_each_layer_is_asked_only_for_what_is_needed(wrt, expected):
    seen = []
    layers = fn.Flatten(), fn.Relu(), fn.Dense(3), fn.Relu(), fn.Dense(2)
    model = fn.serial(*[spy(layer, seen) for layer in layers])
    _, params = model.init(KEY, (2, 2))
    model.apply(params, np.ones((3, 2, 2), np.float32), wrt=wrt)
    assert [call["wrt"] for call in seen] == expected


def test_wrt_reaches_into_a_nested_serial():
    seen = []
    layers = fn.Relu(), fn.Dense(3), fn.Relu()
    model = fn.serial(fn.Flatten(), fn.serial(*[spy(layer, seen) for layer in layers]), fn.Dense(2))
    _, params = model.init(KEY, (2, 2))
    model.apply(params, np.ones((3, 2, 2), np.float32), wrt="params")
    assert [call["wrt"] for call in seen] == [None, "params", "both"]


def test_wrt_changes_no_result():
    model = fn.serial(fn.Flatten(), fn.Tanh(), fn.Dense(3), fn.serial(fn.Tanh(), fn.Dense(2)))
    _, params = model.init(KEY, (2, 2))
    x = fn.random.normal(KEY, (3, 2, 2))
    y, vjp = model.apply(params, x)
    y_params, vjp_params = model.apply(params, x, wrt="params")
    y_none, vjp_none = model.apply(params, x, wrt=None)
    assert_same_bits(y, y_params)
    assert_same_bits(y, y_none)
    assert vjp_none is None
    dparams, dx = vjp_params(y)
    assert_same_bits(dparams, vjp(y)[0])
    assert dx is None


def test_wrt_params_of_a_model_without_params_is_a_vjp_of_nothing():
    model = fn.serial(fn.Flatten(), fn.Relu())
    y, vjp = model.apply([{}, {}], np.ones((2, 3)), wrt="params")
    assert vjp(y) == ([{}, {}], None)


# --- a user's own layers ---------------------------------------------------------------------


def test_an_own_layer_may_be_written_without_wrt_and_without_dtype():
    fn.check_layer(fn.serial(fn.Tanh(), OWN, fn.Dense(2)), (3,))
    for dtype in (np.float32, np.float64):
        _, params = fn.serial(OWN).init(KEY, (3,), dtype=dtype)
        assert params[0]["weight"].dtype == dtype


@pytest.mark.parametrize("before", [[], [fn.Tanh()]], ids=["first", "second"])
def test_the_surplus_of_an_own_layer_without_wrt_is_dropped(before):
    model = fn.serial(*before, OWN)
    _, params = model.init(KEY, (3,), dtype=np.float64)
    x = np.ones((2, 3))
    dparams, dx = model.apply(params, x, wrt="params")[1](x)
    assert_same_bits(dparams, model.apply(params, x)[1](x)[0])
    assert dx is None
    assert model.apply(params, x, wrt=None)[1] is None


def test_serial_gathers_the_statistics_of_its_layers():
    model = fn.serial(fn.Relu(), CENTRE, fn.serial(fn.Dense(2), CENTRE))
    _, params = model.init(KEY, (3,))
    x = fn.random.uniform(KEY, (4, 3))
    _, vjp = model.apply(params, x, train=True)
    first, second, third = vjp.statistics
    assert first is None
    assert_same_bits(second["running_mean"], x.mean(0))
    assert third[0] is None
    assert third[1]["running_mean"].shape == (2,)


@pytest.mark.parametrize("wrt", ["both", "params"])
def test_statistics_are_there_for_every_vjp_in_training_and_not_in_evaluation(wrt):
    model = fn.serial(CENTRE, fn.Dense(2))
    _, params = model.init(KEY, (3,))
    x = np.ones((4, 3), np.float32)
    assert hasattr(model.apply(params, x, train=True, wrt=wrt)[1], "statistics")
    assert not hasattr(model.apply(params, x, train=False, wrt=wrt)[1], "statistics")


# --- shards ----------------------------------------------------------------------------------


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
    assert max(shards) == min(batch // sharding.SHARD_SAMPLES, sharding.MAX_SHARDS)
    shards.clear()
    monkeypatch.setattr(sharding, "MAX_SHARDS", 1)
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
    monkeypatch.setattr(sharding, "SHARD_SAMPLES", 1)
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
sharding.SHARD_SAMPLES = sharding.SHARD_WORK = 1
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
