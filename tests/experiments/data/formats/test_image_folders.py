"""Folders of pictures: read in a fixed order, as grey, and every odd picture named."""

import os
import re
import shutil
import struct
import zipfile
import zlib

import numpy as np
import pytest
from image_files import GREY, png_folder, write_png
from PIL import Image

from funcnn.experiments.data.formats.by_path import read
from funcnn.experiments.data.formats.image_folders import has_classes, read_classes
from funcnn.experiments.data.formats.listings import DiskFolder
from funcnn.experiments.errors import InputError
from funcnn.experiments.system import memory


def read_classes_of(path):
    return read_classes(DiskFolder(path))


def test_train_and_test_have_a_folder_for_each_class(tmp_path):
    data = read_classes_of(png_folder(tmp_path))
    for x, y in (data.train, data.test):
        assert x.shape == (10, 1, 3, 4)
        assert x.dtype == np.uint8
        np.testing.assert_array_equal(x[:, 0, 0, 0], y)
        np.testing.assert_array_equal(y, [0] * 5 + [1] * 5)
        np.testing.assert_array_equal(x[:5, 0, 1:], GREY[:, 1:])
    assert data.class_names == ("cat", "dog")


def test_classes_alone_have_no_test_set(tmp_path):
    data = read_classes_of(png_folder(tmp_path, parts=[""]))
    assert data.test is None
    assert len(data.train[0]) == 10
    shutil.move(tmp_path / "cat", tmp_path / "train" / "cat")
    assert read_classes_of(tmp_path).class_names == ("cat",)


def test_classes_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    names = tuple(str(number) for number in range(12))
    assert read_classes_of(png_folder(tmp_path, names)).class_names == names


def test_a_class_may_be_missing_in_the_test_set_and_hidden_files_do_not_count(tmp_path):
    shutil.rmtree(png_folder(tmp_path) / "test" / "cat")
    (tmp_path / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "train" / ".hidden").mkdir()
    data = read_classes_of(tmp_path)
    assert data.test[1].tolist() == [1] * 5


def test_black_and_white_pictures_are_0_and_255(tmp_path):
    write_png(tmp_path / "a" / "0.png", GREY[0] > 99)
    data = read_classes_of(tmp_path)
    np.testing.assert_array_equal(data.train[0][0, 0], np.where(GREY[0] > 99, 255, 0))


def test_a_folder_without_folders_has_no_classes(tmp_path):
    assert not has_classes(DiskFolder(tmp_path))
    with pytest.raises(InputError, match="is no data set: give a folder of four IDX files"):
        read(tmp_path)


# --- kinds of pictures -----------------------------------------------------------------------

COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]] * 3, "u1")
LUMA = [[76, 150, 29, 9]] * 3  # 0.299 R + 0.587 G + 0.114 B


def palette():
    return Image.fromarray(COLOURS).quantize(4)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        pytest.param(lambda: Image.fromarray(COLOURS), LUMA, id="RGB"),
        pytest.param(lambda: Image.fromarray(COLOURS).convert("RGBA"), LUMA, id="opaque RGBA"),
        pytest.param(palette, LUMA, id="palette"),
        pytest.param(lambda: Image.fromarray(GREY[0]).convert("LA"), GREY[0], id="opaque LA"),
        pytest.param(
            lambda: Image.fromarray(np.array([[0, 128, 129, 257, 32_896, 65_535]], "u2")),
            [[0, 0, 1, 1, 128, 255]],
            id="16 bits",
        ),
    ],
)
def test_any_picture_becomes_8_bit_grey(tmp_path, picture, expected):
    picture().save(tmp_path / "it.png")
    np.testing.assert_array_equal(read(tmp_path / "it.png").inputs, [[expected]])


@pytest.mark.parametrize("most", [1, 200, 4095])
def test_12_bits_in_16_are_refused_and_not_almost_black(tmp_path, most):
    for index in range(3):
        deep = np.full((4, 4), most * (index == 1), "u2")
        write_png(tmp_path / "a" / f"{index}.png", deep)
    said = f"{tmp_path}: no pixel of its 16-bit pictures is above {most}, as if of 12 bits or fewer"
    with pytest.raises(InputError, match=re.escape(said)):
        read(tmp_path)
    write_png(tmp_path / "a" / "1.png", np.full((4, 4), 65_535, "u2"))
    assert read(tmp_path).train[0].max(axis=(1, 2, 3)).tolist() == [0, 255, 0]


def test_black_pictures_of_16_bits_are_black(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((4, 4), "u2"))
    assert not read(tmp_path / "a.png").inputs.any()


@pytest.mark.parametrize(
    "suffix", [".png", ".PNG", ".bmp", ".gif", ".pgm", ".webp", ".jpg", ".JPEG"]
)
def test_a_picture_may_be_in_any_of_the_usual_formats(tmp_path, suffix):
    Image.fromarray(np.full((8, 8), 77, "u1")).save(
        tmp_path / f"it{suffix}", **({"lossless": True} if suffix == ".webp" else {})
    )
    np.testing.assert_array_equal(read(tmp_path).inputs, np.full((1, 1, 8, 8), 77))


def test_a_photograph_is_turned_as_its_orientation_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    Image.fromarray(GREY[0]).save(tmp_path / "it.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "it.png").inputs[0, 0], np.rot90(GREY[0], -1))


# --- places ----------------------------------------------------------------------------------


@pytest.mark.parametrize("train", ["train", "Train", "training"])
@pytest.mark.parametrize("validation", ["val", "VALID", "validation"])
@pytest.mark.parametrize("test", ["TEST", "testing"])
def test_parts_have_the_names_that_people_give_them(tmp_path, train, validation, test):
    data = read(png_folder(tmp_path, parts=[train, validation, test]))
    for x, y in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(x[:, 0, 0, 0], y)
        np.testing.assert_array_equal(y, [0] * 5 + [1] * 5)


def test_two_folders_of_one_part_are_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"train and \S+/training are both train images"):
        read(png_folder(tmp_path, parts=["train", "training"]))


def test_a_class_may_be_called_as_a_part(tmp_path):
    assert read(png_folder(tmp_path, ("train", "plane"), [""])).class_names == ("plane", "train")


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_class_of_any_part_that_train_lacks_is_an_input_error(tmp_path, part):
    png_folder(tmp_path, parts=["train", part])
    write_png(tmp_path / part / "cow" / "0.png", GREY[0])
    with pytest.raises(InputError, match=f"{part}/cow: there is no class cow in train"):
        read(tmp_path)


def test_parts_without_a_training_set_are_an_input_error(tmp_path):
    png_folder(tmp_path / "it", parts=["val", "test"])
    with pytest.raises(InputError, match=r"it has test, validation but no train folder"):
        read_classes_of(tmp_path / "it")


def test_a_test_set_without_classes_has_no_labels_and_the_order_of_numbers(tmp_path):
    png_folder(tmp_path, parts=["train"])
    for number in (10, 9, 100, 1):
        write_png(tmp_path / "test" / f"image{number}.png", np.full((3, 4), number, "u1"))
    inputs, labels = read(tmp_path).test
    assert labels is None
    assert inputs[:, 0, 0, 0].tolist() == [1, 9, 10, 100]
    np.testing.assert_array_equal(read(tmp_path / "test").inputs, inputs)


@pytest.mark.parametrize("part", ["train", "test"])
def test_pictures_beside_the_classes_of_a_part_are_said_to_be_there(tmp_path, part):
    write_png(png_folder(tmp_path) / part / "1.png", GREY[0])
    with pytest.raises(InputError, match=f"{part} has pictures beside the folders of its classes"):
        read(tmp_path)


@pytest.mark.parametrize("deep", ["a", "a/b"])
def test_pictures_inside_of_a_class_s_folder_are_said_to_be_there(tmp_path, deep):
    write_png(png_folder(tmp_path) / "train" / "cat" / deep / "1.png", GREY[0])
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    cat = tmp_path / "train" / "cat"
    said = f"has pictures, but is inside the folder of a class: move them to {cat}"
    assert str(caught.value) == f"{cat / deep} {said}"


@pytest.mark.parametrize(
    "name", ["Thumbs.db", ".DS_Store", "desktop.ini", "._0.png", "README", "README.md", "notes.txt"]
)
def test_what_is_no_picture_beside_pictures_does_not_count(tmp_path, name):
    images = read(png_folder(tmp_path)).train[0]
    for folder in (tmp_path, tmp_path / "train", tmp_path / "train" / "cat"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "train" / "__MACOSX").mkdir()
    np.testing.assert_array_equal(read(tmp_path).train[0], images)


def test_links_that_lead_back_end(tmp_path):
    images = read(png_folder(tmp_path)).train[0]
    for folder in (tmp_path, tmp_path / "train" / "cat"):
        (folder / "back").symlink_to(tmp_path, target_is_directory=True)
    np.testing.assert_array_equal(read(tmp_path).train[0], images)


def zip_of(path, folder):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.parametrize("top", ["", "animals"])
def test_a_zip_file_of_pictures_is_read_as_the_folder_that_it_is_of(tmp_path, top):
    png_folder(tmp_path / "it" / top, parts=["train", "val", "test"])
    (tmp_path / "it" / "__MACOSX" / "train").mkdir(parents=True)
    (tmp_path / "it" / "__MACOSX" / "train" / "._0.png").write_bytes(b"x")
    expected = read(tmp_path / "it")
    data = read(zip_of(tmp_path / "it.zip", tmp_path / "it"))
    assert data.class_names == expected.class_names == ("cat", "dog")
    for part in ("train", "validation", "test"):
        for array, other in zip(getattr(data, part), getattr(expected, part), strict=True):
            np.testing.assert_array_equal(array, other)


def test_a_picture_in_a_zip_file_that_cannot_be_read_is_named(tmp_path):
    (png_folder(tmp_path / "it") / "train" / "cat" / "3.png").write_text("hello")
    with pytest.raises(InputError) as caught:
        read(zip_of(tmp_path / "it.zip", tmp_path / "it"))
    assert f"{tmp_path / 'it.zip'}/train/cat/3.png cannot be read" in str(caught.value)


def test_names_of_more_digits_than_python_reads_are_numbers(tmp_path):
    endless = "9" * 5000
    for names in (["2", endless, "10"], ["2/0", f"{endless}/0", "10/0"]):
        with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
            for index, name in enumerate(names):
                write_png(tmp_path / "it.png", np.full((3, 4), index, "u1"))
                archive.write(tmp_path / "it.png", f"{name}.png")
        if names[0] == "2":
            assert read(tmp_path / "it.zip").inputs[:, 0, 0, 0].tolist() == [0, 2, 1]
        else:
            with pytest.raises(InputError, match="give it a name that can be printed"):
                read(tmp_path / "it.zip")


def test_a_zip_file_may_have_the_paths_of_windows(tmp_path):
    png_folder(tmp_path / "it", parts=["train", "test"])
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        for file in sorted((tmp_path / "it").rglob("*.png")):
            name = str(file.relative_to(tmp_path)).replace(os.sep, "\\")
            archive.writestr(name, file.read_bytes())
    data = read(tmp_path / "it.zip")
    assert data.class_names == ("cat", "dog")
    np.testing.assert_array_equal(data.test[1], read(tmp_path / "it").test[1])


def test_pictures_side_by_side_in_a_zip_file_are_inputs_to_predict(tmp_path):
    for number in (2, 10):
        write_png(tmp_path / "it" / f"{number}.png", np.full((3, 4), number, "u1"))
    data = read(zip_of(tmp_path / "it.zip", tmp_path / "it"))
    assert data.train is None
    assert data.inputs[:, 0, 0, 0].tolist() == [2, 10]


# --- odd pictures ----------------------------------------------------------------------------


def transparent(path):
    write_png(path, np.zeros((3, 4, 2), "u1"))


def moving(path):
    first, *others = (Image.fromarray(pixels) for pixels in GREY)
    first.save(path, "GIF", save_all=True, append_images=others)


def larger(path):
    write_png(path, np.zeros((4, 4), "u1"))


def cut_jpeg(path):
    Image.fromarray(np.tile(GREY[0], (30, 30))).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-600])


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def dangling(path):
    path.unlink()
    path.symlink_to("nowhere.png")


def loop(path):
    path.unlink()
    path.symlink_to(path.name)


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
        (transparent, "is transparent in parts, and what is behind it is unknown"),
        (moving, "has 5 pictures in it"),
        (larger, "is 4 x 4 pixels, width x height, but the first picture is 4 x 3: resize them"),
        (text, "it is no PNG, JPEG, BMP, GIF, WebP or PGM"),
        (empty, "it is no PNG, JPEG, BMP, GIF, WebP or PGM"),
        (cut, "cannot be read as a picture: image file is truncated"),
        (cut_jpeg, "cannot be read as a picture: image file is truncated"),
        (flipped, "cannot be read as a picture: broken data stream"),
        (bomb, "cannot be read as a picture: Image size (10000000000 pixels) exceeds limit"),
        (pipe, "cannot be read: Not a regular file"),
        (dangling, "cannot be read: No such file or directory"),
        (loop, "cannot be read: Too many levels of symbolic links"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_odd_picture_is_an_input_error_that_names_it(tmp_path, damage, said):
    file = png_folder(tmp_path) / "train" / "dog" / "3.png"
    damage(file)
    with pytest.raises(InputError) as caught:
        read_classes_of(tmp_path)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_that_memory_cannot_hold_together_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_container_room", lambda: 100)
    with pytest.raises(InputError, match=r"train \(10 images\) claims 120 bytes"):
        read_classes_of(png_folder(tmp_path))


def test_a_picture_that_memory_cannot_hold_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(claiming(9_000, 9_000))
    monkeypatch.setattr(memory, "_container_room", lambda: 80_000_000)
    with pytest.raises(InputError, match=r"0\.png claims 81,000,000 bytes"):
        read_classes_of(tmp_path)


def test_a_test_class_that_train_lacks_is_an_input_error(tmp_path):
    write_png(png_folder(tmp_path) / "test" / "cow" / "0.png", GREY[0])
    with pytest.raises(InputError, match=r"test/cow: there is no class cow in train"):
        read_classes_of(tmp_path)


def test_a_class_without_pictures_is_an_input_error(tmp_path):
    (png_folder(tmp_path) / "train" / "cow").mkdir()
    with pytest.raises(InputError, match=r"train/cow has no images"):
        read_classes_of(tmp_path)


def test_folders_without_pictures_are_an_input_error(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(InputError, match=r"train/cat has no images"):
        read_classes_of(tmp_path)
