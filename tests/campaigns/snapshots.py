"""Damaged snapshots are read, or refused by the one error that says which file and why."""

import contextlib
import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.damage import damaged_bytes, damaged_value
from campaigns.watch import Watch, assert_names

import funcnn as fn

MODELS = {
    "dense": (fn.serial(fn.Dense(3), fn.Relu(), fn.Dense(2)), (4,)),
    "images": (fn.serial(fn.Conv(2, 3), fn.BatchNorm(), fn.Flatten(), fn.Dense(2)), (1, 5, 5)),
    "branches": (fn.serial(fn.FanOut(2), fn.parallel(fn.Dense(2), fn.Identity())), (3,)),
}


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Snapshots of a few kinds of models, to be damaged."""
    watch = Watch(folder)
    members = []
    for name, (model, shape) in MODELS.items():
        _, params = model.init(fn.random.key(0), shape)
        params = fn.tree.map(lambda leaf: leaf + 0.5, params)  # running statistics are some
        fn.save(folder / f"{name}.npz", params, model=model, input_shape=shape)
        with zipfile.ZipFile(folder / f"{name}.npz") as archive:
            members.append({name: archive.read(name) for name in archive.namelist()})
    path = folder / "damaged.npz"

    def one_try(rng: np.random.Generator) -> str:
        path.write_bytes(_damaged(members[rng.integers(len(members))], rng))
        with watch.trying(), warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                snapshot = fn.load(path)
            except fn.SnapshotError as error:
                assert_names(path, error)
                return "refused"
            if snapshot.model is not None and snapshot.input_shape is not None:
                x = np.zeros((1, *snapshot.input_shape), np.float32)
                with np.errstate(all="ignore"):
                    fn.predict(snapshot.model.apply, snapshot.params, x)
        return "read"

    yield one_try


def _damaged(members: dict[str, bytes], rng: np.random.Generator) -> bytes:
    """A snapshot with something changed: in its bytes, in a member, or in what the header says."""
    members = dict(members)
    kind = rng.integers(3)
    if kind:
        name = [*members][rng.integers(len(members))]
        if kind == 1:
            members[name] = damaged_bytes(members[name], rng)
        header = json.loads(members["header.json"]) if name != "header.json" or kind == 2 else None
        if header is not None:  # its digests are right, so that the inside is looked at
            arrays = {n: hashlib.sha256(members[f"{n}.npy"]).hexdigest() for n in header["sha256"]}
            header["sha256"] = arrays
            if kind == 2:
                header = damaged_value(header, rng)
            members["header.json"] = json.dumps(header).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    data = buffer.getvalue()
    return data if kind else damaged_bytes(data, rng)


SNAPSHOTS = Campaign("snapshots", "damaged snapshots that are read", 1, begin)
