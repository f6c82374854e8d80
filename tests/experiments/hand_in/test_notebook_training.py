"""What a notebook trained, read from what it printed and kept."""

import io
import json

import numpy as np
import pytest

import funcnn as fn
from funcnn.experiments.data.datasets import Normalization
from funcnn.experiments.hand_in.networks import HandedNetwork
from funcnn.experiments.hand_in.notebook_output import trainings_in
from funcnn.experiments.hand_in.notebook_runner import RunNotebook
from funcnn.experiments.hand_in.notebook_training import trained
from funcnn.experiments.labs import emnist47
from funcnn.experiments.labs.tables import epoch_line
from funcnn.experiments.training.model import TrainedModel

MODEL = fn.serial(fn.Flatten(), fn.Dense(5), fn.Relu(), fn.Dense(3))
PRINTED = """\
batch   1  loss 0.5  right 3 of 10
an epoch of the lab's loop: validation accuracy 44.00%
epoch  1  train loss 0.6931 50.25%  val loss 0.5000 61.00%
epoch  2  train loss 0.3000 72.00%  val loss 0.4000 70.00%
epoch  3  train loss 0.2000 80.00%  val loss 0.4100 70.00%
epoch  1  train loss 2.5e-05 99.99%  val loss 0.0100 99.80%  test loss 0.0200 99.70%
validation accuracy 70.00%; the lab asks for 60%
test accuracy       68.50%
"""


def notebook(printed):
    outputs = [{"output_type": "stream", "text": printed.splitlines(keepends=True)}]
    return json.dumps({"cells": [{"cell_type": "code", "outputs": outputs}]}).encode()


def params(seed):
    return MODEL.init(fn.random.key(seed), (2, 2))[1]


@pytest.fixture
def networks():
    known = TrainedModel(MODEL, params(0), (2, 2), Normalization(1.0, 0.0, 1.0), ("a", "b", "c"))
    return {name: HandedNetwork(None, {"numpy": known}, b"") for name in ("nn", "cnn")}


def test_every_training_begins_with_epoch_1():
    first, second = trainings_in(notebook(PRINTED))
    assert [(row.epoch, row.val_accuracy) for row in first] == [(1, 0.61), (2, 0.7), (3, 0.7)]
    assert first[0][:5] == (1, 0.6931, 0.5025, 0.5, 0.61)
    assert (first[0].test_loss, second[0].test_loss) == (None, 0.02)
    assert (second[0].train_loss, second[0].test_accuracy) == (2.5e-5, 0.997)


def test_it_prints_as_the_report_does():
    lines = PRINTED.splitlines()[2:5]
    assert [*map(epoch_line, trainings_in(notebook(PRINTED))[0])] == lines
    asked = "Epoch:  7 |Train Loss:  0.4444 |Train Acc:85.1235 |Val Loss:  0.5000 |Val Acc:88.0250"
    ((row,),) = trainings_in(notebook(asked.replace("  7 ", "  1 ")))
    assert emnist47.epoch_line(row._replace(epoch=7)) == asked


def as_npz(tree):
    file = io.BytesIO()
    np.savez(file, **dict(fn.tree.leaves_with_path(tree)))
    return file.getvalue()


def as_pt(tree):
    torch = pytest.importorskip("torch", reason="its params: pip install 'funcnn[torch]'")
    from funcnn.experiments.pytorch.state_dicts import to_state_dict

    file = io.BytesIO()
    state = to_state_dict(MODEL, tree)
    torch.save({name: torch.from_numpy(array.copy()) for name, array in state.items()}, file)
    return file.getvalue()


@pytest.mark.parametrize(("backend", "as_file"), [("numpy", as_npz), ("torch", as_pt)])
def test_its_params_are_those_of_the_first_best_epoch(networks, backend, as_file):
    kept = {"nn": as_file(params(1)), "cnn": as_file(params(2))}
    shown = trained(RunNotebook(notebook(PRINTED), {}, kept), backend, networks)
    assert [*shown] == [("nn", backend), ("cnn", backend)]
    nn, cnn = shown.values()
    assert (nn.kept, cnn.kept, len(nn.rows)) == (2, 1, 3)
    assert nn.accuracies == pytest.approx({"validation": 0.7, "test": 0.685})
    for training, seed in ((nn, 1), (cnn, 2)):
        expected = dict(fn.tree.leaves_with_path(params(seed)))
        for path, leaf in fn.tree.leaves_with_path(training.model.params):
            np.testing.assert_array_equal(leaf, expected[path])
            assert leaf.dtype == np.float32
