"""A Python file of the user's own, executed as `python FILE.py` would, but not as `__main__`.

What it prints is held back, and what it raises is one line with the place.
"""

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import inspect
import io
import logging
import os
import re
import signal
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from funcnn._files import read_text
from funcnn.experiments.errors import InputError, printable
from funcnn.experiments.tasks.own_models import Source, frames_of, in_words

_LIMIT = 60.0
"""Seconds that reading a file may take: what takes longer belongs into the function."""

_being_read: list[str] = []

_read: dict[tuple[str, str], types.ModuleType] = {}  # by path and digest: executed once


def run_file(path: Path) -> tuple[types.ModuleType, Source]:
    """The module of a file, executed once for each text that it has. Raises `InputError`."""
    source = _source(path)
    key = (str(path.resolve()), source.sha256)
    if key in _read:
        return _read[key], source
    try:
        code = compile(source.text, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise InputError(f"{path.name}:{error.lineno or 1}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{path.name}: it is no Python ({in_words(error)})") from None
    # Of a name that no other has: neither a file like this one, nor a library called as it is.
    digest = hashlib.sha256("".join(key).encode(errors="surrogateescape")).hexdigest()
    module = types.ModuleType(re.sub(r"\W", "_", f"{path.stem}_{digest[:8]}"))
    module.__file__, module.__package__ = str(path), ""  # it is in none, nor has modules inside
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # for modules beside it; last, so that they hide none

    # A dataclass and a pickle look for the module of a class by its name.
    sys.modules[module.__name__] = module
    try:
        with _watched(path.name):
            exec(code, module.__dict__)
    except BaseException:
        sys.modules.pop(module.__name__, None)
        raise
    _read[key] = module
    return module, source


def import_module(name: str) -> tuple[types.ModuleType, Source]:
    """A module by its name, from here or where Python finds it. Raises `InputError`."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    with _watched(name):
        found = _find(name)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise InputError(f"--model {name}: there is no such module here, written in Python")
    source = _source(Path(found.origin))
    key = (found.origin, source.sha256)
    if key not in _read and any(path == found.origin for path, _ in _read):
        raise InputError(f"{source.file} has changed since it was imported: begin anew")
    with _watched(source.file):
        module = _read[key] = importlib.import_module(name)
    return module, source


def _find(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):
            return None
        raise  # of what its package imports
    except ValueError:  # __main__
        return None


def _source(path: Path) -> Source:
    try:
        return Source(path.name, read_text(path))
    except OSError as error:
        raise InputError(f"--model {path}: it cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name}: it is no UTF-8 text ({error.reason})") from None


@contextlib.contextmanager
def _watched(file: str) -> Iterator[None]:
    """Run a file's code: what it prints is a warning, what it raises an `InputError`."""
    _being_read.append(file)
    printed = _Printed(file)
    stream: Any = io.TextIOWrapper(printed, encoding="utf-8", write_through=True)
    try:
        with contextlib.redirect_stdout(stream), _limited(file):
            yield
    except _TooLongError as error:
        raise InputError(str(error)) from None
    except SyntaxError as error:  # in a module that it imports
        place = f"{Path(error.filename or file).name}:{error.lineno}"
        raise InputError(f"{place}: {error.msg}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # `sys.exit` and `pytest.skip` raise no `Exception`
        raise InputError(f"{_place(file, error)}: {in_words(error)}") from None
    finally:
        _being_read.pop()
    if printed.place is not None:
        line = f"{printed.place} prints when it is read, which is left out"
        logging.getLogger(__name__).warning("%s", printable(line))


def expect_not_being_read() -> None:
    """Raise `InputError` if a model file is being read: what trains belongs below its functions."""
    if _being_read:
        raise InputError("it trains while it is read: put that under if __name__ == '__main__':")


def place_of(error: BaseException) -> str | None:
    """The last line of a model file that an error came by, if it came by one."""
    files = {module.__file__: Path(str(module.__file__)).name for module in _read.values()}
    found = None
    for frame, line in frames_of(error):
        if frame.f_code.co_filename in files:
            found = f"{files[frame.f_code.co_filename]}:{line}"
    return found


def _place(file: str, error: BaseException) -> str:
    """The last line of the file that the error came by."""
    lines = [
        line for frame, line in frames_of(error) if Path(frame.f_code.co_filename).name == file
    ]
    return f"{file}:{lines[-1]}" if lines else file


def _line_in(file: str, frame: types.FrameType | None) -> str:
    """The line of the file that a frame is in, or was called from."""
    while frame is not None:
        if Path(frame.f_code.co_filename).name == file:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return file


class _TooLongError(BaseException):
    """A file that is still being read; no `except Exception` of its own holds it back."""


class _Printed(io.BufferedIOBase):
    """Takes what is printed, and keeps from where."""

    name = "<stdout>"

    def __init__(self, file: str) -> None:
        self.place: str | None = None
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.place is None:
            self.place = _line_in(self._file, inspect.currentframe())
        return len(data)


@contextlib.contextmanager
def _limited(file: str) -> Iterator[None]:
    """Raise `_TooLongError` in what takes longer than `_LIMIT`, where the system has an alarm."""
    in_main = threading.current_thread() is threading.main_thread()
    # Said by the name, too, which is what a type checker understands.
    if sys.platform == "win32" or not hasattr(signal, "setitimer") or not in_main:
        yield
        return

    def stop(number: int, frame: types.FrameType | None) -> None:
        raise _TooLongError(
            f"{_line_in(file, frame)}: after {_LIMIT:g} s it is still being read: what takes long "
            "belongs into the function, or under if __name__ == '__main__'"
        )

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
