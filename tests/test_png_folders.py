"""Folders of PNGs by class: read in a fixed order, and every odd picture named."""

import shutil
import struct
import zlib

import numpy as np
import pytest
from funcnn.experiments import room
from funcnn.experiments.errors import InputError
from funcnn.experiments.image_forms import read
from funcnn.experiments.png_folders import has_classes, read_folder
from PIL import Image

GREY = np.random.default_rng(0).integers(0, 256, (5, 3, 4)).astype("u1")


def write_png(path, pixels, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)
    return path


def png_folder(folder, names=("cat", "dog"), parts=("train", "test")):
    """In each part and class `i`, five pictures whose first pixel is `i`."""
    for part in parts:
        for label, name in enumerate(names):
            for index, pixels in enumerate(GREY):
                image = pixels.copy()
                image[0, 0] = label
                write_png(folder / part / name / f"{index}.png", image)
    return folder


def test_train_and_test_have_a_folder_for_each_class(tmp_path):
    data = read_folder(png_folder(tmp_path))
    for x, y in (data.train, data.test):
        assert x.shape == (10, 1, 3, 4)
        assert x.dtype == np.uint8
        np.testing.assert_array_equal(x[:, 0, 0, 0], y)
        np.testing.assert_array_equal(y, [0] * 5 + [1] * 5)
        np.testing.assert_array_equal(x[:5, 0, 1:], GREY[:, 1:])
    assert data.class_names == ("cat", "dog")


def test_classes_alone_have_no_test_set(tmp_path):
    data = read_folder(png_folder(tmp_path, parts=[""]))
    assert data.test is None
    assert len(data.train[0]) == 10
    shutil.move(tmp_path / "cat", tmp_path / "train" / "cat")
    assert read_folder(tmp_path).class_names == ("cat",)


def test_classes_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    names = tuple(str(number) for number in range(12))
    assert read_folder(png_folder(tmp_path, names)).class_names == names


def test_a_class_may_be_missing_in_the_test_set_and_hidden_files_do_not_count(tmp_path):
    shutil.rmtree(png_folder(tmp_path) / "test" / "cat")
    (tmp_path / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "train" / ".hidden").mkdir()
    data = read_folder(tmp_path)
    assert data.test[1].tolist() == [1] * 5


def test_black_and_white_pictures_are_0_and_255(tmp_path):
    write_png(tmp_path / "a" / "0.png", GREY[0] > 99)
    data = read_folder(tmp_path)
    np.testing.assert_array_equal(data.train[0][0, 0], np.where(GREY[0] > 99, 255, 0))


def test_a_folder_without_folders_has_no_classes(tmp_path):
    assert not has_classes(tmp_path)
    with pytest.raises(InputError, match="is no data set: give a folder of four IDX files"):
        read(tmp_path)


# --- odd pictures ----------------------------------------------------------------------------


def colour(path):
    write_png(path, np.zeros((3, 4, 3), "u1"))


def with_alpha(path):
    write_png(path, np.zeros((3, 4, 2), "u1"))


def deep(path):
    write_png(path, np.zeros((3, 4), "u2"))


def palette(path):
    Image.new("P", (4, 3)).save(path)


def larger(path):
    write_png(path, np.zeros((4, 4), "u1"))


def jpeg(path):
    Image.new("L", (4, 3)).save(path, "JPEG")


def text(path):
    path.write_text("hello")


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(content)


def chunk(kind, content):
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def claiming(width, height):
    """A picture of few bytes that claims this size."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )


def bomb(path):
    path.write_bytes(claiming(100_000, 100_000))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (colour, "pixels of kind RGB; only 8-bit grey is read"),
        (with_alpha, "pixels of kind LA"),
        (deep, "pixels of kind I;16"),
        (palette, "pixels of kind P"),
        (larger, "has (4, 4) pixels, but the first image (3, 4)"),
        (jpeg, "cannot be read as a PNG"),
        (text, "cannot be read as a PNG"),
        (empty, "cannot be read as a PNG"),
        (cut, "cannot be read as a PNG"),
        (flipped, "cannot be read as a PNG"),
        (bomb, "cannot be read as a PNG"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_odd_picture_is_an_input_error_that_names_it(tmp_path, damage, said):
    file = png_folder(tmp_path) / "train" / "dog" / "3.png"
    damage(file)
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_that_memory_cannot_hold_together_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_free_memory", lambda: 100)
    with pytest.raises(InputError, match=r"train \(10 images\) claims 120 bytes"):
        read_folder(png_folder(tmp_path))


def test_a_picture_that_memory_cannot_hold_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(claiming(9_000, 9_000))
    monkeypatch.setattr(room, "_free_memory", lambda: 80_000_000)
    with pytest.raises(InputError, match=r"0\.png claims 81,000,000 bytes"):
        read_folder(tmp_path)


def test_a_test_class_that_train_lacks_is_an_input_error(tmp_path):
    write_png(png_folder(tmp_path) / "test" / "cow" / "0.png", GREY[0])
    with pytest.raises(InputError, match=r"test/cow: there is no class cow in train"):
        read_folder(tmp_path)


def test_a_class_without_pictures_is_an_input_error(tmp_path):
    (png_folder(tmp_path) / "train" / "cow").mkdir()
    with pytest.raises(InputError, match=r"train/cow has no images"):
        read_folder(tmp_path)


def test_folders_without_pictures_are_an_input_error(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(InputError, match=r"train/cat has no images"):
        read_folder(tmp_path)
