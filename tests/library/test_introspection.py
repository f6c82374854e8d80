import numpy as np
import pytest

import funcnn as fn
from funcnn import random, tree
from funcnn.types import traits

MLP = fn.serial(fn.Flatten(), fn.Dense(300), fn.Relu(), fn.Dense(10, bias=False))
NESTED = fn.serial(
    fn.Flatten(), fn.serial(fn.Dense(5), fn.serial(fn.Tanh(), fn.Dense(4))), fn.Dense(3)
)


def test_the_table_has_one_line_a_layer_and_the_total():
    assert str(fn.summary(MLP, (1, 28, 28))) == "\n".join(
        [
            "path  layer    output shape  parameters    bytes",
            "0     Flatten  (784,)                 0        0",
            "1     Dense    (300,)           235,500  942,000",
            "2     Relu     (300,)                 0        0",
            "3     Dense    (10,)              3,000   12,000",
            "      total                     238,500  954,000",
        ]
    )


def test_a_convolutional_model_is_shown_layer_by_layer():
    model = fn.serial(
        *(fn.Conv(8, 5, padding="same"), fn.Relu(), fn.MaxPool(2), fn.Conv(16, 3, groups=2)),
        *(fn.GlobalAvgPool(), fn.Dense(10)),
    )
    assert str(fn.summary(model, (1, 28, 28))) == "\n".join(
        [
            "path  layer          output shape  parameters  bytes",
            "0     Conv           (8, 28, 28)          208    832",
            "1     Relu           (8, 28, 28)            0      0",
            "2     MaxPool        (8, 14, 14)            0      0",
            "3     Conv           (16, 12, 12)         592  2,368",
            "4     GlobalAvgPool  (16,)                  0      0",
            "5     Dense          (10,)                170    680",
            "      total                               970  3,880",
        ]
    )
    with pytest.raises(ValueError, match=r"layer 3 \(Conv\): a kernel of 3x3 is larger .* 1x1"):
        fn.summary(model, (1, 2, 2))


def test_the_rows_are_data():
    rows = fn.summary(MLP, (1, 28, 28)).rows
    assert rows[1] == ("1", "Dense", (300,), 784 * 300 + 300, 4 * (784 * 300 + 300))
    assert rows[1].output_shape == (300,)


def test_combinators_are_opened_up():
    rows = fn.summary(NESTED, (2, 3)).rows
    assert [(row.path, row.name) for row in rows] == [
        ("0", "Flatten"),
        ("1/0", "Dense"),
        ("1/1/0", "Tanh"),
        ("1/1/1", "Dense"),
        ("2", "Dense"),
    ]
    assert [row.output_shape for row in rows] == [(6,), (5,), (5,), (4,), (3,)]


@pytest.mark.parametrize("model", [MLP, NESTED, fn.Dense(3), fn.Relu()])
def test_the_counts_are_those_of_the_params_under_each_path(model):
    _, params = model.init(random.key(1), (6,))
    summary = fn.summary(model, (6,))
    leaves = tree.leaves_with_path(params)
    for row in summary.rows:
        below = [
            leaf for path, leaf in leaves if path.startswith(f"{row.path}/" if row.path else "")
        ]
        assert row.parameters == sum(leaf.size for leaf in below)
        assert row.bytes == sum(leaf.nbytes for leaf in below)
    assert summary.parameters == sum(leaf.size for _, leaf in leaves)
    assert summary.bytes == sum(leaf.nbytes for _, leaf in leaves)


def test_a_model_of_one_layer_is_one_row():
    assert fn.summary(fn.Dense(3), (4,)).rows == (("", "Dense", (3,), 15, 60),)


def test_a_model_of_nothing_has_no_weights():
    summary = fn.summary(fn.serial(), (4,))
    assert (summary.parameters, summary.bytes) == (0, 0)


def own_layer(dtype):
    def init(rng, input_shape):
        return input_shape, {"weight": np.ones(input_shape, dtype)}

    def apply(params, x, *, rng=None, train=False):
        return x * params["weight"], lambda dy: ({"weight": (dy * x).sum(0)}, dy * params["weight"])

    return fn.Layer(init, apply)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_user_s_own_layer_is_a_row_of_the_weights_that_the_model_has(dtype):
    model = fn.serial(fn.Relu(), own_layer(dtype))
    _, params = model.init(random.key(0), (4,))
    row = fn.summary(model, (4,)).rows[1]
    assert (row.path, row.name, row.output_shape, row.parameters) == ("1", "layer", (4,), 4)
    assert row.bytes == params[1]["weight"].nbytes


@pytest.mark.parametrize("input_shape", [[6], (np.int64(6),)])
def test_a_shape_may_be_a_list_or_hold_numpy_numbers(input_shape):
    assert fn.summary(MLP, input_shape) == fn.summary(MLP, (6,))


def test_a_snapshot_brings_its_model_and_its_shape(tmp_path):
    _, params = NESTED.init(random.key(0), (2, 3))
    fn.save(tmp_path / "whole.npz", params, model=NESTED, input_shape=(2, 3))
    assert fn.summary(fn.load(tmp_path / "whole.npz")) == fn.summary(NESTED, (2, 3))
    fn.save(tmp_path / "shapeless.npz", params, model=NESTED)
    shapeless = fn.load(tmp_path / "shapeless.npz")
    assert fn.summary(shapeless, (2, 3)) == fn.summary(NESTED, (2, 3))
    with pytest.raises(ValueError, match=r"^summary needs the shape of one input: fn\.summary\("):
        fn.summary(shapeless)
    with pytest.raises(ValueError, match=r"^summary needs the shape"):
        fn.summary(NESTED)
    fn.save(tmp_path / "params.npz", params)
    with pytest.raises(ValueError, match="the snapshot does not say which model it is of"):
        fn.summary(fn.load(tmp_path / "params.npz"))


def test_a_shape_that_does_not_fit_is_an_error_that_names_the_layer():
    model = fn.serial(fn.Relu(), fn.Reshape((2, 3)), fn.Dense(3))
    with pytest.raises(ValueError, match=r"layer 1 \(Reshape\): .*\(5,\)"):
        fn.summary(model, (5,))
    with pytest.raises(ValueError, match=r"at least 1.*0"):
        fn.summary(model, (0,))


def test_branches_are_opened_up():
    model = fn.serial(
        fn.residual(fn.Dense(4), fn.Tanh()), fn.FanOut(2), fn.parallel(fn.Dense(2), fn.Relu())
    )
    rows = fn.summary(model, (4,)).rows
    assert [(row.path, row.name, row.output_shape) for row in rows] == [
        ("0/0", "Dense", (4,)),
        ("0/1", "Tanh", (4,)),
        ("1", "FanOut", ((4,), (4,))),
        ("2/0", "Dense", (2,)),
        ("2/1", "Relu", (4,)),
    ]


# --- the outputs of inner layers -------------------------------------------------------------


def test_the_outputs_of_inner_layers_are_what_each_layer_gives():
    model = fn.serial(fn.Dense(5), fn.Tanh(), fn.Dense(2))
    _, params = model.init(random.key(0), (4,))
    x = random.normal(random.key(1), (3, 4))
    outputs = fn.inner_outputs(model, params, x)
    assert list(outputs) == ["0", "1", "2"]
    np.testing.assert_array_equal(outputs["0"], x @ params[0]["weight"] + params[0]["bias"])
    np.testing.assert_array_equal(outputs["1"], np.tanh(outputs["0"]))
    np.testing.assert_array_equal(outputs["2"], model.apply(params, x)[0])


def test_inner_combinators_are_opened_up_and_come_after_their_layers():
    model = fn.serial(fn.Flatten(), fn.residual(fn.serial(fn.Dense(4), fn.Relu())), fn.Dense(2))
    _, params = model.init(random.key(0), (2, 2))
    x = random.normal(random.key(1), (3, 2, 2))
    outputs = fn.inner_outputs(model, params, x)
    assert list(outputs) == ["0", "1/0/0", "1/0/1", "1/0", "1", "2"]
    np.testing.assert_array_equal(outputs["1"], outputs["1/0"] + outputs["0"])


def test_inner_outputs_are_those_of_training_with_the_same_key():
    model = fn.serial(fn.Dense(50), fn.Dropout(0.5), fn.Dense(3))
    _, params = model.init(random.key(0), (4,))
    x = random.normal(random.key(1), (3, 4))
    outputs = fn.inner_outputs(model, params, x, rng=random.key(2), train=True)
    expected, _ = model.apply(params, x, rng=random.key(2), train=True)
    np.testing.assert_array_equal(outputs["2"], expected)
    assert 0.2 < (outputs["1"] == 0).mean() < 0.8


def test_a_large_batch_gives_one_output_a_layer():
    model = fn.serial(fn.Dense(512), fn.Relu(), fn.Dense(10))
    _, params = model.init(random.key(0), (784,))
    outputs = fn.inner_outputs(model, params, random.normal(random.key(1), (512, 784)))
    assert [y.shape for y in outputs.values()] == [(512, 512), (512, 512), (512, 10)]


def test_inner_outputs_of_own_layers_and_of_none():
    model = fn.serial(fn.Relu(), own_layer(np.float32))
    x = np.ones((2, 4), np.float32)
    assert list(fn.inner_outputs(model, model.init(random.key(0), (4,))[1], x)) == ["0", "1"]
    assert fn.inner_outputs(fn.Relu(), {}, x) == {}
    with pytest.raises(ValueError, match="serial has 2 layers"):
        fn.inner_outputs(model, [], x)


def Scale():
    """A user's own constructor."""

    def apply(params, x, *, rng=None, train=False):
        return x * params.get("weight", 1), lambda dy: ({}, dy)

    return fn.Layer(lambda rng, input_shape: (input_shape, {}), apply)


def test_layers_of_one_s_own_are_called_as_what_makes_them():
    model = fn.serial(Scale(), fn.shape_dependent(lambda shape: fn.Relu()), own_layer(np.float32))
    names = [row.name for row in fn.summary(model, (4,)).rows]
    assert names == ["Scale", "shape_dependent", "layer"]
    with pytest.raises(ValueError, match=r"layer 0 \(Scale\): operands could not be broadcast"):
        fn.serial(Scale()).apply([{"weight": np.ones(3)}], np.ones((2, 4)))


# --- the gradients of inner layers -----------------------------------------------------------


def with_bump(layer, path, at, size):
    """The layer, with a number added to one entry of the output of the layer at this path in it."""
    if path:
        inner = list(traits(layer).layers)
        inner[path[0]] = with_bump(inner[path[0]], path[1:], at, size)
        return traits(layer).rebuild(*inner)

    def apply(params, x, *, rng=None, train=False):
        y = layer.apply(params, x)[0].copy()
        y[at] += size
        return y, None

    return layer._replace(apply=apply)


@pytest.mark.parametrize(
    "model",
    [
        fn.serial(fn.Dense(5), fn.Tanh(), fn.Dense(3)),
        fn.serial(fn.Sigmoid(), fn.residual(fn.serial(fn.Dense(4), fn.Tanh())), fn.Dense(3)),
    ],
    ids=["serial", "residual"],
)
def test_the_gradients_of_inner_layers_are_the_slopes_of_the_loss(model):
    _, params = model.init(random.key(0), (4,), dtype=np.float64)
    x, y = np.random.default_rng(0).standard_normal((6, 4)), np.arange(6) % 3
    gradients = fn.inner_gradients(model, fn.softmax_cross_entropy, params, x, y)
    outputs = fn.inner_outputs(model, params, x)
    assert list(gradients) == list(outputs)
    for path, dy in gradients.items():
        assert dy.shape == outputs[path].shape
        for at in [(0, 0), tuple(size - 1 for size in dy.shape)]:
            up, down = (
                with_bump(model, [*map(int, path.split("/"))], at, size).apply(params, x)[0]
                for size in (1e-6, -1e-6)
            )
            rise = fn.softmax_cross_entropy(up, y)[0] - fn.softmax_cross_entropy(down, y)[0]
            np.testing.assert_allclose(dy[at], rise / 2e-6, rtol=1e-6, atol=1e-9)


def test_the_gradients_of_branches_are_tuples():
    model = fn.serial(fn.FanOut(2), fn.parallel(fn.Dense(3), fn.Tanh()), fn.FanInSum())
    _, params = model.init(random.key(0), (3,))
    x = random.normal(random.key(1), (6, 3))
    y = np.zeros_like(x)
    gradients = fn.inner_gradients(model, fn.half_squared_error, params, x, y)
    assert list(gradients) == ["0", "1/0", "1/1", "1", "2"]
    last = fn.half_squared_error(model.apply(params, x)[0], y)[1]()
    for dy in (gradients["2"], *gradients["1"], gradients["1/0"], gradients["1/1"]):
        np.testing.assert_array_equal(dy, last)
    dense, tanh = gradients["0"]
    np.testing.assert_array_equal(dense, last @ params[1][0]["weight"].T)
    np.testing.assert_allclose(tanh, last * (1 - np.tanh(x) ** 2), rtol=1e-6)


def test_a_bias_has_the_sum_of_its_layer_s_gradient():
    model = fn.serial(fn.Conv(3, 3), fn.Relu(), fn.MaxPool(2), fn.Flatten(), fn.Dense(4))
    _, params = model.init(random.key(0), (1, 8, 8))
    x, y = random.normal(random.key(1), (70, 1, 8, 8)), np.arange(70) % 4
    gradients = fn.inner_gradients(model, fn.softmax_cross_entropy, params, x, y)
    _, grads = fn.value_and_grad(model.apply, fn.softmax_cross_entropy)(params, x, y)
    assert list(gradients) == ["0", "1", "2", "3", "4"]
    np.testing.assert_allclose(gradients["0"].sum((0, 2, 3)), grads[0]["bias"], rtol=1e-4)
    np.testing.assert_allclose(gradients["4"].sum(0), grads[4]["bias"], rtol=1e-5, atol=1e-7)
    # The layers are where they stand, though `serial` cuts at 0 after pooling.
    assert (gradients["1"] != 0).sum() <= 70 * 3 * 9


def test_inner_gradients_are_those_of_training_with_the_same_key():
    model = fn.serial(fn.Dropout(0.5), fn.Dense(50), fn.BatchNorm(), fn.Dropout(0.5), fn.Dense(3))
    _, params = model.init(random.key(0), (4,))
    x, y = random.normal(random.key(1), (3, 4)), np.arange(3)
    pair = fn.softmax_cross_entropy, params, x, y
    gradients = fn.inner_gradients(model, *pair, rng=random.key(2), train=True)
    outputs = fn.inner_outputs(model, params, x, rng=random.key(2), train=True)
    np.testing.assert_array_equal(gradients["2"], gradients["3"] * 2 * (outputs["3"] != 0))
    assert not (gradients["2"] == fn.inner_gradients(model, *pair)["2"]).all()


def test_inner_gradients_of_own_layers_and_of_none():
    model = fn.serial(own_layer(np.float64), fn.Relu())
    x, y = np.ones((2, 4)), np.zeros((2, 4))
    _, params = model.init(random.key(0), (4,), dtype=np.float64)
    gradients = fn.inner_gradients(model, fn.half_squared_error, params, x, y)
    np.testing.assert_array_equal(gradients["0"], gradients["1"])
    assert fn.inner_gradients(fn.Relu(), fn.half_squared_error, {}, x, y) == {}
    for function, *rest in [(fn.inner_outputs,), (fn.inner_gradients, params, y)]:
        with pytest.raises(TypeError, match=rf"{function.__name__}: layer 0 is not a layer but"):
            function(model.apply, params, x, *rest)


# --- the gradient of each example ------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (fn.serial(fn.Dense(5), fn.Tanh(), fn.Dense(3)), (4,)),
        (
            fn.serial(fn.Conv(2, 3), fn.Relu(), fn.Flatten(), fn.Dropout(0.5), fn.Dense(3)),
            (1, 5, 5),
        ),
        (fn.serial(fn.FanOut(2), fn.parallel(fn.Dense(3), fn.Dense(3)), fn.FanInSum()), (4,)),
    ],
    ids=["dense", "images and dropout", "branches"],
)
def test_the_gradient_of_an_example_is_that_of_a_batch_of_one(model, shape):
    _, params = model.init(random.key(0), shape)
    x, y = random.normal(random.key(1), (7, *shape)), np.arange(7) % 3
    loss, key = fn.softmax_cross_entropy, random.key(2)
    grads = fn.per_example_grads(model.apply, loss)(params, x, y, rng=key)
    assert fn.tree.structure(grads) == fn.tree.structure(params)
    assert {leaf.dtype for leaf in fn.tree.leaves(grads)} == {np.dtype(np.float32)}
    one = fn.value_and_grad(model.apply, loss)
    for i in range(7):
        _, alone = one(params, x[i : i + 1], y[i : i + 1], rng=random.fold_in(key, i))
        assert fn.tree.all_close(fn.tree.map(lambda g, i=i: g[i], grads), alone, rtol=0, atol=0)


def test_the_mean_of_the_gradients_of_examples_is_that_of_the_batch():
    model = fn.serial(fn.Dense(5), fn.LayerNorm(), fn.Relu(), fn.Dense(3))
    _, params = model.init(random.key(0), (4,), dtype=np.float64)
    x, y = np.random.default_rng(0).standard_normal((20, 4)), np.arange(20) % 3
    grads = fn.per_example_grads(model.apply, fn.softmax_cross_entropy)(params, x, y)
    _, whole = fn.value_and_grad(model.apply, fn.softmax_cross_entropy)(params, x, y)
    assert fn.tree.all_close(fn.tree.map(lambda g: g.mean(0), grads), whole, rtol=1e-12)


def test_the_gradients_of_examples_are_jax_s_vmap_of_grad():
    jax = pytest.importorskip("jax", reason="the oracle of this test is jax.vmap(jax.grad)")
    model = fn.serial(fn.Dense(5), fn.Tanh(), fn.Dense(3))
    _, params = model.init(random.key(0), (4,), dtype=np.float64)
    x, y = np.random.default_rng(0).standard_normal((6, 4)), np.arange(6) % 3

    def loss(params, x, y):
        first, _, last = params
        hidden = jax.numpy.tanh(x @ first["weight"] + first["bias"])
        return -jax.nn.log_softmax(hidden @ last["weight"] + last["bias"])[y]

    with jax.enable_x64(True):
        theirs = jax.vmap(jax.grad(loss), (None, 0, 0))(params, x, y)
    ours = fn.per_example_grads(model.apply, fn.softmax_cross_entropy)(params, x, y)
    assert fn.tree.all_close(ours, fn.tree.map(np.asarray, theirs), rtol=1e-10, atol=1e-14)


def test_the_gradients_of_examples_of_several_inputs_and_targets():
    model = fn.serial(fn.parallel(fn.Dense(2), fn.Dense(2)), fn.FanInSum())
    _, params = model.init(random.key(0), ((3,), (4,)), dtype=np.float64)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 3)), rng.standard_normal((5, 4))
    targets, weights = rng.standard_normal((5, 2)), np.arange(1.0, 6)
    plain = fn.per_example_grads(model.apply, fn.mean_squared_error)(params, x, targets)
    weighted = fn.weighted(fn.mean_squared_error)
    same = fn.per_example_grads(model.apply, weighted)(params, x, (targets, weights))
    assert fn.tree.all_close(plain, same, rtol=1e-12)  # a weight of one example cancels out
    assert plain[0][1]["weight"].shape == (5, 4, 2)


def test_examples_that_do_not_fit_are_refused():
    _, params = fn.Dense(2).init(random.key(0), (3,))
    gradients = fn.per_example_grads(fn.Dense(2).apply, fn.softmax_cross_entropy)
    with pytest.raises(ValueError, match="5 inputs but 4 targets"):
        gradients(params, np.ones((5, 3), np.float32), np.zeros(4, int))
    with pytest.raises(ValueError, match="there are no examples"):
        gradients(params, np.ones((0, 3), np.float32), np.zeros(0, int))
