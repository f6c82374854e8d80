"""A report as Markdown that its author writes on: what is recorded stands in marked blocks.

    <!-- recorded: KEY -->
    a table, figure, listing or sentence of the records
    <!-- end -->

Those are written anew whenever the report is; the words between them are the author's and stay. A
last line says what the text was begun with, so that one that nobody touched is begun anew.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from funcnn.experiments.reports.document import (
    Block,
    Document,
    Formula,
    Items,
    Listing,
    Section,
    Text,
)
from funcnn.experiments.reports.markdown import block_parts

_MARKED = re.compile(r"^<!-- recorded: (\S+) -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
_BEGUN = re.compile(r"\n<!-- begun with: ([\w -]+?), ([0-9a-f]{64}) -->\n\Z")
_FACTS = "facts"
_NAMED = 3  # keys in a line
_PARTS = re.compile(  # of a Markdown text, each from the beginning of a line
    r"^<!-- recorded: (?P<key>\S+) -->\n.*?^<!-- end -->$"
    r"|^(?P<level>#{1,6}) (?P<title>[^\n]+)$"
    r"|^\$\$\\begin\{aligned\}\n(?P<formula>.*?)\n\\end\{aligned\}\$\$$"
    r"|^```\n(?P<listing>.*?)\n```$"
    r"|^(?P<items>- [^\n]+(?:\n[^\n]+)*)$"
    r"|^(?P<paragraph>[^\n]+(?:\n[^\n]+)*)$",
    re.MULTILINE | re.DOTALL,
)
_PERCENT = re.compile(r"(\d+(?:\.(\d+))?)\s?%")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def keyed(document: Document) -> dict[str, Block]:
    """The recorded blocks by their keys, in the order in which they stand."""
    found: dict[str, Block] = {
        _FACTS: Items([f"{name}: {value}" for name, value in document.facts])
    }
    counts: Counter[str] = Counter()
    for titles, block in _in_sections((), document.blocks):
        if not _is_recorded(block):
            continue
        stem = _key_of(titles)
        counts[stem] += 1
        found[f"{stem}-{counts[stem]}"] = block
    return found


def _key_of(titles: Sequence[str]) -> str:
    """What the keys of a section begin with: its title, after that of the section around it."""
    return "-".join(re.findall(r"[a-z0-9]+", " ".join(titles).lower())) or "report"


def _is_recorded(block: Block) -> bool:
    return not isinstance(block, Formula) and (not isinstance(block, Text) or block.recorded)


def _in_sections(
    titles: tuple[str, ...], blocks: Sequence[Block | Section]
) -> Iterator[tuple[tuple[str, ...], Block]]:
    for block in blocks:
        if isinstance(block, Section):
            yield from _in_sections((*titles, block.title), block.blocks)
        else:
            yield titles, block


def begin_words(document: Document, folder: Path) -> str:
    """The text to begin with, for a file in this folder."""
    words = _words(document, folder)
    return f"{words}\n<!-- begun with: {' '.join(keyed(document))}, {_digest(words)} -->\n"


def brought_up_to_date(text: str, document: Document, folder: Path) -> tuple[str, list[str]]:
    """An author's text, or none yet (""), as the records have it now, and what is to be said of it.

    One that nobody touched is begun anew. Each thing to say follows the name of the file.
    """
    if not text or _untouched(text):
        return begin_words(document, folder), []
    said = [
        f"says {number}, which no recorded number comes to"
        for number in unrecorded(text, document, folder)
    ]
    return renewed(text, document, folder), said + out_of_step(text, document)


def out_of_step(text: str, document: Document) -> list[str]:
    """What the report has by now and an author's text has not, and the other way round, in words.

    Not what the author deleted: a text says what it was begun with.
    """
    begun, now, there = _BEGUN.search(text), set(keyed(document)), set(_MARKED.findall(text))
    known = set(begun[1].split()) if begun else set()
    said = []
    for keys, why in (
        (now - known - there, "has not {}, which the report has by now"),
        (there - now, "has {}, which the report has no longer"),
    ):
        if keys:
            named = ", ".join(sorted(keys)[:_NAMED]) + ", ..." * (len(keys) > _NAMED)
            said.append(f"{why.format(named)}: move it away, and it is begun anew")
    return said


def _untouched(text: str) -> bool:
    """Whether a text is still as it was begun."""
    begun = _BEGUN.search(text)
    return begun is not None and begun[2] == _digest(text[: begun.start()])


def _words(document: Document, folder: Path) -> str:
    keys = {id(block): key for key, block in keyed(document).items()}
    return "\n\n".join(_begun(document, folder, keys)) + "\n"


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode(errors="backslashreplace")).hexdigest()


def _begun(document: Document, folder: Path, keys: Mapping[int, str]) -> Iterator[str]:
    yield f"# {document.title}"
    if document.subtitle:
        yield document.subtitle
    yield _marked(_FACTS, keyed(document)[_FACTS], folder)

    def inside(blocks: Sequence[Block | Section], level: int) -> Iterator[str]:
        for block in blocks:
            if isinstance(block, Section):
                yield f"{'#' * level} {block.title}"
                yield from inside(block.blocks, level + 1)
            elif id(block) in keys:
                yield _marked(keys[id(block)], block, folder)
            else:
                yield "\n\n".join(block_parts(block, folder))

    yield from inside(document.blocks, 2)


def _marked(key: str, block: Block, folder: Path) -> str:
    inside = "\n\n".join(filter(None, block_parts(block, folder)))
    return f"<!-- recorded: {key} -->\n{inside}\n<!-- end -->"


def renewed(text: str, document: Document, folder: Path) -> str:
    """The author's text with its marked blocks as they are recorded now, where they still are."""
    blocks = keyed(document)

    def now(match: re.Match[str]) -> str:
        block = blocks.get(match[1])
        return match[0] if block is None else _marked(match[1], block, folder)

    return _MARKED.sub(now, text)


def with_words(text: str, document: Document) -> Document:
    """The author's text as a document, whose marked blocks are those of this one."""
    blocks = keyed(document)
    title, subtitle = document.title, ""
    top: list[Block | Section] = []
    open_sections: list[list[Block | Section]] = [top]
    head = True  # until something else than the title and the subtitle came
    for part in _PARTS.finditer(_BEGUN.sub("\n", text)):
        kind, said = part.lastgroup, part[part.lastgroup or 0]
        if kind == "key":
            if said in blocks and said != _FACTS:
                open_sections[-1].append(blocks[said])
        elif kind == "title":
            level = len(part["level"])
            if level == 1:
                title = said
                continue
            del open_sections[min(level, 3) - 1 :]
            inner: list[Block | Section] = []
            open_sections[-1].append(Section(said, inner))
            open_sections.append(inner)
        elif kind == "paragraph" and head:
            subtitle = _in_one_line(said)
        else:
            open_sections[-1].append(_own(kind or "", said))
        head = False
    return Document(title, subtitle, document.facts, top, document.lettered)


def _own(kind: str, said: str) -> Block:
    """A block of the author's own."""
    if kind == "formula":
        return Formula(said.split(" \\\\\n"))
    if kind == "listing":
        return Listing(said, "")
    if kind == "items":
        items = re.split(r"^- ", said, flags=re.MULTILINE)[1:]
        return Items([_in_one_line(item) for item in items])
    return Text(_in_one_line(said))


def _in_one_line(lines: str) -> str:
    return " ".join(line.strip() for line in lines.strip().split("\n"))


def unrecorded(text: str, document: Document, folder: Path) -> list[str]:
    """The percentages in the author's words that nothing recorded rounds to."""
    recorded = [float(number) for number in _NUMBER.findall(_words(document, folder))]
    found = []
    for match in _PERCENT.finditer(_MARKED.sub("", text)):
        digits = len(match[2] or "")
        if not any(f"{number:.{digits}f}" == match[1] for number in recorded):
            found.append(match[0])
    return list(dict.fromkeys(found))
