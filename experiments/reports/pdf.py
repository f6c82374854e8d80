"""A document's page as a PDF, by way of WeasyPrint."""

import contextlib
import io
import itertools
import logging
import os
import warnings
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from funcnn._files import write_whole
from funcnn.experiments.errors import InputError, printable
from funcnn.experiments.extras import require
from funcnn.experiments.figures.drawing import FONTS, signs_without_font

_MUCH = 1 / 3
"""Of a page's height, that should not be blank."""
_LEAST = 0.55
"""Of a figure's height, below which it is not set smaller to fit."""
_FEW = 0.15
"""Of a page's height: what a last page should have more than."""
_HEADINGS, _MARGINS = 80, 45
"""Pixels: what headings above a figure take at most, and the margins that they lose on a page."""


def require_weasyprint() -> None:
    """Raise `InputError` where WeasyPrint, or Pango, on which it stands, is not installed."""
    from PIL import ImageFile

    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        # WeasyPrint prints a paragraph of its own before it raises.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as in `_by_any_machine`
            require("weasyprint", extra="report")
    except OSError as error:
        raise InputError(
            "a PDF needs the system library Pango (and HarfBuzz with it), which WeasyPrint cannot "
            f"load: {str(error).partition('.  ')[0].splitlines()[0]}"
        ) from None
    finally:  # which WeasyPrint changes for everybody
        ImageFile.LOAD_TRUNCATED_IMAGES = strict


def to_pdf(html: str) -> bytes:
    """What `to_html` gave as a PDF with outline and tags; equal pages give equal files.

    Signs that no font here has are boxes, and that is a warning in the log. Raises `InputError` as
    `require_weasyprint`.
    """
    require_weasyprint()
    with _by_any_machine():
        document = _laid_out(html)
        _warn_of_boxes(document)
        pdf: bytes = document.write_pdf(pdf_tags=True)
    return pdf


def _warn_of_boxes(document: Any) -> None:
    """Say in one line of the log which signs of a document no font on this machine has."""
    from weasyprint.formatting_structure import boxes

    texts = (
        box.text
        for page in document.pages
        for box in page._page_box.descendants()
        if isinstance(box, boxes.TextBox)
    )
    signs = set().union(*texts)
    if without := signs_without_font(sign for sign in signs if sign.isprintable()):
        logging.getLogger(__name__).warning(
            "%s",
            printable(
                f"the PDF has boxes for {' '.join(sorted(without))}, which no font here has; one "
                f"is {FONTS[0]}"
            ),
        )


def _laid_out(html: str) -> Any:
    """The document in pages.

    A figure that would leave a third of one blank, or few lines for the last, is set smaller.
    """
    from weasyprint import CSS, HTML

    source, images = HTML(string=html), dict[str, Any]()
    heights: dict[str, float] = {}
    while True:
        rules = (
            f"#{name} img {{max-height: {height:.1f}px !important}}"
            for name, height in heights.items()
        )
        document = source.render(stylesheets=[CSS(string=" ".join(rules))], cache=images)
        pages = document.pages
        smaller = _smaller_figure(pages, heights) or _smaller_for_few_lines(pages, heights)
        if not smaller:
            return document
        heights |= smaller


def _smaller_figure(pages: Sequence[Any], done: Container[str]) -> dict[str, float]:
    """The first figure that could have stood on the page before its own: the height that fits.

    In pixels, by its id. Empty if no page, the last apart, is blank for so much of its height, or
    what stands first on the page after is no figure, is one that is `done`, or would be too small.
    """
    for page, following in itertools.pairwise(page._page_box for page in pages):
        top, blank = page.margin_top, page.height - _used(page)
        figures = (box for box in following.descendants() if box.element_tag == "figure")
        figure = next(figures, None)
        if blank < _MUCH * page.height or figure is None or figure.position_y - top > _HEADINGS:
            continue
        name = figure.element.get("id")
        images = (box for box in _lines(figure) if box.element_tag == "img")
        image = next(images, None)
        if image is None or name in done:
            continue
        wanted = figure.position_y - top + figure.margin_height() + _MARGINS
        height = image.height - max(0, wanted - blank)
        if height >= _LEAST * image.height:
            return {name: height}
    return {}


def _smaller_for_few_lines(pages: Sequence[Any], done: Container[str]) -> dict[str, float]:
    """The last figure of the page before the last, if that has few lines: the height that fits.

    In pixels, by its id. Empty if the last page has more, or the figure would be too small.
    """
    if len(pages) < 2:
        return {}
    before, last = (page._page_box for page in pages[-2:])
    used = _used(last)
    figures = [box for box in before.descendants() if box.element_tag == "figure"]
    if used > _FEW * last.height or not figures:
        return {}
    name = figures[-1].element.get("id")
    images = (box for box in _lines(figures[-1]) if box.element_tag == "img")
    image = next(images, None)
    if image is None or name in done:
        return {}
    height = image.height - used - _MARGINS
    return {name: height} if height >= _LEAST * image.height else {}


def _used(page: Any) -> float:
    """How much of a page's height is used, to the end of its last line or picture."""
    top, bottom = page.margin_top, page.margin_top + page.height
    ends = (box.position_y + box.height for box in _lines(page) if box.position_y >= top)
    used: float = max((end for end in ends if end <= bottom + 1), default=top) - top
    return used


def _lines(box: Any) -> Iterator[Any]:
    """The lines and pictures in a box of WeasyPrint's."""
    from weasyprint.formatting_structure import boxes

    for each in box.descendants():
        if isinstance(each, (boxes.LineBox, boxes.ReplacedBox)):
            yield each


def write_pdf(html: str, path: Path) -> None:
    """Write it to a file. Raises `InputError` as `require_weasyprint`, `OSError`."""
    write_whole(path, to_pdf(html))


@contextlib.contextmanager
def _by_any_machine() -> Iterator[None]:
    """Where HarfBuzz's subset library is missing, the PDF is complete all the same.

    fontTools cuts the fonts then. It would date what it cuts, by the clock if not told otherwise,
    and WeasyPrint would say of every font that a later release will need the library.
    """
    logger = logging.getLogger("weasyprint")
    level, date = logger.level, os.environ.get("SOURCE_DATE_EPOCH")
    logger.setLevel(logging.ERROR)
    os.environ["SOURCE_DATE_EPOCH"] = date or "0"
    try:
        yield
    finally:
        logger.setLevel(level)
        if date is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = date
