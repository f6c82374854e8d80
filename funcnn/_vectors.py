"""Arrays laid out one after the other as one vector, and back."""

from collections.abc import Iterator, Sequence

import numpy as np

from funcnn.types import Array


def join(arrays: Sequence[Array]) -> Array:
    """All their elements `(size,)`, each array's in row-major order, in their common dtype."""
    return np.concatenate(arrays, axis=None) if arrays else np.zeros(0, np.float32)


def split(vector: Array, like: Sequence[Array]) -> Iterator[Array]:
    """The arrays that the vector was joined of, with their shapes and dtypes; views, if they can.

    vector: `(size,)`, of arrays with the shapes and dtypes of `like`.
    """
    end = 0
    for array in like:
        start, end = end, end + array.size
        piece = vector[start:end].reshape(array.shape)
        yield piece if piece.dtype == array.dtype else piece.astype(array.dtype)
