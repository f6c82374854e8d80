"""Looking inside a model: the table of its layers, and the outputs of each of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from funcnn import random, tree
from funcnn._arguments import as_arrays
from funcnn.layers.any_layer import check_layers, init_layer, with_wrt
from funcnn.random import Key
from funcnn.snapshots import Snapshot
from funcnn.types import Array, Layer, Shape, Tree, Vjp, layer_name, traits


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
    outputs: dict[str, Any] = {}

    def note(path: str, layer: Layer) -> Layer:
        layer_apply = with_wrt(layer.apply)

        # Without traits, so that no layer is given a part of the batch alone.
        def apply(layer_params: Tree, x: Array, **keywords: Any) -> tuple[Array, Vjp | None]:
            y, vjp = layer_apply(layer_params, x, **keywords)
            outputs[path] = y
            return y, vjp

        return layer._replace(apply=apply)

    x = as_arrays("x", x)
    _rebuild(model, "", note).apply(params, x, rng=rng, train=train, wrt=None)
    outputs.pop("")
    return outputs


def _rebuild(layer: Layer, path: str, replace: Callable[[str, Layer], Layer]) -> Layer:
    """The layer with every layer inside it, and then itself, replaced by `replace(path, layer)`."""
    inner, rebuild = traits(layer).layers, traits(layer).rebuild
    if rebuild is not None:
        join = f"{path}/{{}}".format if path else "{}".format
        layer = rebuild(*(_rebuild(part, join(i), replace) for i, part in enumerate(inner)))
    return replace(path, layer)
