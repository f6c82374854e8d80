"""Layers in the words of a report, as the field has them: `convolution 3 x 3`, `ReLU`."""

from collections import Counter
from collections.abc import Sequence

import funcnn as fn
from funcnn.experiments.errors import sizes_text
from funcnn.experiments.tasks.networks import ACTIVATIONS
from funcnn.introspection import Summary
from funcnn.types import Layer, Shape, layer_name, traits

_WORDS = {
    "Conv": "convolution",
    "Dense": "fully connected",
    "MaxPool": "max-pooling",
    "AvgPool": "average pooling",
    "BinaryStep": "binary step",
    "Relu": "ReLU",
    "PRelu": "PReLU",
    "LeakyRelu": "leaky ReLU",
    "Elu": "ELU",
    "Selu": "SELU",
    "Gelu": "GELU",
    "Silu": "SiLU",
}
"""What layers are called; the others as their constructors, in small letters."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth")


def layer_in_words(layer: Layer) -> str:
    """A layer of images or rows, with the size of its windows, or its rate."""
    spec, words = layer.spec or {}, _words(layer_name(layer))
    if "kernel_size" in spec:
        size = spec["kernel_size"]
        return f"{words} {sizes_text((size, size) if isinstance(size, int) else size, ' x ')}"
    return f"{words} {spec['rate']:g}" if "rate" in spec else words


def activation_in_words(name: str) -> str:
    """An activation by its name among the settings of a run."""
    return layer_in_words(ACTIVATIONS[name][0]())


def summary_in_words(model: Layer, input_shape: Shape) -> Summary:
    """`fn.summary`, whose layers are called so."""
    rows = fn.summary(model, input_shape).rows
    return Summary(tuple(row._replace(name=layer_in_words(_at(model, row.path))) for row in rows))


def numbered(layers: Sequence[str]) -> list[str]:
    """Layers by the names of their constructors: `first convolution`, `fully connected layer`.

    Of a kind there is one, or at most five.
    """
    count, seen = Counter(layers), Counter[str]()
    said = []
    for name in layers:
        words = f"{_words(name)} layer" if name == "Dense" else _words(name)
        said.append(words if count[name] == 1 else f"{_ORDINALS[seen[name]]} {words}")
        seen[name] += 1
    return said


def _words(name: str) -> str:
    return _WORDS.get(name, name.lower())


def _at(model: Layer, path: str) -> Layer:
    """The layer at a path of the params."""
    for index in filter(None, path.split("/")):
        model = traits(model).layers[int(index)]
    return model
