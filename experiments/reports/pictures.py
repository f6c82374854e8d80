"""The pictures of a report, read from their files and made fit to stand inside a page."""

import base64
import io
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from funcnn.experiments.errors import InputError

_FORMATS = ("PNG", "GIF")
_DPI_OF_CSS = 96


class Inlined(NamedTuple):
    """A picture as data URIs, and its size in CSS pixels.

    still: the picture, or the last frame of an animation: what training came to, for paper and for
    readers who want no motion. moving: the animation, or None.
    """

    still: str
    moving: str | None
    width: int
    height: int


def inline(path: Path) -> Inlined:
    """Read a PNG or GIF. Its size is that in inches, where the file says it, as figures do.

    Raises `InputError`, which names the file, for one that is missing or is no such picture.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the picture {path}: {error.strerror}") from None
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            image.load()
            last_frame = None
            if (frames := getattr(image, "n_frames", 1)) > 1:
                image.seek(frames - 1)
                last_frame = _as_png(image)
            kind = f"image/{str(image.format).lower()}"
            density = image.info.get("dpi", (_DPI_OF_CSS, _DPI_OF_CSS))
            width, height = (
                max(1, round(pixels * _DPI_OF_CSS / (dpi or _DPI_OF_CSS)))
                for pixels, dpi in zip(image.size, density, strict=True)
            )
    except (OSError, SyntaxError, ValueError, EOFError):  # as Pillow says it of a broken file
        raise InputError(f"{path} is no PNG or GIF that can be read") from None
    whole = _data_uri(kind, content)
    if last_frame is None:
        return Inlined(whole, None, width, height)
    return Inlined(_data_uri("image/png", last_frame), whole, width, height)


def _as_png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGBA").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
