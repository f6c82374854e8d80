"""The JSON files that runs, sweeps, comparisons and experiments leave: one reader, one writer."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from funcnn._files import read_text, write_whole
from funcnn.experiments.errors import InputError, kind_of


def read_record(path: Path, expected: str) -> dict[str, Any]:
    """The values in a JSON file; `expected`, for the error: what it should be, as "a config file".

    Raises `InputError` if it cannot be read, is not UTF-8 (a byte-order mark may be there) or JSON
    with an object at its top, is nested too deeply, says a name twice, or has a number that is not
    finite or has thousands of digits.
    """
    try:
        values = json.loads(
            read_text(path),
            object_pairs_hook=_each_once,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except RecursionError:
        raise InputError(f"{path} is not {expected}: it is nested too deeply") from None
    except ValueError as error:  # not UTF-8, not JSON, or one of those below
        raise InputError(f"{path} is not {expected}: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} is not {expected}: it holds {kind_of(values)}")
    return values


def write_record(path: Path, values: Mapping[str, Any]) -> None:
    """Write the values, which are finite, as a JSON file, whole. Raises `OSError`."""
    write_whole(path, f"{json.dumps(values, indent=2, allow_nan=False)}\n".encode())


def expect_kinds(
    path: Path, expected: str, values: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]]
) -> None:
    """Raise `InputError` unless each of these names has a value of one of its kinds.

    A whole number is a float too, if it is not too large for one; a bool is no number.
    """
    for name, allowed in kinds.items():
        value = values.get(name)
        if name not in values:
            raise InputError(f"{path} is not {expected}: it has no {name}")
        wide = (*allowed, int) if float in allowed else allowed
        if isinstance(value, bool) or not isinstance(value, wide):
            raise InputError(f"{path} is not {expected}: its {name} is {_short(value)}")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise InputError(f"{path} is not {expected}: its {name} is {_short(value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it says {twice!r} twice")
    return values


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
