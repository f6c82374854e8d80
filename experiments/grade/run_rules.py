"""What `--run-code` adds: the sheet's loop on the hand-in, in a sandbox."""

import ast
import json
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
from funcnn.experiments.grade.python_sources import Source
from funcnn.experiments.grade.sandbox import Ran, Sandbox, run_driver
from funcnn.experiments.grade.sheet import Work
from funcnn.experiments.grade.verdicts import Verdict, listed

_STEPS, _ROWS = 60, 100
_PATIENCE = 60
"""Seconds after which the loop makes no further step."""
_USUAL_RATE = 6e-4
_EXCERPT = 200


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
        yield from rules[work.sheet.lab](work, sandbox, Path(name))


def _excerpt(ran: Ran) -> str:
    """Why it told nothing, and the last that it printed."""
    printed = f"; it printed {ran.output[-_EXCERPT:]!r}" if ran.output else ""
    return f"{ran.stopped}{printed}"


# --- `fashion` and `emnist47` -------------------------------------------------------------------


def _loop_rules(work: Work, sandbox: Sandbox, folder: Path) -> Iterator[Verdict]:
    rule = "import model; model.Network(): net.forward, net.backward, net.update run"
    if not {"network", "layer"} <= set(work.files):
        yield Verdict("model/", rule, None, "network or layer is missing")
        return
    rate = _learning_rate(work)
    modules = _write_model(work, folder)
    assert work.sheet.predictions is not None
    classes = work.sheet.predictions.classes
    _write_task(folder, [classes, rate, _STEPS, _ROWS, _PATIENCE, modules])
    ran = run_driver(sandbox, "loop", folder, ("numpy", "pandas", "sklearn"))
    results = ran.results
    if results is None or "error" in results:
        found = _excerpt(ran) if results is None else str(results["error"])
        yield Verdict("model/", rule, False, found)
        return
    losses = [math.nan if each is None else float(each) for each in results["losses"]]
    name = str(results["module"])
    steps = f"{len(losses)} steps of {_ROWS} made-up pictures"
    found = steps if name == "model" else f"{steps}, as {name}: not as the package model"
    yield Verdict("model/", rule, name == "model", found)
    pairs = results["shape"] == [_ROWS, classes] and results["probabilities"]
    words = f"{tuple(results['shape'])}, " + ("" if results["probabilities"] else "rows do not ")
    yield Verdict("model/", f"pred: (B, {classes}), rows sum to 1", bool(pairs), words + "sum to 1")
    few = max(1, len(losses) // 10)
    first, last = float(np.mean(losses[:few])), float(np.mean(losses[-few:]))
    found = f"{first:.4g} to {last:.4g} at a learning rate of {rate:g}"
    yield Verdict("model/", "the loss falls", last < 0.999 * first, found)


def _learning_rate(work: Work) -> float:
    """The one that the notebook sets, or the sheet's example."""
    source = work.source("task1") or work.source("notebook")
    rate = _USUAL_RATE
    for _, node in source.nodes() if source else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            named = [target.id for target in node.targets if isinstance(target, ast.Name)]
            value = node.value.value
            if "Learning_rate" in named and isinstance(value, float | int) and 0 < value < 1e3:
                rate = float(value)
    return rate


def _write_model(work: Work, folder: Path) -> list[str]:
    """The hand-in's Python as the package `model`, and side by side; what to import, in turn."""
    package, beside = folder / "model", folder / "beside"
    package.mkdir()
    beside.mkdir()
    network, layer = work.files["network"], work.files["layer"]
    (package / "__init__.py").write_text("from .network import *\n", "utf-8")
    for file in work.handed.files:
        if file.path in work.sources and file.name.endswith(".py"):
            for place in (package, beside):
                if file.name != "__init__.py" or file.path.endswith("model/__init__.py"):
                    _write(place / file.name, file.read())
    for place in (package, beside):
        _write(place / "network.py", network.read())
        _write(place / "layer.py", layer.read())
    return ["model", network.name.removesuffix(".py"), "network"]


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except (OSError, ValueError):
        raise InputError(f"{path.name!r} cannot be a file here") from None


def _write_task(folder: Path, task: Any) -> None:
    (folder / "task.json").write_text(json.dumps(task), "utf-8")


# --- `fashion-mlp` ------------------------------------------------------------------------------


def _mlp_rules(work: Work, sandbox: Sandbox, folder: Path) -> Iterator[Verdict]:
    source, weights = work.source("notebook"), work.files.get("weights")
    rule = "myMLP(784, 10) loads the .pt strictly"
    if source is None or weights is None:
        yield Verdict("myMLP", rule, None, "the notebook or the .pt is missing")
        return
    (folder / "student.py").write_text(_definitions(source), "utf-8")
    (folder / "weights.pt").write_bytes(weights.read())
    ran = run_driver(sandbox, "mlp", folder, ("torch", "torchvision", "numpy"))
    results = ran.results
    if results is None or "error" in results:
        found = _excerpt(ran) if results is None else str(results["error"])
        yield Verdict("myMLP", rule, None if "No module named 'torch'" in found else False, found)
        return
    found = str(results.get("loads_error", f"{results['parameters']:,} parameters"))
    yield Verdict("myMLP", rule, "loads" in results, found)
    shape = results.get("shape")
    found = str(tuple(shape)) if shape else str(results.get("shape_error"))
    yield Verdict("myMLP", "its outputs are logits (N, 10)", shape == [6, 10], found)
    rule = "myLoss is the cross-entropy of torch's, without overflow"
    if "loss" not in results:
        yield Verdict("myLoss", rule, False, str(results.get("loss_error")))
        return
    mine, its, large = map(float, results["loss"])
    close = math.isclose(mine, its, rel_tol=1e-3) and math.isfinite(large)
    found = f"{mine:.5g} beside {its:.5g}; of large logits {large:.5g}"
    yield Verdict("myLoss", rule, close, found)


def _definitions(source: Source) -> str:
    """The imports, classes, functions and constants of a notebook: what defines, and trains not."""
    kept: list[ast.stmt] = []
    for piece in source.pieces:
        for node in piece.tree.body:
            constant = isinstance(node, ast.Assign) and _is_constant(node.value)
            defines = ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef
            if constant or isinstance(node, defines):
                kept.append(node)
    lines = []
    for node in kept:
        text = ast.unparse(node)
        if isinstance(node, ast.Import | ast.ImportFrom):  # of what only the training needs
            text = f"try:\n    {text}\nexcept ImportError:\n    pass"
        lines.append(text)
    return "\n".join(lines) + "\n"


def _is_constant(node: ast.AST) -> bool:
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_is_constant, node.elts))
    return isinstance(node, ast.Constant)


# --- `points` -----------------------------------------------------------------------------------


def _points_rules(work: Work, sandbox: Sandbox, folder: Path) -> Iterator[Verdict]:
    generators = {}
    for source in work.sources.values():
        for name in ("generate_linear", "generate_XOR_easy"):
            if name in source.functions():
                generators[name] = ast.unparse(source.functions()[name])
    for file in work.handed.files:
        if file.path in work.sources and file.name.endswith(".py"):
            _write(folder / file.name, file.read())
    program = _program(work)
    _write_task(folder, [program, generators])
    ran = run_driver(sandbox, "points", folder, ("numpy", "matplotlib"))
    results = ran.results or {}
    expected = {"generate_linear": _linear(), "generate_XOR_easy": generate_XOR_easy()}
    for name in generators:
        rule = f"{name} gives the sheet's points"
        if name in results:
            same = _same(results[name], expected[name])
            yield Verdict(name, rule, same, "" if same else "other points or labels")
        else:
            found = results.get(f"{name}_error") or _excerpt(ran)
            yield Verdict(name, rule, False, str(found))
    if program is None:
        yield Verdict("main.py", "the program runs", None, "there is no main.py, nor one program")
        return
    found = str(results.get("ran_error") or (_excerpt(ran) if ran.results is None else ""))
    yield Verdict(program, "the program runs", bool(results.get("ran")), found)
    lines = [line.strip() for line in ran.output.splitlines()]
    right = [line for line in lines if EPOCH_LINES["points"][1].match(line)]
    found = f"{len(right):,} lines, the last: {right[-1]}" if right else "no line is so"
    yield Verdict(program, f"it prints {EPOCH_LINES['points'][0]}", bool(right), found)
    percents = [each.percent for each in accuracies(ran.output)]
    floor = FLOORS["points"]
    enough = len(percents) > 1 and all(map(floor.met, percents))
    unsure = len(percents) < 2 or sum(map(floor.met, percents)) > 1
    found = f"it printed {listed([f'{each:.4g} %' for each in percents], 6) or 'none'}"
    rule = f"accuracy {floor.words} on both sets"
    yield Verdict(program, rule, enough or (None if unsure else False), found)


def _program(work: Work) -> str | None:
    """`main.py`, or the only file of Python, or the only one that says that it is a program."""
    names = [each for each in work.sources.values() if each.name.endswith(".py")]
    mains = [each.name for each in names if each.name.lower() == "main.py"]
    mains = mains or [each.name for each in names if any("__main__" in p.text for p in each.pieces)]
    mains = mains or [each.name for each in names]
    return mains[0] if len(mains) == 1 else None


def _linear() -> tuple[Any, Any]:
    """The points of `generate_linear` after `np.random.seed(0)`."""
    points = np.random.RandomState(0).uniform(0, 1, (100, 2))
    return points, np.where(points[:, 0] > points[:, 1], 0, 1).reshape(-1, 1)


def _same(given: Any, expected: tuple[Any, Any]) -> bool:
    try:
        inputs, labels = (np.array(part, float) for part in given)
    except (ValueError, TypeError):
        return False
    close = inputs.shape == expected[0].shape and bool(np.allclose(inputs, expected[0], atol=1e-9))
    return close and labels.shape == expected[1].shape and bool((labels == expected[1]).all())
