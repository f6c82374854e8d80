"""An optimizer for a part of the params, one for each part, or one for all of them as a vector.

See `optimizers.base` for the contract. What does not fit the params raises `ValueError`, and names
the path.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from funcnn import tree
from funcnn._arguments import as_array, shown
from funcnn._pickling import recorded
from funcnn._vectors import join, split
from funcnn.optimizers.base import AnyOptimizer, Optimizer, State, check_optimizer, stateless
from funcnn.types import Array, Tree

Mask = Any
"""A tree of bools like params, or with one bool for a whole subtree; or a function from params to
such a tree."""
Labels = Any
"""As a `Mask`, but of strings."""


class PartitionState(NamedTuple):
    """The state of each label's optimizer."""

    inner_states: dict[str, State]


@recorded
def masked(optimizer: AnyOptimizer, mask: Mask) -> Optimizer:
    """`optimizer` for the leaves where `mask` is True; the others pass unchanged.

    mask: a tree of bools like params, in which one bool may stand for a whole subtree, or a
    function from params to such a tree. What passes is still added to the params: to keep a part
    of them as it is, put `freeze` last in a chain. As `optax.masked`.
    Raises `ValueError` for a mask that does not fit the params, `TypeError` for a leaf of it that
    is no bool; each names the path.

    >>> optimizer = fn.masked(fn.scale(0.0), {"weight": False, "bias": True})
    >>> grads = {"weight": np.ones(2), "bias": np.ones(1)}
    >>> optimizer.update(grads, optimizer.init(grads), grads)[0]
    {'bias': array([0.]), 'weight': array([1., 1.])}
    """
    check_optimizer("masked: the first argument", optimizer)
    expand = functools.partial(_expand, "the mask does", mask, _check_bool)

    def init(params: Tree) -> State:
        return optimizer.init(_select(expand(params), True, params))

    def update(grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        chosen = expand(params)
        own, weights = (_select(chosen, True, each) for each in (grads, params))
        updates, state = optimizer.update(own, state, weights)
        return _merge(chosen, True, updates, grads), state

    return Optimizer(init, update)


def weight_mask(params: Tree) -> Tree:
    """True for the weights of dense layers and convolutions, False for biases and norms.

    Those have an axis for the inputs and one for the outputs, two at least, and these one; but a
    `LayerNorm` over several dims has as many, and needs a mask of your own. A `Mask` for weight
    decay, which is there for what multiplies inputs, as optax's users write it by themselves.

    >>> fn.weight_mask({"weight": np.ones((3, 2)), "bias": np.ones(2)})
    {'bias': False, 'weight': True}
    """
    return tree.map(lambda w: np.ndim(w) > 1, params)


@recorded
def freeze(mask: Mask) -> Optimizer:
    """u = 0 where `mask` is True; the other leaves pass unchanged. As `optax.freeze`.

    To keep a part of the params as it is, to the bit, put it last in a chain, after all that
    makes updates of its own (weight decay, momentum): `chain(adamw(1e-3), freeze(mask))`. Running
    statistics are no updates, and change all the same. mask: as in `masked`.

    >>> optimizer = fn.chain(fn.sgd(0.1), fn.freeze({"weight": True, "bias": False}))
    >>> grads = {"weight": np.ones(2), "bias": np.ones(1)}
    >>> optimizer.update(grads, optimizer.init(grads), grads)[0]
    {'bias': array([-0.1]), 'weight': array([-0., -0.])}
    """
    # w + -0.0 is w to the bit; w + 0.0 is not, where w is -0.0.
    no_update = stateless(
        lambda grads, params: tree.map_arrays(lambda g: np.full_like(g, -0.0), grads)
    )
    return masked(no_update, mask)


@recorded
def partition(optimizers: Mapping[str, AnyOptimizer], labels: Labels) -> Optimizer:
    """Each leaf by the optimizer of its label, with a learning rate of its own, say.

    optimizers: `{label: optimizer}`; `freeze(True)` keeps the leaves of its label as they are.
    labels: a tree of strings like params, in which one string may stand for a whole subtree, or a
    function from params to such a tree. The metrics of a training step have the rate of each
    label, as `learning_rate/label`. As `optax.partition`.
    Raises `ValueError` for labels that do not fit the params, a label without an optimizer and an
    optimizer without a leaf, `TypeError` for a label that is no string, or what is no optimizer.

    >>> optimizer = fn.partition({"body": fn.sgd(0.1), "head": fn.sgd(1.0)}, ["body", "head"])
    >>> grads = [{"weight": np.ones(2)}, {"weight": np.ones(1)}]
    >>> optimizer.update(grads, optimizer.init(grads), grads)[0]
    [{'weight': array([-0.1, -0.1])}, {'weight': array([-1.])}]
    """
    if not isinstance(optimizers, Mapping):
        raise TypeError(f"partition: optimizers are {{label: optimizer}}, got {shown(optimizers)}")
    for label, optimizer in optimizers.items():
        check_optimizer(f"partition: what is given for {label!r}", optimizer)
    optimizers = dict(optimizers)
    names = ", ".join(map(repr, optimizers))

    def check(path: str, label: Any) -> None:
        if not isinstance(label, str):
            raise TypeError(f"the label at {path} must be a string, got {shown(label)}")
        if label not in optimizers:
            raise ValueError(f"the label {label!r} at {path} has no optimizer: there are {names}")

    def expand(params: Tree) -> Tree:
        of_leaves = _expand("the labels do", labels, check, params)
        used = set(tree.leaves(of_leaves))
        for label in optimizers:
            if label not in used:
                raise ValueError(f"no leaf of the params has the label {label!r}")
        return of_leaves

    def init(params: Tree) -> State:
        of_leaves = expand(params)
        return PartitionState(
            {
                label: optimizer.init(_select(of_leaves, label, params))
                for label, optimizer in optimizers.items()
            }
        )

    def update(grads: Tree, state: PartitionState, params: Tree) -> tuple[Tree, State]:
        inner_states = getattr(state, "inner_states", {})
        if inner_states.keys() != optimizers.keys():
            raise ValueError(
                f"partition: this is no state of optimizers for {names}, but for "
                f"{', '.join(map(repr, inner_states)) or 'none'}: optimizer.init(params)"
            )
        of_leaves = expand(params)
        updates, states = grads, {}
        for label, optimizer in optimizers.items():
            own, weights = (_select(of_leaves, label, each) for each in (grads, params))
            part, states[label] = optimizer.update(own, inner_states[label], weights)
            updates = _merge(of_leaves, label, part, updates)
        return updates, PartitionState(states)

    return Optimizer(init, update)


@recorded
def flatten(optimizer: AnyOptimizer) -> Optimizer:
    """`optimizer` over one vector of all the params, and updates like the params again.

    Few large operations in the place of many small ones: quicker for small leaves and an optimizer
    that does much, as adam; large leaves it only copies. An optimizer that works entry by entry
    gives the same bits; `sm3`, which sees rows and columns, does not, and a mask finds no leaves.
    Leaves of several dtypes are computed in their common one. As `optax.flatten`.
    Raises `ValueError` for gradients that are not a tree like params.

    >>> optimizer, grads = fn.flatten(fn.sgd(0.1)), {"weight": np.ones(2), "bias": np.ones(1)}
    >>> optimizer.update(grads, optimizer.init(grads), grads)[0]
    {'bias': array([-0.1]), 'weight': array([-0.1, -0.1])}
    """
    check_optimizer("flatten: the argument", optimizer)

    def init(params: Tree) -> State:
        return optimizer.init(tree.ravel(params)[0])

    def update(grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        pairs: list[tuple[Array, Array]] = []

        def note(g: Array, w: Array) -> None:
            if type(g) is not np.ndarray or type(w) is not np.ndarray:
                g, w = as_array("a gradient", g), as_array("params", w)
            if g.shape != w.shape:
                raise ValueError(
                    f"flatten: a gradient of shape {g.shape} for a weight of {w.shape}"
                )
            pairs.append((g, w))

        tree.map(note, grads, params)  # one walk for both, as walks are what a small net pays
        gradients, weights = zip(*pairs, strict=True) if pairs else ((), ())
        updates, state = optimizer.update(join(gradients), state, join(weights))
        pieces = split(updates, gradients)
        return tree.map(lambda g: next(pieces), grads), state

    return Optimizer(init, update)


# --- helpers ---------------------------------------------------------------------------------


def _check_bool(path: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"the mask at {path} must be a bool, got {shown(value)}")


def _expand(all_do: str, prefix: Any, check: Callable[[str, Any], None], params: Tree) -> Tree:
    """A mask, or labels, as a tree with the structure of params; `check(path, leaf)` may raise."""

    def fill(path: str, value: Any, below: Tree) -> Tree:
        value = value.item() if isinstance(value, np.generic) else value
        check(path or "the root", value)
        return tree.map(lambda _: value, below)

    given = prefix(params) if callable(prefix) else prefix
    try:
        return tree.map_with_path(fill, given, params)
    except tree.StructureMismatchError as error:
        raise ValueError(f"{all_do} not fit the params: {error}") from None


def _select(labels: Tree, label: Any, values: Tree) -> Tree:
    """`values` with None, a node without leaves, in the place of each leaf of another label."""
    return tree.map(lambda own, value: value if own == label else None, labels, values)


def _merge(labels: Tree, label: Any, part: Tree, others: Tree) -> Tree:
    """What `_select` took, from `part` again, and the other leaves from `others`."""
    return tree.map(lambda own, p, o: p if own == label else o, labels, part, others)
