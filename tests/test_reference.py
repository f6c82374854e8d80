"""The reference has every public name, and the docstrings say what a user needs."""

import ast
import doctest
import inspect
import re
import textwrap
from types import ModuleType

import numpy as np
import pytest
from helpers import ROOT

import funcnn as fn
from funcnn import experiments

MODULES = [
    *("activations", "augmentations", "initializers", "schedules", "random", "tree", "threads"),
    "views",
]
AIDS = {  # of these modules, what serves the library itself
    *("check_float", "check_initializer", "initialize", "fill", "as_schedule", "weight_and_bias"),
    *("spare_blas_threads", "with_blas_threads", "NotAloneError", "in_single_threaded_blas"),
}


def public_names():
    """Every public name as a script writes it, and its value."""
    for name in fn.__all__:
        if not isinstance(getattr(fn, name), ModuleType):
            yield f"fn.{name}", getattr(fn, name)
    for module in MODULES:
        for name, value in vars(getattr(fn, module)).items():
            own = getattr(value, "__module__", None) == f"funcnn.{module}"
            described = inspect.isfunction(value) or isinstance(value, type)
            if own and described and not name.startswith("_") and name not in AIDS:
                yield f"fn.{module}.{name}", value


NAMES = dict(public_names())
FUNCTIONS = {name: value for name, value in NAMES.items() if inspect.isfunction(value)}


def named(*modules):
    """The public functions of these modules."""
    names = {
        name: value
        for name, value in FUNCTIONS.items()
        if inspect.unwrap(value).__module__.removeprefix("funcnn.") in modules
    }
    assert {inspect.unwrap(v).__module__.removeprefix("funcnn.") for v in names.values()} == {
        *modules
    }
    return pytest.mark.parametrize(
        ("name", "value"), [pytest.param(*pair, id=pair[0]) for pair in names.items()]
    )


def examples_of_pages():
    """What the pages of the reference show under a name, in the words of a script."""
    shown = {}
    for page in (ROOT / "docs/reference").glob("*.rst"):
        module = name = ""
        for line in page.read_text("utf-8").splitlines():
            directive = re.match(r"\.\. (currentmodule|autofunction|autoclass):: (\S+)", line)
            if directive and directive[1] == "currentmodule":
                module = directive[2].replace("funcnn", "fn", 1)
            elif directive:
                name = f"{module}.{directive[2]}"
                shown[name] = ""
            elif name and line.startswith("   ") and not line.startswith("   :"):
                shown[name] += f"{line[3:]}\n"
    return shown


ON_PAGES = examples_of_pages()


def test_every_public_name_is_in_the_reference():
    scripts = {f"fn.experiments.{name}" for name in experiments.__all__}
    assert ON_PAGES.keys() == NAMES.keys() | scripts


@pytest.mark.parametrize(
    ("name", "value"), [pytest.param(*pair, id=pair[0]) for pair in NAMES.items()]
)
def test_every_public_name_has_an_example_that_holds(name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = f"{inspect.getdoc(value)}\n\n{ON_PAGES[name]}"
    test = doctest.DocTestParser().get_doctest(text, {"fn": fn, "np": np}, name, None, None)
    word = name.split(".")[-1].lower()
    assert any(word in example.source.lower() for example in test.examples), "no example"
    said = []
    failed, _ = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not failed, "".join(said)


def test_the_table_of_the_reference_has_every_public_name_of_the_top():
    table = (ROOT / "docs/reference/index.rst").read_text("utf-8")
    top = {name.removeprefix("fn.") for name in NAMES} - {n for n in NAMES if n.count(".") > 1}
    assert {n for n in top if "." not in n} <= set(re.findall(r"`(\w+)`", table))


def test_what_is_left_out_serves_the_library_alone():
    modules = [getattr(fn, module) for module in MODULES]
    text = "".join(page.read_text("utf-8") for page in [*ROOT.glob("docs/**/*.md")])
    for name in AIDS:
        assert sum(hasattr(module, name) for module in modules) == 1
        assert f"`{name}`" not in text


def raises(value):
    """Whether the function's own code raises a ValueError or TypeError, or calls a check."""
    source = inspect.unwrap(value)
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(source)))):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if re.match(r"_?(check|cast|refuse)_", called):
                return True
    return False


def module_text(value):
    """What the page says above all names of the module."""
    return inspect.getdoc(inspect.getmodule(inspect.unwrap(value)))


@pytest.mark.parametrize(
    ("name", "value"), [pytest.param(*pair, id=pair[0]) for pair in FUNCTIONS.items()]
)
def test_a_function_that_checks_its_arguments_says_what_it_raises(name, value):
    text = f"{module_text(value)}\n{inspect.getdoc(value)}"
    assert re.search(r"[Rr]aises?\b|or `(Value|Type)Error`", text) or not raises(value), text


SOURCE = re.compile(r"\b[Aa]s (in |stax|`?torch|`?jax|`?optax|`?numpy|Keras|scikit)|\d{4}|torch\.")


DEFINES_NOTHING = {"fn.weighted"}


@named(
    *("activations", "layers.core", "layers.activation", "layers.combinators", "losses"),
    *("augmentations", "initializers", "schedules"),
    *("optimizers.aliases", "optimizers.transforms", "optimizers.scaling"),
)
def test_a_definition_names_its_source_or_its_formula(name, value):
    text = inspect.getdoc(value)
    if name in DEFINES_NOTHING:
        return
    assert SOURCE.search(text) or " = " in text, text


@named(
    *("layers.core", "layers.activation", "losses", "metrics", "training", "activations"),
    "augmentations",
)
def test_a_function_of_arrays_states_shapes(name, value):
    text = f"{module_text(value)}\n{inspect.getdoc(value)}"
    assert re.search(r"\(N|\(K|shape", text), text


def test_no_example_of_a_docstring_is_left_out():
    run = sum((inspect.getdoc(value) or "").count(">>> ") for value in NAMES.values())
    sources = [
        path for room in ("funcnn", "experiments", "cli") for path in (ROOT / room).rglob("*.py")
    ]
    assert run == sum(path.read_text("utf-8").count("    >>> ") for path in sources)
