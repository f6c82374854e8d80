"""The layers that CONTRIBUTING and the tutorial show keep every promise, and train."""

import re
import subprocess
import sys
import textwrap

import pytest
from helpers import ROOT

BLOCKS = [
    textwrap.dedent(
        re.search(r"^ *```python\n(.*?)^ *```$", (ROOT / page).read_text("utf-8"), re.M | re.S)[1]
    )
    for page in ("CONTRIBUTING.md", "docs/tutorials/own-layer.md")
]

BEFORE = """
import numpy as np
import funcnn as fn
from funcnn import Layer
from funcnn.spec import constructor
"""
AFTER = """
fn.check_layer(Scale(), (4,))
model = fn.serial(fn.Dense(16), Scale(), fn.Tanh(), fn.Dense(3))
_, params = model.init(fn.random.key(0), (4,))
x = fn.random.normal(fn.random.key(1), (300, 4))
y = (x[:, :3]).argmax(1)
optimizer = fn.adam(0.02)
step = fn.make_train_step(model.apply, fn.softmax_cross_entropy, optimizer)
state = fn.TrainState.create(params, optimizer)
for _ in range(200):
    state, metrics = step(state, (x, y))
assert metrics["loss"] < 0.1, metrics
assert (state.params[1]["weight"] != 1).all()
assert fn.accuracy(model.apply(state.params, x)[0], y) > 0.97
"""


@pytest.mark.parametrize("block", BLOCKS, ids=["in the library", "in a script"])
def test_a_layer_from_the_page_passes_the_checks_and_trains(block):
    # In another process: the decorator would add the layer to those of the library.
    subprocess.run([sys.executable, "-c", BEFORE + block + AFTER], check=True)


def test_a_layer_of_one_s_own_takes_a_dozen_lines():
    body = BLOCKS[1].split("def Scale():")[1]
    assert len([line for line in body.splitlines() if line.strip()]) <= 12
