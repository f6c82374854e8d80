"""Views of images, and predictions that are the mean over several."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcnn as fn

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 1, 3, 4)


def test_a_mirrored_image_is_read_from_right_to_left():
    np.testing.assert_array_equal(fn.views.mirrored(IMAGES)[0, 0, 0], [3, 2, 1, 0])
    np.testing.assert_array_equal(fn.views.mirrored(fn.views.mirrored(IMAGES)), IMAGES)
    assert fn.views.unchanged(IMAGES) is IMAGES


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_a_shifted_image_is_moved_pixel_by_pixel(dy, dx):
    before = IMAGES.copy()
    y = fn.views.shifted(IMAGES, dy, dx)
    assert y.dtype == IMAGES.dtype
    for row, column in np.ndindex(3, 4):
        inside = 0 <= row - dy < 3 and 0 <= column - dx < 4
        expected = IMAGES[:, :, row - dy, column - dx] if inside else 0
        np.testing.assert_array_equal(y[:, :, row, column], expected)
    np.testing.assert_array_equal(IMAGES, before)


def test_images_without_a_channel_are_images():
    np.testing.assert_array_equal(
        fn.views.shifted(IMAGES[:, 0], 1, 0), fn.views.shifted(IMAGES, 1, 0)[:, 0]
    )


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"mirrored: expected images \(N, ..., H, W\), got .*2, 3"):
        fn.views.mirrored(np.ones((2, 3)))
    with pytest.raises(TypeError, match=r"shifted: dy and dx are whole pixels, got dy=0.5, dx=1"):
        fn.views.shifted(IMAGES, 0.5, 1)


# --- the mean over views ---------------------------------------------------------------------


def network():
    model = fn.serial(fn.Conv(2, 2), fn.Relu(), fn.Flatten(), fn.Dense(3))
    _, params = model.init(fn.random.key(0), (1, 3, 4))
    return model, params, np.random.default_rng(0).integers(0, 256, (7, 1, 3, 4), np.uint8)


def prepared(x):
    return x.astype(np.float32) / 255


VIEWS = fn.views.unchanged, fn.views.mirrored, functools.partial(fn.views.shifted, dy=1, dx=0)


@pytest.mark.parametrize("batch_size", [2, 7, 1000])
def test_the_outputs_are_the_mean_over_the_views(batch_size):
    model, params, x = network()
    found = fn.predict(
        model.apply, params, x, batch_size=batch_size, preprocess=prepared, views=VIEWS
    )
    each = [fn.predict(model.apply, params, view(x), preprocess=prepared) for view in VIEWS]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.mean(each, 0), rtol=1e-5, atol=1e-6)
    y = np.arange(7) % 3
    measured = fn.evaluate(
        model.apply,
        fn.softmax_cross_entropy,
        params,
        (x, y),
        metrics={"accuracy": fn.accuracy},
        preprocess=prepared,
        views=VIEWS,
    )
    assert measured["loss"] == pytest.approx(fn.softmax_cross_entropy(found, y)[0], rel=1e-5)
    assert measured["accuracy"] == fn.accuracy(found, y)


def test_one_view_alone_is_what_the_model_gives_for_it():
    model, params, x = network()
    plain = fn.predict(model.apply, params, x, preprocess=prepared)
    alone = fn.predict(model.apply, params, x, preprocess=prepared, views=[fn.views.unchanged])
    np.testing.assert_array_equal(alone, plain)
    mirrored = fn.predict(model.apply, params, x, preprocess=prepared, views=[fn.views.mirrored])
    assert np.abs(mirrored - plain).max() > 1e-3


def test_with_both_views_a_mirrored_image_is_the_same():
    model, params, x = network()
    find = functools.partial(fn.predict, model.apply, params, preprocess=prepared, views=VIEWS[:2])
    np.testing.assert_array_equal(find(x), find(fn.views.mirrored(x)))


def test_a_model_of_several_inputs_and_outputs_has_views_too():
    model = fn.parallel(fn.Identity(), fn.Identity())
    x = np.ones((3, 2)), np.zeros((3, 1))
    double = fn.predict(
        model.apply, [{}, {}], x, views=(lambda x: x, lambda x: (3 * x[0], x[1] + 1)), batch_size=2
    )
    np.testing.assert_array_equal(double[0], np.full((3, 2), 2.0))
    np.testing.assert_array_equal(double[1], np.full((3, 1), 0.5))


@pytest.mark.parametrize(
    ("views", "error", "message"),
    [
        ((), ValueError, "views: there are none"),
        (fn.views.mirrored, TypeError, r"views are functions of inputs, .* got <function mirrored"),
        ((fn.views.mirrored, 3), TypeError, r"views are functions of inputs"),
        ([lambda x: x[1:]], ValueError, r"<lambda> gives 6 rows for 7: a view keeps them"),
        ([functools.partial(np.repeat, repeats=2, axis=0)], ValueError, "a view gives 14 rows"),
    ],
)
def test_what_is_no_view_is_an_error(views, error, message):
    model, params, x = network()
    with pytest.raises(error, match=message):
        fn.predict(model.apply, params, x, preprocess=prepared, views=views)
