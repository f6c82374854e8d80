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


def test_a_shape_that_does_not_fit_is_an_error_that_names_the_layer():
    model = fn.serial(fn.Relu(), fn.Reshape((2, 3)), fn.Dense(3))
    with pytest.raises(ValueError, match=r"layer 1 \(Reshape\): .*\(5,\)"):
        fn.summary(model, (5,))
    with pytest.raises(ValueError, match=r"at least 1.*0"):
        fn.summary(model, (0,))
