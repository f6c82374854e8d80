"""What a user can cause and should read as one line."""

import shlex
from unicodedata import category


class InputError(ValueError):
    """Something the user gave (an option, a file, a folder) cannot be used, and why."""


class RunStoppedError(RuntimeError):
    """A training run ended early; the message says where, what is kept, and how to go on."""


def printable(text: object, most: int = 2000) -> str:
    """The text of anything, on one line of at most so many characters, as a terminal can have it.

    Line breaks, control and escape codes, bytes of file names that are no text, and what turns the
    direction of writing become what Python writes for them, such as `\\n`; a long one loses its
    middle.
    """
    said = str(text)
    if len(said) > most:
        end = most // 4
        said = f"{said[: most - end - 5]} ... {said[-end:]}"
    if said.isprintable():
        return said
    return "".join(_escaped(char) if category(char) in _NOT_SHOWN else char for char in said)


def quoted(text: object) -> str:
    """A path or a value as a shell takes it, for a command to be pasted."""
    return shlex.quote(str(text))


_NOT_SHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # which scripts and emoji need


def _escaped(char: str) -> str:
    return char if char in _JOINERS else char.encode("unicode_escape").decode()
