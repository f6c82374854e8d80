"""What a command is to look into: an architecture, a network of the user's own, or a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from funcnn.experiments.data.catalog import SETS
from funcnn.experiments.data.datasets import POINT_SETS
from funcnn.experiments.errors import InputError
from funcnn.experiments.tasks.architectures import ARCHITECTURES
from funcnn.experiments.tasks.build import build_network
from funcnn.experiments.tasks.config import RunConfig
from funcnn.experiments.tasks.own_models import OwnModel
from funcnn.experiments.tasks.references import read_own
from funcnn.experiments.tasks.settings import dashed, is_reference
from funcnn.experiments.tasks.task import Task
from funcnn.experiments.training.model import load_model
from funcnn.experiments.training.run_folder import RunFolder
from funcnn.types import Layer, Shape

_IMAGE = (1, 28, 28)  # of all published sets


class Target(NamedTuple):
    """A network, and what it takes and tells apart; there need be no data."""

    config: RunConfig
    input_shape: Shape
    classes: int

    @property
    def model(self) -> Layer:
        """The network."""
        return build_network(self.config, self.input_shape, self.classes)

    @classmethod
    def of(cls, config: RunConfig) -> "Target":
        """That of a config, whose data are read only if nothing else tells their shape."""
        prepares = config.own is not None and config.own.preprocess is not None
        if config.data in POINT_SETS and not prepares:
            return cls(config, (2,), 2)
        if config.data in SETS and not prepares:
            return cls(config, _IMAGE, len(SETS[config.data].class_names))
        task = Task.build(config, usual=("val_size", "batch_size"))
        return cls(config, task.input_shape, len(task.data.class_names))

    @classmethod
    def find(cls, text: str, settings: Mapping[str, Any], own: OwnModel | None = None) -> "Target":
        """That which a text names: an architecture, `FILE.py:NAME`, or the folder of a run.

        settings: of an architecture or a network of one's own; of a run a `batch_size` alone.
        own: the network, where the run is of a user's own. Raises `InputError`.
        """
        if is_reference(text) and not Path(text).exists():
            return cls.of(RunConfig.resolve({"arch": text, **settings}, read_own(text)))
        if text in ARCHITECTURES:
            return cls.of(RunConfig.resolve({"arch": text, **settings}))
        if not Path(text).exists():
            raise InputError(
                f"{text} is no architecture ({', '.join(ARCHITECTURES)}), nor the folder of a "
                "run, nor FILE.py:NAME"
            )
        folder = RunFolder.open(Path(text), own)
        fixed = [name for name in settings if name != "batch_size"]
        if fixed:
            raise InputError(f"the settings are those of {text}: leave out --{dashed(fixed[0])}")
        config = RunConfig.resolve({**folder.read_config().as_data(), **settings}, folder.own)
        if not folder.params.exists():
            return cls.of(config)
        kept = load_model(folder)
        return cls(config, kept.input_shape, len(kept.class_names))
