"""Params as torch's state_dict and back: names, layouts, dtypes, and what does not fit."""

import numpy as np
import pytest
from cases import LAYERS
from helpers import assert_same_bits, frozen, spy

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.pytorch.state_dicts import from_state_dict, to_state_dict

KEY = fn.random.key(0)
ROWS = [
    pytest.param(layer, shape, id=f"{name} {index} of {shape}")
    for name, rows in LAYERS.items()
    for index, (layer, shape) in enumerate(rows)
    if layer.spec is not None
]
MODEL = fn.serial(
    fn.Conv(4, 3, bias=False),
    fn.BatchNorm(),
    fn.residual(fn.serial(fn.Conv(4, 1), fn.PRelu(4)), fn.serial(fn.BatchNorm(affine=False))),
    fn.Flatten(),
    fn.Dense(5),
)
SHAPE = (2, 4, 4)


@pytest.fixture
def params():
    return MODEL.init(KEY, SHAPE)[1]


@pytest.fixture
def arrays(params):
    return to_state_dict(MODEL, params)


def test_names_order_and_layouts_are_torchs(params, arrays):
    assert {name: array.shape for name, array in arrays.items()} == {
        "0.weight": (4, 2, 3, 3),
        "1.weight": (4,),
        "1.bias": (4,),
        "1.running_mean": (4,),
        "1.running_var": (4,),
        "1.num_batches_tracked": (),
        "2.0.0.weight": (4, 4, 1, 1),
        "2.0.0.bias": (4,),
        "2.0.1.weight": (4,),
        "2.1.0.running_mean": (4,),
        "2.1.0.running_var": (4,),
        "2.1.0.num_batches_tracked": (),
        "4.weight": (5, 16),
        "4.bias": (5,),
    }
    assert list(arrays)[:6] == [
        *("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"),
        "1.num_batches_tracked",
    ]
    np.testing.assert_array_equal(arrays["4.weight"], params[4]["weight"].T)
    np.testing.assert_array_equal(arrays["0.weight"], params[0]["weight"])
    assert arrays["1.num_batches_tracked"].dtype == np.int64
    assert all(array.flags.c_contiguous for array in arrays.values())


def test_a_layer_alone_has_names_without_a_number():
    _, params = fn.Dense(2).init(KEY, (3,))
    assert list(to_state_dict(fn.Dense(2), params)) == ["weight", "bias"]


@pytest.mark.parametrize(("layer", "shape"), ROWS)
def test_every_layer_comes_back_with_the_same_bits(layer, shape):
    _, params = layer.init(KEY, shape)
    like = fn.tree.map(np.zeros_like, params)
    back = from_state_dict(layer, frozen(like), frozen(to_state_dict(layer, frozen(params))))
    assert_same_bits(back, params)
    assert fn.tree.structure(back) == fn.tree.structure(params)


def test_what_comes_back_is_a_copy(params, arrays):
    back = from_state_dict(MODEL, params, arrays)
    for leaf in fn.tree.leaves(back):
        assert leaf.flags.owndata
        assert leaf.flags.writeable
        assert not any(np.shares_memory(leaf, array) for array in arrays.values())


def test_the_counter_may_be_missing_and_is_not_kept(params, arrays):
    del arrays["1.num_batches_tracked"]
    arrays["2.1.0.num_batches_tracked"] = np.array(900, np.int32)
    assert_same_bits(from_state_dict(MODEL, params, arrays), params)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_cast_to_the_dtype_of_the_params(params, arrays, dtype):
    given = {name: a.astype(dtype) if a.ndim else a for name, a in arrays.items()}
    back = from_state_dict(MODEL, params, given)
    assert {leaf.dtype for leaf in fn.tree.leaves(back)} == {np.dtype(np.float32)}
    assert fn.tree.all_close(back, params, rtol=1e-3, atol=1e-3)


def test_infinities_and_nan_are_carried(params, arrays):
    arrays["4.bias"] = np.array([np.inf, -np.inf, np.nan, 0, 1])
    back = from_state_dict(MODEL, params, arrays)
    np.testing.assert_array_equal(back[4]["bias"], arrays["4.bias"].astype(np.float32))


BIAS = np.zeros(5, np.float32)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"4.bias": None}, ["there is no 4.bias"]),
        ({"1.running_var": None}, ["there is no 1.running_var"]),
        ({"module.4.bias": BIAS}, ["the model has no module.4.bias"]),
        ({"4.num_batches_tracked": np.array(1)}, ["the model has no 4.num_batches_tracked"]),
        ({"4.weight": np.zeros((16, 5))}, ["4.weight has shape (16, 5) instead of (5, 16)"]),
        ({"4.bias": BIAS[:, None]}, ["4.bias has shape (5, 1) instead of (5,)"]),
        ({"1.num_batches_tracked": np.zeros(1, int)}, ["has shape (1,) instead of ()"]),
        ({"4.bias": np.zeros(5, np.int64)}, ["4.bias is int64, not floats"]),
        ({"4.bias": np.zeros(5, np.complex64)}, ["4.bias is complex64, not floats"]),
        ({"4.bias": np.zeros(5, bool)}, ["4.bias is bool, not floats"]),
        ({"1.num_batches_tracked": np.array(1.0)}, ["is float64, not integers"]),
        ({"4.bias": np.full(5, 1e300)}, ["4.bias holds 1e+300", "too large for float32"]),
        (
            {"4.bias": None, "x": BIAS, "4.weight": np.zeros(2)},
            ["there is no 4.bias; the model has no x; 4.weight has shape (2,)"],
        ),
        ({str(i): BIAS for i in range(9)}, ["the model has no 0, 1, 2, 3, and 5 more"]),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_it(params, arrays, changes, said):
    given = {name: a for name, a in (arrays | changes).items() if a is not None}
    with pytest.raises(InputError) as caught:
        from_state_dict(MODEL, params, given)
    for words in said:
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (fn.serial(fn.Flatten(), spy(fn.Relu(), [])), r"layer 1 \(layer\) has no spec"),
        (
            fn.serial(fn.residual(fn.shape_dependent(lambda shape: fn.Dense(*shape)))),
            r"layer 0/0 \(shape_dependent\)",
        ),
        (spy(fn.Relu(), []), "the layer layer has no spec"),
    ],
)
def test_a_layer_without_a_spec_is_named_with_its_place(model, said):
    _, params = model.init(KEY, (3,))
    with pytest.raises(InputError, match=said):
        to_state_dict(model, params)


def test_params_of_another_model_are_refused(params):
    with pytest.raises(InputError, match="params of another model: it has no 1/bias, 1/running_"):
        to_state_dict(fn.serial(fn.Conv(4, 3)), params[:2])
