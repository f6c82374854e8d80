"""Snapshots: a tree of arrays, and what is needed to use it again, in one `.npz` file.

The arrays stand under their tree paths (`0/weight`), so `numpy.load` reads them too. Beside them
is `header.json`: the format's version, the tree's structure, the model's spec, a SHA-256 of each
array. There is no time in it, so equal params give equal files; there is no pickle in it, and
none is ever read.
"""

import functools
import hashlib
import io
import json
import math
import os
import struct
import zipfile
import zlib
from collections import Counter
from typing import Any, NamedTuple, TypeVar

import numpy as np

from funcnn import inference, random, tree
from funcnn.arguments import check_number, shown
from funcnn.files import open_regular, write_whole
from funcnn.inference import OUTPUTS, Outputs
from funcnn.metrics import predicted_classes
from funcnn.spec import describe, from_spec
from funcnn.stored_trees import SnapshotError, as_loaded, decode, encode, read_array
from funcnn.training import predict
from funcnn.types import Array, Layer, Shape, Tree

T = TypeVar("T")

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
    outputs: Outputs | None = None

    def predict(self, inputs: Any) -> Array:
        """The probabilities `(N, K)` of the classes, or `(N, 1)` of class 1.

        inputs: as stored, images `(N, H, W)` or `(N, 1, H, W)` of bytes for instance; they are
        normalised as the snapshot says. If it does not, floats as the model takes them.
        Raises `ValueError` for inputs of another shape, or normalised already, and for a network
        whose outputs are no probabilities, or NaN.
        """
        outputs, model = inference.known(self.scores(inputs)), self._expect(self.model)
        return inference.probabilities(outputs, model, self.outputs)

    def classes(self, inputs: Any) -> Array:
        """The names `(N,)` of the predicted classes, or without `class_names` their numbers.

        inputs: as for `predict`. Raises `ValueError` as it does, but not for scores.
        """
        scores = inference.known(self.scores(inputs))
        if scores.ndim == 2 and scores.shape[1] == 1:
            scores = inference.probabilities(scores, self._expect(self.model), self.outputs)
        found = predicted_classes(scores)
        if self.class_names is None:
            return found
        count = max(2, scores.shape[1])
        if len(self.class_names) != count:
            raise ValueError(f"it has {len(self.class_names)} class names of {count} classes")
        return np.array(self.class_names)[found]

    def scores(self, inputs: Any) -> Array:
        """What the network itself gives, `(N, ...)`: logits, for instance. inputs: as `predict`."""
        model, shape = self._expect(self.model), self._expect(self.input_shape)
        if any(isinstance(size, tuple) for size in shape):
            raise ValueError("the model has several inputs: normalise them, and use fn.predict")
        normalization = self.normalization
        if normalization is not None and sorted(normalization) != ["mean", "scale", "std"]:
            raise ValueError(f"its normalization has not scale, mean and std, but {normalization}")
        preprocess = None
        if normalization is not None:
            scale, mean, std = (
                check_number(f"its normalization's {name}", normalization[name], above=above)
                for name, above in (("scale", 0), ("mean", -math.inf), ("std", 0))
            )
            preprocess = functools.partial(inference.normalized, scale=scale, mean=mean, std=std)
        x = inference.stored_inputs(inputs, shape, None if normalization is None else scale)
        params, prepare = inference.in_one_dtype(self.params, preprocess)
        outputs: Array = predict(model.apply, params, x, preprocess=prepare)
        return outputs

    def _expect(self, value: T | None) -> T:
        if value is None:
            raise ValueError("the snapshot does not say which model it is of, or of which inputs")
        return value


def save(
    path: str | os.PathLike[str],
    params: Tree,
    *,
    model: Layer | None = None,
    input_shape: Shape | None = None,
    normalization: dict[str, float] | None = None,
    class_names: list[str] | None = None,
    notes: Any = None,
    outputs: Outputs | None = None,
) -> None:
    """Write a tree of arrays, numbers and keys to `path`, whole or not at all.

    model: its spec is kept, so that `load` can build it again (a user's own layer without a spec
    cannot be, and is left out). input_shape: of one sample. normalization: `scale`, `mean` and
    `std` of (x / scale - mean) / std. notes: anything that JSON can hold. outputs: what the model
    gives, "logits", "probabilities" or other "scores"; by default what its last layer makes of
    them, else logits. With these, `load(path).predict(inputs)` takes inputs as stored.
    Raises `TypeError` for a leaf that is none of those, `ValueError` for two equal paths, and
    `SnapshotError` for params that do not fit a model that is kept with its input shape.
    """
    if outputs is not None and outputs not in OUTPUTS:
        raise ValueError(f"outputs are one of {', '.join(OUTPUTS)}, got {shown(outputs)}")
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
        **({} if outputs is None else {"outputs": outputs}),
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
    raise TypeError(f"the header cannot hold {shown(value)}: it is not JSON serializable")


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
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise SnapshotError(f"{name}: not a snapshot, or a damaged one ({reason})") from None
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
    with open_regular(name) as file:
        if not zipfile.is_zipfile(file):  # asked first, for the file may be larger than the memory
            raise SnapshotError("not a snapshot, or a damaged one (File is not a zip file)")
        file.seek(0)
        content = file.read()  # in memory, where damage cannot cause an OSError
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _check_members(archive.infolist(), len(content))
        present = set(archive.namelist())
        if _HEADER not in present:
            raise SnapshotError(f"not a snapshot: it has no {_HEADER}")
        header = json.loads(archive.read(_HEADER))
        if header["format"] != FORMAT:
            raise SnapshotError(
                f"format {shown(header['format'])} is not the format {FORMAT} known here"
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
        header.get("outputs"),  # as of before, it may not be there
    )


def _check_members(members: list[zipfile.ZipInfo], length: int) -> None:
    """Raise `SnapshotError` for what `save` does not write, or cannot be in so long a file."""
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise SnapshotError(f"{member.filename} is compressed, which no snapshot's member is")
    claimed = sum(member.file_size for member in members)
    if claimed > length:
        raise SnapshotError(f"its members claim {claimed:,} bytes of a file of {length:,}")
    for name, count in Counter(member.filename for member in members).most_common(1):
        if count > 1:
            raise SnapshotError(f"there are {count} members {name}")


def _check_header(header: dict[str, Any]) -> None:
    """Raise `SnapshotError` for an entry that `save` cannot have written."""
    if header.get("outputs") not in (None, *OUTPUTS):
        raise SnapshotError(f"its header has a damaged outputs: {shown(header['outputs'])}")
    kinds = {"normalization": (dict, str), "class_names": (list, str)}
    for name, (container, kind) in kinds.items():
        value = header[name]
        if value is None:
            continue
        if not isinstance(value, container) or not all(isinstance(item, kind) for item in value):
            raise SnapshotError(f"its header has a damaged {name}: {shown(value)}")
    for key, number in (header["normalization"] or {}).items():
        if not isinstance(number, (int, float)):
            raise SnapshotError(f"its header has a damaged normalization: {key} is {shown(number)}")


def _read_shape(value: Any) -> Shape | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(size, (int, list)) for size in value):
        raise SnapshotError(f"its header has a damaged input_shape: {shown(value)}")
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
