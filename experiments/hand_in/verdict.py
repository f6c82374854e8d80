"""What is said of a rule of a lab."""

from typing import NamedTuple


class Verdict(NamedTuple):
    """A rule, and whether it holds."""

    of: str
    """The file, or the network, that it is about."""
    rule: str
    holds: bool
    detail: str = ""
    """What was found, in words."""

    def __str__(self) -> str:
        return f"{self.of}: {self.rule}{f' ({self.detail})' if self.detail else ''}"
