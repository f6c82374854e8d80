"""Augmentations of whole batches: `augment(rng, (x, y)) -> (x, y)`, each image with its own draw.

x: images `(N, C, H, W)`, bytes as they are stored or floats, whose dtype is kept: what lies between
pixels is rounded where they are integers. y passes as it is, but for `mixup`. The same key gives
the same bits. A value out of range and an x of another shape raise `ValueError`, what is no array
`TypeError`. `batches` takes one as `augment`.
"""

import math
from typing import Any

import numpy as np

from funcnn import random
from funcnn._arguments import check_count, check_labels, check_number, shown
from funcnn._augmenting import Augmentation as Augmentation
from funcnn._augmenting import check_range, checked, few_at_a_time, of_images
from funcnn._pickling import recorded
from funcnn._warping import inverse_affine, rounded, smoothed, warp
from funcnn.random import Key
from funcnn.types import Array, Batch


@recorded
def shift(most: int) -> Augmentation:
    """Images moved by whole pixels, uniform in -most to most on each axis; 0 comes in.

    most: at least 0, and below the height and the width. As `torchvision.transforms.RandomCrop` of
    images with a frame of `most` zeros.

    >>> augment = fn.augmentations.shift(1)
    >>> x = np.arange(1, 10, dtype=np.uint8).reshape(1, 1, 3, 3)
    >>> moved, _ = augment(fn.random.key(0), (x, np.array([7])))
    >>> moved.shape, moved.dtype
    ((1, 1, 3, 3), dtype('uint8'))
    """
    most = check_count("most", most, 0)

    def move(generator: "np.random.Generator", x: Array) -> Array:
        n, channels, height, width = x.shape
        if most >= min(height, width):
            size = f"{height} x {width}"
            raise ValueError(f"shift: most must be below the images' {size} pixels, got {most}")
        framed = np.zeros((n, channels, height + 2 * most, width + 2 * most), x.dtype)
        framed[:, :, most : most + height, most : most + width] = x
        windows = np.lib.stride_tricks.sliding_window_view(framed, (height, width), axis=(2, 3))
        down, right = generator.integers(0, 2 * most + 1, (2, n))
        moved: Array = windows[np.arange(n), :, down, right]  # (N, C, H, W)
        return moved

    return of_images("shift", move)


@recorded
def flip(p: float = 0.5) -> Augmentation:
    """Images mirrored, left to right, each with probability p.

    p: in [0, 1]. As `torchvision.transforms.RandomHorizontalFlip`.

    >>> augment = fn.augmentations.flip(p=1.0)
    >>> augment(fn.random.key(0), (np.array([[[[1, 2, 3]]]]), np.array([7])))
    (array([[[[3, 2, 1]]]]), array([7]))
    """
    p = check_number("p", p, least=0, most=1)

    def mirror(generator: "np.random.Generator", x: Array) -> Array:
        chosen = generator.random(len(x)) < p
        y = x.copy()
        y[chosen] = x[chosen, :, :, ::-1]
        return y

    return of_images("flip", mirror)


@recorded
def affine(
    degrees: float = 0.0, scale: float = 0.0, shear: float = 0.0, shift: float = 0.0
) -> Augmentation:
    """Images turned, scaled, sheared and moved about their centre; bilinear, 0 outside.

    A point p goes to R(a) [1, tan b; 0, 1] S p + t: the angle a uniform within degrees (up to 180)
    to both sides, the shear b within `shear` degrees (below 90), both numbers of the diagonal S
    log-uniform in 1 / (1 + scale) to 1 + scale, and both of t within `shift` pixels, fractions
    too; each at least 0, scale at most 100, shift 1e6. As `torchvision.transforms.RandomAffine`,
    which has one scale for both axes.

    >>> augment = fn.augmentations.affine(degrees=10, scale=0.1)
    >>> x, y = augment(fn.random.key(0), (np.ones((2, 1, 9, 9), np.float32), np.array([7, 1])))
    >>> x.shape, x.dtype
    ((2, 1, 9, 9), dtype('float32'))
    """
    angle = math.radians(check_number("degrees", degrees, least=0, most=180))
    logarithm = math.log1p(check_number("scale", scale, least=0, most=100))
    slant = math.radians(check_number("shear", shear, least=0, below=90))
    pixels = check_number("shift", shift, least=0, most=1e6)

    def transform(generator: "np.random.Generator", x: Array) -> Array:
        draws = generator.uniform(-1, 1, (6, len(x)))
        factors, moves = np.exp(logarithm * draws[2:4]), pixels * draws[4:]
        return warp(x, *inverse_affine(x.shape, angle * draws[0], factors, slant * draws[1], moves))

    return of_images("affine", few_at_a_time(transform))


@recorded
def elastic(alpha: float, sigma: float) -> Augmentation:
    """Images deformed as rubber is: every pixel comes from a place of its own near it.

    The displacements are alpha times uniform draws in -1 to 1, smoothed by a Gaussian of standard
    deviation sigma, whose weights sum to 1; bilinear, 0 outside. alpha: pixels, 0 to 1e6. sigma:
    pixels, 0.1 to 1,000. Simard, Steinkraus and Platt 2003, "Best Practices for Convolutional
    Neural Networks".

    >>> augment = fn.augmentations.elastic(alpha=8, sigma=3)
    >>> x, y = augment(fn.random.key(0), (np.ones((2, 1, 9, 9), np.float32), np.array([7, 1])))
    >>> x.shape, x.dtype
    ((2, 1, 9, 9), dtype('float32'))
    """
    alpha = check_number("alpha", alpha, least=0, most=1e6)
    sigma = check_number("sigma", sigma, least=0.1, most=1e3)

    def deform(generator: "np.random.Generator", x: Array) -> Array:
        n, _, height, width = x.shape
        draws = generator.random((height, 2 * n, width), np.float32)
        draws *= 2 * alpha
        draws -= alpha
        fields = smoothed(draws, sigma).reshape(height, 2, n, width)
        down, right = fields.transpose(1, 2, 0, 3)  # (N, H, W) each
        rows = np.arange(height, dtype=np.float32)[:, None]
        return warp(x, rows + down, np.arange(width, dtype=np.float32) + right)

    return of_images("elastic", few_at_a_time(deform))


@recorded
def erase(
    p: float = 0.5,
    area: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
    values: tuple[float, float] = (0, 255),
) -> Augmentation:
    """Images of which, each with probability p, a rectangle somewhere is filled with one value.

    p: in [0, 1]. area: the least and the largest share of the image that it covers, in [0, 1],
    uniform; it is of one pixel at least. ratio: of height to width, log-uniform, of those with
    which it fits. values: the least and the largest that fill it, uniform; (0, 255) is for bytes.
    Zhong et al. 2020, "Random Erasing Data Augmentation", and as
    `torchvision.transforms.RandomErasing`, but with one value for all of a rectangle.

    >>> augment = fn.augmentations.erase(p=1.0, area=(0.25, 0.25), ratio=(1, 1), values=(9, 9))
    >>> x, y = augment(fn.random.key(0), (np.zeros((1, 1, 4, 4), np.uint8), np.array([7])))
    >>> int((x == 9).sum())
    4
    """
    p = check_number("p", p, least=0, most=1)
    area = check_range("area", area, least=0, most=1)
    ratio = check_range("ratio", ratio, above=0)
    values = check_range("values", values, least=-1e30, most=1e30)

    def fill(generator: "np.random.Generator", x: Array) -> Array:
        n, (height, width) = len(x), x.shape[2:]
        _check_values(values, x)
        chosen = generator.random(n) < p
        covered = np.maximum(generator.uniform(area[0], area[1], n) * (height * width), 1)
        # Of rectangles of this area those fit that are no higher and no wider than the image.
        fits = np.log(covered / width**2), np.log(height**2 / covered)
        lowest, highest = (np.clip(math.log(limit), *fits) for limit in ratio)
        shape = np.exp(generator.uniform(lowest, highest))
        high = np.clip(np.rint(np.sqrt(covered * shape)), 1, height)
        wide = np.clip(np.rint(np.sqrt(covered / shape)), 1, width)
        top, left = generator.random((2, n))
        rows = _within(height, np.floor(top * (height - high + 1)), high)  # (N, H)
        columns = _within(width, np.floor(left * (width - wide + 1)), wide)  # (N, W)
        filled = (rows & chosen[:, None])[:, None, :, None] & columns[:, None, None]  # (N, 1, H, W)
        value = generator.uniform(values[0], values[1], n)
        return np.where(filled, rounded(value, x)[:, None, None, None], x)

    return of_images("erase", fill)


def _check_values(values: tuple[float, float], x: Array) -> None:
    """Raise `ValueError` for values that the dtype of the images cannot hold."""
    if x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)
        if values[0] < limits.min or values[1] > limits.max:
            held = f"{limits.min} to {limits.max}"
            raise ValueError(f"erase: values of {x.dtype} are {held}, got {shown(values)}")


def _within(size: int, first: Array, count: Array) -> Array:
    """Which of the places are among `count` from the first one on, `(N, size)`."""
    places, end = np.arange(size), first + count
    within: Array = (places >= first[:, None]) & (places < end[:, None])
    return within


@recorded
def mixup(alpha: float, classes: int) -> Augmentation:
    """Batches mixed with themselves in another order: x and y = l (x, y) + (1 - l) (x', y').

    l: drawn from Beta(alpha, alpha), one for each batch. alpha: above 0. classes: K, at least 1.
    x: of any shape `(N, ...)`. y: labels `(N,)` or probabilities `(N, K)`. Gives x in float32, on
    the same scale, and probabilities `(N, K)`; float64 if x is. Zhang et al. 2018, "mixup: Beyond
    Empirical Risk Minimization". Raises `ValueError` for targets of other shapes or values.

    >>> augment = fn.augmentations.mixup(alpha=0.2, classes=3)
    >>> x, y = augment(fn.random.key(0), (np.zeros((2, 1, 4, 4), np.uint8), np.array([2, 0])))
    >>> x.dtype, y.shape, y.sum(1).tolist()
    (dtype('float32'), (2, 3), [1.0, 1.0])
    """
    alpha = check_number("alpha", alpha, above=0)
    classes = check_count("classes", classes)

    def augment(rng: Key, batch: Batch) -> Batch:
        x, y = checked("mixup", batch)
        dtype = np.float64 if x.dtype == np.float64 else np.float32
        generator = random.generator(rng)
        share = generator.beta(alpha, alpha)
        other = generator.permutation(len(x))

        def mixed(values: Array) -> Array:
            values = values.astype(dtype)
            return share * values + (1 - share) * values[other]

        return mixed(x), mixed(_as_probabilities(y, len(x), classes))

    return augment


def _as_probabilities(y: Any, examples: int, classes: int) -> Array:
    """Labels `(N,)` as rows `(N, K)` with a 1 each, probabilities as they are."""
    if isinstance(y, np.ndarray) and y.shape == (examples, classes) and y.dtype.kind in "fiub":
        return y
    if not isinstance(y, np.ndarray) or y.shape != (examples,) or y.dtype.kind not in "iu":
        got = f"{y.dtype} of {y.shape}" if isinstance(y, np.ndarray) else f"a {type(y).__name__}"
        message = f"mixup: labels are integers ({examples},) or probabilities "
        raise ValueError(f"{message}({examples}, {classes}), got {got}")
    if examples:
        check_labels(y, classes)
    rows: Array = y[:, None] == np.arange(classes)
    return rows


@recorded
def chain(*augmentations: Augmentation) -> Augmentation:
    """One augmentation after the other, each with a key of its own.

    As `torchvision.transforms.Compose`. Raises `TypeError` for what is no function.

    >>> augment = fn.augmentations.chain(fn.augmentations.flip(), fn.augmentations.shift(2))
    >>> x, y = augment(fn.random.key(0), (np.zeros((2, 1, 4, 4), np.uint8), np.array([7, 1])))
    >>> x.shape, y.tolist()
    ((2, 1, 4, 4), [7, 1])
    """
    for index, augmentation in enumerate(augmentations):
        if not callable(augmentation):
            raise TypeError(f"chain: augmentation {index} is no function: {shown(augmentation)}")

    def augment(rng: Key, batch: Batch) -> Batch:
        keys = random.split(rng, len(augmentations))
        for key, augmentation in zip(keys, augmentations, strict=True):
            batch = augmentation(key, batch)
        return batch

    return augment
