"""A document as one HTML page that needs nothing else: no network, no script, no other file.

The tags are those of `report.html.jinja`, the looks of `report.css`.
"""

import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from funcnn.experiments.reports.document import (
    Document,
    Formula,
    Items,
    Listing,
    Picture,
    Section,
    Table,
    Text,
)
from funcnn.experiments.reports.formula import to_svg
from funcnn.experiments.reports.pictures import inline

_KINDS = (Formula, Items, Listing, Picture, Section, Table, Text)
_MARKS = re.compile(
    r"`([^`]+)`|\*\*(?=\S)(.+?)(?<=\S)\*\*|\$(?=\S)([ -#%-~]+)(?<=\S)\$|\[([^\]]+)\]\([\w./-]+\)"
)
_LINES_OF_ONE_COLUMN = 16  # a listing of more stands in as many columns as have room
_ONE_NUMBER = r"[-+−]?(\d[\d,]*(\.\d+)?(e[-+]?\d+)?|nan|inf)"  # noqa: RUF001, a minus sign
_NUMBER = re.compile(rf"{_ONE_NUMBER}( ± {_ONE_NUMBER})?(\s?%|\s?[a-zA-Zµ/]{{1,8}})?")


def to_html(document: Document) -> str:
    """The page; equal documents (and pictures) give equal pages.

    Raises `InputError` for a picture whose file is missing or is neither PNG nor GIF, `ValueError`
    for a `Formula` that is no TeX.
    """
    page = Environment(
        autoescape=True,
        keep_trailing_newline=True,
        loader=FileSystemLoader(Path(__file__).parent),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    page.filters |= {
        "columns": _columns,
        "inline": inline,
        "kinds": _kinds,
        "marked": _marked,
        "plain": _plain,
        "typeset": to_svg,
    }
    page.tests |= {kind.__name__.lower(): _is_a(kind) for kind in _KINDS}
    return page.get_template("report.html.jinja").render(document=document)


def _is_a(kind: type) -> Callable[[object], bool]:
    return lambda block: isinstance(block, kind)


def _marked(text: str) -> Markup:
    """The text escaped, with its marks as elements; TeX that is none stays as it is."""

    def element(match: re.Match[str]) -> str:
        code, bold, tex, words = match.groups()
        if tex:
            try:
                return to_svg(html.unescape(tex))
            except ValueError:
                return match[0]
        return words or (f"<code>{code}</code>" if code else f"<strong>{bold}</strong>")

    return Markup(_MARKS.sub(element, escape(text)))


def _plain(text: str) -> str:
    """The text without its marks, for an attribute."""
    return _MARKS.sub(lambda match: match[match.lastindex or 0], text)


def _columns(listing: Listing) -> int | None:
    """The width of a column, in characters, where the lines should stand in several."""
    lines = listing.text.splitlines()
    return max(map(len, lines)) + 1 if len(lines) > _LINES_OF_ONE_COLUMN else None


def _kinds(table: Table) -> list[str]:
    """The class of each column: "number", or "" for what is text."""
    columns = zip(*table.rows, strict=True)
    kinds = ["number" if _is_numeric(column) else "" for column in columns]
    return kinds or [""] * len(table.header)


def _is_numeric(column: Sequence[str]) -> bool:
    """Whether most of a column's cells are numbers, with a spread or a unit or without."""
    cells = [cell.replace("**", "") for cell in column if cell]
    return 2 * sum(_NUMBER.fullmatch(cell) is not None for cell in cells) > len(cells)
