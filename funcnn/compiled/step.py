"""A training step that is recorded when it first meets arguments of a kind, and replayed then."""

from collections.abc import Callable
from typing import Any

from funcnn.compiled.recordings import Recordings


class CompiledStep:
    """A step that gives what the plain one gives, bit by bit: `step(state, (x, y))`.

    Arguments of new shapes, dtypes or structure run the plain step, which is recorded then; the
    next ones replay it. What cannot be replayed runs plain, and `why` says so. Metrics are computed
    as ever, of the outputs. Beside memory for a step of each kind it keeps the last state it gave.
    """

    def __init__(
        self,
        plain: Callable[..., Any],
        update: Callable[[Any, Any], Any],
        measure: Callable[[Any, Any, Any], Any],
        why: str | None,
    ) -> None:
        self._plain, self._measure, self._why = plain, measure, why
        self._recordings = Recordings(update, is_step=True)

    @property
    def why(self) -> str | None:
        """Why steps run plain, or the last one did; None if nothing is known against replays."""
        return self._why or self._recordings.why

    def __call__(self, state: Any, batch: Any, *rest: Any) -> Any:
        """The new state, and the metrics."""
        if rest or self._why is not None:
            return self._plain(state, batch, *rest)
        state, (measured, outputs) = self._recordings.call(state, batch)
        return state, self._measure(measured, outputs, batch)
