"""Pictures of one's own, of any size and colour, made to be as those that a model was trained on.

Where the training pictures are light on dark, as MNIST's and Fashion-MNIST's:

1. Grey is the luma. The border of the picture is its background: a smooth surface through it, for
   the light may be uneven, is taken off.
2. What differs from it is the content. Where that is darker, it is inverted: ink on paper is a
   share of the light that paper gives back there, and becomes white on black.
3. Noise, and specks far smaller than the largest piece, are black. The rest is cropped.
4. *Writing* (digits, letters) is put where its centre of mass is that of the picture, in a frame of
   20 of 28 pixels, as MNIST's, or of more where the training pictures have more ink; its strokes
   are at least two pixels wide. *Things* (clothes) fill the picture, in its middle, as
   Fashion-MNIST's.

*Views* (everything else, and all in colour) are fitted in, whole and as they are; what is left at
the sides has the colour of their border.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from funcnn.experiments.data.datasets import Normalization
from funcnn.experiments.data.formats.image_files import read_colours
from funcnn.experiments.data.formats.listings import Folder
from funcnn.experiments.errors import InputError
from funcnn.types import Array, Shape

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST = 400  # pixels a side that are worked with
_WRITING, _THINGS = 0.22, 0.4  # training pixels' means, as shares of 255, up to which it is that
_NOT_MEASURED = (0.0, 0.5)  # what is written as the mean where nobody measured it
_FRAME, _ITS_MEAN = 20 / 28, 0.1307  # of a side that MNIST's writing fills, and its mean
_STROKE = 2.2  # pixels
_FLOOR, _FLOOR_OF_THINGS = 0.25, 0.06  # of the full ink: what is less is none
_FAINTEST = 0.1  # of the light: the least contrast of a content
_SPECK = 0.03  # of the largest piece
_KNOTS = 100  # points a side through which the background goes
_COARSE = 48  # cells a side in which pieces are told apart
_FINE = 4  # pixels for one of the model's, in which strokes are made thicker


class Framing(NamedTuple):
    """How the pictures lie that a model was trained on."""

    kind: Literal["writing", "things", "views"]
    share: float = 1.0
    """Of a side that the content fills."""


class Picture(NamedTuple):
    """A picture as it was given, but for its size: bytes `(H, W, 3)`."""

    where: str
    pixels: Array
    seen_through: bool
    """Whether it is transparent in parts, which are white here."""

    @property
    def grey(self) -> Array:
        """Its luma, bytes `(H, W)`."""
        return np.array(_image(self.pixels).convert("L"))


def framing(normalization: Normalization, class_names: Sequence[str]) -> Framing:
    """How a model's training pictures lie, by the mean of their pixels, which the ink makes.

    MNIST's is 0.13 of white, EMNIST's 0.17, Fashion-MNIST's 0.29; of photographs it is near 0.5.
    The frame of writing grows with its root. Where it is 0 or 0.5, as if nobody had measured it:
    writing as MNIST's if each class is called by one sign, else things.
    """
    mean = normalization.mean * normalization.scale / 255  # scale 1: it is of bytes
    if mean in _NOT_MEASURED or mean < 0:
        one_sign = all(len(name) == 1 for name in class_names)
        return Framing("writing", _FRAME) if one_sign else Framing("things")
    if mean < _WRITING:
        return Framing("writing", min(1.0, _FRAME * math.sqrt(max(1.0, mean / _ITS_MEAN))))
    return Framing("things" if mean < _THINGS else "views")


def read_picture(folder: Folder, file: str, shape: Shape) -> Picture:
    """A picture for a model of images of this shape, `(C, H, W)`. Raises `InputError`."""
    where = file if folder.where == "." else f"{folder.where}/{file}"
    with folder.open(file) as stream:
        pixels, seen_through = read_colours(stream, where, max(_MOST, *shape[1:]))
    return Picture(where, pixels, seen_through)


def prepare(picture: Picture, shape: Shape, frame: Framing) -> Array:
    """The picture as a model's stored input, bytes of `shape`, `(1, H, W)` or `(3, H, W)`.

    One that has the model's own size, and is not transparent, is taken as it is.
    Raises `InputError` if there is nothing to see in it.
    """
    channels, *size = shape
    pixels = picture.grey[:, :, None] if channels == 1 else picture.pixels  # (H, W, C)
    if pixels.shape[:2] == tuple(size) and not picture.seen_through:
        return pixels.transpose(2, 0, 1).copy()  # (H, W, C) -> (C, H, W)
    writing = frame.kind == "writing"
    if frame.kind == "views" or channels > 1:
        return _fitted(pixels, (size[0], size[1])).transpose(2, 0, 1)
    ink = _cropped(_ink(picture.grey / 255, writing, picture.where))
    height, width = size
    room = height * frame.share, width * frame.share
    ink = _scaled(_bold(ink, room) if writing else ink, room)
    return _placed(ink, (height, width), by_mass=writing)[None]  # (1, H, W)


def _image(array: Array) -> "Image":
    import PIL.Image

    return PIL.Image.fromarray(array)


def _fitted(pixels: Array, size: tuple[int, int]) -> Array:
    """Bytes `(H, W, C)` in a picture of this size, whole."""
    import PIL.Image
    import PIL.ImageOps

    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])  # (n, C)
    colour = tuple(np.median(border, axis=0).astype(int).tolist())
    image = _image(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    fill = colour if len(colour) > 1 else colour[0]
    fitted = PIL.ImageOps.pad(image, size[::-1], PIL.Image.Resampling.BILINEAR, color=fill)
    return np.array(fitted).reshape(*size, -1)


# --- light on dark: shares of the light from 0 to 1, (H, W) ------------------------------------


def _ink(grey: Array, writing: bool, where: str) -> Array:
    """How much ink there is, from 0, the background, to 1. Raises `InputError` if there is none."""
    background = _background(grey)
    deviation = grey - background
    content = np.abs(deviation) > 0.4 * np.abs(deviation).max()
    if deviation[content].sum() < 0:  # dark on light
        deviation = -deviation / np.maximum(background, 0.05)
    noise = 1.5 * np.median(np.abs(deviation[_ring(grey.shape)]))  # its standard deviation
    strongest = deviation.max()
    if strongest < max(_FAINTEST, 6 * noise):
        raise InputError(
            f"{where} shows nothing that stands out from its border: give a picture of one thing "
            "on a plain ground, light or dark"
        )
    full = np.quantile(deviation[deviation > 0.4 * strongest], 0.8 if writing else 0.99)
    floor = full * (_FLOOR if writing else _FLOOR_OF_THINGS)
    least = min(max(floor, 3 * noise), 0.7 * full)
    ink: Array = np.clip((deviation - least) / (full - least), 0, 1)
    return ink


def _ring(shape: tuple[int, ...]) -> Array:
    """Where the border of a picture is, a twentieth of its side wide."""
    width = max(1, min(shape) // 20)
    ring = np.ones(shape, bool)
    ring[width:-width, width:-width] = False
    return ring


def _background(grey: Array) -> Array:
    """A smooth surface through the border, and through what lies near the surface inside.

    It is of degree 2, and of up to 4 where more than half of the picture lies near it.
    """
    every = max(1, max(grey.shape) // _KNOTS)
    coarse = grey[::every, ::every]
    near = _ring(coarse.shape)
    for degree in (2, 2, 2, 3, 4):
        if degree > 2 and near.mean() < 0.5:
            break
        terms = _powers(coarse.shape, every, degree)  # (h, w, terms)
        values, *_ = np.linalg.lstsq(terms[near], coarse[near], rcond=None)  # of (n, terms), (n,)
        distance = np.abs(coarse - terms @ values)  # (h, w)
        near = distance <= 3 * np.median(distance[near]) + 1 / 255
        of_degree = degree
    surface: Array = _powers(grey.shape, 1, of_degree) @ values  # (H, W)
    return np.clip(surface, 0, 1)


def _powers(shape: tuple[int, ...], every: int, degree: int) -> Array:
    """x^i y^j, i + j up to a degree, at so many pixels, `(H, W, terms)`: one of `every`."""
    y, x = np.meshgrid(
        *(np.arange(size) * every / (_MOST / 2) - 1 for size in shape), indexing="ij"
    )
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    return np.stack([x**i * y**j for i, j in powers], axis=-1)


def _cropped(ink: Array) -> Array:
    """The ink without specks and without empty rows and columns."""
    cells = max(1, -(-max(ink.shape) // _COARSE))  # pixels a side
    height, width = (-(-size // cells) for size in ink.shape)
    padded = np.zeros((height * cells, width * cells))
    padded[: ink.shape[0], : ink.shape[1]] = ink * (ink > 0.3)
    amounts = padded.reshape(height, cells, width, cells).sum((1, 3))  # (H/c, c, W/c, c): cells
    pieces = _pieces(amounts > 0)
    sizes = np.bincount(pieces.ravel(), weights=amounts.ravel())
    kept = sizes[pieces] >= _SPECK * sizes[1:].max()
    kept = kept.repeat(cells, 0).repeat(cells, 1)[: ink.shape[0], : ink.shape[1]]
    ink = ink * kept
    return _within(ink, ink > 0.3)


def _within(ink: Array, mask: Array) -> Array:
    """The part in the frame of a mask."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _pieces(mask: Array) -> Array:
    """A number from 1 on for each connected piece of a mask, also over corners; 0 elsewhere."""
    labels = np.pad(np.arange(1, mask.size + 1).reshape(mask.shape) * mask, 1)
    while True:
        rows = np.maximum(np.maximum(labels[:-2], labels[2:]), labels[1:-1])
        spread = np.maximum(np.maximum(rows[:, :-2], rows[:, 2:]), rows[:, 1:-1]) * mask
        if (spread == labels[1:-1, 1:-1]).all():
            numbers = np.unique(np.r_[0, spread.ravel()], return_inverse=True)[1]
            return numbers[1:].reshape(mask.shape)
        labels[1:-1, 1:-1] = spread


def _scaled(ink: Array, room: tuple[float, float], fine: int = 1) -> Array:
    """The ink as large as fits; fine: in so many times as many pixels."""
    import PIL.Image

    scale = min(most / size for most, size in zip(room, ink.shape, strict=True))
    height, width = (fine * max(1, round(scale * size)) for size in ink.shape)
    image = _image(ink.astype(np.float32)).resize((width, height), PIL.Image.Resampling.BOX)
    return np.array(image)


def _bold(ink: Array, room: tuple[float, float]) -> Array:
    """The ink with strokes that on average are `_STROKE` wide at least, once it is scaled."""
    import PIL.ImageFilter

    fine = _scaled(ink, room, _FINE)
    fine = np.minimum(fine / np.median(fine[fine > 0.5 * fine.max()]), 1)
    missing = round((_STROKE * _FINE - _stroke_width(fine)) / 2)  # on either side
    if missing < 1:
        return np.asarray(fine)
    spread = np.pad((255 * fine).astype(np.uint8), 2 * _FINE)
    spread = np.array(_image(spread).filter(PIL.ImageFilter.MaxFilter(2 * missing + 1))) / 255
    return _within(spread, spread > 0)


def _stroke_width(ink: Array) -> float:
    """The mean width of strokes: twice their area over their perimeter."""
    mask = np.pad(ink > 0.5, 1)
    edges = sum(int((mask != np.roll(mask, 1, axis)).sum()) for axis in (0, 1))
    return float(2 * mask.sum() / (np.pi / 4 * edges))  # of slanted edges both steps are counted


def _placed(ink: Array, size: tuple[int, int], *, by_mass: bool) -> Array:
    """The ink in a picture of this size, as bytes: its mass, or its frame, in the middle."""
    placed = np.zeros(size)
    corner = []
    for axis, (whole, part) in enumerate(zip(size, ink.shape, strict=True)):
        along = ink.sum(1 - axis)
        middle = along @ np.arange(part) / along.sum() if by_mass else (part - 1) / 2
        corner.append(int(np.clip(round((whole - 1) / 2 - middle), 0, whole - part)))
    top, left = corner
    placed[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return np.round(255 * placed).astype(np.uint8)
