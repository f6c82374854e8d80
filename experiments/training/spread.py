"""Mean and standard deviation over seeds."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """What runs with one setting and several seeds came to in one number."""

    mean: float
    std: float | None
    """Of the sample (n - 1 in the denominator); None for one run."""
    values: list[float]

    def text(self, form: str | Callable[[float], str], scale: float = 1, unit: str = "") -> str:
        """`98.41 ± 0.12`, or the mean alone; form writes each, times the scale."""
        write = form.format if isinstance(form, str) else form
        mean = write(scale * self.mean) + unit
        return mean if self.std is None else f"{mean} ± {write(scale * self.std)}"


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), std, list(values))
