"""What a training run tells."""

from funcnn.experiments.training.folder import EpochRow
from funcnn.types import Tree


class Progress:
    """What a run tells whoever watches it; this one keeps it to itself."""

    def begin(self, steps: int, done: int) -> None:
        """The run has so many steps, and so many of them are done already."""

    def step(self, loss: float) -> None:
        """One more step is done."""

    def row(self, row: EpochRow, epochs: int) -> None:
        """An epoch of `epochs` was recorded."""

    def params(self, epoch: int, params: Tree) -> None:
        """The params after an epoch that is going to be recorded."""
