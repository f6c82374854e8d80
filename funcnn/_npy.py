"""Arrays as the bytes of `.npy` files, and back, without a pickle and without trust in them."""

import io
import math
import tokenize
from typing import IO, Any

import numpy as np

from funcnn._arguments import shown
from funcnn.types import Array, Shape

_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def array_bytes(array: Array) -> bytes:
    """What a `.npy` file of this array of numbers holds."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def read_array_header(file: IO[bytes]) -> tuple[Shape, bool, np.dtype[Any]]:
    """What a `.npy` file says of its array: the shape, Fortran's order or not, and the dtype.

    Raises `ValueError` for what is no such header.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADER_READERS:
            raise ValueError(f"its .npy format {version} is not known here")
        return _HEADER_READERS[version](file)
    except (SyntaxError, TypeError, tokenize.TokenError) as error:
        raise ValueError(f"its header is damaged ({error})") from None


def read_array(data: bytes) -> Array:
    """The array that a `.npy` file holds, in this machine's byte order.

    Nothing is allocated before it is known to be there. Raises `ValueError` for what is none.
    """
    file = io.BytesIO(data)
    shape, fortran_order, dtype = read_array_header(file)
    if dtype.kind not in "biufc":
        raise ValueError(f"it holds {dtype}, no numbers: a pickle is never read")
    held = data[file.tell() :]
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(held):
        raise ValueError(f"it claims {shown(shape)} {dtype}, but holds {len(held):,} bytes")
    array = np.frombuffer(held, dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="))  # a copy, which may be written to
