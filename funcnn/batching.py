"""Passes over data in batches."""

import operator
from collections.abc import Callable, Iterator
from typing import Any

from funcnn import random
from funcnn._arguments import as_arrays, check_flag, not_a_pair, shown
from funcnn._elsewhere import answered
from funcnn._written import written
from funcnn.random import Key
from funcnn.types import Array, Arrays

Batch = tuple[Arrays, Arrays]
"""Inputs and targets, of one length; each an array, or a tuple of arrays."""
Preprocess = Callable[[Array], Array]
"""What makes a batch of stored inputs (pixels, say) into a batch that the model takes."""


class Batches:
    """The batches of some data, to be gone through once for each `for`; `len` is how many.

    With a key, every pass has an order of its own: the first that of the key, pass i that of
    `fold_in(key, i)`. So it counts the passes that were begun, and that is all that changes.
    `next(batches)` draws from one pass, as from an iterator.
    """

    def __init__(
        self,
        data: Batch,
        batch_size: int,
        rng: Key | None,
        preprocess: Preprocess | None,
        drop_last: bool,
    ) -> None:
        self._x, self._y = data
        self._batch_size, self._drop_last = batch_size, drop_last
        self._rng, self._preprocess = rng, preprocess
        self._passes = 0
        self._drawn: Iterator[Batch] | None = None

    def __repr__(self) -> str:
        x, y = written(self._x), written(self._y)
        return f"<{len(self)} batches of {self._batch_size} from ({x}, {y})>"

    def __len__(self) -> int:
        examples = count_rows(self._x)
        return examples // self._batch_size if self._drop_last else -(-examples // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        rng = self._rng
        if rng is not None and self._passes:
            rng = random.fold_in(rng, self._passes)
        self._passes += 1
        return self._pass(rng)

    def __next__(self) -> Batch:
        if self._drawn is None:
            self._drawn = iter(self)
        return next(self._drawn)

    def _pass(self, rng: Key | None) -> Iterator[Batch]:
        order = None if rng is None else random.permutation(rng, count_rows(self._x))
        size = self._batch_size
        for start in range(0, len(self) * size, size):
            rows = slice(start, start + size)
            chosen: Any = rows if order is None else order[rows]
            inputs = pick(self._x, chosen)
            if self._preprocess is not None:
                inputs = self._preprocess(inputs)
            yield inputs, pick(self._y, chosen)


@answered
def batches(
    data: Batch,
    batch_size: int,
    *,
    rng: Key | None = None,
    preprocess: Preprocess | None = None,
    drop_last: bool = False,
) -> Batches:
    """The `(x, y)` batches of `data`, as often as they are gone through; `len` is their number.

    data: `(x, y)`, `(N, ...)` each, or a tuple of such arrays: x of a network with several inputs,
    y as for `weighted`. What NumPy reads, a Series say, is taken by position. batch_size: 1 to N.
    rng: the order, shuffled anew for each key and each pass; None keeps the order of the data.
    preprocess: applied to each batch of x, so that x may stay bytes in memory.
    drop_last: leave out a smaller last batch, as in `torch.utils.data.DataLoader`.
    Raises `ValueError` for another batch size or different lengths, `TypeError` for what is no
    array, at once.

    >>> data = np.arange(5.0)[:, None], np.arange(5)
    >>> [y for x, y in fn.batches(data, 2, rng=fn.random.key(0))]
    [array([4, 3]), array([2, 0]), array([1])]
    """
    x, y = check_data(data)
    examples = count_rows(x)
    batch_size = check_batch_size(batch_size, examples)
    check_flag("drop_last", drop_last)
    if rng is not None:
        random.key_data(rng)  # says now that it is no key
    return Batches((x, y), batch_size, rng, preprocess, drop_last)


def check_batch_size(batch_size: int, examples: int) -> int:
    """The value as a Python int. Raises `ValueError` unless it is from 1 to the examples."""
    if not hasattr(batch_size, "__index__"):
        raise TypeError(f"batch_size is an integer, got {shown(batch_size)}")
    size = operator.index(batch_size)
    if not 1 <= size <= examples:
        raise ValueError(f"batch_size must be from 1 to the {examples} examples, got {size}")
    return size


def check_data(data: Any) -> Batch:
    """The pair of inputs and targets, as arrays of one length.

    Raises `TypeError` for no pair or no arrays, `ValueError` for different lengths.
    """
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise not_a_pair("data", data)
    x, y = as_arrays("x", data[0]), as_arrays("y", data[1])
    inputs, targets = count_rows(x), count_rows(y)
    if inputs != targets:
        raise ValueError(f"data has {inputs} inputs but {targets} targets")
    return x, y


def count_rows(arrays: Arrays) -> int:
    """The length of an array, or of every array in a tuple. Raises `ValueError` if they differ."""
    if not isinstance(arrays, tuple):
        if arrays.ndim == 0:
            raise ValueError(
                "data has a single number where it needs an array of rows: a tuple is several "
                "arrays, so make one of a tuple of numbers"
            )
        return len(arrays)
    lengths = set(map(count_rows, arrays))
    if len(lengths) != 1:
        raise ValueError(f"data has arrays of different lengths, {sorted(lengths)}")
    return lengths.pop()


def pick(arrays: Arrays, chosen: Any) -> Arrays:
    """These rows, a slice or an array of their numbers, of an array or of every one in a tuple."""
    if isinstance(arrays, tuple):
        return tuple(pick(part, chosen) for part in arrays)
    return arrays[chosen]
