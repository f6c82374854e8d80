"""A notebook's cells as they were saved: what stands in them, when they ran, what came of it."""

import json
import re
from typing import Any, NamedTuple

from funcnn.experiments.errors import InputError

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONGEST_TEXT = 1 << 20
"""Characters of a cell's output that are looked at."""
_MOST_VALUES = 4_000_000
"""Lists, objects and members of the JSON of a notebook: some 100 bytes of memory for each."""
_OF_IPYTHON = re.compile(
    r"^(?P<indent>[ \t]*)(?:(?P<assigned>\w[\w, \t]*=)[ \t]*(?=[!%]))?"
    r"(%{1,2}[A-Za-z]|!|\?"  # %time, !ls, ?name
    r"|(pip3?|conda|cd|ls|cat|cp|mv|rm|mkdir|rmdir)[ \t]+[\w./~-]"  # as good as with a %
    r"|[\w.]+\?{1,2}[ \t]*$)"  # name?
    r"(?:[^\\\n]+|\\\n?)*",
    re.M,
)
"""A line that is IPython's own, with those that it goes on in."""
_OTHER_LANGUAGE = re.compile(
    r"\s*%%(bash|sh|script|html|javascript|js|latex|markdown|svg|writefile|file|cmd)\b"
)


class Cell(NamedTuple):
    """A cell of code."""

    number: int
    """From 1, of all the notebook's cells of code that are not empty."""
    source: str
    ran_as: int | None
    """The number that it got when it ran; None: it has not run."""
    printed: str
    """All text that came of it."""
    error: str | None
    """The error that it ended with."""

    has_output: bool
    """Whether anything came of it."""

    @property
    def is_python(self) -> bool:
        """Whether it is no other language's, or a file's, by its first line."""
        return _OTHER_LANGUAGE.match(self.source) is None

    @property
    def plain_python(self) -> str:
        """Its source with `pass` for each of IPython's own lines: what is no Python as it is."""
        return _OF_IPYTHON.sub(_passed, self.source)


class Notebook(NamedTuple):
    """A notebook."""

    cells: tuple[Cell, ...]
    text: str
    """All that stands in it, text and code, without what came of it."""

    @property
    def code(self) -> str:
        """The sources of its cells."""
        return "\n".join(cell.source for cell in self.cells)

    @property
    def printed(self) -> str:
        """All text that came of its cells."""
        return "\n".join(cell.printed for cell in self.cells)


def read_notebook(content: bytes) -> Notebook:
    """The notebook. Raises `InputError`, which begins with a verb, for what is none."""
    if sum(map(content.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise InputError(f"has more than {_MOST_VALUES:,} values in it: clear its large outputs")
    try:
        saved = json.loads(content.decode("utf-8-sig"))
        if "cells" not in saved and "worksheets" in saved:
            raise InputError("is a notebook of an older form than 4: save it anew")
        cells: list[Cell] = []
        texts = []
        for cell in saved["cells"]:
            source = _text(cell["source"])
            texts.append(source)
            if cell["cell_type"] == "code" and source.strip():
                cells.append(_cell(len(cells) + 1, source, cell))
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError("is not a notebook") from None
    return Notebook(tuple(cells), "\n".join(texts))


def _cell(number: int, source: str, cell: dict[str, Any]) -> Cell:
    printed, error = [], None
    for output in cell.get("outputs", []):
        if output["output_type"] == "error":
            error = str(output.get("ename", "an error"))
        printed.append(_text(output.get("text") or output.get("data", {}).get("text/plain", "")))
    text = "\n".join(printed)[-_LONGEST_TEXT:]  # what it came to in the end
    text = _CONTROL.sub("", text).replace("\r", "\n")
    count = cell.get("execution_count")
    ran_as = count if isinstance(count, int) else None
    return Cell(number, source, ran_as, text, error, bool(printed))


def _passed(line: re.Match[str]) -> str:
    """What stands for a line of IPython's, on as many lines."""
    statement = f"{line['assigned']} None" if line["assigned"] else "pass"
    return line["indent"] + statement + "\n" * line[0].count("\n")


def _text(value: Any) -> str:
    """A text as notebooks have it: whole, or as its lines."""
    if isinstance(value, str):
        return value
    return "".join(str(line) for line in value)
