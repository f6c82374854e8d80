"""Where data sets are looked for, where downloads are kept, and a free place for a result."""

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from funcnn._files import is_temporary
from funcnn.experiments.errors import InputError
from funcnn.experiments.system.lock import locked, remove_temporaries

RUNS = Path("runs")


def data_folders() -> list[Path]:
    """The folders that hold data sets, a folder each: `$FUNCNN_DATA`, the project's, the cache."""
    folder = os.environ.get("FUNCNN_DATA")
    folders = [Path(folder)] if folder else []
    folders.append(Path(__file__).resolve().parent.parent / "data")
    with contextlib.suppress(InputError):  # without a home there is none
        folders.append(cache_folder())
    return folders


def cache_folder() -> Path:
    """The user's cache folder for funcnn. Raises `InputError` for a user without a home folder."""
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(cache or Path.home() / ".cache") / "funcnn"
    except RuntimeError:
        raise InputError("this user has no home folder: set XDG_CACHE_HOME to one") from None


def expect_new(out: Path, suffix: str = "") -> None:
    """Raise `InputError` if there is something already where a result is to be written.

    suffix: how the name must end, as `.png`.
    """
    if out.exists():
        raise InputError(f"--out {out} exists already; give the name of a new file")
    above = next((folder for folder in out.parents if folder.exists()), out.parent)
    if not above.is_dir():
        raise InputError(f"--out {out}: {above} is a file, not a folder")
    if suffix and out.suffix.lower() != suffix:
        raise InputError(f"--out {out}: give a name that ends in {suffix}")


def free_file(name: str, suffix: str) -> Path:
    """The next free one of `runs/NAME-001` and so on, with this ending, for `new_file`."""
    name = safe_name(name)
    paths = (RUNS / f"{name}-{number:03d}{suffix}" for number in itertools.count(1))
    return next(path for path in paths if not path.exists())


@contextlib.contextmanager
def new_file(out: Path) -> Iterator[None]:
    """In the `with` block the file `out` is the caller's to write; if that fails, there is none.

    Its folder is made if it is not there.

    Raises `InputError` if it is there by now, such as of another process; `OSError`.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        open(out, "xb").close()
    except FileExistsError:
        raise InputError(f"--out {out} exists already; give the name of a new file") from None
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            out.unlink()
        raise


def make_folder(out: Path | None, name: str) -> Path:
    """A new folder for results: `out`, or the next free one of `runs/NAME-001` and so on.

    Raises `InputError` if `out` exists and is not an empty folder, `OSError` if it cannot be made.
    """
    if out is None:
        return _make_next(name)
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        _expect_empty(out)
    return out


@contextlib.contextmanager
def new_folder(out: Path | None, name: str) -> Iterator[Path]:
    """As `make_folder`, and in the `with` block nobody else who asks so can have it.

    Who writes into it there is the one to whom it belongs from then on. After an error nothing is
    left in it; after a kill it may be asked for again.
    Raises as `make_folder`, and `InputError` if another process is at work in it.
    """
    folder = make_folder(out, name)
    with locked(folder):
        _expect_empty(folder)  # or another process has made it its own meanwhile
        remove_temporaries(folder)
        (begun := folder / _BEGUN).touch()
        try:
            yield folder
        except BaseException:
            with contextlib.suppress(OSError):
                for left in folder.iterdir():
                    left.unlink()
            raise
        begun.unlink()


_BEGUN = ".funcnn-begun"
"""In a folder whose first files are not all there. Whoever goes on with it takes it away."""


def _expect_empty(out: Path) -> None:
    begun = (out / _BEGUN).exists()
    if not begun and (not out.is_dir() or not all(map(is_temporary, out.iterdir()))):
        raise InputError(f"--out {out} exists already, and a run never overwrites one")


def safe_name(name: str) -> str:
    """`name` as a file or folder can be called on every system: `aux` is `aux_`, `a:b` is `a_b`."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).rstrip(". ") or "_"
    stem, dot, rest = name.partition(".")
    if re.fullmatch(r"(con|prn|aux|nul|com[0-9]|lpt[0-9]) *", stem, re.IGNORECASE):
        return f"{stem}_{dot}{rest}"  # Windows takes it for a device, whatever its ending
    return name


def _make_next(name: str) -> Path:
    name = safe_name(name)
    for number in itertools.count(1):
        path = RUNS / f"{name}-{number:03d}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if RUNS.is_dir():
                continue
            raise
        return path
    raise AssertionError("unreachable")
