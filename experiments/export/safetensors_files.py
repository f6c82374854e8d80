"""Files in the format safetensors: arrays by their names, and strings about them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from funcnn._files import read_bytes, write_whole
from funcnn.experiments.errors import InputError
from funcnn.experiments.pytorch.state_dicts import StoredTensors
from funcnn.types import Array

_DTYPES = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "BOOL": "bool",
}


def write_safetensors(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays by their names, and strings about them, whole or not at all. Raises `OSError`.

    Equal arrays and strings give equal files.
    """
    content = safetensors.numpy.save(dict(arrays), dict(metadata))
    header, data = _split(content)
    if metadata:  # the package writes them in any order
        header["__metadata__"] = dict(metadata)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data stay aligned
    write_whole(path, len(text).to_bytes(8, "little") + text + data)


def read_safetensors(path: Path) -> StoredTensors:
    """The arrays by their names, and the strings about them; bfloat16 becomes float32.

    Raises `InputError` if it is not such a file, is damaged, or has tensors that NumPy has not;
    `OSError` if it cannot be read.
    """
    content = read_bytes(path)
    try:
        tensors = dict(safetensors.deserialize(content))
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file, or damaged: {error}") from None
    header, _ = _split(content)
    metadata = header.pop("__metadata__", None) or {}
    arrays, dtypes = {}, {}
    for name in header:  # in the order of the file
        if not name.isprintable():
            raise InputError(f"{path}: {name!r} is not the name of a tensor")
        arrays[name] = _as_array(tensors[name], f"{path}: {name}")
        dtypes[name] = _DTYPES.get(tensors[name]["dtype"], "bfloat16")
    return StoredTensors(arrays, dtypes, metadata)


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the data after it: 8 bytes are the length of the JSON that follows."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def _as_array(stored: dict[str, Any], name: str) -> Array:
    kind, shape, data = stored["dtype"], tuple(stored["shape"]), stored["data"]
    if kind == "BF16":  # the upper half of a float32
        halves = np.frombuffer(data, "<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(shape)
    if kind not in _DTYPES:
        raise InputError(f"{name} is {kind}, which NumPy has not")
    return np.frombuffer(data, np.dtype(_DTYPES[kind]).newbyteorder("<")).reshape(shape)
