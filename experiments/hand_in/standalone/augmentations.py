"""Changes of stored images, which a network sees in training; each image has its own draws.

The pattern for `network.py`, which has those that its network was trained with. x: images as they
are stored, (N, C, H, W), of bytes or floats. rng: a np.random.Generator.
"""

import numpy as np


def flip(x, rng, p):
    """Images mirrored, left to right, each with probability p."""
    chosen = rng.random(len(x)) < p
    return np.where(chosen[:, None, None, None], x[:, :, :, ::-1], x)


def shift(x, rng, most):
    """Images moved by up to `most` whole pixels on each axis; 0 comes in."""
    frame = (most, most)
    framed = np.pad(x, ((0, 0), (0, 0), frame, frame), "constant")
    down, right = rng.integers(0, 2 * most + 1, (2, len(x)))
    rows = down[:, None] + np.arange(x.shape[2])  # (N, H)
    columns = right[:, None] + np.arange(x.shape[3])  # (N, W)
    images = np.arange(len(x))[:, None, None]
    return framed[images, :, rows[:, :, None], columns[:, None]].transpose(0, 3, 1, 2)


def affine(x, rng, degrees, scale, shear, shift):
    """Images turned, scaled, sheared and moved about their centre.

    A point p goes to R(a) [1, tan b; 0, 1] S p + t: the angle a within degrees to both sides, b
    within shear degrees, both of the diagonal S from 1 / (1 + scale) to 1 + scale, and both of t
    within shift pixels.
    """
    draws = rng.uniform(-1, 1, (6, len(x)))
    angle, slant = np.radians(degrees) * draws[0], np.tan(np.radians(shear) * draws[1])
    wide, high = np.exp(np.log1p(scale) * draws[2:4])
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array(
        [[cos * wide, (cos * slant - sin) * high], [sin * wide, (sin * slant + cos) * high]]
    )
    inverse = np.linalg.inv(matrix.transpose(2, 0, 1))  # (N, 2, 2)
    height, width = x.shape[2:]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    points = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)  # (H, W, 2)
    moved = points.reshape(-1, 2) - middle - shift * draws[4:].T[:, None]  # (N, H*W, 2)
    came_from = moved @ inverse.transpose(0, 2, 1) + middle  # (N, H*W, 2) @ (N, 2, 2)
    return between(x, came_from[:, :, 1], came_from[:, :, 0])


def between(x, rows, columns):
    """What images have between their pixels, bilinear, and 0 outside. rows, columns: (N, H*W)."""
    n, channels, height, width = x.shape
    framed = np.pad(x.astype(np.float32), ((0, 0), (0, 0), (1, 2), (1, 2)), "constant")
    rows, columns = np.clip(rows, -1, height) + 1, np.clip(columns, -1, width) + 1
    top, left = rows.astype(int), columns.astype(int)
    down, right = rows - top, columns - left
    down, right = (share.astype(np.float32)[:, None] for share in (down, right))  # (N, 1, H*W)
    line = width + 3
    images = (height + 3) * line * np.arange(n * channels).reshape(n, channels, 1)
    places = images + (top * line + left)[:, None]  # (N, C, H*W)
    pixels = framed.reshape(-1)
    upper = (1 - right) * pixels[places] + right * pixels[places + 1]
    lower = (1 - right) * pixels[places + line] + right * pixels[places + line + 1]
    return rounded(((1 - down) * upper + down * lower).reshape(x.shape), x)


def rounded(y, x):
    """y in x's dtype, to the nearest integer where that has no others."""
    return (y if x.dtype.kind == "f" else np.rint(y)).astype(x.dtype)


def erase(x, rng, p, least, most):
    """Images of which, each with probability p, a rectangle is filled with one value up to 255.

    It covers from `least` to `most` of the image, and is 0.3 to 3.3 times as high as wide where
    that fits.
    """
    n, (height, width) = len(x), x.shape[2:]
    chosen = rng.random(n) < p
    covered = np.maximum(rng.uniform(least, most, n) * (height * width), 1)
    fits = covered / width**2, height**2 / covered
    lowest, highest = (np.clip(ratio, *fits) for ratio in (0.3, 3.3))
    ratio = np.exp(rng.uniform(np.log(lowest), np.log(highest)))
    high = np.clip(np.rint(np.sqrt(covered * ratio)), 1, height).astype(int)
    wide = np.clip(np.rint(np.sqrt(covered / ratio)), 1, width).astype(int)
    top, left = rng.random((2, n))
    top, left = (top * (height - high + 1)).astype(int), (left * (width - wide + 1)).astype(int)
    value = rounded(rng.uniform(0, 255, n), x)
    y = x.copy()
    for i in np.flatnonzero(chosen):
        y[i, :, top[i] : top[i] + high[i], left[i] : left[i] + wide[i]] = value[i]
    return y
