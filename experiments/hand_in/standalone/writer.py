"""A trained network as two files of Python that stand alone: `layer.py` and `network.py`.

They need NumPy and nothing else. Their code is that of `layers` and `network`
beside this module, of which they have what this network uses; what it is made of, and trained
with, is written anew.
"""

import ast
import dataclasses
import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from funcnn.experiments.data.datasets import Dataset
from funcnn.experiments.errors import InputError, sizes_text
from funcnn.experiments.hand_in.standalone import layers as standalone_layers
from funcnn.experiments.hand_in.standalone import network as standalone_network
from funcnn.experiments.hand_in.standalone.parts import Part, parts_of
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.types import Shape

_INTERFACE = ("first_params", "network", "train", "predict", "save", "load")


class Standalone(NamedTuple):
    """The text of `network.py`, and the functions that it wants of `layer.py`."""

    network: str
    functions: frozenset[str]


def network_file(task: Task, layer_module: str = "layer") -> Standalone:
    """`network.py` of a task's network, which is trained with the task's settings.

    layer_module: what it imports its layers from. Raises `InputError` for a layer, an initializer
    or an optimizer that it has no words for.
    """
    config, input_shape = task.config, task.data.input_shape
    parts = parts_of(task.model, input_shape)
    loss = _loss(config)
    choices = _choices(config)
    written = {
        "layers": _listing("layers", _commented(parts, input_shape)),
        "first_params": _listing("first_params", [f"{part.first_params}," for part in parts]),
        "loss": f"{_head('loss')}    return {loss}",
    }
    body = _functions(
        standalone_network, ["first_params", "train", "predict", "save", "load", *choices], written
    )
    layers = {part.function for part in parts} | {loss.partition("(")[0]}
    blocks = [
        f'"""The network {_title(parts, input_shape)}, on NumPy alone."""',
        _imports(body, layer_module, layers),
        _settings(config, task.data),
    ]
    network = "\n\n".join(blocks) + f"\n\n\n{_chosen(body, choices)}\n"
    return Standalone(network, frozenset(layers))


def layer_file(functions: Iterable[str]) -> str:
    """`layer.py` with these functions, and those that they use."""
    docstring = inspect.getdoc(standalone_layers)
    code = _functions(standalone_layers, functions, {})
    return f'"""{docstring}\n"""\n\nimport numpy as np\n\n\n{code}\n'


def _functions(module: ModuleType, wanted: Iterable[str], written: Mapping[str, str]) -> str:
    """The functions of a module that are wanted, and those that they use, in its order.

    written: the text of those that are not as they stand there.
    """
    source = inspect.getsource(module)
    there = {
        node.name: written.get(node.name) or ast.get_source_segment(source, node) or ""
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }
    used, left = set(), [*wanted]
    while left:
        name = left.pop()
        if name in there and name not in used:
            used.add(name)
            left += _names(there[name])
    return "\n\n\n".join(text for name, text in there.items() if name in used)


def _names(code: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def _head(function: str) -> str:
    """The head of a function of the module `network`, with its docstring."""
    pattern = getattr(standalone_network, function)
    return f'def {function}{inspect.signature(pattern)}:\n    """{inspect.getdoc(pattern)}"""\n'


def _listing(function: str, entries: Iterable[str]) -> str:
    """A function that returns these entries, a line each."""
    lines = "".join(f"        {entry}\n" for entry in entries)
    return f"{_head(function)}    return [\n{lines}    ]"


def _commented(parts: Sequence[Part], shape: Shape) -> list[str]:
    """The entries of the layers, with a shape where it is another than before."""
    entries = []
    for part in parts:
        comment = f"  # {_shape(part.output_shape)}" if part.output_shape != shape else ""
        entries.append(f"{part.call},{comment}")
        shape = part.output_shape
    return entries


def _imports(body: str, layer_module: str, layers: Iterable[str]) -> str:
    names = _names(body)
    standard = [
        *(["import math"] if "math" in names else []),
        *(["from functools import partial"] if "partial" in names else []),
    ]
    ours = f"from {layer_module} import {', '.join(sorted(layers))}"
    if len(ours) > 100:
        lines = "".join(f"    {name},\n" for name in sorted(layers))
        ours = f"from {layer_module} import (\n{lines})"
    return "\n".join([*standard, "", "import numpy as np", "", ours])


def _settings(config: RunConfig, data: Dataset) -> str:
    names = ", ".join(map(json.dumps, data.class_names))
    if len(names) > 80:
        names = f"\n{textwrap.fill(names, 96, initial_indent='    ', subsequent_indent='    ')},\n"
    scale, mean, std = dataclasses.astuple(data.normalization)
    return "\n".join(
        (
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


def _loss(config: RunConfig) -> str:
    """The call of the loss that these settings minimize."""
    if ARCHITECTURES[config.arch].binary:
        function = _known("loss", config.loss, {"cross-entropy": "binary_cross_entropy"})
        return f"{function}(outputs, labels)"
    losses = {"cross-entropy": "softmax_cross_entropy", "squared-error": "half_squared_error"}
    function = _known("loss", config.loss, losses)
    smoothing = f", smoothing={config.label_smoothing}" if config.label_smoothing else ""
    return f"{function}(outputs, labels{smoothing})"


def _choices(config: RunConfig) -> tuple[str, str, str]:
    """The functions that update, give the learning rate, and tell the class."""
    optimizers = {"sgd": "sgd", "classical-momentum": "classical_momentum", "adam": "adam"}
    if config.optimizer == "adam" and config.weight_decay:
        raise InputError(
            f"--weight-decay {config.weight_decay:g} --optimizer adam: network.py has no words for "
            "it, only without weight decay"
        )
    return (
        _known("optimizer", config.optimizer, optimizers),
        _known("schedule", config.schedule, {"constant": "steady", "cosine": "cosine"}),
        "likelier" if ARCHITECTURES[config.arch].binary else "highest",
    )


def _known(setting: str, value: str, known: Mapping[str, str]) -> str:
    if value not in known:
        raise InputError(
            f"--{setting} {value}: network.py has no words for it, only for {', '.join(known)}"
        )
    return known[value]


def _chosen(body: str, choices: tuple[str, str, str]) -> str:
    """The code with its own way to do each thing in place of the names that stand for any."""
    optimizer, schedule, classes = choices
    for name, chosen in (("update", optimizer), ("learning_rate", schedule)):
        body = re.sub(rf"\b{name}\(", f"{chosen}(", body)
    return body.replace(f"def {classes}(", "def predicted(")


def _title(parts: Sequence[Part], input_shape: Shape) -> str:
    """Its sizes: 784-256-128-10, or 1x28x28-16x14x14-10."""
    ends = [sizes_text(part.output_shape) for part in parts if part.first_params != "{}"]
    return "-".join([sizes_text(input_shape), *ends])


def _shape(shape: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
