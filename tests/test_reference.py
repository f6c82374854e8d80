"""The reference page is what the docstrings say, and they say what a user needs."""

import ast
import importlib.util
import inspect
import re
import textwrap

import pytest
from helpers import ROOT

import funcnn as fn

_spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs/make_reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

NAMES = list(reference.public_names())
FUNCTIONS = [(name, module, value) for name, module, value in NAMES if inspect.isfunction(value)]


def named(*modules):
    """The public functions of these modules."""
    found = [(name, value) for name, module, value in FUNCTIONS if module in modules]
    return pytest.mark.parametrize(
        ("name", "value"), [pytest.param(*pair, id=pair[0]) for pair in found]
    )


def test_the_page_is_what_the_script_writes():
    assert reference.page() == reference.PAGE.read_text("utf-8"), "run docs/make_reference.py"


def test_every_public_name_is_on_the_page():
    page = reference.PAGE.read_text("utf-8")
    missing = [name for name, _, _ in NAMES if f"### `{name}`" not in page]
    assert not missing
    top_level = {f"fn.{name}" for name in fn.__all__} - {f"fn.{m}" for m in reference.MODULES}
    assert top_level <= {name for name, _, _ in NAMES}


def test_what_is_left_out_serves_the_library_alone():
    modules = [getattr(fn, module) for module in reference.MODULES]
    for name in reference.AIDS:
        assert sum(hasattr(module, name) for module in modules) == 1
        assert f"`{name}`" not in (ROOT / "README.md").read_text("utf-8")


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
    ("name", "value"), [pytest.param(name, value, id=name) for name, _, value in FUNCTIONS]
)
def test_a_function_that_checks_its_arguments_says_what_it_raises(name, value):
    text = f"{module_text(value)}\n{inspect.getdoc(value)}"
    assert re.search(r"[Rr]aises?\b|or `(Value|Type)Error`", text) or not raises(value), text


SOURCE = re.compile(r"\b[Aa]s (in |stax|`?torch|`?jax|`?optax|`?numpy|Keras|scikit)|\d{4}|torch\.")


AIDS = {"fn.weighted"}


@named(
    *("activations", "layers", "activation_layers", "combinators", "losses", "initializers"),
    *("schedules", "optimizers", "transformations", "scaling"),
)
def test_a_definition_names_its_source_or_its_formula(name, value):
    text = inspect.getdoc(value)
    if name in AIDS:  # they define nothing
        return
    assert SOURCE.search(text) or " = " in text, text


@named("layers", "activation_layers", "losses", "metrics", "training", "activations")
def test_a_function_of_arrays_states_shapes(name, value):
    text = f"{module_text(value)}\n{inspect.getdoc(value)}"
    assert re.search(r"\(N|\(K|shape", text), text


def test_the_signature_of_a_layer_shows_its_defaults_as_a_script_writes_them():
    page = reference.PAGE.read_text("utf-8")
    assert "Dense(out_features, bias=True, weight_init=glorot_uniform(), bias_init=zeros())" in page
    assert " at 0x" not in page
