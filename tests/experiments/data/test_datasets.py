"""Data sets by name and by folder: found, verified, split, normalised."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st
from image_files import image_folder, write_idx

import funcnn as fn
from funcnn.experiments.data.datasets import (
    POINT_SETS,
    last_split,
    load_dataset,
    load_inputs,
    stratified_split,
)
from funcnn.experiments.data.formats.by_path import FORMS
from funcnn.experiments.errors import InputError

SHIPPED = ROOT / "data"


@pytest.fixture(scope="module")
def fashion():
    return load_dataset("fashion-mnist", val_size=10_000, seed=0)


# --- the real sets ---------------------------------------------------------------------------


def test_fashion_mnist_is_split_50000_10000_10000_with_the_same_share_of_each_class(fashion):
    parts = (fashion.train, 50_000), (fashion.validation, 10_000), (fashion.test, 10_000)
    for (x, y), size in parts:
        assert x.shape == (size, 1, 28, 28)
        assert x.dtype == np.uint8
        np.testing.assert_array_equal(np.bincount(y), [size // 10] * 10)
    assert fashion.input_shape == (1, 28, 28)
    assert fashion.class_names[9] == "Ankle boot"
    assert fashion.test_is == "the test set"


def test_fashion_mnist_normalization_is_the_mean_and_deviation_of_the_training_pixels(fashion):
    pixels = fashion.train[0].astype(np.float64) / 255
    assert fashion.normalization.scale == 255
    assert fashion.normalization.mean == pytest.approx(pixels.mean(), rel=1e-12)
    assert fashion.normalization.std == pytest.approx(pixels.std(), rel=1e-12)
    inputs = fashion.normalization(fashion.train[0])
    assert inputs.dtype == np.float32
    assert abs(inputs.mean(dtype=np.float64)) < 1e-5
    assert inputs.std(dtype=np.float64) == pytest.approx(1, abs=1e-5)


def test_a_data_set_is_written_by_its_shapes(fashion):
    text = repr(fashion)
    assert text.startswith(
        'Dataset(name="fashion-mnist", train=(uint8(50000, 1, 28, 28), uint8(50000,)), validation='
    )
    assert "array" not in text


def test_mnist_is_whole_and_its_classes_keep_their_shares():
    data = load_dataset("mnist", val_size=6_000, seed=0)
    whole = np.bincount(np.concatenate([data.train[1], data.validation[1]]))
    np.testing.assert_array_equal(
        whole, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )
    assert np.abs(np.bincount(data.validation[1]) - whole / 10).max() < 1
    assert data.test[0].shape == (10_000, 1, 28, 28)
    assert data.class_names == tuple("0123456789")


# --- a folder of one's own -------------------------------------------------------------------


def test_images_of_one_colour_are_normalised_without_a_division_by_zero(tmp_path):
    folder = image_folder(tmp_path / "mine")
    write_idx(folder / "train-images-idx3-ubyte", np.full((60, 4, 4), 7, "u1"))
    data = load_dataset(str(folder), val_size=0, seed=0)
    np.testing.assert_allclose(data.normalization(data.train[0]), 0, atol=1e-6)


TRAIN_IMAGES = "train-images-idx3-ubyte"


def test_a_name_that_is_neither_a_set_nor_a_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="--data fashion-mnits: neither") as caught:
        load_dataset("fashion-mnits", val_size=0, seed=0)
    assert "fashion-mnist, mnist, emnist-balanced, emnist-bymerge, points" in str(caught.value)


def test_a_file_of_images_without_labels_is_nothing_to_train_on(tmp_path):
    file = write_idx(tmp_path / "images", np.zeros((5, 4, 4), "u1"))
    with pytest.raises(InputError, match="has images without labels: give a folder of four"):
        load_dataset(str(file), val_size=0, seed=0)
    table = tmp_path / "it.csv"
    table.write_text("a0,a1,a2,a3\n1,2,3,4\n")
    with pytest.raises(InputError) as caught:
        load_dataset(str(table), val_size=0, seed=0)
    assert str(caught.value) == (
        f"--data {table} has images without labels: "
        "no column is called label, class, target, y or category"
    )


def test_a_folder_in_a_data_folder_goes_by_its_name(tmp_path, monkeypatch):
    image_folder(tmp_path / "sets" / "mine")
    image_folder(tmp_path / "here" / "mine", train=30)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path / "sets"))
    assert len(load_dataset("mine", val_size=0, seed=0).train[0]) == 60
    assert load_dataset("mine", val_size=0, seed=0).name == "mine"
    monkeypatch.chdir(tmp_path / "here")
    assert len(load_dataset("mine", val_size=0, seed=0).train[0]) == 30, "an explicit path is first"


def test_without_a_test_set_a_fifth_of_each_class_is_set_aside_the_same_for_every_seed(tmp_path):
    images = np.broadcast_to(np.arange(60, dtype="u1")[:, None, None], (60, 4, 4))
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(60) % 3)
    first, other = (
        load_dataset(str(tmp_path / "mine.npz"), val_size=6, seed=seed) for seed in (0, 1)
    )
    assert [len(part[0]) for part in (first.train, first.validation, first.test)] == [42, 6, 12]
    np.testing.assert_array_equal(np.bincount(first.test[1]), [4, 4, 4])
    np.testing.assert_array_equal(first.test[0], other.test[0])
    parts = [part[0][:, 0, 0, 0] for part in (first.train, first.validation, first.test)]
    assert sorted(np.concatenate(parts)) == list(range(60))
    assert first.test_is == "a fifth of each class, set aside"
    assert len(load_inputs(str(tmp_path / "mine.npz")).inputs) == 60, (
        "to predict, it is all there is"
    )


def test_too_few_images_to_set_some_aside_are_an_input_error(tmp_path):
    np.savez(tmp_path / "mine.npz", images=np.zeros((4, 2, 2), "u1"), labels=np.zeros(4, int))
    with pytest.raises(InputError, match="4 images are too few"):
        load_dataset(str(tmp_path / "mine.npz"), val_size=0, seed=0)


def test_the_emnist47_of_the_lab_reads_if_it_is_there():
    given = os.environ.get("FUNCNN_DATA")
    if not given or not (Path(given) / "emnist47").is_dir():
        pytest.skip("there is no emnist47 in $FUNCNN_DATA")
    data = load_dataset("emnist47", val_size=8_000, seed=0)
    assert data.train[0].shape == (92_000, 1, 28, 28)
    assert data.test[0].shape == (12_800, 1, 28, 28)
    assert "".join(data.class_names) == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
    counts = np.bincount(data.train[1]) + np.bincount(data.validation[1])
    assert counts[:3].tolist() == [4_983, 5_542, 4_994]


@pytest.mark.parametrize(
    ("meant", "typed"),
    [
        ("fashion-mnist", "fashion_mnist"),
        ("fashion-mnist", "Fashion-MNIST"),
        ("fashion-mnist", "FashionMNIST"),
        ("fashion-mnist", "fashion-mnits"),
        ("points-xor", "xor-points/../point-xor"),
        ("mine", "Mien"),
    ],
)
def test_a_name_that_is_nearly_one_is_asked_about(tmp_path, monkeypatch, meant, typed):
    image_folder(tmp_path / "sets" / "mine")
    monkeypatch.setenv("FUNCNN_DATA", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        load_dataset(typed, val_size=0, seed=0)
    if "/" in typed:
        assert str(caught.value).endswith("; there is no folder xor-points/..")
    else:
        assert str(caught.value).endswith(f"; did you mean {meant}?")


def test_a_path_that_is_nearly_one_is_asked_about_and_any_other_may_be_of_these_forms(tmp_path):
    image_folder(tmp_path / "mine")
    with pytest.raises(InputError) as caught:
        load_dataset(f"{tmp_path}/Mine_", val_size=0, seed=0)
    assert str(caught.value).endswith(f"; did you mean {tmp_path / 'mine'}?")
    with pytest.raises(InputError) as caught:
        load_dataset(f"{tmp_path}/zzz", val_size=0, seed=0)
    assert str(caught.value).endswith(f"nor an existing file or folder ({FORMS})")


# --- the split -------------------------------------------------------------------------------


def numbered_folder(folder):
    """60 training images, the i-th of them all i."""
    image_folder(folder)
    images = np.broadcast_to(np.arange(60, dtype="u1")[:, None, None], (60, 4, 4))
    write_idx(folder / TRAIN_IMAGES, images)
    return str(folder)


def chosen(name, seed, split="stratified"):
    """Which images of a numbered folder are in the training and in the validation set."""
    data = load_dataset(name, val_size=12, seed=seed, split=split)
    return [x[:, 0, 0, 0].tolist() for x, _ in (data.train, data.validation)]


def test_training_and_validation_sets_are_disjoint_and_together_all_there_is(tmp_path):
    name = numbered_folder(tmp_path / "mine")
    train, validation = chosen(name, seed=0)
    assert sorted(train + validation) == list(range(60))
    data = load_dataset(name, val_size=12, seed=0)
    for x, y in (data.train, data.validation):  # each image kept its label
        np.testing.assert_array_equal(y, x[:, 0, 0, 0] % 3)


def test_the_split_depends_on_the_seed_alone(tmp_path):
    name = numbered_folder(tmp_path / "mine")
    assert chosen(name, seed=0) == chosen(name, seed=0)
    assert chosen(name, seed=0) != chosen(name, seed=1)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_last_images_may_be_the_validation_set(tmp_path, seed):
    name = numbered_folder(tmp_path / "mine")
    train, validation = chosen(name, seed, split="last")
    assert (train, validation) == (list(range(48)), list(range(48, 60)))
    data = load_dataset(name, val_size=12, seed=seed, split="last")
    assert data.validation[1].tolist() == [label % 3 for label in range(48, 60)]
    pixels = np.arange(48) / 255
    assert data.normalization.mean == pytest.approx(pixels.mean(), rel=1e-12)


def test_the_last_of_what_is_not_set_aside_to_test_are_the_last_in_the_file(tmp_path):
    images = np.broadcast_to(np.arange(60, dtype="u1")[:, None, None], (60, 4, 4))
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(60) % 3)
    data = load_dataset(str(tmp_path / "mine.npz"), val_size=6, seed=0, split="last")
    stratified = load_dataset(str(tmp_path / "mine.npz"), val_size=6, seed=0)
    np.testing.assert_array_equal(data.test[0], stratified.test[0])
    train, validation = (part[0][:, 0, 0, 0] for part in (data.train, data.validation))
    assert [len(train), len(validation)] == [42, 6]
    assert (np.diff([*train, *validation]) > 0).all()


def test_the_last_points_may_be_the_validation_set():
    whole = load_dataset("points-linear", val_size=0, seed=0)
    data = load_dataset("points-linear", val_size=20, seed=0, split="last")
    np.testing.assert_array_equal(data.validation[0], whole.train[0][80:])
    np.testing.assert_array_equal(data.train[1], whole.train[1][:80])


@given(examples=st.integers(1, 60), share=st.floats(0, 1, exclude_max=True))
def test_a_split_of_the_last_adds_up(examples, share):
    size = int(share * examples)
    taken, left = last_split(examples, size)
    assert len(taken) == size
    assert [*left, *taken] == list(range(examples))


def test_without_a_validation_size_there_is_no_validation_set(tmp_path):
    data = load_dataset(numbered_folder(tmp_path / "mine"), val_size=0, seed=0)
    assert data.validation is None
    assert data.train[0][:, 0, 0, 0].tolist() == list(range(60))


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60).map(np.array),
    share=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 2**32),
)
def test_a_stratified_split_adds_up_and_each_class_has_its_share_to_within_one(labels, share, seed):
    size = int(share * len(labels))
    taken, left = stratified_split(fn.random.key(seed), labels, size)
    assert len(taken) == size
    assert sorted([*taken, *left]) == list(range(len(labels)))
    assert (np.diff(taken) > 0).all()
    assert (np.diff(left) > 0).all()
    classes, counts = np.unique(labels, return_counts=True)
    if size <= len(labels) - len(classes):
        np.testing.assert_array_equal(np.unique(labels[left]), classes)
    found = [(labels[taken] == label).sum() for label in classes]
    if not any(math.ceil(count * size / len(labels)) == count for count in counts):
        assert np.abs(found - counts * size / len(labels)).max() < 1


def test_a_rare_class_keeps_its_example_to_train_on(tmp_path):
    labels = np.array([0] * 5 + [1] * 4 + [2])
    _, left = stratified_split(fn.random.key(0), labels, 7)
    assert np.bincount(labels[left]).tolist() == [1, 1, 1]
    np.savez(tmp_path / "mine.npz", images=np.zeros((10, 2, 2), "u1"), labels=labels)
    data = load_dataset(str(tmp_path / "mine.npz"), val_size=5, seed=0)
    assert np.bincount(data.train[1]).tolist() == [1, 1, 1]
    assert len(data.test[1]) == 2


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("stratified", "leaves no training example of class dog: give a smaller one$"),
        ("last", "of class dog: give a smaller one or --split stratified$"),
    ],
)
def test_a_split_that_leaves_a_class_nothing_to_train_on_names_it(tmp_path, split, said):
    labels = np.array(["cat"] * 5 + ["dog"] * 4)
    images = np.zeros((9, 2, 2), "u1")
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(InputError, match=f"--val-size 8 .*{said}"):
        load_dataset(str(tmp_path / "mine.npz"), val_size=8, seed=0, split=split)


def test_numbers_of_another_kind_are_not_taken_for_classes(tmp_path):
    labels = np.arange(60) * 3 % 97
    np.savez(tmp_path / "mine.npz", images=np.zeros((60, 2, 2), "u1"), labels=labels)
    with pytest.raises(
        InputError, match=r"60 different labels \(0, 2, \.\.\.\) of 60 images are too"
    ):
        load_dataset(str(tmp_path / "mine.npz"), val_size=0, seed=0)


@pytest.mark.parametrize("split", ["stratified", "last"])
@pytest.mark.parametrize("size", [-1, 60, 10_000])
def test_a_validation_set_that_leaves_nothing_to_train_on_is_an_input_error(tmp_path, size, split):
    with pytest.raises(InputError, match=f"--val-size {size} .* 60 examples"):
        load_dataset(numbered_folder(tmp_path / "mine"), val_size=size, seed=0, split=split)


# --- a validation set of its own ---------------------------------------------------------------


def with_validation(path, **others):
    """60 training images, the i-th of them all i, and 9 to validate, all 200 and more."""
    images = np.broadcast_to(np.arange(60, dtype="u1")[:, None, None], (60, 4, 4))
    arrays = {"x_train": images, "y_train": np.arange(60) % 3}
    arrays |= {"x_val": images[:9] + 200, "y_val": np.arange(9) % 3}
    np.savez(path, **(arrays | others))
    return str(path)


@pytest.mark.parametrize("val_size", [10_000, 9, None])
@pytest.mark.parametrize("split", ["stratified", "last"])
def test_a_set_with_a_validation_set_of_its_own_is_not_split_for_one(tmp_path, val_size, split):
    test = {"x_test": np.full((6, 4, 4), 150, "u1"), "y_test": np.arange(6) % 3}
    name = with_validation(tmp_path / "mine.npz", **test)
    data = load_dataset(name, val_size=val_size, seed=0, split=split)
    assert data.validation[0][:, 0, 0, 0].tolist() == list(range(200, 209))
    assert data.validation[1].tolist() == [0, 1, 2] * 3
    assert data.train[0][:, 0, 0, 0].tolist() == list(range(60))
    assert data.test[0][:, 0, 0, 0].tolist() == [150] * 6
    assert data.test_is == "the test set"
    pixels = np.arange(60) / 255  # of the training images alone
    assert data.normalization.mean == pytest.approx(pixels.mean(), rel=1e-12)


def test_beside_a_validation_set_a_fifth_is_set_aside_to_test_where_there_is_no_test_set(tmp_path):
    name = with_validation(tmp_path / "mine.npz")
    data = load_dataset(name, val_size=10_000, seed=0)
    assert [len(part[0]) for part in (data.train, data.validation, data.test)] == [48, 9, 12]
    assert data.test_is == "a fifth of each class, set aside"
    assert load_dataset(name, val_size=0, seed=0).validation is None


def test_another_size_than_that_of_its_own_validation_set_is_refused(tmp_path):
    name = with_validation(tmp_path / "mine.npz")
    with pytest.raises(InputError) as caught:
        load_dataset(name, val_size=12, seed=0)
    said = "has a validation set of its own, of 9; leave the option out, or give 0 for none"
    assert str(caught.value) == f"--val-size 12: {name} {said}"


# --- points and inputs -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "count"), [("points-linear", 100), ("points-xor", 21)])
def test_point_sets_are_trained_and_tested_on_the_same_points_as_they_are(name, count):
    data = load_dataset(name, val_size=0, seed=0)
    assert data.train is data.test
    assert data.validation is None
    assert [part.shape for part in data.train] == [(count, 2), (count, 1)]
    assert data.test_is == "the training points, as the lab asks"
    np.testing.assert_array_equal(
        data.normalization(data.train[0]), data.train[0].astype(np.float32)
    )


def test_linear_points_depend_on_the_seed_and_xor_points_do_not():
    first, again, other = (
        {name: load_dataset(name, val_size=0, seed=seed).train[0] for name in POINT_SETS}
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first["points-linear"], again["points-linear"])
    assert not np.array_equal(first["points-linear"], other["points-linear"])
    np.testing.assert_array_equal(first["points-xor"], other["points-xor"])


def test_inputs_to_predict_are_a_sets_test_inputs_or_an_idx_file_of_images(tmp_path):
    assert load_inputs("points-xor").inputs.shape == (21, 2)
    np.testing.assert_array_equal(
        load_inputs("mnist").inputs, load_dataset("mnist", val_size=0, seed=0).test[0]
    )
    images = np.arange(24, dtype="u1").reshape(2, 3, 4)
    file = write_idx(tmp_path / "images.gz", images)
    np.testing.assert_array_equal(load_inputs(str(file)).inputs, images[:, None])


def test_inputs_that_are_not_images_are_an_input_error_that_names_the_file(tmp_path):
    file = write_idx(tmp_path / "labels", np.zeros(5, "u1"))
    with pytest.raises(InputError, match=r"images must be bytes .* \(5,\)") as caught:
        load_inputs(str(file))
    assert str(file) in str(caught.value)


def test_labels_that_tell_nothing_apart_are_an_input_error(tmp_path):
    np.savez(tmp_path / "mine.npz", images=np.zeros((9, 2, 2), "u1"), labels=np.zeros(9, int))
    with pytest.raises(InputError, match=r"mine\.npz: every label is 0, nothing to tell apart"):
        load_dataset(str(tmp_path / "mine.npz"), val_size=0, seed=0)


def test_a_link_to_nothing_and_what_is_in_a_file_are_said_to_be_so(tmp_path):
    (tmp_path / "it").symlink_to(tmp_path / "it")
    with pytest.raises(InputError, match=r"; it is a link to what is not there$"):
        load_dataset(str(tmp_path / "it"), val_size=0, seed=0)
    (tmp_path / "a.csv").write_text("0,1\n")
    with pytest.raises(InputError, match=r"existing file or folder; there is no folder .*a\.csv$"):
        load_dataset(str(tmp_path / "a.csv" / "x"), val_size=0, seed=0)
