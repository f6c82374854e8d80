"""A document's page as a PDF, by way of WeasyPrint."""

import contextlib
import io
import itertools
import logging
import os
import warnings
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
_STEP = 0.1
"""Of the least height, by which a figure is set smaller still if it does not fit."""
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


class _Figure(NamedTuple):
    """One that could stand on another page if it were smaller."""

    name: str
    """Its id."""
    height: float
    """Pixels: that with which it should fit."""
    least: float
    """Pixels: below that it is not set smaller."""


def _laid_out(html: str) -> Any:
    """The document in pages.

    A figure that would leave a third of one blank, or few lines for the last, is set smaller.
    """
    from weasyprint import CSS, HTML

    source, images = HTML(string=html), dict[str, Any]()
    heights: dict[str, float] = {}

    def rendered() -> Any:
        rules = (
            f"#{name} img {{max-height: {height:.1f}px !important}}"
            for name, height in heights.items()
        )
        return source.render(stylesheets=[CSS(string=" ".join(rules))], cache=images)

    document, done = rendered(), set[str]()
    while (figure := _to_be_smaller(document.pages, done)) is not None:
        name, height, least = figure
        while height >= least:
            heights[name] = height
            document = rendered()
            still = _to_be_smaller(document.pages, done)
            if still is None or still.name != name:
                break
            height -= _STEP * least  # what follows a figure may want lines on its page
        else:
            del heights[name]
            document = rendered()
        done.add(name)
    return document


def _to_be_smaller(pages: Sequence[Any], done: Container[str]) -> _Figure | None:
    """The first figure, but for those done, that could have stood on the page before its own.

    Of pages, the last apart, that are blank for so much of their height. Then that before a last
    page of few lines, which could have room for them. None if all would be too small.
    """
    boxes = [page._page_box for page in pages]
    for page, following in itertools.pairwise(boxes):
        blank = page.height - _used(page)
        figure = next(_figures(following), None)
        if blank < _MUCH * page.height or figure is None:
            continue
        above = figure.position_y - following.margin_top
        if above > _HEADINGS:
            continue
        lacking = max(0, above + figure.margin_height() + _MARGINS - blank)
        found = _smaller(figure, lacking, done)
        if found is None and figure.element.get("id") not in done:
            # It would be too small: both a little, and first the one that stands before the blank.
            *_, own = (None, *_figures(page))
            found = None if own is None else _smaller(own, lacking / 3, done)
        if found is not None:
            return found
    if len(boxes) < 2 or _used(boxes[-1]) > _FEW * boxes[-1].height:
        return None
    *_, figure = (None, *_figures(boxes[-2]))
    return None if figure is None else _smaller(figure, _used(boxes[-1]) + _MARGINS, done)


def _figures(page: Any) -> Iterator[Any]:
    return (box for box in page.descendants() if box.element_tag == "figure")


def _smaller(figure: Any, by: float, done: Container[str]) -> _Figure | None:
    """The figure set smaller by so many pixels; None if it is done, or would be too small."""
    name = figure.element.get("id")
    image = next((box for box in _lines(figure) if box.element_tag == "img"), None)
    if image is None or name in done or image.height - by < _LEAST * image.height:
        return None
    return _Figure(name, image.height - by, _LEAST * image.height)


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
