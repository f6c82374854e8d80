"""Whether arguments are of a kind that was recorded, and what is asked quickly of the next ones.

A signature says all of arguments but their numbers. A state that comes back as it was given out is
known by its leaves, whose shapes need not be looked at again.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from funcnn import tree
from funcnn.compiled.numbers import NotRecordableError
from funcnn.random import Key
from funcnn.types import Tree

NUMBERS = (bool, int, float, Key)


class Signature(NamedTuple):
    """What is the same in arguments that one recording serves."""

    structure: tree.TreeDef
    leaves: tuple[Any, ...]


def signature_of(arguments: tuple[Any, ...]) -> tuple[Signature, list[Any]]:
    """The signature of arguments, and their leaves.

    Raises `NotRecordableError` for a leaf that is neither an array nor a number.
    """
    leaves, structure = tree.flatten(arguments)
    return Signature(structure, tuple(map(_kind, leaves))), leaves


def _kind(leaf: Any) -> Any:
    kind = type(leaf)
    if kind is np.ndarray and leaf.dtype.kind in "biuf":
        return leaf.shape, leaf.strides, leaf.dtype
    if kind in NUMBERS:
        return kind
    what = f"an array of {leaf.dtype}" if kind is np.ndarray else f"a {kind.__name__}"
    raise NotRecordableError(f"{what} is among the arguments")


def recognizer(given: Tree) -> Callable[[Tree, list[Any]], bool]:
    """`same(value, leaves)`: whether the value has the structure of `given`, and these leaves.

    Leaves are compared by identity.
    """
    numbers = iter(range(len(tree.leaves(given))))
    return _function(given, "leaves", lambda name, leaf: f"{name} is leaves[{next(numbers)}]")


def fitter(given: Tree) -> Callable[[Tree, list[Any]], bool]:
    """`fits(value, leaves)`: whether the value has the structure of `given` and leaves like its.

    They are added to the list.
    """
    kinds: dict[str, Any] = {"ndarray": np.ndarray}

    def check(name: str, leaf: Any) -> str:
        kind = f"kind{len(kinds)}"
        kinds[kind] = _kind(leaf)
        if type(leaf) is not np.ndarray:
            return f"type({name}) is {kind} and not leaves.append({name})"
        shape, strides, kinds[kind] = kinds[kind]
        like = f"{name}.shape == {shape} and {name}.strides == {strides} and {name}.dtype == {kind}"
        return f"type({name}) is ndarray and {like} and not leaves.append({name})"

    return _function(given, "leaves", check, kinds)


def _function(
    given: Tree, argument: str, check: Callable[[str, Any], str], names: Any = None
) -> Callable[[Tree, list[Any]], bool]:
    conditions: list[str] = []
    known: dict[str, Any] = {} if names is None else names
    _walk(given, "value", conditions, known, check)
    text = " and ".join(conditions) or "True"
    source = f"def function(value, {argument}):\n    return {text}"
    exec(compile(source, "<a recorded step's arguments>", "exec"), known)
    function: Callable[[Tree, list[Any]], bool] = known["function"]
    return function


def _walk(
    node: Any, name: str, conditions: list[str], known: Any, check: Callable[[str, Any], str]
) -> None:
    """The conditions under which what is called `name` is like the node."""
    kind = type(node)
    is_tuple = isinstance(node, tuple)
    if node is None:
        conditions.append(f"{name} is None")
    elif kind is dict or kind is list or kind is tuple or (is_tuple and hasattr(node, "_fields")):
        of = f"type{len(known)}"
        known[of] = kind
        conditions.append(f"type({name}) is {of} and len({name}) == {len(node)}")
        keys = sorted(node) if kind is dict else range(len(node))
        for key in keys:
            entry = f"entry{len(known)}"
            known[entry] = key
            inner = f"part{len(known)}"
            at = repr(key) if type(key) in (str, int) else entry
            conditions.append(f"(({inner} := {name}[{at}]) is not NotImplemented)")
            _walk(node[key], inner, conditions, known, check)
    else:
        conditions.append(check(name, node))
