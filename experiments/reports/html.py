"""A document as one HTML page that needs nothing else: no network, no script, no other file."""

import base64
import html
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from funcnn.experiments.errors import InputError
from funcnn.experiments.reports.document import (
    Block,
    Document,
    Formula,
    Listing,
    Picture,
    Section,
    Table,
    Text,
)
from funcnn.experiments.reports.style import STYLE

_MARKS = re.compile(r"`([^`]+)`|\*\*(?=\S)(.+?)(?<=\S)\*\*")
_LINES_OF_ONE_COLUMN = 16  # a listing of more stands in as many columns as have room
_COLUMNS_OF_A_PAGE = 8  # a table of more is set smaller on paper, where nothing scrolls
_ONE_NUMBER = r"[-+−]?(\d[\d,]*(\.\d+)?(e[-+]?\d+)?|nan|inf)"  # noqa: RUF001, a minus sign
_NUMBER = re.compile(rf"{_ONE_NUMBER}( ± {_ONE_NUMBER})?(\s?%|\s?[a-zA-Zµ/]{{1,8}})?")
_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"\
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>"""


class _Counts(NamedTuple):
    """The numbers of the next figure and table."""

    figures: Iterator[int]
    tables: Iterator[int]


def to_html(document: Document) -> str:
    """The page; equal documents (and pictures) give equal pages.

    Raises `InputError` for a picture whose file is missing or is neither PNG nor GIF.
    """
    return "\n".join(_page(document)) + "\n"


def _page(document: Document) -> Iterator[str]:
    yield _HEAD.format(title=html.escape(document.title), style=STYLE)
    yield "<header>"
    yield f"<h1>{html.escape(document.title)}</h1>"
    if document.subtitle:
        yield f'<p class="subtitle">{html.escape(document.subtitle)}</p>'
    if document.facts:
        yield "<dl>"
        for name, value in document.facts:
            yield f"<div><dt>{html.escape(name)}</dt><dd>{_marked(value)}</dd></div>"
        yield "</dl>"
    yield "</header>"
    yield '<nav aria-labelledby="contents">'
    yield '<h2 id="contents">Contents</h2>'
    yield from _contents(document.sections, "")
    yield "</nav>"
    yield "<main>"
    counts = _Counts(itertools.count(1), itertools.count(1))
    for number, section in enumerate(document.sections, 1):
        yield from _section(section, str(number), counts)
    yield "</main>"
    yield "</body>\n</html>"


def _contents(sections: Sequence[Section], above: str) -> Iterator[str]:
    """Links to sections and to theirs. above: the number of the section that they are in."""
    if not sections:
        return
    yield "<ol>"
    for index, section in enumerate(sections, 1):
        number = f"{above}{index}"
        yield f'<li><a href="#section-{number}">{_heading(number, section)}</a>'
        yield from _contents(_inner(section), f"{number}.")
        yield "</li>"
    yield "</ol>"


def _inner(section: Section) -> list[Section]:
    return [block for block in section.blocks if isinstance(block, Section)]


def _heading(number: str, section: Section) -> str:
    return f'<span class="number">{number}</span> {html.escape(section.title)}'


def _section(section: Section, number: str, counts: _Counts) -> Iterator[str]:
    name = f"section-{number}"
    tag = f"h{number.count('.') + 2}"
    yield f'<section aria-labelledby="{name}">'
    yield f'<{tag} id="{name}">{_heading(number, section)}</{tag}>'
    inner = itertools.count(1)
    for block in section.blocks:
        if isinstance(block, Section):
            yield from _section(block, f"{number}.{next(inner)}", counts)
        else:
            yield _block(block, counts)
    yield "</section>"


def _block(block: Block, counts: _Counts) -> str:
    match block:
        case Text(paragraph):
            return f"<p>{_marked(paragraph)}</p>"
        case Formula(text):
            return f'<p class="formula">{html.escape(text)}</p>'
        case Listing():
            return _listing(block)
        case Picture():
            return _figure(block, next(counts.figures))
        case Table():
            return "\n".join(_table(block, next(counts.tables)))


def _marked(text: str) -> str:
    """The text escaped, with its marks as elements."""

    def element(match: re.Match[str]) -> str:
        code, bold = match.groups()
        return f"<code>{code}</code>" if code else f"<strong>{bold}</strong>"

    return _MARKS.sub(element, html.escape(text))


def _plain(text: str) -> str:
    """The text without its marks, for an attribute."""
    return html.escape(_MARKS.sub(lambda match: match[1] or match[2], text))


def _listing(listing: Listing) -> str:
    lines = listing.text.splitlines()
    kind = columns = ""
    if len(lines) > _LINES_OF_ONE_COLUMN:
        kind = ' class="columns"'
        columns = f' style="column-width: {max(map(len, lines)) + 1}ch"'
    shown = f'<pre{kind} tabindex="0"><code{columns}>{html.escape(listing.text)}</code></pre>'
    caption = f"<figcaption>{_marked(listing.caption)}</figcaption>\n" if listing.caption else ""
    return f'<figure class="listing">\n{caption}{shown}\n</figure>'


def _figure(picture: Picture, number: int) -> str:
    found = inline(picture.path)
    size = f'width="{found.width}" height="{found.height}"'
    shown = f'<img src="{found.still}" {size} alt="{_plain(picture.caption)}">'
    note = ""
    if found.moving:
        media = "screen and (prefers-reduced-motion: no-preference)"
        source = f'<source media="{media}" srcset="{found.moving}">'
        shown = f"<picture>{source}{shown}</picture>"
        note = ' <span class="still">The last frame of an animation.</span>'
    caption = f"<b>Figure {number}.</b> {_marked(picture.caption)}{note}"
    return f'<figure id="figure-{number}">\n{shown}\n<figcaption>{caption}</figcaption>\n</figure>'


def _table(table: Table, number: int) -> Iterator[str]:
    name = f"table-{number}"
    numeric = [_is_numeric(column) for column in zip(*table.rows, strict=True)]
    classes = [' class="number"' if it else "" for it in numeric or [False] * len(table.header)]
    # A wide table scrolls in this box, by keyboard too; the page does not.
    label = f"{name}-caption"
    yield f'<div class="scroll" id="{name}" role="group" aria-labelledby="{label}" tabindex="0">'
    caption = f"<b>Table {number}.</b> {_marked(table.caption)}"
    kind = ' class="wide"' if len(table.header) > _COLUMNS_OF_A_PAGE else ""
    yield f'<table{kind}>\n<caption id="{label}"><span>{caption}</span></caption>'
    heads = zip(classes, table.header, strict=True)
    cells = "".join(f'<th scope="col"{kind}>{_marked(cell)}</th>' for kind, cell in heads)
    yield f"<thead>\n<tr>{cells}</tr>\n</thead>\n<tbody>"
    for index, row in enumerate(table.rows):
        first, *others = zip(classes, row, strict=True)
        cells = f'<th scope="row"{first[0]}>{_marked(first[1])}</th>'
        cells += "".join(f"<td{kind}>{_marked(cell)}</td>" for kind, cell in others)
        best = ' class="best"' if index == table.best else ""
        yield f"<tr{best}>{cells}</tr>"
    yield "</tbody>\n</table>\n</div>"


def _is_numeric(column: Sequence[str]) -> bool:
    """Whether most of a column's cells are numbers, with a spread or a unit or without."""
    cells = [cell.replace("**", "") for cell in column if cell]
    return 2 * sum(_NUMBER.fullmatch(cell) is not None for cell in cells) > len(cells)


# --- The pictures of a document, read from their files and made fit to stand inside a page. ---

_FORMATS = ("PNG", "GIF")
_DPI_OF_CSS = 96


class Inlined(NamedTuple):
    """A picture as data URIs, and its size in CSS pixels.

    still: the picture, or the last frame of an animation: what training came to, for paper and for
    readers who want no motion. moving: the animation, or None.
    """

    still: str
    moving: str | None
    width: int
    height: int


def inline(path: Path) -> Inlined:
    """Read a PNG or GIF. Its size is that in inches, where the file says it, as figures do.

    Raises `InputError`, which names the file, for one that is missing or is no such picture.
    """
    from PIL import Image

    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the picture {path}: {error.strerror}") from None
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            image.load()
            last_frame = None
            if (frames := getattr(image, "n_frames", 1)) > 1:
                image.seek(frames - 1)
                last_frame = _as_png(image)
            kind = f"image/{str(image.format).lower()}"
            density = image.info.get("dpi", (_DPI_OF_CSS, _DPI_OF_CSS))
            width, height = (
                max(1, round(pixels * _DPI_OF_CSS / (dpi or _DPI_OF_CSS)))
                for pixels, dpi in zip(image.size, density, strict=True)
            )
    except (OSError, SyntaxError, ValueError, EOFError):  # as Pillow says it of a broken file
        raise InputError(f"{path} is no PNG or GIF that can be read") from None
    whole = _data_uri(kind, content)
    if last_frame is None:
        return Inlined(whole, None, width, height)
    return Inlined(_data_uri("image/png", last_frame), whole, width, height)


def _as_png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGBA").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
