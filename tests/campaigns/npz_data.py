"""Damaged `.npz` and `.npy` data, read as whoever trains or predicts with them does."""

import contextlib
import functools
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from campaigns.archives import (
    archive_of,
    damaged_array,
    members_of,
    with_odd_field,
    with_odd_members,
)
from campaigns.campaign import Campaign, Try
from campaigns.damage import damaged_bytes
from campaigns.watch import Watch, assert_tells_of, no_warnings

import funcnn as fn
from funcnn.experiments.data.datasets import load_dataset, load_inputs
from funcnn.experiments.errors import InputError

WORDS = np.array(["a", "bé", "c"])


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Data of several forms, packed or not, as the bytes of their members."""
    sets = [members_of(data) for data in _good_data()]
    watch = Watch(folder)

    def one_try(rng: np.random.Generator) -> str:
        content = _damaged(sets[rng.integers(len(sets))], rng)
        path = folder / ("damaged.npz" if content.startswith(b"PK") else "damaged.npy")
        path.write_bytes(content)
        with watch.trying(), no_warnings():
            try:
                if rng.integers(2):
                    inputs = load_inputs(str(path))
                    assert inputs.inputs.dtype == np.uint8
                    return "predicted"
                data = load_dataset(str(path), val_size=2, seed=0)
            except InputError as error:
                assert_tells_of(path, error)
                return "refused"
            _learnt(data)
        return "learnt"

    yield one_try


def _learnt(data: Any) -> None:
    """A step, and a measure, of a network on a data set."""
    (x, y), classes = data.train, len(data.class_names)
    prepared = data.normalization(x[:4])
    assert np.isfinite(prepared).all()
    model = fn.serial(fn.Flatten(), fn.Dense(classes))
    _, params = model.init(fn.random.key(0), x.shape[1:])
    outputs, _ = model.apply(params, prepared)
    loss, _ = fn.softmax_cross_entropy(outputs, y[:4])
    assert np.isfinite(loss)
    for part in (data.validation, data.test):
        if part is not None and part[1] is not None:
            assert 0 <= part[1].min() <= part[1].max() < classes


def _good_data() -> Iterator[bytes]:
    """The forms that data have."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 3), np.uint8)
    labels = np.arange(20) % 3
    one = {"x_train": pixels[:12], "y_train": labels[:12]}
    yield _npz(**one, x_test=pixels[12:], y_test=labels[12:])
    yield _npz(**one, x_val=pixels[12:15], y_val=labels[12:15], x_test=pixels[15:])
    yield _npz(images=pixels.reshape(20, 9), labels=WORDS[labels])
    yield _npz(images=pixels[:, None], labels=labels.reshape(20, 1) > 1)
    yield _npz(X=pixels[..., None], y=np.char.encode(WORDS[labels], "utf-8"))


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _damaged(members: dict[str, bytes], rng: np.random.Generator) -> bytes:
    """A file of data with something changed; sometimes one array of it alone, as an `.npy` file."""
    kind = rng.integers(8)
    packed = functools.partial(_packed, method=(0, 8, 8, 12)[rng.integers(4)])
    if kind == 0:
        return damaged_bytes(packed(members), rng)
    if kind == 1:
        return with_odd_field(packed(members), rng)
    if kind == 2:
        return archive_of(with_odd_members(members, rng))
    name = [*members][rng.integers(len(members))]
    array = damaged_array(members[name], rng)
    if kind == 3 and not array.startswith(b"PK"):
        return array
    return packed(members | {name: array})


def _packed(members: dict[str, bytes], method: int) -> bytes:
    """An archive of them, packed by a method."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


NPZ_DATA = Campaign("npz-data", "damaged .npz and .npy files that are read as data", 1, begin)
