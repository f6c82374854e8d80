"""Paths of data sets: each form goes to its reader, and one of several sets goes by its name."""

import numpy as np
import pytest
from funcnn.experiments.errors import InputError
from funcnn.experiments.image_forms import FORMS, find, read
from test_csv_files import TABLE, write_csv
from test_datasets import image_folder
from test_idx import write_idx
from test_idx_sets import emnist_members, expect_upright, write_files, write_zip
from test_picture_folders import png_folder

IMAGES = TABLE[:, 1:].reshape(-1, 4, 4).astype("u1")


def idx_folder(path):
    return image_folder(path / "it")


def csv_folder(path):
    return write_csv(path / "it" / "train.csv", TABLE).parent


def csv_file(path):
    return write_csv(path / "it.CSV", TABLE)


def npz_file(path):
    np.savez(path / "it.npz", images=IMAGES, labels=TABLE[:, 0])
    return path / "it.npz"


def zip_file(path):
    return write_zip(path / "it.zip", emnist_members())


def pictures(path):
    return png_folder(path / "it")


@pytest.mark.parametrize("make", [idx_folder, csv_folder, csv_file, npz_file, zip_file, pictures])
def test_each_form_is_known_by_its_path(tmp_path, make):
    path = make(tmp_path)
    assert find(path)
    data = read(path)
    assert data.train[0].dtype == np.uint8
    assert len(data.train[0]) == len(data.train[1])
    assert int(data.train[1].max()) == len(data.class_names) - 1


def test_any_other_file_is_an_idx_file_of_images_without_labels(tmp_path):
    data = read(write_idx(tmp_path / "images", IMAGES))
    assert data.train is None
    np.testing.assert_array_equal(data.inputs, IMAGES[:, None])


def test_one_of_several_sets_in_a_folder_or_zip_file_goes_by_its_name(tmp_path):
    members = emnist_members("letters", first=1, classes=26) | emnist_members("digits", classes=10)
    for place in (write_files(tmp_path / "a", members), write_zip(tmp_path / "a.zip", members)):
        assert find(place / "emnist-letters")
        data = read(place / "emnist-letters")
        expect_upright(data)
        assert data.class_names[0] == "A"


@pytest.mark.parametrize("name", ["._train.csv", "._train-images-idx3-ubyte"])
def test_a_file_that_macos_leaves_does_not_tell_the_form_of_a_folder(tmp_path, name):
    folder = pictures(tmp_path)
    images = read(folder).train[0]
    (folder / name).write_bytes(b"Mac OS X")
    np.testing.assert_array_equal(read(folder).train[0], images)


def test_one_of_several_sets_of_csv_files_goes_by_its_name(tmp_path):
    for split in ("digits", "mnist"):
        for part in ("train", "test"):
            write_csv(tmp_path / f"emnist-{split}-{part}.csv", TABLE)
    assert read(tmp_path / "emnist-mnist").class_names == tuple("0123456789")
    with pytest.raises(InputError, match="one CSV file of train images is needed, found"):
        read(tmp_path)


def test_what_is_not_there_is_not_found(tmp_path):
    write_csv(tmp_path / "train.csv", TABLE)
    for path in (tmp_path / "it", tmp_path / "none" / "it", tmp_path / "tra"):
        assert not find(path)


def test_a_folder_in_no_known_form_is_an_input_error_that_lists_them(tmp_path):
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert str(caught.value) == f"{tmp_path} is no data set: give {FORMS}"
