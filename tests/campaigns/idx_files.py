"""Damaged IDX files, plain and gzipped, alone and as a data set."""

import contextlib
import gzip
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.damage import damaged_bytes
from campaigns.reading import outcome_of, use_data
from campaigns.watch import Watch
from image_files import idx_bytes, image_folder

from funcnn.experiments.data.datasets import load_inputs

NAMES = "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"
NAMES = *NAMES, "t10k-labels-idx1-ubyte", "mapping.txt"
SIZES = 0, 1, 2, 4, 255, 1 << 16, 1 << 31, (1 << 32) - 1


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Four files and the names of their classes, one of which is damaged."""
    watch = Watch(folder)
    image_folder(folder / "set")
    (folder / "set/mapping.txt").write_bytes(b"0 none\n1 one\n2 two\n")
    good = {name: (folder / "set" / name).read_bytes() for name in NAMES}

    def one_try(rng: np.random.Generator) -> str:
        name = NAMES[rng.integers(len(NAMES))]
        data = (
            _damaged(good[name], rng) if name != "mapping.txt" else damaged_bytes(good[name], rng)
        )
        path = folder / "set" / name
        if packed := name != "mapping.txt" and rng.integers(2) == 0:
            path.unlink()
            path = path.with_name(f"{name}.gz")
            data = gzip.compress(data, 1, mtime=0)
            if rng.integers(4) == 0:
                data = damaged_bytes(data, rng)
        path.write_bytes(data)
        try:
            alone = rng.integers(4) == 0 and "images" in name
            read = (lambda: load_inputs(str(path))) if alone else (lambda: use_data(path.parent))
            said = outcome_of(watch, path if alone else path.parent, read)
            return f"gzip {said}" if packed else said
        finally:
            path.unlink()
            (folder / "set" / name).write_bytes(good[name])

    yield one_try


def _damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """An IDX file with something changed, whose length is right again as often as not."""
    kind = rng.integers(3)
    if kind == 0:
        return damaged_bytes(data, rng)
    axes = data[3]
    shape = [*struct.unpack_from(f">{axes}I", data, 4)]
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * axes)
    if kind == 1:  # other values, or another dtype or shape, that fit together
        dtypes = "u1", "i1", "i2", "i4", "f4", "f8"
        array = values.astype(dtypes[rng.integers(6)])
        shapes = [shape, [-1], [1, *shape], [*shape, 1], [shape[0], -1], shape[::-1]]
        array = array.reshape(shapes[rng.integers(6)])
        if rng.integers(2):
            array = array[: int(rng.integers(len(array) + 1))]
        if rng.integers(2):
            array = (array * rng.integers(300)).astype(array.dtype)
        return idx_bytes(array)
    shape[rng.integers(axes)] = SIZES[rng.integers(len(SIZES))]
    axes = int((axes, 0, 1, 33, 65, 255)[rng.integers(6)])
    shape = (shape * 255)[:axes]
    if rng.integers(2):  # so that nothing is missing, of an empty array
        shape = [*shape[:-1], 0] if shape else shape
        values = values[:0]
    return data[:3] + bytes([axes]) + struct.pack(f">{axes}I", *shape) + values.tobytes()


IDX_FILES = Campaign("idx", "damaged IDX files that are read", 1, begin)
