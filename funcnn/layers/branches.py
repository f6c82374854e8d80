"""Layers between one array and a tuple of arrays: where a network branches, and joins again."""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from funcnn import tree
from funcnn._arguments import check_cotangent, shown
from funcnn.activations import check_float
from funcnn.random import Key
from funcnn.spec import constructor
from funcnn.types import Array, Arrays, Layer, Shape, Tree, Vjp, Wrt

_MOST_ARRAYS = 1000


def _count_arrays(shape: Shape) -> int:
    inner = [entry for entry in shape if isinstance(entry, tuple)]
    return sum(map(_count_arrays, inner)) if inner else 1


@constructor(per_sample="always", takes="any")
def FanOut(num: int) -> Layer:
    """y = (x, x, ...), `num` times; dx is the sum of the dy. As stax's `FanOut`. num: at least 1.

    x: an array (or a tuple); y: a tuple of `num` of them. Raises `ValueError` for another num, or
    if y has more than 1,000 arrays.

    >>> fn.FanOut(2).init(fn.random.key(0), (4,))[0]
    ((4,), (4,))
    """
    if not hasattr(num, "__index__") or num < 1:
        raise ValueError(f"FanOut: num must be at least 1, got {shown(num)}")
    num = operator.index(num)

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        if num * _count_arrays(input_shape) > _MOST_ARRAYS:  # a file asked for a thousand million
            raise ValueError(
                f"{num} times {shown(input_shape)} is more than {_MOST_ARRAYS:,} arrays"
            )
        return (input_shape,) * num, {}

    def apply(
        params: Tree, x: Arrays, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Arrays, Vjp | None]:
        def vjp(dy: Arrays) -> tuple[Tree, Arrays | None]:
            check_tuple("the vjp of FanOut", dy)
            if len(dy) != num:
                raise ValueError(f"FanOut gave {num} arrays, got {len(dy)} cotangents")
            for part in dy:
                tree.map(lambda array, d: check_cotangent(d, array.shape, array.dtype), x, part)
            return {}, (None if wrt == "params" else add_all(dy))

        return (x,) * num, (None if wrt is None else vjp)

    return Layer(init, apply)


@constructor(per_sample="always", takes="tuple")
def FanInSum() -> Layer:
    """y = x_0 + x_1 + ...; every dx_i is dy. As stax's `FanInSum`.

    x: a tuple of floats of one shape. Raises `ValueError` for different shapes, `TypeError` for
    different dtypes.

    >>> fn.FanInSum().apply({}, (np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])))[0]
    array([[11., 22.]])
    """

    def check_equal(shapes: Sequence[Shape]) -> Shape:
        if not shapes or any(shape != shapes[0] for shape in shapes):
            raise ValueError(f"FanInSum adds arrays of one shape, got {tuple(shapes)}")
        return shapes[0]

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        _check_shapes("FanInSum", input_shape)
        return check_equal(input_shape), {}

    def apply(
        params: Tree, x: Arrays, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        _check_parts("FanInSum", x)
        shape = check_equal([part.shape for part in x])
        number, y = len(x), add_all(x)

        def vjp(dy: Array) -> tuple[Tree, Any]:
            check_cotangent(dy, shape, y.dtype)
            return {}, (None if wrt == "params" else (dy,) * number)

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


@constructor(per_sample="always", takes="tuple")
def FanInConcat(dim: int = -1) -> Layer:
    """The arrays one after another along `dim`; dx are the parts of dy. As stax's `FanInConcat`.

    x: a tuple of arrays that differ in axis `dim` alone. dim: an axis of the arrays, other than the
    batch axis 0, as in `torch.cat`. Raises `ValueError` for any other, or shapes that do not fit,
    `TypeError` for different dtypes.

    >>> fn.FanInConcat().apply({}, (np.array([[1.0, 2.0]]), np.array([[10.0]])))[0]
    array([[ 1.,  2., 10.]])
    """
    dim = operator.index(dim)

    def joined(shapes: Sequence[Shape]) -> Shape:
        """The shape, batch axis included, of the concatenation of arrays of these."""
        axes = len(shapes[0]) if shapes else 0
        samples = tuple(shape[1:] for shape in shapes)
        if not -axes < dim < axes or dim == 0:
            raise ValueError(f"FanInConcat: dim={dim} is not an axis of samples of {samples}")
        rest = {(*shape[:dim], *shape[dim:][1:]) for shape in shapes}
        if len(rest) > 1 or any(len(shape) != axes for shape in shapes):
            raise ValueError(f"FanInConcat along {dim} got samples that do not fit: {samples}")
        whole = list(shapes[0])
        whole[dim] = sum(shape[dim] for shape in shapes)
        return tuple(whole)

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        _check_shapes("FanInConcat", input_shape)
        return joined([(1, *shape) for shape in input_shape])[1:], {}

    def apply(
        params: Tree, x: Arrays, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        _check_parts("FanInConcat", x)
        shape = joined([part.shape for part in x])
        y = np.concatenate(x, dim)
        cuts = np.cumsum([part.shape[dim] for part in x])[:-1]

        def vjp(dy: Array) -> tuple[Tree, Any]:
            check_cotangent(dy, shape, y.dtype)
            return {}, (None if wrt == "params" else tuple(np.split(dy, cuts, dim)))

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


# --- what branches share ---------------------------------------------------------------------


def add_all(parts: Sequence[Arrays]) -> Arrays:
    """The sum of arrays, or tuples of arrays, in order."""
    return functools.reduce(lambda a, b: tree.map(np.add, a, b), parts)


def check_tuple(name: str, x: Any) -> None:
    """Raise `TypeError` unless x is a tuple."""
    if type(x) is not tuple:
        raise TypeError(f"{name} takes a tuple of arrays, got a {type(x).__name__}")


def _check_shapes(name: str, shapes: Sequence[Shape]) -> None:
    for shape in shapes:
        if any(type(entry) is tuple for entry in shape):
            raise ValueError(f"{name} joins arrays, got a tuple of {len(shape)} among them")


def _check_parts(name: str, x: Any) -> None:
    check_tuple(name, x)
    for part in x:
        if type(part) is tuple:
            raise TypeError(f"{name} joins arrays, got a tuple of {len(part)} among them")
        check_float(name, part)
    dtypes = sorted({str(part.dtype) for part in x})
    if len(dtypes) > 1:
        raise TypeError(f"{name} joins arrays of one dtype, got {' and '.join(dtypes)}")
