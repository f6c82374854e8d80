"""What a function takes, asked before it is called."""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

_OTHER_SIGNATURE = {"__wrapped__", "__signature__"}


def accepts(function: Callable[..., Any], keyword: str) -> bool:
    """Whether `function` can be called with `keyword=...`."""
    if type(function) is FunctionType and not function.__dict__.keys() & _OTHER_SIGNATURE:
        code = function.__code__  # which is asked in a twentieth of the time
        named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return keyword in named or bool(code.co_flags & inspect.CO_VARKEYWORDS)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some compiled callables have no signature
        return False
    return keyword in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )
