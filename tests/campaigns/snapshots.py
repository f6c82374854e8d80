"""Damaged snapshots are read, or refused by the one error that says which file and why."""

import contextlib
import hashlib
import json
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
from campaigns.damage import damaged_bytes, damaged_value, nested
from campaigns.watch import Watch, assert_is_line, assert_names, no_warnings

import funcnn as fn

MODELS = {
    "dense": (fn.serial(fn.Dense(3), fn.Relu(), fn.Dense(2)), (4,)),
    "images": (fn.serial(fn.Conv(2, 3), fn.BatchNorm(), fn.Flatten(), fn.Dense(2)), (1, 5, 5)),
    "branches": (fn.serial(fn.FanOut(2), fn.parallel(fn.Dense(2), fn.Identity())), (3,)),
}


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Snapshots of a few kinds of models and of a training state, to be damaged."""
    watch = Watch(folder)
    path, again = folder / "damaged.npz", folder / "again.npz"
    saved: list[tuple[dict[str, bytes], Any]] = []
    for model, shape in MODELS.values():
        _, params = model.init(fn.random.key(0), shape)
        params = fn.tree.map(lambda leaf: leaf + 0.5, params)  # running statistics are some
        names = {"class_names": ["a", "b"], "notes": {"labels": ["0", "1"]}}
        normalization = {"scale": 255.0, "mean": 0.5, "std": 2.0}
        fn.save(path, params, model=model, input_shape=shape, normalization=normalization, **names)
        saved.append((members_of(path.read_bytes()), params))
        state = fn.TrainState.create(params, fn.adam(0.1), rng=fn.random.key(1))
        fn.save(path, state, notes={"rows": [[1, 0.5]]})
        saved.append((members_of(path.read_bytes()), state))

    def one_try(rng: np.random.Generator) -> str:
        members, tree = saved[rng.integers(len(saved))]
        path.write_bytes(damaged_snapshot(members, rng))
        like = tree if rng.integers(3) == 0 else None
        with watch.trying(), no_warnings():
            try:
                snapshot = fn.load(path, like=like)
            except fn.SnapshotError as error:
                assert_names(path, error)
                return "refused"
            if like is not None:
                fn.tree.map(lambda *pair: None, like, snapshot.params)
                return "read as another"
            return _used(snapshot, again)

    yield one_try


def _used(snapshot: fn.Snapshot, again: Path) -> str:
    """How it ended to predict with a snapshot that was read, and to save it again."""
    assert str(snapshot)
    values = snapshot._asdict()
    with contextlib.suppress(ValueError, TypeError):  # of what `load` leaves to who uses it
        fn.save(again, values.pop("params"), **values)
        fn.load(again)
    if snapshot.model is None or snapshot.input_shape is None:
        return "read"
    sizes = snapshot.input_shape
    inputs: Any = np.zeros((2, *sizes), np.uint8)
    try:
        snapshot.predict(inputs)
        snapshot.classes(inputs)
    except ValueError as error:  # such as of a normalisation that is none
        assert_is_line(error)
        return "read, and does not predict"
    return "read, and predicts"


def damaged_snapshot(members: dict[str, bytes], rng: np.random.Generator) -> bytes:
    """A snapshot with something changed, its digests mostly right so that the inside is read."""
    kind = rng.integers(8)
    if kind == 0:
        return damaged_bytes(archive_of(members), rng)
    if kind == 1:
        return with_odd_field(archive_of(members), rng)
    if kind == 2:
        return archive_of(with_odd_members(members, rng))
    members = dict(members)
    names = [name for name in members if name != "header.json"]
    if kind < 6:
        some = names if rng.integers(4) == 0 else [names[rng.integers(len(names))]]
        seed = int(rng.integers(2**32))
        for name in some:  # all in the same way, as of another dtype
            members[name] = damaged_array(members[name], np.random.default_rng(seed))
    header = json.loads(members["header.json"])
    if kind == 6:
        header = nested(header, rng) if rng.integers(20) == 0 else damaged_value(header, rng)
        return archive_with(members, header)
    if kind == 7:
        members["header.json"] = damaged_bytes(members["header.json"], rng)
        return archive_of(members)
    digests = {
        name: hashlib.sha256(members[f"{name}.npy"]).hexdigest() for name in header["sha256"]
    }
    return archive_with(members, header | {"sha256": digests})


def archive_with(members: dict[str, bytes], header: Any) -> bytes:
    """A snapshot of these arrays that says this."""
    return archive_of(members | {"header.json": json.dumps(header).encode()})


SNAPSHOTS = Campaign("snapshots", "damaged snapshots that are read", 1, begin)
