"""Windows that slide over images: where they lie, and their elements side by side.

The arrays of this module, of `convolution` and of `pooling` have their batch last: `(C, *sizes, N)`
with one size for each spatial axis. So everything that is copied or computed runs over long
stretches of memory, and what a matrix product gives is in that order again. The layers turn
`(N, C, *sizes)` into it and back by a transpose, which moves nothing.
"""

import functools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from funcnn.types import Array, Shape

# What is made for each window is made for a few rows of windows at a time, so that it stays in the
# cache of a core. With less, threads wait for each other more often than the cache gains.
BLOCK_BYTES = 1 << 20


class Windows(NamedTuple):
    """The windows on an image; each entry has one number for every spatial axis."""

    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape
    """The padding before the first element."""
    after: Shape
    """The padding after the last element."""
    inputs: Shape
    """The sizes of the image."""
    outputs: Shape
    """How many windows there are."""

    @property
    def padded(self) -> Shape:
        """The sizes of the image with its padding."""
        sizes = zip(self.before, self.inputs, self.after, strict=True)
        return tuple(before + size + after for before, size, after in sizes)

    @property
    def spans(self) -> Shape:
        """How far a window reaches, holes of its dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))


@functools.lru_cache(maxsize=256)
def place_windows(
    inputs: Shape, kernel: Shape, stride: Shape, dilation: Shape, before: Shape, after: Shape
) -> Windows:
    """The windows on an image of sizes `inputs`. Raises `ValueError` if not even one fits."""
    windows = Windows(kernel, stride, dilation, before, after, inputs, ())
    if any(span > size for span, size in zip(windows.spans, windows.padded, strict=True)):
        reach = f"{_by(windows.spans)}, dilated," if windows.spans != kernel else _by(kernel)
        raise ValueError(
            f"a kernel of {reach} is larger than the image of {_by(inputs)}, padded to"
            f" {_by(windows.padded)}"
        )
    sizes = zip(windows.padded, windows.spans, stride, strict=True)
    return windows._replace(outputs=tuple((size - span) // s + 1 for size, span, s in sizes))


def _by(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def batch_last(x: Array) -> Array:
    """A view of x `(N, C, *sizes)` as `(C, *sizes, N)`."""
    return x.transpose(*range(1, x.ndim), 0)


def batch_first(x: Array) -> Array:
    """A view of x `(C, *sizes, N)` as `(N, C, *sizes)`."""
    return x.transpose(x.ndim - 1, *range(x.ndim - 1))


def pad(x: Array, windows: Windows, value: float = 0.0) -> Array:
    """x `(C, *inputs, N)` with `value` around it, contiguous: `(C, *padded, N)`."""
    if windows.padded == windows.inputs:
        return np.ascontiguousarray(x)
    padded = np.full((len(x), *windows.padded, x.shape[-1]), value, x.dtype)
    unpad(padded, windows)[...] = x
    return padded


def unpad(padded: Array, windows: Windows) -> Array:
    """A view of the image within its padding: `(C, *padded, N)` to `(C, *inputs, N)`."""
    sizes = zip(windows.before, windows.inputs, strict=True)
    return padded[:, *(slice(before, before + size) for before, size in sizes)]


def view_windows(padded: Array, windows: Windows) -> Array:
    """A view of the elements of all windows: `(C, *padded, N)` to `(C, *kernel, *outputs, N)`."""
    channel, *steps, sample = padded.strides
    within = (step * d for step, d in zip(steps, windows.dilation, strict=True))
    between = (step * s for step, s in zip(steps, windows.stride, strict=True))
    shape = (len(padded), *windows.kernel, *windows.outputs, padded.shape[-1])
    return as_strided(padded, shape, (channel, *within, *between, sample))


def positions(windows: Windows) -> Iterator[Shape]:
    """The places within a window, in row-major order."""
    return np.ndindex(*windows.kernel)


def row_blocks(windows: Windows, samples: int, elements: int, itemsize: int) -> list[slice]:
    """All rows of windows, in blocks that fit in a core's cache with `elements` of each window."""
    rows, *others = windows.outputs
    row_bytes = max(1, math.prod(others) * samples * elements * itemsize)
    step = max(1, BLOCK_BYTES // row_bytes)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


# --- arguments of layers ---------------------------------------------------------------------

Sizes = int | tuple[int, ...]
"""One number for every spatial axis, or a tuple with one for each."""


def check_sizes(layer: str, argument: str, value: Sizes, least: int = 1) -> Sizes:
    """The argument as a Python int or a tuple of them.

    Raises `TypeError` for what are no integers, `ValueError` for one below `least`.
    """
    several = isinstance(value, (tuple, list))
    try:
        sizes = tuple(map(operator.index, value if several else (value,)))  # type: ignore[arg-type]
    except TypeError:
        expected = "an integer, or a tuple of one for each spatial axis"
        raise TypeError(f"{layer}: {argument} is {expected}, got {value!r}") from None
    if not sizes or min(sizes) < least:
        raise ValueError(f"{layer}: {argument} must be at least {least}, got {value!r}")
    return sizes if several else sizes[0]


def for_each_axis(argument: str, value: Sizes, axes: int) -> Shape:
    """The argument with one number for each of so many spatial axes.

    Raises `ValueError` for a tuple of another length.
    """
    sizes = value if isinstance(value, tuple) else (value,) * axes
    if len(sizes) != axes:
        raise ValueError(f"{argument} {value} is for {len(sizes)} spatial axes, x has {axes}")
    return sizes


def spatial_sizes(sample_shape: Shape) -> Shape:
    """The sizes of an image, `(C, *sizes)`. Raises `ValueError` if it has no spatial axis."""
    if len(sample_shape) < 2:
        raise ValueError(f"expected images (channels, height, width), got shape {sample_shape}")
    return sample_shape[1:]
