"""Pictures of one's own: what a model takes them for, and where in them it sees that."""

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from funcnn.experiments.data.datasets import find_pictures
from funcnn.experiments.data.formats.image_folders import PictureFiles
from funcnn.experiments.data.pictures import Picture, framing, prepare, read_picture
from funcnn.experiments.errors import InputError, printable
from funcnn.experiments.figures import seen
from funcnn.experiments.paths import expect_new, free_file, new_file
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.training.model import TrainedModel, model_of
from funcnn.inference import in_one_dtype
from funcnn.types import Array, Shape

_STEPS = 32  # from the empty picture to the one that is looked at
_SUREST = 5  # classes that are shown


def pictures_in(data: Sequence[str]) -> PictureFiles | None:
    """The pictures that these paths mean, all together; None: it is one data set.

    Raises `InputError` if there is nothing, or a data set among several.
    """
    found = [find_pictures(name) for name in data]
    if len(data) == 1:
        return found[0]
    for name, files in zip(data, found, strict=True):
        if files is None:
            raise InputError(f"--data {name} is no picture: a data set is given alone")
    return [file for files in found if files is not None for file in files]


def prepared(model: TrainedModel, files: PictureFiles) -> Iterator[tuple[Picture, Array]]:
    """Each picture, and what the model is given of it, bytes `(C, H, W)`; as of `prepare`.

    Raises `InputError` for a model that takes no pictures, and as `read_picture` and `prepare`.
    """
    shape = _picture_shape(model.input_shape)
    frame = framing(model.normalization, model.class_names)
    for folder, file in files:
        picture = read_picture(folder, file, shape)
        yield picture, prepare(picture, shape, frame)


def _picture_shape(shape: Shape) -> Shape:
    """The shape `(C, H, W)` of the pictures that a model of inputs of this shape takes."""
    if len(shape) == 1 and math.isqrt(shape[0]) ** 2 == shape[0] > 1:
        return (1, math.isqrt(shape[0]), math.isqrt(shape[0]))
    if len(shape) == 2:
        return (1, *shape)
    if len(shape) == 3 and shape[0] in (1, 3):
        return shape
    raise InputError(
        f"the model takes inputs of shape {shape}, and pictures are (1, height, width) or, in "
        "colour, (3, height, width)"
    )


def predict_pictures(
    run: Path, data: Sequence[str], out: Path | None, own: OwnModel | None = None
) -> dict[str, Any]:
    """What the model of a run's folder or a snapshot takes pictures for, and a figure of why.

    out: a new PNG file; by default the next of `predicted-001.png` and so on under `runs/`. own:
    its network, if it is a user's own. The surest classes come first, with their probabilities, or
    scores where the model gives those.
    Of several pictures those that cannot be read, or show nothing, are left out, and said. Raises
    `InputError` if there are no others, the model takes none, or `out` exists already;
    `SnapshotError`.
    """
    if out is not None:
        expect_new(out, ".png")
    files = pictures_in(data)
    if files is None:
        raise InputError(
            f"--data {data[0]} is no picture: give --out predicted.csv for the classes of a "
            "data set"
        )
    model = model_of(run, own)
    panels: list[seen.Panel] = []
    predicted: list[dict[str, Any]] = []
    for picture, pixels in _good_ones(model, files):
        x = pixels.reshape(1, *model.input_shape)
        outputs = model.predict(x)
        several = outputs.shape[1] > 1
        unit = "scores" if model.outputs == "scores" and several else "probabilities"
        values = outputs[0] if unit == "scores" else model.probabilities(outputs)[0]  # (K,)
        order = np.argsort(-values, kind="stable")[:_SUREST]
        classes = [model.class_names[index] for index in order]
        numbers = [float(values[index]) for index in order]
        predicted.append(
            {
                "file": picture.where,
                "class": classes[0],
                unit: dict(zip(classes, numbers, strict=True)),
            }
        )
        if len(panels) < seen.MOST:
            why = evidence(model, x, int(order[0]), int(order[1]))
            why = why.reshape(-1, *pixels.shape[1:]).sum(0)  # (C, H, W) -> (H, W)
            panels.append(seen.Panel(picture.where, picture.pixels, pixels, why, classes, numbers))
    if len(predicted) > len(panels):
        line = f"the figure shows the first {len(panels)} of {len(predicted)} pictures"
        logging.getLogger(__name__).warning("%s", line)
    out = out or free_file("predicted", ".png")
    with new_file(out):
        seen.seen(out, panels, unit)
    return {"run": str(run), "data": list(data), "pictures": predicted, "out": str(out)}


def _good_ones(model: TrainedModel, files: PictureFiles) -> Iterator[tuple[Picture, Array]]:
    """Those of `prepared` that show something: of several the others are left out, and said.

    Raises `InputError`, as `prepared` does, if there are no others.
    """
    wrong: list[InputError] = []
    for file in files:
        try:
            yield from prepared(model, [file])
        except InputError as error:
            wrong.append(error)
            if len(wrong) == len(files):
                raise
    for each in wrong:
        logging.getLogger(__name__).warning("%s", printable(f"left out: {each}"))


def evidence(model: TrainedModel, x: Array, chosen: int, rival: int) -> Array:
    """What each pixel of a stored input `(1, ...)` adds to a class's lead over another.

    The lead is the difference of the two outputs (of one output, it or what it lacks); from the
    empty input to this one it grows by the sum of what is returned, but for the error of a sum of
    so many steps. These are integrated gradients, x . dlead/dx, averaged along the way
    (Sundararajan, Taly and Yan 2017), by the model's own vjp. Returns the shape of x.
    """
    params, feed = in_one_dtype(model.params, model.prepare)
    given, empty = feed(x), feed(np.zeros_like(x))
    shares = (np.arange(_STEPS, dtype=given.dtype) + 0.5) / _STEPS  # (n,)
    along = empty + shares.reshape(-1, *[1] * (x.ndim - 1)) * (given - empty)  # (n, ...)
    outputs, vjp = model.model.apply(params, along)
    assert vjp is not None
    doutputs = np.zeros_like(outputs)  # (n, K)
    if outputs.shape[1] == 1:
        doutputs[:, 0] = 1 if chosen == 1 else -1
    else:
        doutputs[:, chosen], doutputs[:, rival] = 1, -1
    _, dx = vjp(doutputs)
    assert dx is not None
    added: Array = (given - empty) * dx.mean(0)
    return added
