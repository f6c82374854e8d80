"""Snapshots: a tree of arrays, and what is needed to use it again, in one `.npz` file.

The arrays stand under their tree paths (`0/weight`), so `numpy.load` reads them too. Beside them
is `header.json`: the format's version, the tree's structure, the model's spec, a SHA-256 of each
array. There is no time in it, so equal params give equal files; there is no pickle in it, and
none is ever read.
"""

import collections
import functools
import hashlib
import io
import json
import os
import re
import struct
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from funcnn import random, tree
from funcnn.files import write_whole
from funcnn.random import Key
from funcnn.spec import describe, from_spec
from funcnn.types import Array, Layer, Shape, Tree

FORMAT = 1
_HEADER = "header.json"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class SnapshotError(ValueError):
    """A file that is not a whole snapshot, or does not fit what it is to be used for."""


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
    structure = _encode(params, "", members)
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
    with open(name, "rb") as file:
        content = io.BytesIO(file.read())  # in memory, where damage cannot cause an OSError
    with zipfile.ZipFile(content) as archive:
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
                arrays[path] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
            except (ValueError, MemoryError) as error:  # a pickled object, for instance
                raise SnapshotError(f"array {path}: {error}") from None
        extra = sorted(present - {_HEADER} - {f"{path}.npy" for path in digests})
        if extra:
            raise SnapshotError(f"there is an extra member {extra[0]}")
    params = _decode(header["structure"], arrays)
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


# --- trees as data ---------------------------------------------------------------------------


def _encode(node: Tree, path: str, members: dict[str, bytes]) -> Any:
    """The structure as JSON data; the leaves go to `members` as the bytes of `.npy` files."""
    if node is None:
        return None
    below = f"{path}/" if path else ""
    if type(node) is dict:
        _check_keys(node, path)
        pairs = [[key, _encode(node[key], f"{below}{key}", members)] for key in sorted(node)]
        return {"dict": pairs}
    fields: list[str] | None = list(getattr(node, "_fields", ())) or None
    if isinstance(node, tuple) and (fields or hasattr(node, "_fields")):
        values = [
            _encode(v, f"{below}{field}", members)
            for v, field in zip(node, fields or [], strict=True)
        ]
        return {"namedtuple": type(node).__name__, "fields": fields or [], "values": values}
    if type(node) in (list, tuple):
        kind = "list" if type(node) is list else "tuple"
        return {kind: [_encode(v, f"{below}{i}", members) for i, v in enumerate(node)]}
    return _encode_leaf(node, path or "value", members)


def _check_keys(node: dict[Any, Any], path: str) -> None:
    strings = all(isinstance(key, str) and not _UNSTORABLE.search(key) for key in node)
    if not strings and not all(type(key) in (bool, int, float) for key in node):
        raise TypeError(
            f"{path or 'the root'}: a snapshot needs sortable keys that are all strings (without "
            f"NUL or surrogates) or all numbers, not the key list {list(node)}"
        )


def _encode_leaf(leaf: Any, path: str, members: dict[str, bytes]) -> Any:
    if isinstance(leaf, Key):
        kind, array = "key", random.key_data(leaf)
    elif isinstance(leaf, (bool, int, float)) and not isinstance(leaf, np.generic):
        kind, array = "number", np.asarray(leaf)
    else:
        kind, array = "array", np.asarray(leaf, order="C")
    if array.dtype.kind not in "biufc":
        what = f"an array of {array.dtype}" if array.ndim else type(leaf).__name__
        raise TypeError(f"{path}: a snapshot holds arrays of numbers, not {what}")
    if path in members:
        raise ValueError(f"two leaves of the tree have the path {path}")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    members[path] = buffer.getvalue()
    return {kind: path}


def _decode(node: Any, arrays: dict[str, Array]) -> Tree:
    """The tree of `_encode`; it takes each array out of `arrays`."""
    if node is None:
        return None
    if "dict" in node:
        return {key: _decode(value, arrays) for key, value in node["dict"]}
    if "namedtuple" in node:
        values = [_decode(value, arrays) for value in node["values"]]
        return _namedtuple(node["namedtuple"], tuple(node["fields"]))(*values)
    if "list" in node:
        return [_decode(value, arrays) for value in node["list"]]
    if "tuple" in node:
        return tuple(_decode(value, arrays) for value in node["tuple"])
    ((kind, path),) = node.items()
    if path not in arrays:
        raise SnapshotError(f"array {path} is missing")
    array = arrays.pop(path)
    if kind == "key":
        return random.wrap_key_data(array)
    return array.item() if kind == "number" else array


@functools.cache
def _namedtuple(name: str, fields: tuple[str, ...]) -> Any:
    return collections.namedtuple(name, fields)


def _as_loaded(node: Tree) -> Tree:
    """The tree as `_decode` would bring it back: NamedTuples by name and fields."""
    if type(node) is dict:
        return {key: _as_loaded(value) for key, value in node.items()}
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return _namedtuple(type(node).__name__, node._fields)(*[_as_loaded(v) for v in node])
    return type(node)(_as_loaded(v) for v in node) if type(node) in (list, tuple) else node


def _fit(params: Tree, model: Layer, input_shape: Shape) -> Tree:
    """params with the structure of the model's. Raises `SnapshotError` if they do not fit it."""
    dtype = next((np.asarray(leaf).dtype for leaf in tree.leaves(params)), np.float32)
    _, expected = model.init(random.key(0), input_shape, dtype=dtype)
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
        if np.asarray(found[path]).dtype != np.asarray(leaf).dtype:
            raise SnapshotError(
                f"array {path} is {np.asarray(found[path]).dtype}, not {np.asarray(leaf).dtype}"
            )
    tree.map(lambda *_: None, _as_loaded(like), params)  # raises if only the nodes differ
    return tree.unflatten(tree.structure(like), [found[path] for path in expected])
