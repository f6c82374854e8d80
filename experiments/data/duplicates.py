"""Images that a data set has twice: the same bytes, or nearly the same picture."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funcnn.experiments.data.datasets import POINT_SETS, load_inputs
from funcnn.experiments.data.images import ImageData, Inputs
from funcnn.experiments.data.overview import contact_sheet
from funcnn.experiments.errors import InputError
from funcnn.experiments.paths import expect_new, new_file
from funcnn.types import Array, Shape

NEAR = 0.1
"""Two pictures are nearly the same where their relative distance is below it."""

_EXACT_PIXELS = 1024
"""So many products of two numbers from -128 to 127 add up to at most 2**24, exact in float32."""
_BLOCK_BYTES = 2**26
_WAVES = 8  # frequencies along each side that an outline has
_DRAWN = 16  # pairs of each kind


class Twins(NamedTuple):
    """Of each image, for each part of the data, the nearest image before it; arrays (N, parts)."""

    nearest: Array
    """Which image that is; -1: there is none that is nearly the same."""
    distance: Array
    """How far it is, from 0 to `NEAR`."""
    exact: Array
    """Whether it is the same, byte for byte."""


def find_duplicates(name: str, out: Path) -> dict[str, Any]:
    """Which images of a data set are in it before, and a picture of the first of these in `out`.

    The order is training, validation, test: an image of the test set is looked for in the two
    others and among those before it in the test set. Of several that are nearly the same the
    nearest counts, and of equally near ones the first. Without any there is no picture.
    Raises `InputError` if the data set cannot be used, or `out` exists already.
    """
    expect_new(out, ".png")
    if name in POINT_SETS:
        raise InputError(f"{name} is generated: it has no images")
    data = load_inputs(name)
    parts = _parts_of(data)
    images = np.concatenate([x for x, _ in parts.values()])
    twins = find_twins(images, [len(x) for x, _ in parts.values()])
    found = {
        f"{part} in {other}": {
            kind: _count(data, parts, twins, part, other, exact=kind == "exact")
            for kind in ("exact", "near")
        }
        for number, part in reversed([*enumerate(parts)])  # first what the check is for
        for other in list(parts)[: number + 1]
    }
    drawn = _draw(out, parts, found)
    return {
        "name": name,
        "input_shape": list(images.shape[1:]),
        **{part: len(x) for part, (x, _) in parts.items()},
        "nearer_than": NEAR,
        "found": found,
        "picture": str(out) if drawn else None,
    }


def _parts_of(data: ImageData) -> dict[str, Inputs]:
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return {part: inputs for part, inputs in parts.items() if inputs is not None}


def _count(
    data: ImageData, parts: dict[str, Inputs], twins: Twins, part: str, other: str, *, exact: bool
) -> dict[str, Any]:
    """How many images of a part have a twin in another, or before themselves, and which."""
    first, labels, column = {}, {}, list(parts).index(other)
    begin = 0
    for each, (x, y) in parts.items():
        first[each], labels[each] = begin, y
        begin += len(x)
    here = slice(first[part], first[part] + len(parts[part][0]))
    nearest, same = twins.nearest[here, column], twins.exact[here, column]

    def label(of: str, at: int) -> str | None:
        known = labels[of]
        return None if known is None else data.class_names[int(known[at])]

    pairs = [
        {
            "index": index,
            "twin": (twin := int(nearest[index]) - first[other]),
            "distance": float(twins.distance[first[part] + index, column]),
            "label": label(part, index),
            "twin_label": label(other, twin),
        }
        for index in map(int, np.flatnonzero((nearest >= 0) & (same == exact)))
    ]
    unknown = labels[part] is None or labels[other] is None
    others = sum(pair["label"] != pair["twin_label"] for pair in pairs)
    return {"images": len(pairs), "other_label": None if unknown else others, "pairs": pairs}


def _draw(out: Path, parts: dict[str, Inputs], found: dict[str, Any]) -> bool:
    """The first pairs of every kind, each a row; returns whether there are any."""
    rows, titles = [], []
    for kind, counts in found.items():
        part, _, other = kind.partition(" in ")
        pairs = [*counts["exact"]["pairs"], *counts["near"]["pairs"]]
        for pair in pairs[:_DRAWN]:
            index, twin = pair["index"], pair["twin"]
            rows.append([parts[part][0][index, 0], parts[other][0][twin, 0]])
            titles.append(f"{part} {index}, {other} {twin}")
    if rows:
        with new_file(out):
            contact_sheet(out, rows, tuple(titles))
    return bool(rows)


# --- the search --------------------------------------------------------------------------------


def find_twins(images: Array, sizes: list[int], near: float = NEAR) -> Twins:
    """Of each of the images (N, 1, H, W), bytes, the nearest one before it in each part.

    sizes: how many images each part has, in order. near: the relative distance
    |a - b| / max(|a|, |b|) below which two are nearly the same, a and b about their own means, so
    that it is not the background that makes them alike. Constant images are so to none.
    """
    flat = images.reshape(len(images), -1)  # (N, H*W)
    part_of = np.repeat(np.arange(len(sizes)), sizes)
    nearest, exact = _same_bytes(flat, part_of, len(sizes))
    distance = np.where(exact, 0.0, math.inf)
    for some, others, far in _near_pairs(flat, images.shape[2:], near):
        earlier, later = np.minimum(some, others), np.maximum(some, others)
        part = part_of[earlier]
        order = np.lexsort((earlier, far, part, later))
        image = later[order] * len(sizes) + part[order]
        order = order[np.flatnonzero(np.diff(image, prepend=-1))]  # the first of each image
        at, twin, far = (later[order], part[order]), earlier[order], far[order]
        known = distance[at]
        better = ~exact[at] & ((far < known) | ((far == known) & (twin < nearest[at])))
        at = (at[0][better], at[1][better])
        nearest[at], distance[at] = twin[better], far[better]
    return Twins(nearest, distance, exact)


def _same_bytes(flat: Array, part_of: Array, parts: int) -> tuple[Array, Array]:
    """The first image before each that has the same bytes, in each part, and whether there is."""
    nearest = np.full((len(flat), parts), -1)
    first: dict[bytes, Array] = {}
    for i, (image, part) in enumerate(zip(flat, part_of, strict=True)):
        seen = first.setdefault(hashlib.sha256(image).digest(), np.full(parts, -1))
        nearest[i] = seen
        if seen[part] < 0:
            seen[part] = i
    return nearest, nearest >= 0


def _near_pairs(flat: Array, shape: Shape, near: float) -> Iterator[tuple[Array, Array, Array]]:
    """Pairs of images that are nearly the same: indices, indices, distances; a block at a time.

    With n pixels, n^2 times the variance v of a, and n^2 times the covariance c of a and b, n times
    |a - b|^2 about the means is v_a + v_b - 2 c: whole numbers, found exactly. That is done for the
    few pairs whose outlines are near, which are never farther from each other than the images.
    In the order of v only those need be compared whose v differ little: |a - b| >= |b| - |a|.
    """
    pixels = flat.shape[1]
    block = max(64, min(2048, _BLOCK_BYTES // (4 * pixels)))
    totals, spreads, outlines = _measure(flat, shape, block)
    order = np.argsort(spreads, kind="stable")
    ascending = spreads[order]
    one = np.ones((len(flat), 1), np.float32)
    halves = (spreads / (2 * pixels)).astype(np.float32)[:, np.newaxis]
    # with v_b the larger: v_a + v_b - 2 c < near^2 v_b, and a little more for rounding
    left = np.hstack([outlines, halves, one])  # (N, K+2)
    right = np.hstack([outlines, -one, (near**2 + 1e-4 - 1) * halves])  # (N, K+2)
    for start in range(0, len(order), block):
        some = order[start : start + block]
        stop = int(np.searchsorted(ascending, spreads[some[-1]] / (1 - near) ** 2, side="right"))
        for begin in range(start, stop, block):
            others = order[begin : min(begin + block, stop)]
            close = left[some] @ right[others].T > 0  # (m, K+2) @ (K+2, k)
            if begin == start:
                close = np.triu(close, 1)  # each pair once, none with itself
            i, k = np.nonzero(close)
            a, b = some[i], others[k]
            larger = spreads[b]
            squares = spreads[a] + larger - 2 * _covariances(flat, totals, a, b)
            true = squares < near**2 * larger
            if true.any():
                yield a[true], b[true], np.sqrt(np.maximum(squares[true], 0) / larger[true])


def _measure(flat: Array, shape: Shape, block: int) -> tuple[Array, Array, Array]:
    """Of each image the sum of its shifted pixels, n^2 times their variance, and its outline.

    An outline (K,) has the lowest frequencies of the image in an orthonormal basis (a cosine
    transform), and the length of what is left of it.
    """
    low = [_cosines(size) for size in shape]
    basis = np.kron(*low)[1:].T.astype(
        np.float32
    )  # (H*W, K-1), without the constant, which is the mean
    totals, spreads, outlines = [], [], []
    for start in range(0, len(flat), block):
        x = _shifted(flat[start : start + block])
        total = x.sum(axis=1, dtype=np.float64)
        square = np.einsum("ij,ij->i", x, x, dtype=np.float64)
        spread = flat.shape[1] * square - total**2
        x -= (total / flat.shape[1]).astype(np.float32)[:, np.newaxis]  # nor its rounding
        waves = x @ basis  # (m, H*W) @ (H*W, K-1)
        left = spread / flat.shape[1] - np.einsum("ij,ij->i", waves, waves, dtype=np.float64)
        rest = np.sqrt(np.maximum(left, 0)).astype(np.float32)
        totals += [total]
        spreads += [spread]
        outlines += [np.column_stack([waves, rest])]
    return np.concatenate(totals), np.concatenate(spreads), np.concatenate(outlines)


def _cosines(size: int) -> Array:
    """The lowest frequencies of `size` points, orthonormal rows (8, size), the constant first."""
    frequency, point = np.ogrid[: min(_WAVES, size), :size]
    waves: Array = np.cos(np.pi / size * frequency * (point + 0.5)) * math.sqrt(2 / size)
    waves[0] = math.sqrt(1 / size)
    return waves


def _covariances(flat: Array, totals: Array, a: Array, b: Array) -> Array:
    """n^2 times the covariance of the pixels of images a and b, index by index: whole numbers."""
    (some, i), (others, k) = (np.unique(each, return_inverse=True) for each in (a, b))
    x, y = _shifted(flat[some]), _shifted(flat[others])  # (m, H*W), (k, H*W)
    products = np.zeros((len(some), len(others)))
    for slab in range(0, flat.shape[1], _EXACT_PIXELS):
        columns = slice(slab, slab + _EXACT_PIXELS)
        products += x[:, columns] @ y[:, columns].T  # (m, H*W) @ (H*W, k)
    covariances: Array = flat.shape[1] * products[i, k] - totals[a] * totals[b]
    return covariances


def _shifted(images: Array) -> Array:
    """Bytes as float32 from -128 to 127: what counts is their distance from the mean."""
    return images.astype(np.float32) - np.float32(128)
