"""The parity tests leave nothing out, and say so where they cannot run."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import funcnn as fn

FILES = sorted(Path(__file__).parent.glob("test_*.py"))
FILES.remove(Path(__file__))
# Modules of functions that no net, loss or optimizer is made of; a new module is not among them.
OTHERS = {
    "compiled.apply",
    "metrics",
    "training",
    "evaluation",
    "rate_range",
    "batching",
    "checks",
    "gradcheck",
    "spec",
    "introspection",
    "snapshots",
}


def public_functions(namespace, names):
    functions = {name: inspect.unwrap(getattr(namespace, name)) for name in names}
    return {name: f for name, f in functions.items() if inspect.isfunction(f)}


def names_used(path, namespace):
    """What a file uses of a namespace: `fn.Relu`, or "Relu" for getattr; no comment counts."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    attributes = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == namespace
    }
    return attributes | {node.value for node in nodes if isinstance(node, ast.Constant)}


def test_every_layer_loss_and_optimizer_meets_its_oracle():
    functions = public_functions(fn, fn.__all__)
    modules = {name: f.__module__.removeprefix("funcnn.") for name, f in functions.items()}
    public = {name for name, module in modules.items() if module not in OTHERS}
    assert public > {"Dense", "Conv", "BatchNorm", "residual", "huber", "sm3", "scale_by_adam"}
    assert public - set.union(*(names_used(path, "fn") for path in FILES)) == set()


def test_every_activation_meets_its_oracle_as_a_function_too():
    names = [name for name in dir(fn.activations) if not name.startswith(("_", "check_"))]
    functions = public_functions(fn.activations, names)
    public = {name for name, f in functions.items() if f.__module__ == "funcnn.activations"}
    assert public > {"relu", "softmax", "identity"}
    (path,) = (path for path in FILES if path.stem == "test_activations")
    assert public - names_used(path, "fn.activations") == set()


def test_without_torch_every_parity_file_is_skipped_with_the_reason():
    code = "import sys; sys.modules['torch'] = None; import pytest; sys.exit(pytest.main())"
    files = [str(path) for path in FILES if "torch_helpers" in path.read_text("utf-8")]
    assert set(FILES) - set(map(Path, files)) == {Path(__file__).with_name("test_optax.py")}
    options = ["-rs", "-o", "addopts=", "-p", "no:cacheprovider", *files]
    done = subprocess.run(
        [sys.executable, "-c", code, *options], capture_output=True, text=True, check=False
    )
    last = done.stdout.splitlines()[-1]
    assert f"{len(files)} skipped" in last, done.stdout
    assert not {"passed", "failed", "error", "errors"} & set(last.split())
    assert "torch is the oracle: pip install funcnn[torch]" in done.stdout
