"""Python parsed and never run: what it imports, which classes it has and what these can do."""

import ast
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from funcnn.experiments.grade.notebooks import Notebook

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Piece(NamedTuple):
    """A stretch of Python that was parsed at once: a file, or a cell."""

    where: str
    """`network.py`, or `cell 3`."""
    text: str
    tree: ast.Module


class Source(NamedTuple):
    """The Python of a file or a notebook."""

    name: str
    pieces: tuple[Piece, ...]
    faults: tuple[str, ...]
    """What could not be parsed, and why."""

    def nodes(self) -> Iterator[tuple[str, ast.AST]]:
        """Every node, with where it is: `network.py line 3`."""
        for piece in self.pieces:
            for node in ast.walk(piece.tree):
                line = getattr(node, "lineno", None)
                yield f"{piece.where} line {line}" if line else piece.where, node

    def imports(self) -> dict[str, str]:
        """What is imported, by its full name, and where first; a relative one begins with dots."""
        found: dict[str, str] = {}
        for where, node in self.nodes():
            names: Iterable[str] = ()
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
            for name in names:
                found.setdefault(name, where)
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
        """What is called, by its dotted name, and where first."""
        found: dict[str, str] = {}
        for where, node in self.nodes():
            if isinstance(node, ast.Call):
                found.setdefault(dotted(node.func), where)
        return found


def parse_module(name: str, content: bytes, version: tuple[int, int] | None = None) -> Source:
    """The source of a file. version: the Python whose grammar counts."""
    parsed = _parse(name, content, version)
    if isinstance(parsed, str):
        return Source(name, (), (parsed,))
    return Source(name, (Piece(name, content.decode(errors="replace"), parsed),), ())


def parse_notebook(name: str, notebook: Notebook, version: tuple[int, int] | None = None) -> Source:
    """The source of a notebook, cell by cell. version: the Python whose grammar counts."""
    pieces, faults = [], []
    for cell in notebook.cells:
        where = f"cell {cell.number}"
        parsed = _parse(where, cell.python, version)
        if isinstance(parsed, str):
            faults.append(parsed)
        else:
            pieces.append(Piece(where, cell.python, parsed))
    return Source(name, tuple(pieces), tuple(faults))


def _parse(where: str, text: str | bytes, version: tuple[int, int] | None) -> ast.Module | str:
    """The tree, or why there is none."""
    try:
        with warnings.catch_warnings():  # of backslashes, say
            warnings.simplefilter("ignore")
            return ast.parse(text, feature_version=version)
    except SyntaxError as error:
        line = f" line {error.lineno}" if error.lineno else ""
        return f"{where}{line}: {error.msg}"
    except (ValueError, RecursionError, MemoryError, LookupError) as error:
        return f"{where}: no Python ({type(error).__name__})"


def dotted(node: ast.AST) -> str:
    """`np.random.seed` of such a node; what stands before an unnamed thing is left out."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        names.append(node.id)
    return ".".join(reversed(names))


class Class(NamedTuple):
    """What a class can do, with what it has of its bases in the same hand-in."""

    name: str
    bases: tuple[str, ...]
    """The dotted names of its direct ones."""
    methods: dict[str, Function]
    attributes: frozenset[str]
    """What is assigned to `self` or in its body."""


def find_class(name: str, known: dict[str, ast.ClassDef]) -> Class | None:
    """The class of this name among those known, or None."""
    if name not in known:
        return None
    methods: dict[str, Function] = {}
    attributes: set[str] = set()
    pending, seen = [name], set()
    while pending:
        each = pending.pop(0)
        if each in seen or each not in known:
            continue
        seen.add(each)
        node = known[each]
        for part in node.body:
            if isinstance(part, Function):
                methods.setdefault(part.name, part)
        attributes |= _attributes(node)
        pending += [dotted(base).split(".")[-1] for base in node.bases]
    bases = tuple(dotted(base) for base in known[name].bases)
    return Class(name, bases, methods, frozenset(attributes))


def _attributes(node: ast.ClassDef) -> set[str]:
    found = set()
    for part in ast.walk(node):
        if not isinstance(part, ast.Attribute) or not isinstance(part.ctx, ast.Store):
            continue
        if dotted(part) == f"self.{part.attr}":
            found.add(part.attr)
    for part in node.body:
        if isinstance(part, ast.Assign):
            found |= {target.id for target in part.targets if isinstance(target, ast.Name)}
    return found


def takes(function: Function, count: int) -> bool:
    """Whether a method can be called with so many arguments beside `self`, by position."""
    taken = function.args
    named = len(taken.posonlyargs) + len(taken.args) - 1
    needed = named - len(taken.defaults)
    alone = any(default is None for default in taken.kw_defaults)
    return needed <= count and (count <= named or taken.vararg is not None) and not alone
