"""Packages that only some commands need: an extra of that name installs each."""

import importlib

from funcnn.experiments.errors import InputError


def require(package: str) -> None:
    """Raise `InputError`, which says what to install, unless the package can be imported."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise InputError(f"{package} is not installed: pip install 'funcnn[{package}]'") from None
