"""Damaged safetensors files."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors.numpy
from campaigns.campaign import Campaign, Try
from campaigns.damage import damaged_bytes, damaged_value
from campaigns.reading import outcome_of, use_description
from campaigns.watch import Watch

DTYPES = "F16", "BF16", "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F4", "C64", "I64", "U16"


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Arrays and what is said of them; the header is damaged, and its length right again."""
    watch = Watch(folder)
    arrays = {"0.weight": np.ones((3, 4), np.float32), "0.bias": np.zeros(3), "n": np.array(7)}
    content = safetensors.numpy.save(arrays, {"class_names": '["a", "b"]', "input_shape": "[4]"})
    end = 8 + int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:end]), content[end:]
    path = folder / "weights.safetensors"

    def one_try(rng: np.random.Generator) -> str:
        kind = rng.integers(5)
        if kind == 0:
            path.write_bytes(damaged_bytes(content, rng))
        else:
            if kind == 1:
                text = damaged_bytes(content[8:end], rng)
            elif kind == 2:
                changed = json.loads(json.dumps(header))
                changed[[*arrays][rng.integers(3)]]["dtype"] = DTYPES[rng.integers(len(DTYPES))]
                text = json.dumps(changed).encode()
            elif kind == 3:  # a name that the format allows
                name = damaged_bytes(b"0.bias", rng).decode("utf-8", "replace")
                changed = {name if key == "0.bias" else key: value for key, value in header.items()}
                text = json.dumps(changed).encode()
            else:
                text = json.dumps(damaged_value(header, rng)).encode()
            path.write_bytes(len(text).to_bytes(8, "little") + text + data)
        return outcome_of(watch, path, lambda: use_description(path))

    yield one_try


SAFETENSORS_FILES = Campaign("safetensors", "damaged safetensors files", 1, begin)
