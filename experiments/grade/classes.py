"""The classes of a hand-in, each with what it has of its bases among them."""

import ast
from collections.abc import Mapping

from funcnn.experiments.grade.python_sources import Function, Source, dotted

_MOST_BASES = 50
"""Classes that one is looked for in; a chain of thousands is nobody's work."""


class Classes:
    """All classes of some sources, by their names: of several of one name the last."""

    def __init__(self, *sources: Source | None) -> None:
        self._nodes: dict[str, ast.ClassDef] = {}
        for source in sources:
            if source is not None:
                self._nodes |= source.classes()
        self._own: dict[str, dict[str, Function]] = {}
        self._bases: dict[str, list[str]] = {}
        for name, node in self._nodes.items():
            self._own[name] = {part.name: part for part in node.body if isinstance(part, Function)}
            self._bases[name] = [dotted(base) for base in node.bases[:_MOST_BASES]]

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    @property
    def names(self) -> list[str]:
        """In the order of the sources."""
        return list(self._nodes)

    def method(self, name: str, method: str) -> Function | None:
        """A method of a class, its own or that of a base; None: there is none."""
        there = (self._own[each].get(method) for each in self._lineage(name))
        return next((each for each in there if each is not None), None)

    def having(self, *methods: str) -> list[str]:
        """The classes that have all of these methods."""
        return [n for n in self._nodes if all(self.method(n, each) for each in methods)]

    def attributes(self, name: str) -> set[str]:
        """What is assigned to `self` or in the body of a class and its bases."""
        found = set()
        for each in self._lineage(name):
            found |= _attributes(self._nodes[each])
        return found

    def is_module(self, name: str) -> bool | None:
        """Whether a class is an `nn.Module`; None: it has a base that is not among these."""
        lineage = self._lineage(name)
        bases = [base for each in lineage for base in self._bases[each]]
        if any(base.split(".")[-1] == "Module" for base in bases):
            return True
        strange = [b for b in bases if b != "object" and b.split(".")[-1] not in self._nodes]
        return None if strange else False

    def _lineage(self, name: str) -> list[str]:
        """A class and its bases, the nearest first."""
        found, seen = [name] if name in self._nodes else [], {name}
        for each in found:  # which grows
            for base in self._bases[each]:
                known = base.split(".")[-1]
                if known in self._nodes and known not in seen and len(found) < _MOST_BASES:
                    seen.add(known)
                    found.append(known)
        return found


def lacking(classes: Classes, name: str, methods: Mapping[str, int]) -> list[str]:
    """Which of these methods a class has not, or cannot be called with so many arguments."""
    found = []
    for method, count in methods.items():
        function = classes.method(name, method)
        if function is None:
            found.append(f"no {method}")
        elif not takes(function, count):
            found.append(f"{method} does not take {count} arguments")
    return found


def _attributes(node: ast.ClassDef) -> set[str]:
    found = set()
    for part in ast.walk(node):
        if not isinstance(part, ast.Attribute) or not isinstance(part.ctx, ast.Store):
            continue
        if isinstance(part.value, ast.Name) and part.value.id == "self":
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
