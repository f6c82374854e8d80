"""Damaged `.pt` files: nothing in them is unpickled that is no tensor, and nothing called."""

import contextlib
import io
import itertools
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from campaigns.campaign import Campaign, Try
from campaigns.damage import NUMBERS, damaged_bytes
from campaigns.reading import damaged_zip, outcome_of, use_description, zip_of
from campaigns.watch import Watch

GLOBALS = "os system", "builtins eval", "builtins exec", "builtins bytearray", "builtins getattr"
GLOBALS = *GLOBALS, "_codecs encode", "torch._utils _rebuild_parameter", "torch hub", "torch Size"
GLOBALS = *GLOBALS, "torch._utils _rebuild_tensor_v2", "torch.serialization load", "torch device"
GLOBALS = *GLOBALS, "collections OrderedDict", "torch._utils _rebuild_sparse_tensor"
GLOBALS = *GLOBALS, "torch HalfStorage", "torch DoubleStorage", "torch BFloat16Storage", "a.b\x1b c"


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """A state_dict in both of torch's forms."""
    watch = Watch(folder)
    state = {"0.weight": torch.ones(3, 4), "0.bias": torch.zeros(3, dtype=torch.float64)}
    state |= {"count": torch.tensor(7), "half": torch.ones(2, dtype=torch.bfloat16)}
    buffer, older = io.BytesIO(), io.BytesIO()
    torch.save(state, buffer)
    torch.save(state, older, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path = folder / "weights.pt"

    def one_try(rng: np.random.Generator) -> str:
        kind = rng.integers(6)
        if kind == 0:
            path.write_bytes(damaged_bytes(older.getvalue(), rng))
        elif kind == 1:
            path.write_bytes(damaged_zip(members, rng))
        else:
            damaged = dict(members)
            name = next(name for name in members if name.endswith("data.pkl"))
            damaged[name] = _damaged_pickle(members[name], rng)
            path.write_bytes(zip_of(damaged.items()))
        return outcome_of(watch, path, lambda: use_description(path))

    yield one_try


def _damaged_pickle(data: bytes, rng: np.random.Generator) -> bytes:
    """A pickle with one operation changed: another number, text or global, twice, or left out."""
    found = [*pickletools.genops(data)]
    starts = [at or 0 for _, _, at in found] + [len(data)]
    parts = [data[a:b] for a, b in itertools.pairwise(starts)]
    kind = rng.integers(5)
    wanted = {0: "INT", 1: "GLOBAL", 2: "UNICODE"}.get(int(kind), "")
    places = [i for i, (opcode, _, _) in enumerate(found) if wanted in opcode.name]
    i = places[rng.integers(len(places))]
    if kind == 0:
        number = NUMBERS[rng.integers(len(NUMBERS))]
        parts[i] = f"I{int(number)}\n".encode() if abs(number) < 1e50 else b"F1e308\n"
    elif kind == 1:
        parts[i] = b"c" + GLOBALS[rng.integers(len(GLOBALS))].replace(" ", "\n").encode() + b"\n"
    elif kind == 2:
        text = damaged_bytes(str(found[i][1]).encode(), rng)
        parts[i] = b"X" + len(text).to_bytes(4, "little") + text
    elif kind == 3:
        parts.insert(i, parts[rng.integers(len(parts))])
    else:
        del parts[i]
    return b"".join(parts)


TORCH_FILES = Campaign("torch", "damaged .pt files that are described", 1, begin)
