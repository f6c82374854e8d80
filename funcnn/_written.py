"""How things are written at a prompt: calls as in a script, and shapes in the place of arrays."""

import inspect
import json
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

C = TypeVar("C", bound=type)

_SUBMODULES = "activations", "augmentations", "initializers", "schedules"
"""Those whose functions are not at the top of `funcnn`."""


def written(value: Any) -> str:
    """The value as in a script that says `import funcnn as fn`; an array as `float32(784, 128)`."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        entries = [f"{written(key)}: {written(entry)}" for key, entry in value.items()]
        return f"{{{', '.join(entries)}}}"
    if type(value) is list:
        return f"[{', '.join(map(written, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(written, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, tuple) and hasattr(value, "_fields") and not any(map(callable, value)):
        return written_fields(value)  # a layer or an optimizer says itself what it is
    return name_of(value) if inspect.isroutine(value) else repr(value)


def written_fields(value: Any) -> str:
    """A NamedTuple: `AdamState(step=2, mean={"bias": float32(10,)})`."""
    fields = [f"{name}={written(part)}" for name, part in zip(value._fields, value, strict=True)]
    return f"{type(value).__name__}({', '.join(fields)})"


def by_shapes(kind: C) -> C:
    """Decorate a NamedTuple of arrays: its repr has their shapes and dtypes alone."""
    kind.__repr__ = written_fields  # type: ignore[method-assign, assignment]
    return kind


def written_call(make: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """`fn.Conv(16, 3, padding="same")`: the call, of what is not the default anyway."""
    parts: list[str] = []
    signature = inspect.signature(make)
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            parts += map(written, value)
        elif parameter.default is parameter.empty:
            parts.append(written(value))
        elif written(value) != written(parameter.default):
            parts.append(f"{name}={written(value)}")
    return f"{name_of(make)}({', '.join(parts)})"


def name_of(function: Callable[..., Any]) -> str:
    """The function's name, and before it `fn.`, or that and its module, if it is one of these."""
    name: str = getattr(function, "__name__", "function")
    room, _, module = str(getattr(function, "__module__", "")).partition(".")
    if room != "funcnn" or module.startswith("experiments"):
        return name
    return f"fn.{module}.{name}" if module in _SUBMODULES else f"fn.{name}"
