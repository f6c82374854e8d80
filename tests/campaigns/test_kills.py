"""The campaigns of kills find faults that are planted in the processes that are killed."""

import numpy as np
import pytest
from campaigns import kills
from campaigns.campaign import tries_of
from campaigns.kills import KILLS, TRAINING

import funcnn as fn
from funcnn import _files
from funcnn.experiments.training.learner import NumpyLearner

(KILLED_TRAINING,) = (campaign for campaign in KILLS if campaign.name == "kills-train")


def test_what_was_killed_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(kills.KINDS, "kills-train", [TRAINING])
    found = [*tries_of(KILLED_TRAINING, tmp_path, 0, range(4))]
    assert [why for _, _, why in found if why] == []
    assert any(word.startswith("killed within") for _, word, _ in found)


def write_in_place():
    """Planted: what is written stands half under its own name for a while."""

    def replace(source, target):
        content = source.read_bytes()
        for mode, half in (("wb", content[:100]), ("ab", content[100:])):
            with open(target, mode) as file:
                file.write(half)

    _files._replace = replace


def forget_momentum():
    """Planted: a run that goes on has the steps of its optimizer, but not its means."""
    load = NumpyLearner.load

    def forgetful(learner, path):
        notes = load(learner, path)
        forgotten = fn.tree.map(_zeros, learner._state.opt_state)
        learner._state = learner._state._replace(opt_state=forgotten)
        return notes

    NumpyLearner.load = forgetful


def _zeros(leaf):
    return np.zeros_like(leaf) if np.ndim(leaf) else leaf


@pytest.mark.parametrize(
    ("fault", "said"),
    [(write_in_place, "SnapshotError"), (forget_momentum, "other than undisturbed")],
)
def test_a_fault_that_is_planted_is_found(tmp_path, monkeypatch, fault, said):
    planted = TRAINING._replace(prepare=f"{__name__}:{fault.__name__}")
    monkeypatch.setitem(kills.KINDS, "kills-train", [planted])
    tries = tries_of(KILLED_TRAINING, tmp_path, 0, range(12))
    assert any(said in why for _, _, why in tries if why is not None)
