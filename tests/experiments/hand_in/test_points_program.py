"""What `points` hands in beside its network: main.py, optimizers.py, and the page of questions."""

import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest

import funcnn as fn
from funcnn.experiments.data import points as data
from funcnn.experiments.hand_in.deliverables import HAND_INS, HandIn, Piece, Student, plain
from funcnn.experiments.hand_in.files import modules
from funcnn.experiments.hand_in.networks import task_of
from funcnn.experiments.hand_in.notebook_builder import build, lab_configs
from funcnn.experiments.hand_in.rules import Submission, check
from funcnn.experiments.hand_in.standalone import points_main, points_optimizers
from funcnn.experiments.hand_in.standalone.network import sgd
from funcnn.experiments.hand_in.standalone.program import questions_page
from funcnn.experiments.labs import points, points_settings
from funcnn.experiments.labs.points_runs import begin
from funcnn.experiments.tasks.build import build_optimizer
from funcnn.experiments.tasks.config import RunConfig


@pytest.fixture(scope="module")
def files():
    """All of it, by name."""
    return modules(
        HAND_INS["points"], {"xor": task_of(points.LAB, points_settings.MAIN["xor"])}, fill=plain
    )


def test_the_demo_reaches_100_percent_on_both_sets_in_seconds(files, tmp_path):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - begun < 60
    assert re.findall(r"^accuracy : (.+)%$", done.stdout, re.M) == ["100.00", "100.00"]
    column = re.findall(r"^[\[ ]\[(\d\.\d{8})\]\]?$", done.stdout, re.M)
    assert len(column) == 100 + 21
    assert len(re.findall(r"^epoch 5000 loss : 0\.000\d{9}$", done.stdout, re.M)) == 4
    assert {path.name for path in tmp_path.glob("*.png")} == {
        *("prediction_linear.png", "prediction_xor.png", "learning_curve.png")
    }


def test_what_is_unknown_is_one_line():
    with pytest.raises(SystemExit) as raised:
        points_main.main("optimisers")
    assert str(raised.value).startswith("python main.py optimisers: one of rates, units, ")


def test_the_lab_s_functions_give_the_lab_s_points():
    for ours, theirs in (
        (points_main.generate_linear, data.generate_linear),
        (points_main.generate_XOR_easy, data.generate_XOR_easy),
    ):
        np.random.seed(5)
        expected = theirs()
        np.random.seed(5)
        for found, wanted in zip(ours(), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_the_lab_s_functions_are_a_block_of_their_own(files):
    block = files["main.py"].decode().split("\n# ---")[1]
    names = re.findall(r"^def (\w+)", block, re.M)
    assert names == ["generate_linear", "generate_XOR_easy"]
    pytest.importorskip("jupytext", reason="notebooks: pip install 'funcnn[notebooks]'")
    notebook = json.loads(build("points", lab_configs("points")))
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    (cell,) = (source for source in sources if "def generate_linear" in source)
    assert cell == block.partition("\n")[2].strip()


def test_nothing_speaks_of_what_a_grader_does_not_have(files):
    assert set(files) == {"main.py", "optimizers.py", "layer.py", "network.py", "questions.md"}
    for name, content in files.items():
        assert not re.search(rb"funcnn|torch|/work", content), name


def test_the_settings_are_those_of_the_lab():
    """That the numbers are the same too is a test of the lab's report."""
    assert tuple(range(3)) == points_main.SEEDS
    config = RunConfig.resolve({"arch": "points"})
    assert (config.epochs, config.lr) == (points_main.EPOCHS, points_main.LEARNING_RATE)
    for extra, settings in points_main.EXTRAS.items():
        for label, own in settings.items():
            trial = points_settings.EXTRAS[extra][label]
            config = RunConfig.resolve(dict(trial.settings))
            assert config.data == f"points-{own.get('name', 'xor')}"
            assert config.lr == own.get("rate", points_main.LEARNING_RATE)
            assert config.hidden == own.get("hidden", points_main.HIDDEN)
            update = own.get("update", sgd)
            plain = update is points_optimizers.gradient_descent
            assert config.optimizer == ("sgd" if plain else update.__name__.replace("_", "-"))
            if config.optimizer == "sgd":
                assert config.momentum == (0 if plain else 0.9)
            activation = own.get("activation", points_main.sigmoid).__name__
            assert config.activation == activation.replace("_", "-")
            assert bool(config.channels) == own.get("convolution", False)


OPTIMIZERS = points_settings.EXTRAS["optimizers"]


@pytest.mark.parametrize("label", [label for label in OPTIMIZERS if not label.startswith("sgd")])
def test_an_optimizer_steps_as_the_library_s(label):
    config = RunConfig.resolve(dict(OPTIMIZERS[label].settings))
    optimizer = build_optimizer(config, 50)
    update = getattr(points_optimizers, label.partition(",")[0])
    _, _, ours = begin(config, 3)
    theirs, state, their_state = ours, None, optimizer.init(ours)
    rng = np.random.default_rng(1)
    for _ in range(50):
        grads = fn.tree.map(lambda leaf: rng.normal(size=leaf.shape), ours)
        ours, state = update(ours, state, grads, config.lr)
        updates, their_state = optimizer.update(grads, their_state, theirs)
        theirs = fn.tree.map(np.add, theirs, updates)
    for own, their in zip(fn.tree.leaves(ours), fn.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(own, their, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", points_main.SETS)
@pytest.mark.parametrize("seed", [0, 7])
def test_the_class_begins_as_the_program_and_descends_as_it(
    files, name, seed, tmp_path, monkeypatch
):
    monkeypatch.setattr(points_main, "EPOCHS", 200)
    for file in ("layer.py", "network.py"):
        (tmp_path / file).write_bytes(files[file])
    assert "those that main.py begins with" in files["network.py"].decode()
    points, labels, _, params = points_main.begin(name, seed)
    losses = points_main.learn(name, seed, update=points_optimizers.gradient_descent)[2]
    np.savez(tmp_path / "begun.npz", x=points, t=labels, losses=losses)
    np.savez(tmp_path / "params.npz", *(own[key] for own in params for key in own))
    script = f"""
import numpy as np
from network import Network, SHAPE
begun, params = np.load("begun.npz"), np.load("params.npz")
x, t = begun["x"], begun["t"]
np.random.seed({seed})
if {name!r} == "linear":
    assert np.array_equal(np.random.uniform(0, 1, x.shape), x)
net = Network()
own = [getattr(layer, key) for layer in net.layers for key in layer.weights]
assert len(own) == len(params.files) == 6
for found, wanted in zip(own, params.values()):
    assert np.array_equal(found.reshape(wanted.shape), wanted)
for epoch in range(200):
    pred, loss = net.forward(x, t)
    np.testing.assert_allclose(loss, begun["losses"][epoch], rtol=1e-10)
    net.backward()
    net.update(0.5 / len(x))
"""
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- the page of questions -------------------------------------------------------------------


def test_each_question_has_the_line_that_answers_it(files):
    text = files["questions.md"].decode()
    answers = re.findall(r"^-> (\S+), line (\d+): `(.+)`$", text, re.M)
    assert len(answers) == len(re.findall(r"^\*\*", text, re.M)) >= 15
    for name, number, code in answers:
        assert files[name].decode().splitlines()[int(number) - 1].strip() == code
    assert "<<" not in text


def test_a_line_that_is_not_there_once_is_named():
    with pytest.raises(ValueError, match=r"main.py has .+ in the lines \[1, 2\]"):
        questions_page("points_questions", {"main.py": b"x, backward = function(own, x)\n" * 2})


# --- the rules -------------------------------------------------------------------------------


def broken(pieces, files, printed=None):
    submission = Submission(HandIn(pieces), Student("1", "Li"), {}, files, None, {}, printed)
    return [str(verdict) for verdict in check(submission) if not verdict.holds]


ALONE = "main.py: imports NumPy, matplotlib and the files beside it alone"
PROGRAM = (Piece("main.py", "program", "points_main"),)


def test_the_program_that_is_handed_in_keeps_the_rule(files):
    pieces = tuple(piece for piece in HAND_INS["points"].pieces if piece.kind == "program")
    assert broken(pieces, files) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: None, f"{ALONE} (it is missing)"),
        (lambda text: text + b"\nimport pandas.io\n", f"{ALONE} (pandas)"),
        (lambda text: text + b"\ndef f():\n    from torch import nn\n", f"{ALONE} (torch)"),
        (lambda text: text + b"\nfrom .layer import relu\n", f"{ALONE} (.)"),
        (lambda text: text + b"\nimport (\n", f"{ALONE} (it is no Python: "),
        (lambda text: text + b"\0", f"{ALONE} (it is no Python: "),
    ],
)
def test_a_program_that_needs_more_is_refused(files, change, said):
    changed = {**files, "main.py": change(files["main.py"])}
    (found,) = broken(PROGRAM, {name: text for name, text in changed.items() if text is not None})
    assert found.startswith(said)


def test_without_a_file_beside_it_a_program_is_refused(files):
    without = {name: content for name, content in files.items() if name != "optimizers.py"}
    assert broken(PROGRAM, without) == [f"{ALONE} (optimizers)"]


def test_a_notebook_with_other_numbers_than_the_report_is_refused():
    output = {"output_type": "stream", "name": "stdout", "text": ["epoch 1 loss : 0.5\n", "a\n"]}
    cell = {"cell_type": "code", "execution_count": 1, "outputs": [output], "source": ["f()"]}
    files = {"it.ipynb": json.dumps({"cells": [cell]}).encode()}
    pieces = (Piece("it.ipynb", "notebook", "points"),)
    assert broken(pieces, files, "a\nepoch 1 loss : 0.5") == []
    assert broken(pieces, files, "a\nepoch 1 loss : 0.6") == [
        "it.ipynb: prints the numbers of the report (not epoch 1 loss : 0.6)"
    ]
