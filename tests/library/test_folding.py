"""BatchNorm folded into the layer before it: the same function, and of which layers."""

import copy
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcnn as fn

KEY = fn.random.key(0)


def with_statistics(params, seed):
    """Params of any model, of numbers like 1, in which a variance is positive."""
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        numbers = rng.normal(size=leaf.shape).astype(leaf.dtype)
        return np.abs(numbers) + leaf.dtype.type(0.1) if path.endswith("running_var") else numbers

    leaves = iter([fill(path, leaf) for path, leaf in fn.tree.leaves_with_path(params)])
    return fn.tree.map(lambda leaf: next(leaves), params)


def folded(model, input_shape, seed=0, dtype=np.float64):
    """A model's own params, the model and the params after folding, and inputs."""
    _, params = model.init(KEY, input_shape, dtype=dtype)
    params = with_statistics(params, seed)
    before = copy.deepcopy(params)
    result = fn.fold_batch_norm(model, params)
    fn.tree.map(np.testing.assert_array_equal, params, before)
    assert type(result) is tuple
    x = np.random.default_rng(seed + 1).normal(size=(3, *input_shape)).astype(dtype)
    return params, *result, x


def assert_same_function(model, params, model_after, params_after, x, tolerance=1e-10):
    """Outputs as near as rounding leaves them, and params that are the model's, of one dtype."""
    y, _ = model.apply(params, x)
    y_after, _ = model_after.apply(params_after, x)
    assert y_after.dtype == y.dtype
    limit = tolerance * max(1.0, float(np.abs(y).max()))
    np.testing.assert_allclose(y_after, y, rtol=tolerance, atol=limit)
    _, fresh = model_after.init(KEY, x.shape[1:], dtype=x.dtype)
    sizes = [(path, leaf.shape, leaf.dtype) for path, leaf in fn.tree.leaves_with_path(fresh)]
    assert [
        (path, leaf.shape, leaf.dtype) for path, leaf in fn.tree.leaves_with_path(params_after)
    ] == sizes


NORMS = (fn.BatchNorm(), fn.BatchNorm(eps=0.1, affine=False))
LINEAR = (
    *(fn.Conv(4, 1), fn.Conv(2, 3, padding=1, bias=False), fn.Conv(4, (2, 3), 1, "same", groups=2)),
    *(fn.ConvTranspose(2, 2, bias=False), fn.ConvTranspose(4, 2, stride=2, groups=2)),
)
OTHERS = (fn.Relu(), fn.Identity(), fn.Dropout(0.5))
layers = st.sampled_from([*NORMS, *LINEAR, *OTHERS])
dense = st.sampled_from([fn.Dense(3, bias=False), fn.Dense(4), *NORMS, *OTHERS])


def branch(parts):
    """A branch that gives two channels, whatever the parts are."""
    return fn.serial(fn.serial(*parts), fn.Conv(2, 1), NORMS[0], fn.GlobalAvgPool())


def model_of(first, second, third, rows):
    """A net of such layers: in a serial of its own, beside each other, around a sum, of rows."""
    return fn.serial(
        fn.serial(*first),
        fn.residual(branch(second), branch(third)),
        *(fn.FanOut(2), fn.parallel(fn.Identity(), fn.serial(*rows)), fn.FanInConcat()),
        fn.serial(*rows),
    )


some = st.lists(layers, max_size=5)
models = st.builds(model_of, some, some, some, st.lists(dense, max_size=4))
SHAPE = 2, 4, 3


@given(models, st.integers(0, 99))
def test_a_folded_net_is_the_same_function(model, seed):
    params, after, params_after, x = folded(model, SHAPE, seed)
    assert_same_function(model, params, after, params_after, x)
    names = names_in_order(after)
    for name, behind in itertools.pairwise(names):
        assert not (behind == "BatchNorm" and name in ("Conv", "ConvTranspose", "Dense")), names
    assert fn.fold_batch_norm(after, params_after)[0] is after


@settings(max_examples=15)
@given(models, st.integers(0, 99))
def test_it_is_to_the_rounding_of_float32(model, seed):
    params, after, params_after, x = folded(model, SHAPE, seed, np.float32)
    assert all(leaf.dtype == np.float32 for leaf in fn.tree.leaves(params_after))
    assert_same_function(model, params, after, params_after, x, tolerance=3e-4)


def names_in_order(layer):
    """The layers of a model in order; another combinator than serial stands for its branches."""
    if layer.spec["layer"] == "serial":
        return [
            name for part in layer.spec["layers"] for name in names_in_order(fn.from_spec(part))
        ]
    return [layer.spec["layer"]]


def test_the_formula_by_hand():
    model = fn.serial(fn.Dense(2, bias=False), fn.BatchNorm(eps=0.0))
    norm = {
        "weight": np.array([2.0, 3.0]),
        "bias": np.array([1.0, -1.0]),
        "running_mean": np.array([5.0, 0.0]),
        "running_var": np.array([4.0, 9.0]),
    }
    params = [{"weight": np.array([[1.0, 2.0]])}, norm]
    after, (dense,) = fn.fold_batch_norm(model, params)
    assert after.spec == fn.serial(fn.Dense(2)).spec
    np.testing.assert_array_equal(dense["weight"], [[1.0, 2.0]])
    np.testing.assert_array_equal(dense["bias"], [-4.0, -1.0])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (fn.serial(fn.Conv(4, 3), fn.BatchNorm()), fn.serial(fn.Conv(4, 3))),
        (
            fn.serial(fn.Conv(4, 3, groups=2, bias=False), fn.BatchNorm(), fn.BatchNorm()),
            fn.serial(fn.Conv(4, 3, groups=2)),
        ),
        (
            fn.serial(fn.serial(fn.Conv(4, 3)), fn.serial(fn.BatchNorm(), fn.Relu())),
            fn.serial(fn.serial(fn.Conv(4, 3)), fn.serial(fn.Relu())),
        ),
        (
            fn.serial(fn.Conv(4, 3), fn.serial(fn.BatchNorm()), fn.Relu()),
            fn.serial(fn.Conv(4, 3), fn.Relu()),
        ),
        (
            fn.residual(fn.serial(fn.Conv(4, 1), fn.BatchNorm())),
            fn.residual(fn.serial(fn.Conv(4, 1))),
        ),
    ],
)
def test_what_is_left(model, expected):
    _, after, params, x = folded(model, (4, 5, 5))
    assert after.spec == expected.spec
    assert fn.from_spec(after.spec).apply(params, x)[0].shape == after.apply(params, x)[0].shape


def stays(model, input_shape=(4, 5, 5)):
    params, after, params_after, _ = folded(model, input_shape)
    assert after is model
    fn.tree.map(np.testing.assert_array_equal, params_after, params)


@pytest.mark.parametrize(
    "layers",
    [
        (fn.BatchNorm(),),
        (fn.BatchNorm(), fn.Conv(4, 3)),
        (fn.Conv(4, 3), fn.Relu(), fn.BatchNorm()),
        (fn.Conv(4, 3), fn.MaxPool(2), fn.BatchNorm()),
        (fn.residual(fn.serial(fn.Relu(), fn.Conv(4, 1))), fn.BatchNorm()),
    ],
)
def test_what_cannot_be_folded_stays(layers):
    stays(fn.serial(*layers))
    stays(fn.serial(*layers, fn.Flatten()))


def test_of_a_dense_on_more_axes_the_channels_are_others():
    stays(fn.serial(fn.Dense(3), fn.BatchNorm()), (5, 2))


def test_no_bare_layer_changes():
    stays(fn.BatchNorm())
    stays(fn.Conv(2, 3))


def test_a_layer_whose_functions_were_replaced_stays():
    conv, norm = fn.Conv(4, 3), fn.BatchNorm()

    def apply(params, x, **keywords):
        return conv.apply(params, x, **keywords)

    stays(fn.serial(conv._replace(apply=apply), norm))
    stays(fn.serial(conv, norm._replace(init=lambda rng, shape, **k: norm.init(rng, shape, **k))))
    replaced = fn.serial(conv, norm)
    stays(replaced._replace(apply=lambda params, x, **k: replaced.apply(params, x, **k)))


def test_a_layer_of_ones_own_stays():
    @fn.constructor(per_sample="always")
    def Scale(factor):
        def apply(params, x, *, rng=None, train=False, wrt="both"):
            return factor * x, lambda dy: ({}, factor * dy)

        return fn.Layer(lambda rng, shape, **dtype: (shape, {}), apply)

    stays(fn.serial(fn.Conv(4, 3), Scale(2.0), fn.BatchNorm()))


def test_an_initializer_that_is_no_data_stays_with_its_layer():
    def ones(rng, shape, dtype=np.float32, **fans):
        return np.ones(shape, dtype)

    model = fn.serial(fn.Conv(4, 3, bias=False, weight_init=ones), fn.BatchNorm())
    params, after, params_after, x = folded(model, (4, 5, 5))
    assert after.spec is None
    assert_same_function(model, params, after, params_after, x)


def test_tuples_of_params_stay_tuples():
    model = fn.serial(fn.Conv(4, 3), fn.BatchNorm(), fn.Relu())
    _, params = model.init(KEY, (4, 5, 5))
    _, after = fn.fold_batch_norm(model, tuple(params))
    assert type(after) is tuple
    assert len(after) == 2


def test_the_folded_net_is_saved_and_loaded(tmp_path):
    model = fn.serial(fn.Conv(4, 3, bias=False), fn.BatchNorm(), fn.GlobalAvgPool(), fn.Dense(2))
    _, after, params, x = folded(model, (4, 5, 5), dtype=np.float32)
    fn.save(tmp_path / "folded.npz", params, model=after, input_shape=(4, 5, 5))
    snapshot = fn.load(tmp_path / "folded.npz")
    y, _ = snapshot.model.apply(snapshot.params, x)
    np.testing.assert_array_equal(y, after.apply(params, x)[0])


def test_the_folded_net_trains_on():
    model = fn.serial(
        *(fn.Conv(4, 3, bias=False), fn.BatchNorm(), fn.Relu()),
        *(fn.Flatten(), fn.Dense(8), fn.BatchNorm(), fn.Dense(2)),
    )
    _, after, params, _ = folded(model, (1, 5, 5), dtype=np.float32)
    fn.check_layer(after, (1, 5, 5))
    x = fn.random.normal(KEY, (32, 1, 5, 5))
    y = (x.mean((1, 2, 3)) > 0).astype(int)
    optimizer = fn.adam(0.01)
    step = fn.make_train_step(after.apply, fn.softmax_cross_entropy, optimizer)
    state = fn.TrainState.create(params, optimizer)
    for _ in range(60):
        state, _ = step(state, (x, y))
    measured = fn.evaluate(
        after.apply,
        fn.softmax_cross_entropy,
        state.params,
        (x, y),
        metrics={"accuracy": fn.accuracy},
    )
    assert measured["accuracy"] == 1.0


def test_wrong_arguments():
    model = fn.serial(fn.Conv(4, 3), fn.BatchNorm())
    _, params = model.init(KEY, (4, 5, 5))
    with pytest.raises(TypeError, match=r"fold_batch_norm: layer 0 is not a layer but <function"):
        fn.fold_batch_norm(model.apply, params)
    with pytest.raises(ValueError, match=r"serial has 2 layers, .* got 1 entries"):
        fn.fold_batch_norm(model, params[:1])
    with pytest.raises(ValueError, match="params have no 'running_var'"):
        fn.fold_batch_norm(model, [params[0], params[0]])
