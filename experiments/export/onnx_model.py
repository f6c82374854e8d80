"""A model as an ONNX graph, for inference: built from its spec.

The params are initializers under torch's names. The batch axis is of any size. What the graph takes
are normalised inputs: the normalisation is in the metadata, not in the graph.
"""

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import funcnn as fn
from funcnn.experiments.errors import InputError, kind_of
from funcnn.experiments.export.onnx_operators import OPERATORS, Graph, Operator
from funcnn.experiments.pytorch.state_dicts import to_state_dict
from funcnn.experiments.tasks.executed import place_of
from funcnn.experiments.tasks.own_models import in_words
from funcnn.spec import describe, is_own
from funcnn.types import Layer, Shape, Tree, layer_name, traits

OPSET = 18
_IR_VERSION = 8
"""Of the same release of ONNX as the opset, so that runtimes since then can read it."""
_MOST_BYTES = 2**31 - 2**20
"""Of the params, for the format has at most 2 GiB."""


def onnx_model(
    model: Layer,
    params: Tree,
    input_shape: Shape,
    metadata: Mapping[str, str],
    own_operators: Mapping[str, Operator] = MappingProxyType({}),
) -> onnx.ModelProto:
    """The model in evaluation, as ONNX: from `input` `(N, *input_shape)` to `output`, N any size.

    Of a tuple of arrays they are `input.0`, `input.1` and so on. metadata: strings by their names.
    own_operators: those of layers of the user's own, by their names.
    Raises `InputError` for a layer that ONNX has no operator for, naming it and its place, and for
    params that are too large for the format.
    """
    leaves = fn.tree.leaves(params)
    if sum(leaf.nbytes for leaf in leaves) > _MOST_BYTES:
        raise InputError("the params are larger than the 2 GiB that an ONNX file can hold")
    dtype = leaves[0].dtype if leaves else np.dtype(np.float32)
    graph = Graph(dtype)
    inputs = _numbered("input", input_shape)
    values, output_shape = _add(
        graph, model, "", inputs, input_shape, OPERATORS | dict(own_operators)
    )
    outputs = _numbered("output", output_shape)
    for value, name in zip(fn.tree.leaves(values), fn.tree.leaves(outputs), strict=True):
        graph.nodes.append(helper.make_node("Identity", [value], [name]))
    arrays = to_state_dict(model, params)
    if strange := sorted(set(graph.params) - set(arrays)):
        raise InputError(f"onnx_operators: the model has no {strange[0]}")
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "funcnn",
            _described(inputs, input_shape, dtype),
            _described(outputs, output_shape, dtype),
            [numpy_helper.from_array(arrays[name], name) for name in graph.params],
        ),
        producer_name="funcnn",
        producer_version=fn.__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    helper.set_model_props(made, dict(metadata))
    if own_operators:
        try:
            onnx.checker.check_model(made, full_check=True)
        except Exception as error:
            raise InputError(f"with onnx_operators it is no ONNX: {in_words(error)}") from None
    return made


def _add(
    graph: Graph,
    layer: Layer,
    path: str,
    x: Any,
    shape: Shape,
    operators: Mapping[str, Operator],
) -> tuple[Any, Shape]:
    """Add the layer; the value of its output, and the shape of a sample of it."""
    kind, inner = traits(layer).name, traits(layer).layers
    join = f"{path}/{{}}".format if path else "{}".format
    add = functools.partial(_add, graph, operators=operators)
    if kind == "serial":
        for index, part in enumerate(inner):
            x, shape = add(part, join(index), x, shape)
        return x, shape
    if kind == "parallel":
        branches = [
            add(part, join(index), x[index], shape[index]) for index, part in enumerate(inner)
        ]
        return tuple(y for y, _ in branches), tuple(output for _, output in branches)
    if kind == "residual":
        y, output = add(inner[0], join(0), x, shape)
        straight = add(inner[1], join(1), x, shape)[0] if len(inner) > 1 else x
        graph.path = path
        return fn.tree.map(lambda a, b: graph.add("Add", a, b), y, straight), output
    spec, name = describe(layer), layer_name(layer)
    where = f"layer {path} ({name})" if path else f"the model ({name})"
    if spec is None or name not in operators:
        more = f": give its file onnx_operators[{name!r}]" if is_own(layer) else ""
        raise InputError(f"{where}: ONNX has no operator for it{more}")
    graph.path = path
    try:
        y = operators[name](graph, spec, x, shape)
        if not all(isinstance(value, str) for value in fn.tree.leaves(y)):
            raise ValueError(f"it gives {kind_of(y)}, not the name of a value")
    except Exception as error:
        if not is_own(layer):
            raise
        place = place_of(error) or where
        raise InputError(f"{place}: onnx_operators[{name!r}]: {in_words(error)}") from error
    return y, layer.init(fn.random.SHAPES_ONLY, shape)[0]


def _numbered(name: str, shape: Shape) -> Any:
    """The name of a value of this shape; for a tuple of shapes, the names of its parts."""
    if any(isinstance(entry, tuple) for entry in shape):
        return tuple(_numbered(f"{name}.{index}", part) for index, part in enumerate(shape))
    return name


def _described(names: Any, shapes: Shape, dtype: Any) -> list[Any]:
    if isinstance(names, tuple):
        pairs = zip(names, shapes, strict=True)
        return [info for name, shape in pairs for info in _described(name, shape, dtype)]
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    return [helper.make_tensor_value_info(names, kind, ["N", *shapes])]
