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

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from funcnn import _pickling, tree
from funcnn._arguments import as_array, check_number, shown
from funcnn._memory import LEAST_BYTES, empty_like
from funcnn._pickling import recorded
from funcnn._recording import host
from funcnn._written import by_shapes
from funcnn.schedules import Schedule
from funcnn.types import Array, Tree

State = Any


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


class AnyOptimizer(Protocol):
    """Any pair of `init` and `update`: an `Optimizer`, or a `GradientTransformation` of optax's."""

    @property
    def init(self) -> Callable[[Tree], State]:
        """As that of `Optimizer`."""

    @property
    def update(self) -> Callable[[Tree, State, Tree], tuple[Tree, State]]:
        """As that of `Optimizer`."""


def is_optimizer(value: Any) -> bool:
    """Whether it is a pair of `init` and `update`."""
    return all(callable(getattr(value, name, None)) for name in ("init", "update"))


def check_optimizer(argument: str, value: Any) -> None:
    """Raise `TypeError`, naming the argument, unless it is an optimizer."""
    if isinstance(value, Optimizer):
        return
    if not is_optimizer(value):
        pair = isinstance(value, tuple) and len(value) == 2 and all(map(callable, value))
        advice = "fn.Optimizer(init, update)" if pair else "write fn.sgd(0.1), for one"
        raise TypeError(f"{argument} is not an Optimizer: {shown(value)}: {advice}")
    try:
        inspect.signature(value.update).bind("grads", "state", "params")
    except TypeError as error:
        given = "update gets grads, state and params alone"
        raise TypeError(f"{argument}: {given}, and this one's has {error}") from None
    except ValueError:  # some compiled callables have no signature
        pass


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
            raise tree.StructureMismatchError  # which check_alike explains
        if u.dtype != p.dtype:
            return np.add(p, u, out=empty_like(p), casting="unsafe")
        return p + u if p.ndim and p.nbytes < LEAST_BYTES else np.add(p, u, out=empty_like(p))

    try:
        return tree.map(add, params, updates)
    except tree.StructureMismatchError:
        check_alike("update", params, updates)
        raise


def check_alike(what: str, params: Tree, other: Tree) -> None:
    """Raise `ValueError`, with the path, unless a "gradient" or "update" is a tree like params."""

    def check(path: str, p: Array, u: Array) -> None:
        got, expected = np.shape(u), np.shape(p)
        if got != expected:
            fit = f"{what} of shape {got} does not fit a weight of {expected}"
            summed = ": a gradient is summed over the batch" if len(got) > len(expected) else ""
            raise ValueError(f"{path or 'params'}: the {fit}{summed}")

    try:
        tree.map_with_path(check, params, other)
    except tree.StructureMismatchError as error:
        message = str(error).replace("trees", f"params and their {what}", 1)
        raise ValueError(message) from None


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
def chain(*transformations: AnyOptimizer) -> Optimizer:
    """Each transformation applied to what the one before it returned. As `optax.chain`.

    >>> optimizer, params = fn.chain(fn.clip_by_value(1.0), fn.sgd(0.1)), np.array([1.0, -2.0])
    >>> updates, state = optimizer.update(np.array([0.5, 4.0]), optimizer.init(params), params)
    >>> updates.round(4)
    array([-0.05, -0.1 ])
    """
    for index, transformation in enumerate(transformations):
        check_optimizer(f"chain: argument {index}", transformation)

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


# --- the average of the params ---------------------------------------------------------------


@recorded
def average_params(decay: float) -> Optimizer:
    """u = g, beside a running average a of the params: a = a + (1 - decay) (w + u - a).

    Put it last in a chain (not inside `flatten`, `masked` or `partition`, which show it other
    params), and get a with `averaged_params(state)`. The first step copies the params. decay: in
    [0, 1), 0.999 or so. As `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn`.
    Running statistics of layers change after the update, so that those in a are late by a step:
    take them from the params. Polyak and Juditsky 1992.

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


def _another_state(state: Any) -> ValueError:
    names = [type(part).__name__ for part in state] if isinstance(state, tuple) else []
    got = f"({', '.join(names)})" if names else f"a {type(state).__name__}"
    return ValueError(f"this is no state of this optimizer, but {got}: optimizer.init(params)")


def rate_at(schedule: Schedule, step: int) -> float:
    """The rate of a step, as a Python float."""
    return host(_as_float, schedule, step)


def _as_float(schedule: Schedule, step: int) -> float:
    return float(schedule(step))


def scaled(array: Array, factor: float) -> Array:
    """The array times a number, as a new array."""
    if array.nbytes < LEAST_BYTES:
        return array * factor
    return np.multiply(array, factor, out=empty_like(array))


def squared(array: Array) -> Array:
    """The square of each number, as a new array."""
    return np.multiply(array, array, out=empty_like(array))


def zeros_like(params: Tree) -> Tree:
    """A tree like params, of zeros."""
    return tree.map(lambda w: np.zeros_like(as_array("params", w)), params)
