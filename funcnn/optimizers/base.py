"""What an optimizer is, with optax's pair and names, and how several become one.

    Optimizer(init, update)
    init(params)                         -> state
    update(grads, state, params)         -> (updates, state)
    apply_updates(params, updates)       -> params                  params + updates

grads, params and updates are trees of one structure; a state is a NamedTuple, or a tuple of those
for a chain. Arrays that a function made itself it may change until it returns them; its arguments
it never does. Trees of different structures raise `ValueError` where they meet, and so does a value
out of range.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from funcnn import _pickling, tree
from funcnn._arguments import as_array, check_number, shown
from funcnn._pickling import recorded
from funcnn._written import by_shapes
from funcnn.types import Array, Tree

State = Any
Mask = Any
"""A tree of bools like params, or with one bool for a whole subtree; or a function from params to
such a tree."""


class Optimizer(NamedTuple):
    """`init(params) -> state` and `update(grads, state, params) -> (updates, state)`.

    >>> sign = fn.Optimizer(lambda params: (), lambda g, state, params: (np.sign(g), state))
    >>> optimizer, params = fn.chain(sign, fn.scale(-0.1)), np.zeros(2)
    >>> optimizer.update(np.array([3.0, -2.0]), optimizer.init(params), params)[0]
    array([-0.1,  0.1])
    """

    init: Callable[[Tree], State]
    update: Callable[[Tree, State, Tree], tuple[Tree, State]]

    def __repr__(self) -> str:
        recipe = _pickling.recipe_of(self)
        return repr(recipe) if recipe else "<optimizer>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickling.reduce(self)

    def __deepcopy__(self, memo: Any) -> "Optimizer":
        return self  # nothing of it can change


def apply_updates(params: Tree, updates: Tree) -> Tree:
    """params + updates, leaf by leaf, in the dtypes of params.

    Raises `ValueError` where the structures or shapes differ.

    >>> fn.apply_updates({"bias": np.array([1.0, 2.0])}, {"bias": np.array([-0.5, 0.0])})
    {'bias': array([0.5, 2. ])}
    """

    def add(p: Array, u: Array) -> Array:
        if type(p) is not np.ndarray or type(u) is not np.ndarray:
            p, u = as_array("params", p), as_array("updates", u)
        if u.shape != p.shape:
            raise ValueError(f"an update of shape {u.shape} does not fit a weight of {p.shape}")
        return np.asarray(p + u, p.dtype)

    return tree.map(add, params, updates)


class Stateless(NamedTuple):
    """The state of a transformation that remembers nothing."""


def stateless(transform: Callable[[Tree, Tree], Tree]) -> Optimizer:
    """updates = transform(grads, params), which remembers nothing. As `optax.stateless`."""
    return Optimizer(
        lambda params: Stateless(), lambda grads, state, params: (transform(grads, params), state)
    )


@by_shapes
class AverageState(NamedTuple):
    """The steps taken so far, and the average of the params after each, a tree like params."""

    step: int
    average: Tree


@recorded
def chain(*transformations: Optimizer) -> Optimizer:
    """Each transformation applied to what the one before it returned. As `optax.chain`.

    >>> optimizer, params = fn.chain(fn.clip_by_value(1.0), fn.sgd(0.1)), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.05, -0.1 ])
    """
    for index, transformation in enumerate(transformations):
        _expect_optimizer(f"chain: argument {index}", transformation)

    def init(params: Tree) -> State:
        return tuple(transformation.init(params) for transformation in transformations)

    def update(grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        if not isinstance(state, (tuple, list)) or len(state) != len(transformations):
            raise _another_state(state)
        states = []
        try:
            for transformation, old in zip(transformations, state, strict=True):
                grads, new = transformation.update(grads, old, params)
                states.append(new)
        except AttributeError as error:
            if error.obj is old:
                raise _another_state(state) from error
            raise
        return grads, tuple(states)

    return Optimizer(init, update)


# --- a part of the params, or all as one -----------------------------------------------------


@recorded
def masked(optimizer: Optimizer, mask: Mask) -> Optimizer:
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
    _expect_optimizer("masked: the first argument", optimizer)

    def init(params: Tree) -> State:
        return optimizer.init(_select(_expand(mask, params), params))

    def update(grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        chosen = _expand(mask, params)
        updates, state = optimizer.update(_select(chosen, grads), state, _select(chosen, params))
        return tree.map(lambda yes, u, g: u if yes else g, chosen, updates, grads), state

    return Optimizer(init, update)


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


def _expand(mask: Mask, params: Tree) -> Tree:
    """The mask as a tree of bools with the structure of params."""

    def fill(path: str, yes: Any, below: Tree) -> Tree:
        if not isinstance(yes, (bool, np.bool_)):
            raise TypeError(f"the mask at {path or 'the root'} must be a bool, got {shown(yes)}")
        return tree.map(lambda _: bool(yes), below)

    bools = mask(params) if callable(mask) else mask
    try:
        return tree.map_with_path(fill, bools, params)
    except ValueError as error:
        raise ValueError(f"the mask does not fit the params: {error}") from None


def _select(chosen: Tree, values: Tree) -> Tree:
    """`values` with None, a node without leaves, in the place of each leaf not chosen."""
    return tree.map(lambda yes, value: value if yes else None, chosen, values)


@recorded
def flatten(optimizer: Optimizer) -> Optimizer:
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
    _expect_optimizer("flatten: the argument", optimizer)

    def expect_shape(g: Array, w: Array) -> None:
        if g.shape != w.shape:
            raise ValueError(f"flatten: a gradient of shape {g.shape} for a weight of {w.shape}")

    def init(params: Tree) -> State:
        return optimizer.init(tree.ravel(params)[0])

    def update(grads: Tree, state: State, params: Tree) -> tuple[Tree, State]:
        tree.map(expect_shape, grads, params)
        (vector, unravel), (weights, _) = tree.ravel(grads), tree.ravel(params)
        updates, state = optimizer.update(vector, state, weights)
        return unravel(updates), state

    return Optimizer(init, update)


# --- the average of the params ---------------------------------------------------------------


@recorded
def average_params(decay: float) -> Optimizer:
    """u = g, beside a running average a of the params: a = a + (1 - decay) (w + u - a).

    Put it last in a chain (not inside `flatten` or `masked`, which show it other params), and get a
    with `averaged_params(state)`. The first step copies the params. decay: in [0, 1), 0.999 or so.
    As `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn`. Running statistics of
    layers change after the update, so that those in a are late by a step: take them from the
    params. Polyak and Juditsky 1992.

    >>> optimizer, params = fn.chain(fn.sgd(0.1), fn.average_params(0.9)), np.array([1.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(np.array([1.0]), state, params)
    ...     params = fn.apply_updates(params, updates)
    >>> params.round(3), fn.averaged_params(state).round(3)
    (array([0.8]), array([0.89]))
    """
    decay = check_number("decay", decay, least=0, below=1)

    def average(new: Array, old: Array) -> Array:
        moved: Array = new - old
        moved *= 1 - decay
        moved += old
        return moved

    def update(grads: Tree, state: AverageState, params: Tree) -> tuple[Tree, State]:
        new = apply_updates(params, grads)
        if state.step:
            new = tree.map(average, new, state.average)
        return grads, AverageState(state.step + 1, new)

    return Optimizer(lambda params: AverageState(0, params), update)


def averaged_params(state: State) -> Tree:
    """The average that `average_params` keeps somewhere in an optimizer's state.

    Raises `ValueError` if there is none.

    >>> optimizer, params = fn.average_params(0.9), np.array([1.0])
    >>> _, state = optimizer.update(np.zeros(1), optimizer.init(params), params)
    >>> fn.averaged_params(state)
    array([1.])
    """
    pending = [state]
    while pending:
        part = pending.pop()
        if isinstance(part, AverageState):
            return part.average
        if isinstance(part, tuple):
            pending.extend(part)
    raise ValueError("the optimizer keeps no average: put average_params last in its chain")


# --- helpers ---------------------------------------------------------------------------------


def _expect_optimizer(argument: str, value: Any) -> None:
    if not isinstance(value, Optimizer):
        raise TypeError(f"{argument} is not an Optimizer: {shown(value)}")


def _another_state(state: Any) -> ValueError:
    names = [type(part).__name__ for part in state] if isinstance(state, tuple) else []
    got = f"({', '.join(names)})" if names else f"a {type(state).__name__}"
    return ValueError(f"this is no state of this optimizer, but {got}: optimizer.init(params)")


def zeros_like(params: Tree) -> Tree:
    """A tree like params, of zeros."""
    return tree.map(lambda w: np.zeros_like(as_array("params", w)), params)
