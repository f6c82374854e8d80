"""The range test of a run's settings: the library's sweep of the task, and its figure."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
from image_files import image_folder
from PIL import Image

import funcnn as fn
from funcnn.experiments.errors import InputError
from funcnn.experiments.figures import plots
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.rate_range import find_rates


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Settings of a tiny network, and of tiny images."""
    monkeypatch.chdir(tmp_path)
    data = str(image_folder(tmp_path / "images"))
    settings = {"arch": "mlp2", "hidden": (5,), "data": data, "val_size": 12, "batch_size": 8}
    return RunConfig.resolve(settings)


def test_it_is_the_librarys_sweep_of_the_first_epochs(config):
    found = find_rates(config, lowest=1e-3, highest=1e-1, steps=12)
    task = Task.build(config)
    batches = [batch for epoch in (1, 2, 3, 4) for batch in task.batches(epoch)][:12]
    assert len(list(task.batches(1))) < 12
    sgd = functools.partial(fn.sgd, momentum=config.momentum)

    def optimizer(schedule):
        return fn.chain(fn.add_decayed_weights(config.weight_decay), sgd(schedule))

    sweep = fn.range_test(
        *(task.model.apply, task.loss, optimizer, task.first_params(), batches),
        lowest=1e-3,
        highest=1e-1,
    )
    assert found["losses"] == sweep.losses.tolist()
    assert found["learning_rates"] == sweep.learning_rates.tolist()
    assert found["steepest"] == sweep.steepest


def test_every_figure_has_a_place_of_its_own(config):
    places = [find_rates(config, steps=2)["out"] for _ in range(2)]
    assert [Path(place).name for place in places] == [
        "range-test-mlp2-001.png",
        "range-test-mlp2-002.png",
    ]
    with Image.open(places[0]) as image:
        assert image.width > 600


def test_what_diverges_is_drawn_up_to_where_it_began(tmp_path):
    rates, losses = np.geomspace(1e-3, 1.0, 4), np.array([2.0, 1.0, 0.5, np.nan])
    plots.rate_sweep(tmp_path / "a.png", rates, losses, {"steepest descent": 0.01}, "nats")
    plots.rate_sweep(tmp_path / "b.png", rates, np.ones(4), {}, "nats")
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / name) as image:
            assert len(image.convert("RGB").getcolors(1 << 16)) > 5


def test_a_network_with_dropout_has_its_key(config):
    found = find_rates(dataclasses.replace(config, dropout=0.5), steps=5)
    assert len(found["losses"]) == 5


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"lowest": 0.0}, "--lowest 0 --highest 10: must be above 0"),
        ({"lowest": 2.0, "highest": 1.0}, "the highest above the lowest"),
        ({"highest": float("inf")}, "--highest inf"),
        ({"out": Path("a.pdf")}, "ends in .png"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_is_read(config, keywords, said):
    with pytest.raises(InputError, match=said):
        find_rates(config, **keywords)
    assert not Path("runs").exists()
