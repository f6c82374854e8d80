"""A notebook's cells as they were saved: what stands in them, when they ran, what came of it."""

import json
import re
from typing import Any, NamedTuple

from funcnn.experiments.errors import InputError

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONGEST_TEXT = 1 << 20
"""Characters of a cell's output that are looked at."""
_MAGIC = re.compile(r"^(\s*)[%!?].*$", re.M)
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

    @property
    def python(self) -> str:
        """Its source without IPython's own lines, each of which becomes `pass`."""
        if _OTHER_LANGUAGE.match(self.source):
            return ""
        return _MAGIC.sub(r"\1pass", self.source)


class Notebook(NamedTuple):
    """A notebook."""

    cells: tuple[Cell, ...]
    text: str
    """All that stands in it, text and code, without what came of it."""

    @property
    def printed(self) -> str:
        """All text that came of its cells."""
        return "\n".join(cell.printed for cell in self.cells)


def read_notebook(content: bytes) -> Notebook:
    """The notebook. Raises `InputError`, which begins with a verb, for what is none."""
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
    text = _CONTROL.sub("", "\n".join(printed)[:_LONGEST_TEXT]).replace("\r", "\n")
    count = cell.get("execution_count")
    return Cell(number, source, count if isinstance(count, int) else None, text, error)


def _text(value: Any) -> str:
    """A text as notebooks have it: whole, or as its lines."""
    if isinstance(value, str):
        return value
    return "".join(str(line) for line in value)
