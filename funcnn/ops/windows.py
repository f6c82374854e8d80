"""Windows that slide over images: where they lie, and their elements side by side.

The arrays of this module, of `convolution` and of `pooling` have channels and batch last:
`(*sizes, C, N)` with one size for each spatial axis. So everything that is copied or computed runs
over long stretches of memory, the elements of a window are the rows of a matrix without being moved
far, and what a product of matrices gives is in that order again. The layers turn `(N, C, *sizes)`
into it and back by a transpose, which moves nothing.
"""

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from funcnn._arguments import shown
from funcnn._memory import contiguous, empty
from funcnn.types import Array, Shape

# What is made for each window is made for a few rows of windows at a time, which bounds it. With
# less, threads wait for each other more often than a core's cache gains.
BLOCK_BYTES = 1 << 22


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
    padded: Shape
    """Those with its padding."""
    outputs: Shape
    """How many windows there are."""

    @property
    def spans(self) -> Shape:
        """How far a window reaches, holes of its dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def unseen(self) -> Shape:
        """How many elements at the end of the padded image no window reaches."""
        axes = zip(self.padded, self.outputs, self.stride, self.spans, strict=True)
        return tuple(size - (n - 1) * s - span for size, n, s, span in axes)


@functools.lru_cache(maxsize=256)
def place_windows(
    inputs: Shape, kernel: Shape, stride: Shape, dilation: Shape, before: Shape, after: Shape
) -> Windows:
    """The windows on an image of sizes `inputs`. Raises `ValueError` if not even one fits."""
    padded = tuple(map(sum, zip(before, inputs, after, strict=True)))
    windows = Windows(kernel, stride, dilation, before, after, inputs, padded, ())
    if any(span > size for span, size in zip(windows.spans, windows.padded, strict=True)):
        reach = f"{_by(windows.spans)}, dilated," if windows.spans != kernel else _by(kernel)
        last_is_small = len(inputs) > 1 and inputs[-1] in (1, 3) and inputs[-1] < inputs[0]
        channels_last = "; images are (channels, height, width)" if last_is_small else ""
        raise ValueError(
            f"a kernel of {reach} is larger than the image of {_by(inputs)}, padded to"
            f" {_by(windows.padded)}{channels_last}"
        )
    sizes = zip(windows.padded, windows.spans, stride, strict=True)
    return windows._replace(outputs=tuple((size - span) // s + 1 for size, span, s in sizes))


def _by(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def batch_last(x: Array) -> Array:
    """A view of x `(N, C, *sizes)` as `(*sizes, C, N)`."""
    return x.transpose(*range(2, x.ndim), 1, 0)


def batch_first(x: Array) -> Array:
    """A view of x `(*sizes, C, N)` as `(N, C, *sizes)`."""
    return x.transpose(x.ndim - 1, x.ndim - 2, *range(x.ndim - 2))


def pad(x: Array, windows: Windows, value: float = 0.0) -> Array:
    """x `(*inputs, C, N)` with `value` around it, contiguous: `(*padded, C, N)`."""
    if windows.padded == windows.inputs:
        return contiguous(x)
    padded = empty((*windows.padded, *x.shape[-2:]), x.dtype)
    padded.fill(value)
    unpad(padded, windows)[...] = x
    return padded


def unpad(padded: Array, windows: Windows) -> Array:
    """A view of the image within its padding: `(*padded, C, N)` to `(*inputs, C, N)`."""
    sizes = zip(windows.before, windows.inputs, strict=True)
    return padded[tuple(slice(before, before + size) for before, size in sizes)]


def view_windows(padded: Array, windows: Windows) -> Array:
    """A view of the elements of all windows: `(*padded, C, N)` to `(*outputs, *kernel, C, N)`."""
    steps = padded.strides[:-2]
    between = map(operator.mul, steps, windows.stride)
    within = map(operator.mul, steps, windows.dilation)
    shape = (*windows.outputs, *windows.kernel, *padded.shape[-2:])
    return with_strides(padded, shape, (*between, *within, *padded.strides[-2:]))


def with_strides(contiguous: Array, shape: Shape, strides: Shape) -> Array:
    """A view of the memory of an array: `as_strided` in a tenth of its time."""
    return type(contiguous)(shape, contiguous.dtype, contiguous, 0, strides)


def positions(windows: Windows) -> Iterator[Shape]:
    """The places within a window, in row-major order."""
    return itertools.product(*map(range, windows.kernel))


def row_blocks(windows: Windows, elements: int, itemsize: int) -> list[slice]:
    """All rows of windows, in blocks of bounded memory, with so many `elements` for each window."""
    rows, *others = windows.outputs
    row_bytes = max(1, math.prod(others) * elements * itemsize)
    step = max(1, BLOCK_BYTES // row_bytes)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


# --- arguments of layers ---------------------------------------------------------------------

Sizes = int | tuple[int, ...]
"""One number for every spatial axis, or a tuple with one for each."""


def check_sizes(layer: str, argument: str, value: Sizes, least: int = 1) -> Sizes:
    """The argument as a Python int or a tuple of them.

    Raises `TypeError` for what are no integers, `ValueError` for one below `least`, or that no
    image is as large as.
    """
    several = isinstance(value, (tuple, list))
    try:
        sizes = tuple(map(operator.index, value if several else (value,)))  # type: ignore[arg-type]
    except TypeError:
        expected = "an integer, or a tuple of one for each spatial axis"
        raise TypeError(f"{layer}: {argument} is {expected}, got {shown(value)}") from None
    if not sizes or min(sizes) < least:
        raise ValueError(f"{layer}: {argument} must be at least {least}, got {shown(value)}")
    if max(sizes) >= 2**31:
        raise ValueError(f"{layer}: {argument} must be below 2**31, got {shown(value)}")
    return sizes if several else sizes[0]


def for_each_axis(argument: str, value: Sizes, axes: int) -> Shape:
    """The argument with one number for each of so many spatial axes.

    Raises `ValueError` for a tuple of another length.
    """
    sizes = value if isinstance(value, tuple) else (value,) * axes
    if len(sizes) != axes:
        batch = ": samples are (C, H, W), without N" if (len(sizes), axes) == (2, 3) else ""
        raise ValueError(
            f"{argument} {value} is for {len(sizes)} spatial axes, x has {axes}{batch}"
        )
    return sizes


def spatial_sizes(sample_shape: Shape) -> Shape:
    """The sizes of an image, `(C, *sizes)`. Raises `ValueError` if it has no spatial axis."""
    if len(sample_shape) < 2:
        raise ValueError(f"expected images (channels, height, width), got shape {sample_shape}")
    return sample_shape[1:]
