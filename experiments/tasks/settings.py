"""What a setting of a run may be, said once: checks, options and help are made of it."""

import contextlib
import dataclasses
import difflib
import math
import re
import sys
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Protocol

from funcnn.experiments.errors import kind_of, sizes_text


class Kind(Protocol):
    """Which values a setting may have."""

    def wrong(self, value: Any) -> str | None:
        """What a value that is none of them must be; None: it is one."""


class Choice(NamedTuple):
    """One of some names."""

    names: Collection[str]

    def wrong(self, value: Any) -> str | None:
        """As `Kind.wrong`."""
        known = isinstance(value, str) and value in self.names
        return None if known else f"one of {', '.join(self.names)}"


class NameOrReference(NamedTuple):
    """One of some names, or what a user calls something of their own."""

    names: Collection[str]

    def wrong(self, value: Any) -> str | None:
        """As `Kind.wrong`."""
        if isinstance(value, str) and (value in self.names or is_reference(value)):
            return None
        return f"one of {', '.join(self.names)}, or FILE.py:NAME"


class NameOrPath(NamedTuple):
    """One of some names, or any path."""

    names: Collection[str]

    def wrong(self, value: Any) -> str | None:
        """As `Kind.wrong`; a path may lead nowhere."""
        if isinstance(value, str) and value:
            return None
        return f"one of {', '.join(self.names)}, or a path"


class Whole(NamedTuple):
    """An integer."""

    least: int
    bits: int = 63
    """It is below `2**bits`."""
    optional: bool = False
    """Whether None will do, too."""

    def wrong(self, value: Any) -> str | None:
        """As `Kind.wrong`."""
        if value is None and self.optional:
            return None
        range_ = _missed_range(value, self.least, self.bits)
        return range_ and f"an integer {range_}"


class Number(NamedTuple):
    """A finite number of at least 0."""

    below: float = math.inf

    def wrong(self, value: Any) -> str | None:
        """As `Kind.wrong`."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and 0 <= value < self.below and value <= sys.float_info.max:
            return None
        finite = math.isfinite(self.below)
        return f"at least 0 and below {self.below}" if finite else "a finite number of at least 0"


class Sizes(NamedTuple):
    """Integers of at least 1, or none at all."""

    example: str

    def wrong(self, value: Any) -> str | None:
        """As `Kind.wrong`."""
        if not isinstance(value, (list, tuple)):
            return "a list of sizes"
        ranges = (_missed_range(size, 1, 31) for size in value)
        range_ = next(filter(None, ranges), None)
        return range_ and f"sizes {range_}, as {self.example}"


class Flag(NamedTuple):
    """True or false."""

    def wrong(self, value: Any) -> str | None:
        """As `Kind.wrong`."""
        return None if type(value) is bool else "true or false"


def _missed_range(value: Any, least: int, bits: int) -> str | None:
    """What is asked of an integer that this is not; None: it is one."""
    if type(value) is not int or value < least:
        return f"of at least {least}"
    return None if value < 2**bits else f"below 2**{bits}"


class Setting(NamedTuple):
    """A field of `RunConfig`, for whoever sets it."""

    kind: Kind
    default: Any
    """What it is unless an architecture, an optimizer or an activation brings another."""
    about: str
    """What it is, for a help text."""
    defaults: str
    """What that says of its defaults; {}: what each architecture and optimizer brings."""
    none: str
    """What None is called there."""


def setting(
    kind: Kind, default: Any, about: str, *, defaults: str = "{}", none: str = "none"
) -> Any:
    """A field of a dataclass that has the `Setting` of these as its metadata."""
    return dataclasses.field(metadata={"setting": Setting(kind, default, about, defaults, none)})


def is_reference(text: str) -> bool:
    """Whether a text is `FILE.py:NAME` or `package.module:NAME`, and no name of ours."""
    file, colon, name = text.rpartition(":")
    return bool(colon and name.isidentifier() and (file.endswith(".py") or _dotted(file)))


def _dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def is_of_same_name(reference: str, other: str) -> bool:
    """Whether two references name one thing in files of one name, wherever these are."""
    return re.split(r"[/\\]", reference)[-1] == re.split(r"[/\\]", other)[-1]


def dashed(name: str) -> str:
    """A setting's name as in its option."""
    return name.replace("_", "-")


def parse_sizes(text: str) -> tuple[int, ...]:
    """The sizes in a text such as 256x128. Raises `ValueError`."""
    if not re.fullmatch(r"[0-9]+(x[0-9]+)*", text):
        raise ValueError(f"{text!r}: give sizes as 256x128, or 0 for none")
    return () if text == "0" else tuple(map(int, text.split("x")))


def written(value: Any, kind: Kind) -> str:
    """A value that a setting cannot have, as a user wrote it; in a word if that is long."""
    text = sizes_text(value) if isinstance(value, tuple) else str(value)
    if isinstance(value, str) and isinstance(kind, (Number, Whole)):
        text = repr(value)
    return text if len(text) <= 100 or isinstance(value, (str, int)) else kind_of(value)


def unknown_name(name: str, known: Sequence[str]) -> str:
    """What to say of a setting that there is not, with the one that is likely meant."""
    near = ["lr"] if name == "learning_rate" else difflib.get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown setting {name!r} ({meant}known: {', '.join(known)})"


def parse_like(default: Any, text: str) -> Any:
    """The value in a text, of the kind of a default; None: of the kind that it looks like.

    Raises `ValueError`, which says what was expected.
    """
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError("give true or false")
        return text.lower() == "true"
    for kind, wanted in ((int, "a whole number"), (float, "a number")):
        if isinstance(default, kind):
            try:
                return kind(text)
            except ValueError:
                raise ValueError(f"give {wanted}, as {as_option(default)}") from None
    if isinstance(default, str):
        return text
    if isinstance(default, (tuple, list)):
        return parse_sizes(text)
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for parse in (int, float, parse_sizes):
        with contextlib.suppress(ValueError):
            return parse(text)
    return text


def as_option(value: Any) -> str:
    """A setting's value as its option takes it."""
    if isinstance(value, (list, tuple)):
        return sizes_text(value)
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)
