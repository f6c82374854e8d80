"""A trained network as two files of Python that stand alone: `layer.py` and `network.py`.

They need NumPy and nothing else, and Python 3.6 is enough. Their code is that of `layers`,
`classes`, `network` and `augmentations` beside this module, of which they have what this network
uses; what it is made of, and trained with, is written anew.
"""

import ast
import dataclasses
import inspect
import json
import re
import symtable
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from funcnn.experiments.data.datasets import Dataset
from funcnn.experiments.errors import sizes_text
from funcnn.experiments.hand_in.standalone import augmentations as standalone_augmentations
from funcnn.experiments.hand_in.standalone import classes as standalone_classes
from funcnn.experiments.hand_in.standalone import layers as standalone_layers
from funcnn.experiments.hand_in.standalone import network as standalone_network
from funcnn.experiments.hand_in.standalone.parts import Part, parts_of
from funcnn.experiments.hand_in.standalone.training import (
    augmentations_of,
    choices_of,
    loss_of,
)
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.types import Shape

_ATTRIBUTES = {
    "FullyConnected": "fc",
    "Conv": "conv",
    "MaxPool": "pool",
    "AvgPool": "pool",
    "Flatten": "flatten",
}
"""What a layer of a class is called, with its number; others are activations."""
_LOSSES = {
    "softmax_cross_entropy": "SoftmaxWithloss",
    "half_squared_error": "SquaredWithloss",
    "binary_cross_entropy": "BinaryWithloss",
}
_ABOUT = """
Twice: as functions, of which `train` yields the params that `predict` takes; and as the class
`Network`, which a loop drives, the lab's own for instance:

    net = Network()
    pred, loss = net.forward(x, target)
    net.backward()
    net.update(Learning_rate)

Its gradients are those of the mean loss of a batch, as a measured derivative shows. `update` steps
along their sum over the batch, the mean times its size{more}"""
"""What `network.py` says of itself."""
_OF_IMAGES = """: rates such as 6e-4 and 1e-3 are for sums.
{tried}
As a package `model`: this file as model/network.py, the layers as model/layer.py, and the line

    from .network import Network

as model/__init__.py.
"""
_TRIED = """
Tried with convolutions, 60 batches of 100 in the order of the file, then the accuracy on the
validation images, with a rate of 6e-4 and with one of 1e-3:

    along the mean                            31 %, 39 %
    along the sum                             67 %, 67 %    which is what `update` does
    the sum, with momentum 0.5                69 %, 64 %
    the sum, with momentum 0.9                67 %,  6 %
    the sum, last layer of N(0, 2 / inputs)   63 %, 63 %    not N(0, 0.01^2)
    the sum, all layers of N(0, 0.01^2)        6 %, 33 %    not N(0, 2 / inputs)
"""
_TRIED_WITH = "1x28x28-16x28x28-32x14x14-47"
"""What was measured of the lab with 47 classes, and its network, which alone says so."""
_OF_POINTS = """. main.py steps
along the mean: without momentum, its rate of 0.5 is update(0.5 / len(x)) here.
"""
_AS_MAIN = {
    """; those before a
    softmax, if it has one, are small, so that it begins without a preference. There is no dropout,
    and no change of images, for `forward` is not told whether it is in training.""": """: N(0, 1);
    biases 0. After np.random.seed(k) and the points they are those that main.py begins with.""",
    "np.float32)  # twice as fast as float64": "np.float64)  # as in main.py",
    "normalized(np.reshape(input, (-1, *SHAPE)))": "np.reshape(input, (-1, *SHAPE))",
}
"""What the class for points says otherwise, which begins as the program beside it does."""


class Standalone(NamedTuple):
    """The text of `network.py`, and the functions and classes that it wants of `layer.py`."""

    network: str
    functions: frozenset[str]


def network_file(task: Task, layer_module: str = "layer") -> Standalone:
    """`network.py` of a task's network, which is trained with the task's settings.

    layer_module: what it imports its layers from. Raises `InputError` for a layer, an initializer
    or a setting that it has no words for.
    """
    config, input_shape = task.config, task.input_shape
    parts = parts_of(task.model, input_shape)
    loss = loss_of(config)
    choices = choices_of(config)
    written = {
        "layers": _listing("layers", _commented(parts, input_shape)),
        "first_params": _listing("first_params", [f"{part.first_params}," for part in parts]),
        "loss": f"{_head('loss')}    return {loss}",
        "augmented": _augmented(config),
        "train": _train(config),
        "Network": _network_class(parts, loss.partition("(")[0]),
    }
    body = _definitions(
        [standalone_augmentations, standalone_network],
        ["first_params", "train", "predict", "save", "load", "Network", *choices],
        written,
    )
    layers = {part.function for part in parts} | {loss.partition("(")[0]}
    layers |= _names(written["Network"]) & vars(standalone_classes).keys()
    title = _title(parts, input_shape)
    of_images = _OF_IMAGES.format(tried=_TRIED if title == _TRIED_WITH else "")
    about = _ABOUT.format(more=_OF_POINTS if loss.startswith("binary") else of_images)
    blocks = [
        f'"""The network {title}, on NumPy alone.\n{about}"""',
        _imports(body),
        _import_of_layers(layer_module),
        _settings(config, task.data),
    ]
    network = "\n\n".join(blocks) + f"\n\n\n{_chosen(body, choices)}\n"
    return Standalone(network, frozenset(layers))


def layer_file(layers: Iterable[str]) -> str:
    """`layer.py` with these functions and classes, and those that they use."""
    code = _definitions([standalone_layers, standalone_classes], layers, {})
    blocks = [f'"""{inspect.getdoc(standalone_layers)}\n"""', _imports(code)]
    return "\n\n".join(blocks) + f"\n\n\n{code}\n"


def _definitions(
    modules: Iterable[ModuleType], wanted: Iterable[str], written: Mapping[str, str]
) -> str:
    """The functions and classes of modules that are wanted, and those that they use, in order.

    written: the text of those that are not as they stand there.
    """
    there = {
        node.name: written.get(node.name) or ast.get_source_segment(source, node) or ""
        for source in map(inspect.getsource, modules)
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    used, left = set(), [*wanted]
    while left:
        name = left.pop()
        if name in there and name not in used:
            used.add(name)
            left += _names(there[name])
    return "\n\n\n".join(text for name, text in there.items() if name in used)


def _names(code: str) -> set[str]:
    """What code uses of its module: arguments and variables of functions are their own."""
    scopes, used = [symtable.symtable(code, "", "exec")], set()
    for scope in scopes:
        scopes += scope.get_children()  # which are gone through too
        used |= {
            symbol.get_name()
            for symbol in scope.get_symbols()
            if symbol.is_referenced() and (symbol.is_global() or scope.get_type() == "module")
        }
    return used


def _head(function: str) -> str:
    """The head of a function of the module `network`, with its docstring."""
    pattern = getattr(standalone_network, function)
    return f'def {function}{inspect.signature(pattern)}:\n    """{inspect.getdoc(pattern)}"""\n'


def _listing(function: str, entries: Iterable[str]) -> str:
    """A function that returns these entries, a line each."""
    lines = "".join(f"        {entry}\n" for entry in entries)
    return f"{_head(function)}    return [\n{lines}    ]"


def augmented_source(config: RunConfig) -> str:
    """`augmented` as `network.py` has it, and the functions that it uses.

    Raises `InputError` for a change that there are no words for.
    """
    written = {"augmented": _augmented(config)}
    return _definitions([standalone_augmentations, standalone_network], ["augmented"], written)


def _augmented(config: RunConfig) -> str:
    """The function in which each change takes the images as the one before left them."""
    *before, last = augmentations_of(config) or ["x"]
    assigned = "".join(f"    x = {call}\n" for call in before)
    return f"{_head('augmented')}{assigned}    return {last}"


def _train(config: RunConfig) -> str:
    """`train` of the module `network`, without the call where no image is changed."""
    pattern = inspect.getsource(standalone_network.train).rstrip()
    if augmentations_of(config):
        return pattern
    before, found, after = pattern.partition("augmented(x[chosen], rng)")
    assert found
    return f"{before}x[chosen]{after}"


def _commented(parts: Sequence[Part], shape: Shape) -> list[str]:
    """The entries of the layers, with a shape where it is another than before."""
    entries = []
    for part in parts:
        comment = f"  # {_shape(part.output_shape)}" if part.output_shape != shape else ""
        entries.append(f"{part.call},{comment}")
        shape = part.output_shape
    return entries


def _network_class(parts: Sequence[Part], loss: str) -> str:
    """The class of the module `network`, made of these layers."""
    pattern = inspect.getsource(standalone_network.Network).rstrip()
    count = Counter[str]()
    lines = []
    for part in filter(lambda part: part.made, parts):
        kind = part.made.partition("(")[0]
        name = _ATTRIBUTES.get(kind, "activation")
        count[name] += 1
        lines.append(f"        self.{name}{count[name]} = {part.made}\n")
    if loss == "softmax_cross_entropy":
        lines[-1] = lines[-1].replace(")\n", ", deviation=0.01)\n")
    elif loss == "binary_cross_entropy":
        lines = [re.sub(r"(FullyConnected\(.+)\)$", r"\1, deviation=1)", line) for line in lines]
        for words, others in _AS_MAIN.items():
            before, found, after = pattern.partition(words)
            assert found, words
            pattern = before + others + after
    attributes = r"(        self\.\w+ = [A-Z]\w+\(.*\)\n)+"
    pattern = re.sub(attributes, "".join(lines), pattern, count=1)
    return pattern.replace("SoftmaxWithloss", _LOSSES[loss])


def _imports(body: str) -> str:
    names = _names(body)
    standard = [
        *(["import math"] if "math" in names else []),
        *(["from functools import partial"] if "partial" in names else []),
    ]
    return "\n".join([*standard, *([""] if standard else []), "import numpy as np"])


def _import_of_layers(layer_module: str) -> str:
    """The import of `layer.py`, beside `network.py` or in the same package, renamed or not."""

    def either(name: str) -> str:
        inside = f"if __package__:  # in a package\n    from .{name} import *\n"
        return f"{inside}else:\n    from {name} import *"

    if layer_module == "layer":
        return either("layer")
    handed_in, renamed = (textwrap.indent(either(n), "    ") for n in (layer_module, "layer"))
    return f"try:\n{handed_in}\nexcept ImportError:  # renamed\n{renamed}"


def _settings(config: RunConfig, data: Dataset) -> str:
    names = ", ".join(map(json.dumps, data.class_names))
    if len(names) > 80:
        names = f"\n{textwrap.fill(names, 96, initial_indent='    ', subsequent_indent='    ')},\n"
    scale, mean, std = dataclasses.astuple(data.normalization)
    return "\n".join(
        (
            f"SHAPE = {_shape(data.input_shape)}  # of an example",
            f"CLASSES = ({names})",
            f"SCALE, MEAN, STD = {scale}, {mean}, {std}",
            f"EPOCHS = {config.epochs}",
            f"BATCH_SIZE = {config.batch_size}"
            + ("" if config.batch_size else "  # all examples are one batch"),
            f"LEARNING_RATE = {config.lr}",
            f"MOMENTUM = {config.momentum}",
            f"WEIGHT_DECAY = {config.weight_decay}",
        )
    )


def _chosen(body: str, choices: tuple[str, str, str]) -> str:
    """The code with its own way to do each thing in place of the names that stand for any."""
    optimizer, schedule, classes = choices
    for name, chosen in (("update", optimizer), ("learning_rate", schedule)):
        body = re.sub(rf"(?<!def )\b{name}\(", f"{chosen}(", body)
    return body.replace(f"def {classes}(", "def predicted(")


def _title(parts: Sequence[Part], input_shape: Shape) -> str:
    """Its sizes: 784-256-128-10, or 1x28x28-16x14x14-10."""
    ends = [sizes_text(part.output_shape) for part in parts if part.first_params != "{}"]
    return "-".join([sizes_text(input_shape), *ends])


def _shape(shape: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
