"""Every architecture, optimizer and schedule, 200 steps: the same bits plain and recorded."""

import pytest
from recorded_runs import TRIPLES, assert_same_runs, config_of, few_images


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return few_images(tmp_path_factory.mktemp("few") / "images")


@pytest.mark.parametrize("triple", TRIPLES, ids="-".join)
def test_200_steps(triple, images):
    assert_same_runs(config_of(triple, images))
