"""Where data sets are looked for, and where downloads are kept."""

import os
from pathlib import Path


def data_folders() -> list[Path]:
    """The folders that hold data sets, a folder each: `$FUNCNN_DATA`, the project's, the cache."""
    given = os.environ.get("FUNCNN_DATA")
    project = Path(__file__).resolve().parent.parent / "data"
    return [*([Path(given)] if given else []), project, cache_folder()]


def cache_folder() -> Path:
    """The user's cache folder for funcnn."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "funcnn"
