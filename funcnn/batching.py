"""Passes over data in batches."""

import contextvars
import functools
import operator
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

from funcnn import random
from funcnn._arguments import as_arrays, check_flag, not_a_pair, shown
from funcnn._augmenting import Augmentation
from funcnn._elsewhere import answered
from funcnn._workers import Worker, idle
from funcnn._written import written
from funcnn.random import Key
from funcnn.threads import single_threaded_blas
from funcnn.types import Array, Arrays, Batch

T = TypeVar("T")

Preprocess = Callable[[Array], Array]
"""What makes a batch of stored inputs (pixels, say) into a batch that the model takes."""


class Batches:
    """The batches of some data, to be gone through once for each `for`; `len` is how many.

    With a key, every pass has an order of its own: the first that of the key, pass i that of
    `fold_in(key, i)`. So it counts the passes that were begun, and that is all that changes.
    `next(batches)` draws from one pass, as from an iterator.

    What is drawn for batch i of a pass with the key k has the key `fold_in(split(k)[0], i)`, which
    is neither the order's nor that of any other batch.
    """

    def __init__(
        self,
        data: Batch,
        batch_size: int,
        rng: Key | None,
        augment: Augmentation | None,
        preprocess: Preprocess | None,
        drop_last: bool,
    ) -> None:
        self._x, self._y = data
        self._batch_size, self._drop_last = batch_size, drop_last
        self._rng, self._augment, self._preprocess = rng, augment, preprocess
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
        draws = None if rng is None or self._augment is None else random.split(rng)[0]
        size = self._batch_size
        for index in range(len(self)):
            rows = slice(index * size, (index + 1) * size)
            chosen: Any = rows if order is None else order[rows]
            batch = pick(self._x, chosen), pick(self._y, chosen)
            if self._augment is None and self._preprocess is None:
                yield batch
                continue
            with single_threaded_blas():  # or products in them had other bits when prefetched
                if self._augment is not None and draws is not None:
                    batch = _augmented(self._augment(random.fold_in(draws, index), batch))
                inputs, targets = batch
                if self._preprocess is not None:
                    inputs = self._preprocess(inputs)
            yield inputs, targets


def _augmented(batch: Any) -> Batch:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise not_a_pair("what augment(rng, (x, y)) gives", batch)
    x, y = batch
    return x, y


@answered
def batches(
    data: Batch,
    batch_size: int,
    *,
    rng: Key | None = None,
    augment: Augmentation | None = None,
    preprocess: Preprocess | None = None,
    drop_last: bool = False,
) -> Batches:
    """The `(x, y)` batches of `data`, as often as they are gone through; `len` is their number.

    data: `(x, y)`, `(N, ...)` each, or a tuple of such arrays: x of a network with several inputs,
    y as for `weighted`. What NumPy reads, a Series say, is taken by position. batch_size: 1 to N.
    rng: the order, shuffled anew for each key and each pass; None keeps the order of the data.
    augment: `augment(key, (x, y))` gives what takes the place of each batch as it is stored, with a
    key of the batch's own: one of `fn.augmentations`, say. It needs rng.
    preprocess: applied to each batch of x after that, so that x may stay bytes in memory.
    drop_last: leave out a smaller last batch, as in `torch.utils.data.DataLoader`.
    Raises `ValueError` for another batch size, different lengths or an augment without rng,
    `TypeError` for what is no array, at once.

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
    if augment is not None and not callable(augment):
        raise TypeError(f"augment is a function of a key and a batch, got {shown(augment)}")
    if augment is not None and rng is None:
        raise ValueError("augment draws from a key: batches(..., rng=fn.random.key(0))")
    return Batches((x, y), batch_size, rng, augment, preprocess, drop_last)


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


# --- ahead -----------------------------------------------------------------------------------


class Prefetched(Generic[T]):
    """Batches of which each is prepared while the one before it is in use."""

    def __init__(self, batches: Iterable[T]) -> None:
        self._batches = batches
        self._left: list[tuple[Worker, threading.Event]] = []

    def __repr__(self) -> str:
        return f"fn.prefetch({self._batches!r})"

    def __len__(self) -> int:
        return len(cast(Any, self._batches))

    def __iter__(self) -> Iterator[T]:
        while self._left:  # what a pass that was left early has under way is no part of this one
            worker, ended = left = self._left[-1]
            if worker.is_alive():
                ended.wait()
            self._left.remove(left)  # not before: Ctrl-C may come in the wait
        return self._pass(iter(self._batches))

    def _pass(self, source: Iterator[T]) -> Iterator[T]:
        worker = None
        try:
            worker = idle.pop() if idle else Worker()
            _start(worker, source)
            while True:
                if not worker.is_alive():
                    raise RuntimeError(
                        "a forked process cannot go on with a pass over batches that its parent "
                        "began: begin another"
                    )
                batch, error = worker.finish()
                if error is not None or batch is _END:
                    ended, worker = worker, None  # nothing is under way: the next pass may have it
                    idle.append(ended)
                    if error is not None:
                        raise error
                    return
                _start(worker, source)
                yield batch
        finally:
            # It waits for nothing: it may run in the middle of anything, as garbage is collected.
            if worker is not None:
                self._left.append((worker, worker.leave()))


_END = object()


def _start(worker: Worker, source: Iterator[Any]) -> None:
    # The context carries numpy's errstate and the number of threads, which are the loop's.
    worker.start(functools.partial(contextvars.copy_context().run, next, source, _END))


@answered
def prefetch(batches: Iterable[T]) -> Prefetched[T]:
    """The same batches in the same order, the next one prepared while the loop is at work.

    batches: what `batches` gives, or any other iterable; gone through again, it is another pass. It
    is prepared in another thread, one batch ahead, and what it raises is raised in the loop, where
    the batch would have come. A loop that is left early drops the batch under way. `len` is that of
    `batches`. Raises `TypeError` for what cannot be gone through.

    >>> data = np.arange(5.0)[:, None], np.arange(5)
    >>> batches = fn.batches(data, 2, rng=fn.random.key(0))
    >>> [y for x, y in fn.prefetch(batches)]
    [array([4, 3]), array([2, 0]), array([1])]
    """
    if not isinstance(batches, Iterable):
        raise TypeError(f"prefetch takes an iterable of batches, got {shown(batches)}")
    return Prefetched(batches)
