"""A lab's own program, handed in as it stands beside this module, but for what it imports from."""

import ast
import re
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
