"""Damaged pictures of all kinds that are read, as training images and as one's own."""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.damage import damaged_bytes
from campaigns.reading import outcome_of
from campaigns.watch import Watch
from PIL import Image

from funcnn.experiments.data.datasets import load_inputs
from funcnn.experiments.data.formats.listings import DiskFolder
from funcnn.experiments.data.pictures import Framing, prepare, read_picture

MODES = "1", "L", "LA", "P", "RGB", "RGBA", "I;16"
KINDS = {"png": MODES, "jpg": ("L", "RGB", "CMYK"), "bmp": ("1", "L", "P", "RGB")}
KINDS |= {"gif": ("L", "P"), "webp": ("RGB", "RGBA"), "pgm": ("L",), "ppm": ("RGB", "1")}
FRAMES = Framing("writing", 0.7), Framing("things"), Framing("views")
CHUNKS = b"tRNS", b"PLTE", b"gAMA", b"iCCP", b"tEXt", b"zTXt", b"eXIf", b"acTL", b"fcTL", b"sBIT"
NUMBERS = 0, 1, 2, 255, 1 << 16, 20_000, (1 << 31) - 1, (1 << 32) - 1


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """A stroke in each kind of picture; one file is damaged and read in one of two ways."""
    watch = Watch(folder)
    pixels = np.full((20, 24), 230, np.uint8)
    pixels[4:16, 10:14] = 20
    pictures = [
        (suffix, _file(pixels, suffix, mode)) for suffix, modes in KINDS.items() for mode in modes
    ]

    def one_try(rng: np.random.Generator) -> str:
        suffix, data = pictures[rng.integers(len(pictures))]
        path = folder / f"picture.{suffix}"
        if suffix == "png" and rng.integers(6):
            path.write_bytes(_damaged_png(data, rng))
        else:
            path.write_bytes(damaged_bytes(data, rng))
        shape, frame = ((1, 28, 28), (3, 20, 24))[rng.integers(2)], FRAMES[rng.integers(3)]

        def read() -> None:
            picture = read_picture(DiskFolder(folder), path.name, shape)
            stored = prepare(picture, shape, frame)
            assert (stored.shape, stored.dtype) == (shape, np.uint8)

        def read_all() -> None:
            assert load_inputs(str(path)).inputs.shape[:2] == (1, 1)

        own = rng.integers(2) == 0
        try:
            return f"{suffix} {outcome_of(watch, path, read if own else read_all)}"
        finally:
            path.unlink()

    yield one_try


def _file(pixels: np.ndarray, suffix: str, mode: str) -> bytes:
    image = Image.fromarray(pixels.astype(np.uint16) * 257 if mode == "I;16" else pixels)
    buffer = io.BytesIO()
    formats = {"jpg": "JPEG", "pgm": "PPM"}
    image = image if mode == "I;16" else image.convert(mode)
    image.save(buffer, formats.get(suffix, suffix.upper()))
    return buffer.getvalue()


def _damaged_png(data: bytes, rng: np.random.Generator) -> bytes:
    """A PNG with a chunk changed, and the checksums right again."""
    chunks, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    which, kind = int(rng.integers(len(chunks))), rng.integers(6)
    name, content = chunks[which]
    if kind == 0:
        chunks[which] = name, damaged_bytes(content, rng)
    elif kind == 1:  # the pixels as they are packed
        for i, (each, packed) in enumerate(chunks):
            if each == b"IDAT":
                chunks[i] = each, zlib.compress(damaged_bytes(zlib.decompress(packed), rng))
    elif kind == 2:
        sizes = bytearray(chunks[0][1])
        place = int(rng.integers(7))
        if place < 2:
            struct.pack_into(">I", sizes, 4 * place, NUMBERS[rng.integers(len(NUMBERS))])
        else:
            sizes[6 + place] = rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 255])
        chunks[0] = b"IHDR", bytes(sizes)
    elif kind == 3:
        odd = CHUNKS[rng.integers(len(CHUNKS))]
        chunks.insert(int(rng.integers(1, len(chunks))), (odd, rng.bytes(int(rng.integers(40)))))
    elif kind == 4:
        chunks.insert(int(rng.integers(len(chunks) + 1)), chunks.pop(which))
    else:
        del chunks[which]
    return data[:8] + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


PICTURE_FILES = Campaign("pictures", "damaged pictures that are read", 1, begin)
