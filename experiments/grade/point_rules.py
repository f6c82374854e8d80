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
        for source in work.sources.values():
            if name in source.functions():
                there[source.name] = source.functions()[name]
        if not there:
            yield Verdict(f"{name}()", rule, False, "no function of this name")
        given = _skeleton(ast.parse(textwrap.dedent(text)).body[0])
        for where, function in there.items():
            same = _skeleton(function) == given
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
    allowed = {"numpy", "matplotlib", "IPython", "google"}  # the last two: a notebook's own
    rule = "NumPy and the standard library only (figures: matplotlib)"
    if not work.sources:
        yield Verdict(work.handed.name, "the source", False, "no Python and no notebook")
    yield from scratch_rule(work.sources, rule, allowed)


def both_sides_rule(work: Work) -> Iterator[Verdict]:
    """`mnist`: some of the source in NumPy alone, some in PyTorch."""
    torch = [s.name for s in work.sources.values() if "torch" in _roots(s.imports())]
    numpy = [
        s.name for s in work.sources.values() if s.name not in torch and _is_numpy(s.imports())
    ]
    yield Verdict("source", "a side in NumPy, no framework", bool(numpy), listed(numpy) or "none")
    yield Verdict("source", "a side in PyTorch", bool(torch), listed(torch) or "none")


def _roots(imports: dict[str, str]) -> set[str]:
    return {name.split(".")[0] for name in imports}


def _is_numpy(imports: dict[str, str]) -> bool:
    roots = _roots(imports)
    return "numpy" in roots and not roots & {"tensorflow", "keras", "jax"}
