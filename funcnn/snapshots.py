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
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from funcnn import inference, random, tree
from funcnn._arguments import shown
from funcnn._files import open_regular, write_whole
from funcnn._pickling import plain
from funcnn._stored_trees import SnapshotError, decode, encode, match, read_array
from funcnn.inference import OUTPUTS, Outputs
from funcnn.metrics import predicted_classes
from funcnn.spec import check_shapes, describe, from_spec
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
        inference.check_names(self.class_names, scores.shape[1:])
        return np.array(self.class_names)[found]

    def scores(self, inputs: Any) -> Array:
        """What the network itself gives, `(N, ...)`: logits, for instance. inputs: as `predict`."""
        model, shape = self._expect(self.model), self._expect(self.input_shape)
        if any(isinstance(size, tuple) for size in shape):
            raise ValueError("the model has several inputs: normalise them, and use fn.predict")
        scale = preprocess = None
        if self.normalization is not None:
            scale, mean, std = inference.check_normalization(self.normalization)
            preprocess = functools.partial(inference.normalized, scale=scale, mean=mean, std=std)
        x = inference.stored_inputs(inputs, shape, scale)
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
    class_names: Sequence[str | int] | None = None,
    notes: Any = None,
    outputs: Outputs | None = None,
) -> None:
    """Write a tree of arrays, numbers and keys to `path`, whole or not at all.

    model: its spec is kept, so that `load` can build it again (a user's own layer without a spec
    cannot be, and is left out). input_shape: of one sample. normalization: `scale`, `mean` and
    `std` of (x / scale - mean) / std. class_names: one a class, of integers their text. notes:
    anything that JSON can hold. outputs: what the model gives, "logits", "probabilities" or other
    "scores"; by default what its last layer makes of them, else logits. With these,
    `load(path).predict(inputs)` takes inputs as stored. Raises `TypeError` for a leaf that is none
    of those, `ValueError` for two equal paths, and for what `load` or `predict` would refuse.
    """
    if model is not None and not isinstance(model, Layer):
        raise TypeError(f"model is a layer, such as fn.serial(...), got {shown(model)}")
    normalization, names = plain(normalization), _as_names(class_names)
    if input_shape is not None:
        input_shape = check_shapes("input_shape", plain(input_shape))
    if normalization is not None:
        inference.check_normalization(normalization)
    members: dict[str, bytes] = {}
    structure = encode(params, "", members)
    header = {
        "format": FORMAT,
        "structure": structure,
        "spec": None if model is None else describe(model),
        "input_shape": None if input_shape is None else list(input_shape),
        "normalization": normalization,
        "class_names": names,
        "notes": notes,
        **({} if outputs is None else {"outputs": outputs}),
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }
    _check_header(header)
    if model is not None and input_shape is not None and describe(model) is not None:
        output_shape, _ = _fit(params, model, input_shape)
        if names is not None and len(output_shape) == 1:
            inference.check_names(names, output_shape)
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"two classes have one name: {shown(names)}")
    text = json.dumps(header, indent=1, allow_nan=False, ensure_ascii=False, default=_as_json)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # a ZipInfo by itself has a constant time
        archive.writestr(zipfile.ZipInfo(_HEADER), text)
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data)
    write_whole(path, buffer.getvalue())


def _as_names(values: Any) -> Any:
    """Names of classes as a list of text; what is no list of any is left as it is."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(values, (list, tuple, range)):
        return values
    known = all(type(v) is int or isinstance(v, (np.integer, str)) for v in values)
    return list(map(str, values)) if known else list(values)


def _as_json(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    advice = ": its .tolist() is" if isinstance(value, np.ndarray) else ""
    raise TypeError(f"the notes cannot hold {shown(value)}, which is no JSON{advice}")


def load(path: str | os.PathLike[str], *, like: Tree = None) -> Snapshot:
    """Read a snapshot, and check it whole: every array, its digest, its fit to the model.

    like: a tree that the params must match in structure, shapes and dtypes; they come back with
    its NamedTuples. Raises `SnapshotError`, naming the file and what is wrong; `OSError` if it
    cannot be read at all.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        inside = os.path.join(name, "params.npz")
        advice = f": give {inside}" if os.path.exists(inside) else ""
        raise SnapshotError(f"{name}: a folder, not a snapshot{advice}")
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
            return snapshot._replace(params=match(snapshot.params, like))
        if snapshot.model is not None and snapshot.input_shape is not None:
            _, params = _fit(snapshot.params, snapshot.model, snapshot.input_shape)
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
    """Raise `SnapshotError` for what no snapshot says: `save` asks before it writes."""
    outputs, names = header.get("outputs"), header["class_names"]
    if outputs is not None and (not isinstance(outputs, str) or outputs not in OUTPUTS):
        raise SnapshotError(f"outputs are one of {', '.join(OUTPUTS)}, got {shown(outputs)}")
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if names is not None and not texts:
        raise SnapshotError(f"class_names are a list of text, one a class, got {shown(names)}")
    normalization = header["normalization"]
    if normalization is not None:  # of before, it may be without one of the three
        numbers = isinstance(normalization, dict) and normalization.values()
        if numbers is False or not all(isinstance(number, (int, float)) for number in numbers):
            raise SnapshotError(f"normalization are numbers by name, got {shown(normalization)}")


def _read_shape(value: Any) -> Shape | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(size, (int, list)) for size in value):
        raise SnapshotError(f"its header has a damaged input_shape: {shown(value)}")
    return tuple(_read_shape(size) if isinstance(size, list) else size for size in value)


def _fit(params: Tree, model: Layer, input_shape: Shape) -> tuple[Shape, Tree]:
    """The model's output shape, and the params with the structure of its own.

    Raises `SnapshotError` if they do not fit it.
    """
    dtype: Any = np.dtype(np.float32)
    for path, leaf in tree.leaves_with_path(params):
        dtype = np.asarray(leaf).dtype
        if dtype.kind != "f":
            raise SnapshotError(f"array {path} is {dtype}, not floats")
    output_shape, expected = model.init(random.SHAPES_ONLY, input_shape, dtype=dtype)
    return output_shape, match(params, expected)
