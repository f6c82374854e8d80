"""What a plain module of torch makes of a file of weights."""

import io
from typing import Any

import torch

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.types import Array


def classes_of(content: bytes, definition: str, inputs: Array) -> Array:
    """The classes, (N,), that a module with these weights predicts for inputs (N, ...).

    content: a file of torch's. definition: Python that makes the module, called `model`.
    Raises `InputError` if the file is more than tensors, or its tensors are not the module's.
    """
    names: dict[str, Any] = {}
    exec(definition, names)
    module = names["model"]
    try:
        module.load_state_dict(torch.load(io.BytesIO(content), weights_only=True), strict=True)
    except Exception as error:  # of the file, whatever it is
        raise InputError(" ".join(str(error).split())) from None
    with torch.no_grad():
        parts = [module.eval()(part) for part in torch.from_numpy(inputs).split(1000)]
    return fn.predicted_classes(torch.cat(parts).numpy())
