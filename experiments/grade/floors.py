"""The accuracies that the labs ask for."""

from typing import NamedTuple


class Floor(NamedTuple):
    """An accuracy, in per cent."""

    percent: float
    above: bool
    """Whether it must be above, and not only at it."""

    @property
    def words(self) -> str:
        """`at least 80 %`."""
        return f"{'above' if self.above else 'at least'} {self.percent:g} %"

    def met(self, percent: float) -> bool:
        """Whether so much is enough."""
        return percent > self.percent if self.above else percent >= self.percent


FLOORS = {
    "points": Floor(90, above=False),
    "fashion": Floor(80, above=False),
    "emnist47": Floor(80, above=True),
    "fashion-mlp": Floor(85, above=True),
}
"""By lab; `mnist` has none."""
