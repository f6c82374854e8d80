"""Where data sets are looked for, where downloads are kept, and that a result has a free place."""

import os
from pathlib import Path

from funcnn.experiments.errors import InputError


def data_folders() -> list[Path]:
    """The folders that hold data sets, a folder each: `$FUNCNN_DATA`, the project's, the cache."""
    given = os.environ.get("FUNCNN_DATA")
    project = Path(__file__).resolve().parent.parent / "data"
    return [*([Path(given)] if given else []), project, cache_folder()]


def cache_folder() -> Path:
    """The user's cache folder for funcnn."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "funcnn"


def expect_new(out: Path, suffix: str = "") -> None:
    """Raise `InputError` if there is something already where a result is to be written.

    suffix: how the name must end, as `.png`.
    """
    if out.exists():
        raise InputError(f"--out {out} exists already; give the name of a new file")
    if suffix and out.suffix.lower() != suffix:
        raise InputError(f"--out {out}: give a name that ends in {suffix}")
