"""What a driver told. The code beside it can tell in its place, so only what is usable counts."""

from collections.abc import Callable, Mapping
from typing import Any

from funcnn.experiments.grade.sandbox import Ran

_EXCERPT, _LONGEST = 200, 1000
_LARGEST = 1e30
_MOST = 8
"""Numbers of a list."""


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) < _LONGEST


def _are_numbers(count: int) -> Callable[[Any], bool]:
    def they_are(value: Any) -> bool:  # null: it is not finite
        right = isinstance(value, list) and len(value) == count
        return right and all(each is None or _is_number(each) for each in value)

    return they_are


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _MOST and all(map(_is_count, value))


_KINDS: dict[str, Callable[[Any], bool]] = {
    "module": _is_text,
    "package": _is_flag,
    "steps": _is_count,
    "scale": _is_count,
    "losses": _are_numbers(2),
    "falls": _is_flag,
    "probabilities": _is_flag,
    "shape": _is_shape,
    "parameters": _is_count,
    "loads": _is_flag,
    "loss": _are_numbers(3),
    "smoothing": _are_numbers(2),
    "ran": _is_flag,
}


def usable(ran: Ran) -> dict[str, Any]:
    """What was told, without what the drivers do not tell, or not so."""
    told = {}
    for key, value in (ran.results or {}).items():
        is_right = _is_text if key.endswith(("error", "unable")) else _KINDS.get(key)
        if is_right is not None and is_right(value):
            told[key] = value
    return told


def trouble(ran: Ran, told: Mapping[str, Any], part: str = "") -> tuple[bool | None, str]:
    """False if it speaks against the code that a part was not told, else None; and why it was not.

    part: what its keys begin with: `loads_`.
    """
    if ran.results is None:
        printed = f"; it printed {ran.output[-_EXCERPT:]!r}" if ran.output else ""
        return None if ran.undecided else False, f"{ran.stopped}{printed}"
    if f"{part}error" in told:
        return False, told[f"{part}error"]
    return None, told.get(f"{part}unable", "it told nothing usable")
