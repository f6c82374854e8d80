"""A lab's own program, handed in as it stands beside this module, but for what it imports from."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent
_ROOM = "funcnn.experiments.hand_in.standalone"
_CALLED = {"layers": "layer", "points_main": "main", "points_optimizers": "optimizers"}


class Program(NamedTuple):
    """The text of a file of it, and the functions that it wants of `layer.py`."""

    text: str
    functions: frozenset[str]


def program_file(module: str) -> Program:
    """A module of this folder as it is handed in beside `layer.py` and `network.py`."""
    text = (_FOLDER / f"{module}.py").read_text("utf-8")
    wanted = {
        alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module == f"{_ROOM}.layers"
        for alias in node.names
    }

    def called(match: re.Match[str]) -> str:
        return _CALLED.get(match[1], match[1])

    text = re.sub(rf"(?<=from ){re.escape(_ROOM)}\.(\w+)", called, text)
    text = re.sub(rf"from {re.escape(_ROOM)} (import )(\w+) as (\w+)", r"\1\3", text)
    return Program(text, frozenset(wanted))


def questions_page(source: str, files: Mapping[str, bytes]) -> str:
    """A page of questions, `SOURCE.md` beside this module, each with the line that answers it.

    files: what is handed in. A line `<<FILE: CODE>>` stands for the number of the line of FILE that
    holds CODE, and that line. Raises `ValueError` unless there is exactly one.
    """

    def line(match: re.Match[str]) -> str:
        lines = files[match[1]].decode().splitlines()
        numbers = [number for number, each in enumerate(lines, 1) if match[2] in each]
        if len(numbers) != 1:
            raise ValueError(f"{match[1]} has {match[2]!r} in the lines {numbers}")
        (number,) = numbers
        return f"-> {match[1]}, line {number}: `{lines[number - 1].strip()}`"

    text = (_FOLDER / f"{source}.md").read_text("utf-8")
    return re.sub(r"^<<(\w+\.py): (.+)>>$", line, text, flags=re.M)
