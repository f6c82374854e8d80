"""A document as Markdown, as GitHub shows it, beside the files that it names."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from funcnn.experiments.reports.document import (
    Block,
    Document,
    Formula,
    Items,
    Listing,
    Picture,
    Section,
    Table,
    Text,
)
from funcnn.experiments.reports.text_table import text_table


def to_markdown(document: Document, folder: Path) -> str:
    """The text, for a file in this folder, where its pictures are, too."""
    facts = Items([f"{name}: {value}" for name, value in document.facts])
    head: list[Block] = [Text(document.subtitle), facts]
    parts = [f"# {document.title}", *_parts([*head, *document.blocks], folder)]
    return "\n\n".join(filter(None, parts)) + "\n"


def pipe_table(table: Table) -> str:
    """A table's rows under its header, between upright lines."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (table.header, *table.rows)]
    return text_table(rows, len(table.header), "github")


def _parts(blocks: Sequence[Block | Section], folder: Path, level: int = 2) -> Iterator[str]:
    for block in blocks:
        match block:
            case Section(title, inner):
                yield f"{'#' * level} {title}"
                yield from _parts(inner, folder, level + 1)
            case _:
                yield from block_parts(block, folder)


def block_parts(block: Block, folder: Path) -> Iterator[str]:
    """What a block comes to, with an empty line between its parts; a part may be ""."""
    match block:
        case Text(paragraph):
            yield paragraph
        case Items(sentences):
            yield "\n".join(f"- {sentence}" for sentence in sentences)
        case Table():
            yield block.caption
            yield pipe_table(block)
        case Picture(path, caption, _, moving):
            yield caption
            for each in filter(None, (path, moving)):
                yield f"![{caption}]({each.relative_to(folder).as_posix()})"
        case Listing(text, caption):
            yield caption
            yield f"```\n{text}\n```"
        case Formula(lines):
            aligned = " \\\\\n".join(lines)
            yield f"$$\\begin{{aligned}}\n{aligned}\n\\end{{aligned}}$$"
