"""A snapshot in a plain script: inputs as they are stored, probabilities and names of classes."""

import json
import zipfile

import numpy as np
import pytest
from helpers import assert_same_bits, frozen

import funcnn as fn
from funcnn.experiments.training.model import read_model

NORMALIZATION = {"scale": 255.0, "mean": 0.25, "std": 0.5}
NAMES = ["cat", "dog", "bird"]
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 4), dtype=np.uint8)
IMAGES[0, 0, 0, :2] = 0, 255
IMAGES = frozen(IMAGES)
INPUTS = (IMAGES / 255 - 0.25) / 0.5


def saved(path, *layers, input_shape=(1, 4, 4), dtype=np.float32, **about):
    model = fn.serial(*layers) if layers else fn.serial(fn.Flatten(), fn.Dense(3))
    _, params = model.init(fn.random.key(0), input_shape)
    params = fn.tree.map(lambda leaf: leaf.astype(dtype), params)
    about = {"normalization": NORMALIZATION, "class_names": NAMES} | about
    fn.save(path, params, model=model, input_shape=input_shape, **about)
    return fn.load(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "params.npz"


def logits_of(snapshot, dtype=np.float32):
    weight, bias = (snapshot.params[1][name].astype(np.float64) for name in ("weight", "bias"))
    return INPUTS.reshape(5, 16) @ weight + bias


def test_bytes_are_normalised_as_stored_and_logits_made_probabilities(path):
    snapshot = saved(path)
    exponentials = np.exp(logits_of(snapshot))
    expected = exponentials / exponentials.sum(1, keepdims=True)
    found = snapshot.predict(IMAGES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    names = [NAMES[index] for index in expected.argmax(1)]
    assert snapshot.classes(IMAGES).tolist() == names


@pytest.mark.parametrize(
    "same",
    [IMAGES[:, 0], IMAGES.tolist(), IMAGES.astype(np.float64), IMAGES.astype(np.int64)],
    ids=["without a channel", "a list", "floats", "integers"],
)
def test_the_same_images_may_be_given_in_several_forms(path, same):
    snapshot = saved(path)
    assert_same_bits(snapshot.predict(same), snapshot.predict(IMAGES))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", ">f8"])
def test_the_scores_are_the_bits_that_a_run_has_for_params_of_any_dtype(path, dtype):
    snapshot = saved(path, dtype=dtype)
    model = read_model(path)
    found = snapshot.scores(IMAGES)
    assert found.dtype == np.result_type(np.float32, dtype)
    assert_same_bits(found, model.predict(IMAGES))
    np.testing.assert_allclose(found, logits_of(snapshot), rtol=1e-4, atol=1e-5)
    labels = np.array([0, 1, 2, 0, 1])
    loss = fn.softmax_cross_entropy(model.predict(IMAGES), labels)[0]
    np.testing.assert_allclose(loss, fn.softmax_cross_entropy(found, labels)[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("last", "told", "function"),
    [
        ((fn.Softmax(),), None, lambda y: y),
        ((fn.Sigmoid(),), None, lambda y: y),
        ((fn.serial(fn.Relu(), fn.Softmax()),), None, lambda y: y),
        ((fn.LogSoftmax(),), None, np.exp),
        ((), "probabilities", lambda y: y),
        ((), "logits", lambda y: fn.activations.softmax(y)[0]),
        ((), None, lambda y: fn.activations.softmax(y)[0]),
        ((fn.Softmax(),), "logits", lambda y: fn.activations.softmax(y)[0]),
    ],
)
def test_probabilities_are_what_the_last_layer_or_the_file_says(path, last, told, function):
    snapshot = saved(path, fn.Flatten(), fn.Dense(3), *last, outputs=told)
    assert snapshot.outputs == told
    assert_same_bits(snapshot.predict(IMAGES), function(snapshot.scores(IMAGES)))


@pytest.mark.parametrize(("last", "told"), [((fn.Sigmoid(),), None), ((), "logits")])
def test_one_output_is_the_probability_of_class_1(path, last, told):
    layers = (fn.Flatten(), fn.Dense(1), *last)
    snapshot = saved(path, *layers, class_names=["no", "yes"], outputs=told)
    scores = snapshot.scores(IMAGES)
    expected = scores if last else 1 / (1 + np.exp(-scores))
    found = snapshot.predict(IMAGES)
    assert found.shape == (5, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    names = ["yes" if row > 0.5 else "no" for row in expected[:, 0]]
    assert snapshot.classes(IMAGES).tolist() == names
    assert set(names) == {"yes", "no"}


def test_scores_are_no_probabilities_but_have_classes(path):
    snapshot = saved(path, outputs="scores")
    with pytest.raises(ValueError, match=r"only scores: use snapshot\.scores"):
        snapshot.predict(IMAGES)
    assert snapshot.classes(IMAGES).tolist() == [
        NAMES[index] for index in logits_of(snapshot).argmax(1)
    ]


def test_one_output_that_nothing_is_known_of_is_refused(path):
    snapshot = saved(path, fn.Flatten(), fn.Dense(1), class_names=None)
    for ask in (snapshot.predict, snapshot.classes):
        with pytest.raises(ValueError, match="does not say what the network's one output is"):
            ask(IMAGES)


def test_without_names_classes_are_numbers(path):
    snapshot = saved(path, class_names=None)
    assert_same_bits(snapshot.classes(IMAGES), snapshot.scores(IMAGES).argmax(1))


def test_without_a_normalization_floats_are_taken_and_integers_refused(path):
    snapshot = saved(path, normalization=None)
    inputs = INPUTS.astype(np.float32)
    np.testing.assert_allclose(snapshot.scores(inputs), logits_of(snapshot), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"uint8 must be normalised first: .* give floats"):
        snapshot.predict(IMAGES)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (IMAGES[0, 0], r"inputs are \(N, 4, 4\) or \(N, 1, 4, 4\), got shape \(4, 4\): give one"),
        (IMAGES[:, :, :3], r"got shape \(5, 1, 3, 4\)$"),
        (IMAGES[:, [0, 0]], r"got shape \(5, 2, 4, 4\)$"),
        (IMAGES.reshape(5, 16), r"got shape \(5, 16\)$"),
        (np.float32(3), r"got shape \(\)$"),
        (IMAGES / 255, "as stored, from 0 to 255, .* float64 from 0.* to 1$"),
        (IMAGES > 100, "as stored, from 0 to 255, .* bool from 0 to 1$"),
        (INPUTS, "as stored, from 0 to 255, .* float64 from -0.5 to 1.5$"),
        (IMAGES.astype(np.int64) + 1, "from .* to 256$"),
        (np.full((1, 4, 4), np.nan), "from nan to nan"),
        (np.full((1, 4, 4), "a"), "an array of numbers, got one of <U1"),
        (IMAGES[:0], "there are no inputs"),
    ],
)
def test_other_inputs_are_refused(path, inputs, said):
    with pytest.raises(ValueError, match=said) as caught:
        saved(path).predict(inputs)
    assert "\n" not in str(caught.value)


def test_one_image_of_shape_1_h_w_is_a_batch_of_one(path):
    snapshot = saved(path)
    assert_same_bits(snapshot.predict(IMAGES[0]), snapshot.predict(IMAGES[:1]))


def test_points_are_given_as_they_are(path):
    normalization = {"scale": 1.0, "mean": 0.0, "std": 1.0}
    layers = (fn.Dense(1), fn.Sigmoid())
    about = {"class_names": None, "normalization": normalization}
    snapshot = saved(path, *layers, input_shape=(2,), **about)
    points = np.array([[-0.5, 0.25], [3.0, 0.5]])
    assert_same_bits(snapshot.predict(points), read_model(path).predict(points))
    with pytest.raises(ValueError, match=r"inputs are \(N, 2\), got shape \(2,\): give one"):
        snapshot.predict(points[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": None}, "does not say which model"),
        ({"input_shape": None}, "or of which inputs"),
        ({"normalization": {"mean": 0.1, "std": 0.3}}, r"normalization is .* got {'mean': 0.1"),
        ({"class_names": ["cat"]}, "there are 1 class names for 3 classes"),
        ({"input_shape": ((2,), (2,))}, "several inputs"),
    ],
)
def test_a_snapshot_that_does_not_say_enough_is_refused(path, change, said):
    with pytest.raises(ValueError, match=said):
        saved(path)._replace(**change).classes(IMAGES)


def test_what_outputs_are_is_one_of_three_words_and_only_written_if_told(path):
    saved(path)
    with zipfile.ZipFile(path) as archive:
        assert "outputs" not in json.loads(archive.read("header.json"))
    with pytest.raises(ValueError, match="one of logits, probabilities, scores, got 'odds'"):
        fn.save(path, [], outputs="odds")


def test_outputs_that_are_nan_are_no_classes(tmp_path):
    model = fn.Dense(2)
    params = model.init(fn.random.key(0), (3,))[1]
    x = np.ones((4, 3), np.float32)
    x[[1, 2]] = np.nan
    fn.save(tmp_path / "x", params, model=model, input_shape=(3,))
    snapshot = fn.load(tmp_path / "x")
    assert np.isnan(snapshot.scores(x)).sum() == 4
    damaged = snapshot._replace(params=fn.tree.map(lambda leaf: leaf * np.nan, params))
    for of, given, message in (
        (snapshot, x, "2 of 4 .* 1 first"),
        (damaged, x, "4 of 4 .* 0 first"),
    ):
        for call in (of.predict, of.classes):
            with pytest.raises(ValueError, match=f"the network gives NaN for {message}"):
                call(given)
