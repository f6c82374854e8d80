"""Packages that only a part of the work needs, and what to say where one is missing."""

import importlib
from types import ModuleType

from funcnn.experiments.errors import InputError


def import_extra(module: str, package: str, purpose: str) -> ModuleType:
    """The module, which needs `package`, the name of an extra too.

    purpose: what the user asked for. Raises `InputError` if the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package:
            raise
        install = f"pip install 'funcnn[{package}]'"
        raise InputError(f"{purpose} needs {package}, which is not installed: {install}") from None
