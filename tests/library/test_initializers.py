import math

import numpy as np
import pytest
import threadpoolctl

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
# Those with tests of their own below, and their arguments.
OTHERS = {
    "constant": {"value": 0.3},
    "truncated_normal": {"stddev": 0.3},
    "orthogonal": {"gain": 0.3},
}
every = pytest.mark.parametrize("name", INITIALIZERS)
scaled = pytest.mark.parametrize("name", SCALED_BY_FANS)


def make(name):
    if name in OTHERS:
        return getattr(initializers, name)(**OTHERS[name])
    return INITIALIZERS[name][0]()


def test_the_tables_hold_every_initializer():
    assert set(INITIALIZERS) | set(OTHERS) == set(spec._initializers)


every_one = pytest.mark.parametrize("name", [*INITIALIZERS, *OTHERS])


@every_one
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(300, 100), (3, 1)])
def test_shape_and_dtype_are_those_asked_for(name, dtype, shape):
    values = make(name)(KEY, shape, dtype)
    assert (values.shape, values.dtype) == (shape, dtype)


@every_one
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


@every_one
def test_the_same_key_gives_the_same_values(name):
    values = make(name)(KEY, (20, 30))
    np.testing.assert_array_equal(make(name)(KEY, (20, 30)), values)
    other = make(name)(random.key(1), (20, 30))
    assert np.array_equal(other, values) == (name in ("zeros", "constant"))


@every_one
def test_the_spec_is_the_name_and_the_arguments(name):
    expected = {"initializer": name} | OTHERS.get(name, {})
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
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("normal", "stddev"),
        ("uniform", "bound"),
        ("truncated_normal", "stddev"),
        ("orthogonal", "gain"),
    ],
)
def test_a_scale_that_is_none_is_refused(name, argument, scale):
    said = f"{argument} must be a finite number of at least 0, got {scale}"
    with pytest.raises(ValueError, match=said):
        getattr(initializers, name)(scale)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, "1", None])
def test_a_constant_that_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match=f"value must be a finite number, got {value!r}"):
        initializers.constant(value)


@pytest.mark.parametrize("name", ["normal", "uniform", *OTHERS])
def test_a_numpy_number_does_not_change_the_dtype(name):
    assert getattr(initializers, name)(np.float64(0.1))(KEY, (3, 4)).dtype == np.float32


# --- constant, truncated normal, orthogonal --------------------------------------------------


@pytest.mark.parametrize("value", [0.3, -2, 0])
def test_a_constant_is_everywhere(value):
    assert (initializers.constant(value)(KEY, (2, 3)) == np.float32(value)).all()


def test_a_truncated_normal_ends_at_two_deviations_and_is_normal_until_there():
    values = initializers.truncated_normal(0.5)(KEY, (1000, 300), np.float64).ravel()
    assert 0.999 < np.abs(values).max() <= 1
    # The distribution function is erf between, scaled to reach 1 (Kolmogorov: 1.63 is 1 in 100).
    ordered = np.sort(values)
    inside = math.erf(math.sqrt(2))
    expected = [0.5 + 0.5 * math.erf(v / 0.5 / math.sqrt(2)) / inside for v in ordered[::100]]
    seen = np.arange(0, len(ordered), 100) / len(ordered)
    assert np.abs(seen - expected).max() < 1.63 / math.sqrt(len(ordered))
    assert abs(values.std() - 0.5 * 0.8796256610342398) < 0.5 * 4 / math.sqrt(2 * len(values))


def test_a_truncated_normal_has_the_spread_of_jax_s():
    jax = pytest.importorskip("jax", reason="jax.nn.initializers is the oracle")
    theirs = jax.nn.initializers.truncated_normal(0.2)(jax.random.key(0), (500, 400))
    ours = initializers.truncated_normal(0.2)(KEY, (500, 400))
    assert ours.std() == pytest.approx(float(theirs.std()), rel=0.01)
    assert np.abs(ours).max() == pytest.approx(float(abs(theirs).max()), rel=1e-3)


@pytest.mark.parametrize(
    "shape", [(5, 5), (30, 7), (7, 30), (1, 4), (4, 1), (1, 1), (6, 2, 2), (8, 3, 5, 5), (40, 3, 2)]
)
@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_an_orthogonal_matrix_is_orthogonal(shape, dtype, limit, gain):
    values = initializers.orthogonal(gain)(KEY, shape, dtype)
    assert (values.shape, values.dtype) == (shape, dtype)
    matrix = values.reshape(shape[0], -1).astype(np.float64) / gain
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), rtol=0, atol=limit)


def test_an_orthogonal_matrix_is_any_rotation_with_the_same_chance():
    # Of 2,000 rotations of the plane: as many in each quarter of the circle, and as many mirrored.
    keys = random.split(KEY, 2000)
    turned = np.stack([initializers.orthogonal()(key, (2, 2), np.float64) for key in keys])
    angles = np.arctan2(turned[:, 1, 0], turned[:, 0, 0])
    quarters = np.bincount(((angles + math.pi) // (math.pi / 2)).astype(int) % 4, minlength=4)
    assert abs(quarters - 500).max() < 4 * math.sqrt(2000 * 3 / 16)
    assert abs((np.linalg.det(turned) > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(2000)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_orthogonal_matrix_has_the_same_bits_for_any_number_of_blas_threads(threads):
    expected = initializers.orthogonal()(KEY, (300, 400), np.float64)
    with threadpoolctl.threadpool_limits(threads, user_api="blas"):
        values = initializers.orthogonal()(KEY, (300, 400), np.float64)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("shape", [(), (4,)])
def test_an_orthogonal_vector_is_refused(shape):
    with pytest.raises(ValueError, match=r"two axes or more, got \("):
        initializers.orthogonal()(KEY, shape)


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
