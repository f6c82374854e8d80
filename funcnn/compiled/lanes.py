"""A run of operations divided among lanes, which several threads can do beside each other.

An operation on many rows is divided into bands of them, one for each lane; a band needs, as a rule,
the same band of what was computed before, which the same lane has computed. Where a lane needs what
another has written, or writes what another needs, it waits for all: a phase ends. So of a
training step the batch is divided by examples, forward and backward, with small phases of the loss
between, and then the weights by their rows: each lane multiplies out its rows of a gradient and
goes on to the optimizer.

The bands are cut by the shapes, and where each product keeps its bits: how many threads there are
cannot be seen in a result.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from funcnn.compiled.fusion import EXACT
from funcnn.compiled.instructions import reduced_axes
from funcnn.compiled.names import aligned
from funcnn.compiled.tape import (
    BLOCK,
    NESTED,
    Buffer,
    Operation,
    View,
    array_at,
    span,
    views_of,
    written,
)
from funcnn.ops.matmul import multiply
from funcnn.threads import single_threaded_blas
from funcnn.types import Array

GRAINS = 4, 12, 24, 48
"""A product is cut at multiples of so many rows: the first at which it keeps its bits."""
LEAST_WORK = 20_000
"""Elements of an operation, some five microseconds, from which on its rows are divided."""
PER_ELEMENT = 16
"""Multiply-adds of a product that take the time of an element."""
CACHED = 1 << 11
"""Elements: several arrays of so many stay in the first of a core's caches."""
BOUNDARY = 16
"""Elements: what is divided in others begins with a line of the cache."""

Lane = tuple[Operation, ...]


def phases_of(operations: Sequence[Operation], lanes: int, buffers: list[Buffer]) -> Lane:
    """The operations as forks of so many branches, to be done one after the other.

    Scratch memory that each lane needs of its own is added to the buffers.
    """
    bands = _bands(operations, lanes)
    plan = _Plan(lanes)
    for operation in operations:
        plan.add(_units(operation, bands, buffers))
    return plan.forks()


def work_of(operation: Operation) -> int:
    """The elements that an operation goes through, or what takes the same time."""
    if operation.kind in NESTED:
        return sum(work_of(inner) for branch in operation.inputs for inner in branch)
    if operation.function in (np.matmul, multiply):
        a, b = operation.inputs
        return int(math.prod(a.shape) * b.shape[-1] // PER_ELEMENT)
    return max((math.prod(view.shape) for view in views_of(operation)), default=0)


# --- bands -----------------------------------------------------------------------------------

_Bands = dict[int, tuple[int, ...]]
"""Where arrays of so many rows are cut: the first is 0, the last is all of them."""


def _bands(operations: Iterable[Operation], lanes: int) -> _Bands:
    by_rows: dict[int, list[Operation]] = {}
    for operation in operations:
        rows = _rows(operation)
        if rows is not None:
            by_rows.setdefault(rows, []).append(operation)
    found = {}
    for rows, alike in by_rows.items():
        if lanes == 1 or max(map(work_of, alike)) < LEAST_WORK:
            continue
        products = [op for op in alike if _is_product(op) and len(op.out.shape) == 2]
        for grain in GRAINS if products else (BOUNDARY if rows >= BLOCK else 1,):
            cuts = *(rows * lane // lanes // grain * grain for lane in range(lanes)), rows
            divides = all(start < stop for start, stop in pairwise(cuts))
            if divides and all(_keep_bits(product, cuts) for product in products):
                found[rows] = cuts
                break
    return found


def _is_product(operation: Operation) -> bool:
    return operation.function in (np.matmul, multiply)


def _rows(operation: Operation) -> int | None:
    """Into how many rows it can be divided, each of a row of every input, or of all of it."""
    if operation.kind == "blocks":
        return _rows(operation.inputs[0][0])
    out, function = operation.out, operation.function
    if operation.kind not in ("call", "copy") or not out.shape or out.shape[0] < 2:
        return None
    if _is_product(operation) and len(out.shape) == 2:
        a, b = operation.inputs
        # A matrix times its own transpose is for another function of BLAS.
        transposed = a.shape == b.shape[::-1] and a.strides == b.strides[::-1]
        return None if transposed or a.buffer == b.buffer else out.shape[0]
    if operation.kind == "copy" or function in EXACT or _is_product(operation):
        return int(out.shape[0]) if out.strides[0] == max(out.strides) else None
    if isinstance(function, np.ufunc):
        return out.shape[0] if _function_keeps_bits(function, out.dtype) else None
    if function is np.take or 0 in reduced_axes(operation):
        return None
    return int(out.shape[0])


def _band(operation: Operation, start: int, stop: int) -> Operation:
    """What of an operation gives some of the rows of its result."""
    if operation.kind == "blocks":
        calls = tuple(_band(call, start, stop) for call in operation.inputs[0])
        return operation._replace(inputs=(calls,))
    rows, rank = operation.out.shape[0], len(operation.out.shape)

    def part(view: View) -> View:
        if len(view.shape) < max(rank, 1) or view.shape[0] != rows:  # it is broadcast
            return view
        offset = view.offset + start * view.strides[0]
        return view._replace(offset=offset, shape=(stop - start, *view.shape[1:]))

    first, *others = operation.inputs
    is_matrix = _is_product(operation) and rank == 2
    parts = others if is_matrix else map(part, others)
    return operation._replace(inputs=(part(first), *parts), out=part(operation.out))


def _units(operation: Operation, bands: _Bands, buffers: list[Buffer]) -> list[Lane]:
    """What becomes of an operation: all of it, or a band for each lane; each several operations."""
    rows = _rows(operation)
    cuts = None if rows is None else bands.get(rows)
    whole = [operation] if cuts is None else [_band(operation, *ends) for ends in pairwise(cuts)]
    if operation.kind != "blocks":
        return [(part,) for part in whole]
    # What is used within the blocks alone has room for one: each lane needs its own.
    own = {v.buffer for v in views_of(operation) if buffers[v.buffer].size < _bytes_of(v)}
    return [tuple(_in_blocks(part.inputs[0], own, buffers)) for part in whole]


def _bytes_of(view: View) -> int:
    return math.prod(view.shape) * view.dtype.itemsize


def _in_blocks(calls: Lane, own: set[int], buffers: list[Buffer]) -> Iterator[Operation]:
    """All calls on so many elements as stay in a core's cache, then on the next ones."""
    size = math.prod(calls[0].out.shape)
    mine = {number: len(buffers) + i for i, number in enumerate(sorted(own))}
    buffers += [buffers[number] for number in mine]
    for start in range(0, size, CACHED):
        count = min(CACHED, size - start)

        def block(view: View, start: int = start, count: int = count) -> View:
            if not view.shape:
                return view
            item = view.dtype.itemsize
            flat = view._replace(shape=(count,), strides=(item,))
            if view.buffer in mine:
                return flat._replace(buffer=mine[view.buffer], offset=0)
            return flat._replace(offset=view.offset + start * item)

        for call in calls:
            yield call._replace(inputs=tuple(map(block, call.inputs)), out=block(call.out))


# --- what keeps its bits ---------------------------------------------------------------------


def _keep_bits(product: Operation, cuts: tuple[int, ...]) -> bool:
    """Whether a product has the same bits when it is cut there."""
    a, b = (view._replace(buffer=0, offset=0) for view in product.inputs)
    return _product_keeps_bits(a, b, cuts)


@functools.lru_cache(maxsize=256)
def _product_keeps_bits(a: View, b: View, cuts: tuple[int, ...]) -> bool:
    generator = np.random.default_rng(0)
    with single_threaded_blas():
        for shift in (0, a.dtype.itemsize):  # from the beginning of a line of the cache, nearly
            x, y = (_example(view, shift, generator) for view in (a, b))
            whole = np.matmul(x, y)
            for start, stop in pairwise(cuts):
                if not np.array_equal(whole[start:stop], np.matmul(x[start:stop], y)):
                    return False
    return True


def _example(view: View, shift: int, generator: np.random.Generator) -> Array:
    """An array of random numbers that lies as this one, so many bytes further on."""
    start, stop = span(view)
    array = array_at(view, aligned(stop - start + shift), shift - start)
    array[...] = generator.standard_normal(view.shape)
    return array


@functools.cache
def _function_keeps_bits(function: np.ufunc, dtype: np.dtype[Any]) -> bool:
    """Whether a function of one array has the same bits when that is cut."""
    if function.nin != 1:
        return False
    generator = np.random.default_rng(0)
    values = np.exp(generator.uniform(-99, 99, 1001)) * generator.choice([-1, 1], 1001)
    values[::7], values[3::50] = generator.uniform(0, 5, 143), [np.inf, -np.inf, np.nan, 0] * 5
    cuts = 0, 1, 8, 100, 333, 1001
    with np.errstate(all="ignore"):
        values = values.astype(dtype)
        parts = [function(values[start:stop]) for start, stop in pairwise(cuts)]
        return bool(function(values).tobytes() == np.concatenate(parts).tobytes())


# --- phases ----------------------------------------------------------------------------------


class _Touch(NamedTuple):
    """Some bytes of a buffer that a lane reads or writes in a phase."""

    start: int
    stop: int
    is_written: bool
    phase: int
    lane: int


_Spans = dict[tuple[int, bool], tuple[int, int]]
"""The bytes of each buffer that are read (False) or written (True) by some operations."""


class _Plan:
    """Which lane does what in which phase."""

    def __init__(self, lanes: int) -> None:
        self._lanes = range(lanes)
        self._phases: list[list[list[Operation]]] = []
        self._touched: dict[int, list[_Touch]] = {}

    def add(self, units: list[Lane]) -> None:
        """A unit for each lane, all in one phase; or one, for the lane that can do it first."""
        spans = [_spans(unit) for unit in units]
        lanes = list(self._lanes)
        if len(units) > 1:
            phase = max(map(self._first_phase, spans, lanes))
        else:
            earliest = [self._first_phase(spans[0], lane) for lane in lanes]
            phase = min(earliest)
            able = [lane for lane in lanes if earliest[lane] == phase]
            lanes = [min(able, key=lambda lane: self._load(phase, lane))]
        if phase == len(self._phases):
            self._phases.append([[] for _ in self._lanes])
        for lane, unit, touched in zip(lanes, units, spans, strict=True):
            self._phases[phase][lane] += unit
            for (buffer, is_written), (start, stop) in touched.items():
                touch = _Touch(start, stop, is_written, phase, lane)
                self._touched.setdefault(buffer, []).append(touch)

    def _first_phase(self, spans: _Spans, lane: int) -> int:
        """The first phase in which a lane finds what it needs, and disturbs no other."""
        return max(
            (
                touch.phase + (touch.lane != lane)
                for (buffer, is_written), (start, stop) in spans.items()
                for touch in self._touched.get(buffer, ())
                if (is_written or touch.is_written) and touch.start < stop and start < touch.stop
            ),
            default=0,
        )

    def _load(self, phase: int, lane: int) -> int:
        return sum(map(work_of, self._phases[phase][lane])) if phase < len(self._phases) else 0

    def forks(self) -> Lane:
        return tuple(
            Operation("fork", None, tuple(tuple(lane) for lane in phase)) for phase in self._phases
        )


def _spans(unit: Lane) -> _Spans:
    spans: _Spans = {}
    for operation in unit:
        outs = set(written(operation))
        for view in views_of(operation):
            start, stop = span(view)
            key = view.buffer, view in outs
            before = spans.get(key, (start, stop))
            spans[key] = min(before[0], start), max(before[1], stop)
    return spans
