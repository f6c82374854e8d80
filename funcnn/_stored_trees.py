"""Trees of arrays as data that JSON can hold, and each leaf as the bytes of a `.npy` file."""

import collections
import functools
import io
import math
import re
import tokenize
from typing import IO, Any

import numpy as np

from funcnn import random, tree
from funcnn._arguments import as_array, shown
from funcnn.random import Key
from funcnn.types import Array, Shape, Tree

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class SnapshotError(ValueError):
    """A file that is not a whole snapshot, or does not fit what it is to be used for."""


def encode(node: Tree, path: str, members: dict[str, bytes]) -> Any:
    """The structure as JSON data; the leaves go to `members` as the bytes of `.npy` files."""
    if node is None:
        return None
    below = f"{path}/" if path else ""
    if type(node) is dict:
        _check_keys(node, path)
        pairs = [[key, encode(node[key], f"{below}{key}", members)] for key in sorted(node)]
        return {"dict": pairs}
    fields: list[str] | None = list(getattr(node, "_fields", ())) or None
    if isinstance(node, tuple) and (fields or hasattr(node, "_fields")):
        values = [
            encode(v, f"{below}{field}", members)
            for v, field in zip(node, fields or [], strict=True)
        ]
        return {"namedtuple": type(node).__name__, "fields": fields or [], "values": values}
    if type(node) in (list, tuple):
        kind = "list" if type(node) is list else "tuple"
        return {kind: [encode(v, f"{below}{i}", members) for i, v in enumerate(node)]}
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
        kind = "array"
        array = as_array(f"{path}: the leaf", leaf, numbers=False)
        array = np.asarray(array, order="C")
    if array.dtype.kind not in "biufc":
        what = f"an array of {array.dtype}" if array.ndim else type(leaf).__name__
        raise TypeError(f"{path}: a snapshot holds arrays of numbers, not {what}")
    if path in members:
        raise ValueError(f"two leaves of the tree have the path {path}")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    members[path] = buffer.getvalue()
    return {kind: path}


def decode(node: Any, arrays: dict[str, Array]) -> Tree:
    """The tree of `encode`; it takes each array out of `arrays`."""
    if node is None:
        return None
    if "dict" in node:
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


def read_array_header(file: IO[bytes]) -> tuple[Shape, bool, np.dtype[Any]]:
    """What a `.npy` file says of its array: the shape, Fortran's order or not, and the dtype.

    Raises `ValueError` for what is no such header.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"its .npy format {version} is not known here")
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        return read_header(file)
    except (SyntaxError, TypeError, tokenize.TokenError) as error:
        raise ValueError(f"its header is damaged ({error})") from None


def read_array(data: bytes) -> Array:
    """The array that a `.npy` file holds, in this machine's byte order.

    Nothing is allocated before it is known to be there. Raises `ValueError` for what is none.
    """
    file = io.BytesIO(data)
    shape, fortran_order, dtype = read_array_header(file)
    if dtype.kind not in "biufc":
        raise ValueError(f"it holds {dtype}, no numbers: a pickle is never read")
    held = data[file.tell() :]
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(held):
        raise ValueError(f"it claims {shown(shape)} {dtype}, but holds {len(held):,} bytes")
    array = np.frombuffer(held, dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="))  # a copy, which may be written to


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
