"""What is in an ONNX file, for whoever looks inside."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from google.protobuf.message import DecodeError
from onnx import helper

from funcnn._files import read_bytes
from funcnn.experiments.errors import InputError


class OnnxContent(NamedTuple):
    """A graph: its operators, what goes in and out, its params and what it says about itself."""

    opset: int
    operators: dict[str, int]
    """How many there are of each."""
    inputs: list[dict[str, Any]]
    """Name, shape (a size that may be any has a name, or is None) and dtype of each."""
    outputs: list[dict[str, Any]]
    initializers: list[dict[str, Any]]
    metadata: dict[str, str]


def read_onnx(path: Path) -> OnnxContent:
    """Read an ONNX file, and check it. Raises `InputError` if it is none, `OSError`."""
    data = read_bytes(path)
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
        content = _content(model)
        json.dumps(content)  # names that are no text are bytes
        return content
    except (DecodeError, onnx.checker.ValidationError) as error:
        reason = f" ({str(error).strip().partition(chr(10))[0]})"
    except Exception:  # a name that is no text, a dtype that there is not
        reason = ""
    raise InputError(f"{path} is not an ONNX file, or damaged{reason}")


def _content(model: Any) -> OnnxContent:
    graph = model.graph
    return OnnxContent(
        next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0),
        dict(Counter(node.op_type for node in graph.node).most_common()),
        [_value(value) for value in graph.input],
        [_value(value) for value in graph.output],
        [_row(t.name, list(t.dims), t.data_type) for t in graph.initializer],
        {entry.key: entry.value for entry in model.metadata_props},
    )


def _value(value: Any) -> dict[str, Any]:
    kind = value.type.tensor_type
    sizes = [size.dim_param or size.dim_value or None for size in kind.shape.dim]
    return _row(value.name, sizes, kind.elem_type)


def _row(name: str, shape: list[Any], kind: int) -> dict[str, Any]:
    return {"path": name, "shape": shape, "dtype": str(helper.tensor_dtype_to_np_dtype(kind))}
