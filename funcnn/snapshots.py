"""Snapshots: a tree of arrays, and what is needed to use it again, in one `.npz` file.

The arrays stand under their tree paths (`0/weight`), so `numpy.load` reads them too. Beside them
is `header.json`: the format's version, the tree's structure, the model's spec, a SHA-256 of each
array. There is no time in it, so equal params give equal files; there is no pickle in it, and
none is ever read.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from funcnn import inference, random, tree
from funcnn._arguments import one_line, shown
from funcnn._files import FilePath
from funcnn._pickling import plain
from funcnn._snapshot_files import DAMAGE, check_header, read_file, write_file
from funcnn._snapshot_trees import SnapshotError, encode, match
from funcnn._written import by_shapes
from funcnn.evaluation import predict
from funcnn.inference import Outputs
from funcnn.layers.any_layer import init_layer
from funcnn.metrics import predicted_classes
from funcnn.spec import check_constructors, check_shapes, describe, from_spec
from funcnn.types import Array, Layer, Shape, Tree

T = TypeVar("T")


@by_shapes
class Snapshot(NamedTuple):
    """What `load` returns: the params, and what `save` was told about them (or None).

    >>> fn.save("params.npz", {}, model=fn.Identity(), input_shape=(2,), class_names=["cat", "dog"])
    >>> snapshot = fn.load("params.npz")
    >>> snapshot.classes(np.array([[0.2, 0.8]]))
    array(['dog'], dtype='<U3')
    """

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
        outputs, model = inference.check_no_nan(self.scores(inputs)), self._expect(self.model)
        return inference.probabilities(outputs, model, self.outputs)

    def classes(self, inputs: Any) -> Array:
        """The names `(N,)` of the predicted classes, or without `class_names` their numbers.

        inputs: as for `predict`. Raises `ValueError` as it does, but not for scores.
        """
        scores = inference.check_no_nan(self.scores(inputs))
        if scores.ndim == 2 and scores.shape[1] == 1:
            scores = inference.probabilities(scores, self._expect(self.model), self.outputs)
        classes = predicted_classes(scores)
        if self.class_names is None:
            return classes
        inference.check_names(self.class_names, scores.shape[1:])
        return np.array(self.class_names)[classes]

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
    path: FilePath,
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

    >>> fn.save("params.npz", {"bias": np.zeros(2)}, notes="before training")
    >>> fn.load("params.npz").notes
    'before training'
    """
    if isinstance(params, (str, os.PathLike)):
        raise TypeError(f"the path is first: fn.save({os.fspath(params)!r}, params)")
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
        "structure": structure,
        "spec": None if model is None else describe(model),
        "input_shape": None if input_shape is None else list(input_shape),
        "normalization": normalization,
        "class_names": names,
        "notes": notes,
        **({} if outputs is None else {"outputs": outputs}),
    }
    check_header(header)
    if model is not None and input_shape is not None and describe(model) is not None:
        output_shape, _ = _fit(params, model, input_shape)
        if names is not None and len(output_shape) == 1:
            inference.check_names(names, output_shape)
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"two classes have one name: {shown(names)}")
    write_file(path, header, members)


def _as_names(values: Any) -> Any:
    """Names of classes as a list of text; what is no list of any is left as it is."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(values, (list, tuple, range)):
        return values
    namable = all(type(v) is int or isinstance(v, (np.integer, str)) for v in values)
    return list(map(str, values)) if namable else list(values)


def load(
    path: FilePath, *, like: Tree = None, layers: Sequence[Callable[..., Layer]] = ()
) -> Snapshot:
    """Read a snapshot, and check it whole: every array, its digest, its fit to the model.

    like: a tree that the params must match in structure, shapes and dtypes; they come back with
    its NamedTuples. layers: constructors of your own, as of `from_spec`. Raises `SnapshotError`,
    naming the file and what is wrong; `OSError` if it cannot be read at all; `TypeError` for layers
    that are no list of constructors.

    >>> fn.save("params.npz", {"bias": np.zeros(2)})
    >>> fn.load("params.npz").params
    {'bias': array([0., 0.])}
    """
    name = os.fspath(path)
    check_constructors(layers)
    if os.path.isdir(name):
        inside = os.path.join(name, "params.npz")
        advice = f": give {inside}" if os.path.exists(inside) else ""
        raise SnapshotError(f"{name}: a folder, not a snapshot{advice}")
    try:
        snapshot = _read(name, layers)
    except OSError:
        raise
    except SnapshotError as error:
        raise SnapshotError(f"{name}: {one_line(error)}") from None
    except DAMAGE as error:
        reason = one_line(f"it has no {error}" if isinstance(error, KeyError) else error)
        raise SnapshotError(f"{name}: not a snapshot, or a damaged one ({reason})") from None
    try:
        if like is not None:
            return snapshot._replace(params=match(snapshot.params, like))
        if snapshot.model is not None and snapshot.input_shape is not None:
            _, params = _fit(snapshot.params, snapshot.model, snapshot.input_shape)
            snapshot = snapshot._replace(params=params)
    except DAMAGE as error:
        raise SnapshotError(f"{name}: {one_line(error)}") from None
    return snapshot


def _read(name: str, layers: Sequence[Callable[..., Layer]]) -> Snapshot:
    header, params = read_file(name)
    try:
        model = None if header["spec"] is None else from_spec(header["spec"], layers)
    except ValueError as error:
        raise SnapshotError(str(error)) from None
    return Snapshot(
        params,
        model,
        _read_shape(header["input_shape"]),
        header["normalization"],
        header["class_names"],
        header["notes"],
        header.get("outputs"),  # as of before, it may not be there
    )


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
    output_shape, expected = init_layer(model, random.SHAPES_ONLY, input_shape, dtype)
    return output_shape, match(params, expected)
