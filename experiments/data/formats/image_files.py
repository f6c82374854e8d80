"""One picture file as an image: 8-bit grey, 0 background, 255 ink or cloth."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import numpy as np

from funcnn.experiments.errors import InputError, sizes_text
from funcnn.experiments.system.memory import expect_memory
from funcnn.types import Array

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm")
_NOT_READ = (".tif", ".tiff", ".heic", ".avif", ".svg", ".jp2")
_TEXTS = (".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".html", ".log")
_NOTES = (*_TEXTS, ".pdf", ".ini", ".db", ".py", ".ipynb", ".zip", ".npy", ".npz")
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_FEWER_BITS = 12
_NOTE_NAMES = ("readme", "license", "licence")


def is_image_name(file: str) -> bool:
    """Whether a file is called as pictures are, in upper or lower case; not all can be read."""
    return file.lower().endswith((*_SUFFIXES, *_NOT_READ))


def is_note(file: str) -> bool:
    """Whether a file beside pictures is called as something else is: a text, a table."""
    return file.lower().endswith(_NOTES) or file.lower() in _NOTE_NAMES


@contextlib.contextmanager
def refuse_bombs() -> Iterator[None]:
    """Within it a picture whose size can only be an attack is an error, not a warning."""
    from PIL.Image import DecompressionBombWarning  # matplotlib needs Pillow too

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow guesses about odd metadata
        warnings.simplefilter("error", DecompressionBombWarning)
        yield


@contextlib.contextmanager
def _opened(stream: IO[bytes], where: str) -> Iterator["Image"]:
    """The picture in a file, turned as its orientation says, for as long as this is open.

    Whatever is wrong with it, now or when its pixels are read in here, is an `InputError`.
    """
    import PIL.Image
    import PIL.ImageOps

    try:
        with PIL.Image.open(stream, formats=FORMATS) as image:
            frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
            if frames > 1:  # a phone adds small ones to a JPEG, after the one that is seen
                raise InputError(f"{where} has {frames} pictures in it; one is needed")
            width, height = image.size
            expect_memory(width * height * len(image.getbands()), where)
            PIL.ImageOps.exif_transpose(image, in_place=True)
            yield image
    except InputError:
        raise
    except PIL.UnidentifiedImageError:
        raise InputError(
            f"{where} cannot be read as a picture: it is no PNG, JPEG, BMP, GIF, WebP or PGM"
        ) from None
    except Exception as error:  # a decoder of damaged bytes raises what it stumbles over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{where} cannot be read as a picture: {reason}") from None


def read_image(stream: IO[bytes], where: str, shape: tuple[int, int] | None) -> Array:
    """The pixels `(H, W)` of a picture, which must have this shape if one is given.

    Colours become their luma (ITU-R 601: 0.299 R + 0.587 G + 0.114 B); 16 bits stay so, as uint16.
    A photograph is turned as its orientation says. Raises `InputError` if it is damaged, sees
    through, moves, or is too large. To be called in `refuse_bombs`.
    """
    with _opened(stream, where) as image:
        if shape is not None and image.size[::-1] != shape:
            raise InputError(
                f"{where} is {sizes_text(image.size, ' x ')} pixels, width x height, but the "
                f"first picture is {sizes_text(shape[::-1], ' x ')}: resize them to one size"
            )
        return _grey(image, where)


def read_colours(stream: IO[bytes], where: str, most: int) -> tuple[Array, bool]:
    """The pixels `(H, W, 3)` of any picture, bytes, and whether it is transparent in parts.

    What it lets through is white. 16 bits become 8. A picture of more than `most` pixels a side is
    made smaller. Raises `InputError` as `read_image`, but not for transparency.
    """
    import PIL.Image

    with refuse_bombs(), _opened(stream, where) as image:
        seen_through = False
        if image.mode.startswith("I") or image.mode == "F":
            deep = _grey(image, where)
            bits = 12 if deep.max() < 1 << _FEWER_BITS else 16  # as some cameras write
            image = PIL.Image.fromarray((deep * (255 / ((1 << bits) - 1))).round().astype(np.uint8))
        elif image.mode in _ALPHA or "transparency" in image.info:
            image = image.convert("RGBA")
            seen_through = image.getchannel("A").getextrema() != (255, 255)
            image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB")
        image.thumbnail((most, most), PIL.Image.Resampling.BOX)
        return np.array(image), seen_through


def eight_bits(deep: Array) -> Array:
    """16 bits as 8."""
    shades = (deep.astype(np.int64) + 128) // 257  # 65535 / 255 is 257
    return shades.astype(np.uint8)


def _grey(image: "Image", where: str) -> Array:
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L"))
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut at 255
        return np.asarray(image).astype(np.uint16)
    if image.mode == "F":
        raise InputError(f"{where} has fractions for pixels; save it with 8 bits a pixel")
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise InputError(
                f"{where} is transparent in parts, and what is behind it is unknown: save it "
                "without an alpha channel"
            )
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))
