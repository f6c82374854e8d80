"""Damage to archives of arrays, `.npz` files and snapshots: in fields, in members, in arrays."""

import io
import struct
import warnings
import zipfile
from typing import Any

import numpy as np
from campaigns.damage import damaged_bytes

RECORDS = {  # in which a zip file says what it holds: an end, entries, and a head of each member
    b"PK\5\6": "<4s4H2L1H",
    b"PK\1\2": "<4s6H3L5H2L",
    b"PK\3\4": "<4s5H3L2H",
}
FIELDS = 0, 1, 8, 99, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF
NAMES = "../../x.npy", "/x.npy", "", "\n", "a\n\x1b[31mb.npy", "\u202ea.npy", "é" * 999, "0/weight"

DTYPES = "<f2", "<f8", ">f4", "<c8", "<i8", ">u2", "|u1", "|b1", "<U3", "|S2", "<M8[s]", "|V4"
DESCRIPTIONS = "|O", "<f16", "<f3", "<U999999999", "<U0", "|V0", "", "\0", "float32", "x" * 5000
DESCRIPTIONS = *DESCRIPTIONS, 4, None, ("<f4", (3,)), [("a", "<f4")], [("a", "|O")], []
SIZES = -1, 0, 1, 2, 2**31, 2**40, 2**63, 10**30, 0.5, True, "2", None, ()
ORDERS = True, False, 1, None, "no"


def members_of(content: bytes) -> dict[str, bytes]:
    """What an archive holds, by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(members: dict[str, bytes] | list[tuple[str, bytes]]) -> bytes:
    """An archive of them, not compressed; a name may be there twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings(action="ignore"):
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def with_odd_field(data: bytes, rng: np.random.Generator) -> bytes:
    """An archive that says something else of a member, or of itself."""
    kind = [*RECORDS][rng.integers(len(RECORDS))]
    places = [at for at in range(len(data)) if data[at : at + 4] == kind]
    at = places[rng.integers(len(places))]
    form = struct.Struct(RECORDS[kind])
    fields = [*form.unpack_from(data, at)]
    which = int(rng.integers(1, len(fields)))
    fields[which] = FIELDS[rng.integers(len(FIELDS))] & _widths(form.format)[which]
    return data[:at] + form.pack(*fields) + data[at + form.size :]


def with_odd_members(
    members: dict[str, bytes], rng: np.random.Generator
) -> list[tuple[str, bytes]]:
    """Members of which one is not there, there twice, called otherwise, or another one's."""
    found = [*members.items()]
    at, other = rng.integers(len(found), size=2)
    name, data = found[at]
    kind = rng.integers(5)
    if kind == 0:
        return found[:at] + found[at + 1 :]
    if kind == 1:
        return [*found, (name, data)]
    if kind == 2:
        return [*found, (NAMES[rng.integers(len(NAMES))], data)]
    found[at] = (NAMES[rng.integers(len(NAMES))], data) if kind == 3 else (name, found[other][1])
    return found


def damaged_array(data: bytes, rng: np.random.Generator) -> bytes:
    """A `.npy` file of another array, or that claims something else than it holds."""
    kind = rng.integers(5)
    if kind == 0:
        return damaged_bytes(data, rng)
    if kind == 1:
        return data[: rng.integers(len(data))]
    array = np.load(io.BytesIO(data))
    if kind == 2:
        array = _another(array, rng)
    if kind < 4:
        return npy_of(array)
    says: dict[str, Any] = {
        "descr": np.lib.format.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": array.shape,
    }
    what = rng.integers(6)
    if what == 0:
        choices = (*DTYPES, *DESCRIPTIONS)
        says["descr"] = choices[rng.integers(len(choices))]
    elif what == 1:
        says["fortran_order"] = ORDERS[rng.integers(len(ORDERS))]
    elif what == 2:
        says.pop([*says][rng.integers(3)])
    elif what == 3:
        says[NAMES[rng.integers(len(NAMES))]] = 1
    else:
        says["shape"] = _odd_shape(array.shape, rng)
    version = (1, 0) if rng.integers(3) else [(2, 0), (3, 0), (0, 0), (9, 255)][rng.integers(4)]
    return _claiming(repr(says), version, rng) + array.tobytes()


def npy_of(array: Any) -> bytes:
    """The `.npy` file of an array."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _another(array: Any, rng: np.random.Generator) -> Any:
    """Another array in its place: of other numbers, of another dtype or shape."""
    kind = rng.integers(8)
    if kind == 0 and array.size:
        array = array.copy()
        value = (float("nan"), float("inf"), -1, 0, 255, 1e38)[rng.integers(6)]
        with np.errstate(all="ignore"):
            array.flat[rng.integers(array.size)] = np.float64(value).astype(array.dtype)
        return array
    if kind == 1:
        return array[None]
    if kind == 2:
        return array[:0] if array.ndim else array
    if kind == 3:
        return array.T.copy()
    if kind == 4:
        return np.asfortranarray(array)
    if kind == 5:
        return array.reshape(-1)
    if kind == 6 and array.ndim:
        return np.concatenate([array, array[:1]])
    with np.errstate(all="ignore"):
        return _as(array, DTYPES[rng.integers(len(DTYPES))])


def _as(array: Any, dtype: str) -> Any:
    """The array in a dtype, or zeros, where numbers become none of it."""
    if {np.dtype(dtype).kind, array.dtype.kind} & {*"MVUS"}:
        return np.zeros(array.shape, dtype)
    return array.real.astype(dtype) if array.dtype.kind == "c" else array.astype(dtype)


def _odd_shape(shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Another shape, or what is none."""
    sizes: list[Any] = [*shape]
    kind = rng.integers(5)
    if kind == 0:
        return sizes
    if kind == 1:
        return shape[::-1]
    if kind == 2:
        return (*shape, SIZES[rng.integers(len(SIZES))])
    if kind == 3 or not sizes:
        return (2,) * int(rng.integers(30, 200))  # more axes than an array has
    sizes[rng.integers(len(sizes))] = SIZES[rng.integers(len(SIZES))]
    return tuple(sizes)


def _claiming(text: str, version: tuple[int, int], rng: np.random.Generator) -> bytes:
    """The head of a `.npy` file that says this."""
    header = text.encode() + b"\n"
    length = len(header) if rng.integers(5) else int(rng.integers(2**16))
    size = struct.pack("<H" if version == (1, 0) else "<L", length)
    return b"\x93NUMPY" + bytes(version) + size + header


def _widths(form: str) -> list[int]:
    """The largest number of each field."""
    widths = [0]
    for count, letter in zip(form[3::2], form[4::2], strict=False):
        widths += [0xFFFF if letter == "H" else 0xFFFFFFFF] * int(count)
    return widths
