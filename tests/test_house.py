"""The house: which packages are imported where, what an import costs, what is documented."""

import ast
import importlib
import inspect
import json
import subprocess
import sys
from operator import attrgetter

import pytest
from commands import names_of_commands
from helpers import ROOT

import funcnn as fn
from funcnn.cli import main

PACKAGES = {"funcnn": ROOT / "funcnn", "cli": ROOT / "cli", "experiments": ROOT / "experiments"}


def modules(package):
    folder = PACKAGES[package]
    paths = sorted(folder.rglob("*.py"))
    return {".".join(path.relative_to(folder).with_suffix("").parts): path for path in paths}


def imports(path):
    """What a file imports anywhere in it, by full names, or those of what it is taken from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            found.add(node.module)
    return found


def test_no_module_has_more_than_320_lines():
    for package in PACKAGES:
        for name, path in modules(package).items():
            assert len(path.read_text("utf-8").splitlines()) <= 320, f"{package}.{name}"


# --- packages -------------------------------------------------------------------------------


def test_funcnn_imports_numpy_the_standard_library_and_threadpoolctl_alone():
    allowed = {"funcnn", "numpy", "threadpoolctl"} | sys.stdlib_module_names
    for name, path in modules("funcnn").items():
        assert {full.split(".")[0] for full in imports(path)} <= allowed, name


def test_only_the_mirror_and_one_module_of_the_benchmark_import_torch():
    importers = {
        f"{package}.{name}"
        for package in PACKAGES
        for name, path in modules(package).items()
        if any(full.split(".")[0] == "torch" for full in imports(path))
    }
    mirror = {"mirror", "modules", "optimizers", "learner", "files"}
    others = {"experiments.bench.peer_torch", "experiments.compare.lockstep_torch"}
    others.add("experiments.grade.drivers.mlp")  # which runs beside a student's code
    assert importers == {f"experiments.pytorch.{name}" for name in mirror} | others


# --- what an import costs --------------------------------------------------------------------

HEAVY = {"torch", "jax", "pandas", "matplotlib", "scipy", "tqdm", "PIL", "ssl"}
HEAVY |= {"onnx", "onnxruntime", "safetensors", "weasyprint", "jinja2", "tabulate"}


@pytest.mark.parametrize(
    "code",
    [
        "import funcnn",
        "from funcnn.cli import main; main(['--help'], standalone_mode=False)",
        "from funcnn.cli import main; main(['train', '--help'], standalone_mode=False)",
        "from funcnn.cli import main; main(['--version'], standalone_mode=False)",
    ],
    ids=["import", "--help", "train --help", "--version"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code):
    report = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in json.loads(done.stderr)}
    assert {"funcnn", "numpy"} <= loaded
    assert not loaded & HEAVY
    if code == "import funcnn":
        assert not {"click", "threadpoolctl"} & loaded


# --- what is documented ----------------------------------------------------------------------


def test_all_is_sorted_and_names_what_the_package_imports_and_nothing_else():
    assert fn.__all__ == sorted(fn.__all__)
    tree = ast.parse((PACKAGES["funcnn"] / "__init__.py").read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert set(fn.__all__) == {name for name in imported if not name.startswith("_")}
    assert len(set(fn.__all__)) == len(fn.__all__)


@pytest.mark.parametrize("name", fn.__all__)
def test_every_public_name_is_documented(name):
    value = getattr(fn, name)
    text = inspect.getdoc(value) or ""
    assert len(text) > 20
    assert not text.startswith(f"{name}("), "the docstring that a NamedTuple gives itself"


def test_the_names_that_scripts_use_are_there():
    used = """
        Dense BatchNorm LayerNorm GroupNorm Dropout Flatten Reshape
        Identity BinaryStep Sigmoid Tanh ArcTan Relu PRelu LeakyRelu Elu Selu Gelu Softplus Silu
        HardTanh HardSigmoid Exp Softmax LogSoftmax
        elementwise
        serial softmax_cross_entropy mean_squared_error binary_cross_entropy
        binary_cross_entropy_with_logits value_and_grad TrainState make_train_step batches
        evaluate predict summary save load from_spec check_layer check_vjp sgd trace scale
        scale_by_schedule chain add_decayed_weights clip_by_global_norm adam adamw apply_updates
        nesterov masked flatten adagrad rmsprop adamax
        random tree initializers schedules Layer
    """
    assert set(used.split()) <= set(fn.__all__)
    assert (PACKAGES["funcnn"] / "py.typed").exists()


def public_definitions(path):
    """Functions, classes and methods whose names do not begin with an underscore."""
    pending = [("", ast.parse(path.read_text()))]
    while pending:
        prefix, scope = pending.pop()
        for node in scope.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                yield prefix + node.name, node
                if isinstance(node, ast.ClassDef):
                    pending.append((f"{prefix}{node.name}.", node))


LABS_OWN = ("generate_linear", "generate_XOR_easy")
"""Functions that are a lab's text, word by word; where they are ours they have docstrings."""


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_every_public_function_and_class_has_a_docstring(package):
    for name, path in modules(package).items():
        assert ast.get_docstring(ast.parse(path.read_text())), f"{package}/{name}.py has none"
        definitions = [each for each in public_definitions(path) if each[0] not in LABS_OWN]
        without = [n for n, node in definitions if not ast.get_docstring(node)]
        module = f"funcnn.{package}.{name}".replace("funcnn.funcnn", "funcnn")
        missing = [n for n in without if not inherited_docstring(module, n)]
        assert not missing, f"{package}/{name}.py: {missing}"


def inherited_docstring(module, name):
    """The docstring of the method of a base class that a method overrides."""
    return "." in name and inspect.getdoc(attrgetter(name)(importlib.import_module(module)))


@pytest.mark.parametrize("command", list(names_of_commands(main)))
def test_the_page_of_commands_mentions_every_command(command):
    assert command in (ROOT / "docs/guides/commands.md").read_text()
