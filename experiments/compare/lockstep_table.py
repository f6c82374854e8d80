"""The table of a lockstep: written as CSV, read back, and what it says in a few numbers."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from funcnn._files import read_text, write_whole
from funcnn.experiments.compare.lockstep import Step
from funcnn.experiments.errors import InputError

ROUNDING = 1e-9
"""What float64 stays below, in all three numbers and at every step."""
APART = 1e-3
"""Where the two are called apart."""
DTYPES = ("float64", "float32")
MEASURED = ("loss", "grads", "params")
TREES = ("grads", "params")
_NUMBERS = Step._fields[: -len(TREES)]


def steps_file(folder: Path, dtype: str) -> Path:
    """Where a comparison has the steps of a lockstep."""
    return folder / f"lockstep-{dtype}.csv"


def write_steps(path: Path, steps: Sequence[Step]) -> None:
    """A row for each step; after its numbers `grads:PATH` and `params:PATH`, each leaf's share."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    leaves = list(steps[0].shares_of_params)
    writer.writerow([*_NUMBERS, *(f"{tree}:{leaf}" for tree in TREES for leaf in leaves)])
    for step in steps:
        *numbers, of_grads, of_params = step
        writer.writerow([*numbers, *of_grads.values(), *of_params.values()])
    write_whole(path, text.getvalue().encode())


def read_steps(path: Path) -> list[Step]:
    """The steps that `write_steps` wrote. Raises `InputError` if they are damaged."""
    try:
        head, *lines = csv.reader(read_text(path).splitlines())
        if tuple(head[: len(_NUMBERS)]) != _NUMBERS or not lines:
            raise ValueError(f"it does not begin with {','.join(_NUMBERS)} and a step")
        return [_step(head, line) for line in lines]
    except (ValueError, KeyError, csv.Error) as error:
        raise InputError(f"{path} is not the table of a lockstep: {error}") from None


def _step(head: list[str], line: list[str]) -> Step:
    values: dict[str, Any] = dict(zip(head, map(float, line), strict=True))
    if not all(map(math.isfinite, values.values())):
        raise ValueError(f"step {line[0]} has a number that is not finite")
    for name in ("step", "switched"):
        values[name] = int(values[name])
    by_tree: dict[str, dict[str, float]] = {tree: {} for tree in TREES}
    for name in head[len(_NUMBERS) :]:
        tree, _, leaf = name.partition(":")
        by_tree[tree][leaf] = values[name]
    return Step(*(values[name] for name in _NUMBERS), *by_tree.values())


def by_layer(shares: dict[str, float]) -> dict[str, float]:
    """The share of each layer, by its path: its leaves' shares, as the norm of all of them."""
    layers: dict[str, list[float]] = {}
    for path, share in shares.items():
        layers.setdefault(path.rpartition("/")[0], []).append(share)
    return {layer: math.hypot(*parts) for layer, parts in layers.items()}


def summarise(steps: Sequence[Step]) -> dict[str, Any]:
    """What a lockstep came to.

    largest: of each number over all steps; last: at the last step. first_apart: the first step at
    which each is above `APART`, or None. first_switch: the first step with a switched output, and
    the difference of params just before it. For grads and params, see `_growth`.
    """
    largest = {name: max(getattr(step, name) for step in steps) for name in MEASURED}
    first = next((index for index, step in enumerate(steps) if step.switched), None)
    switch = None
    if first is not None:
        before = steps[first - 1].params if first else 0.0
        switch = {"step": steps[first].step, "params_before": before}
    return {
        "steps": len(steps),
        "largest": largest,
        "last": {name: getattr(steps[-1], name) for name in MEASURED},
        "below_rounding": max(largest.values()) < ROUNDING,
        "first_apart": {
            name: _first_above(((step.step, getattr(step, name)) for step in steps), APART)
            for name in MEASURED
        },
        "first_switch": switch,
        "grads_by_layer": _growth(steps, "grads"),
        "params_by_layer": _growth(steps, "params"),
    }


def _first_above(values: Iterable[tuple[int, float]], level: float) -> int | None:
    return next((step for step, value in values if value > level), None)


def _growth(steps: Sequence[Step], tree: str) -> dict[str, Any]:
    """Which layer's share grew first, and which is the largest at the end.

    Grew first: it was the first above a level, a tenth of `APART`, or if none was, the highest
    power of ten that a share was above; of several at one step the one with the largest share.
    """
    tables = [by_layer(getattr(step, f"shares_of_{tree}")) for step in steps]
    end = tables[-1]
    grew: dict[str, Any] = {"first": None, "level": None, "step": None}
    top = max(max(table.values()) for table in tables)
    if top > 0:
        level = min(APART / 10, 10.0 ** (math.ceil(math.log10(top)) - 1))
        for step, table in zip(steps, tables, strict=True):
            layer = max(table, key=lambda path: table[path])
            if table[layer] > level:
                grew = {"first": layer, "level": level, "step": step.step}
                break
    layer = max(end, key=lambda path: end[path])
    return grew | {"largest_at_end": layer, "share_at_end": end[layer]}
