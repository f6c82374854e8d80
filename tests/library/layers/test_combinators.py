"""serial and the branches: params, values, errors, wrt, keys, statistics."""

import numpy as np
import pytest
from helpers import assert_same_bits, normal_batch, spy

import funcnn as fn
from funcnn.layers import core

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
        (np.tanh, r"write fn\.Tanh\(\)$"),
        ((fn.Relu().init, fn.Relu().apply), r"fn\.Layer\(init, apply\)"),
        (None, r"fn\.Layer\(init, apply\)"),
    ],
    ids=["constructor", "function", "pair", "None"],
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
        ("x", ["x"] * 5),
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
    y_x, vjp_x = model.apply(params, x, wrt="x")
    assert_same_bits(y, y_x)
    dparams, dx = vjp_x(y)
    assert dparams is None
    assert_same_bits(dx, vjp(y)[1])


@pytest.mark.parametrize("samples", [8, 2048], ids=["whole", "in shards"])
def test_wrt_x_computes_no_product_for_the_weights(samples, monkeypatch):
    model = fn.serial(fn.Dense(64), fn.Relu(), fn.Dense(10))
    _, params = model.init(KEY, (784,))
    logits, vjp = model.apply(params, np.ones((samples, 784), np.float32), wrt="x")
    summed_over = set()

    def product(a, b):
        summed_over.add(len(b))
        return a @ b

    monkeypatch.setattr(core, "matmul", product)
    vjp(logits)
    assert summed_over == {10, 64}  # features, and not samples


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


def half_knowing():
    """An own layer that knows of wrt, but of no "x"."""

    def apply(params, x, *, rng=None, train=False, wrt="both"):
        y, vjp = OWN.apply(params, x)
        return y, (None if wrt is None else vjp)

    return OWN._replace(apply=apply)


@pytest.mark.parametrize("own", [OWN, half_knowing()], ids=["no wrt", "no x"])
@pytest.mark.parametrize(
    "around", [fn.serial, lambda own: fn.residual(fn.serial(own)), lambda own: fn.residual(own)]
)
def test_the_dparams_of_an_own_layer_that_knows_no_x_are_dropped(own, around):
    model = around(own)
    fn.check_layer(model, (3,))
    _, params = model.init(KEY, (3,), dtype=np.float64)
    x = np.ones((2, 3))
    dparams, dx = model.apply(params, x, wrt="x")[1](x)
    assert dparams is None
    assert_same_bits(dx, model.apply(params, x)[1](x)[1])


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


# --- branches --------------------------------------------------------------------------------


def test_parallel_is_its_layers_beside_each_other():
    layers = fn.Dense(3), fn.Tanh()
    shape, params = fn.parallel(*layers).init(KEY, ((4,), (2,)), dtype=np.float64)
    assert shape == ((3,), (2,))
    assert [path for path, _ in fn.tree.leaves_with_path(params)] == ["0/bias", "0/weight"]
    x = normal_batch(KEY, ((4,), (2,)), 5, np.float64)
    y, vjp = fn.parallel(*layers).apply(params, x)
    dparams, dx = vjp(y)
    for i, layer in enumerate(layers):
        expected, vjp_of_layer = layer.apply(params[i], x[i])
        assert_same_bits(y[i], expected)
        assert_same_bits((dparams[i], dx[i]), vjp_of_layer(y[i]))


def test_fan_out_and_fan_in_by_hand():
    x = np.array([[1.0, 2]])
    y, vjp = fn.FanOut(3).apply({}, x)
    assert_same_bits(y, (x, x, x))
    assert_same_bits(vjp((x, 10 * x, 100 * x))[1], 111 * x)
    y, vjp = fn.FanInSum().apply({}, (x, 10 * x, 100 * x))
    assert_same_bits(y, 111 * x)
    assert_same_bits(vjp(x)[1], (x, x, x))
    y, vjp = fn.FanInConcat().apply({}, (x, np.array([[3.0]])))
    assert_same_bits(y, np.array([[1.0, 2, 3]]))
    assert_same_bits(vjp(2 * y)[1], (np.array([[2.0, 4]]), np.array([[6.0]])))


def test_a_residual_is_a_fan_out_two_branches_and_their_sum():
    branch, shortcut = fn.serial(fn.Dense(5), fn.Tanh(), fn.Dense(2)), fn.Dense(2)
    short = fn.residual(branch, shortcut)
    long = fn.serial(fn.FanOut(2), fn.parallel(branch, shortcut), fn.FanInSum())
    shape, params = short.init(KEY, (3,), dtype=np.float64)
    x = fn.random.normal(KEY, (4, 3), np.float64)
    y, vjp = short.apply(params, x)
    y_long, vjp_long = long.apply([{}, params, {}], x)
    assert shape == y.shape[1:]
    assert_same_bits(y, y_long)
    (dparams, dx), (dparams_long, dx_long) = vjp(y), vjp_long(y)
    assert_same_bits((dparams, dx), (dparams_long[1], dx_long))


def test_a_residual_without_a_shortcut_adds_its_input():
    model = fn.residual(fn.Dense(3))
    _, params = model.init(KEY, (3,))
    x = fn.random.normal(KEY, (4, 3))
    y, vjp = model.apply(params, x)
    assert_same_bits(y, x @ params[0]["weight"] + params[0]["bias"] + x)
    assert_same_bits(vjp(y)[1], y @ params[0]["weight"].T + y)


def test_each_branch_has_a_key_of_its_own():
    seen = []
    model = fn.parallel(*[spy(fn.Dropout(0.5), seen) for _ in range(2)])
    model.apply([{}, {}], (np.ones((2, 50)),) * 2, rng=KEY, train=True)
    assert [call["rng"] for call in seen] == [fn.random.fold_in(KEY, i) for i in range(2)]
    _, params = fn.parallel(fn.Dense(3), fn.Dense(3)).init(KEY, ((3,), (3,)))
    assert (params[0]["weight"] != params[1]["weight"]).all()


@pytest.mark.parametrize("make", [fn.parallel, fn.residual])
def test_branches_gather_the_statistics_of_their_layers(make):
    model = make(fn.Tanh(), CENTRE)
    shape = ((3,), (3,)) if make is fn.parallel else (3,)
    _, params = model.init(KEY, shape)
    x = fn.random.uniform(KEY, (4, 3))
    arguments = (x, x) if make is fn.parallel else x
    statistics = model.apply(params, arguments, train=True)[1].statistics
    assert statistics[0] is None
    assert_same_bits(statistics[1]["running_mean"], x.mean(0))
    assert not hasattr(model.apply(params, arguments, train=False)[1], "statistics")


def test_wrt_reaches_into_branches():
    seen = []
    branch = fn.serial(spy(fn.Tanh(), seen), spy(fn.Dense(3), seen))
    model = fn.serial(fn.Flatten(), fn.residual(branch, spy(fn.Tanh(), seen)), fn.Dense(2))
    _, params = model.init(KEY, (3,))
    x = fn.random.normal(KEY, (2, 3))
    y, vjp = model.apply(params, x, wrt="params")
    assert [call["wrt"] for call in seen] == [None, "params", "params"]
    dparams, dx = vjp(y)
    assert dx is None
    assert_same_bits(dparams, model.apply(params, x)[1](y)[0])
    assert model.apply(params, x, wrt=None)[1] is None


DROPOUT = fn.Dropout(0.5)


@pytest.mark.parametrize(
    "layer",
    [
        fn.serial(DROPOUT),
        fn.serial(fn.FanOut(1), fn.parallel(DROPOUT), fn.FanInSum()),
        fn.residual(DROPOUT, DROPOUT),
        fn.shape_dependent(lambda shape: DROPOUT),
    ],
    ids=["serial", "parallel", "residual", "shape_dependent"],
)
def test_a_combinator_is_in_evaluation_unless_it_is_asked_to_train(layer):
    x = np.ones((4, 3))
    _, params = layer.init(KEY, (3,))
    assert len({*layer.apply(params, x)[0].flat}) == 1
    assert len({*layer.apply(params, x, rng=KEY, train=True)[0].flat}) > 1


def test_shape_dependent_makes_the_layer_for_the_shape():
    made = []

    def bottleneck(input_shape):
        made.append(input_shape)
        return fn.serial(fn.Dense(input_shape[-1] // 2), fn.Tanh(), fn.Dense(input_shape[-1]))

    model = fn.shape_dependent(bottleneck)
    shape, params = model.init(KEY, (6,))
    x = fn.random.normal(KEY, (4, 6))
    y, vjp = model.apply(params, x)
    assert shape == (6,)
    expected, expected_vjp = bottleneck((6,)).apply(params, x)
    assert_same_bits(y, expected)
    assert_same_bits(vjp(y), expected_vjp(y))
    assert set(made) == {(6,)}
    assert model.spec is None


def own_sum(params, x, *, rng=None, train=False):
    """The `apply` of a user's own layer of two inputs."""
    return x[0] + x[1], lambda dy: ({}, (dy, dy))


def test_an_own_layer_may_take_a_tuple():
    own = fn.Layer(lambda rng, shapes: (shapes[0], {}), own_sum)
    fn.check_layer(own, ((3,), (3,)))
    fn.check_layer(fn.serial(fn.FanOut(2), own, fn.Dense(2)), (3,))


PAIR = (np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))
MISUSE = {
    "a list of layers": (
        lambda: fn.serial([fn.Dense(2), fn.Relu()]),
        r"serial: takes layers, got a list of them: serial\(\*layers\)",
    ),
    "what init returns in the place of params": (
        lambda: fn.serial(fn.Dense(2), fn.Relu()).apply(
            fn.serial(fn.Dense(2), fn.Relu()).init(KEY, (3,)), PAIR[0]
        ),
        r"serial: these are init's \(output_shape, params\); give the params alone",
    ),
    "a training state in the place of params": (
        lambda: fn.serial(*[fn.Relu()] * 3).apply(fn.TrainState([], (), None), PAIR[0]),
        "serial has 3 layers, so its params are a list of as many entries, got a TrainState",
    ),
    "too few cotangents": (
        lambda: fn.FanOut(2).apply({}, PAIR[0])[1](PAIR[:1]),
        "FanOut gave 2 arrays, got 1 cotangents",
    ),
    "an array of cotangents": (
        lambda: fn.FanOut(2).apply({}, PAIR[0])[1](PAIR[0]),
        "the vjp of FanOut takes a tuple of arrays, got a ndarray",
    ),
    "a cotangent that would broadcast": (
        lambda: fn.FanOut(2).apply({}, PAIR[0])[1]((PAIR[0], PAIR[0][:1])),
        r"dy must be float32 of shape \(2, 3\), got float32 of \(1, 3\)",
    ),
    "a sum of two dtypes": (
        lambda: fn.FanInSum().apply({}, (PAIR[0], PAIR[1].astype(np.float64))),
        "FanInSum joins arrays of one dtype, got float32 and float64",
    ),
    "parts of two dtypes": (
        lambda: fn.FanInConcat().apply({}, (PAIR[0], PAIR[1].astype(np.float64))),
        "FanInConcat joins arrays of one dtype, got float32 and float64",
    ),
    "parts that are integers": (
        lambda: fn.FanInConcat().apply({}, (np.ones((2, 3), int),) * 2),
        "FanInConcat takes an array of floats, got int64",
    ),
    "a tuple among the parts": (
        lambda: fn.FanInSum().apply({}, (PAIR, PAIR)),
        "FanInSum joins arrays, got a tuple of 2 among them",
    ),
    **{
        f"shapes of tuples for {layer}": (
            lambda layer=layer: layer.init(KEY, (((2,), (2,)),) * 2),
            rf"{layer.spec['layer']} joins arrays, got a tuple of 2 among them",
        )
        for layer in (fn.FanInSum(), fn.FanInConcat(), fn.FanInConcat(1))
    },
    "one array for two branches": (
        lambda: fn.parallel(fn.Relu(), fn.Relu()).init(KEY, (3,)),
        r"parallel takes a tuple of arrays, got one of shape \(3,\): see FanOut",
    ),
    "three shapes for two branches": (
        lambda: fn.parallel(fn.Relu(), fn.Relu()).init(KEY, ((3,),) * 3),
        "parallel has 2 layers, got 3 input shapes",
    ),
    "one array in apply": (
        lambda: fn.parallel(fn.Relu()).apply([{}], PAIR[0]),
        "parallel takes a tuple of arrays, got a ndarray",
    ),
    "two arrays for one branch": (
        lambda: fn.parallel(fn.Relu()).apply([{}], PAIR),
        "parallel has 1 layer, got 2 inputs",
    ),
    "a layer of one array after a branching": (
        lambda: fn.serial(fn.FanOut(2), fn.Dense(2)).init(KEY, (3,)),
        r"layer 1 \(Dense\): Dense takes one array, got shapes .* join them with FanInSum",
    ),
    "a layer of one array given two": (
        lambda: fn.serial(fn.Relu()).apply([{}], PAIR),
        r"layer 0 \(Relu\): it takes one array, got a tuple of 2: join them",
    ),
    "an error in a branch": (
        lambda: fn.parallel(fn.Relu(), fn.Reshape((2, 2))).init(KEY, ((3,), (3,))),
        r"layer 1 \(Reshape\): cannot reshape",
    ),
    "an error in a branch's apply": (
        lambda: fn.parallel(fn.Relu(), fn.Dense(2)).apply([{}, {}], PAIR),
        r"layer 1 \(Dense\): params have no 'weight'",
    ),
    "a branch that gives another shape": (
        lambda: fn.residual(fn.Dense(2)).init(KEY, (3,)),
        r"residual: the branch gives \(2,\), the shortcut \(3,\)",
    ),
    "a sum that would broadcast": (
        lambda: fn.FanInSum().init(KEY, ((3,), (1,))),
        r"FanInSum adds arrays of one shape, got \(\(3,\), \(1,\)\)",
    ),
    "a sum that would broadcast, in apply": (
        lambda: fn.FanInSum().apply({}, (PAIR[0], PAIR[0][:, :1])),
        "FanInSum adds arrays of one shape",
    ),
    "parts that do not fit": (
        lambda: fn.FanInConcat(1).init(KEY, ((3, 2), (3, 4))),
        r"FanInConcat along 1 got samples that do not fit: \(\(3, 2\), \(3, 4\)\)",
    ),
    "parts along the batch": (
        lambda: fn.FanInConcat(0).init(KEY, ((3,), (3,))),
        "dim=0 is not an axis of samples",
    ),
    "parts along no axis": (
        lambda: fn.FanInConcat(2).apply({}, PAIR),
        "dim=2 is not an axis of samples",
    ),
    "no copies": (lambda: fn.FanOut(0), "num must be at least 1, got 0"),
    "a constructor not called": (
        lambda: fn.residual(fn.Relu),
        r"residual: layer 0 is not a layer but .* call the constructor, Relu\(\.\.\.\)",
    ),
    "a layer where a function belongs": (
        lambda: fn.shape_dependent(fn.Dense(2)),
        "make_layer is a function, got fn.Dense",
    ),
    "a function that makes no layer": (
        lambda: fn.shape_dependent(lambda shape: shape).init(KEY, (3,)),
        "shape_dependent: layer 0 is not a layer",
    ),
    "params of another number": (
        lambda: fn.residual(fn.Relu()).apply([{}, {}], PAIR[0]),
        "residual has 1 layer, so its params are a list of as many entries, got 2",
    ),
    "cotangents of another number": (
        lambda: fn.parallel(fn.Relu()).apply([{}], PAIR[:1])[1](PAIR),
        "parallel has 1 layer, got 2 cotangents",
    ),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_of_branches_says_what_to_do(name):
    misuse, message = MISUSE[name]
    with pytest.raises((ValueError, TypeError), match=message):
        misuse()


# --- a Dense on images -----------------------------------------------------------------------

FORGOTTEN = {
    "at once": ((fn.Conv(2, 2), fn.Dense(3)), r"layer 1 \(Dense\)"),
    "after others": (
        (fn.Conv(2, 2), fn.BatchNorm(), fn.Relu(), fn.MaxPool(2), fn.Dropout(0.1), fn.Dense(3)),
        r"layer 5 \(Dense\)",
    ),
    "inside": (
        (fn.serial(fn.Conv(2, 2), fn.Relu()), fn.serial(fn.Tanh(), fn.Dense(3))),
        r"layer 1 \(serial\): layer 1 \(Dense\)",
    ),
    "residual": ((fn.residual(fn.Conv(1, 1)), fn.Dense(3)), r"layer 1 \(Dense\)"),
    "elementwise": (
        (fn.Conv(2, 2), fn.elementwise(fn.activations.gelu), fn.Dense(3)),
        r"layer 2 \(Dense\)",
    ),
    "in a branch": (
        (fn.AvgPool(2), fn.FanOut(2), fn.parallel(fn.Dense(3), fn.Identity())),
        r"layer 2 \(parallel\)",
    ),
}


@pytest.mark.parametrize(("layers", "where"), FORGOTTEN.values(), ids=FORGOTTEN)
def test_a_dense_on_images_is_told_of_flatten(layers, where):
    message = rf"^{where}: it would work along the width of images: put Flatten\(\) before it$"
    model = fn.serial(*layers)
    with pytest.raises(ValueError, match=message):
        model.init(KEY, (1, 8, 8))
    _, params = model.init(fn.random.SHAPES_ONLY, (1, 8, 8))  # as a file of before has them
    with pytest.warns(UserWarning, match=message):
        model.apply(params, np.ones((2, 1, 8, 8), np.float32))


CHANNELS_LAST = fn.Layer(
    lambda rng, shape: ((shape[1], shape[0]), {}),
    lambda params, x, *, rng=None, train=False: (x.swapaxes(1, 2), lambda dy: ({}, dy)),
)


@pytest.mark.parametrize(
    ("layers", "shape", "expected"),
    [
        ((fn.Dense(3), fn.Relu(), fn.Dense(2)), (5, 4), (5, 2)),  # a sequence
        ((fn.Conv(2, 2), fn.Flatten(), fn.Dense(3)), (1, 4, 4), (3,)),
        ((fn.Conv(2, 2), fn.GlobalAvgPool(), fn.Dense(3)), (1, 4, 4), (3,)),
        ((fn.Conv(2, 2), fn.Reshape((2, 9)), fn.Dense(3)), (1, 4, 4), (2, 3)),
        (
            (fn.Conv(2, 2), CHANNELS_LAST, fn.Dense(3)),
            (1, 4),
            (3, 3),
        ),  # channels last by a user's own
        ((fn.serial(fn.Conv(2, 2), fn.Flatten()), fn.Dense(3)), (1, 4, 4), (3,)),
    ],
)
def test_a_dense_elsewhere_is_left_alone(layers, shape, expected):
    model = fn.serial(*layers)
    found, params = model.init(KEY, shape)
    y, _ = model.apply(params, np.ones((2, *shape), np.float32))
    assert found == expected == y.shape[1:]
