"""Images warped: where each pixel comes from, and what is there."""

import numpy as np

from funcnn.threads import single_threaded_blas
from funcnn.types import Array


def warp(x: Array, rows: Array, columns: Array) -> Array:
    """x between its pixels, 0 outside: bilinear, in float32 or what holds x's dtype, and rounded.

    x: images `(N, C, H, W)`. rows, columns: float32 `(N, H, W)`, where each pixel comes from.
    """
    n, channels, height, width = x.shape
    # A frame of zeros, so that nothing wraps around; at the end two, as the last place has a next.
    framed = np.zeros((n, channels, height + 3, width + 3), np.result_type(x.dtype, np.float32))
    framed[:, :, 1:-2, 1:-2] = x
    down, right = np.clip(rows, -1, height), np.clip(columns, -1, width)
    top, left = np.floor(down), np.floor(right)
    down -= top
    right -= left
    down, right = down[:, None], right[:, None]  # (N, 1, H, W)
    line, size = width + 3, (height + 3) * (width + 3)
    place = (top.astype(np.intp) + 1) * line + left.astype(np.intp) + 1  # in a framed image
    images = size * np.arange(n * channels).reshape(n, channels, 1, 1)
    places = images + place[:, None]  # (N, C, H, W)
    flat = framed.reshape(-1)
    above, below = flat.take(places), flat[line:].take(places)
    above += (flat[1:].take(places) - above) * right
    below += (flat[line + 1 :].take(places) - below) * right
    above += (below - above) * down
    return rounded(above, x)


def rounded(y: Array, x: Array) -> Array:
    """y in x's dtype, to the nearest integer where that has no others."""
    return y.astype(x.dtype, copy=False) if x.dtype.kind == "f" else np.rint(y).astype(x.dtype)


def inverse_affine(
    shape: tuple[int, ...], angle: Array, scale: Array, shear: Array, shift: Array
) -> tuple[Array, Array]:
    """Where the pixels come from if each point goes to R(angle) [1, tan shear; 0, 1] S p + shift.

    p: (x, y) from the images' centre, y downwards. shape: `(N, C, H, W)`. angle and shear: radians,
    `(N,)`. scale and shift: `(2, N)`, x first. The rows and columns, float32 `(N, H, W)`.
    """
    cos, sin, slant = np.cos(angle), np.sin(angle), np.tan(shear)
    across = (cos + slant * sin) / scale[0], (sin - slant * cos) / scale[0]  # x of the inverse
    along = -sin / scale[1], cos / scale[1]
    height, width = shape[2:]
    middle = (width - 1) / 2, (height - 1) / 2
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)

    def places(by_x: Array, by_y: Array, centre: float) -> Array:
        begin = centre - by_x * (middle[0] + shift[0]) - by_y * (middle[1] + shift[1])
        by_x, by_y, begin = (each.astype(np.float32)[:, None] for each in (by_x, by_y, begin))
        both: Array = (by_y * y + begin)[:, :, None] + (by_x * x)[:, None]  # (N, H, W)
        return both

    return places(*along, middle[1]), places(*across, middle[0])


def smoothed(fields: Array, sigma: float) -> Array:
    """Fields `(H, M, W)` in a Gaussian of sigma pixels, as two products; they are 0 outside."""
    height, count, width = fields.shape
    with single_threaded_blas():
        lines = _gaussian(height, sigma) @ fields.reshape(height, count * width)  # (H, M*W)
        both = lines.reshape(height * count, width) @ _gaussian(width, sigma)  # (H*M, W)
    return both.reshape(fields.shape)


def _gaussian(size: int, sigma: float) -> Array:
    """What each of the places gives to each, `(size, size)`, of weights that sum to 1 in a line."""
    reach = max(size, int(10 * sigma) + 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    places = np.arange(size)
    matrix: Array = weights[reach + places[:, None] - places].astype(np.float32)
    return matrix
