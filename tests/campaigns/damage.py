"""Damage to bytes and to data, as broken disks do it, other programs, and people."""

import copy
import json
from typing import Any

import numpy as np

BYTES = b"\0", b"\xff", b"\n", b"\x80\x81", b"PK\x03\x04", b"\x93NUMPY", b"%s", b"../", b"1e999"
NUMBERS = -1, 0, -0.0, 2**63, 10**40, 10**400, 1e308, float("nan"), float("inf")
TEXTS = "", "\0", "\n", "nan", "%s", "../../x", "/etc/passwd", "é" * 99, "1" * 5000
ODD: list[Any] = [None, True, *NUMBERS, *TEXTS, [], {}, [[]], [None], {"": 0}]


def damaged_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes with something changed: a bit, a stretch, the length, a part twice."""
    if not data:
        return rng.bytes(int(rng.integers(20)))
    at = int(rng.integers(len(data)))
    length = int(min(len(data) - at, 2 ** rng.integers(10)))
    kind = rng.integers(8)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + rng.bytes(length) + data[at + length :]
    if kind == 2:
        return data[:at]
    if kind == 3:
        return data + rng.bytes(length)
    if kind == 4:
        return data[:at] + data[at + length :]
    if kind == 5:
        return data[:at] + data[at : at + length] * int(rng.integers(2, 5)) + data[at + length :]
    if kind == 6:
        other = int(rng.integers(len(data)))
        return data[:at] + data[other : other + length] + data[at + length :]
    return data[:at] + BYTES[rng.integers(len(BYTES))] + data[at + 1 :]


def damaged_value(value: Any, rng: np.random.Generator) -> Any:
    """Data of JSON's kinds with one thing in it changed."""
    value = copy.deepcopy(value)
    places = [*_places(value)]
    if not places:
        return _odd(value, rng)
    container, key = places[rng.integers(len(places))]
    kind = rng.integers(4)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[_odd_text(rng)] = container.pop(key)
    elif kind == 2:
        other, other_key = places[rng.integers(len(places))]
        container[key] = copy.deepcopy(other[other_key])
    else:
        container[key] = _odd(container[key], rng)
    return value


def nested(value: Any, rng: np.random.Generator) -> Any:
    """Data of JSON's kinds with one thing in it nested in itself, to the depth that JSON takes."""
    value = copy.deepcopy(value)
    container, key = (places := [*_places(value)])[rng.integers(len(places))]
    wrap = rng.integers(3)
    for _ in range(int(rng.integers(50, 400))):
        inner = container[key]
        container[key] = ([inner], {"list": [inner]}, {"": inner})[wrap]
    return value


def _places(value: Any) -> Any:
    """Every container within some data, with every key in it."""
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _odd(value: Any, rng: np.random.Generator) -> Any:
    """Something else in its place."""
    kind = rng.integers(3)
    if kind == 0 and isinstance(value, (int, float)) and not isinstance(value, bool):
        return value + (-1, 1, 0.5, -value, value)[rng.integers(5)]
    if kind == 0 and isinstance(value, str):
        return damaged_bytes(value.encode(), rng).decode("utf-8", "replace")
    if kind == 1:
        return [value]
    return copy.deepcopy(ODD[rng.integers(len(ODD))])


def _odd_text(rng: np.random.Generator) -> str:
    return json.dumps(ODD[rng.integers(len(ODD))])
