"""Augmentations: each one's definition on small images, and what all of them promise."""

import numpy as np
import pytest
from helpers import assert_same_bits, frozen, memory_orders
from hypothesis import given
from hypothesis import strategies as st

import funcnn as fn
from funcnn import augmentations as aug

KEY = fn.random.key(0)
ALL = {
    "shift": aug.shift(2),
    "flip": aug.flip(),
    "affine": aug.affine(degrees=20, scale=0.2, shear=10, shift=1.5),
    "elastic": aug.elastic(8, 2),
    "erase": aug.erase(),
    "mixup": aug.mixup(0.4, 10),
    "chain": aug.chain(aug.flip(), aug.affine(10), aug.erase(p=1.0)),
}
OF_IMAGES = {name: augment for name, augment in ALL.items() if name != "mixup"}
every = pytest.mark.parametrize("augment", ALL.values(), ids=ALL)
every_of_images = pytest.mark.parametrize("augment", OF_IMAGES.values(), ids=OF_IMAGES)


def images(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(1, 255, shape).astype(dtype)


def batch(n=6, channels=1, height=7, width=9, dtype=np.uint8):
    return images(n, channels, height, width, dtype=dtype), np.arange(n) % 10


# --- all of them -----------------------------------------------------------------------------


@every
@pytest.mark.parametrize("n", [0, 1, 6])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_key_gives_the_same_bits_and_no_argument_is_changed(augment, n, channels):
    x, y = frozen(batch(n, channels))
    once, again = augment(KEY, (x, y)), augment(KEY, (x, y))
    assert once[0].shape == x.shape
    assert_same_bits(once[0], again[0])
    assert_same_bits(once[1], again[1])
    assert not np.shares_memory(once[0], x)


@every
def test_another_key_gives_another_batch(augment):
    x, y = batch(12)
    one, other = (augment(fn.random.key(seed), (x, y))[0] for seed in (0, 1))
    assert (one != other).any()


@every_of_images
@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "f2", "f4", ">f4", "f8", "?"])
def test_the_dtype_is_kept_and_targets_pass(augment, dtype):
    x, y = batch(dtype=dtype)
    if dtype == "f2" or dtype == "?":
        x = (x > 99).astype(dtype)
    changed, targets = augment(KEY, (x, y))
    assert (changed.dtype, changed.shape) == (x.dtype, x.shape)
    assert targets is y
    pair = (y, y)
    assert augment(KEY, (x, pair))[1] is pair


@every
def test_the_order_in_memory_changes_nothing(augment):
    x, y = batch(4, 2)
    right = augment(KEY, (x, y))[0]
    for other in memory_orders(x).values():
        assert_same_bits(augment(KEY, (other, y))[0], right)


@every_of_images
@pytest.mark.parametrize("shape", [(4,), (4, 9), (4, 7, 9), (4, 1, 7, 9, 1), (4, 1, 0, 9)])
def test_other_shapes_than_images_are_refused(augment, shape):
    with pytest.raises(ValueError, match=r"takes images \(N, C, H, W\), got an array of \(4"):
        augment(KEY, (np.zeros(shape, np.uint8), np.zeros(4, int)))


@every
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((np.zeros((1, 1, 4, 4)),) * 2 + (1,), r"a batch is a pair \(x, y\)"),
        (np.zeros((1, 1, 4, 4)), r"a batch is a pair \(x, y\)"),
        (
            ((np.zeros((1, 1, 4, 4)),) * 2, np.zeros(1, int)),
            "one array of inputs, got a tuple of 2",
        ),
        (([[[[1.0]]]], np.zeros(1, int)), r"x is an array, got a list: np\.asarray\(x\)"),
        ((np.zeros((1, 1, 4, 4), complex), np.zeros(1, int)), "numbers, got one of complex128"),
    ],
    ids=["three", "array", "tuple", "list", "complex"],
)
def test_what_is_no_batch_of_an_array_is_named(augment, given, message):
    with pytest.raises(TypeError, match=message) as caught:
        augment(KEY, given)
    assert "\n" not in str(caught.value)


def test_what_is_no_key_is_named():
    with pytest.raises(TypeError, match="rng must be a key"):
        aug.flip()(0, batch())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: aug.shift(-1), r"most must be an integer of at least 0, got -1"),
        (lambda: aug.shift(1.5), r"most must be an integer of at least 0, got 1\.5"),
        (lambda: aug.flip(1.1), r"p must be in \[0, 1\], got 1\.1"),
        (lambda: aug.affine(degrees=181), r"degrees must be in \[0, 180\], got 181"),
        (lambda: aug.affine(scale=-0.1), r"scale must be in \[0, 100\], got -0\.1"),
        (lambda: aug.affine(scale=1e300), r"scale must be in \[0, 100\], got 1e\+300"),
        (lambda: aug.affine(shear=90), r"shear must be in \[0, 90\), got 90"),
        (lambda: aug.affine(shift=(1, 2)), r"shift must be in \[0, 1e\+06\], got"),
        (lambda: aug.elastic(-1, 4), r"alpha must be in \[0, 1e\+06\], got -1"),
        (lambda: aug.elastic(34, 0), r"sigma must be in \[0\.1, 1000\], got 0"),
        (lambda: aug.erase(area=0.3), r"area must be a pair \(low, high\), got 0\.3"),
        (lambda: aug.erase(area=(-1, 0.3)), r"a number of area must be in \[0, 1\], got -1"),
        (lambda: aug.erase(ratio=(3, 1)), r"the lower first, got \(3, 1\)"),
        (
            lambda: aug.erase(values=(0, np.inf)),
            r"a number of values must be in \[-1e\+30, 1e\+30\]",
        ),
        (lambda: aug.mixup(0, 10), "alpha must be a finite number above 0"),
        (lambda: aug.mixup(0.2, 0), "classes must be an integer of at least 1"),
    ],
)
def test_a_value_out_of_range_is_named_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- shift -----------------------------------------------------------------------------------


def test_a_shift_is_by_whole_pixels_and_0_comes_in():
    x = images(200, 2, 5, 6)
    moved, _ = aug.shift(2)(KEY, (x, None))
    framed = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    seen = set()
    for one, frame in zip(moved, framed, strict=True):
        places = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if (one == frame[:, down : down + 5, right : right + 6]).all()
        ]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) == 25  # each of them came


def test_a_shift_by_0_changes_nothing_and_one_over_all_of_the_image_is_refused():
    x, y = batch()
    assert_same_bits(aug.shift(0)(KEY, (x, y))[0], x)
    assert aug.shift(6)(KEY, (x, y))[0].shape == x.shape
    with pytest.raises(ValueError, match="most must be below the images' 7 x 9 pixels, got 7"):
        aug.shift(7)(KEY, (x, y))


# --- flip ------------------------------------------------------------------------------------


def test_a_flip_mirrors_left_to_right_with_its_probability():
    x = images(2000, 1, 2, 3)
    for p in (0.0, 0.25, 1.0):
        flipped, _ = aug.flip(p)(KEY, (x, None))
        same, mirrored = ((flipped == each).all((1, 2, 3)) for each in (x, x[:, :, :, ::-1]))
        assert (same | mirrored).all()
        assert (mirrored & ~same).mean() == pytest.approx(p, abs=0.05)


# --- affine ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_no_transformation_changes_no_bit(dtype):
    x, y = batch(50, 2, 28, 27, dtype)
    assert_same_bits(aug.affine()(KEY, (x, y))[0], x)
    assert_same_bits(aug.elastic(0, 3)(KEY, (x, y))[0], x)


def test_an_image_alone_is_moved_as_far_as_it_is_said():
    """Of one bright pixel in the middle the centre of mass is found again where it was moved to."""
    x = np.zeros((500, 1, 21, 15), np.float32)
    x[:, 0, 10, 7] = 1
    moved, _ = aug.affine(shift=3.0)(KEY, (x, None))
    down = (moved.sum((1, 3)) * np.arange(21)).sum(1) - 10
    right = (moved.sum((1, 2)) * np.arange(15)).sum(1) - 7
    np.testing.assert_allclose(moved.sum((1, 2, 3)), 1, rtol=1e-5)
    for each in (down, right):
        assert -3 <= each.min() < -2.8
        assert 2.8 < each.max() <= 3
        assert abs(each.mean()) < 0.3
        assert (np.abs(each - np.rint(each)) > 0.1).any()  # fractions too
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.2


def test_a_turn_is_about_the_centre_and_within_the_degrees():
    x = np.zeros((300, 1, 21, 21), np.float32)
    x[:, 0, 10, 16] = 1  # 6 to the right of the centre
    turned, _ = aug.affine(degrees=30)(KEY, (x, None))
    total = turned.sum((1, 2, 3))
    down = (turned.sum((1, 3)) * np.arange(21)).sum(1) / total - 10
    right = (turned.sum((1, 2)) * np.arange(21)).sum(1) / total - 10
    np.testing.assert_allclose(np.hypot(down, right), 6, atol=0.2)
    angles = np.degrees(np.arctan2(down, right))
    assert -31 < angles.min() < -27
    assert 27 < angles.max() < 31


def test_axes_are_scaled_each_for_itself_and_log_uniform():
    x = np.zeros((400, 1, 41, 41), np.float32)
    x[:, 0, 10:31, 10:31] = 1  # 21 to each side
    scaled, _ = aug.affine(scale=0.5)(KEY, (x, None))
    high, wide = scaled[:, 0, :, 20].sum(1) / 21, scaled[:, 0, 20].sum(1) / 21
    for each in (high, wide):
        assert 0.64 < each.min() < 0.7
        assert 1.4 < each.max() < 1.53
        assert abs(np.log(each).mean()) < 0.05
    assert abs(np.corrcoef(high, wide)[0, 1]) < 0.2


def test_a_shear_keeps_rows_and_moves_them_against_each_other():
    x = np.zeros((300, 1, 21, 41), np.float32)
    x[:, 0, 5, 20] = x[:, 0, 15, 20] = 1
    sheared, _ = aug.affine(shear=30)(KEY, (x, None))
    places = (sheared * np.arange(41)).sum((1, 3)) - 20  # (N, H): where each row's pixel is
    np.testing.assert_allclose(sheared[:, 0, [5, 15]].sum(2), 1, rtol=1e-5)
    np.testing.assert_allclose(places[:, 5], -places[:, 15], atol=1e-4)
    slants = np.degrees(np.arctan(places[:, 15] / 5))
    assert -30.1 < slants.min() < -28
    assert 28 < slants.max() < 30.1


def test_integers_are_rounded_and_nothing_wraps_around():
    x = np.full((300, 1, 8, 8), 255, np.uint8)
    for augment in (aug.affine(shift=0.9), aug.affine(degrees=40, scale=0.5, shift=9)):
        changed, _ = augment(KEY, (x, None))
        exact, _ = augment(KEY, (x.astype(np.float32), None))
        assert_same_bits(changed, np.rint(exact).astype(np.uint8))
    x = np.zeros((100, 1, 8, 8), np.uint8)
    x[:, :, :, 0] = 200
    assert not aug.affine(shift=1.0)(KEY, (x, None))[0][:, :, :, 4:].any()


def test_channels_are_moved_together():
    x = images(9, 1, 12, 11)
    for augment in (aug.affine(30, 0.3, 10, 2), aug.elastic(20, 3)):
        changed, _ = augment(KEY, (np.concatenate([x, x, 255 - x], 1), None))
        assert_same_bits(changed[:, 0], changed[:, 1])


def test_so_many_images_that_they_are_warped_a_few_at_a_time_differ_from_each_other():
    x = np.repeat(images(1, 1, 28, 28), 100, 0)
    for augment in (aug.affine(30), aug.elastic(34, 4)):
        changed, _ = augment(KEY, (x, None))
        assert len({one.tobytes() for one in changed}) == 100


# --- elastic ---------------------------------------------------------------------------------


def test_displacements_have_the_spread_of_smoothed_uniform_draws():
    """Of a ramp each pixel says where it comes from."""
    ramp = np.broadcast_to(np.arange(60, dtype=np.float32), (40, 1, 60, 60))
    changed, _ = aug.elastic(34, 4)(KEY, (ramp, None))
    moves = (changed - ramp)[:, 0, 15:45, 15:45]
    expected = 34 * np.sqrt(1 / 3) / (2 * 4 * np.sqrt(np.pi))  # the norm of the Gaussian's weights
    assert moves.std() == pytest.approx(expected, rel=0.1)
    assert abs(moves.mean()) < 0.2
    steps = np.diff(moves, axis=2)  # smooth: neighbours move alike
    assert steps.std() < 0.3 * moves.std()
    np.testing.assert_array_equal(aug.elastic(0, 4)(KEY, (ramp, None))[0], ramp)


def test_bits_do_not_depend_on_the_threads_of_blas(two_blas_threads):
    x = images(2, 1, 300, 260)
    augment = aug.elastic(34, 4)
    free, _ = augment(KEY, (x, None))
    with fn.threads.single_threaded_blas():
        assert_same_bits(augment(KEY, (x, None))[0], free)


# --- erase -----------------------------------------------------------------------------------


def erased(x, augment, key=KEY):
    """Which pixels of each image were filled, `(N, H, W)`, where x has none of their values."""
    changed, _ = augment(key, (x, None))
    filled = (changed != x).any(1)
    np.testing.assert_array_equal(changed, np.where(filled[:, None], changed, x))
    return changed, filled


@given(st.integers(3, 20), st.integers(3, 20), st.integers(0, 2**32))
def test_what_is_erased_is_one_rectangle_of_one_value(height, width, seed):
    x = np.full((8, 2, height, width), 300, np.int64)
    changed, filled = erased(x, aug.erase(p=1.0), fn.random.key(seed))
    for one, inside in zip(changed, filled, strict=True):
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        assert inside.sum() == len(rows) * len(columns) >= 1
        assert np.ptp(rows) == len(rows) - 1
        assert np.ptp(columns) == len(columns) - 1
        assert len(set(one[:, inside].ravel())) == 1
        assert 0 <= one[:, inside].min() <= 255


def test_rectangles_have_the_areas_and_ratios_that_are_said_and_lie_anywhere():
    x = np.full((3000, 1, 40, 30), -1, np.int64)
    _, filled = erased(x, aug.erase(p=1.0, area=(0.1, 0.3), ratio=(0.5, 2.0)))
    areas = filled.mean((1, 2))
    high, wide = filled.any(2).sum(1), filled.any(1).sum(1)
    assert 0.09 < areas.min() < 0.11
    assert 0.28 < areas.max() < 0.32
    assert areas.mean() == pytest.approx(0.2, abs=0.01)
    ratios = np.log(high / wide)
    assert abs(ratios.mean()) < 0.05
    assert np.exp(ratios).min() == pytest.approx(0.5, abs=0.1)
    assert np.exp(ratios).max() == pytest.approx(2.0, abs=0.3)
    assert filled.any(0).all()  # corners too


def test_a_rectangle_with_no_room_for_its_ratio_is_as_long_as_the_image():
    x = np.full((50, 1, 10, 40), -1, np.int64)
    _, filled = erased(x, aug.erase(p=1.0, area=(0.5, 0.5), ratio=(3, 3)))
    assert (filled.any(2).sum(1) == 10).all()
    assert (filled.any(1).sum(1) == 20).all()
    _, filled = erased(x, aug.erase(p=1.0, area=(1, 1)))
    assert filled.all()


def test_each_image_is_erased_with_its_probability_and_a_value_of_its_own():
    x = np.full((2000, 1, 6, 6), -1, np.int64)
    changed, filled = erased(x, aug.erase(p=0.3))
    assert filled.any((1, 2)).mean() == pytest.approx(0.3, abs=0.03)
    values = changed.max((1, 2, 3))[filled.any((1, 2))]
    assert len(set(values)) > 150
    assert values.mean() == pytest.approx(127.5, abs=8)
    assert not erased(x, aug.erase(p=0.0))[1].any()


def test_values_are_of_the_images_dtype():
    x = np.full((50, 1, 6, 6), 0.5, np.float32)
    changed, filled = erased(x, aug.erase(p=1.0, values=(2, 3)))
    assert changed[filled[:, None]].min() >= 2
    assert changed.max() <= 3
    with pytest.raises(ValueError, match=r"values of int8 are -128 to 127, got \(0\.0, 255\.0\)"):
        aug.erase()(KEY, (x.astype(np.int8), None))


# --- mixup -----------------------------------------------------------------------------------


def test_inputs_and_targets_are_mixed_by_the_same_share():
    x, y = np.eye(8, dtype=np.uint8) * 200, np.arange(8)
    shares = []
    for seed in range(40):
        mixed, targets = aug.mixup(1.0, 8)(fn.random.key(seed), (x, y))
        assert (mixed.dtype, targets.dtype, targets.shape) == (np.float32, np.float32, (8, 8))
        np.testing.assert_allclose(mixed, 200 * targets, rtol=1e-5)
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
        own = np.diag(targets)
        shares += [own[own < 1].min(initial=1)]
        assert len(set(np.round(own[own < 1], 5))) <= 1  # one share for the batch
    assert min(shares) < 0.2
    assert max(shares) > 0.8
    partners = targets.copy()
    np.fill_diagonal(partners, 0)
    assert len(set(partners.argmax(1))) > 3


def test_probabilities_are_mixed_as_labels_are():
    x, y = batch(6, 1, 4, 4)
    by_label = aug.mixup(0.5, 10)(KEY, (x, y))
    by_row = aug.mixup(0.5, 10)(KEY, (x, np.eye(10)[y]))
    assert_same_bits(by_label[0], by_row[0])
    assert_same_bits(by_label[1], by_row[1])
    wide = aug.mixup(0.5, 10)(KEY, (x.astype(np.float64), y))
    assert wide[0].dtype == wide[1].dtype == np.float64


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0, 1, 3]), r"label 3 is not in 0 \.\. 2"),
        (np.array([0, -1, 2]), r"label -1 is not in 0 \.\. 2"),
        (
            np.array([0.0, 1, 2]),
            r"labels are integers \(3,\) or .* \(3, 3\), got float64 of \(3,\)",
        ),
        (np.zeros((3, 4)), r"got float64 of \(3, 4\)"),
        (np.zeros(4, int), r"got int64 of \(4,\)"),
        ((np.zeros(3, int), np.ones(3)), "got a tuple"),
    ],
)
def test_targets_that_cannot_be_mixed_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        aug.mixup(0.2, 3)(KEY, (np.zeros((3, 2)), y))


# --- chain -----------------------------------------------------------------------------------


def test_a_chain_applies_each_with_a_key_of_its_own():
    x, y = batch(20)
    first, second = fn.random.split(KEY)
    right = aug.shift(2)(second, aug.flip()(first, (x, y)))
    assert_same_bits(aug.chain(aug.flip(), aug.shift(2))(KEY, (x, y))[0], right[0])
    twice = aug.chain(aug.shift(2), aug.shift(2))(KEY, (x, y))[0]
    once = aug.shift(2)(first, (x, y))
    assert (twice != aug.shift(2)(first, once)[0]).any()
    empty = aug.chain()(KEY, (x, y))
    assert empty[0] is x
    assert empty[1] is y


def test_what_is_no_function_is_named_by_its_place():
    with pytest.raises(TypeError, match=r"augmentation 1 is no function: 0\.5"):
        aug.chain(aug.flip(), 0.5)
