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
    recorded: bool = False
    """Whether it says what came out of runs, as tables and figures do: see `finding`."""


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
    """A PNG or GIF file."""

    path: Path
    caption: str
    alt: str = ""
    """What a reader who cannot see it is told; "": the caption."""
    moving: Path | None = None
    """A GIF of the same, for screens alone."""


class Listing(NamedTuple):
    """Lines as they were printed, spaces and all."""

    text: str
    caption: str


class Formula(NamedTuple):
    """Mathematics, set apart: lines of TeX, as far as matplotlib's mathtext knows it.

    Lines are in line at each `&`, as in TeX's `align`.
    """

    lines: Sequence[str]


def finding(paragraph: str) -> Text:
    """A paragraph made of recorded numbers, which follows them when they change."""
    return Text(paragraph, recorded=True)


Block = Text | Items | Table | Picture | Listing | Formula


class Section(NamedTuple):
    """A heading and what stands under it. Sections of a section hold no others."""

    title: str
    blocks: "Sequence[Block | Section]"


Facts = Sequence[tuple[str, str]]
"""Names and values to stand under the title of a report."""


class Document(NamedTuple):
    """A whole report; subtitle may be "".

    lettered: sections of sections are counted A, B, C in each, and not 1.1, 1.2, 1.3.
    """

    title: str
    subtitle: str
    facts: Facts
    blocks: Sequence[Block | Section]
    lettered: bool = False

    def by(self, author: Facts) -> "Document":
        """The same report with whoever wrote it before the other facts."""
        return self._replace(facts=[*author, *self.facts])
