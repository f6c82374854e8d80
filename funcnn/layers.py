"""Layers: each a pair of pure functions, the derivative beside the function.

    init(rng, input_shape, *, dtype=float32)              -> (output_shape, params)
    apply(params, x, *, rng=None, train=False, wrt="both") -> (y, vjp)
    vjp(dy)                                                -> (dparams, dx)

Shapes leave out the batch axis; x, y, dx and dy have it, first. `wrt="params"` says that dx will
not be asked for (it is None), `wrt=None` that no vjp will be (it is None, and nothing is kept).
A layer without weights has the params `{}`.
"""

import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from funcnn import activations, initializers, random
from funcnn.initializers import Initializer, check_initializer, initialize
from funcnn.random import Key
from funcnn.spec import check_shape, constructor
from funcnn.types import Array, ArrayFunction, Layer, Shape, Tree, Vjp, Wrt, check_cotangent

# --- layers with weights ---------------------------------------------------------------------


@constructor(per_sample="always")
def Dense(
    out_features: int,
    bias: bool = True,
    weight_init: Initializer = initializers.glorot_uniform(),
    bias_init: Initializer = initializers.zeros(),
) -> Layer:
    """y = x W + b along the last axis, as `torch.nn.Linear` with the weight transposed.

    x: `(N, ..., in)`; y: `(N, ..., out_features)`. params: `weight` `(in, out_features)` and,
    unless `bias=False`, `bias` `(out_features,)`.
    Raises `ValueError` if x has another number of features than the weight, `TypeError` if it has
    another dtype.
    """
    (out_features,) = check_shape("Dense", (out_features,))
    check_initializer("weight_init", weight_init)
    check_initializer("bias_init", bias_init)

    def init(
        rng: Key, input_shape: Shape, *, dtype: npt.DTypeLike = np.float32
    ) -> tuple[Shape, Tree]:
        if not input_shape:
            raise ValueError("Dense: the input needs an axis of features, got shape ()")
        weight_rng, bias_rng = random.split(rng)
        fans = in_features, _ = input_shape[-1], out_features
        shape = in_features, out_features
        params = {"weight": initialize(weight_init, weight_rng, shape, dtype, fans)}
        if bias:
            params["bias"] = initialize(bias_init, bias_rng, (out_features,), dtype, fans)
        return (*input_shape[:-1], out_features), params

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        weight = params["weight"]
        if weight.ndim != 2 or weight.shape[1] != out_features:
            raise ValueError(f"expected a weight (in, {out_features}), got shape {weight.shape}")
        if bias and (params["bias"].shape, params["bias"].dtype) != ((out_features,), weight.dtype):
            got = f"{params['bias'].dtype} {params['bias'].shape}"
            raise ValueError(f"expected a bias {weight.dtype} ({out_features},), got {got}")
        in_features = weight.shape[0]
        if x.ndim < 2 or x.shape[-1] != in_features:
            raise ValueError(f"expected inputs (N, ..., {in_features}), got shape {x.shape}")
        if x.dtype != weight.dtype:
            raise TypeError(f"x is {x.dtype} but params are {weight.dtype}: convert one of them")
        rows = x if x.ndim == 2 else x.reshape(-1, in_features)  # (N*..., in)
        y = rows @ weight  # (N*..., in) @ (in, out)
        if bias:
            y += params["bias"]
        y = y.reshape(*x.shape[:-1], out_features)  # (N, ..., out)

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, (*x.shape[:-1], out_features), x.dtype)
            dy = dy.reshape(-1, out_features)  # (N*..., out)
            dparams = {"weight": rows.T @ dy}  # (in, N*...) @ (N*..., out)
            if bias:
                dparams["bias"] = dy.sum(0)  # (out,)
            if wrt == "params":
                return dparams, None
            return dparams, (dy @ weight.T).reshape(x.shape)  # (N*..., out) @ (out, in)

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


# --- layers of one function of the array -----------------------------------------------------


def elementwise(function: ArrayFunction) -> Layer:
    """A layer without weights of any `function(x) -> (y, vjp)` that keeps the array's shape.

    x, y: floats of one shape. `vjp(dy)` is dx, as for the functions in `fn.activations`.
    Raises `TypeError` if x is not floats, `ValueError` if the function changes shape or dtype.
    """

    def init(
        rng: Key, input_shape: Shape, *, dtype: npt.DTypeLike = np.float32
    ) -> tuple[Shape, Tree]:
        return check_shape("elementwise", input_shape), {}

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        activations.check_float("an elementwise layer", x)
        y, vjp_of_array = function(x)
        if y.shape != x.shape:
            raise ValueError(f"an elementwise function changed shape {x.shape} to {y.shape}")
        if y.dtype != x.dtype:
            raise ValueError(f"an elementwise function changed {x.dtype} to {y.dtype}")
        shape, dtype = x.shape, x.dtype

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, shape, dtype)
            return {}, (None if wrt == "params" else vjp_of_array(dy))

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


@constructor(per_sample="always")
def Identity() -> Layer:
    """y = x, as `torch.nn.Identity`. x, y: floats `(N, ...)`."""
    return elementwise(activations.identity)


@constructor(per_sample="always")
def Relu() -> Layer:
    """y = max(x, 0), with derivative 0 at 0, as `torch.nn.ReLU`. x, y: floats `(N, ...)`."""
    return elementwise(activations.relu)


@constructor(per_sample="always")
def Sigmoid() -> Layer:
    """y = 1 / (1 + exp(-x)), as `torch.nn.Sigmoid`. x, y: floats `(N, ...)`."""
    return elementwise(activations.sigmoid)


@constructor(per_sample="always")
def Tanh() -> Layer:
    """y = tanh(x), as `torch.nn.Tanh`. x, y: floats `(N, ...)`."""
    return elementwise(activations.tanh)


@constructor(per_sample="always")
def Softmax(dim: int = -1) -> Layer:
    """y = exp(x) / sum exp(x) along `dim`, as `torch.nn.Softmax`. Not before a cross-entropy.

    dim: an axis of the array, other than the batch axis 0. Raises `ValueError` for any other.
    """
    return _along(dim, activations.softmax)


@constructor(per_sample="always")
def LogSoftmax(dim: int = -1) -> Layer:
    """y = x - log sum exp(x) along `dim`, as `torch.nn.LogSoftmax`.

    dim: an axis of the array, other than the batch axis 0. Raises `ValueError` for any other.
    """
    return _along(dim, activations.log_softmax)


def _along(dim: int, function: Any) -> Layer:
    dim = operator.index(dim)

    def checked(x: Array) -> Any:
        if not -x.ndim < dim < x.ndim or dim == 0:
            raise ValueError(f"dim={dim} is not an axis of a sample of shape {x.shape[1:]}")
        return function(x, dim)

    return elementwise(checked)


@constructor(per_sample="evaluation")
def Dropout(rate: float = 0.5) -> Layer:
    """In training y = x m / (1 - rate), each m 0 with probability `rate`, else 1; otherwise y = x.

    rate: the fraction dropped, in [0, 1], as the p of `torch.nn.Dropout`.
    `apply` needs an `rng` in training, and raises `ValueError` without one.
    Srivastava et al., JMLR 2014.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"Dropout: rate is the fraction dropped, in [0, 1], got {rate}")

    def init(
        rng: Key, input_shape: Shape, *, dtype: npt.DTypeLike = np.float32
    ) -> tuple[Shape, Tree]:
        return input_shape, {}

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        activations.check_float("Dropout", x)
        if not train or rate == 0:
            return x, (None if wrt is None else lambda dy: ({}, None if wrt == "params" else dy))
        if rng is None:
            raise ValueError("dropout in training needs a key: apply(..., rng=fn.random.key(0))")
        kept = random.bernoulli(rng, 1 - rate, x.shape)
        mask = np.multiply(kept, 1 / (1 - rate) if rate < 1 else 0, dtype=x.dtype)
        y = x * mask

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, mask.shape, mask.dtype)
            return {}, (None if wrt == "params" else dy * mask)

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


# --- layers that only change the shape -------------------------------------------------------


@constructor(per_sample="always")
def Flatten() -> Layer:
    """`(N, ...)` to `(N, product of the rest)`, as `torch.nn.Flatten`."""
    return _reshape(lambda input_shape: (math.prod(input_shape),))


@constructor(per_sample="always")
def Reshape(shape: Shape) -> Layer:
    """`(N, ...)` to `(N, *shape)`, in row-major order, as `torch.nn.Unflatten(1, shape)`.

    shape: sizes of at least 1, whose product is that of the input's.
    Raises `ValueError` if it is not.
    """
    shape = check_shape("Reshape", shape)

    def output_shape(input_shape: Shape) -> Shape:
        if math.prod(input_shape) != math.prod(shape):
            raise ValueError(f"cannot reshape a sample of shape {input_shape} to {shape}")
        return shape

    return _reshape(output_shape)


def _reshape(output_shape: Any) -> Layer:
    def init(
        rng: Key, input_shape: Shape, *, dtype: npt.DTypeLike = np.float32
    ) -> tuple[Shape, Tree]:
        return output_shape(input_shape), {}

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        y = x.reshape(x.shape[0], *output_shape(x.shape[1:]))  # (N, *shape)
        x_shape, y_shape, dtype = x.shape, y.shape, x.dtype

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, y_shape, dtype)
            return {}, (None if wrt == "params" else dy.reshape(x_shape))

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)
