"""Python parsed and never run: what it imports, which classes it has and what these can do."""

import ast
import builtins
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from funcnn.experiments.grade.notebooks import Notebook

Function = ast.FunctionDef | ast.AsyncFunctionDef
Node = ast.stmt | ast.expr | ast.arg

_SIGN = re.compile(r"\w+|[^\w\s]|\n")
_SINCE_312 = re.compile(
    r"^f-string|\b[fF](\"[^\"]*\{\"|'[^']*\{')|^\s*(type\s+\w|(async\s+)?def\s+\w+\[|class\s+\w+\[)",
    re.M,
)
"""Of an error and its line, where it may be Python of 3.12: nested quotes, `type`, `[T]`."""
_MOST_MEANINGS = 20
"""Of one name, which may be imported from several places in turn."""


class Piece(NamedTuple):
    """A stretch of Python that was parsed at once: a file, or a cell."""

    where: str
    """`network.py`, or `cell 3`."""
    text: str
    tree: ast.Module
    nodes: tuple[Node, ...]
    """The tree's, the outer ones first."""

    def place(self, node: Node) -> str:
        """Where a node is: `network.py line 3`."""
        return f"{self.where} line {node.lineno}"


class Fault(NamedTuple):
    """What could not be parsed."""

    text: str
    """Where, and why."""
    newer: bool
    """Whether it may be Python that is newer than the one here."""


class Source(NamedTuple):
    """The Python of a file or a notebook."""

    name: str
    pieces: tuple[Piece, ...]
    faults: tuple[Fault, ...]

    def nodes(self) -> Iterator[tuple[Piece, Node]]:
        """Every node, with the piece that it is in."""
        for piece in self.pieces:
            for node in piece.nodes:
                yield piece, node

    def imports(self) -> dict[str, str]:
        """What is imported, by its full name, and where first; a relative one begins with dots."""
        found: dict[str, str] = {}
        for piece, node in self.nodes():
            names: Iterable[str] = ()
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
            for name in names:
                found.setdefault(name, piece.place(node))
        return found

    def roots(self) -> set[str]:
        """The packages that are imported from; empty for what is beside it."""
        return {name.split(".")[0] for name in self.imports()}

    def aliases(self) -> dict[str, set[str]]:
        """What each name that is imported stands for, by full names; `*`: where all is from."""
        found: dict[str, set[str]] = {}
        for _, node in self.nodes():
            pairs = []
            if isinstance(node, ast.Import):
                for alias in node.names:
                    root = alias.name.split(".")[0]
                    pairs.append((alias.asname or root, alias.name if alias.asname else root))
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                for alias in node.names:
                    full = base if alias.name == "*" else f"{base}.{alias.name}"
                    pairs.append((alias.asname or alias.name, full))
            for name, full in pairs:
                if len(found.setdefault(name, set())) < _MOST_MEANINGS:
                    found[name].add(full)
        return found

    def uses(self, usual: dict[str, set[str]] | None = None) -> Iterator[tuple[str, str]]:
        """Where names and their attributes are used, and their full names by the imports.

        usual: what names stand for whose import is not seen.
        """
        known = (usual or {}) | self.aliases()
        inner: set[int] = set()  # parts of a longer name
        own = self.defined() | set(dir(builtins))
        for piece, node in self.nodes():
            if not isinstance(node, ast.Attribute | ast.Name) or id(node) in inner:
                continue
            part: ast.AST = node
            while isinstance(part, ast.Attribute):
                part = part.value
                inner.add(id(part))
            name = dotted(node)
            for full in _resolved(name, known):
                yield piece.place(node), full
            root = name.split(".")[0]
            if isinstance(part, ast.Name) and root not in known and root not in own:
                for base in known.get("*", ()):
                    yield piece.place(node), f"{base}.{name}"

    def defined(self) -> set[str]:
        """All names that are given here: to values, arguments, attributes, functions, classes."""
        found = self.names()
        for _, node in self.nodes():
            if isinstance(node, Function | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
        return found

    def classes(self) -> dict[str, ast.ClassDef]:
        """The classes by name; of several of one name the last, as Python has it."""
        return {node.name: node for _, node in self.nodes() if isinstance(node, ast.ClassDef)}

    def functions(self) -> dict[str, Function]:
        """The functions, methods not among them, by name."""
        found = {}
        for piece in self.pieces:
            for node in piece.tree.body:
                if isinstance(node, Function):
                    found[node.name] = node
        return found

    def names(self) -> set[str]:
        """All that is assigned, by `=`, `for` or `with`."""
        stored = (ast.Store,)
        return {
            n.id for _, n in self.nodes() if isinstance(n, ast.Name) and isinstance(n.ctx, stored)
        }

    def calls(self) -> dict[str, str]:
        """What is called, by its full name, and where first."""
        found: dict[str, str] = {}
        known = self.aliases()
        for piece, node in self.nodes():
            if isinstance(node, ast.Call):
                for full in _resolved(dotted(node.func), known):
                    found.setdefault(full, piece.place(node))
        return found


def count_signs(text: str, most: int) -> int:
    """How many words, signs and lines a text has, or some number above `most`.

    Each makes some 900 bytes of a tree, at most.
    """
    return sum(1 for _ in islice(_SIGN.finditer(text), most + 1))


def parse_module(name: str, content: bytes, version: tuple[int, int] | None = None) -> Source:
    """The source of a file. version: the Python whose grammar counts."""
    parsed = _parse(name, content, version)
    if isinstance(parsed, Fault):
        return Source(name, (), (parsed,))
    return Source(name, (_piece(name, content.decode(errors="replace"), parsed),), ())


def parse_notebook(name: str, notebook: Notebook, version: tuple[int, int] | None = None) -> Source:
    """The source of a notebook, cell by cell. version: the Python whose grammar counts."""
    pieces, faults = [], []
    for cell in notebook.cells:
        if not cell.is_python:
            continue
        where, text = f"cell {cell.number}", cell.source
        parsed = _parse(where, text, version)
        if isinstance(parsed, Fault):  # lines of IPython's may be in it
            text = cell.plain_python
            parsed = _parse(where, text, version)
        if isinstance(parsed, Fault):
            faults.append(parsed)
        else:
            pieces.append(_piece(where, text, parsed))
    return Source(name, tuple(pieces), tuple(faults))


def _piece(where: str, text: str, tree: ast.Module) -> Piece:
    nodes = tuple(node for node in ast.walk(tree) if isinstance(node, Node))
    return Piece(where, text, tree, nodes)


def _parse(where: str, text: str | bytes, version: tuple[int, int] | None) -> ast.Module | Fault:
    """The tree, or why there is none."""
    try:
        with warnings.catch_warnings():  # of backslashes, say
            warnings.simplefilter("ignore")
            return ast.parse(text, feature_version=version)
    except SyntaxError as error:
        line = f" line {error.lineno}" if error.lineno else ""
        newer = version is None and sys.version_info < (3, 12)
        newer = newer and _SINCE_312.search(f"{error.msg}\n{error.text}") is not None
        return Fault(f"{where}{line}: {error.msg}", newer)
    except (ValueError, RecursionError, MemoryError, LookupError) as error:
        return Fault(f"{where}: no Python ({type(error).__name__})", False)


def _resolved(name: str, known: dict[str, set[str]]) -> Iterable[str]:
    """The full names that a dotted name may stand for; itself, if it is none of an import's."""
    root, dot, rest = name.partition(".")
    return sorted(full + dot + rest for full in known.get(root, {root}))


def dotted(node: ast.AST) -> str:
    """`np.random.seed` of such a node; what stands before an unnamed thing is left out."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        names.append(node.id)
    return ".".join(reversed(names))
