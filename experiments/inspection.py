"""What is in a snapshot, in words and as data."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import funcnn as fn
from funcnn.introspection import Summary


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
        lines = [f"{self.file}: {self.bytes_on_disk:,} bytes"]
        if self.summary is not None:
            lines += ["", f"input {self.snapshot.input_shape}", str(self.summary)]
        lines += ["", "arrays"]
        lines += [f"  {a['path']:24} {a['dtype']:8} {tuple(a['shape'])}" for a in self._arrays]
        lines.append(f"  {data['parameters']:,} numbers, {data['parameter_bytes']:,} bytes")
        for name in ("normalization", "class_names"):
            value = data["header"][name]
            if isinstance(value, dict):
                value = ", ".join(f"{key} {number:g}" for key, number in value.items())
            elif value is not None:
                value = ", ".join(value)
            lines.append(f"{name.replace('_', ' ')}: {value or 'none'}")
        return "\n".join(lines)


def describe_snapshot(file: Path) -> Description:
    """Read a snapshot whole. Raises `SnapshotError` if it is none, `OSError` if it is not there."""
    snapshot = fn.load(file)
    summary = None
    if snapshot.model is not None and snapshot.input_shape is not None:
        summary = fn.summary(snapshot.model, snapshot.input_shape)
    return Description(str(file), file.stat().st_size, snapshot, summary)
