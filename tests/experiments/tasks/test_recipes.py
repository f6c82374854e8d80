"""Recipes: settings like any others, and the records of the runs that they were trained in."""

import json

import numpy as np
import pytest
from helpers import ROOT

from funcnn.experiments.tasks.changes import changed
from funcnn.experiments.tasks.config import SETTINGS, RunConfig
from funcnn.experiments.tasks.recipes import RECIPES
from funcnn.experiments.training.evaluation import evaluate_model
from funcnn.experiments.training.run_folder import RunFolder

RECORDS = sorted(path.parent for path in (ROOT / "docs" / "recipes").rglob("summary.json"))
OF_THE_RUN = {"seed", "backend", "init"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_settings_of_a_run(name):
    recipe = RECIPES[name]
    config = RunConfig.resolve(recipe.settings)
    assert set(recipe.settings) <= set(SETTINGS) - OF_THE_RUN
    assert config.backend == "numpy"
    assert recipe.about


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_nothing_that_is_so_anyway(name):
    settings = RECIPES[name].settings
    for left_out in set(settings) - {"arch", "data"}:
        others = {key: value for key, value in settings.items() if key != left_out}
        assert RunConfig.resolve(others) != RunConfig.resolve(settings), left_out


def test_there_are_records_of_recipes_alone():
    assert RECORDS
    assert {path.parent.name for path in RECORDS} <= set(RECIPES)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_record_is_of_a_finished_run_of_its_recipe(path):
    name, folder = path.parent.name, RunFolder(path)
    config, summary = folder.read_config(), folder.read_summary()
    data, _, seed = path.name.rpartition("-")
    backend = "torch" if data.endswith("-torch") else "numpy"
    options = {"data": data.removesuffix("-torch"), "seed": int(seed), "backend": backend}
    assert config == RunConfig.resolve(changed(RECIPES[name].settings, options, name))
    rows = folder.read_metrics()
    assert [row.epoch for row in rows] == list(range(1, config.epochs + 1))
    assert summary["epochs"] == config.epochs
    matrix = np.array(summary["confusion_matrix"])
    assert matrix.sum() == summary["test_examples"]
    assert summary["test_accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum(), abs=1e-12)
    best = max(row.val_accuracy for row in rows)
    assert summary["val_accuracy"] == best
    assert summary["seconds"] == pytest.approx(sum(row.seconds for row in rows), abs=0.01)
    assert json.loads((path / "data.json").read_text())["data"] == config.data


@pytest.mark.parametrize(
    "file", sorted((ROOT / "data" / "models").iterdir()), ids=lambda it: it.name
)
def test_a_network_in_the_repository_proves_the_figure_of_its_record(file):
    folder = ROOT / "docs" / "recipes" / file.stem / "fashion-mnist-0"
    records = {False: RunFolder(folder).read_summary()}
    if (folder / "mirrored.json").exists():
        records[True] = json.loads((folder / "mirrored.json").read_text())
    for mirrored, record in records.items():
        measured = evaluate_model(file, "fashion-mnist", mirrored=mirrored)
        assert measured["test_is"] == "the test set"
        # Kernels of another processor may turn an image or two that lie between two classes.
        assert measured["test_accuracy"] == pytest.approx(record["test_accuracy"], abs=3e-4)
        assert measured["test_loss"] == pytest.approx(record["test_loss"], rel=1e-4)
