"""Whether BLAS has to be kept on one thread in a replay, which takes some 20 microseconds.

OpenBLAS does small products on one thread anyway: below 262,144 multiply-adds of a product of
matrices, 9,216 of one with a vector, 10,000 of a dot product (interface/gemm.c, gemv.c, dot.c).
"""

import math

import numpy as np

from funcnn.compiled.tape import Operation, Tape, flattened, views
from funcnn.threads import blas

SMALL = 8_192
"""Multiply-adds, or elements, up to which nothing is done on several threads, whatever it is."""

WITHOUT_BLAS = {np.where, np.repeat, np.reshape, np.take, np.concatenate, np.argmax, np.argmin}
WITHOUT_BLAS |= {np.add.reduce, np.maximum.reduce, np.minimum.reduce, np.copyto}


def needs_one_thread(tape: Tape) -> bool:
    """Whether something in a tape might be done on several threads."""
    if any(library.internal_api != "openblas" for library in blas()):
        return True
    return not all(map(_is_small, flattened(tape.operations)))


def _is_small(operation: Operation) -> bool:
    if operation.function is np.matmul:
        a, b = views(operation.inputs)
        return bool(math.prod(a.shape) * b.shape[-1] <= SMALL)
    if operation.function in WITHOUT_BLAS or operation.kind in ("copy", "item", "set", "guard"):
        return True
    if isinstance(operation.function, np.ufunc) and operation.function.signature is None:
        return True
    arrays = list(views(operation.inputs))
    sizes = [math.prod(view.shape) for view in arrays]
    # Of matrices no more is multiplied than each entry of one with each of the other.
    most = (
        math.prod(sizes) if any(len(view.shape) > 1 for view in arrays) else max(sizes, default=0)
    )
    return most <= SMALL
