"""The examples: each is a page, uses public names alone, and ends as its docstring says."""

import ast
import os
import re
import subprocess
import sys
import types

import pytest
from helpers import ROOT

import funcnn as fn

FOLDER = ROOT / "examples"
SCRIPTS = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
DATASETS = "funcnn.experiments.data.datasets"


def numbers(text, pattern):
    """What the groups of a pattern are in every line where it is found, as fractions of one."""
    found = re.findall(pattern, text)
    assert found, f"there is no {pattern!r} in\n{text}"
    return [float(number.rstrip("%")) / (100 if "%" in number else 1) for number in found]


def first_network(text):
    (accuracy,) = numbers(text, r"test accuracy (\S+)")
    assert accuracy > 0.8


def reading_a_gradient(text):
    assert "2.3026, which is log 10 = 2.3026" in text
    (difference,) = numbers(text, r"by hand: (\S+)")
    assert difference < 1e-5


def own_layer(text):
    (error,) = numbers(text, r"error=([^,]+)")
    assert error < 1e-6
    (sine,) = numbers(text, r"sine: mean squared error (\S+)")
    (tanh,) = numbers(text, r"tanh: mean squared error (\S+)")
    assert sine < 0.005 < 0.02 < tanh


def own_optimizer(text):
    lion, *others = numbers(text, r"after 25 steps ([\d.]+)")
    assert lion > max(others)
    lion, *others = numbers(text, r"after 250 steps ([\d.]+)")
    assert abs(lion - min(others)) < 0.05
    assert lion < 0.6


def residual_cnn(text):
    residual, plain = numbers(text, r"test accuracy (\S+)")
    assert residual > max(0.5, plain + 0.1)


def watching_a_layer_learn(text):
    accuracies = numbers(text, r"steps, test accuracy (\S+)")
    assert len(accuracies) == 4
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < 0.3
    assert accuracies[-1] > 0.8


def freezing_and_averaging(text):
    unchanged = re.findall(r"^ *(\w+).* (\[.*\])", text, re.MULTILINE)
    assert unchanged == [
        ("nothing", "[]"),
        ("first", "[1/bias, 1/weight]"),
        ("last", "[3/bias, 3/weight]"),
    ]
    last, average = numbers(text, r"\] +(\S+%)"), numbers(text, r"% +(\S+%)")
    assert len(last) == len(average) == 3
    assert all(a < b for a, b in zip(last, average, strict=True))
    assert average[2] > average[0] - 0.02


def data_parallel_by_hand(text):
    rows = [line.split() for line in text.splitlines()[2:]]
    assert [row[0] for row in rows] == ["1", "2", "4", "8"]
    for _, single, double, normalized in rows[1:]:
        assert float(double) < 1e-14
        assert float(double) < float(single) < 1e-5
        assert float(normalized) > 1e-2


def lockstep_with_torch(text):
    single, double = numbers(text, r"in 100 steps (\S+)")
    assert double <= 1e-12
    assert double < single < 1e-3


def fooling_a_network(text):
    (before,) = numbers(text, r"before any change: test accuracy (\S+)")
    by_gradient, at_random = numbers(text, r"signs.* test accuracy (\S+)")
    assert by_gradient < 0.2
    assert before > 0.8
    assert at_random > before - 0.05


def vanishing_gradients(text):
    (sigmoid, *others), accuracies = numbers(text, r"hears (\S+)"), numbers(text, r"accuracy (\S+)")
    assert sigmoid < 1e-4
    assert min(others) > 0.1
    assert accuracies[0] < 0.2
    assert min(accuracies[1:]) > 0.7


def augmentation(text):
    seen, augmented = numbers(text, r"training accuracy (\S+?),")
    assert seen > 0.98
    assert augmented < 0.95
    loss, less = numbers(text, r"loss (\S+)")
    assert less < 0.9 * loss


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_ends_as_its_docstring_says(name, tmp_path):
    if "torch" in name:
        pytest.importorskip("torch")
    title = name.partition("_")[2]
    environment = os.environ | {"MPLBACKEND": "Agg"}
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPTS[name])],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    globals()[title](ended.stdout)
    says = ast.get_docstring(ast.parse(SCRIPTS[name].read_text()))
    figure = f"{title}.png"
    assert (figure in says) != ("table" in says)
    assert [path.name for path in tmp_path.iterdir()] == ([figure] if figure in says else [])
    if figure in says:
        assert (tmp_path / figure).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_a_page(name):
    text = SCRIPTS[name].read_text()
    assert len(text.splitlines()) <= 60
    idea, blank, *seen = ast.get_docstring(ast.parse(text)).splitlines()
    assert idea.endswith(".")
    assert not blank
    assert 1 <= len(seen) <= 3


def names_of(tree):
    """Every `fn.a` and `fn.a.b` in a script, as `("a",)` and `("a", "b")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names, value = [node.attr], node.value
            while isinstance(value, ast.Attribute):
                names.insert(0, value.attr)
                value = value.value
            if isinstance(value, ast.Name) and value.id == "fn":
                yield names


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_uses_public_names_only(name):
    tree = ast.parse(SCRIPTS[name].read_text())
    imported = {
        (node.module, alias.name) if isinstance(node, ast.ImportFrom) else (alias.name, None)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    ours = {pair for pair in imported if pair[0].split(".")[0] == "funcnn"}
    assert ours == {("funcnn", None), (DATASETS, "load_dataset")}
    used = list(names_of(tree))
    assert used
    for first, *rest in used:
        assert first in fn.__all__, f"fn.{first} is not public"
        if rest and isinstance(getattr(fn, first), types.ModuleType):
            assert not rest[0].startswith("_")


def test_the_readme_has_a_row_for_each():
    rows = re.findall(r"^\| \[(\w+)\]\((\w+\.py)\) \|", (FOLDER / "README.md").read_text(), re.M)
    assert rows == [(name.partition("_")[0], f"{name}.py") for name in SCRIPTS]
    assert [number for number, _ in rows] == [f"{i:02}" for i in range(1, len(rows) + 1)]
