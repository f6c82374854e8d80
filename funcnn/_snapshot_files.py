"""The file of a snapshot: a zip archive of `header.json` and a `.npy` file for each array.

The header begins with the format's number and ends with a SHA-256 of each array; what stands
between is the business of `snapshots`. Nothing of a file is believed before it is checked.
"""

import hashlib
import io
import json
import struct
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from funcnn._arguments import shown
from funcnn._files import FilePath, open_regular, write_whole
from funcnn._npy import read_array
from funcnn._snapshot_trees import SnapshotError, decode
from funcnn.inference import OUTPUTS
from funcnn.types import Array, Tree

if TYPE_CHECKING:
    import zipfile

FORMAT = 1
_HEADER = "header.json"
_MOST_NESTED = 500
"""Half of how deep functions call each other in Python: no model is built that is so deep."""

# What reading a damaged zip, header or array can raise.
DAMAGE = (
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
)


def write_file(path: FilePath, header: dict[str, Any], members: dict[str, bytes]) -> None:
    """Write the header, and the `.npy` files by their arrays' paths, whole or not at all.

    There is no time in the file. Raises `TypeError` for what JSON cannot hold.
    """
    import zipfile  # a tenth of the time of `import funcnn`, and few scripts save

    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    whole = {"format": FORMAT, **header, "sha256": digests}
    text = json.dumps(whole, indent=1, allow_nan=False, ensure_ascii=False, default=_as_json)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # a ZipInfo by itself has a constant time
        archive.writestr(zipfile.ZipInfo(_HEADER), text)
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data)
    write_whole(path, buffer.getvalue())


def _as_json(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    advice = ": its .tolist() is" if isinstance(value, np.ndarray) else ""
    raise TypeError(f"the notes cannot hold {shown(value)}, which is no JSON{advice}")


def read_file(name: str) -> tuple[dict[str, Any], Tree]:
    """The header and the params of a file, checked whole.

    Raises `SnapshotError`, or another of `DAMAGE`; `OSError` if it cannot be read at all.
    """
    import zipfile

    with open_regular(name) as file:
        if not zipfile.is_zipfile(file):  # asked first, for the file may be larger than the memory
            raise SnapshotError("not a snapshot, or a damaged one (File is not a zip file)")
        file.seek(0)
        content = file.read()  # in memory, where damage cannot cause an OSError
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            header, arrays = _read_members(archive, len(content))
    except zipfile.BadZipFile as error:
        raise SnapshotError(f"not a snapshot, or a damaged one ({error})") from None
    params = decode(header["structure"], arrays)
    if arrays:
        raise SnapshotError(f"there is an extra array {sorted(arrays)[0]}")
    check_header(header)
    return header, params


def _read_members(
    archive: "zipfile.ZipFile", length: int
) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header, and the arrays by their paths: those of its digests and no others."""
    _check_members(archive.infolist(), length)
    present = set(archive.namelist())
    if _HEADER not in present:
        raise SnapshotError(f"not a snapshot: it has no {_HEADER}")
    header = json.loads(archive.read(_HEADER))
    _check_depth(header)
    if header["format"] != FORMAT:
        raise SnapshotError(
            f"format {shown(header['format'])} is not the format {FORMAT} known here"
        )
    arrays = {}
    for path, digest in header["sha256"].items():
        if f"{path}.npy" not in present:
            raise SnapshotError(f"array {path} is missing")
        data = archive.read(f"{path}.npy")
        if hashlib.sha256(data).hexdigest() != digest:
            raise SnapshotError(f"array {path} is not the one that was saved (SHA-256 differs)")
        try:
            arrays[path] = read_array(data)
        except ValueError as error:
            raise SnapshotError(f"array {path}: {error}") from None
    extra = sorted(present - {_HEADER} - {f"{path}.npy" for path in header["sha256"]})
    if extra:
        raise SnapshotError(f"there is an extra member {extra[0]}")
    return header, arrays


def _check_depth(header: Any) -> None:
    """Raise `SnapshotError` for what could be read, but not be gone through or written again."""
    level = [header]
    for _ in range(_MOST_NESTED):
        inside = [node for node in level if isinstance(node, (dict, list))]
        if not inside:
            return
        level = [v for node in inside for v in (node.values() if isinstance(node, dict) else node)]
    raise SnapshotError(f"its header is nested more than {_MOST_NESTED} times")


def _check_members(members: "list[zipfile.ZipInfo]", length: int) -> None:
    """Raise `SnapshotError` for what `save` does not write, or cannot be in so long a file."""
    import zipfile

    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise SnapshotError(f"{member.filename} is compressed, which no snapshot's member is")
    claimed = sum(member.file_size for member in members)
    if claimed > length:
        raise SnapshotError(f"its members claim {claimed:,} bytes of a file of {length:,}")
    for name, count in Counter(member.filename for member in members).most_common(1):
        if count > 1:
            raise SnapshotError(f"there are {count} members {name}")


def check_header(header: dict[str, Any]) -> None:
    """Raise `SnapshotError` for what no snapshot says: `save` asks before it writes."""
    outputs, names = header.get("outputs"), header["class_names"]
    if outputs is not None and (not isinstance(outputs, str) or outputs not in OUTPUTS):
        raise SnapshotError(f"outputs are one of {', '.join(OUTPUTS)}, got {shown(outputs)}")
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if names is not None and not texts:
        raise SnapshotError(f"class_names are a list of text, one a class, got {shown(names)}")
    normalization = header["normalization"]
    if normalization is not None:  # of before, it may be without one of the three
        numbers = isinstance(normalization, dict) and normalization.values()
        if numbers is False or not all(isinstance(number, (int, float)) for number in numbers):
            raise SnapshotError(f"normalization are numbers by name, got {shown(normalization)}")
