"""Networks of the user's own, from `FILE.py:NAME` or `package.module:NAME`.

The file is executed, as `python FILE.py` would, but is not `__main__`; it is somebody else's code,
so nothing but the command line may name it. What it prints is held back.
"""

import contextlib
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
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from funcnn.experiments.errors import InputError, kind_of, printable
from funcnn.experiments.tasks.own_models import OwnModel, Source, in_words
from funcnn.experiments.tasks.settings import dashed, is_reference
from funcnn.spec import is_own_constructor
from funcnn.types import Layer

_LIMIT = 60.0
"""Seconds that reading a file may take: what takes longer belongs into the function."""


def read_model(reference: str, options: Collection[str]) -> OwnModel:
    """The network; what its file prints is left out, and said in a warning.

    options: names that a setting cannot have. Raises `InputError`, one line with the place, for
    whatever keeps the file from being read, or the network from being one.
    """
    file, _, name = reference.rpartition(":")
    if not is_reference(reference):
        raise InputError(
            f"--model {reference}: give FILE.py:NAME, or package.module:NAME, such as mine.py:cnn"
        )
    if file.endswith(".py"):
        module, source = _run_file(Path(file))
    else:
        module, source = _import_module(file)
    return _own_model(reference, vars(module), name, source, options)


def own_model_of(
    name: str, made: Any, parts: Mapping[str, Any], source: Source | None, options: Collection[str]
) -> OwnModel:
    """The network of a layer, or a function that makes one. parts: names of a script, as in a file.

    Raises `InputError` as `read_model`.
    """
    where, settings = name, {}
    if source is not None:
        where = f"{source.file}:{_line_of(source, name.rpartition(':')[2])}"
    function = made if inspect.isfunction(made) else None
    if function is not None:
        code = function.__code__
        where = f"{Path(code.co_filename).name}:{code.co_firstlineno}"
        settings = _settings_of(function, where, name, options)
    elif not isinstance(made, Layer):
        raise InputError(
            f"{where}: {name.rpartition(':')[2]} is {kind_of(made)}, not a network: give a layer, "
            "or a function (input_shape, classes) -> layer"
        )
    make = function or (lambda input_shape, classes: made)
    return OwnModel(
        name=name,
        make=make,
        where=where,
        settings=settings,
        source=source,
        **_parts(parts, where.partition(":")[0]),
    )


def _own_model(
    reference: str,
    namespace: Mapping[str, Any],
    name: str,
    source: Source,
    options: Collection[str],
) -> OwnModel:
    if name not in namespace:
        networks = [
            each
            for each, value in namespace.items()
            if not each.startswith("_")
            and (isinstance(value, Layer) or _takes_data(value, source.file))
        ]
        known = ", ".join(networks) or "none"
        raise InputError(f"{source.file} has no {name} (networks there: {known})")
    return own_model_of(reference, namespace[name], namespace, source, options)


def _takes_data(value: Any, file: str) -> bool:
    """Whether it is a function of this file that takes `(input_shape, classes)`."""
    if not inspect.isfunction(value) or Path(value.__code__.co_filename).name != file:
        return False
    return list(inspect.signature(value).parameters)[:2] == ["input_shape", "classes"]


def _settings_of(
    function: types.FunctionType, where: str, name: str, options: Collection[str]
) -> dict[str, Any]:
    """Its further keywords, with their defaults."""
    parameters = list(inspect.signature(function).parameters.values())
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) < 2 or any(each.kind not in plain for each in parameters[:2]):
        raise InputError(
            f"{where}: a function that makes a network takes (input_shape, classes), and then "
            f"settings; {name.rpartition(':')[2]} takes {inspect.signature(function)}"
        )
    settings = {}
    for each in parameters[2:]:
        if each.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise InputError(f"{where}: give each setting a name of its own, not {each}")
        if each.name in options:
            raise InputError(
                f"{where}: the setting {each.name!r} has the name of an option, "
                f"--{dashed(each.name)}: call it otherwise"
            )
        settings[each.name] = each.default
    return settings


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "loss": ("a function (outputs, targets) -> (value, vjp)", callable),
    "optimizer": ("a function (learning_rate) -> optimizer, such as fn.adam", callable),
    "metrics": ("a dict of functions (outputs, targets) by their names", lambda v: _named(v)),
    "preprocess": ("a function of a batch of stored inputs", callable),
    "torch_modules": ("a dict of functions by the names of layers", lambda v: _named(v)),
    "onnx_operators": ("a dict of functions by the names of layers", lambda v: _named(v)),
}


_MEASURED = ("accuracy", "calibration_error", "examples", "loss", "precision", "recall")
PARTS = tuple(_KINDS)
"""What else a file may bring, by the names that it has in a script."""


def _named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and callable(each) for key, each in value.items()
    )


def _parts(namespace: Mapping[str, Any], file: str) -> dict[str, Any]:
    """What else a file brings, by the names that it has in a script."""
    found: dict[str, Any] = {}
    for name, (wanted, fits) in _KINDS.items():
        value = namespace.get(name)
        if value is None or isinstance(value, types.ModuleType):
            continue
        if not fits(value):
            raise InputError(f"{file}: {name} is {kind_of(value)}: give {wanted}")
        found[name] = value
    for name in found.get("metrics", ()):
        if name in _MEASURED:
            raise InputError(f"{file}: metrics has {name!r}, which is measured anyway: rename it")
    found["layers"] = [value for value in namespace.values() if is_own_constructor(value)]
    return found


# --- reading ---------------------------------------------------------------------------------

_read: dict[tuple[str, str], types.ModuleType] = {}  # by path and digest: executed once


def _run_file(path: Path) -> tuple[types.ModuleType, Source]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"--model {path}: it cannot be read ({error.strerror})") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name}: it is no UTF-8 text ({error.reason})") from None
    source = Source(path.name, text)
    key = (str(path.resolve()), source.sha256)
    if key in _read:
        return _read[key], source
    try:
        code = compile(text, str(path), "exec")
    except SyntaxError as error:
        raise InputError(f"{path.name}:{error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{path.name}: it is no Python ({in_words(error)})") from None
    module = types.ModuleType(str(path.resolve()))  # a name that hides no other module
    module.__file__ = str(path)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # for modules beside it; last, so that they hide none

    sys.modules[module.__name__] = module  # a dataclass looks for the module of its class
    try:
        with _watched(path.name):
            exec(code, module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    _read[key] = module
    return module, source


def _import_module(name: str) -> tuple[types.ModuleType, Source]:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise InputError(f"--model {name}: there is no such module here, written in Python")
    path = Path(found.origin)
    source = Source(path.name, path.read_text(encoding="utf-8"))
    with _watched(path.name):
        return importlib.import_module(name), source


@contextlib.contextmanager
def _watched(file: str) -> Iterator[None]:
    """Run a file's code: what it prints is a warning, what it raises an `InputError`."""
    printed = _Printed(file)
    try:
        with contextlib.redirect_stdout(printed), _limited(file):
            yield
    except _TooLongError as error:
        raise InputError(str(error)) from None
    except SyntaxError as error:  # in a module that it imports
        place = f"{Path(error.filename or file).name}:{error.lineno}"
        raise InputError(f"{place}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        raise InputError(f"{_place(file, error)}: {in_words(error)}") from None
    if printed.place is not None:
        line = f"{printed.place} prints when it is read, which is left out"
        logging.getLogger(__name__).warning("%s", printable(line))


def _place(file: str, error: BaseException) -> str:
    """The last line of the file that the error came by."""
    trace, found = error.__traceback__, file
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).name == file:
            found = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _line_in(file: str, frame: types.FrameType | None) -> str:
    """The line of the file that a frame is in, or was called from."""
    while frame is not None:
        if Path(frame.f_code.co_filename).name == file:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return file


class _TooLongError(BaseException):
    """A file that is still being read; no `except Exception` of its own holds it back."""


class _Printed(io.TextIOBase):
    """Takes what is printed, and keeps from where."""

    def __init__(self, file: str) -> None:
        self.place: str | None = None
        self._file = file

    def write(self, text: str) -> int:
        if self.place is None:
            self.place = _line_in(self._file, inspect.currentframe())
        return len(text)


@contextlib.contextmanager
def _limited(file: str) -> Iterator[None]:
    """Raise `_TooLongError` in what takes longer than `_LIMIT`, where the system has an alarm."""
    in_main = threading.current_thread() is threading.main_thread()
    if not hasattr(signal, "setitimer") or not in_main:
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


def _line_of(source: Source, name: str) -> int:
    """The line where a value is given its name, or 1."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if re.match(rf"{name}\s*[:=]", line):
            return number
    return 1
