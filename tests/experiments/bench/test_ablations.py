"""What each idea gives: a step can be measured without it."""

import numpy as np
import pytest

from funcnn.experiments.bench.ablations import WITHOUT, measure
from funcnn.experiments.bench.nets import NETS
from funcnn.experiments.bench.peer_funcnn import Learner


@pytest.mark.parametrize("idea", WITHOUT)
def test_a_step_without_an_idea_is_measured(idea, monkeypatch):
    monkeypatch.setattr("funcnn.experiments.bench.ablations.SECONDS", 0)
    with WITHOUT[idea]():
        learner = Learner(NETS["tiny"])
        learner.start()
        assert measure(learner, NETS["tiny"].batch, np.random.default_rng(0)) > 0
