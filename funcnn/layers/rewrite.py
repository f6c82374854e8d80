"""Rewriting: the same function of the same layers, with less to do.

A rewriting goes by the traits of layers, which only a constructor's own `apply` has: a layer whose
`apply` was replaced is left where it is.
"""

from collections.abc import Sequence

from funcnn.types import Layer, traits


def pool_before_relu(layers: Sequence[Layer]) -> list[int]:
    """The positions of the layers in the order to apply them in: each ReLU after its max-pooling.

    The largest of numbers cut at 0 is their largest, cut at 0. Either way a gradient goes to the
    first of the largest, and nowhere if that is not above 0. But after it there is less to cut.
    """
    names = [traits(layer).name for layer in layers]
    order = list(range(len(layers)))
    for i in range(len(order) - 1):
        if [names[position] for position in order[i : i + 2]] == ["Relu", "MaxPool"]:
            order[i : i + 2] = order[i + 1], order[i]
    return order
