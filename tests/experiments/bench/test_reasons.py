"""What each idea gives: a step can be measured without it."""

import numpy as np
import pytest

from funcnn.experiments.bench.nets import NETS
from funcnn.experiments.bench.peer_funcnn import Learner
from funcnn.experiments.bench.reasons import WITHOUT, measure


@pytest.mark.parametrize("idea", WITHOUT)
def test_a_step_without_an_idea_is_measured(idea, monkeypatch):
    monkeypatch.setattr("funcnn.experiments.bench.reasons.SECONDS", 0)
    with WITHOUT[idea]():
        learner = Learner(NETS["tiny"])
        learner.start()
        assert measure(learner, NETS["tiny"].batch, np.random.default_rng(0)) > 0
