"""The usual sizes of validation set and batch, and smaller ones for data of few examples."""

import dataclasses
from collections.abc import Collection
from typing import Any

from funcnn.experiments.data.datasets import Dataset
from funcnn.experiments.tasks.config import RunConfig


def fitted(config: RunConfig, data: Dataset, usual: Collection[str]) -> RunConfig:
    """The config with the sizes that its data, as of `load_data`, allow.

    usual: as `usual_sizes`.
    """
    sizes: dict[str, Any] = {}
    if "val_size" in usual:
        sizes["val_size"] = len(data.validation[0]) if data.validation else 0
    if "batch_size" in usual and config.batch_size is not None:
        sizes["batch_size"] = min(config.batch_size, len(data.train[0]))
    return dataclasses.replace(config, **sizes)


def usual_sizes(settings: Collection[str]) -> list[str]:
    """The sizes that the settings leave as they usually are: small data need smaller ones."""
    return [name for name in ("val_size", "batch_size") if name not in settings]
