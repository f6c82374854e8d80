"""Checks of the numbers and arrays that functions take, in one place so that all say the same."""

import inspect
import math
import operator
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from funcnn._recording import Recorded, host
from funcnn.types import Array, Arrays, Shape, Tree


def shown(value: Any) -> str:
    """The value as a message names it: on one line, and no longer than a line has room for."""
    text = " ".join(repr(value.item() if isinstance(value, np.generic) else value).split())
    return text if len(text) <= 100 else f"{text[:100]}..."


def one_line(text: object) -> str:
    """What a message says of a file, from which any text may come, so that it can be printed."""
    said = str(text)
    said = said if len(said) <= 1000 else f"{said[:1000]}..."
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in said)


def as_array(name: str, value: Any, *, numbers: bool = True) -> Array:
    """The value as an array, its rows in the order in which they lie: an array itself, at no cost.

    Whatever NumPy reads is taken by position (a Series has an index, and `s[rows]` goes by it).
    numbers: refuse text, dates and complex numbers too, of which a loss or a metric makes nonsense.
    Raises `TypeError`, naming the argument, for what is no array: objects, or masked entries.
    """
    if type(value) is np.ndarray and value.dtype.kind in "fiub":
        return value
    if isinstance(value, Recorded):
        return value
    kind = type(value).__name__
    if _is_masked(value) or (isinstance(value, (list, tuple)) and any(map(_is_masked, value))):
        raise TypeError(f"{name} is a {kind} with masked entries: drop them, or fill them in")
    if isinstance(value, Mapping) and type(value) is not dict:
        raise TypeError(f"{name} is a {kind}, no array: a tree is of dicts, lists and tuples")
    if is_traced(value):
        raise TypeError(f"{name} is a {kind}, no array: {_TRACED}")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # a ragged list, a tensor on a GPU
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{name} is a {kind} that is no array of numbers: {reason}") from None
    if array.dtype.kind == "O" or (numbers and array.dtype.kind not in "fiub"):
        raise TypeError(f"{name} is a {kind} of {_not_numbers(array)}")
    return array


def _is_masked(value: Any) -> bool:
    return isinstance(value, np.ndarray) and bool(np.any(getattr(value, "mask", False)))


def _not_numbers(array: Array) -> str:
    """What an array has in the place of numbers, and what to do about it."""
    kind = array.dtype.kind
    if kind in "US" or (kind == "O" and array.size and isinstance(array.flat[0], str)):
        example = str(array.flat[0]) if array.size else ""
        return f"text, such as {example[:40]!r}, not of numbers: number the classes from 0 first"
    if kind != "O":
        return f"{array.dtype}, not of real numbers"
    if array.ndim == 0:
        return "objects, not of numbers: make an array of them first"
    return "objects, not of numbers: give it a dtype of numbers first"


def as_arrays(name: str, value: Any) -> Arrays:
    """As `as_array`, but of a tuple each of its parts, for a network of several inputs.

    Names that go along with a batch are let through: what is computed with is checked there.
    """
    if isinstance(value, tuple):
        return tuple(as_arrays(name, part) for part in value)
    return as_array(name, value, numbers=False)


def labels_advice(name: str, labels: Array, examples: int) -> str:
    """What makes labels of what is none, to end a message with; nothing if it is not known."""
    if labels.shape == (examples, 1) and examples > 1 and labels.dtype.kind in "fiub":
        return f": {name}.ravel()" + ("" if labels.dtype.kind in "iu" else ".astype(int)")
    if labels.shape == (examples,) and labels.dtype.kind in "fb":
        return f": {name}.astype(int)"
    if labels.dtype.kind in "US":
        return f": number them, by np.unique({name}, return_inverse=True)[1]"
    return ""


def check_labels(labels: Array, classes: int) -> None:
    """Raise `ValueError`, naming it, for a label that is not the number of a class."""
    low, high = extremes(labels)
    if low < 0 or high >= classes:
        raise ValueError(f"label {low if low < 0 else high} is not in 0 .. {classes - 1}")


def extremes(values: Array) -> tuple[Any, Any]:
    """The least and the largest, as Python numbers, or NaN if there is one among them.

    Of a small array they are found in a third of the time that `min` and `max` take.
    """
    return host(_extremes, values)


def _extremes(values: Array) -> tuple[Any, Any]:
    return values.item(values.argmin()), values.item(values.argmax())


def is_array(value: Any) -> bool:
    """Whether it is an array that computes as NumPy's do: not masked, and no matrix.

    Layers and losses take nothing else as x: they convert nothing.
    """
    if type(value) is np.ndarray:
        return True
    if not isinstance(value, np.ndarray) or isinstance(value, np.matrix):
        return False
    return not hasattr(value, "mask")


def check_array(x: Any, name: str = "x") -> None:
    """Raise `TypeError`, naming it, unless the x of a layer is an array, as `is_array` says.

    Raises `ValueError` for a single number, which has no axis of samples.
    """
    if type(x) is not np.ndarray and not is_array(x):
        raise TypeError(f"{name} is an array, got {in_its_place(x).replace('(x)', f'({name})')}")
    if x.ndim == 0:
        raise ValueError(f"{name} has no axis of samples: its shape is ()")


def check_arrays(x: Any) -> None:
    """As `check_array`, but of a tuple each of its parts, for a network of several inputs."""
    if isinstance(x, tuple):
        for part in x:
            check_arrays(part)
    elif is_array(x):
        check_array(x)
    else:
        raise TypeError(f"x is an array, or a tuple of arrays, got {in_its_place(x)}")


def in_its_place(value: Any) -> str:
    """What a value is in the place of the array x, and what to write instead, if it is known."""
    got = f"a {type(value).__name__}"
    if is_traced(value):
        return f"{got}: {_TRACED}"
    if isinstance(value, tuple) and len(value) == 2 and callable(value[1]):
        return f"{got}: y, vjp = apply(params, x)"
    readable = isinstance(value, list) or hasattr(value, "__array__")
    return f"{got}: np.asarray(x)" if readable and not hasattr(value, "mask") else got


def is_traced(value: Any) -> bool:
    """Whether it stands for an array inside one of jax's transformations."""
    return any(base.__name__ == "Tracer" for base in type(value).__mro__)


_TRACED = "jax's transformations do not see NumPy, write fn.value_and_grad(apply, loss)"


def check_cotangent(dy: Array, shape: Shape, dtype: Any) -> None:
    """Raise `ValueError` unless dy has the shape and dtype of the y that it is a cotangent of.

    Raises `TypeError` if it is no array.
    """
    if type(dy) is not np.ndarray:  # asked here, it saves most calls another
        check_array(dy, "dy")
    if dy.shape != shape or dy.dtype != dtype:
        raise ValueError(f"dy must be {dtype} of shape {shape}, got {dy.dtype} of {dy.shape}")


def param_of(params: Tree, name: str) -> Array:
    """The array of this name among a layer's params.

    Raises `ValueError` if they have none, `TypeError` if it is no array.
    """
    try:
        param: Array = params[name]
    except (KeyError, TypeError, IndexError):
        got = "" if isinstance(params, dict) else f": they are a {type(params).__name__}, no dict"
        raise ValueError(f"params have no {name!r}{got}") from None
    if type(param) is not np.ndarray and not is_array(param):
        advice = _TRACED if is_traced(param) else "fn.tree.map(np.asarray, params)"
        kind = type(param).__name__
        raise TypeError(f"params have a {kind} as {name!r}, which is no array: {advice}")
    return param


def check_param(params: Tree, name: str, shape: Shape, dtype: Any) -> Array:
    """The param. Raises `ValueError` for another shape, `TypeError` for another dtype than x's."""
    param = param_of(params, name)
    if param.shape != shape:
        raise ValueError(f"expected a {name} of shape {shape}, got {param.shape}")
    if param.dtype != dtype:
        raise another_dtype(dtype, param.dtype)
    return param


def another_dtype(dtype: Any, params_dtype: Any) -> TypeError:
    """The error for an x of another dtype than the params, with what to type instead."""
    return TypeError(f'x is {dtype} but params are {params_dtype}: x.astype("{params_dtype}")')


def check_number(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> float:
    """The value as a Python float: a `np.float64` would turn float32 arrays into float64.

    Raises `ValueError`, naming the argument, unless it is a finite number in range.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    try:
        finite = isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        finite = False
    if finite and least <= value <= most and above < value < below:
        return float(value)
    if most < math.inf or below < math.inf:
        limits = f"in [{least:g}, {most:g}]" if most < math.inf else f"in [{least:g}, {below:g})"
    else:
        limits = "a finite number"
        limits += f" of at least {least:g}" if least > -math.inf else ""
        limits += f" above {above:g}" if above > -math.inf else ""
    raise ValueError(f"{name} must be {limits}, got {shown(value)}")


def check_count(name: str, value: Any, least: int = 1, kind: str = "an integer") -> int:
    """The value as a Python int. Raises `ValueError` unless it is an integer, at least `least`."""
    try:
        count = operator.index(value)
    except TypeError:
        count = least - 1
    if count < least:
        raise ValueError(f"{name} must be {kind} of at least {least}, got {shown(value)}")
    return count


def check_flag(name: str, value: Any) -> None:
    """Raise `TypeError`, naming the argument, unless the value is True or False."""
    if not isinstance(value, (bool, np.bool)):
        raise TypeError(f"{name} is True or False, got {shown(value)}")


def check_steps(name: str, value: Any, least: int) -> int:
    """As `check_count`, of a number of steps."""
    return check_count(name, value, least, "a step")


def by_name(function: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> TypeError:
    """The error for what an `apply` got by position after x (a key), or by another name."""
    rest = f"{function} takes the rest by name, rng=key or train=True"
    if arguments:
        return TypeError(f"{rest}, got {shown(arguments[0])}")
    return TypeError(f"{rest}, and has no argument {next(iter(keywords))!r}")


def value_and_vjp(result: Any) -> tuple[Any, Any]:
    """What a loss gave. Raises `TypeError`, with the contract, unless it is `(value, vjp)`."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        got = f"a tuple of {len(result)}" if isinstance(result, tuple) else shown(result)
        raise TypeError(f"{_LOSS}; this one gave {got}")
    value, vjp = result
    if not callable(vjp):
        raise TypeError(f"{_LOSS}; the vjp of this one is a {type(vjp).__name__}, no function")
    if type(value) is not float and np.shape(value):
        raise TypeError(f"the value of a loss is one number, got an array of {np.shape(value)}")
    return value, vjp


def gradient_by_outputs(vjp: Callable[[], Any]) -> Any:
    """What the vjp of a loss gives. Raises `TypeError`, with the contract, if it needs a dvalue."""
    try:
        return vjp()
    except TypeError:
        if not _needs_no_argument(vjp):
            raise TypeError(f"{_LOSS}; the vjp of this one needs an argument") from None
        raise


_LOSS = "loss(outputs, targets) gives (value, vjp), and vjp(dvalue=1.0) the gradient by the outputs"


def _needs_no_argument(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    except ValueError:  # some compiled callables have no signature
        pass
    return True


def not_a_pair(name: str, value: Any) -> TypeError:
    """The error for a batch, or data, that is no pair (x, y)."""
    message = f"{name} is a pair (x, y) of inputs and targets, got a {type(value).__name__}"
    if not isinstance(value, (tuple, list)):
        return TypeError(message)
    weights = ": weights go with the targets, (x, (y, weights)), for fn.weighted(loss)"
    return TypeError(f"{message} of {len(value)}{weights if len(value) == 3 else ''}")
