"""Pytrees: nested containers of arrays, with the semantics of `jax.tree`.

Dicts (in the order of their sorted keys), lists, tuples and NamedTuples are nodes, `None` is a
node without children, and everything else is a leaf (an OrderedDict too, which JAX would open).
A leaf has a path such as `0/weight`. Trees of different structures raise `ValueError`.
"""

import builtins
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from funcnn._arguments import as_array
from funcnn._vectors import join, split
from funcnn.types import Array, Tree


class TreeDef(NamedTuple):
    """The structure of a tree without its leaves. Equal structures compare equal."""

    node_type: type | None
    """The container's type, `type(None)` for a `None`, or None for a leaf."""
    keys: tuple[Any, ...]
    """A dict's sorted keys, or the indices of a sequence."""
    children: tuple["TreeDef", ...]

    @property
    def num_leaves(self) -> int:
        """How many leaves a tree of this structure has."""
        return 1 if self.node_type is None else sum(c.num_leaves for c in self.children)

    def __repr__(self) -> str:
        return repr(unflatten(self, [_STAR] * self.num_leaves))


_LEAF = TreeDef(None, (), ())
_STAR = type("Star", (), {"__repr__": lambda self: "*"})()


def _is_namedtuple(node_type: type) -> bool:
    return issubclass(node_type, tuple) and hasattr(node_type, "_fields")


def _node_type(tree: Tree) -> type | None:
    """The type of a node, or None if `tree` is a leaf."""
    kind = type(tree)
    if kind is np.ndarray:  # nearly every leaf, so it is asked first
        return None
    if kind is dict or kind is list or kind is tuple or tree is None or _is_namedtuple(kind):
        return kind
    return None


def _sorted_keys(tree: dict[Any, Any]) -> list[Any]:
    if len(tree) < 2:
        return list(tree)
    try:
        return sorted(tree)
    except TypeError:
        raise TypeError(f"keys of a dict in a tree must be sortable, got {list(tree)}") from None


def _keys(tree: Tree) -> Sequence[Any]:
    if tree is None:
        return ()
    return _sorted_keys(tree) if type(tree) is dict else range(len(tree))


def _rebuild(node_type: type, keys: Sequence[Any], children: list[Any]) -> Tree:
    if node_type is dict:
        return dict(zip(keys, children, strict=True))
    if node_type is list:
        return children
    if node_type is type(None):
        return None
    return node_type(*children) if _is_namedtuple(node_type) else tuple(children)


def _join(path: str, key: Any) -> str:
    return f"{path}/{key}" if path else str(key)


def _child_names(tree: Tree) -> Sequence[Any]:
    """The keys that a path shows: a NamedTuple's fields, a dict's keys, or indices."""
    fields: Sequence[Any] | None = getattr(tree, "_fields", None)
    return _keys(tree) if fields is None else fields


def flatten(tree: Tree) -> tuple[list[Any], TreeDef]:
    """The leaves in order, and the structure: the inverse of `unflatten`, as `jax.tree.flatten`."""
    collected: list[Any] = []
    return collected, _flatten_into(tree, collected)


def _flatten_into(tree: Tree, collected: list[Any]) -> TreeDef:
    node_type = _node_type(tree)
    if node_type is None:
        collected.append(tree)
        return _LEAF
    keys = _keys(tree)
    children = tuple(_flatten_into(tree[key], collected) for key in keys)
    return TreeDef(node_type, tuple(keys), children)


def unflatten(treedef: TreeDef, leaves: Sequence[Any]) -> Tree:
    """The tree of this structure with these leaves, as `jax.tree.unflatten`.

    Raises `ValueError` if the number of leaves is another.
    """
    leaves = list(leaves)
    if len(leaves) != treedef.num_leaves:
        raise ValueError(f"the structure has {treedef.num_leaves} leaves, got {len(leaves)}")
    return _unflatten_from(treedef, iter(leaves))


def _unflatten_from(treedef: TreeDef, remaining: Iterator[Any]) -> Tree:
    if treedef.node_type is None:
        return next(remaining)
    children = [_unflatten_from(child, remaining) for child in treedef.children]
    return _rebuild(treedef.node_type, treedef.keys, children)


def leaves(tree: Tree) -> list[Any]:
    """The leaves in order: dict keys sorted, sequences as they are, as `jax.tree.leaves`."""
    collected: list[Any] = []
    _collect_leaves(tree, collected)
    return collected


def _collect_leaves(tree: Tree, collected: list[Any]) -> None:
    kind = type(tree)
    if kind is dict:  # nearly every node, so it is asked first
        for key in _sorted_keys(tree) if tree else ():
            child = tree[key]
            if type(child) is np.ndarray:  # asked here, it saves a call for most leaves
                collected.append(child)
            else:
                _collect_leaves(child, collected)
    elif kind is not list and _node_type(tree) is None:
        collected.append(tree)
    elif tree is not None:
        for child in tree:
            _collect_leaves(child, collected)


def structure(tree: Tree) -> TreeDef:
    """The structure of a tree, as `jax.tree.structure`."""
    return flatten(tree)[1]


def leaves_with_path(tree: Tree) -> list[tuple[str, Any]]:
    """The leaves in order, each with its path, such as `("0/weight", array)`."""
    collected: list[tuple[str, Any]] = []
    map_with_path(lambda path, leaf: collected.append((path, leaf)), tree)
    return collected


def map(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """`function` of the corresponding leaves of trees of one structure, as `jax.tree.map`.

    Raises `ValueError`, naming the path, where the structures differ.
    """
    try:
        return _map(function, (tree, *rest), None)
    except (KeyError, StructureMismatchError):
        _explain_mismatch(tree, rest)
        raise


def map_arrays(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """As `map`, of arrays: what is none among the leaves of `tree`, a Series say, is made one.

    Its rows are taken by position. Raises `TypeError` for what is no array of numbers too.
    """
    try:
        return _map(function, (tree, *rest), _leaf_as_array)
    except (KeyError, StructureMismatchError):
        _explain_mismatch(tree, rest)
        raise


_leaf_as_array = functools.partial(as_array, "a leaf")


def _explain_mismatch(tree: Tree, rest: Sequence[Any]) -> None:
    # Where is found out only now, so that a match pays nothing for its path.
    for other in rest:
        _check_same_structure(tree, other, "")


def _map(
    function: Callable[..., Any], trees: Sequence[Tree], convert: Callable[[Any], Any] | None
) -> Tree:
    tree = trees[0]
    kind: Any = type(tree)
    if kind is dict:  # nearly every node, so it is asked first
        # Nearly every child is an array, which needs no call of its own, and nearly every map is
        # of one tree or two, which need no list: that would be half of the walk.
        mapped = {}
        if len(trees) == 1:
            for key in _sorted_keys(tree) if tree else ():
                child = tree[key]
                is_array = type(child) is np.ndarray
                mapped[key] = function(child) if is_array else _map(function, (child,), convert)
            return mapped
        for other in trees:  # here and not in a function, which would cost more than it does
            if type(other) is not dict or len(other) != len(tree):
                raise StructureMismatchError
        for key in _sorted_keys(tree) if tree else ():
            if len(trees) == 2:
                children: Sequence[Any] = tree[key], other[key]
            else:
                children = [each[key] for each in trees]
            is_array = type(children[0]) is np.ndarray
            mapped[key] = function(*children) if is_array else _map(function, children, convert)
        return mapped
    if kind is not list:
        kind = _node_type(tree)
        if kind is None:
            return function(tree if convert is None else convert(tree), *trees[1:])
        if tree is None:
            if any(other is not None for other in trees):
                raise StructureMismatchError
            return None
    for other in trees:
        if type(other) is not kind or len(other) != len(tree):
            raise StructureMismatchError
    mapped_children = [_map(function, nodes, convert) for nodes in zip(*trees, strict=True)]
    return mapped_children if kind is list else _rebuild(kind, (), mapped_children)


class StructureMismatchError(ValueError):
    """Two trees that should have one structure do not."""


def _describe(tree: Tree) -> str:
    node_type = _node_type(tree)
    if tree is None:
        return "None"
    if node_type is None:
        return f"a leaf ({type(tree).__name__})"
    if node_type is dict:
        return f"a dict with keys {_sorted_keys(tree)}"
    return f"a {node_type.__name__} of {len(tree)}"


def _check_same_structure(expected: Tree, got: Tree, path: str) -> None:
    if _node_type(expected) is None:
        return  # a leaf of the first tree may stand for a whole subtree of the others, as in JAX
    same_type = type(expected) is type(got)
    if not same_type or list(_keys(expected)) != list(_keys(got)):
        kinds = f"{_describe(expected)} and {_describe(got)}"
        raise StructureMismatchError(f"trees differ at {path or 'the root'}: {kinds}")
    for key, name in zip(_keys(expected), _child_names(expected), strict=True):
        _check_same_structure(expected[key], got[key], _join(path, name))


def map_with_path(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """`function(path, leaf, ...)` of the corresponding leaves, as `map`; a path is `0/weight`."""
    for other in rest:
        _check_same_structure(tree, other, "")
    return _map_with_path(function, "", tree, rest)


def _map_with_path(
    function: Callable[..., Any], path: str, tree: Tree, rest: Sequence[Tree]
) -> Tree:
    node_type = _node_type(tree)
    if node_type is None:
        return function(path, tree, *rest)
    keys = _keys(tree)
    children = [
        _map_with_path(function, _join(path, name), tree[key], [other[key] for other in rest])
        for key, name in zip(keys, _child_names(tree), strict=True)
    ]
    return _rebuild(node_type, keys, children)


def ravel(tree: Tree) -> tuple[Array, Callable[[Array], Tree]]:
    """All leaves as one vector, and the function that brings such a vector back to a tree.

    As `jax.flatten_util.ravel_pytree`: the vector, of shape `(size,)`, has the leaves' common
    dtype; each leaf that `unravel(vector)` returns has its own dtype again.
    Raises `TypeError` for a leaf that is no array; `unravel`, `ValueError` for a vector of another
    shape.
    """
    arrays: list[Array] = []

    def note(leaf: Any) -> Array:
        arrays.append(as_array("a leaf", leaf, numbers=False))
        return arrays[-1]

    like = map(note, tree)
    vector = join(arrays)
    shape = vector.shape

    def unravel(vector: Array) -> Tree:
        if np.shape(vector) != shape:
            raise ValueError(f"expected a vector of shape {shape}, got {np.shape(vector)}")
        pieces = split(np.asarray(vector), arrays)
        return map(lambda leaf: next(pieces).copy(), like)

    return vector, unravel


def all_close(tree: Tree, other: Tree, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """Whether corresponding leaves have one shape and close values, as `numpy.allclose`.

    Raises `ValueError`, naming the path, where the structures differ, `TypeError` for a leaf that
    is no array of numbers.
    """

    def alike(a: Any, b: Any) -> bool:
        a, b = (_leaf_as_array(leaf, numbers=False) for leaf in (a, b))
        return a.shape == b.shape and np.allclose(a, b, rtol=rtol, atol=atol)

    return builtins.all(leaves(map(alike, tree, other)))
