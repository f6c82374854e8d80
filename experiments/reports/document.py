"""A report as data: what it says, in which order, and nothing about how it looks.

Paragraphs, items, captions, facts and the cells of tables know four marks of Markdown: `code`,
**bold**, $a^2$ for TeX, and [words](runs/here) for a file beside the report (a page, which needs
none, has the words alone). Everything else in them stands as it is, Chinese and Korean names
included.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Text(NamedTuple):
    """A paragraph."""

    paragraph: str


class Items(NamedTuple):
    """Sentences, one below the other."""

    sentences: Sequence[str]


class Table(NamedTuple):
    """Rows under a header; the first cell of a row names it.

    header, rows: as many cells each; "" where there is nothing. best: the index of the row that
    came out best, to be marked.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    best: int | None = None


class Picture(NamedTuple):
    """A PNG or GIF file; the caption is also what a reader who cannot see it is told."""

    path: Path
    caption: str


class Listing(NamedTuple):
    """Lines as they were printed, spaces and all."""

    text: str
    caption: str


class Formula(NamedTuple):
    """Mathematics, set apart: lines of TeX, as far as matplotlib's mathtext knows it.

    Lines are in line at each `&`, as in TeX's `align`.
    """

    lines: Sequence[str]


Block = Text | Items | Table | Picture | Listing | Formula


class Section(NamedTuple):
    """A heading and what stands under it. Sections of a section hold no others."""

    title: str
    blocks: "Sequence[Block | Section]"


class Document(NamedTuple):
    """A whole report. facts: names and values to stand under the title; subtitle may be "".

    lettered: sections of sections are counted A, B, C in each, and not 1.1, 1.2, 1.3.
    """

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]]
    blocks: Sequence[Block | Section]
    lettered: bool = False
