"""`points`: the points that the hand-in's two generators give."""

import ast
import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from funcnn.experiments.grade.drivers.begin import last_error, tell, trouble

try:
    import numpy as np
except BaseException:
    tell(unable=last_error())

with open("task.json", encoding="utf-8") as task:
    texts = json.load(task)
results: dict[str, Any] = {}
for name, text in texts.items():
    names: dict[str, Any] = {"np": np, "numpy": np}
    try:
        for node in ast.parse(text.lstrip("\ufeff")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                with contextlib.suppress(BaseException):  # of files that are not here
                    exec(compile(ast.Module([node], []), name, "exec"), names)
            elif isinstance(node, ast.FunctionDef) and node.name == name:
                exec(compile(ast.Module([node], []), name, "exec"), names)
        np.random.seed(0)  # noqa: NPY002
        results[name] = [np.asarray(part, float)[:200].tolist() for part in names[name]()]
    except BaseException:
        # What it lacks may stand outside of it; and its text has been parsed before.
        results |= trouble(f"{name}_", NameError, SyntaxError, RecursionError)
tell(**results)
