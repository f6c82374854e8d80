"""When to divide products: where it takes less time, of late, than to leave them whole.

Which way is sooner is tried anew now and then. Beside busy neighbours the parts of a product wait
for a core; so where waiting has lost more time than division gained, nothing is divided for a
while.
"""

import math
import time

TIMES = 3
"""How many products of a kind are left whole in a trial, and then how many divided."""
FIRST, LAST = 32, 1024
"""After how many products there is a new trial: ever more while each says what the last one did."""
MOST_LOST, PAUSE = 0.01, 0.06
"""Seconds that division may lose before a pause, and of the pause."""


class _Pause:
    """When nothing is divided, of whatever kind."""

    def __init__(self) -> None:
        self._lost, self.end = 0.0, 0.0

    def note(self, late: float) -> None:
        """A divided product took so many seconds more than a whole one."""
        self._lost = max(0.0, self._lost + late)
        if self._lost > MOST_LOST:
            self._lost, self.end = 0.0, time.perf_counter() + PAUSE


_pause = _Pause()


class Pace:
    """Whether to divide the next product of one kind."""

    def __init__(self) -> None:
        self._divides, self._left, self._interval = False, 0, FIRST
        """The way to take, for how many more products, and for how many after a trial."""
        self._seconds: tuple[list[float], list[float]] = [], []
        """What whole and divided products took in this trial."""
        self._whole = math.inf
        """Seconds of a whole one."""

    def divides_next(self) -> bool:
        """Whether to divide the next."""
        if time.perf_counter() < _pause.end:
            return False
        return self._divides if self._left else len(self._seconds[False]) >= TIMES

    def note(self, divided: bool, seconds: float) -> None:
        """The next took so many seconds, divided or whole."""
        if divided:
            whole = min(self._seconds[False], default=self._whole)  # those of this trial, if any
            _pause.note(seconds - whole)
        if self._left:
            self._left -= 1
            return
        self._seconds[divided].append(seconds)
        if len(self._seconds[True]) == TIMES:
            # The least of each, as what disturbs only adds.
            before, (self._whole, least) = self._divides, map(min, self._seconds)
            self._divides = least < self._whole
            confirmed = self._divides == before
            self._interval = min(2 * self._interval, LAST) if confirmed else FIRST
            self._left, self._seconds = self._interval, ([], [])
