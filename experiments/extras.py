"""Packages that only some commands need: an extra installs each."""

import importlib

from funcnn.experiments.errors import InputError


def require(package: str, extra: str | None = None) -> None:
    """Raise `InputError`, which says what to install, unless the package can be imported.

    extra: its name, where it is not the package's.
    """
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        wanted = f"funcnn[{extra or package}]"
        raise InputError(f"{package} is not installed: pip install '{wanted}'") from None
