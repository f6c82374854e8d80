"""Rules of `points`: the two generators as they were given, and the network."""

import ast
import textwrap
from collections.abc import Iterator

from funcnn.experiments.grade.import_rules import scratch_rule
from funcnn.experiments.grade.python_sources import Function
from funcnn.experiments.grade.sheet import Work
from funcnn.experiments.grade.verdicts import Verdict, listed

_GIVEN = {
    "generate_linear": """
        def generate_linear(n=100):
            import numpy as np
            pts = np.random.uniform(0, 1, (n, 2))
            inputs = []
            labels = []
            for pt in pts:
                inputs.append([pt[0], pt[1]])
                distance = (pt[0]-pt[1])/1.414
                if pt[0] > pt[1]:
                    labels.append(0)
                else:
                    labels.append(1)
            return np.array(inputs), np.array(labels).reshape(n, 1)
        """,
    "generate_XOR_easy": """
        def generate_XOR_easy():
            import numpy as np
            inputs = []
            labels = []
            for i in range(11):
                inputs.append([0.1*i, 0.1*i])
                labels.append(0)
                if 0.1*i == 0.5:
                    continue
                inputs.append([0.1*i, 1-0.1*i])
                labels.append(1)
            return np.array(inputs), np.array(labels).reshape(21, 1)
        """,
}
"""The lab's own text."""

WRITTEN_OTHERWISE = "written otherwise: --run-code compares their points"


def generator_rules(work: Work) -> Iterator[Verdict]:
    """Each generator stands there under its name, statement for statement as it was given."""
    for name, text in _GIVEN.items():
        rule = f"{name} as it was given"
        there: dict[str, Function] = {}
        for path, source in work.sources.items():
            if name in source.functions():
                there[path] = source.functions()[name]
        if not there:
            holds = None if work.unread else False
            yield Verdict(f"{name}()", rule, holds, "no function of this name")
        given = _skeleton(ast.parse(textwrap.dedent(text)).body[0])
        for where, function in there.items():
            try:
                same = _skeleton(function) == given
            except (RecursionError, ValueError):  # what can be parsed, and not be written again
                same = False
            found = "" if same else WRITTEN_OTHERWISE
            yield Verdict(where, rule, same or None, found)


def _skeleton(function: ast.AST) -> str:
    """A function's statements without docstring, annotations, and imports of NumPy."""
    assert isinstance(function, Function)
    body = [part for part in function.body if not isinstance(part, ast.Import | ast.ImportFrom)]
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    arguments = [each.arg for each in function.args.args]
    defaults = [ast.dump(each) for each in function.args.defaults]
    return repr((arguments, defaults, [ast.dump(part) for part in body]))


def numpy_only_rule(work: Work) -> Iterator[Verdict]:
    """NumPy and the standard library, with matplotlib for the figures."""
    allowed = {"numpy", "matplotlib", "mpl_toolkits"}
    allowed |= {"IPython", "google"}  # a notebook's own
    rule = "NumPy and the standard library only (figures: matplotlib)"
    if not work.sources:
        yield Verdict(work.handed.name, "the source", False, "no Python and no notebook")
    yield from scratch_rule(work, work.sources.values(), rule, allowed)


def both_sides_rule(work: Work) -> Iterator[Verdict]:
    """`mnist`: some of the source in NumPy alone, some in PyTorch."""
    roots = {path: source.roots() for path, source in work.sources.items()}
    torch = [name for name, each in roots.items() if "torch" in each]
    alone = [
        name
        for name, each in roots.items()
        if "numpy" in each and not each & {"torch", "tensorflow", "keras", "jax"}
    ]
    both = [name for name in torch if "numpy" in roots[name]]
    unsure = None if work.unread else False
    if alone or not both:
        found, holds = listed(alone) or "none", bool(alone) or unsure
    else:
        found, holds = f"none apart; with PyTorch in {listed(both)}", None
    yield Verdict("source", "a side in NumPy, no framework", holds, found)
    found = listed(torch) or "none"
    yield Verdict("source", "a side in PyTorch", bool(torch) or unsure, found)
