"""Mean and standard deviation over seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """What runs with one setting and several seeds came to in one number."""

    mean: float
    std: float | None
    """Of the sample (n - 1 in the denominator); None for one run."""
    values: list[float]


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), std, list(values))
