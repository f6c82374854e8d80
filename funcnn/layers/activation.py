"""Layers of one function of the array, without weights: `elementwise`, and the activations.

Each is the function of that name in `funcnn.activations`, where its derivative stands beside it.
"""

import operator
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from funcnn import activations
from funcnn._arguments import check_cotangent, check_number, shown
from funcnn._pickling import recorded
from funcnn.random import Key
from funcnn.spec import check_shape, constructor
from funcnn.types import Array, ArrayFunction, ArrayVjp, Layer, Shape, Traits, Tree, Vjp, Wrt


@recorded
def elementwise(function: ArrayFunction) -> Layer:
    """y = function(x)[0], a layer without weights of any `function(x) -> (y, vjp)`.

    x, y: floats of one shape. `vjp(dy)` is dx, as for the functions in `fn.activations`.
    Raises `TypeError` if x is not floats, `ValueError` if the function changes shape or dtype.

    >>> square = fn.elementwise(lambda x: (x**2, lambda dy: 2 * x * dy))
    >>> fn.serial(fn.Dense(3), square).init(fn.random.key(0), (4,))[0]
    (3,)
    """
    if not callable(function):
        raise TypeError(f"elementwise takes a function(x) -> (y, vjp), got {shown(function)}")
    layer = _layer_of(function)
    layer.apply.traits = Traits(takes="array")  # type: ignore[attr-defined]
    return layer


_any_shape = partial(check_shape, "elementwise")


def _layer_of(function: ArrayFunction, check: Callable[[Shape], Shape] = _any_shape) -> Layer:
    """The layer of a function; check: a sample's shape, if the function takes it."""

    def init(rng: Key, input_shape: Shape, *, dtype: DTypeLike = np.float32) -> tuple[Shape, Tree]:
        return check(input_shape), {}

    def apply(
        params: Tree, x: Array, *, rng: Key | None = None, train: bool = False, wrt: Wrt = "both"
    ) -> tuple[Array, Vjp | None]:
        activations.check_float("an elementwise layer", x)
        pair = function(x)
        if not isinstance(pair, tuple) or len(pair) != 2 or not callable(pair[1]):
            raise _no_pair(pair)
        y, vjp_of_array = pair
        if y.shape != x.shape or y.dtype != x.dtype:
            raise _change(x, y)
        shape, dtype = x.shape, x.dtype

        def vjp(dy: Array) -> tuple[Tree, Array | None]:
            check_cotangent(dy, shape, dtype)
            return {}, (None if wrt == "params" else vjp_of_array(dy))

        return y, (None if wrt is None else vjp)

    return Layer(init, apply)


def _no_pair(result: object) -> TypeError:
    kind = type(result).__name__
    return TypeError(
        f"elementwise takes a function(x) -> (y, vjp), as fn.activations.tanh: got a {kind}"
    )


def _change(x: Array, y: Array) -> ValueError:
    shapes = f"shape {x.shape} to {y.shape}"
    changed = shapes if y.shape != x.shape else f"{x.dtype} to {y.dtype}"
    return ValueError(f"an elementwise function changed {changed}")


@constructor(per_sample="always")
def Identity() -> Layer:
    """y = x, as `torch.nn.Identity`. x, y: floats `(N, ...)`.

    >>> fn.Identity().apply({}, np.array([[-2.0, 0.5]]))[0]
    array([[-2. ,  0.5]])
    """
    return _layer_of(activations.identity)


@constructor(per_sample="always")
def BinaryStep() -> Layer:
    """y = 1 where x > 0, else 0, so 0 at 0; derivative 0 everywhere. x, y: floats `(N, ...)`.

    >>> fn.BinaryStep().apply({}, np.array([[-2.0, 0.5]]))[0]
    array([[0., 1.]])
    """
    return _layer_of(activations.binary_step)


@constructor(per_sample="always")
def Sigmoid() -> Layer:
    """y = 1 / (1 + exp(-x)), as `torch.nn.Sigmoid`. x, y: floats `(N, ...)`.

    >>> fn.Sigmoid().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[0.119, 0.622]])
    """
    return _layer_of(activations.sigmoid)


@constructor(per_sample="always")
def Tanh() -> Layer:
    """y = tanh(x), as `torch.nn.Tanh`. x, y: floats `(N, ...)`.

    >>> fn.Tanh().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[-0.964,  0.462]])
    """
    return _layer_of(activations.tanh)


@constructor(per_sample="always")
def ArcTan() -> Layer:
    """y = arctan(x), as `torch.arctan`. x, y: floats `(N, ...)`.

    >>> fn.ArcTan().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[-1.107,  0.464]])
    """
    return _layer_of(activations.arctan)


@constructor(per_sample="always")
def Relu() -> Layer:
    """y = max(x, 0), with derivative 0 at 0, as `torch.nn.ReLU`. x, y: floats `(N, ...)`.

    >>> fn.Relu().apply({}, np.array([[-2.0, 0.5]]))[0]
    array([[0. , 0.5]])
    """
    return _layer_of(activations.relu)


@constructor(per_sample="always")
def LeakyRelu(negative_slope: float = 0.01) -> Layer:
    """y = x where x > 0, else negative_slope x, as `torch.nn.LeakyReLU`.

    negative_slope: a finite number, or `ValueError`; `PRelu` learns it. x, y: floats `(N, ...)`.

    >>> fn.LeakyRelu(0.1).apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[-0.2,  0.5]])
    """
    negative_slope = check_number("negative_slope", negative_slope)
    return _layer_of(partial(activations.leaky_relu, negative_slope=negative_slope))


@constructor(per_sample="always")
def Elu(alpha: float = 1.0) -> Layer:
    """y = x where x > 0, else alpha (exp(x) - 1), as `torch.nn.ELU`.

    alpha: a finite number, or `ValueError`. x, y: floats `(N, ...)`. Clevert et al. 2016.

    >>> fn.Elu().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[-0.865,  0.5  ]])
    """
    alpha = check_number("alpha", alpha)
    return _layer_of(partial(activations.elu, alpha=alpha))


@constructor(per_sample="always")
def Selu() -> Layer:
    """y = 1.0507 x where x > 0, else 1.7581 (exp(x) - 1), as `torch.nn.SELU`.

    For weights begun with `lecun_normal`. x, y: floats `(N, ...)`. Klambauer et al. 2017.

    >>> fn.Selu().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[-1.52 ,  0.525]])
    """
    return _layer_of(activations.selu)


@constructor(per_sample="always")
def Gelu(approximate: Literal["none", "tanh"] = "none") -> Layer:
    """y = x P(x), P the normal distribution function, as `torch.nn.GELU`.

    approximate: "tanh" for the formula with a tanh that some models were trained with.
    x, y: floats `(N, ...)`. Raises `ValueError` for another word. Hendrycks and Gimpel 2016.

    >>> fn.Gelu().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[-0.046,  0.346]])
    """
    function = partial(activations.gelu, approximate=approximate)
    function(np.zeros(0))  # says now that the word is wrong
    return _layer_of(function)


@constructor(per_sample="always")
def Softplus(beta: float = 1.0, threshold: float = 20.0) -> Layer:
    """y = log(1 + exp(beta x)) / beta, and x where beta x > threshold.

    As `torch.nn.Softplus`. beta: above 0, or `ValueError`. x, y: floats `(N, ...)`.

    >>> fn.Softplus().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[0.127, 0.974]])
    """
    beta = check_number("beta", beta, above=0)
    threshold = check_number("threshold", threshold)
    return _layer_of(partial(activations.softplus, beta=beta, threshold=threshold))


@constructor(per_sample="always")
def Silu() -> Layer:
    """y = x / (1 + exp(-x)), as `torch.nn.SiLU`. x, y: floats `(N, ...)`.

    >>> fn.Silu().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[-0.238,  0.311]])
    """
    return _layer_of(activations.silu)


@constructor(per_sample="always")
def HardTanh(min_val: float = -1.0, max_val: float = 1.0) -> Layer:
    """y = x cut to [min_val, max_val], with derivative 0 at both, as `torch.nn.Hardtanh`.

    min_val, max_val: finite, the first the smaller, or `ValueError`. x, y: floats `(N, ...)`.

    >>> fn.HardTanh().apply({}, np.array([[-2.0, 0.5]]))[0]
    array([[-1. ,  0.5]])
    """
    min_val = check_number("min_val", min_val)
    max_val = check_number("max_val", max_val, above=min_val)
    return _layer_of(partial(activations.hard_tanh, min_val=min_val, max_val=max_val))


@constructor(per_sample="always")
def HardSigmoid() -> Layer:
    """y = x / 6 + 1/2 cut to [0, 1], with derivative 0 at -3 and 3, as `torch.nn.Hardsigmoid`.

    x, y: floats `(N, ...)`.

    >>> fn.HardSigmoid().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[0.167, 0.583]])
    """
    return _layer_of(activations.hard_sigmoid)


@constructor(per_sample="always")
def Exp() -> Layer:
    """y = exp(x), which overflows for a large x as `np.exp` does. x, y: floats `(N, ...)`.

    >>> fn.Exp().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[0.135, 1.649]])
    """
    return _layer_of(activations.exp)


@constructor(per_sample="always")
def Softmax(dim: int = -1) -> Layer:
    """y = exp(x) / sum exp(x) along `dim`, as `torch.nn.Softmax`. Not before a cross-entropy.

    x, y: floats `(N, ...)`. dim: an axis of them, other than the batch axis 0. Raises `ValueError`
    for any other.

    >>> fn.Softmax().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[0.076, 0.924]])
    """
    return _along(dim, activations.softmax)


@constructor(per_sample="always")
def LogSoftmax(dim: int = -1) -> Layer:
    """y = x - log sum exp(x) along `dim`, as `torch.nn.LogSoftmax`.

    x, y: floats `(N, ...)`. dim: an axis of them, other than the batch axis 0. Raises `ValueError`
    for any other.

    >>> fn.LogSoftmax().apply({}, np.array([[-2.0, 0.5]]))[0].round(3)
    array([[-2.579, -0.079]])
    """
    return _along(dim, activations.log_softmax)


def _along(dim: int, function: Callable[[Array, int], tuple[Array, ArrayVjp]]) -> Layer:
    dim = operator.index(dim)

    def check_dim(input_shape: Shape) -> Shape:
        axes = 1 + len(input_shape)
        if not -axes < dim < axes or dim == 0:
            raise ValueError(f"dim={dim} is not an axis of a sample of shape {input_shape}")
        return input_shape

    def along_dim(x: Array) -> tuple[Array, ArrayVjp]:
        check_dim(x.shape[1:])
        return function(x, dim)

    return _layer_of(along_dim, check_dim)
