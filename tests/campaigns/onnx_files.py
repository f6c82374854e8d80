"""Damaged ONNX files."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.damage import damaged_bytes, damaged_value
from campaigns.reading import outcome_of, use_description
from campaigns.watch import Watch
from google.protobuf import json_format
from onnx import ModelProto

import funcnn as fn
from funcnn.experiments.export.onnx_model import onnx_model


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """A graph of a few operators, damaged as a message or in its bytes."""
    watch = Watch(folder)
    model = fn.serial(fn.Conv(2, 3), fn.BatchNorm(), fn.Relu(), fn.Flatten(), fn.Dense(2))
    _, params = model.init(fn.random.key(0), (1, 5, 5))
    message = onnx_model(model, params, (1, 5, 5), {"class_names": '["a", "b"]'})
    content, value = message.SerializeToString(), json_format.MessageToDict(message)
    path = folder / "model.onnx"

    def one_try(rng: np.random.Generator) -> str:
        data = None
        if rng.integers(3):
            with contextlib.suppress(
                json_format.ParseError, ArithmeticError, TypeError, ValueError
            ):
                changed = json_format.ParseDict(damaged_value(value, rng), ModelProto())
                data = changed.SerializeToString()
        path.write_bytes(damaged_bytes(content, rng) if data is None else data)
        said = outcome_of(watch, path, lambda: use_description(path))
        return f"bytes {said}" if data is None else f"message {said}"

    yield one_try


ONNX_FILES = Campaign("onnx", "damaged ONNX files that are described", 1, begin)
