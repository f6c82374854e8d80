"""The runs of `points`' `main.py` in a process of its own, one after another.

python -m funcnn.experiments.labs.points_worker

{"config": {...}, "seed": 0, "whole": true}
->  {"result": [...]}, the values of a `PointsRun`
"""

from typing import Any

from funcnn.experiments.labs.points_runs import train
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.training.worker import Tell, answer_all


def do(asked: dict[str, Any], tell: Tell) -> None:
    """Make a run, and tell it."""
    tell({"result": list(train(RunConfig.resolve(asked["config"]), asked["seed"], asked["whole"]))})


if __name__ == "__main__":
    answer_all(do)
