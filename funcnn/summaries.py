"""What a model is made of: a table of its layers, shapes and parameters."""

from typing import NamedTuple

import numpy as np

from funcnn import random, tree
from funcnn.combinators import init_layer
from funcnn.types import Layer, Shape, layer_name, traits


class Row(NamedTuple):
    """One layer: its path among the params, name, output shape (no batch axis), float32 weights."""

    path: str
    name: str
    output_shape: Shape
    parameters: int
    bytes: int


class Summary(NamedTuple):
    """The rows of a model's table; `str(summary)` is the table."""

    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """The number of weights of all layers."""
        return sum(row.parameters for row in self.rows)

    @property
    def bytes(self) -> int:
        """The bytes of all weights."""
        return sum(row.bytes for row in self.rows)

    def __str__(self) -> str:
        head = ("path", "layer", "output shape", "parameters", "bytes")
        body = [
            (r.path, r.name, str(r.output_shape), f"{r.parameters:,}", f"{r.bytes:,}")
            for r in self.rows
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


def summary(model: Layer, input_shape: Shape) -> Summary:
    """The layers of `model` for inputs of this shape (no batch axis), one row each.

    Combinators are opened up. Raises `ValueError` if the shape does not fit the model.
    """
    model.init(random.key(0), input_shape)  # for its error, which names the layer
    rows: list[Row] = []
    _collect(model, "", input_shape, rows)
    return Summary(tuple(rows))


def _collect(layer: Layer, path: str, input_shape: Shape, rows: list[Row]) -> Shape:
    inner = traits(layer).layers
    if inner:
        shape = input_shape
        for index, child in enumerate(inner):
            shape = _collect(child, f"{path}/{index}" if path else str(index), shape, rows)
        return shape
    shape, params = init_layer(layer, random.key(0), input_shape, np.float32)
    weights = [np.asarray(leaf) for leaf in tree.leaves(params)]
    count, size = sum(w.size for w in weights), sum(w.nbytes for w in weights)
    rows.append(Row(path, layer_name(layer), shape, count, size))
    return shape
