"""What a command's work has to say beside its results: a line on stderr each, above any bar."""

import contextlib
import logging
import sys

from funcnn.cli.options import echo


class _Notes(logging.Handler):
    """What is a warning in the log, as a line."""

    def emit(self, record: logging.LogRecord) -> None:
        bars = sys.modules.get("tqdm")
        with contextlib.suppress(OSError), contextlib.ExitStack() as closing:
            if bars is not None:
                closing.enter_context(bars.tqdm.external_write_mode())
            echo(record.getMessage(), err=True)


_NOTES = _Notes(logging.WARNING)


def show_notes() -> None:
    """Show them from now on."""
    logging.getLogger("funcnn.experiments").addHandler(_NOTES)  # once, however often it is asked
