"""The tree of a snapshot: its structure as data that JSON can hold, its leaves as `.npy` files."""

import collections
import functools
import re
from typing import Any

import numpy as np

from funcnn import random, tree
from funcnn._arguments import as_array, shown
from funcnn._npy import array_bytes
from funcnn.random import Key
from funcnn.types import Array, Tree

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class SnapshotError(ValueError):
    """A file that is not a whole snapshot, or does not fit what it is to be used for.

    >>> import pathlib
    >>> _ = pathlib.Path("params.npz").write_text("no archive")
    >>> try:
    ...     fn.load("params.npz")
    ... except fn.SnapshotError as error:
    ...     print(error)
    params.npz: not a snapshot, or a damaged one (File is not a zip file)
    """


def encode(node: Tree, path: str, members: dict[str, bytes]) -> Any:
    """The structure as JSON data; the leaves go to `members` as the bytes of `.npy` files."""
    if node is None:
        return None
    below = f"{path}/" if path else ""
    if type(node) is dict:
        _check_keys(node, path)
        pairs = [[key, encode(node[key], f"{below}{key}", members)] for key in sorted(node)]
        return {"dict": pairs}
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        fields = list(node._fields)
        named = zip(fields, node, strict=True)
        values = [encode(child, f"{below}{name}", members) for name, child in named]
        return {"namedtuple": type(node).__name__, "fields": fields, "values": values}
    if type(node) in (list, tuple):
        children = [encode(child, f"{below}{i}", members) for i, child in enumerate(node)]
        return {type(node).__name__: children}
    return _encode_leaf(node, path or "value", members)


def _check_keys(node: dict[Any, Any], path: str) -> None:
    if not _are_keys([*node]):
        raise TypeError(
            f"{path or 'the root'}: a snapshot needs sortable keys that are all strings (without "
            f"NUL or surrogates) or all numbers, not the key list {list(node)}"
        )


def _are_keys(keys: list[Any]) -> bool:
    """Whether they are sortable, and may stand in the names of a zip file's members."""
    strings = all(isinstance(key, str) and not _UNSTORABLE.search(key) for key in keys)
    return strings or all(type(key) in (bool, int, float) for key in keys)


def _encode_leaf(leaf: Any, path: str, members: dict[str, bytes]) -> Any:
    if isinstance(leaf, Key):
        kind, array = "key", random.key_data(leaf)
    elif isinstance(leaf, (bool, int, float)) and not isinstance(leaf, np.generic):
        kind, array = "number", np.asarray(leaf)
    else:
        kind = "array"
        array = as_array(f"{path}: the leaf", leaf, numbers=False)
        array = np.asarray(array, order="C")
    if array.dtype.kind not in "biufc":
        got = f"an array of {array.dtype}" if array.ndim else type(leaf).__name__
        raise TypeError(f"{path}: a snapshot holds arrays of numbers, not {got}")
    if path in members:
        raise ValueError(f"two leaves of the tree have the path {path}")
    members[path] = array_bytes(array)
    return {kind: path}


def decode(node: Any, arrays: dict[str, Array]) -> Tree:
    """The tree of `encode`; it takes each array out of `arrays`."""
    if node is None:
        return None
    if "dict" in node:
        keys = [key for key, _ in node["dict"]]
        if len({*keys}) < len(keys) or not _are_keys(keys):
            raise SnapshotError(f"no dict of a snapshot has the key list {shown(keys)}")
        return {key: decode(value, arrays) for key, value in node["dict"]}
    if "namedtuple" in node:
        values = [decode(value, arrays) for value in node["values"]]
        return _namedtuple(node["namedtuple"], tuple(node["fields"]))(*values)
    if "list" in node:
        return [decode(value, arrays) for value in node["list"]]
    if "tuple" in node:
        return tuple(decode(value, arrays) for value in node["tuple"])
    ((kind, path),) = node.items()
    if path not in arrays:
        raise SnapshotError(f"array {path} is missing")
    array = arrays.pop(path)
    if kind == "key":
        return random.wrap_key_data(array)
    return array.item() if kind == "number" else array


@functools.cache
def _namedtuple(name: str, fields: tuple[str, ...]) -> Any:
    def reduce(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return _of_namedtuple, (name, fields, tuple(values))

    kind = collections.namedtuple(name, fields)  # type: ignore[misc]
    return type(name, (kind,), {"__slots__": (), "__reduce__": reduce})


def _of_namedtuple(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return _namedtuple(name, fields)(*values)


def as_loaded(node: Tree) -> Tree:
    """The tree as `decode` would bring it back: NamedTuples by name and fields."""
    if type(node) is dict:
        return {key: as_loaded(value) for key, value in node.items()}
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return _namedtuple(type(node).__name__, node._fields)(*[as_loaded(v) for v in node])
    return type(node)(as_loaded(v) for v in node) if type(node) in (list, tuple) else node


def match(params: Tree, like: Tree) -> Tree:
    """params with the structure of `like`. Raises `SnapshotError` at the first difference."""
    leaves, expected = dict(tree.leaves_with_path(params)), dict(tree.leaves_with_path(like))
    for path in expected:
        if path not in leaves:
            raise SnapshotError(f"array {path} is missing")
    for path in leaves:
        if path not in expected:
            raise SnapshotError(f"there is an extra array {path}")
    for path, leaf in expected.items():
        shape, expected_shape = np.shape(leaves[path]), np.shape(leaf)
        if shape != expected_shape:
            raise SnapshotError(f"array {path} has shape {shape} instead of {expected_shape}")
        dtype, expected_dtype = (
            np.asarray(value).dtype.newbyteorder("=") for value in (leaves[path], leaf)
        )
        if dtype != expected_dtype:
            raise SnapshotError(f"array {path} is {dtype}, not {expected_dtype}")
    tree.map(lambda *_: None, as_loaded(like), params)  # raises if only the nodes differ
    return tree.unflatten(tree.structure(like), [leaves[path] for path in expected])
