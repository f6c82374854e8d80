"""`.npz` files of images: Keras' arrays, claims checked before memory is asked for, no pickles."""

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcnn.experiments.data.formats.by_path import read
from funcnn.experiments.data.formats.npz_files import read_npz
from funcnn.experiments.errors import InputError
from funcnn.experiments.system import memory

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 5)).astype("u1")
LABELS = np.arange(12) % 3
KERAS = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:6], "y_test": LABELS[:6]}


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def write_members(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


# --- forms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "arrays",
    [
        pytest.param(KERAS, id="as in Keras"),
        pytest.param({k: v[..., None] for k, v in KERAS.items()}, id="with a channel"),
        pytest.param({k: np.asfortranarray(v) for k, v in KERAS.items()}, id="column-major"),
        pytest.param(KERAS | {"y_train": LABELS.astype(">i2")}, id="other integers"),
        pytest.param(KERAS | {"z": np.zeros(3)}, id="another array beside"),
        pytest.param({k: v[:, None] for k, v in KERAS.items()}, id="with a channel first"),
        pytest.param({k.replace("x", "X"): v for k, v in KERAS.items()}, id="upper case"),
        pytest.param(
            {
                f"{part}_{kind}": KERAS[f"{short}_{part}"]
                for part in ("train", "test")
                for kind, short in (("images", "x"), ("labels", "y"))
            },
            id="as in MedMNIST",
        ),
    ],
)
def test_keras_arrays_are_a_data_set(tmp_path, save, arrays):
    save(tmp_path / "a.npz", **arrays)
    data = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.train[0], IMAGES[:, None])
    np.testing.assert_array_equal(data.train[1], LABELS)
    np.testing.assert_array_equal(data.test[0], IMAGES[:6, None])
    np.testing.assert_array_equal(data.test[1], LABELS[:6])
    assert data.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        *(("X", "y"), ("x", "Y"), ("data", "target"), ("data", "labels"), ("image", "label")),
        *(("train_x", "train_y"), ("train/imgs", "train/labels"), ("Images-Train", "Labels-Train")),
    ],
)
def test_arrays_may_be_called_as_people_call_them(tmp_path, images, labels):
    np.savez(tmp_path / "a.npz", **{images: IMAGES, labels: LABELS, "meta": np.zeros(3)})
    data = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.train[0], IMAGES[:, None])
    np.testing.assert_array_equal(data.train[1], LABELS)


def test_less_usual_names_count_only_where_there_are_no_usual_ones(tmp_path):
    np.savez(tmp_path / "a.npz", **KERAS, data=np.zeros(3), train_data=np.zeros(3))
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz").train[0], IMAGES[:, None])
    np.savez(tmp_path / "a.npz", data=IMAGES, image=IMAGES)
    with pytest.raises(InputError, match="data and image are both images"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "images", [IMAGES, IMAGES[:, None], IMAGES[..., None], np.asfortranarray(IMAGES)]
)
def test_an_npy_file_is_images_to_predict(tmp_path, images):
    np.save(tmp_path / "a.npy", images)
    data = read(tmp_path / "a.npy")
    assert data.train is None
    np.testing.assert_array_equal(data.inputs, IMAGES[:, None])
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"a\.npy claims .* \(240 bytes\), but holds 239"):
        read(tmp_path / "a.npy")


def test_truth_values_are_words_as_in_a_csv(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS > 0)
    assert read_npz(tmp_path / "a.npz").labels == ("False", "True")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            np.eye(3)[LABELS],
            r"not integers or words \(N,\): these are one-hot, save y.argmax\(axis=1",
        ),
        (LABELS.astype(float), r"labels are float64 of shape \(12,\), .*: save y.astype\(int\)"),
        (LABELS + 0.5, r"labels are float64 of shape \(12,\), not integers or words \(N,\)$"),
        (LABELS.astype(object), r"never loaded; save x.astype\(str\) of words"),
        (np.array(["", "a", "b"])[LABELS], "a class is called nothing"),
        (
            np.array(["a\nb", "a", "b"])[LABELS],
            r"a class is called 'a\\nb': give it a name that can",
        ),
    ],
)
def test_labels_that_cannot_be_used_say_what_to_save(tmp_path, labels, said):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=labels)
    with pytest.raises(InputError, match=said):
        read_npz(tmp_path / "a.npz")


def test_rows_of_a_squares_pixels_are_images(tmp_path):
    square = IMAGES[:, :, :4]
    np.savez(tmp_path / "a.npz", x_train=square.reshape(12, 16), y_train=LABELS)
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz").train[0], square[:, None])


@pytest.mark.parametrize("names", [("x_val", "y_val"), ("x_valid", "y_valid"), ("X_validation",)])
def test_a_validation_set_is_read(tmp_path, names):
    images, labels = names if len(names) == 2 else ("X_validation", "y_validation")
    np.savez(tmp_path / "a.npz", **KERAS, **{images: IMAGES[3:8], labels: LABELS[3:8]})
    x, y = read_npz(tmp_path / "a.npz").validation
    np.testing.assert_array_equal(x, IMAGES[3:8, None])
    np.testing.assert_array_equal(y, LABELS[3:8])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x_val": IMAGES}, "x_val has no labels"),
        ({"x_val": IMAGES, "y_val": LABELS + 1}, "validation label 3 is not one"),
        ({"x_val": IMAGES[:, 1:], "y_val": LABELS}, "validation images are 5 x 3: resize"),
        (
            {"x_val": IMAGES, "x_valid": IMAGES},
            "x_val and x_valid are both validation images",
        ),
    ],
)
def test_a_validation_set_that_does_not_fit_is_an_input_error(tmp_path, arrays, said):
    np.savez(tmp_path / "a.npz", **(KERAS | arrays))
    with pytest.raises(InputError) as caught:
        read_npz(tmp_path / "a.npz")
    assert said in str(caught.value)


def test_test_images_may_have_no_labels_or_be_missing(tmp_path):
    np.savez(tmp_path / "a.npz", **{k: v for k, v in KERAS.items() if k != "y_test"})
    assert read_npz(tmp_path / "a.npz").test[1] is None
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=LABELS)
    assert read_npz(tmp_path / "a.npz").test is None


def test_images_alone_are_inputs_to_predict_and_with_labels_examples(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES)
    data = read_npz(tmp_path / "a.npz")
    assert data.train is None
    np.testing.assert_array_equal(data.inputs, IMAGES[:, None])
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    data = read_npz(tmp_path / "a.npz")
    assert data.test is None
    np.testing.assert_array_equal(data.train[1], LABELS)


@pytest.mark.parametrize(
    ("written", "classes", "kind"),
    [
        *((["1", "7", "26"], ("1", "7", "26"), kind) for kind in ("U", "S", "i8")),
        *((["-3", "0", "12"], ("-3", "0", "12"), kind) for kind in ("U", "S", "i8")),
        *((["b", "A", "é"], ("A", "b", "é"), kind) for kind in ("U", "S")),
    ],
)
def test_labels_may_be_any_integers_or_words(tmp_path, written, classes, kind):
    raw = np.char.encode(written, "utf-8") if kind == "S" else np.array(written).astype(kind)
    labels = raw[LABELS]
    np.savez(tmp_path / "a.npz", **(KERAS | {"y_train": labels, "y_test": labels[:6]}))
    data = read_npz(tmp_path / "a.npz")
    assert (data.labels, data.class_names) == (classes, classes)
    for found, numbers in ((data.train[1], LABELS), (data.test[1], LABELS[:6])):
        assert [classes[index] for index in found] == [written[number] for number in numbers]


# --- damage ----------------------------------------------------------------------------------


class Pickled:
    """What would make a folder if anybody unpickled it."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def header_of(descr, shape):
    """An `.npy` file that ends after its header."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n"


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        pytest.param({"x_train": np.array([Pickled()], object)}, "Python objects", id="objects"),
        pytest.param({"y_train": LABELS.astype(object)}, "Python objects", id="object labels"),
        pytest.param({"x_train": IMAGES / 255}, "got float64 of shape (12, 4, 5)", id="floats"),
        pytest.param(
            {"x_train": IMAGES / 255 * (IMAGES > 9)},
            f", from 0 to {IMAGES.max() / 255:g}: save (255 * x).round().astype('uint8')",
            id="floats from 0 to 1",
        ),
        pytest.param(
            {"x_train": (IMAGES // 2).astype("i8")},
            f", from 0 to {IMAGES.max() // 2}: save x.round().astype('uint8')",
            id="bytes in larger integers",
        ),
        pytest.param({"x_train": IMAGES - 99.0}, ", from -99 to 1", id="floats about 0"),
        pytest.param({"x_train": IMAGES.reshape(12, -1)}, "(12, 20)", id="flat images"),
        pytest.param(
            {"x_train": LABELS, "y_train": IMAGES},
            "x_train has shape (12,), and a.npz: y_train (12, 4, 5): images and labels are",
            id="exchanged",
        ),
        pytest.param({"x_train": np.stack([IMAGES] * 3, 3)}, "these are in colour", id="colours"),
        pytest.param({"x_train": IMAGES[:0]}, "(0, 4, 5)", id="no images"),
        pytest.param(
            {"y_train": LABELS[:5]},
            "x_train: 12 images but 5 labels in a.npz: y_train",
            id="counts",
        ),
        pytest.param({"y_train": LABELS / 1}, "a.npz: y_train: labels are float64", id="fractions"),
        pytest.param({"y_train": LABELS - 1}, "test label 2 is not one", id="below 0"),
        pytest.param({"y_train": LABELS * 2}, "classes (0, 2, 4)", id="a class without images"),
        pytest.param({"y_test": np.array(["a"] * 6)}, "test label 'a' is not one", id="a word"),
        pytest.param({"y_train": np.array([b"\xff"] * 12)}, "are no UTF-8", id="not UTF-8"),
        pytest.param({"y_test": LABELS[:6] + 1}, "test label 3 is not one", id="unknown class"),
        pytest.param(
            {"x_test": IMAGES[:6, 1:]},
            "5 x 4 pixels, width x height, but test images are 5 x 3",
            id="another size",
        ),
    ],
)
def test_arrays_that_cannot_be_used_are_an_input_error(tmp_path, monkeypatch, arrays, said):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", **(KERAS | arrays))
    with pytest.raises(InputError) as caught:
        read_npz(Path("a.npz"))
    assert "a.npz" in str(caught.value)
    assert said in str(caught.value)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("order", "<>")
def test_words_of_characters_that_there_are_not_are_an_input_error(tmp_path, order):
    codes = np.array([[97, 98, 0x110000]] * 12, f"{order}u4")
    members = {f"{name}.npy": npy(array) for name, array in KERAS.items()}
    words = npy(np.full(12, "abc", f"{order}U3")).replace(
        np.full(12, "abc", f"{order}U3").tobytes(), codes.tobytes()
    )
    path = write_members(tmp_path / "a.npz", members | {"y_train.npy": words})
    with pytest.raises(InputError) as caught:
        read_npz(path)
    said = f"{path}: y_train is not an array of words: 0x110000 is no character"
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            header_of("|u1", (2**20, 2**10, 2**10)),
            "claims (1048576, 1024, 1024) uint8 (1,099,511,627,776 bytes), but holds 0",
            id="claims more than it holds",
        ),
        pytest.param(header_of("|u1", (2**70,)), "1,180,591,620,717,411,303", id="beyond 2**64"),
        pytest.param(npy(IMAGES)[:-1], "but holds 239", id="cut short"),
        pytest.param(npy(IMAGES) + b"x", "but holds 241", id="with a tail"),
        pytest.param(b"not an array", "is not an array", id="no array"),
        pytest.param(b"", "is not an array", id="empty"),
        pytest.param(b"\x93NUMPY\x09\x00" + npy(IMAGES)[8:], "is not an array", id="version 9"),
        pytest.param(header_of("|u1", (-1,)), "claims (-1,)", id="negative size"),
        pytest.param(header_of("|u1", "nonsense"), "is not an array", id="no shape"),
        pytest.param(header_of("|O", (3,)), "Python objects", id="objects"),
    ],
)
def test_a_damaged_member_is_an_input_error_that_names_it(tmp_path, content, said):
    members = {f"{name}.npy": npy(array) for name, array in KERAS.items()}
    path = write_members(tmp_path / "a.npz", members | {"x_train.npy": content})
    with pytest.raises(InputError) as caught:
        read_npz(path)
    assert f"{path}: x_train" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arrays_that_memory_cannot_hold_are_refused(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", **KERAS)
    monkeypatch.setattr(memory, "_container_room", lambda: 200)
    with pytest.raises(InputError, match="x_train claims 240 bytes, but 200 bytes of memory"):
        read_npz(tmp_path / "a.npz")


def test_a_table_of_measurements_is_shown_as_it_is_and_not_to_be_rounded(tmp_path):
    np.savez(tmp_path / "a.npz", X=LABELS[:, None] * np.linspace(0.25, 1, 4), y=LABELS)
    with pytest.raises(InputError) as caught:
        read_npz(tmp_path / "a.npz")
    assert str(caught.value) == (
        f"{tmp_path / 'a.npz'}: X: images must be bytes (uint8, 0 to 255) of shape (N, height, "
        "width), N at least 1, got float64 of shape (12, 4), from 0 to 2"
    )


def test_other_arrays_are_an_input_error_that_lists_them(tmp_path):
    np.savez(tmp_path / "a.npz", weight=LABELS, bias=LABELS)
    with pytest.raises(InputError, match=r"nor images and labels; it has bias, weight$"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        (["images"], r"images \(no .npy file\)"),
        (["x_train", "y_train.npy"], r"x_train \(no .npy file\), y_train"),
    ],
)
def test_members_that_are_not_called_npy_are_no_arrays(tmp_path, names, seen):
    path = write_members(tmp_path / "a.npz", dict.fromkeys(names, npy(IMAGES)))
    with pytest.raises(InputError, match=f"it has {seen}$"):
        read_npz(path)


SOUND = io.BytesIO()
np.savez_compressed(SOUND, **KERAS)


@given(position=st.integers(0, len(SOUND.getvalue()) - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_never_gives_other_images(tmp_path_factory, position, flip):
    content = bytearray(SOUND.getvalue())
    content[position] ^= flip
    path = tmp_path_factory.getbasetemp() / "flipped.npz"
    path.write_bytes(content)
    try:
        data = read_npz(path)
    except InputError as error:
        said = str(error)
    else:  # a zip file has bytes that say nothing, and the name of an array may have changed
        np.testing.assert_array_equal(data.train[0], IMAGES[:, None])
        return
    assert str(path) in said
    assert "\n" not in said
