"""Snapshots: a tree of arrays, and what is needed to use it again, in one `.npz` file.

The arrays stand under their tree paths (`0/weight`), so `numpy.load` reads them too. Beside them
is `header.json`: the format's version, the tree's structure, the model's spec, a SHA-256 of each
array. There is no time in it, so equal params give equal files; there is no pickle in it, and
none is ever read.
"""

import hashlib
import io
import json
import os
import struct
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from funcnn import random, tree
from funcnn.files import read_bytes, write_whole
from funcnn.spec import describe, from_spec
from funcnn.stored_trees import SnapshotError, as_loaded, decode, encode, read_array
from funcnn.types import Layer, Shape, Tree

FORMAT = 1
_HEADER = "header.json"


class Snapshot(NamedTuple):
    """What `load` returns: the params, and what `save` was told about them (or None)."""

    params: Tree
    model: Layer | None
    input_shape: Shape | None
    normalization: dict[str, float] | None
    class_names: list[str] | None
    notes: Any


def save(
    path: str | os.PathLike[str],
    params: Tree,
    *,
    model: Layer | None = None,
    input_shape: Shape | None = None,
    normalization: dict[str, float] | None = None,
    class_names: list[str] | None = None,
    notes: Any = None,
) -> None:
    """Write a tree of arrays, numbers and keys to `path`, whole or not at all.

    model: its spec is kept, so that `load` can build it again (a user's own layer without a spec
    cannot be, and is left out). input_shape: of one sample. notes: anything that JSON can hold.
    Raises `TypeError` for a leaf that is none of those, `ValueError` for two equal paths, and
    `SnapshotError` for params that do not fit a model that is kept with its input shape.
    """
    if model is not None and input_shape is not None and describe(model) is not None:
        _fit(params, model, input_shape)
    members: dict[str, bytes] = {}
    structure = encode(params, "", members)
    header = {
        "format": FORMAT,
        "structure": structure,
        "spec": None if model is None else describe(model),
        "input_shape": None if input_shape is None else list(input_shape),
        "normalization": normalization,
        "class_names": class_names,
        "notes": notes,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }
    text = json.dumps(header, indent=1, allow_nan=False, ensure_ascii=False, default=_as_json)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # a ZipInfo by itself has a constant time
        archive.writestr(zipfile.ZipInfo(_HEADER), text)
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data)
    write_whole(path, buffer.getvalue())


def _as_json(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"the header cannot hold {value!r}: it is not JSON serializable")


def load(path: str | os.PathLike[str], *, like: Tree = None) -> Snapshot:
    """Read a snapshot, and check it whole: every array, its digest, its fit to the model.

    like: a tree that the params must match in structure, shapes and dtypes; they come back with
    its NamedTuples. Raises `SnapshotError`, naming the file and what is wrong; `OSError` if it
    cannot be read at all.
    """
    name = os.fspath(path)
    try:
        snapshot = _read(name)
    except OSError:
        raise
    except SnapshotError as error:
        raise SnapshotError(f"{name}: {error}") from None
    except _DAMAGE as error:
        raise SnapshotError(f"{name}: not a snapshot, or a damaged one ({error})") from None
    try:
        if like is not None:
            return snapshot._replace(params=_match(snapshot.params, like))
        if snapshot.model is not None and snapshot.input_shape is not None:
            params = _fit(snapshot.params, snapshot.model, snapshot.input_shape)
            snapshot = snapshot._replace(params=params)
    except _DAMAGE as error:
        raise SnapshotError(f"{name}: {error}") from None
    return snapshot


# What reading a damaged zip, header or array can raise.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    json.JSONDecodeError,
    EOFError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
)


def _read(name: str) -> Snapshot:
    content = read_bytes(name)  # in memory, where damage cannot cause an OSError
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _check_members(archive.infolist(), len(content))
        present = set(archive.namelist())
        if _HEADER not in present:
            raise SnapshotError(f"not a snapshot: it has no {_HEADER}")
        header = json.loads(archive.read(_HEADER))
        if header["format"] != FORMAT:
            raise SnapshotError(
                f"format {header['format']!r} is not the format {FORMAT} known here"
            )
        digests: dict[str, str] = header["sha256"]
        arrays = {}
        for path, digest in digests.items():
            if f"{path}.npy" not in present:
                raise SnapshotError(f"array {path} is missing")
            data = archive.read(f"{path}.npy")
            if hashlib.sha256(data).hexdigest() != digest:
                raise SnapshotError(f"array {path} is not the one that was saved (SHA-256 differs)")
            try:
                arrays[path] = read_array(data)
            except ValueError as error:
                raise SnapshotError(f"array {path}: {error}") from None
        extra = sorted(present - {_HEADER} - {f"{path}.npy" for path in digests})
        if extra:
            raise SnapshotError(f"there is an extra member {extra[0]}")
    params = decode(header["structure"], arrays)
    if arrays:
        raise SnapshotError(f"there is an extra array {sorted(arrays)[0]}")
    _check_header(header)
    return Snapshot(
        params,
        None if header["spec"] is None else from_spec(header["spec"]),
        _read_shape(header["input_shape"]),
        header["normalization"],
        header["class_names"],
        header["notes"],
    )


def _check_members(members: list[zipfile.ZipInfo], length: int) -> None:
    """Raise `SnapshotError` for what `save` does not write, or cannot be in so long a file."""
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise SnapshotError(f"{member.filename} is compressed, which no snapshot's member is")
    claimed = sum(member.file_size for member in members)
    if claimed > length:
        raise SnapshotError(f"its members claim {claimed:,} bytes of a file of {length:,}")


def _check_header(header: dict[str, Any]) -> None:
    """Raise `SnapshotError` for an entry that `save` cannot have written."""
    kinds = {"normalization": (dict, str), "class_names": (list, str)}
    for name, (container, kind) in kinds.items():
        value = header[name]
        if value is None:
            continue
        if not isinstance(value, container) or not all(isinstance(item, kind) for item in value):
            raise SnapshotError(f"its header has a damaged {name}: {value!r}")
    for key, number in (header["normalization"] or {}).items():
        if not isinstance(number, (int, float)):
            raise SnapshotError(f"its header has a damaged normalization: {key} is {number!r}")


def _read_shape(value: Any) -> Shape | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(size, (int, list)) for size in value):
        raise SnapshotError(f"its header has a damaged input_shape: {value!r}")
    return tuple(_read_shape(size) if isinstance(size, list) else size for size in value)


def _fit(params: Tree, model: Layer, input_shape: Shape) -> Tree:
    """params with the structure of the model's. Raises `SnapshotError` if they do not fit it."""
    dtype: Any = np.dtype(np.float32)
    for path, leaf in tree.leaves_with_path(params):
        dtype = np.asarray(leaf).dtype
        if dtype.kind != "f":
            raise SnapshotError(f"array {path} is {dtype}, not floats")
    _, expected = model.init(random.SHAPES_ONLY, input_shape, dtype=dtype)
    return _match(params, expected)


def _match(params: Tree, like: Tree) -> Tree:
    """params with the structure of `like`. Raises `SnapshotError` at the first difference."""
    found, expected = dict(tree.leaves_with_path(params)), dict(tree.leaves_with_path(like))
    for path in expected:
        if path not in found:
            raise SnapshotError(f"array {path} is missing")
    for path in found:
        if path not in expected:
            raise SnapshotError(f"there is an extra array {path}")
    for path, leaf in expected.items():
        if np.shape(found[path]) != np.shape(leaf):
            raise SnapshotError(
                f"array {path} has shape {np.shape(found[path])} instead of {np.shape(leaf)}"
            )
        dtypes = [np.asarray(value).dtype.newbyteorder("=") for value in (found[path], leaf)]
        if dtypes[0] != dtypes[1]:
            raise SnapshotError(f"array {path} is {dtypes[0]}, not {dtypes[1]}")
    tree.map(lambda *_: None, as_loaded(like), params)  # raises if only the nodes differ
    return tree.unflatten(tree.structure(like), [found[path] for path in expected])
