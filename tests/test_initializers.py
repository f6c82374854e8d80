import math

import numpy as np
import pytest

import funcnn as fn
from funcnn import initializers, random, spec

KEY = random.key(0)
FANS = (300, 100)

# name: (how to make it, its variance for fans (300, 100), whether it is uniform)
INITIALIZERS = {
    "glorot_normal": (initializers.glorot_normal, 2 / 400, False),
    "glorot_uniform": (initializers.glorot_uniform, 2 / 400, True),
    "he_normal": (initializers.he_normal, 2 / 300, False),
    "he_uniform": (initializers.he_uniform, 2 / 300, True),
    "lecun_normal": (initializers.lecun_normal, 1 / 300, False),
    "lecun_uniform": (initializers.lecun_uniform, 1 / 300, True),
    "torch_default": (initializers.torch_default, 1 / 900, True),
    "normal": (lambda: initializers.normal(0.3), 0.09, False),
    "uniform": (lambda: initializers.uniform(0.3), 0.03, True),
    "zeros": (initializers.zeros, 0, True),
}
SCALED_BY_FANS = [name for name in INITIALIZERS if name not in ("normal", "uniform", "zeros")]
every = pytest.mark.parametrize("name", INITIALIZERS)
scaled = pytest.mark.parametrize("name", SCALED_BY_FANS)


def make(name):
    return INITIALIZERS[name][0]()


def test_the_table_holds_every_initializer():
    assert set(INITIALIZERS) == set(spec._initializers)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(300, 100), (3, 1)])
def test_shape_and_dtype_are_those_asked_for(name, dtype, shape):
    values = make(name)(KEY, shape, dtype)
    assert (values.shape, values.dtype) == (shape, dtype)


@every
def test_values_are_float32_unless_told(name):
    assert make(name)(KEY, (2, 3)).dtype == np.float32


@every
def test_mean_is_0_and_the_variance_is_the_formula_s(name):
    _, variance, is_uniform = INITIALIZERS[name]
    values = make(name)(KEY, (300, 1000), np.float64, **fans_if_taken(name))
    # The variance of a squared value is 2 v^2 if normal and 0.8 v^2 if uniform: 4 standard errors.
    assert abs(values.mean()) <= 4 * math.sqrt(variance / values.size)
    error = 4 * variance * math.sqrt((0.8 if is_uniform else 2) / values.size)
    assert abs((values**2).mean() - variance) <= error


@every
def test_a_uniform_one_keeps_to_its_bounds_and_a_normal_one_has_none(name):
    _, variance, is_uniform = INITIALIZERS[name]
    values = make(name)(KEY, (300, 1000), np.float64, **fans_if_taken(name))
    bound = math.sqrt(3 * variance)
    assert (np.abs(values).max() <= bound) == is_uniform
    assert np.abs(values).max() >= 0.999 * bound


def fans_if_taken(name):
    return {"fans": FANS} if name in SCALED_BY_FANS else {}


@every
def test_the_same_key_gives_the_same_values(name):
    values = make(name)(KEY, (20, 30))
    np.testing.assert_array_equal(make(name)(KEY, (20, 30)), values)
    assert np.array_equal(make(name)(random.key(1), (20, 30)), values) == (name == "zeros")


@every
def test_the_spec_is_the_name_and_the_arguments(name):
    expected = {"initializer": name}
    if name in ("normal", "uniform"):
        expected["stddev" if name == "normal" else "bound"] = 0.3
    assert make(name).spec == expected


@scaled
def test_the_fans_of_a_dense_weight_are_its_sides(name):
    np.testing.assert_array_equal(make(name)(KEY, FANS), make(name)(KEY, FANS, fans=FANS))


@scaled
@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (8, 3, 5, 5)])
def test_a_weight_of_another_layout_needs_its_fans(name, shape):
    with pytest.raises(ValueError, match=r"fans=\(fan_in, fan_out\) must be given"):
        make(name)(KEY, shape)
    assert make(name)(KEY, shape, fans=FANS).shape == shape


@pytest.mark.parametrize("scale", [-0.1, math.inf, math.nan])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match=f"stddev.*{scale}"):
        initializers.normal(scale)
    with pytest.raises(ValueError, match=f"bound.*{scale}"):
        initializers.uniform(scale)


@pytest.mark.parametrize("make", [initializers.normal, initializers.uniform])
def test_a_numpy_scale_does_not_change_the_dtype(make):
    assert make(np.float64(0.1))(KEY, (3,)).dtype == np.float32


# --- in a layer ------------------------------------------------------------------------------


def init_dense(**arguments):
    _, params = fn.Dense(100, **arguments).init(KEY, (400,))
    return params


def test_torch_default_draws_weight_and_bias_from_torch_s_range():
    default = initializers.torch_default()
    params = init_dense(weight_init=default, bias_init=default)
    bound = 1 / math.sqrt(400)
    for leaf in params.values():
        assert 0.9 * bound < np.abs(leaf).max() <= bound
        assert leaf.min() < 0 < leaf.max()


def test_torch_default_has_the_range_of_torch_s_linear():
    torch = pytest.importorskip("torch", reason="torch.nn.Linear is the oracle")
    default = initializers.torch_default()
    ours = init_dense(weight_init=default, bias_init=default)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch.nn.Linear(400, 100)
    for name, leaf in ours.items():
        bound = getattr(theirs, name).detach().abs().max().item()
        assert np.abs(leaf).max() == pytest.approx(bound, rel=0.05)


def test_a_dense_layer_begins_with_glorot_uniform_weights_and_zero_biases():
    params = init_dense()
    assert 0.99 * math.sqrt(6 / 500) < np.abs(params["weight"]).max() <= math.sqrt(6 / 500)
    assert not params["bias"].any()


def test_weight_and_bias_are_drawn_with_different_keys():
    normal = initializers.normal(1.0)
    params = init_dense(weight_init=normal, bias_init=normal)
    assert not np.isin(params["bias"], params["weight"]).any()


def test_a_user_s_initializer_gets_a_key_the_shape_and_the_dtype():
    calls = []

    def ones(rng, shape, dtype):
        calls.append((type(rng), shape, dtype))
        return np.ones(shape, dtype)

    assert init_dense(weight_init=ones)["weight"].tolist() == np.ones((400, 100)).tolist()
    assert calls == [(random.Key, (400, 100), np.float32)]


def test_a_user_s_initializer_that_takes_fans_gets_them():
    def by_fans(rng, shape, dtype, *, fans):
        return np.full(shape, fans[0] + fans[1] / 1000, dtype)

    params = init_dense(weight_init=by_fans, bias_init=by_fans)
    assert (params["weight"] == np.float32(400.1)).all()
    assert (params["bias"] == np.float32(400.1)).all()


def test_a_user_s_values_become_the_layer_s_dtype():
    params = init_dense(bias_init=lambda rng, shape, dtype: np.zeros(shape, np.float64))
    assert params["bias"].dtype == np.float32
    params = init_dense(bias_init=lambda rng, shape, dtype: [0] * 100)
    assert (type(params["bias"]), params["bias"].dtype) == (np.ndarray, np.float32)


@pytest.mark.parametrize("shape", [(100, 400), (400,), (1, 400, 100), ()])
def test_a_user_s_initializer_of_the_wrong_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"returned shape .* instead of \(400, 100\)"):
        init_dense(weight_init=lambda rng, asked, dtype: np.zeros(shape, dtype))


@pytest.mark.parametrize("uncalled", [initializers.he_normal, initializers.normal])
def test_an_initializer_that_was_not_called_is_an_error_that_says_so(uncalled):
    with pytest.raises(TypeError, match=rf"call.*{uncalled.__name__}\("):
        init_dense(weight_init=uncalled)


def test_what_is_no_function_is_refused_as_an_initializer():
    with pytest.raises(TypeError, match=r"weight_init.*0\.1"):
        init_dense(weight_init=0.1)
