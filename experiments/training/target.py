"""What a command is to look into: an architecture, a network of the user's own, or a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import funcnn as fn
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
from funcnn.experiments.training.model import load_model, network_in, snapshot_of
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
        """That which a text names: an architecture, `FILE.py:NAME`, a run's folder or a snapshot.

        settings: of an architecture or a network of one's own; of a run or a snapshot a
        `batch_size` alone. own: the network, where that is of a user's own. Raises `InputError`.
        """
        if is_reference(text) and not Path(text).exists():
            return cls.of(RunConfig.resolve({"arch": text, **settings}, read_own(text)))
        if text in ARCHITECTURES:
            return cls.of(RunConfig.resolve({"arch": text, **settings}))
        if not Path(text).exists():
            raise InputError(
                f"{text} is no architecture ({', '.join(ARCHITECTURES)}), nor the folder of a "
                "run, a snapshot, or FILE.py:NAME"
            )
        fixed = [name for name in settings if name != "batch_size"]
        if fixed:
            raise InputError(f"the settings are those of {text}: leave out --{dashed(fixed[0])}")
        if Path(text).is_file() and Path(text).suffix.lower() == ".npz":
            return cls._of_snapshot(snapshot_of(Path(text)), settings, own)
        folder = RunFolder.open(Path(text), own)
        config = RunConfig.resolve({**folder.read_config().as_data(), **settings}, folder.own)
        if not folder.params.exists():
            return cls.of(config)
        kept = load_model(folder)
        return cls(config, kept.input_shape, len(kept.class_names))

    @classmethod
    def _of_snapshot(
        cls, file: Path, settings: Mapping[str, Any], own: OwnModel | None
    ) -> "Target":
        """That of a snapshot, which says nothing of its training: with the default loss."""
        _, model, input_shape = network_in(file, own)
        named = OwnModel(
            name="snapshot:model", make=lambda input_shape, classes: model, where=str(file)
        )
        outputs, _ = model.init(fn.random.SHAPES_ONLY, input_shape)
        data = {"data": next(iter(POINT_SETS))} if outputs == (1,) else {}
        config = RunConfig.resolve({"arch": named.name, **data, **settings}, named)
        return cls(config, input_shape, max(2, *outputs))
