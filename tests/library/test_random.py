import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcnn import random

KEY = random.key(0)
SAMPLERS = {
    "normal": random.normal,
    "uniform": random.uniform,
    "bernoulli": lambda rng, shape: random.bernoulli(rng, 0.5, shape),
    "permutation": lambda rng, shape: random.permutation(rng, math.prod(shape)),
}
samplers = pytest.mark.parametrize("sample", SAMPLERS.values(), ids=SAMPLERS)
integers = st.integers(-(2**127), 2**127 - 1)
keys = integers.map(random.key)


# --- keys ------------------------------------------------------------------------------------


@given(integers)
def test_equal_seeds_are_equal_keys_with_equal_hashes(seed):
    assert random.key(seed) == random.key(seed)
    assert hash(random.key(seed)) == hash(random.key(seed))


@given(integers, integers)
def test_a_numpy_seed_is_a_seed(seed, other):
    small = seed % 2**63
    assert random.key(np.int64(small)) == random.key(small)
    assert (random.key(seed) == random.key(other)) == (seed == other)


def test_a_key_cannot_be_changed():
    with pytest.raises(AttributeError):
        KEY.bits = b"other"
    with pytest.raises((AttributeError, TypeError)):
        KEY.more = 1


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda k: pickle.loads(pickle.dumps(k))]
)
def test_a_copy_of_a_key_is_equal_to_it(again):
    assert again(KEY) == KEY


def test_a_seed_means_the_same_on_every_machine_and_in_every_version():
    # Computed once: another value here changes every seeded result of every user.
    assert repr(random.key(0)) == "Key(d82602c9330ad22fb04c459aadf76109)"
    assert random.generator(KEY).bit_generator.random_raw() == 8_900_554_157_583_926_005


@given(keys, st.integers(0, 20))
def test_split_gives_that_many_different_new_keys(rng, num):
    new = random.split(rng, num)
    assert len({rng, *new}) == len(new) + 1 == num + 1
    assert new == random.split(rng, num)


@given(keys)
def test_split_gives_two_keys_unless_told(rng):
    assert random.split(rng) == random.split(rng, 2)


@given(keys, integers, integers)
def test_fold_in_gives_one_new_key_for_each_integer(rng, data, other):
    new = random.fold_in(rng, data)
    assert new == random.fold_in(rng, data)
    assert new != rng
    assert (new == random.fold_in(rng, other)) == (data == other)


def test_derived_keys_of_a_whole_family_are_all_different():
    children = random.split(KEY, 50)
    family = [KEY, *children]
    family += [random.fold_in(k, i) for k in (KEY, *children) for i in range(50)]
    family += [k for child in children for k in random.split(child, 50)]
    family += [random.key(i) for i in range(1, 50)]
    assert len(set(family)) == len(family)


def test_order_of_derivation_matters():
    a = random.fold_in(random.fold_in(KEY, 1), 2)
    assert a != random.fold_in(random.fold_in(KEY, 2), 1)


@given(keys)
def test_key_data_comes_back_as_the_key(rng):
    data = random.key_data(rng)
    assert (data.dtype, data.shape) == (np.uint32, (4,))
    assert random.wrap_key_data(data) == rng


@pytest.mark.parametrize(
    "data",
    [np.zeros(3, np.uint32), np.zeros((1, 4), np.uint32), np.zeros(4), np.zeros(4, np.int32)],
)
def test_key_data_of_another_shape_or_dtype_is_refused(data):
    with pytest.raises(ValueError, match=r"uint32 of shape \(4,\)"):
        random.wrap_key_data(data)


# --- numbers ---------------------------------------------------------------------------------


@samplers
def test_the_same_key_gives_the_same_numbers(sample):
    first = sample(KEY, (100,))
    sample(random.key(1), (100,))
    np.testing.assert_array_equal(sample(KEY, (100,)), first)


@samplers
def test_other_keys_give_other_numbers(sample):
    results = [sample(k, (100,)).tolist() for k in (KEY, random.key(1), *random.split(KEY))]
    assert all(a != b for i, a in enumerate(results) for b in results[:i])


@samplers
def test_the_global_random_state_is_neither_read_nor_changed(sample):
    np.random.seed(1)
    first, before = sample(KEY, (10,)), np.random.get_state()[1].copy()
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(2)
    np.testing.assert_array_equal(sample(KEY, (10,)), first)


@pytest.mark.parametrize("name", ["normal", "uniform", "bernoulli"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 4)])
def test_the_shape_is_the_one_asked_for(name, shape):
    numbers = SAMPLERS[name](KEY, shape)
    assert isinstance(numbers, np.ndarray)
    assert numbers.shape == shape


@pytest.mark.parametrize("sample", [random.normal, random.uniform])
def test_floats_are_float32_unless_told(sample):
    assert sample(KEY, (3,)).dtype == np.float32
    assert sample(KEY, (3,), np.float64).dtype == np.float64


@pytest.mark.parametrize("sample", [random.normal, random.uniform])
def test_float32_draws_are_the_float64_draws_rounded(sample):
    exact = sample(KEY, (1000,), np.float64)
    np.testing.assert_array_equal(sample(KEY, (1000,)), exact.astype(np.float32))


def test_normal_has_the_moments_of_the_standard_normal():
    z = random.normal(KEY, (200_000,), np.float64)
    # Mean, variance, skewness and kurtosis, each within 4 standard errors.
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 4 * math.sqrt(variance / z.size)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0)])
def test_uniform_fills_its_interval_evenly(low, high):
    u = random.uniform(KEY, (200_000,), np.float64, low, high)
    assert low <= u.min()
    assert u.max() < high
    counts = np.histogram(u, bins=20, range=(low, high))[0]
    expected = u.size / 20
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 43.8  # 19 degrees of freedom: exceeded once in 1,000 keys


@pytest.mark.parametrize(("seed", "dtype"), [(0, np.float16), (48, np.float32)])
def test_uniform_never_reaches_maxval(seed, dtype):
    assert random.uniform(random.key(seed), (2**20,), dtype).max() < 1


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_bernoulli_is_true_with_probability_p(p):
    draws = random.bernoulli(KEY, p, (200_000,))
    assert draws.dtype == np.bool_
    assert abs(draws.mean() - p) < 4 * math.sqrt(p * (1 - p) / draws.size)


def test_bernoulli_of_0_and_1_is_certain():
    assert not random.bernoulli(KEY, 0, (10_000,)).any()
    assert random.bernoulli(KEY, 1, (10_000,)).all()


@given(keys, st.integers(0, 200))
def test_a_permutation_holds_every_integer_once(rng, n):
    order = random.permutation(rng, n)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))


def test_every_permutation_is_equally_likely():
    counts: dict[tuple[int, ...], int] = {}
    for rng in random.split(KEY, 6000):
        order = tuple(random.permutation(rng, 3).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert sum((n - 1000) ** 2 / 1000 for n in counts.values()) < 20.5  # 5 degrees of freedom


def test_draws_of_sibling_keys_are_uncorrelated():
    a, b = (random.normal(k, (100_000,), np.float64) for k in random.split(KEY))
    assert abs((a * b).mean()) < 4 / math.sqrt(a.size)


def test_a_generator_starts_anew_each_time():
    assert random.generator(KEY).random() == random.generator(KEY).random()


# --- misuse ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1.0, "1", None, True, [1]])
def test_a_seed_or_data_that_is_no_integer_is_refused(seed):
    with pytest.raises(TypeError, match="seed must be an integer"):
        random.key(seed)
    with pytest.raises(TypeError, match="data must be an integer"):
        random.fold_in(KEY, seed)


@pytest.mark.parametrize("seed", [2**127, -(2**127) - 1])
def test_a_seed_or_data_of_more_than_128_bits_is_refused(seed):
    with pytest.raises(ValueError, match="seed must fit in 128 bits"):
        random.key(seed)
    with pytest.raises(ValueError, match="data must fit in 128 bits"):
        random.fold_in(KEY, seed)


@pytest.mark.parametrize(
    "use",
    [random.split, random.key_data, lambda rng: random.fold_in(rng, 1)]
    + [lambda rng, sample=sample: sample(rng, (3,)) for sample in SAMPLERS.values()],
    ids=["split", "key_data", "fold_in", *SAMPLERS],
)
def test_a_seed_in_the_place_of_a_key_is_an_error_that_says_so(use):
    with pytest.raises(TypeError, match=r"key\(.*got 0"):
        use(0)


def test_split_into_fewer_than_none_is_refused():
    with pytest.raises(ValueError, match="-1"):
        random.split(KEY, -1)


@pytest.mark.parametrize("n", [-1, 2.5])
def test_a_permutation_of_no_number_of_things_is_refused(n):
    with pytest.raises((TypeError, ValueError), match=str(n)):
        random.permutation(KEY, n)


@pytest.mark.parametrize("sample", [random.normal, random.uniform])
def test_integers_are_not_a_dtype_of_real_numbers(sample):
    with pytest.raises((TypeError, ValueError), match="int32"):
        sample(KEY, (3,), np.int32)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_probability_outside_0_to_1_is_refused(p):
    with pytest.raises(ValueError, match=str(p)):
        random.bernoulli(KEY, p, (3,))


def test_an_interval_the_wrong_way_round_is_refused():
    with pytest.raises(ValueError, match=r"low|maxval"):
        random.uniform(KEY, (3,), minval=1.0, maxval=0.0)
