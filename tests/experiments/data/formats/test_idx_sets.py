"""Four IDX files as a data set: in a folder or a zip file, EMNIST's own turned upright."""

import numpy as np
import pytest
from image_files import (
    emnist_members,
    expect_upright,
    image_folder,
    write_files,
    write_idx,
    write_zip,
)

from funcnn.experiments.data.formats.idx import read_folder, read_zip
from funcnn.experiments.errors import InputError

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_of_four_idx_files_is_a_data_set(tmp_path, suffix):
    folder = image_folder(tmp_path / "mine", suffix=suffix)
    data = read_folder(folder)
    assert [part[0].shape for part in (data.train, data.test)] == [(60, 1, 4, 4), (20, 1, 4, 4)]
    np.testing.assert_array_equal(data.train[1], np.arange(60) % 3)
    assert data.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(data.inputs, data.test[0])


def test_the_test_files_may_be_named_test(tmp_path):
    folder = image_folder(tmp_path / "mine")
    for file in folder.glob("t10k*"):
        file.rename(folder / file.name.replace("t10k", "mine-test"))
    assert len(read_folder(folder).test[0]) == 20


def test_the_files_that_macos_leaves_beside_them_do_not_count(tmp_path):
    folder = image_folder(tmp_path / "mine")
    for file in list(folder.iterdir()):
        (folder / f"._{file.name}").write_bytes(b"Mac OS X")
    assert len(read_folder(folder).train[0]) == 60


@pytest.mark.parametrize("make", ["folder", "zip"])
def test_of_a_file_that_is_there_twice_the_one_that_is_not_gzipped_is_read(tmp_path, make):
    plain, packed = image_folder(tmp_path / "plain"), image_folder(tmp_path / "a", suffix=".gz")
    members = {file.name: file.read_bytes() for file in plain.iterdir()}
    members |= {file.name: b"never read" for file in packed.iterdir()}
    if make == "zip":
        data = read_zip(write_zip(tmp_path / "raw.zip", members))
    else:
        data = read_folder(write_files(tmp_path / "raw", members))
    np.testing.assert_array_equal(data.train[0], read_folder(plain).train[0])


def test_of_names_with_a_dot_and_a_dash_one_is_read(tmp_path):
    members = {file.name: file.read_bytes() for file in image_folder(tmp_path / "a").iterdir()}
    members |= {f"{name}/{name.replace('-idx', '.idx')}": c for name, c in members.items()}
    path = write_zip(tmp_path / "archive.zip", members, folder="")
    np.testing.assert_array_equal(read_zip(path).train[1], np.arange(60) % 3)


def test_train_files_alone_have_no_test_set(tmp_path):
    folder = image_folder(tmp_path / "mine")
    for file in folder.glob("t10k*"):
        file.unlink()
    data = read_folder(folder)
    assert len(data.train[0]) == 60
    assert data.test is None
    write_idx(folder / "other-images-idx3-ubyte", np.zeros((2, 4, 4), "u1"))
    with pytest.raises(InputError, match="one IDX file of test images is needed, found none"):
        read_folder(folder)


def test_folders_that_are_called_as_idx_files_do_not_count(tmp_path):
    folder = image_folder(tmp_path / "mine")
    for file in list(folder.iterdir()):
        file.rename(folder / file.name.replace("-idx", ".idx"))
        (folder / file.name).mkdir()
    assert len(read_folder(folder).train[0]) == 60


@pytest.mark.parametrize("word", ["val", "valid", "my-validation", "dev"])
def test_validation_files_are_the_validation_set(tmp_path, word):
    folder = image_folder(tmp_path / "mine")
    assert read_folder(folder).validation is None
    write_idx(folder / f"{word}-images-idx3-ubyte", np.full((6, 4, 4), 7, "u1"))
    with pytest.raises(InputError, match="one IDX file of validation labels is needed, found none"):
        read_folder(folder)
    write_idx(folder / f"{word}-labels-idx1-ubyte", np.arange(6, dtype="u1") % 3)
    data = read_folder(folder)
    assert data.validation[0].shape == (6, 1, 4, 4)
    assert data.validation[1].tolist() == [0, 1, 2] * 2
    assert [len(part[0]) for part in (data.train, data.test)] == [60, 20]


def replace(file, array):
    return lambda folder: write_idx(folder / file, array)


def bytes_of(*shape):
    return np.zeros(shape, "u1")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(replace(TRAIN_LABELS, bytes_of(59)), "60 images but 59 labels", id="counts"),
        pytest.param(
            replace("t10k-labels-idx1-ubyte", np.arange(20, dtype="u1")), "19", id="unknown label"
        ),
        pytest.param(
            replace("t10k-labels-idx1-ubyte", np.full(20, -1, "i1")), "-1", id="negative label"
        ),
        pytest.param(
            replace(TRAIN_LABELS, np.full(60, 5_000_000, "i4")), "5000000", id="enormous label"
        ),
        pytest.param(replace(TRAIN_LABELS, np.zeros(60, "f4")), ">f4", id="fractional labels"),
        pytest.param(replace(TRAIN_LABELS, bytes_of(60, 2)), "(60, 2)", id="labels of two axes"),
        pytest.param(replace(TRAIN_IMAGES, bytes_of(60, 16)), "(60, 16)", id="images of two axes"),
        pytest.param(replace(TRAIN_IMAGES, bytes_of(0, 4, 4)), "(0, 4, 4)", id="no images"),
        pytest.param(replace(TRAIN_IMAGES, bytes_of(60, 0, 4)), "(60, 0, 4)", id="no pixels"),
        pytest.param(
            replace(TRAIN_IMAGES, np.zeros((60, 4, 4), "i2")), ">i2", id="pixels not bytes"
        ),
        pytest.param(
            replace("t10k-images-idx3-ubyte", bytes_of(20, 5, 5)),
            "5",
            id="test images of other size",
        ),
        pytest.param(lambda folder: (folder / TRAIN_LABELS).unlink(), "train labels", id="missing"),
        pytest.param(
            replace("my-train-images-ubyte", bytes_of(1, 1, 1)),
            "my-train-images",
            id="two of a kind",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_an_input_error_that_says_why(tmp_path, damage, said):
    folder = image_folder(tmp_path / "mine")
    damage(folder)
    with pytest.raises(InputError) as caught:
        read_folder(folder)
    assert str(folder) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# --- names of classes ------------------------------------------------------------------------


def test_mapping_txt_names_the_classes(tmp_path):
    folder = image_folder(tmp_path / "mine")
    (folder / "mapping.txt").write_text("0 zero\n1 T-shirt / top\n2 two\n3 none of these\n")
    names = ("zero", "T-shirt / top", "two", "none of these")
    assert read_folder(folder).class_names == names


def test_a_byte_order_mark_before_the_names_does_not_count(tmp_path):
    folder = image_folder(tmp_path / "mine")
    (folder / "mapping.txt").write_text("0 zéro\n1 un\n2 deux\n", "utf-8-sig")
    assert read_folder(folder).class_names == ("zéro", "un", "deux")


def test_a_mapping_may_count_from_1_as_the_labels_do(tmp_path):
    folder = image_folder(tmp_path / "mine")
    for file in folder.glob("*labels*"):
        write_idx(file, 1 + np.arange(60 if "train" in file.name else 20, dtype="u1") % 3)
    (folder / "mapping.txt").write_text("1 a\n2 b\n3 c\n")
    data = read_folder(folder)
    assert (data.labels, data.class_names) == (("1", "2", "3"), ("a", "b", "c"))
    np.testing.assert_array_equal(data.train[1], np.arange(60) % 3)
    (folder / "mapping.txt").write_text("0 a\n1 b\n2 c\n")
    with pytest.raises(InputError, match=r"training label 3 is not one of the 3 classes \(0 .. 2"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"0 a\n1 b\n", "training label 2 is not one of the 2 classes", id="too few"),
        pytest.param(b"0 a\n2 b\n", "line 2: '2 b'", id="a gap"),
        pytest.param(b"0 a\n1\n", "line 2: '1'", id="no name"),
        pytest.param(b"2 a\n3 b\n", "line 1: '2 a' is not '0 NAME'", id="neither 0 nor 1"),
        pytest.param(b"0 a\n1 \x1b[2m\n2 c", "a class is called '\\x1b[2m'", id="an escape code"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"0 \xff\n", "cannot be read as text", id="not text"),
    ],
)
def test_a_mapping_that_does_not_fit_is_an_input_error(tmp_path, content, said):
    folder = image_folder(tmp_path / "mine")
    (folder / "mapping.txt").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_folder(folder)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# --- EMNIST ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [write_files, write_zip], ids=["folder", "zip"])
@pytest.mark.parametrize(
    ("split", "first", "names"),
    [
        ("balanced", 0, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
        ("bymerge", 0, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
        ("byclass", 0, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        ("letters", 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        ("digits", 0, "0123456789"),
        ("mnist", 0, "0123456789"),
    ],
)
def test_official_emnist_is_turned_upright_and_its_labels_begin_at_0(
    tmp_path, make, split, first, names
):
    members = emnist_members(split, first=first, classes=len(names))
    read = read_zip if make is write_zip else read_folder
    data = read(make(tmp_path / "gzip.zip", members))
    expect_upright(data)
    assert data.class_names == tuple(names)
    np.testing.assert_array_equal(data.train[1], np.arange(94) % len(names))
    assert data.labels == tuple(str(first + index) for index in range(len(names)))


def test_the_upright_emnist47_is_not_turned(tmp_path):
    images = image_folder(tmp_path / "emnist47")
    for file in images.iterdir():
        file.rename(images / f"emnist47-{file.name.replace('t10k', 'test')}")
    expected = read_folder(image_folder(tmp_path / "plain"))
    np.testing.assert_array_equal(read_folder(images).train[0], expected.train[0])


@pytest.mark.parametrize("make", [write_files, write_zip], ids=["folder", "zip"])
def test_of_several_sets_one_is_chosen_by_its_name(tmp_path, make):
    members = emnist_members("letters", first=1, classes=26) | emnist_members("digits", classes=10)
    place = make(tmp_path / "all.zip", members)
    read = read_zip if make is write_zip else read_folder
    assert read(place, "emnist-letters-").class_names[0] == "A"
    assert read(place, "emnist-digits-").class_names[0] == "0"
    with pytest.raises(
        InputError, match=r"several sets; give one of \S+/emnist-digits, "
    ) as caught:
        read(place)
    assert f"{place}/emnist-letters" in str(caught.value)


def test_official_files_of_different_sets_do_not_make_one(tmp_path):
    letters, digits = emnist_members("letters", first=1, classes=26), emnist_members("digits")
    members = {name: content for name, content in letters.items() if "train" in name}
    members |= {
        name.replace("emnist-digits", "x"): c for name, c in digits.items() if "test" in name
    }
    with pytest.raises(InputError, match="of different sets"):
        read_folder(write_files(tmp_path / "mixed", members))


def test_letters_with_a_label_0_are_refused(tmp_path):
    with pytest.raises(InputError, match="label 0, but these begin at 1"):
        read_folder(write_files(tmp_path / "x", emnist_members("letters", first=0, classes=26)))


# --- zip files -------------------------------------------------------------------------------


def test_a_zip_without_idx_files_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="one IDX file of train images is needed, found none"):
        read_zip(write_zip(tmp_path / "x.zip", {"note.txt": b"hello"}))


@pytest.mark.parametrize("name", ["__MACOSX/gzip/._{}", "__MACOSX/{}", "gzip/._{}", "a/{}/"])
def test_what_macos_adds_to_a_zip_and_folders_do_not_count(tmp_path, name):
    members = {f"gzip/{file}": content for file, content in emnist_members().items()}
    members |= {name.format(file): b"" for file in emnist_members()}
    expect_upright(read_zip(write_zip(tmp_path / "x.zip", members, folder="")))


def test_two_files_of_one_name_in_a_zip_are_an_input_error_unless_they_are_not_asked_for(tmp_path):
    members = emnist_members("digits", classes=10)
    twice = {f"{folder}/{file}": c for file, c in members.items() for folder in ("a", "b")}
    letters = emnist_members("letters", first=1, classes=26)
    notes = {"a/note.txt": b"hello", "b/note.txt": b"hello"}
    path = write_zip(tmp_path / "x.zip", twice | letters | notes, folder="")
    file = "emnist-digits-train-images-idx3-ubyte.gz"
    with pytest.raises(InputError, match=f"two files of one name: a/{file} and b/{file}"):
        read_zip(path, "emnist-digits-")
    assert read_zip(path, "emnist-letters-").class_names[0] == "A"


def test_a_damaged_file_in_a_zip_is_named_with_its_zip(tmp_path):
    members = emnist_members()
    name = "emnist-balanced-test-labels-idx1-ubyte.gz"
    members[name] = members[name][:-9]
    with pytest.raises(InputError, match="truncated or damaged gzip") as caught:
        read_zip(write_zip(tmp_path / "x.zip", members))
    assert f"{tmp_path / 'x.zip'}: gzip/{name}" in str(caught.value)
