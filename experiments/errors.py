"""What a user can cause and should read as one line."""

import errno
import os
import shlex
import sys
from collections.abc import Iterable
from unicodedata import category


class InputError(ValueError):
    """Something the user gave (an option, a file, a folder) cannot be used, and why, in a line."""

    def __init__(self, message: object) -> None:
        """message: as it is, but for what cannot be printed, which text of a file may have."""
        super().__init__(printable(message))


class RunStoppedError(RuntimeError):
    """A training run ended early; the message says where, what is kept, and how to go on."""


def printable(text: object, most: int = 2000) -> str:
    """The text of anything, on one line of at most so many characters, as a terminal can have it.

    Line breaks, control and escape codes, bytes of file names that are no text, and what turns the
    direction of writing become what Python writes for them, such as `\\n`; a long one loses its
    middle.
    """
    shown = str(text)
    if len(shown) > most:
        end = most // 4
        shown = f"{shown[: most - end - 5]} ... {shown[-end:]}"
    if shown.isprintable():
        return shown
    return "".join(_escaped(char) if category(char) in _NOT_SHOWN else char for char in shown)


def sizes_text(sizes: Iterable[object], sign: str = "x", *, empty: str = "0") -> str:
    """Sizes as options take them, `256x128`, or with another sign; `empty` if there are none."""
    return sign.join(map(repr, sizes)) or empty


def kind_of(value: object) -> str:
    """What kind of value this is, with its article: a list, an int."""
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def expect_text(name: str, where: str) -> None:
    """Raise `InputError` for the name of a file or folder that no text file can hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{where} {_remedy(name)}") from None


def expect_nameable(name: str, where: str) -> None:
    """Raise `InputError` for a text that no file can be called in this locale, or on this disk."""
    try:
        name.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
        os.lstat(name)
    except UnicodeEncodeError:
        raise InputError(f"{where} {_remedy(name)}") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{where} is longer than a name of a file may be") from None
    except ValueError:  # a NUL, which no file has
        return


def _remedy(name: str) -> str:
    """What is wrong with a name that is no text here, and what to do."""
    try:
        name.encode(errors="surrogateescape").decode()
    except UnicodeError:
        return "is no UTF-8 text: rename it"
    return f"is not {sys.getfilesystemencoding()}, this locale's encoding: set PYTHONUTF8=1"


def quoted(text: object) -> str:
    """A path or a value as a shell takes it, for a command to be pasted."""
    return shlex.quote(str(text))


_NOT_SHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # which scripts and emoji need


def _escaped(char: str) -> str:
    return char if char in _JOINERS else char.encode("unicode_escape").decode()
