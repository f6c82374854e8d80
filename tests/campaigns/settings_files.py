"""Damaged settings files, as `--config` reads them: refused, or settings that can be trained."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from campaigns.campaign import Campaign, Try
from campaigns.damage import damaged_bytes, damaged_value, nested
from campaigns.watch import Watch, assert_tells_of, no_warnings

import funcnn as fn
from funcnn.experiments.data.datasets import POINT_SETS
from funcnn.experiments.errors import InputError
from funcnn.experiments.sweep.plan import train_command
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.augmentations import parse_augmentations
from funcnn.experiments.tasks.build import (
    build_loss,
    build_network,
    build_optimizer,
    network_that_fits,
)
from funcnn.experiments.tasks.changes import changed, read_settings
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.optimizers import OPTIMIZERS
from funcnn.experiments.tasks.recipes import RECIPES

OPTIONS: list[dict[str, Any]] = [{}, {"optimizer": "adam"}, {"activation": "sigmoid"}]
OPTIONS += [{"loss": "squared-error"}, {"lr": 0.5, "hidden": (3,)}]
VALUES = "1", 3, 2**31 - 1, 2**31, 2**62, 0.5, 1e-320, [], [3], [2**31 - 1] * 3, "flip+shift=9"
VALUES = *VALUES, "shift=1e9", "flip+flip", "affine=1:2:3:4:5", "mine.py:net", "\ud800", "a/../b"


@contextlib.contextmanager
def begin(folder: Path) -> Iterator[Try]:
    """Good settings of every architecture, optimizer and recipe."""
    path = folder / "config.json"
    good = [RunConfig.resolve({"arch": arch, **_data(arch)}).as_data() for arch in ARCHITECTURES]
    good += [
        RunConfig.resolve({"arch": "mlp2", "optimizer": each}).as_data() for each in OPTIMIZERS
    ]
    good += [RunConfig.resolve(recipe.settings).as_data() for recipe in RECIPES.values()]
    watch = Watch(folder)

    def one_try(rng: np.random.Generator) -> str:
        path.write_bytes(_damaged(good[rng.integers(len(good))], rng))
        options = OPTIONS[rng.integers(len(OPTIONS))]
        with watch.trying(), no_warnings():
            try:
                values = read_settings(path)
            except InputError as error:
                assert_tells_of(path, error)
                return "refused"
            try:
                config = RunConfig.resolve(changed(values, options, path))
                _built(config)
            except InputError as error:
                assert_tells_of(path, error)
                return "read, and refused with the options, or the data"
        return "read, and built"

    yield one_try


def _data(arch: str) -> dict[str, str]:
    return {"data": next(iter(POINT_SETS))} if ARCHITECTURES[arch].binary else {}


def _built(config: RunConfig) -> None:
    """Everything that a config stands for, but for its data."""
    again = RunConfig.resolve(json.loads(config.to_json()))
    assert again == config
    assert train_command(config.as_data(), config.seed)
    parse_augmentations(config.augment)
    build_loss(config)
    optimizer = build_optimizer(config, 100)
    classes = 2 if config.binary else 10
    shape = (2,) if config.binary else (1, 28, 28)
    with network_that_fits(config):
        model = build_network(config, shape, classes)
        model.init(fn.random.SHAPES_ONLY, shape)
    weights = {"weight": np.ones((2, 2), np.float32)}
    optimizer.update(weights, optimizer.init(weights), weights)


def _damaged(values: dict[str, Any], rng: np.random.Generator) -> bytes:
    """A settings file with something changed."""
    kind = rng.integers(8)
    if kind < 3:
        values = dict(values)
        names = [*SETTINGS]
        values[names[rng.integers(len(names))]] = VALUES[rng.integers(len(VALUES))]
    elif kind < 6:
        values = damaged_value(values, rng)
    elif kind == 6 and rng.integers(4) == 0:
        values = nested(values, rng)
    text = json.dumps(values, indent=int(rng.integers(3))).encode()
    return text if kind < 7 else damaged_bytes(text, rng)


SETTINGS_FILES = Campaign("settings-files", "damaged settings files that are read", 0.5, begin)
