"""Every architecture, optimizer and schedule, 200 steps: the same bits plain and recorded."""

import pytest
from recorded_runs import (
    LARGE,
    STEPS,
    TRIPLES,
    assert_same_on_threads,
    assert_same_runs,
    config_of,
    few_images,
    large_task,
    more_images,
)

from funcnn.threads import available_cores


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return few_images(tmp_path_factory.mktemp("few") / "images")


@pytest.mark.parametrize("triple", TRIPLES, ids="-".join)
def test_200_steps(triple, images):
    assert_same_runs(config_of(triple, images))


@pytest.mark.parametrize("neighbours", [0, available_cores()])
@pytest.mark.parametrize("arch", LARGE)
def test_threads(arch, neighbours, tmp_path):
    images = more_images(tmp_path / "images")
    assert_same_on_threads(large_task(arch, images, STEPS), neighbours)
