"""How Sphinx makes the site: `python -m sphinx -W --keep-going -b html docs docs/_build`."""

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

import funcnn as fn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
import claims  # noqa: E402 - they lie here, and are no part of the package
import marks  # noqa: E402

CLAIMS = claims.load()
SHOWN = {name: claim.shown for name, claim in CLAIMS.items()}

project = "funcnn"
version = release = fn.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx_click"]
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False  # `--option` keeps its dashes

html_theme = "furo"
html_title = f"funcnn {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = html_copy_source = html_show_sphinx = html_show_copyright = False

# No page asks another host: MathJax's one file, with its glyphs in it, is served from the site.
mathjax_path = "mathjax.js"
mathjax3_config = {"options": {"enableMenu": False}}  # the menu would load more
myst_update_mathjax = False
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

add_module_names = False
autodoc_typehints = "none"  # types say little beside the shapes of the docstring


def public_names() -> dict[str, Any]:
    """Every public name as a script writes it, without the `fn.`, and its value."""
    names = {name: getattr(fn, name) for name in fn.__all__}
    for module, value in list(names.items()):
        if isinstance(value, ModuleType):
            own = {n: v for n, v in vars(value).items() if not n.startswith("_")}
            names |= {
                f"{module}.{n}": v
                for n, v in own.items()
                if getattr(v, "__module__", None) == value.__name__ and callable(v)
            }
    return names


PUBLIC = public_names()
OPENING = re.compile(r"([a-z]\w*(?:, \w+)*)(?=: )|(Raises)(?= )")


def markup(text: list[str], parameters: set[str]) -> list[str]:
    """A docstring of ours as reStructuredText.

    What is indented stays as it is, and so do examples; of the prose, `code` is code, or a link
    where it is a public name, formulas keep their stars and underscores, and what is said of each
    argument is a paragraph of its own.
    """
    lines: list[str] = []
    literal = example = False
    for line in text:
        example = line.startswith(">>>") or (example and bool(line))
        if example or line.startswith("    "):
            if not example and not literal:
                lines += ["", "::", ""]
            literal = not example
            lines.append(line)
            continue
        if line:
            literal = False
        sentence_begins = not lines or not lines[-1] or lines[-1].endswith((".", ":"))
        opening = OPENING.match(line) if sentence_begins else None
        if opening and lines and lines[-1]:
            lines.append("")
        shown = f"**{opening.group()}**" if opening else ""
        pieces = re.split(r"(`[^`]*`)", line[len(opening.group()) if opening else 0 :])
        pieces[::2] = [re.sub(r"([\\*_|<])", r"\\\1", piece) for piece in pieces[::2]]
        pieces[1::2] = [code(piece[1:-1], parameters) for piece in pieces[1::2]]
        lines.append(shown + "\\ ".join(piece for piece in pieces if piece))
    return re.sub(r"(?<=\.)\s+Raises\s", "\n\n**Raises** ", "\n".join(lines)).split("\n")


def code(text: str, parameters: set[str]) -> str:
    """What stands between single backticks: a link to a public name, else code."""
    name = text.removeprefix("fn.").removesuffix("()")
    if name in PUBLIC and name not in parameters and not isinstance(PUBLIC[name], ModuleType):
        return f":py:obj:`{text} <funcnn.{name}>`"
    return f"``{text}``"


class _Shown:
    """A default as the source shows it: an initializer as its constructor's call."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        spec = getattr(self.value, "spec", None)
        if spec:
            arguments = [f"{k}={v!r}" for k, v in spec.items() if k != "initializer"]
            return f"{spec['initializer']}({', '.join(arguments)})"
        return self.value.__name__ if inspect.isclass(self.value) else repr(self.value)


def process_signature(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str, returns: str
) -> tuple[str, None] | None:
    """Sphinx's event: autodoc has a signature. A NamedTuple's is its fields; other classes none."""
    if not callable(value):
        return None
    if isinstance(value, type) and not hasattr(value, "_fields"):
        return None if signature is None else ("", None)
    called = value.__new__ if isinstance(value, type) else value
    parameters = [
        parameter.replace(
            annotation=parameter.empty,
            default=parameter.default
            if parameter.default is parameter.empty
            else _Shown(parameter.default),
        )
        for name, parameter in inspect.signature(called).parameters.items()
        if name not in ("self", "_cls")
    ]
    return str(inspect.Signature(parameters)), None


def skip_field(app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any) -> bool:
    """Sphinx's event: autodoc has a member. The fields of a NamedTuple stand in its signature."""
    return skip or (inspect.getdoc(value) or "").startswith("Alias for field number")


def process_docstring(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Sphinx's event: autodoc has a docstring."""
    parameters = set(inspect.signature(value).parameters) if inspect.isroutine(value) else set()
    lines[:] = [*markup(lines, parameters), ""]


def read_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Sphinx's event: a page was read. Its figures are those of `claims.toml`, or it is a warning.

    The page of the claims lists them, that of the examples shows whatever is in their folder.
    """
    app.env.note_dependency(str(ROOT / "docs/claims.toml"))
    for line, message in marks.problems(source[0], SHOWN):
        logging.getLogger("claims").warning(message, location=(docname, line))
    source[0] = marks.printed(source[0], SHOWN)
    if docname == "claims":
        source[0] += claims_table()
    source[0] = source[0].replace("\n\n```\n", "\n```\n")  # where a doctest's output ends
    if docname != "examples":
        return
    for path in sorted((ROOT / "examples").glob("[0-9]*.py")):
        first = path.read_text("utf-8").split('"""')[1].strip().splitlines()[0]
        source[0] += f"\n## {first.rstrip('.').partition(':')[0]}\n\n`examples/{path.name}`\n\n"
        source[0] += f"```{{literalinclude}} ../examples/{path.name}\n:language: python\n```\n"


def claims_table() -> str:
    """The entries of `claims.toml` in Markdown, a table for each family."""
    lines = [f"\n\nMachine `{name}`: {what}." for name, what in claims.machines().items()]
    for name, claim in CLAIMS.items():
        family, _, own = name.partition(".")
        if f"## {family}" not in lines:
            lines += [
                "",
                f"## {family}",
                "",
                "| entry | figure | bounds | by | measured |",
                "| --- " * 5 + "|",
            ]
        bounds = f"{claim.low:.7g} to {claim.high:.7g}" if claim.measured else ""
        when = "{date}, {machine}".format(**claim.how) if claim.measured else ""
        by = claim.origin if "unrepeatable" in claim.how else f"`{claim.origin}`"
        lines.append(f"| `{own}` | {claim.shown} | {bounds} | {by} | {when} |")
    return "\n".join(lines)


def command_examples(app: Sphinx, context: Any, lines: list[str]) -> None:
    """sphinx-click's event: a command has a description. Its examples are a block of commands."""
    for number, line in enumerate(lines):
        if re.fullmatch(r"\| Examples?:", line):
            block = [example.removeprefix("| ") for example in lines[number + 1 :] if example]
            lines[number:] = [line[2:], "", ".. code-block:: console", "", *block, ""]
            return


def command_options(app: Sphinx, context: Any, lines: list[str]) -> None:
    """sphinx-click's event: a command has options. An address is no link; choices are choices."""
    for number, line in enumerate(lines):
        line = re.sub(r"\w+://[\w:]+", r"``\g<0>``", line)
        lines[number] = line.replace(":options:", ":choices:")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process_docstring)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("autodoc-skip-member", skip_field)
    app.connect("sphinx-click-process-description", command_examples)
    app.connect("sphinx-click-process-options", command_options)
    app.connect("source-read", read_page)
