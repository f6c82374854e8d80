"""What is in a file of weights, a snapshot or another library's, in words and as data."""

import json
import math
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.experiments.errors import InputError, printable
from funcnn.experiments.export.tensor_files import SAFETENSORS, TORCH, read_tensors
from funcnn.experiments.extras import require
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.training.model import load_snapshot, not_finite, params_file
from funcnn.experiments.training.run_folder import RunFolder
from funcnn.introspection import Summary

_LONGEST = 60  # name of an array that the columns make room for


class Description(NamedTuple):
    """A snapshot file: its arrays, its header, and its layers if it says which model it is of."""

    file: str
    bytes_on_disk: int
    snapshot: fn.Snapshot
    summary: Summary | None

    @property
    def _arrays(self) -> list[dict[str, Any]]:
        return [
            {
                "path": path,
                "shape": list(np.shape(leaf)),
                "dtype": str(getattr(leaf, "dtype", type(leaf).__name__)),
            }
            for path, leaf in fn.tree.leaves_with_path(self.snapshot.params)
        ]

    def as_data(self) -> dict[str, Any]:
        """Everything, as data that JSON can hold."""
        snapshot = self.snapshot
        leaves = [np.asarray(leaf) for leaf in fn.tree.leaves(snapshot.params)]
        return {
            "file": self.file,
            "bytes_on_disk": self.bytes_on_disk,
            "parameters": sum(leaf.size for leaf in leaves),
            "parameter_bytes": sum(leaf.nbytes for leaf in leaves),
            "layers": None if self.summary is None else [r._asdict() for r in self.summary.rows],
            "arrays": self._arrays,
            "header": {
                "spec": None if snapshot.model is None else snapshot.model.spec,
                "input_shape": snapshot.input_shape,
                "normalization": snapshot.normalization,
                "class_names": snapshot.class_names,
                "notes": snapshot.notes,
            },
        }

    def __str__(self) -> str:
        data = self.as_data()
        lines = [f"{printable(self.file)}: {self.bytes_on_disk:,} bytes"]
        if self.summary is not None:
            lines += ["", f"input {self.snapshot.input_shape}", str(self.summary)]
        lines += ["", "arrays", *_table(self._arrays)]
        lines.append(f"  {data['parameters']:,} numbers, {data['parameter_bytes']:,} bytes")
        if wrong := not_finite(self.snapshot.params):
            lines.append(f"not finite: {', '.join(map(printable, wrong))}")
        for name in ("normalization", "class_names"):
            value = data["header"][name]
            if value is not None or self.snapshot.model is not None:  # of a state there are none
                lines.append(_said(name, value))
        return "\n".join(lines)


class ForeignDescription(NamedTuple):
    """A file of another library's: its arrays by torch's names, and for ONNX its graph."""

    file: str
    bytes_on_disk: int
    arrays: list[dict[str, Any]]
    """Path, shape and dtype of each."""
    metadata: dict[str, str]
    graph: dict[str, Any]
    """Empty, or `opset`, `operators`, `inputs` and `outputs`."""

    def as_data(self) -> dict[str, Any]:
        """Everything, as data that JSON can hold; parameters are the floats, not the counters."""
        parameters = sum(_size(row) for row in self.arrays if "float" in row["dtype"])
        return {
            "file": self.file,
            "bytes_on_disk": self.bytes_on_disk,
            "parameters": parameters,
            "arrays": self.arrays,
            "metadata": self.metadata,
            **self.graph,
        }

    def __str__(self) -> str:
        data = self.as_data()
        lines = [f"{printable(self.file)}: {self.bytes_on_disk:,} bytes"]
        if self.graph:
            operators = ", ".join(f"{name} {count}" for name, count in data["operators"].items())
            lines += ["", printable(f"opset {data['opset']}: {operators}")]
            for side in ("inputs", "outputs"):
                lines += [side, *_table(data[side])]
        lines += ["", "arrays", *_table(self.arrays), f"  {data['parameters']:,} parameters"]
        lines += [_said(name, _value(text)) for name, text in self.metadata.items()]
        return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each array."""
    names = [printable(row["path"]) for row in rows]
    shapes = [str(tuple(row["shape"])).replace("'", "") for row in rows]  # one of any size: a name
    width = max([24, *(len(name) for name in names if len(name) <= _LONGEST)])
    return [
        f"  {name:{width}} {row['dtype']:8} {printable(shape)}"
        for name, row, shape in zip(names, rows, shapes, strict=True)
    ]


def _value(text: str) -> Any:
    """What a metadata text says, if it is JSON as `funcnn export` writes it, or the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, (dict, list)) else text


def _said(name: str, value: Any) -> str:
    """A line of what a file says beside its arrays."""
    if isinstance(value, dict) and all(isinstance(each, int | float) for each in value.values()):
        numbers = {key: f"{n:g}" if isinstance(n, float) else n for key, n in value.items()}
        value = ", ".join(f"{key} {number}" for key, number in numbers.items())
    elif isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    return f"{printable(name.replace('_', ' '))}: {printable(value or 'none')}"


def _size(row: dict[str, Any]) -> int:
    return math.prod(row["shape"])


def describe_file(file: Path, own: OwnModel | None = None) -> Description | ForeignDescription:
    """What is in a file, by its name: `.pt`, `.pth`, `.safetensors`, `.onnx`, else a snapshot.

    The folder of a run stands for the model that it kept.
    own: the network, of a snapshot with layers of the user's own.
    Raises `InputError` for another folder, a damaged file or a package that is not installed,
    `SnapshotError` for what is no snapshot, `OSError` if it cannot be read.
    """
    if file.is_dir():
        folder = RunFolder.open(file, own)
        file, own = params_file(folder), folder.own
    suffix = file.suffix.lower()
    if suffix == ".onnx":
        require("onnx")
        from funcnn.experiments.export.onnx_files import read_onnx

        graph = read_onnx(file)._asdict()
        arrays, metadata = graph.pop("initializers"), graph.pop("metadata")
        return ForeignDescription(str(file), file.stat().st_size, arrays, metadata, graph)
    if suffix in (*TORCH, *SAFETENSORS):
        stored = read_tensors(file)
        arrays = [
            {"path": name, "shape": list(array.shape), "dtype": stored.dtypes[name]}
            for name, array in stored.arrays.items()
        ]
        return ForeignDescription(str(file), file.stat().st_size, arrays, stored.metadata, {})
    try:
        return describe_snapshot(file, own)
    except fn.SnapshotError:
        if suffix == ".npz" or zipfile.is_zipfile(file):
            raise
        raise InputError(
            f"{file} is no file of weights: give a snapshot, such as a run's params.npz, or a .pt, "
            ".pth, .safetensors or .onnx file"
        ) from None


def describe_snapshot(file: Path, own: OwnModel | None = None) -> Description:
    """Read a snapshot whole. Raises `SnapshotError` if it is none, `OSError` if it is not there."""
    snapshot = load_snapshot(file, own)
    summary = None
    if snapshot.model is not None and snapshot.input_shape is not None:
        summary = fn.summary(snapshot.model, snapshot.input_shape)
    return Description(str(file), file.stat().st_size, snapshot, summary)
