"""What `--run-code` adds: the sheet's loop on the hand-in, in a sandbox."""

import ast
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from funcnn.experiments.data.points import generate_XOR_easy
from funcnn.experiments.errors import InputError
from funcnn.experiments.grade.floors import FLOORS
from funcnn.experiments.grade.printed_rules import EPOCH_LINES, accuracies
from funcnn.experiments.grade.python_sources import Function
from funcnn.experiments.grade.run_files import (
    read_named,
    write_file,
    write_files,
    write_packages,
    write_task,
)
from funcnn.experiments.grade.sandbox import Sandbox, run_driver
from funcnn.experiments.grade.sheet import Work
from funcnn.experiments.grade.told import trouble, usable
from funcnn.experiments.grade.verdicts import Verdict, listed

_STEPS, _ROWS = 60, 100
_PATIENCE = 60
"""Seconds after which the loop makes no further step."""
_USUAL_RATE = 6e-4


def run_rules(work: Work, sandbox: Sandbox) -> Iterator[Verdict]:
    """The rules that need the student's code to run."""
    rules = {
        "fashion": _loop_rules,
        "emnist47": _loop_rules,
        "fashion-mlp": _mlp_rules,
        "points": _points_rules,
    }
    if work.sheet.lab not in rules:
        yield Verdict("--run-code", "a loop or a program of the sheet", None, "it has none")
        return
    with tempfile.TemporaryDirectory(prefix="funcnn-") as name:
        try:
            yield from rules[work.sheet.lab](work, sandbox, Path(name))
        except InputError as error:
            yield Verdict("--run-code", "its files can be run", None, str(error))


def _left_verdicts(left: list[str]) -> Iterator[Verdict]:
    """What was not there when the code ran."""
    if left:
        found = f"not there: {listed(left, 3)}"
        yield Verdict("--run-code", "its files beside each other", None, found)


# --- `fashion` and `emnist47` -------------------------------------------------------------------


def _loop_rules(work: Work, sandbox: Sandbox, folder: Path) -> Iterator[Verdict]:
    rule = "import model; model.Network(): net.forward, net.backward, net.update run"
    if not {"network", "layer"} <= set(work.files):
        yield Verdict("model/", rule, None, "network or layer is missing")
        return
    rate = _learning_rate(work)
    files = (work.handed.files, work.files["network"], work.files["layer"])
    ways, left = write_packages(folder, *files)
    yield from _left_verdicts(left)
    assert work.sheet.predictions is not None
    classes = work.sheet.predictions.classes
    write_task(folder, [classes, rate, _STEPS, _ROWS, _PATIENCE, ways])
    ran = run_driver(sandbox, "loop", folder, ("numpy", "pandas", "sklearn"))
    told = usable(ran)
    if not {"module", "package", "steps", "scale", "losses", "falls", "shape"} <= set(told):
        yield Verdict("model/", rule, *trouble(ran, told))
        return
    found = f"{told['steps']} steps of {_ROWS} made-up pictures"
    if not told["package"]:
        found += f", as {told['module']} with its files side by side: not as the package model"
    yield Verdict("model/", rule, told["package"] or None, found)
    yield Verdict("model/", f"pred: (B, {classes}), rows sum to 1", *_probable(work, told))
    first, last = (math.nan if each is None else each for each in told["losses"])
    found = f"{first:.4g} to {last:.4g} at a learning rate of {rate:g}"
    if told["scale"] != 1:
        found += f", of pictures / {told['scale']}"
    # Made-up pictures and few steps: that it does not fall need not be the network's fault.
    yield Verdict("model/", "the loss falls", told["falls"] or None, found)


def _probable(work: Work, told: dict[str, Any]) -> tuple[bool | None, str]:
    """Whether there is a row of probabilities for each picture, and what there is."""
    assert work.sheet.predictions is not None
    shape, sums = told["shape"], told.get("probabilities")
    if shape != [_ROWS, work.sheet.predictions.classes]:
        return False, str(tuple(shape))
    if sums is None:
        return None, f"{tuple(shape)}, not all finite"
    if work.sheet.lab == "emnist47":  # whose early form has a linear output
        sums = sums or None
    return sums, f"{tuple(shape)}, rows {'sum' if sums else 'do not sum'} to 1"


def _learning_rate(work: Work) -> float:
    """The one that the notebook sets, or the sheet's example."""
    source = work.source("task1") or work.source("notebook")
    rate = _USUAL_RATE
    for _, node in source.nodes() if source else ():
        for target, value in _assigned(node):
            if isinstance(target, ast.Name) and target.id == "Learning_rate":
                number = value.value if isinstance(value, ast.Constant) else None
                if isinstance(number, float | int) and 0 < number < 1e3:
                    rate = float(number)
    return rate


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The pairs of an assignment: `EPOCH, Learning_rate = 10, 6e-4` has two."""
    if isinstance(node, ast.Assign):
        several = ast.Tuple | ast.List
        for target in node.targets:
            if isinstance(target, several) and isinstance(node.value, several):
                yield from zip(target.elts, node.value.elts, strict=False)
            else:
                yield target, node.value


# --- `fashion-mlp` ------------------------------------------------------------------------------


def _mlp_rules(work: Work, sandbox: Sandbox, folder: Path) -> Iterator[Verdict]:
    source, weights = work.source("notebook"), work.files.get("weights")
    rule = "myMLP(784, 10) loads the .pt strictly"
    if source is None or weights is None:
        yield Verdict("myMLP", rule, None, "the notebook or the .pt is missing")
        return
    write_file(folder, "weights.pt", read_named(weights))
    write_task(folder, [(piece.where, piece.text) for piece in source.pieces])
    ran = run_driver(sandbox, "mlp", folder, ("torch", "torchvision", "numpy"))
    told = usable(ran)
    if "parameters" not in told:
        yield Verdict("myMLP", rule, *trouble(ran, told))
        return
    loads = (True, f"{told['parameters']:,} parameters")
    yield Verdict("myMLP", rule, *(loads if told.get("loads") else trouble(ran, told, "loads_")))
    shape = told.get("shape")
    logits = trouble(ran, told, "shape_") if shape is None else (shape == [6, 10], f"{shape}")
    yield Verdict("myMLP", "its outputs are logits (N, 10)", *logits)
    rule = "myLoss is the cross-entropy of torch's, without overflow"
    if "loss" not in told:
        yield Verdict("myLoss", rule, *trouble(ran, told, "loss_"))
        return
    mine, its, large = (math.nan if each is None else each for each in told["loss"])
    found = f"{mine:.5g} beside {its:.5g} (sum {6 * its:.5g}); of large logits {large:.5g}"
    holds: bool | None = _is_cross_entropy(mine, its) and math.isfinite(large)
    smoothing, evaluated = told.get("smoothing", (0, None))
    if not holds and smoothing and math.isfinite(large):
        # Softer labels are the same formula of other targets; the sheet's own has none.
        found += f"; that is its label smoothing of {smoothing:.3g}"
        holds = (evaluated is not None and _is_cross_entropy(evaluated, its)) or None
        found += ", and after .eval() none" if holds else ", after .eval() too"
    yield Verdict("myLoss", rule, holds, found)


def _is_cross_entropy(loss: float, mean: float) -> bool:
    """The sheet writes a sum over the six rows, of which torch takes the mean."""
    return any(math.isclose(loss, times * mean, rel_tol=1e-3) for times in (1, 6))


# --- `points` -----------------------------------------------------------------------------------


def _points_rules(work: Work, sandbox: Sandbox, folder: Path) -> Iterator[Verdict]:
    for part in ("generators", "program"):
        (folder / part).mkdir()
    yield from _generator_rules(work, sandbox, folder / "generators")
    program = _program(work)
    if program is None:
        yield Verdict("main.py", "the program runs", None, "there is no main.py, nor one program")
        return
    yield from _program_rules(work, program, sandbox, folder / "program")


def _generator_rules(work: Work, sandbox: Sandbox, folder: Path) -> Iterator[Verdict]:
    expected = {"generate_linear": _linear(), "generate_XOR_easy": generate_XOR_easy()}
    texts = {
        node.name: piece.text
        for source in work.sources.values()
        for piece in source.pieces
        for node in piece.tree.body
        if isinstance(node, Function) and node.name in expected
    }
    if not texts:
        return
    write_task(folder, texts)
    ran = run_driver(sandbox, "generators", folder, ("numpy",))
    told = usable(ran)
    for name in texts:
        rule = f"{name} gives the sheet's points"
        if name in (ran.results or {}):
            same = _same((ran.results or {})[name], expected[name])
            yield Verdict(name, rule, same, "" if same else "other points or labels")
        else:
            failed = f"{name}_" if told.keys() & {f"{name}_error", f"{name}_unable"} else ""
            yield Verdict(name, rule, *trouble(ran, told, failed))


def _linear() -> tuple[Any, Any]:
    """The points of `generate_linear` after `np.random.seed(0)`."""
    points = np.random.RandomState(0).uniform(0, 1, (100, 2))
    return points, np.where(points[:, 0] > points[:, 1], 0, 1).reshape(-1, 1)


def _same(given: Any, expected: tuple[Any, Any]) -> bool:
    try:
        inputs, labels = (np.array(part, float) for part in given)
    except (ValueError, TypeError, OverflowError):
        return False
    close = inputs.shape == expected[0].shape and bool(np.allclose(inputs, expected[0], atol=1e-9))
    return close and labels.shape == expected[1].shape and bool((labels == expected[1]).all())


def _program(work: Work) -> str | None:
    """`main.py`, or the only file of Python, or the only one that says that it is a program."""
    names = {path: each for path, each in work.sources.items() if each.name.endswith(".py")}
    mains = [path for path, each in names.items() if each.name.lower() == "main.py"]
    says = [path for path, each in names.items() if any("__main__" in p.text for p in each.pieces)]
    mains = mains or says or list(names)
    return mains[0] if len(mains) == 1 else None


def _program_rules(work: Work, program: str, sandbox: Sandbox, folder: Path) -> Iterator[Verdict]:
    yield from _left_verdicts(write_files(folder / "files", work.handed.files))
    write_task(folder, f"files/{program}")
    ran = run_driver(sandbox, "program", folder, ("numpy", "matplotlib"))
    told = usable(ran)
    # What ends without a word may have come to its end.
    runs = (True, "") if told.get("ran") else trouble(ran._replace(undecided=True), told)
    name = program.rsplit("/", 1)[-1]
    yield Verdict(name, "the program runs", *runs)
    lines = [line.strip() for line in ran.output.splitlines()]
    right = [line for line in lines if EPOCH_LINES["points"][1].match(line)]
    found = f"{len(right):,} lines, the last: {right[-1]}" if right else "no line is so"
    prints = bool(right) or (None if runs[0] is None else False)
    yield Verdict(name, f"it prints {EPOCH_LINES['points'][0]}", prints, found)
    percents = [each.percent for each in accuracies(ran.output)]
    floor = FLOORS["points"]
    enough = len(percents) > 1 and all(map(floor.met, percents))
    unsure = runs[0] is None or len(percents) < 2 or sum(map(floor.met, percents)) > 1
    found = f"it printed {listed([f'{each:.4g} %' for each in percents], 6) or 'none'}"
    rule = f"accuracy {floor.words} on both sets"
    yield Verdict(name, rule, enough or (None if unsure else False), found)
