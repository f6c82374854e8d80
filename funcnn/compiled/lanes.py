"""A run of operations divided among lanes, which several threads can do beside each other.

An operation on many rows is divided into bands of them, one for each lane; a band needs, as a rule,
the same band of what was computed before, which the same lane has computed. Where a lane needs what
another has written, or writes what another needs, it waits for all: a phase ends. So of a
training step the batch is divided by examples, forward and backward, with small phases of the loss
between, and then the weights by their rows: each lane multiplies out its rows of a gradient and
goes on to the optimizer. A product with weights that are larger than the batch is divided by their
columns, as each lane would else read all of them.

The bands are cut by the shapes, and where each product keeps its bits: how many threads there are
cannot be seen in a result.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from funcnn.compiled.fusion import EXACT
from funcnn.compiled.instructions import reduced_axes
from funcnn.compiled.parts import Cuts, function_keeps_bits, product_keeps_bits
from funcnn.compiled.tape import BLOCK, NESTED, Buffer, Operation, View, span, views_of, written
from funcnn.ops.matmul import multiply

GRAINS = {0: (4, 12, 24, 48), 1: (16, 48)}
"""A product's rows, or columns, are cut at multiples of the first of these that keeps its bits."""
LEAST_WORK = 20_000
"""Elements of an operation, some five microseconds, from which on its rows are divided."""
PER_ELEMENT = 16
"""Multiply-adds of a product that take the time of an element."""
READ_PER_ELEMENT = 8
"""Elements of a matrix that a vector is multiplied by: by that, 784 x 512 is worth dividing."""
CACHED = 1 << 11
"""Elements: several arrays of so many stay in the first of a core's caches."""
BOUNDARY = 16
"""Elements: what is divided in others begins with a line of the cache."""

Lane = tuple[Operation, ...]


def phases_of(operations: Sequence[Operation], lanes: int, buffers: list[Buffer]) -> Lane:
    """The operations as forks of so many branches, to be done one after the other.

    Scratch memory that each lane needs of its own is added to the buffers.
    """
    bands = _Bands(operations, lanes, buffers)
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
        read = max(math.prod(view.shape) for view in (a, b))
        work = math.prod(a.shape) * b.shape[-1] // PER_ELEMENT
        return int(max(work, read // READ_PER_ELEMENT))
    return max((math.prod(view.shape) for view in views_of(operation)), default=0)


# --- bands -----------------------------------------------------------------------------------


class _Bands:
    """Where each operation is cut: all that have as many rows, at the same ones."""

    def __init__(
        self, operations: Iterable[Operation], lanes: int, buffers: Sequence[Buffer]
    ) -> None:
        self._lanes, self._buffers = lanes, buffers
        by_rows: dict[int, list[Operation]] = {}
        for operation in operations:
            rows = self._rows(operation)
            if rows is not None:
                by_rows.setdefault(rows, []).append(operation)
        self._by_rows: dict[int, Cuts] = {}
        for rows, alike in by_rows.items():
            if max(map(work_of, alike)) < LEAST_WORK:
                continue
            products = [
                operation
                for operation in alike
                if _is_product(operation)
                and len(operation.out.shape) == 2
                and not self.by_columns(operation)
            ]
            for grain in GRAINS[0] if products else (BOUNDARY if rows >= BLOCK else 1,):
                cuts = self._cuts(rows, grain)
                if cuts and all(product_keeps_bits(product, 0, cuts) for product in products):
                    self._by_rows[rows] = cuts
                    break

    def by_rows(self, operation: Operation) -> Cuts | None:
        """Where its rows are cut; None: not at all."""
        rows = self._rows(operation)
        return None if rows is None else self._by_rows.get(rows)

    def by_columns(self, operation: Operation) -> Cuts | None:
        """Where the columns of a product are cut; None: it is one for rows, or for none."""
        if not self._is_divisible_product(operation) or work_of(operation) < LEAST_WORK:
            return None
        a, b = operation.inputs
        if math.prod(b.shape) - math.prod(a.shape) < LEAST_WORK:  # it begins a phase, and ends one
            return None
        cuts = (self._cuts(b.shape[1], grain) for grain in GRAINS[1])
        return next((cut for cut in cuts if cut and product_keeps_bits(operation, 1, cut)), None)

    def _cuts(self, length: int, grain: int) -> Cuts | None:
        """Equal parts for all lanes, nearly; None: there is not enough for each, or one lane."""
        lanes = self._lanes
        cuts = *(length * lane // lanes // grain * grain for lane in range(lanes)), length
        divides = lanes > 1 and all(start < stop for start, stop in pairwise(cuts))
        return cuts if divides else None

    def _is_divisible_product(self, operation: Operation) -> bool:
        if not _is_product(operation) or len(operation.out.shape) != 2:
            return False
        a, b = operation.inputs
        # A matrix times its own transpose is for another function of BLAS. Two inputs may be one.
        kinds = {self._buffers[view.buffer].kind for view in (a, b)}
        is_transposed = a.shape == b.shape[::-1] and a.strides == b.strides[::-1]
        return not (is_transposed and (a.buffer == b.buffer or kinds == {"input"}))

    def _rows(self, operation: Operation) -> int | None:
        """Into how many rows it can be divided, each of a row of every input, or of all of it."""
        if operation.kind == "blocks":
            return self._rows(operation.inputs[0][0])
        out, function = operation.out, operation.function
        if operation.kind not in ("call", "copy") or not out.shape or out.shape[0] < 2:
            return None
        if _is_product(operation) and len(out.shape) == 2:
            return out.shape[0] if self._is_divisible_product(operation) else None
        if operation.kind == "copy" or function in EXACT or _is_product(operation):
            return int(out.shape[0]) if out.strides[0] == max(out.strides) else None
        if isinstance(function, np.ufunc):
            return out.shape[0] if function_keeps_bits(function, out.dtype) else None
        if function is np.take or 0 in reduced_axes(operation):
            return None
        return int(out.shape[0])


def _is_product(operation: Operation) -> bool:
    return operation.function in (np.matmul, multiply)


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


def _some_columns(product: Operation, start: int, stop: int) -> Operation:
    """What of a product gives some of its columns."""

    def part(view: View) -> View:
        offset = view.offset + start * view.strides[1]
        return view._replace(offset=offset, shape=(view.shape[0], stop - start))

    a, b = product.inputs
    return product._replace(inputs=(a, part(b)), out=part(product.out))


def _units(operation: Operation, bands: _Bands, buffers: list[Buffer]) -> list[Lane]:
    """What becomes of an operation: all of it, or a band for each lane; each several operations."""
    if cuts := bands.by_columns(operation):
        return [(_some_columns(operation, *ends),) for ends in pairwise(cuts)]
    cuts = bands.by_rows(operation)
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
