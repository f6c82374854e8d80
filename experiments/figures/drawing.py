"""Where every figure is drawn: with matplotlib as it comes, whatever its user has set.

Its backend (`MPLBACKEND`), a matplotlibrc and styles change nothing here, and nothing is changed
for whoever else uses it in this process.
"""

import contextlib
import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from funcnn.experiments.errors import InputError, printable

_P = ParamSpec("_P")
_Draw = Callable[Concatenate[Path, _P], None]


class FigureError(InputError):
    """A figure could not be drawn, and why."""


def figure_file(draw: _Draw[_P]) -> _Draw[_P]:
    """Have `draw(path, ...)` draw as it does anywhere. It raises `FigureError` if it cannot."""

    @functools.wraps(draw)
    def drawing(path: Path, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            with own_settings(), _missing_signs(path):
                draw(path, *args, **kwargs)
        except FigureError:
            raise
        except Exception as error:  # of matplotlib, its fonts, the disk: whatever it is
            why = error.strerror if isinstance(error, OSError) else None
            raise FigureError(
                f"the figure {path} could not be drawn: {why or _in_words(error)}"
            ) from error

    return drawing


def drawn(draw: _Draw[_P], path: Path, *args: _P.args, **kwargs: _P.kwargs) -> bool:
    """Draw it beside numbers that are written already; returns whether it could be.

    If not, that is a warning in the log, and no older figure stays in its place.
    """
    try:
        draw(path, *args, **kwargs)
    except FigureError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        logging.getLogger(__name__).warning("%s", printable(error))
        return False
    return True


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


FONTS = (
    *("Noto Sans CJK TC", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR"),
    *("WenQuanYi Micro Hei", "Microsoft JhengHei", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
    *("PingFang TC", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS"),
)
"""Fonts of Linux, Windows and Macs with signs that matplotlib's own lacks: names of classes."""


def signs_without_font(signs: Iterable[str]) -> set[str]:
    """Those of some signs that no font installed here has."""
    _import_matplotlib()
    from matplotlib.font_manager import findSystemFonts
    from matplotlib.ft2font import FT2Font

    without = {ord(sign) for sign in signs}
    for path in findSystemFonts():
        if not without:
            break
        with contextlib.suppress(RuntimeError, OSError):  # of a file that is no such font
            without -= FT2Font(path).get_charmap().keys()
    return set(map(chr, without))


@contextlib.contextmanager
def _missing_signs(path: Path) -> Iterator[None]:
    """Say in one line of the log that signs are boxes; matplotlib warns of each by itself."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", "Glyph")
        yield
    others = [each for each in caught if "missing from" not in str(each.message)]
    if len(others) < len(caught):
        logging.getLogger(__name__).warning(
            "%s", printable(f"{path} has boxes for signs that no font here has; one is {FONTS[0]}")
        )
    for each in others:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Matplotlib's own settings, not the user's, for as long as this is open."""
    matplotlib = _import_matplotlib()
    own = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    with matplotlib.rc_context():
        with warnings.catch_warnings(action="ignore"):  # some of its own settings are going
            matplotlib.rcParams.update(own)
        from matplotlib.font_manager import fontManager

        installed = set(fontManager.get_font_names())
        matplotlib.rcParams["font.family"] = ["sans-serif", *(f for f in FONTS if f in installed)]
        yield


def _import_matplotlib() -> Any:
    """It refuses to be imported where `MPLBACKEND` is a name that it does not know."""
    chosen = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)  # a folder that it cannot keep its fonts in is nobody's affair
    try:
        import matplotlib
    finally:
        log.setLevel(level)
        if chosen is not None:
            os.environ["MPLBACKEND"] = chosen
    if chosen:  # for whoever shows figures in this process
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = chosen
    return matplotlib
