"""Mutations of Python's source: small faults, each at its place in the text.

What cannot be a fault is none: docstrings, annotations, texts and so the wording of messages,
`__repr__`, asserts, and the arguments and decorators on which time and memory alone depend. They
are our own, for what tools draw: of mutmut and cosmic-ray neither takes out a statement or swaps
arguments, and each would mutate the checkout, or run its own copy of the tests, in its own way.
"""

import ast
import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

SPEED_ALONE = {"out", "copy", "optimize", "maxsize", "stacklevel"}
"""Keywords whose arguments cost or save time or memory, or are for the reader of a warning."""
NO_FAULT_WITHOUT = {"cache", "lru_cache", "wraps", "overload", "override", "final"}
"""Decorators without which a function gives the same."""
EITHER_WAY = {
    "add",
    "all_close",
    "allclose",
    "array_equal",
    "gcd",
    "max",
    "maximum",
    "may_share_memory",
}
EITHER_WAY = {*EITHER_WAY, "min", "minimum", "multiply", "shares_memory", "TypeVar", "cast"}
"""Functions whose first two arguments may change places."""
WORDING = {"__repr__", "__str__", "_repr_html_", "_repr_pretty_", "__rich_repr__"}

OTHERS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Mult, ast.Div),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
"""Operators that may stand in the place of one."""


class Mutant(NamedTuple):
    """A change of a module's source."""

    line: int
    start: int
    end: int
    """Of the bytes that are replaced."""
    new: str
    before: str
    after: str
    """The whole lines, to be read."""

    def of(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.line}: {before} -> {after or 'nothing'}"


def mutants(source: bytes) -> list[Mutant]:
    """All mutants of a module, in the order of its text."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, after in _mutations(ast.parse(source)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        if after is None:  # a decorator goes, with its @
            start = source.rindex(b"@", 0, start)
        first, last = starts[node.lineno - 1], starts[node.end_lineno]
        changed = source[first:start] + (after or "").encode() + source[end:last]
        texts = (text.strip().decode() for text in (source[first:last], changed))
        found.append(Mutant(node.lineno, start, end, after or "", *texts))
    return sorted(found)


def _mutations(node: ast.AST) -> Iterator[tuple[Any, str | None]]:
    """Of a node and all inside it: what is replaced, and by what; None is nothing."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        decorators = getattr(node, "decorator_list", [])
        names = {_name(one) for one in decorators}
        if getattr(node, "name", "") in WORDING or "overload" in names:
            return
        for one in decorators:
            if _name(one) not in NO_FAULT_WITHOUT:
                yield one, None
    for after in _in_its_place(node):
        yield node, after
    for test in _conditions(node):
        yield test, f"(not ({ast.unparse(test)}))"
    for child in _inside(node):
        yield from _mutations(child)


def _conditions(node: ast.AST) -> Iterator[ast.expr]:
    """The conditions of a node, but for those of which another mutation makes the contrary."""
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        tests = [node.test]
    else:
        tests = node.ifs if isinstance(node, ast.comprehension) else []
    for test in tests:
        has_contrary = isinstance(test, ast.Compare) and len(test.ops) == 1
        has_contrary |= isinstance(test, (ast.UnaryOp, ast.Constant))
        if not has_contrary and _name(test) != "TYPE_CHECKING":
            yield test


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes within a node in which there can be a fault."""
    if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)):
        return
    if isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Assign) and _is_of_types(node.value):
        return
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.keyword) and child.arg in SPEED_ALONE:
                continue
            if isinstance(child, ast.AST):
                yield child


def _is_of_types(value: ast.expr) -> bool:
    """Whether an assigned value is a type: `int | None`, `dict[str, int]`, `TypeVar("T")`."""
    if isinstance(value, ast.Subscript):
        return _name(value.value) in {"Callable", "Literal", "Mapping", "Sequence", "dict", "tuple"}
    if isinstance(value, ast.BinOp):
        return isinstance(value.op, ast.BitOr) and not isinstance(value.right, ast.Set)
    return isinstance(value, ast.Call) and _name(value) in {"TypeVar", "ParamSpec", "NewType"}


def _in_its_place(node: ast.AST) -> Iterator[str]:
    """What may stand in the place of a node."""
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in OTHERS[type(operator)]:
                yield _changed(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])
    elif isinstance(node, (ast.BinOp, ast.BoolOp)):
        for other in OTHERS.get(type(node.op), ()):
            yield _changed(node, op=other())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        value = node.value
        yield repr(not value if isinstance(value, bool) else value + 1 if value < 2 else 2 * value)
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "return None"
    elif isinstance(node, ast.AugAssign):
        for other in OTHERS.get(type(node.op), ()):
            yield ast.unparse(_with(node, op=other()))
        yield "pass"
    elif _can_be_left_out(node):
        yield "pass"
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield "continue" if isinstance(node, ast.Break) else "break"


def _can_be_left_out(node: ast.AST) -> bool:
    """Whether it is a statement without which the names that follow are still there."""
    if isinstance(node, ast.Assign):
        return not isinstance(node.targets[0], (ast.Name, ast.Tuple))
    return isinstance(node, ast.Raise) or _is_a_call(node)


def _is_a_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _other_calls(node: ast.Call) -> Iterator[str]:
    """A call with its first arguments in the other order, or without one that has a name."""
    first = node.args[:2]
    has_stars = any(isinstance(one, ast.Starred) for one in first)
    are_two = len({*map(ast.dump, first)}) == 2
    if are_two and not has_stars and _name(node) not in EITHER_WAY:
        yield _changed(node, args=[*first[::-1], *node.args[2:]])
    for i, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg not in SPEED_ALONE:
            yield _changed(node, keywords=[*node.keywords[:i], *node.keywords[i + 1 :]])


def _with(node: Any, **fields: Any) -> Any:
    node = copy.copy(node)
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def _changed(node: ast.expr, **fields: Any) -> str:
    text = ast.unparse(_with(node, **fields))
    return text if isinstance(node, ast.Call) else f"({text})"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _name(node: ast.AST) -> str:
    """The last name of what is called or given: `lru_cache` of `functools.lru_cache(None)`."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
