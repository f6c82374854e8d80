"""Write `docs/reference.md` from the docstrings of the public names.

    python docs/make_reference.py

The page is never edited by hand; a test fails when it is not what this script writes.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import funcnn as fn

PAGE = Path(__file__).with_name("reference.md")

# In the order of the README: what one composes, what trains it, what is kept and checked.
TOP_LEVEL = [
    "types", "layers.core", "layers.convolution", "layers.pooling", "layers.normalization",
    "layers.batch_norm", "layers.activation", "layers.branches", "layers.combinators", "losses",
    "metrics", "optimizers.aliases", "optimizers.base", "optimizers.transforms",
    "optimizers.scaling", "batching", "training", "snapshots", "_snapshot_trees", "spec",
    "introspection", "gradcheck", "checks",
]  # fmt: skip
AIDS = {  # for the library itself
    "check_float", "check_initializer", "initialize", "fill", "as_schedule",
    "spare_blas_threads", "with_blas_threads", "NotAloneError",
}  # fmt: skip
MODULES = ["activations", "initializers", "schedules", "random", "tree", "threads"]


def public_names() -> Iterator[tuple[str, str, Any]]:
    """Every public name as a script writes it, with the module it is defined in and its value."""
    for name in fn.__all__:
        value = getattr(fn, name)
        if not isinstance(value, ModuleType):
            yield f"fn.{name}", value.__module__.removeprefix("funcnn."), value
    for module in MODULES:
        for name, value in vars(getattr(fn, module)).items():
            own = getattr(value, "__module__", None) == f"funcnn.{module}"
            described = inspect.isfunction(value) or isinstance(value, type)
            if own and described and not name.startswith("_") and name not in AIDS:
                yield f"fn.{module}.{name}", module, value


def page() -> str:
    """The text of the reference page."""
    names = list(public_names())
    sections = [*TOP_LEVEL, *MODULES]
    unknown = {module for _, module, _ in names} - set(sections)
    assert not unknown, f"no section for {sorted(unknown)}"
    lines = [
        "# Reference",
        "",
        "Every public name, from its docstring: `python docs/make_reference.py` writes this page.",
        "In scripts: `import funcnn as fn`.",
        "",
    ]
    for module in sections:
        anchor = title(module).lower().replace(".", "").replace(" ", "-")
        lines.append(f"- [{title(module)}](#{anchor})")
    for module in sections:
        described = inspect.getdoc(importlib.import_module(f"funcnn.{module}")) or ""
        lines += ["", f"## {title(module)}", "", *prose(described)]
        for name, where, value in names:
            if where == module:
                lines += ["", f"### `{name}`", "", "```python", signature(name, value), "```", ""]
                lines += prose(inspect.getdoc(value) or "")
                for method, function in methods(value):
                    lines += ["", f"`{signature(f'{value.__name__}.{method}', function)}`:"]
                    lines += prose(inspect.getdoc(function) or "")
    return "\n".join(lines) + "\n"


def methods(value: Any) -> Iterator[tuple[str, Any]]:
    """The public methods that a class defines itself."""
    for name in vars(value) if isinstance(value, type) else ():
        method = getattr(value, name)
        if not name.startswith("_") and inspect.isroutine(method) and inspect.getdoc(method):
            yield name, method


def title(module: str) -> str:
    """The heading of a module's section."""
    return f"fn.{module}" if module in MODULES else module.replace("_", " ").capitalize()


def signature(name: str, value: Any) -> str:
    """How it is called; addresses and annotations, which say little to a reader, left out."""
    short = name.removeprefix("fn.")
    if isinstance(value, type):
        defaults = getattr(value, "_field_defaults", {})
        fields = [
            f"{field}={defaults[field]!r}" if field in defaults else field
            for field in getattr(value, "_fields", ())
        ]
        return f"class {short}({', '.join(fields)})" if fields else f"class {short}"
    parameters = [
        parameter.replace(annotation=parameter.empty, default=_Shown(parameter.default))
        if parameter.default is not parameter.empty
        else parameter.replace(annotation=parameter.empty)
        for parameter in inspect.signature(value).parameters.values()
    ]
    return f"{short}{inspect.Signature(parameters)}"


class _Shown:
    """A default as the source shows it: an initializer as its constructor's call."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        spec = getattr(self.value, "spec", None)
        if spec:
            arguments = [f"{k}={v!r}" for k, v in spec.items() if k != "initializer"]
            return f"{spec['initializer']}({', '.join(arguments)})"
        if inspect.isclass(self.value):
            return self.value.__name__
        return repr(self.value)


def prose(text: str) -> list[str]:
    """A docstring as Markdown: formulas keep their stars and underscores, examples stay code."""
    lines, code = [], False
    for line in text.splitlines():
        if line.startswith("    ") and line.strip():
            if not code and lines and lines[-1]:
                lines.append("")
            lines.append(line)
            code = True
            continue
        code = False
        if lines and lines[-1] and re.match(r"[a-z][\w, ]*: |params, |Raises |As `", line):
            lines[-1] += "  "  # what is said of each argument stands on a line of its own
        pieces = re.split(r"(`[^`]*`)", line)
        pieces[::2] = [re.sub(r"([*<|]|(?<!\w)_|_(?!\w))", r"\\\1", piece) for piece in pieces[::2]]
        lines.append("".join(pieces))
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"{PAGE.name}: {len(list(public_names()))} names")
