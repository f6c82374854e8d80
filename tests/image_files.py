"""Files of images as people have them: IDX, CSV, pictures; small, and the same each time."""

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    """The array as an IDX file, from the format's description."""
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(path: Path, array: np.ndarray) -> Path:
    """An IDX file, gzipped if its name says so."""
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def image_folder(folder, *, train=60, test=20, side=4, classes=3, suffix=""):
    """A folder of four small IDX files, whose classes differ in brightness."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        labels = (np.arange(count) % classes).astype("u1")
        images = generator.integers(0, 60, (count, side, side)) + 60 * labels[:, None, None]
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", images.astype("u1"))
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", labels)
    return folder


def emnist_members(split="balanced", *, first=0, classes=47, train=94, test=47, side=5):
    """The four official files of a small set, by their names: images that are not symmetric."""
    members = {}
    for part, count in (("train", train), ("test", test)):
        labels = (np.arange(count) % classes + first).astype("u1")
        images = np.zeros((count, side, side), "u1")
        images[:, 0, :] = labels[:, None] + 1  # upright: the first column
        prefix = f"emnist-{split}-{part}"
        members[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(idx_bytes(images), mtime=0)
        members[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(idx_bytes(labels), mtime=0)
    return members


def write_files(folder: Path, members):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in members.items():
        (folder / name).write_bytes(content)
    return folder


def write_zip(path: Path, members, folder="gzip/"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(folder + name, content)
    return path


def expect_upright(data):
    for x, _ in (data.train, data.test):
        assert (x[:, 0, :, 0] == x[:, 0, :1, 0]).all()
        assert not x[:, 0, :, 1:].any()


# Rows of a CSV file: a class, and an image of 4 x 4 pixels.
TABLE = np.random.default_rng(0).integers(0, 256, (12, 17))
TABLE[:, 0] = np.arange(12) % 3

PIXELS = [f"pixel{i}" for i in range(16)]


def text_of(table, header=(), *, end="\n"):
    lines = [",".join(header)] * bool(header) + [",".join(map(str, row)) for row in table]
    return "".join(line + end for line in lines).encode()


def write_csv(path: Path, table, header=(), **form):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text_of(table, header, **form))
    return path


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
