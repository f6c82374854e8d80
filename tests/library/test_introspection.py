import numpy as np
import pytest

import funcnn as fn
from funcnn import random, tree

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
