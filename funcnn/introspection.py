"""Looking inside a model: its layers, their outputs and gradients, and each example's gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from funcnn import random, tree
from funcnn._arguments import as_arrays
from funcnn.batching import check_data, count_rows, pick
from funcnn.layers.any_layer import check_layers, init_layer, with_wrt, y_and_vjp
from funcnn.random import Key
from funcnn.snapshots import Snapshot
from funcnn.threads import single_threaded_blas
from funcnn.training import value_and_grad
from funcnn.types import Apply, Array, Arrays, Layer, Loss, Shape, Tree, Vjp, layer_name, traits


class Row(NamedTuple):
    """One layer: its path among the params, name, output shape (no batch axis), float32 weights."""

    path: str
    name: str
    output_shape: Shape
    parameters: int
    bytes: int


class Summary(NamedTuple):
    """The rows of a model's table, which it is shown as."""

    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """The number of weights of all layers."""
        return sum(row.parameters for row in self.rows)

    @property
    def bytes(self) -> int:
        """The bytes of all weights."""
        return sum(row.bytes for row in self.rows)

    def __repr__(self) -> str:
        head = ("path", "layer", "output shape", "parameters", "bytes")
        body = [
            (row.path, row.name, str(row.output_shape), f"{row.parameters:,}", f"{row.bytes:,}")
            for row in self.rows
        ]
        total = ("", "total", "", f"{self.parameters:,}", f"{self.bytes:,}")
        table = [head, *body, total]
        widths = [max(len(line[i]) for line in table) for i in range(len(head))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i >= 3 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in table
        )


def summary(model: Layer | Snapshot, input_shape: Shape | None = None) -> Summary:
    """The layers of `model` for inputs of this shape (no batch axis), one row each.

    Combinators are opened up. A snapshot, `fn.summary(fn.load("params.npz"))`, brings its own
    model, and its shape unless another is given.
    Raises `ValueError` if the shape does not fit the model, or there is none.

    >>> fn.summary(fn.serial(fn.Dense(8), fn.Relu(), fn.Dense(2)), (4,))
    path  layer  output shape  parameters  bytes
    0     Dense  (8,)                  40    160
    1     Relu   (8,)                   0      0
    2     Dense  (2,)                  18     72
          total                        58    232
    """
    if isinstance(model, Snapshot):
        if model.model is None:
            raise ValueError("summary: the snapshot does not say which model it is of")
        input_shape = model.input_shape if input_shape is None else input_shape
        model = model.model
    check_layers("summary", (model,))
    if input_shape is None:
        raise ValueError("summary needs the shape of one input: fn.summary(model, (1, 28, 28))")
    rows: list[Row] = []

    def note(path: str, layer: Layer) -> Layer:
        if traits(layer).layers:
            return layer

        def init(rng: Key, shape: Shape, *, dtype: DTypeLike = np.float32) -> Any:
            output_shape, params = init_layer(layer, rng, shape, dtype)
            weights = [np.asarray(leaf) for leaf in tree.leaves(params)]
            count, size = sum(w.size for w in weights), sum(w.nbytes for w in weights)
            rows.append(Row(path, layer_name(layer), output_shape, count, size))
            return output_shape, params

        return layer._replace(init=init)

    init_layer(_rebuild(model, "", note), random.SHAPES_ONLY, input_shape, np.float32)
    return Summary(tuple(rows))


def inner_outputs(
    model: Layer, params: Tree, x: Array, *, rng: Key | None = None, train: bool = False
) -> dict[str, Any]:
    """The output of every layer inside `model` for the batch x, by its path, in order.

    A path is that of the layer's params: `inner_outputs(model, params, x)["1"]` is `(N, ...)`, what
    layer 1 gives. An inner combinator comes after its own layers. The model's own output is that of
    the last layer. Raises what `model.apply` raises.

    >>> model = fn.serial(fn.Identity(), fn.Relu())
    >>> fn.inner_outputs(model, [{}, {}], np.array([[-1.0, 1.0]]))
    {'0': array([[-1.,  1.]]), '1': array([[0., 1.]])}
    """
    check_layers("inner_outputs", (model,))
    outputs: dict[str, Any] = {}

    def note(path: str, layer: Layer) -> Layer:
        layer_apply = with_wrt(layer.apply)

        # Without traits, so that no layer is given a part of the batch alone.
        def apply(layer_params: Tree, x: Array, **keywords: Any) -> tuple[Array, Vjp | None]:
            y, vjp = y_and_vjp(layer_apply(layer_params, x, **keywords))
            outputs[path] = y
            return y, vjp

        return layer._replace(apply=apply)

    x = as_arrays("x", x)
    _rebuild(model, "", note).apply(params, x, rng=rng, train=train, wrt=None)
    outputs.pop("")
    return outputs


def inner_gradients(
    model: Layer,
    loss: Loss,
    params: Tree,
    x: Arrays,
    y: Arrays,
    *,
    rng: Key | None = None,
    train: bool = False,
) -> dict[str, Any]:
    """dL/dy of every layer inside `model`: the gradient of the loss by the layer's output y.

    By the paths, and in the order, of `inner_outputs`; each of the shape of that layer's output. x:
    `(N, ...)`, y: what the loss takes. Where a mean is taken over the batch, L is that mean. Raises
    what `model.apply` and the loss raise.

    >>> model = fn.serial(fn.Relu(), fn.Identity())
    >>> x, y = np.array([[-1.0, 3.0]]), np.array([[1.0, 1.0]])
    >>> fn.inner_gradients(model, fn.mean_squared_error, [{}, {}], x, y)
    {'0': array([[-1.,  2.]]), '1': array([[-1.,  2.]])}
    """
    check_layers("inner_gradients", (model,))
    gradients: dict[str, Any] = {}

    def note(path: str, layer: Layer) -> Layer:
        layer_apply = with_wrt(layer.apply)

        # Without traits, as in `inner_outputs`.
        def apply(layer_params: Tree, x: Arrays, **keywords: Any) -> tuple[Arrays, Vjp]:
            y, vjp = y_and_vjp(layer_apply(layer_params, x, **keywords))
            gradients[path] = None  # in the order of the layers, though found in the other

            def pull_back(dy: Arrays) -> tuple[Tree, Arrays | None]:
                assert vjp is not None  # it is, for wrt="both"
                gradients[path] = dy
                return vjp(dy)

            return y, pull_back

        return layer._replace(apply=apply)

    watched = _rebuild(model, "", note).apply

    def apply(params: Tree, x: Arrays, *, wrt: Any, **keywords: Any) -> tuple[Arrays, Vjp | None]:
        return watched(params, x, wrt="both", **keywords)  # before the first weights too

    value_and_grad(apply, loss)(params, x, y, rng=rng, train=train)
    gradients.pop("")
    return gradients


def per_example_grads(apply: Apply, loss: Loss) -> Callable[..., Tree]:
    """The function that gives the gradient of the loss of each example by the params.

    The returned function is `f(params, x, y, *, rng=None, train=True) -> grads`; x, y: of N
    examples, as for `value_and_grad`, whose grads are the mean of these where the loss is a mean
    and no example sees another. grads: a tree like params, of N times its memory, whose leaves are
    `(N, ...)`. As `jax.vmap` of `jax.grad`, but one after the other, each as a batch of its own: in
    it a weight of `weighted` cancels out, and batch normalization sees that example alone. Example
    i has the key `fold_in(rng, i)`.
    Raises `ValueError` for x and y of different lengths or without examples.

    >>> params = {"weight": np.eye(2), "bias": np.zeros(2)}
    >>> x, y = np.array([[1.0, 2.0], [3.0, 0.0]]), np.zeros((2, 2))
    >>> gradients = fn.per_example_grads(fn.Dense(2).apply, fn.half_squared_error)
    >>> gradients(params, x, y)["bias"]
    array([[1., 2.],
           [3., 0.]])
    """
    gradient = value_and_grad(apply, loss)

    def compute(
        params: Tree, x: Arrays, y: Arrays, *, rng: Key | None = None, train: bool = True
    ) -> Tree:
        x, y = check_data((x, y))
        number = count_rows(x)
        if number == 0:
            raise ValueError("per_example_grads: there are no examples")
        grads = tree.map(lambda w: np.empty((number, *np.shape(w)), np.result_type(w)), params)
        with single_threaded_blas():
            for i in range(number):
                row, key = slice(i, i + 1), None if rng is None else random.fold_in(rng, i)
                _, own = gradient(params, pick(x, row), pick(y, row), rng=key, train=train)
                for rows, g in zip(tree.leaves(grads), tree.leaves(own), strict=True):
                    rows[i] = g
        return grads

    return compute


def _rebuild(layer: Layer, path: str, replace: Callable[[str, Layer], Layer]) -> Layer:
    """The layer with every layer inside it, and then itself, replaced by `replace(path, layer)`."""
    inner, rebuild = traits(layer).layers, traits(layer).rebuild
    if rebuild is not None:
        join = f"{path}/{{}}".format if path else "{}".format
        layer = rebuild(*(_rebuild(part, join(i), replace) for i, part in enumerate(inner)))
    return replace(path, layer)
