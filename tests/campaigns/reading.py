"""What every campaign of other people's formats does: reads, and uses what was read."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from campaigns.damage import damaged_bytes
from campaigns.watch import Watch

from funcnn.experiments.data.datasets import load_dataset
from funcnn.experiments.errors import InputError, printable
from funcnn.experiments.export.describe import describe_file

ODD_NAMES = "../out", "/tmp/out", "C:\\out", "a\0b", "a\nb", "\x1b[2J", ".", "", "%s", "x" * 300
ODD_NAMES = *ODD_NAMES, "é", "a//b", "a/../b", "train/", "__MACOSX/a", "\u202egnp.exe", "nul", "-"


def outcome_of(watch: Watch, path: Path, read: Callable[[], object]) -> str:
    """Whether something was `read`, or `refused` by the one error, which names the file."""
    with watch.trying(), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read()
        except InputError as error:
            said = str(error)
            assert path.name in said, f"it does not name the file: {said!r}"
            assert printable(said, 10**6) == said, f"it is no line of text: {said!r}"
            return "refused"
    return "read"


def use_data(path: Path) -> None:
    """Load a data set as a training does, and hold what came to be what is promised."""
    data = load_dataset(str(path), val_size=2, seed=0, fit=True)
    classes = len(data.class_names)
    parts = [data.train, data.test, *([] if data.validation is None else [data.validation])]
    for images, labels in parts:
        assert images.dtype == np.uint8
        assert images.shape[1:] == data.input_shape
        assert len(images) > 0
        assert np.isfinite(data.normalization(images)).all()
        if labels is not None:
            assert labels.shape == images.shape[:1]
            assert labels.dtype.kind in "iu"
            assert 0 <= labels.min() <= labels.max() < classes
    assert all(name and name.isprintable() for name in data.class_names)


def use_description(path: Path) -> None:
    """Describe a file of weights as `funcnn inspect` does, in words and as JSON."""
    description = describe_file(path)
    json.dumps(description.as_data()).encode()
    str(description)


def zip_of(members: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file of these members, in which two may have one name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two with one name
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def damaged_directory(data: bytes, rng: np.random.Generator) -> bytes:
    """A zip file with one number in an entry of its list changed, or in the end of the list."""
    signs = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
    sign = signs[rng.integers(3)]
    places = [at for at in range(len(data)) if data.startswith(sign, at)]
    if not places:
        return damaged_bytes(data, rng)
    at = (
        places[rng.integers(len(places))] + 4 + 2 * int(rng.integers(9 if sign == signs[2] else 21))
    )
    width = (2, 4)[rng.integers(2)]
    values = b"\0" * width, b"\xff" * width, rng.bytes(width), b"\1" + b"\0" * (width - 1)
    return data[:at] + values[rng.integers(4)] + data[at + width :]


def damaged_zip(
    members: dict[str, bytes],
    rng: np.random.Generator,
    damaged_member: Callable[[bytes, np.random.Generator], bytes] = damaged_bytes,
) -> bytes:
    """A zip file with something changed: in a member, in its names, in its list, in its bytes."""
    pairs = [*members.items()]
    method = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[rng.integers(2)]
    for _ in range(int(rng.integers(1, 4))):  # so that a damaged member may have an odd name
        which, kind = int(rng.integers(len(pairs))), rng.integers(5)
        name, content = pairs[which]
        if kind == 0:
            odd = ODD_NAMES[rng.integers(len(ODD_NAMES))]
            parts = name.split("/")
            parts[rng.integers(len(parts))] = odd
            pairs[which] = ((odd, "/".join(parts), pairs[0][0])[rng.integers(3)], content)
        elif kind == 1 and len(pairs) > 1:
            del pairs[which]
        elif kind == 2:
            pairs += [(f"{name}{number}", content) for number in range(int(rng.integers(30)))]
        else:
            pairs[which] = (name, damaged_member(content, rng))
    data, kind = zip_of(pairs, method), rng.integers(4)
    if kind == 0:
        return damaged_bytes(data, rng)
    return damaged_directory(data, rng) if kind == 1 else data
