"""What a rule of a sheet found."""

from typing import NamedTuple


class Verdict(NamedTuple):
    """A rule, and whether it holds."""

    of: str
    """The file, or the part of the lab, that it is about."""
    sheet: str
    """What the lab's sheet says."""
    holds: bool | None
    """None: it could not be decided from the files alone."""
    found: str = ""
    """What was found, in a few words."""


def listed(words: list[str], most: int = 5) -> str:
    """Some words as a list that stays short."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more:,} more" if more > 0 else "")
