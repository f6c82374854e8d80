"""Paths of data sets: each form goes to its reader, and one of several sets goes by its name."""

import gzip
import zipfile

import numpy as np
import pytest
from image_files import (
    TABLE,
    emnist_members,
    expect_upright,
    image_folder,
    png_folder,
    write_csv,
    write_files,
    write_idx,
    write_zip,
)

from funcnn.experiments.data.formats.by_path import FORMS, find, is_set, read
from funcnn.experiments.errors import InputError

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


@pytest.mark.parametrize("above", ["MNIST", "root", "root/MNIST/raw"])
def test_a_set_is_found_below_the_folder_that_is_given(tmp_path, above):
    raw = image_folder(tmp_path / "root" / "MNIST" / "raw")
    (raw.parent / "processed").mkdir()
    (raw.parent / "processed" / "training.pt").write_bytes(b"x")
    place = tmp_path / ("root/MNIST" if above == "MNIST" else above)
    assert is_set(place)
    np.testing.assert_array_equal(read(place).train[0], read(raw).train[0])


def test_of_several_sets_below_a_folder_one_is_to_be_given(tmp_path):
    raws = [image_folder(tmp_path / name / "raw") for name in ("FashionMNIST", "MNIST")]
    assert not is_set(tmp_path)
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    said = f"holds several data sets; give one of {raws[0]}, {raws[1]}"
    assert str(caught.value) == f"{tmp_path} {said}"


def test_a_table_beside_pictures_by_class_does_not_make_a_set_of_tables(tmp_path):
    folder = pictures(tmp_path)
    images = read(folder).train[0]
    (folder / "labels.csv").write_text("name,class\n0.png,cat\n")
    np.testing.assert_array_equal(read(folder).train[0], images)


def test_val_csv_beside_train_csv_is_the_validation_set(tmp_path):
    folder = csv_folder(tmp_path)
    assert read(folder).validation is None
    write_csv(folder / "val.csv", TABLE[:7])
    data = read(folder)
    np.testing.assert_array_equal(data.validation[0], IMAGES[:7, None])
    np.testing.assert_array_equal(data.validation[1], TABLE[:7, 0])
    assert len(data.train[0]) == len(TABLE)
    write_csv(folder / "val.csv", TABLE[:7, 1:])
    with pytest.raises(InputError, match=r"val\.csv has no labels to validate with"):
        read(folder)


def test_a_zip_file_with_neither_idx_files_nor_pictures_says_so(tmp_path):
    path = write_zip(tmp_path / "it.zip", {"note.txt": b"hello"})
    with pytest.raises(InputError) as caught:
        read(path)
    said = "has neither IDX files of train images nor folders of pictures, one for each class, "
    said += "nor train.csv"
    assert str(caught.value) == f"{path} {said}"


@pytest.mark.parametrize("name", ["in/a.csv", "in/b.csv.gz", "b.NPZ"])
def test_what_a_zip_file_may_have_elsewhere_is_to_be_unpacked(tmp_path, name):
    path = write_zip(tmp_path / "it.zip", {name: b"hello"})
    with pytest.raises(InputError, match=f"nor train.csv; unpack it, and give gzip/{name} or the"):
        read(path)


@pytest.mark.parametrize("within", ["", "it/"])
def test_tables_in_a_zip_file_are_read_as_in_a_folder(tmp_path, within):
    names = {"train": TABLE, "test": TABLE[:4]}
    written = {part: write_csv(tmp_path / f"{part}.csv", names[part]) for part in names}
    with zipfile.ZipFile(tmp_path / "it.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(written["train"], f"{within}train.csv")
        archive.writestr(f"{within}test.csv.gz", gzip.compress(written["test"].read_bytes()))
    data, expected = read(tmp_path / "it.zip"), read(tmp_path)
    for part in ("train", "test"):
        for found, of_folder in zip(getattr(data, part), getattr(expected, part), strict=True):
            np.testing.assert_array_equal(found, of_folder)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".zip") == ["it.zip"]


@pytest.mark.parametrize("name", ["mine.csv", "it"])
def test_the_only_table_in_a_zip_file_is_read(tmp_path, name):
    table = write_csv(tmp_path / "mine.csv", TABLE)
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        archive.write(table, name)
    np.testing.assert_array_equal(read(tmp_path / "it.zip").train[0], read(table).train[0])
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("mine.csv", "hello")
    with pytest.raises(InputError, match=r"bad\.zip/mine\.csv, line 1: 1 columns are not"):
        read(tmp_path / "bad.zip")


def test_what_is_in_no_known_form_says_which_there_are(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="is in no form that is read: give a folder of four"):
        read(tmp_path / "notes.txt")
    (tmp_path / "train-images-idx3-ubyte").write_text("hello")
    with pytest.raises(InputError, match=r"is not an IDX file: its magic number is 0x68656c6c$"):
        read(tmp_path / "train-images-idx3-ubyte")


def test_a_folder_of_csv_files_names_them_in_any_case(tmp_path):
    write_csv(tmp_path / "Train.CSV", TABLE)
    write_csv(tmp_path / "Latest-Test.csv", TABLE[:4])
    data = read(tmp_path)
    assert [len(part[0]) for part in (data.train, data.test)] == [len(TABLE), 4]
    (tmp_path / "Train.CSV").rename(tmp_path / "data.csv")
    said = "a CSV file of train images is needed called train, found Latest-Test.csv, data.csv"
    with pytest.raises(InputError, match=said):
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
