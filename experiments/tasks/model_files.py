"""Networks of the user's own, from `FILE.py:NAME` or `package.module:NAME`.

That is somebody else's code, so nothing but the command line may name it.
"""

import inspect
import re
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from funcnn.experiments.errors import InputError, kind_of
from funcnn.experiments.tasks.executed import import_module, run_file
from funcnn.experiments.tasks.own_models import OwnModel, Source
from funcnn.experiments.tasks.settings import dashed, is_reference
from funcnn.spec import is_constructor, is_own_constructor, own_constructors
from funcnn.types import Layer


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
        module, source = run_file(Path(file))
    else:
        module, source = import_module(file)
    return _own_model(reference, vars(module), name, source, options)


def own_model_of(
    name: str, made: Any, parts: Mapping[str, Any], source: Source | None, options: Collection[str]
) -> OwnModel:
    """The network of a layer, or a function that makes one. parts: what a file has, by its name.

    Raises `InputError` as `read_model`.
    """
    where, settings = name, {}
    if source is not None:
        where = f"{source.file}:{_line_of(source, name.rpartition(':')[2])}"
    function = made if inspect.isfunction(made) else None
    if is_constructor(made) or is_own_constructor(made):
        raise InputError(
            f"{where}: {name.rpartition(':')[2]} makes layers, and is none: call it, as "
            f"{made.__name__}(...)"
        )
    if function is not None and not _may_make_networks(function):
        called = name.rpartition(":")[2]
        raise InputError(f"{called} is a function of funcnn, not a network: give a layer")
    if function is not None:
        code = function.__code__
        where = f"{Path(code.co_filename).name}:{code.co_firstlineno}"
        settings = _settings_of(function, where, name, options)
    elif not isinstance(made, Layer):
        of_torch = " (a module of PyTorch is not: write it of funcnn's layers)"
        raise InputError(
            f"{where}: {name.rpartition(':')[2]} is {kind_of(made)}, not a network: give a layer, "
            "or a function (input_shape, classes) -> layer" + of_torch * hasattr(made, "forward")
        )
    make = function or (lambda input_shape, classes: made)
    brought = _parts(parts, where.partition(":")[0])
    if function is None:
        brought["layers"] += own_constructors(made)
    return OwnModel(name=name, make=make, where=where, settings=settings, source=source, **brought)


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


def _may_make_networks(function: types.FunctionType) -> bool:
    """Whether it is no function of the library itself, such as the `apply` of a layer."""
    module = str(function.__module__)
    return not module.startswith("funcnn.") or module.startswith("funcnn.experiments.")


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
    "torch_modules": (
        "a dict of functions or classes, which have names of their own, by the names of layers",
        lambda v: _named(v) and all(_is_named(make) for make in v.values()),
    ),
    "onnx_operators": ("a dict of functions by the names of layers", lambda v: _named(v)),
}
_MEASURED = (
    *("accuracy", "calibration_error", "examples", "is", "loss", "precision", "recall"),
    "top_5_accuracy",
)
PARTS = tuple(_KINDS)
"""What else a file may bring, by the names that it has in a script."""


def _named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and callable(each) for key, each in value.items()
    )


def _is_named(make: Any) -> bool:
    """Whether its source can stand in that of a model: a partial or a lambda has no name."""
    return str(getattr(make, "__name__", "")).isidentifier()


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
            raise InputError(f"{file}: metrics has {name!r}, which is said anyway: rename it")
        if not name.isidentifier():
            raise InputError(f"{file}: metrics has {name!r}: give a name, such as top_2")
    found["layers"] = [*_constructors(namespace)]
    return found


def _constructors(namespace: Mapping[str, Any]) -> Iterator[Callable[..., Layer]]:
    """Those of layers of the user's own, in a file or in modules that it imports."""
    modules = [vars(value) for value in namespace.values() if isinstance(value, types.ModuleType)]
    for each in (namespace, *modules):
        yield from filter(is_own_constructor, filter(inspect.isfunction, [*each.values()]))


def _line_of(source: Source, name: str) -> int:
    """The line where a value is given its name, or 1."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if re.match(rf"{name}\s*[:=]", line):
            return number
    return 1
