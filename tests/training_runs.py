"""Training runs of a second: their settings, what they leave, and how they are stopped."""

import csv

from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.callback import Callback
from funcnn.experiments.training.run import TrainingRun
from funcnn.experiments.training.run_folder import RunFolder

STEPS_PER_EPOCH = 6  # 48 training images in batches of 8

FILES = {
    "config.json",
    "data.json",
    "metrics.csv",
    "summary.json",
    "params.npz",
    "last.npz",
    "learning_curve.png",
    "confusion_matrix.png",
}


def tiny(images, **settings):
    """A run of 3 epochs of 6 steps; Adam and dropout, so that the whole state matters."""
    defaults = {"arch": "mlp2", "hidden": [5], "data": str(images), "val_size": 12, "epochs": 3}
    defaults |= {"batch_size": 8, "optimizer": "adamw", "lr": 0.01, "dropout": 0.2}
    return RunConfig.resolve(defaults | settings)


def finished(config, out):
    run = TrainingRun.start(config, out)
    run.finish()
    return run.folder


def resumed(out):
    run = TrainingRun.resume(RunFolder.open(out))
    run.finish()
    return run.folder


def rows_of(folder):
    with open(folder.metrics, newline="") as file:
        return list(csv.DictReader(file))


def without_seconds(folder):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows_of(folder)]


class AfterTwo(Callback):
    """Ctrl-C after the second epoch."""

    def epoch_end(self, run, row, epochs):
        if row.epoch == 2:
            raise KeyboardInterrupt
