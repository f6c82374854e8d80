"""What a function takes, asked before it is called."""

import inspect
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any


def accepts(function: Callable[..., Any], keyword: str) -> bool:
    """Whether `function` can be called with `keyword=...`."""
    code = _code_of(function)
    if code is not None:  # which is asked in a twentieth of the time
        named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return keyword in named or bool(code.co_flags & inspect.CO_VARKEYWORDS)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some compiled callables have no signature
        return False
    return keyword in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def _code_of(function: Any) -> CodeType | None:
    """The code of a function, or of an object that is called as one, without another signature."""
    if type(function) is FunctionType:
        return None if _has_another_signature(function) else function.__code__
    plain = vars(type(function)).get("__call__")
    if type(plain) is not FunctionType or _has_another_signature(plain):
        return None
    return None if _has_another_signature(function) else plain.__code__


def _has_another_signature(function: Any) -> bool:
    return hasattr(function, "__wrapped__") or hasattr(function, "__signature__")
